"""uvicorn's protocol by httptools, with an end to headers that are slow or large.

uvicorn bounds how long a connection may idle; httptools takes headers at any size and speed. It
refuses requests that say their length twice, which h11 answers.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def bounded_protocol(max_bytes: int, max_s: float) -> Any:
    """Return the protocol, which closes such connections.

    Args:
        max_bytes: Of the headers of one request.
        max_s: From the beginning of a connection, or the end of an answer, to the end of the
            headers that come next.
    """

    class Bounded(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _is_in_headers = False
        _num_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._begin_to_wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._wait_no_more()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            self._is_in_headers, self._num_bytes = True, 0
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            self._is_in_headers = False
            super().on_headers_complete()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self.transport.is_closing():
                self._begin_to_wait()

        def data_received(self, data: bytes) -> None:
            cycle = self.cycle
            super().data_received(data)
            if self.cycle is not cycle:
                self._wait_no_more()
            elif self._is_in_headers:
                self._num_bytes += len(data)
                if self._num_bytes > max_bytes:
                    self.transport.close()

        def _begin_to_wait(self) -> None:
            self._wait_no_more()
            self._timer = self.loop.call_later(max_s, self._too_slow)

        def _wait_no_more(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None

        def _too_slow(self) -> None:
            self._timer = None
            if not self.transport.is_closing():
                self.transport.close()

    return Bounded
