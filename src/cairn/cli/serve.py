"""``cairn serve``: a gallery over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cairn.cli.embed import Backend, Device
from cairn.cli.output import Json, emit
from cairn.errors import CairnError


def serve(
    gallery: Annotated[str, typer.Argument(help="The gallery: a folder, or s3://bucket/prefix.")],
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its port; 0 for any that is free.")] = 8000,
    tokens: Annotated[
        Path | None,
        typer.Option(help="A file of tokens, NAME TOKEN a line; or one token in CAIRN_TOKEN."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file with limits and the rest (docs/serve.md).")
    ] = None,
    search: Annotated[
        Literal["exact", "approximate"] | None,
        typer.Option(help="approximate: through the index that `cairn gallery tune` keeps."),
    ] = None,
    backend: Backend = "auto",
    device: Device = "auto",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Refuse changes of the gallery.")
    ] = False,
    is_open: Annotated[
        bool, typer.Option("--open", help="Serve others than this machine without tokens.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Answer photographs over HTTP, and change the gallery, until told to stop."""
    from cairn.gallery import require_gallery

    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise CairnError(
            f"serving needs a package that is not installed: {error.name}",
            todo="pip install 'cairn-landmarks[serve]'",
        ) from None
    from cairn.serve.auth import is_loopback, read_tokens, require_tokens
    from cairn.serve.gate import host_names
    from cairn.serve.run import bind
    from cairn.serve.run import serve as run
    from cairn.serve.server import Server
    from cairn.serve.settings import ServeSettings, read_settings

    settings = ServeSettings() if config is None else read_settings(config)
    if search is not None:
        settings = settings.model_copy(update={"search": search})
    if read_only:
        changed = settings.gallery.model_copy(update={"read_only": True})
        settings = settings.model_copy(update={"gallery": changed})
    found = read_tokens(tokens)
    require_tokens(host, found, is_open=is_open)
    require_gallery(gallery)
    listening = bind(host, port)
    address, taken = listening.getsockname()[:2]
    shown = f"[{address}]" if ":" in address else address
    url = f"http://{shown}:{taken}"
    hosts: tuple[str, ...] = ()
    if is_loopback(host) or settings.access.hosts:
        hosts = host_names(host, settings.access.hosts)
    server = Server(gallery, settings, tokens=found, hosts=hosts, backend=backend, device=device)

    def ready() -> None:
        emit(
            {"url": url, "version": server.living.current.version, "tokens": len(found)},
            f"ready at {url}; Ctrl-C stops it",
            as_json=as_json,
        )

    run(server, listening, on_ready=ready)
