"""An object store of the test's own, and writers that can be killed."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WRITES = ("PUT", "POST", "DELETE")
WRITER = Path(__file__).with_name("writer.py")


class Store:
    """Moto's S3 server behind a gate that can kill a writer at one of its requests that write."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self._app = DomainDispatcherApplication(create_backend_app)
        self._lock = threading.Lock()
        self._victim: int | None = None
        self._kill_at = 0
        self.num_writes = 0
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server("127.0.0.1", 0, self, threaded=True)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["REQUEST_METHOD"] in WRITES and self._is_cut():
            start_response("503 Service Unavailable", [("Content-Length", "0")])
            return [b""]
        return self._app(environ, start_response)

    def watch(self, victim: int | None, *, kill_at: int = 0) -> None:
        """Count writes from now on, and kill ``victim`` instead of serving that number of them."""
        with self._lock:
            self._victim, self._kill_at, self.num_writes = victim, kill_at, 0

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _is_cut(self) -> bool:
        with self._lock:
            self.num_writes += 1
            if self._victim is None or not self._kill_at:
                return False
            if self.num_writes == self._kill_at:
                os.kill(self._victim, signal.SIGKILL)
            return self.num_writes >= self._kill_at


class Writer:
    """A process that has loaded Cairn and forks one of its own for every piece of work."""

    def __init__(self) -> None:
        command = [sys.executable, "-W", "ignore", str(WRITER)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, work: str, *arguments: Any, **wishes: Any) -> int:
        """Fork a process for the work and return its id; it waits to be told to go."""
        names = [name for name in os.environ if name.startswith(("AWS_", "XDG_"))]
        environment = {name: os.environ[name] for name in names}
        told = self._ask(
            {"work": work, "arguments": arguments, "environment": environment, **wishes}
        )
        pid: int = told["pid"]
        return pid

    def finish(self) -> dict[str, Any]:
        """Let the forked process go, and return how it ended: code, seconds, error, value."""
        return self._ask("go")

    def do(self, work: str, *arguments: Any, **wishes: Any) -> dict[str, Any]:
        """Start and finish."""
        self.start(work, *arguments, **wishes)
        return self.finish()

    def stop(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=60)

    def _ask(self, value: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(value) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


@pytest.fixture(scope="session")
def _store() -> Iterator[Store]:
    store = Store()
    yield store
    store.stop()


@pytest.fixture
def store(_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that the environment points to, with a bucket ``galleries``."""
    import boto3

    monkeypatch.setenv("AWS_ENDPOINT_URL", _store.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="galleries")
    _store.watch(None)
    return _store


@pytest.fixture(scope="session")
def works() -> Any:
    """The module of the writers, to do in this process what they do in theirs."""
    spec = importlib.util.spec_from_file_location("gallery_writer", WRITER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def writer() -> Iterator[Writer]:
    """A writer in the environment that each test has when it starts work."""
    made = Writer()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def reader() -> Iterator[Writer]:
    """Another one."""
    made = Writer()
    yield made
    made.stop()
