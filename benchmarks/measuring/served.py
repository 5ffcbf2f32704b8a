"""A server of a gallery in a process of its own, as its users run it: started, asked, killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class Served:
    """A running ``cairn serve``.

    Args:
        process: It.
        url: Where it listens.
    """

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process, self.url = process, url
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.host, self.port = parts.hostname, parts.port

    def rss_mib(self) -> float:
        """Memory that the process holds now, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def cpu_s(self) -> float:
        """Processor seconds that the process has spent, all threads together."""
        text = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
        ticks = text.rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def ask(self, path: str) -> Any:
        """Return the JSON that a GET answers."""
        with client(self) as connection:
            return connection.json("GET", path)[1]

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self._ended()

    def stop(self) -> int:
        """Ask it to end; return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended()

    def _ended(self) -> int:
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(timeout=120)


class Client:
    """One connection that is kept.

    Args:
        served: To what.
        timeout_s: Of every request.
    """

    def __init__(self, served: Served, *, timeout_s: float = 120) -> None:
        self._connection = http.client.HTTPConnection(served.host, served.port, timeout=timeout_s)

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Send a request; return status and body. A closed connection is opened anew.

        Raises:
            OSError: The server is not there.
        """
        try:
            self._connection.request(method, path, body, dict(headers or {}))
            answer = self._connection.getresponse()
            content = answer.read()
        except BaseException:
            self._connection.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self._connection.close()
        return answer.status, content

    def json(
        self, method: str, path: str, value: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Send and return JSON, with the status."""
        body = None if value is None else json.dumps(value).encode()
        kind = {} if value is None else {"Content-Type": "application/json"}
        status, content = self.send(method, path, body, {**kind, **(headers or {})})
        return status, json.loads(content)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@contextmanager
def client(served: Served, *, timeout_s: float = 120) -> Iterator[Client]:
    """Yield a connection, closed afterwards."""
    made = Client(served, timeout_s=timeout_s)
    try:
        yield made
    finally:
        made.close()


def buffered() -> dict[str, str]:
    """Return the environment in which Python keeps what is printed into a pipe, as it does."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def start(
    gallery: Path, *, config: str = "", options: Sequence[str] = (), log: Path | None = None
) -> Served:
    """Start ``cairn serve`` at a free port and wait until it answers.

    Args:
        gallery: What it serves.
        config: The text of its TOML file.
        options: Further words of the command.
        log: Where its stderr goes.
    """
    words = [sys.executable, "-m", "cairn", "serve", str(gallery), "--port", "0", "--json"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "serve.toml"
        path.write_text(config, encoding="utf-8")
        target: Any = subprocess.DEVNULL if log is None else log.open("a", encoding="utf-8")
        try:
            process = subprocess.Popen(
                [*words, "--config", str(path), *options],
                stdout=subprocess.PIPE,
                stderr=target,
                text=True,
                env=buffered(),
            )
        finally:
            if log is not None:
                target.close()  # the process has its own
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"the server did not start: exit {process.wait()}; see {log}")
    return Served(process, json.loads(line)["url"])


@contextmanager
def served(gallery: Path, **wishes: Any) -> Iterator[Served]:
    """Yield a running server, stopped afterwards."""
    made = start(gallery, **wishes)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()


def form(fields: Sequence[tuple[str, str | None, bytes]], *, boundary: str = "cairn") -> bytes:
    """Return the body of a form: name, file name or None, and content of each part."""
    parts = []
    for name, filename, content in fields:
        shown = "" if filename is None else f'; filename="{filename}"'
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'
        parts.append(head.encode() + content + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


FORM_TYPE = {"Content-Type": "multipart/form-data; boundary=cairn"}
