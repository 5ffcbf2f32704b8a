"""``cairn serve`` as a process: its start, its signals, and connections that mean no good."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cairn.cli.app import app
from cairn.errors import CairnError
from measuring.served import FORM_TYPE, Served, buffered, client, form, start
from measuring.small_gallery import jpeg, make_gallery, noise

OPTIONS = ["--backend", "torch", "--device", "cpu"]
CONFIG = "[limits]\nheader_kib = 8\nheader_s = 1.5\nbody_s = 1.0\n"


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    return make_gallery(root, noise(root / "photos"))


@pytest.fixture(scope="module")
def server(gallery: Path) -> Iterator[Served]:
    made = start(gallery, config=CONFIG, options=OPTIONS, log=gallery.parent / "log")
    yield made
    if made.process.poll() is None:
        made.kill()


def talk(server: Served, *parts: bytes) -> bytes:
    """Send bytes over a connection of its own; return all that comes until it is closed."""
    with socket.create_connection((server.host, server.port), timeout=60) as connection:
        received = b""
        try:
            for part in parts:
                connection.sendall(part)
            while block := connection.recv(1 << 16):
                received += block
        except ConnectionError:
            pass
        return received


HEAD = b"POST /v1/recognize HTTP/1.1\r\nHost: localhost\r\n"


def test_connections_that_mean_no_good_are_ended(server: Served) -> None:
    assert talk(server, b"GARBAGE\r\n\r\n").startswith(b"HTTP/1.1 400")
    for too_much in (b"X: " + b"y" * 100_000, b"".join(b"X%d: y\r\n" % n for n in range(9000))):
        assert talk(server, HEAD + too_much) == b""
    assert talk(server, HEAD) == b"", "headers that never end"
    assert talk(server) == b"", "a connection that says nothing"
    slow = talk(server, HEAD + b"Content-Type: image/jpeg\r\nContent-Length: 9\r\n\r\nab")
    assert slow.startswith(b"HTTP/1.1 408")
    both = (
        HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n"
    )
    assert talk(server, both).startswith(b"HTTP/1.1 400")
    assert server.ask("/readyz")["status"] == "ok"


def test_a_signal_lets_what_was_accepted_be_finished(server: Served) -> None:
    """Runs last of those that use the server: it ends it."""
    photo, answers = form([("image", "a.jpg", jpeg(1, side=900))] * 12), list[int]()
    begun = threading.Barrier(5)

    def ask() -> None:
        with client(server) as connection:
            connection.json("GET", "/healthz")
            begun.wait(60)
            answers.append(connection.send("POST", "/v1/recognize", photo, FORM_TYPE)[0])

    crew = [threading.Thread(target=ask) for _ in range(4)]
    for one in crew:
        one.start()
    begun.wait(60)
    with client(server) as watch:  # until the server has them
        while b'route="/healthz",status="200"} 4' not in watch.send("GET", "/metrics")[1]:
            pass
    threading.Event().wait(0.1)
    assert server.stop() == 0
    for one in crew:
        one.join()
    assert answers == [200] * 4
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.host, server.port), timeout=5)


def call(*words: object) -> Any:
    return CliRunner().invoke(app, ["serve", *map(str, words)], catch_exceptions=False)


def test_what_is_wrong_is_said_before_anything_is_loaded(gallery: Path, tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(CairnError, match="cannot listen there"):
        call(gallery, "--port", taken.getsockname()[1])
    with pytest.raises(CairnError, match="anyone who reaches this address"):
        call(gallery, "--host", "0.0.0.0")
    with pytest.raises(CairnError, match="not a gallery"):
        call(tmp_path)
    (tmp_path / "a.toml").write_text("[limit]\nimages = 1\n", encoding="utf-8")
    with pytest.raises(CairnError) as error:
        call(gallery, "--config", tmp_path / "a.toml")
    assert error.value.todo == "did you mean 'limits'?"


def test_a_gallery_that_cannot_be_loaded_ends_the_server(tmp_path: Path, gallery: Path) -> None:
    import shutil

    shutil.copytree(gallery, tmp_path / "gallery")
    shutil.rmtree(tmp_path / "gallery" / "models")
    words = [sys.executable, "-m", "cairn", "serve", str(tmp_path / "gallery"), "--port", "0"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env=os.environ)
    assert done.returncode == 2
    assert "the gallery lacks its model" in done.stderr
    assert "Traceback" not in done.stderr


def test_ready_is_told_in_json(gallery: Path) -> None:
    words = [sys.executable, "-m", "cairn", "serve", str(gallery), "--port", "0", "--json"]
    process = subprocess.Popen(
        [*words, *OPTIONS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=buffered(),
    )
    assert process.stdout is not None
    value = json.loads(process.stdout.readline())
    assert (value["version"], value["tokens"]) == (2, 0)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 0
    process.stdout.close()
