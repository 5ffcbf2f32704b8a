"""A web server on this machine that serves bytes from memory and misbehaves when told to."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Trick:
    """How one request for a path is answered; unused parts leave the answer as it should be.

    Args:
        status: This instead, with an empty body.
        headers: Sent besides, or instead.
        cut_after: The connection is closed after so many bytes of the body.
        stall_after: Nothing more is sent after so many bytes, until the server is stopped.
        ignore_range: All of the file is sent with status 200.
        ignore_if_range: A part of another version is sent, too.
        chunk: Bytes sent at once.
        body: These bytes are served instead, as another version of the file.
    """

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    cut_after: int | None = None
    stall_after: int | None = None
    ignore_range: bool = False
    ignore_if_range: bool = False
    chunk: int = _BLOCK
    body: bytes | None = None


@dataclass(frozen=True)
class Asked:
    """A request that came.

    Args:
        method: GET or HEAD.
        path: Without the leading slash.
        range_: The header Range, or "".
        if_range: The header If-Range, or "".
    """

    method: str
    path: str
    range_: str = ""
    if_range: str = ""


class FileServer:
    """Files by path, tricks for the next requests of a path, and a record of what was asked.

    Args:
        files: What is served; may change while the server runs.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.tricks: defaultdict[str, list[Trick]] = defaultdict(list)
        self.always: dict[str, Trick] = {}
        self.head_status = 0
        self.asked: list[Asked] = []
        self.url = ""
        self.stopping = threading.Event()
        self._lock = threading.Lock()

    def gets(self, path: str) -> list[Asked]:
        """Return the GET requests for a path, in order."""
        return [asked for asked in self.asked if (asked.method, asked.path) == ("GET", path)]

    def next_trick(self, asked: Asked) -> Trick:
        """Record a request and return how to answer it."""
        with self._lock:
            self.asked.append(asked)
            if asked.method == "HEAD":
                return Trick(status=self.head_status)
            waiting = self.tricks[asked.path]
            return waiting.pop(0) if waiting else self.always.get(asked.path, Trick())

    @contextmanager
    def running(self) -> Iterator[FileServer]:
        """Serve on a free port of the loopback interface while the block runs."""
        server = _Quiet(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stopping.set()
            server.shutdown()
            server.server_close()
            thread.join()


class _Quiet(ThreadingHTTPServer):
    """A server that says nothing of clients that go away."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def etag_of(body: bytes) -> str:
    """Return the ETag of a file, as S3 makes it of one that was uploaded in one piece."""
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def _handler(files: FileServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _answer(self) -> None:
            path = self.path.lstrip("/")
            range_, if_range = (self.headers.get(name, "") for name in ("Range", "If-Range"))
            trick = files.next_trick(Asked(self.command, path, range_, if_range))
            body = trick.body if trick.body is not None else files.files.get(path)
            if trick.status or body is None:
                self._head(trick.status or 404, {"Content-Length": "0", **dict(trick.headers)})
                return
            etag = dict(trick.headers).get("ETag", etag_of(body) if len(body) < _BLOCK else '"x"')
            found = re.fullmatch(r"bytes=(\d+)-", range_)
            start = 0
            fits = if_range in ("", etag) or trick.ignore_if_range
            if found and fits and not trick.ignore_range:
                start = int(found[1])
                if start >= len(body):
                    sizes = {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"}
                    self._head(416, sizes)
                    return
            headers = {"Content-Length": str(len(body) - start), "ETag": etag}
            if start:
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self._head(206 if start else 200, {**headers, **dict(trick.headers)})
            if self.command == "GET":
                self._body(memoryview(body)[start:], trick)

        def _head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()

        def _body(self, body: memoryview, trick: Trick) -> None:
            ends = [end for end in (trick.cut_after, trick.stall_after) if end is not None]
            end = min([len(body), *ends])
            try:
                for start in range(0, end, trick.chunk):
                    self.wfile.write(body[start : min(start + trick.chunk, end)])
            except OSError:  # the client went away
                self.close_connection = True
                return
            if end < len(body):
                if trick.stall_after is not None:
                    files.stopping.wait(30)
                self.close_connection = True

    return Handler
