"""Running a server until it is told to stop: the socket, slow and large headers, signals."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from cairn.errors import CairnError
from cairn.serve.app import create_app
from cairn.serve.protocol import bounded_protocol
from cairn.serve.server import Server

_BACKLOG = 1024
_STOPPING = (signal.SIGINT, signal.SIGTERM)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket at an address, which is taken from then on.

    Args:
        host: A name or an address.
        port: 0 for any that is free.

    Raises:
        CairnError: The address is taken, or none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        made.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise CairnError(
            f"cannot listen there: {reason}",
            where=f"{host}, port {port}",
            todo="choose another --port; 0 takes any that is free",
        ) from None
    return made


def serve(server: Server, listening: socket.socket, *, on_ready: Callable[[], None]) -> bool:
    """Serve until SIGINT or SIGTERM; return whether the server ended as it should.

    Health is answered from the start; photographs once gallery and model are loaded. A signal lets
    what was accepted be finished.

    Args:
        server: What is served.
        listening: Where.
        on_ready: Called when photographs can be answered.

    Raises:
        CairnError: The gallery cannot be loaded.
    """
    limits = server.settings.limits
    config = uvicorn.Config(
        create_app(server, wait=False),
        http=bounded_protocol(limits.header_kib << 10, limits.header_s),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=round(server.settings.shutdown_s),
    )
    running = _Uvicorn(config)

    def follow() -> None:
        server.is_started.wait()
        if server.fault is None:
            on_ready()
        else:
            running.should_exit = True

    threading.Thread(target=follow, name="ready", daemon=True).start()
    running.run(sockets=[listening])
    if server.fault is not None:
        raise server.fault
    return running.started


class _Uvicorn(uvicorn.Server):
    """Ends with 0 where a signal asked it to: uvicorn would raise the signal once more."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let signals ask the server to stop, for the length of the block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {one: signal.signal(one, self.handle_exit) for one in _STOPPING}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
