"""The application: routes, the gate around them, and what happens when it starts and stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response

from cairn.serve import changing, reading, recognition, working
from cairn.serve.gate import Gate
from cairn.serve.problems import PROBLEM_TYPE, Problem
from cairn.serve.schemas import ProblemOut
from cairn.serve.server import Server

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What is wrong with the request", "model": ProblemOut},
    "5XX": {"description": "What the server cannot do now", "model": ProblemOut},
}
_METHODS = ["GET", "POST", "PATCH", "DELETE"]


def create_app(server: Server, *, wait: bool = True) -> FastAPI:
    """Return the application of a server.

    Args:
        server: What it serves.
        wait: Load the gallery before the first request is answered; otherwise health is answered
            meanwhile.

    Raises:
        CairnError: While starting, with ``wait``: the gallery cannot be loaded.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        start = asyncio.create_task(server.start())
        if wait:
            await start
            if server.fault is not None:
                raise server.fault
        yield
        await start
        await server.stop()

    app = _Application(
        title="Cairn",
        version=metadata.version("cairn-landmarks"),
        description="Recognizes landmarks against a gallery that changes while it is served.",
        lifespan=lifespan,
        responses=_PROBLEMS,
        docs_url=None,  # it loads scripts from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.server = server
    app.include_router(recognition.router)
    app.include_router(changing.router)
    app.include_router(working.router)
    app.include_router(reading.router)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_middleware(
        Gate,
        settings=server.settings,
        tokens=server.tokens,
        metrics=server.metrics,
        hosts=server.hosts,
    )
    origins = server.settings.access.cors_origins
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=_METHODS,
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    return app


class _Application(FastAPI):
    """FastAPI, whose document says which kind of content problems are."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        if not self.openapi_schema:
            made = super().openapi()
            for operations in made["paths"].values():
                for operation in operations.values():
                    answers = operation["responses"]
                    answers.pop("422", None)  # FastAPI's own shape, which is not answered here
                    for status in _PROBLEMS:
                        (shape,) = answers[str(status)]["content"].values()
                        answers[str(status)]["content"] = {PROBLEM_TYPE: shape}
        assert self.openapi_schema is not None
        return self.openapi_schema


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    problem = Problem(422, str(first["msg"]), where=where)
    return problem.response(request.state.request_id)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    todo = "GET /openapi.json lists what there is" if error.status_code in (404, 405) else ""
    problem = Problem(error.status_code, str(error.detail), todo=todo, headers=error.headers)
    return problem.response(request.state.request_id)
