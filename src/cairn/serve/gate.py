"""The gate that every request passes, in and out.

In: who asks, under which name of the server, from which page, how often, how much and how slowly.
Out: an id, headers that browsers heed, figures for Prometheus, and problems in place of faults.
It is plain ASGI, so that a body is measured while it arrives and refused before it is there.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from cairn.errors import CairnError
from cairn.progress import say
from cairn.serve.auth import Token, find_token
from cairn.serve.metrics import Metrics
from cairn.serve.problems import Problem
from cairn.serve.rate import RateLimit
from cairn.serve.settings import ServeSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset(("/healthz", "/readyz"))
"""What needs no token: a machine that looks whether the server lives has none."""

_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
_RECOGNIZES = frozenset(("/v1/recognize", "/v1/images:annotate"))
_LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "[::1]"))
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NO_STORE = "no-store"


class Gate:
    """Wraps an ASGI application.

    Args:
        app: What answers.
        settings: Of the server.
        tokens: Who may ask; nobody in it for everybody.
        metrics: What is told of every request.
        hosts: Names under which the server may be asked for; empty for any.
    """

    def __init__(
        self,
        app: App,
        *,
        settings: ServeSettings,
        tokens: Sequence[Token],
        metrics: Metrics,
        hosts: Sequence[str] = (),
    ) -> None:
        limits = settings.limits
        self._app, self._tokens, self._metrics = app, tokens, metrics
        self._hosts = frozenset(hosts)
        self._origins = frozenset(settings.access.cors_origins)
        self._rate = RateLimit(limits.requests_per_minute, limits.burst)
        self._max_bytes, self._body_s = int(limits.body_mib * 2**20), limits.body_s

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request, or pass on what is none."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", _NO_STORE)
            await send(message)

        try:
            self._admit(scope)
            await self._app(scope, self._measured(scope, receive), sending)
        except Exception as error:
            if status:  # the answer is under way; all that is left is to break it off
                raise
            problem = self._problem(error, request_id)
            await problem.response(request_id)(scope, receive, sending)
        finally:
            # The route's pattern, not the path: ids would make endless figures of their own.
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(scope["method"], route, str(status)).inc()
            self._metrics.request_seconds.labels(route).observe(time.perf_counter() - start)

    def _problem(self, error: Exception, request_id: str) -> Problem:
        if isinstance(error, Problem):
            return error
        if isinstance(error, CairnError):
            return Problem.of(error)
        say(f"request {request_id} met a fault of the server:")
        say("".join(traceback.format_exception(error)))
        return Problem(
            500, "a fault of the server", todo="tell whoever runs it; its log has the request's id"
        )

    def _admit(self, scope: MutableMapping[str, Any]) -> None:
        headers = Headers(scope=scope)
        method, path = scope["method"], scope["path"]
        self._require_host(headers)
        self._require_origin(headers, method)
        length = headers.get("content-length", "0")
        if not length.isdecimal():
            raise Problem(400, "not a length", where="Content-Length")
        if int(length) > self._max_bytes:
            raise self._too_large()
        scope["state"]["by"] = ""
        if path in OPEN_PATHS or not self._tokens:
            return
        token = find_token(self._tokens, _secret(headers))
        if token is None:
            raise Problem(
                401,
                "this server asks for a token",
                where="Authorization",
                todo="send the header Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": "Bearer"},
            )
        scope["state"]["by"] = token.name
        wait_s = self._rate.wait_s(token.name)
        if wait_s:
            seconds = str(math.ceil(wait_s))
            raise Problem(
                429,
                "too many requests with this token",
                todo=f"send the request again in {seconds} s",
                headers={"Retry-After": seconds},
            )
        if not token.may_change and method not in _SAFE and path not in _RECOGNIZES:
            raise Problem(403, "this token may read only", where="Authorization")

    def _require_host(self, headers: Headers) -> None:
        """Refuse foreign names: a page elsewhere may let its own name point here."""
        if not self._hosts:
            return
        name = headers.get("host", "").lower()
        bare = name if name.endswith("]") else name.rpartition(":")[0] or name
        if bare not in self._hosts:
            raise Problem(
                421,
                "this server is not asked for under that name",
                where="Host",
                todo="list the name as access.hosts in the server's configuration",
            )

    def _require_origin(self, headers: Headers, method: str) -> None:
        """Refuse changes that a page of somebody else has the user's browser send."""
        origin = headers.get("origin")
        if method in _SAFE or origin is None or origin in self._origins:
            return
        if urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            raise Problem(
                403,
                "pages of another origin may not use this server",
                where="Origin",
                todo="list the origin as access.cors_origins in the server's configuration",
            )

    def _measured(self, scope: MutableMapping[str, Any], receive: Receive) -> Receive:
        """Return ``receive`` with the limits on a body's size and time."""
        num_bytes, until, is_whole = 0, 0.0, False

        async def measured() -> Message:
            nonlocal num_bytes, until, is_whole
            if is_whole:
                return await receive()
            loop = asyncio.get_running_loop()
            until = until or loop.time() + self._body_s
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError:
                raise Problem(
                    408,
                    f"the body took longer than {self._body_s:g} s to arrive",
                    headers={"Connection": "close"},
                ) from None
            num_bytes += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if num_bytes > self._max_bytes:
                raise self._too_large()
            return message

        return measured

    def _too_large(self) -> Problem:
        return Problem(
            413,
            f"the body is larger than {self._max_bytes} bytes",
            todo="send fewer or smaller photographs",
            headers={"Connection": "close"},
        )


def host_names(host: str, further: Sequence[str]) -> tuple[str, ...]:
    """Return the names under which a server on a loopback address may be asked for.

    Args:
        host: Its address.
        further: Names from the settings.
    """
    address = f"[{host}]" if ":" in host else host
    return (*_LOOPBACK_NAMES, address.lower(), *(one.lower() for one in further))


def _secret(headers: Headers) -> str:
    """Return the token that a request brings; Google's clients have a header of their own."""
    kind, _, secret = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return secret.strip()
    return headers.get("x-goog-api-key", "")
