"""Settings of the server: a TOML file, every value with a default that suits one machine."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from cairn.config.value import Value, parse_value
from cairn.errors import CairnError

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class BatchSettings(Value):
    """How photographs of different requests go through the network together.

    Args:
        max_images: Photographs that go through the network together.
        max_wait_ms: How long a photograph waits for others that are being decoded.
        queue: Photographs that may wait, in all; beyond it requests are answered 429.
        decoders: Decoding threads; 0 for as many as processors.
    """

    max_images: Count = 32
    max_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 2.0
    queue: Count = 128
    decoders: Annotated[int, Field(ge=0)] = 0


class LimitSettings(Value):
    """What one request may be.

    Args:
        body_mib: Size of a request's body.
        images: Photographs in one request.
        pixels: Width times height of a photograph, read from its header before any is decoded.
        scans: Scans of a progressive JPEG: each is a pass over the whole picture.
        header_kib: Size of a request's headers.
        header_s: Time that headers may take to arrive.
        body_s: Time that a body may take to arrive.
        request_s: Time that a request may wait for its answer after that.
        connections: Open connections; beyond it new ones are answered 503.
        requests_per_minute: Requests of one token, refilled evenly; 0 for any number.
        burst: Requests of one token at once.
    """

    body_mib: Annotated[float, Field(gt=0, le=1024)] = 32.0
    images: Count = 16
    pixels: Annotated[int, Field(ge=1, le=178_956_970)] = 50_000_000
    scans: Count = 64
    header_kib: Annotated[int, Field(ge=4)] = 64
    header_s: Seconds = 10.0
    body_s: Seconds = 30.0
    request_s: Seconds = 30.0
    connections: Count = 512
    requests_per_minute: Annotated[int, Field(ge=0)] = 1200
    burst: Count = 100


class GallerySettings(Value):
    """How the gallery is served and changed.

    Args:
        read_only: Refuse every change.
        watch_s: How often to look for versions that other processes made.
        changes: Changes that may wait for their turn; beyond it requests are answered 429.
        import_root: The folder below which folders of photographs may be added; None for none.
        renew: Make the calibration anew after a change, where its validation is kept.
        top: Gallery images that an answer shows, where the request does not say.
        max_top: The most that a request may ask for.
    """

    read_only: bool = False
    watch_s: Seconds = 1.0
    changes: Count = 32
    import_root: Path | None = None
    renew: bool = True
    top: Count = 5
    max_top: Count = 50


class AccessSettings(Value):
    """Who may ask.

    Args:
        cors_origins: Origins of web pages that may use the server from a browser; none by default.
        hosts: Names, beside the address itself, under which the server is asked for.
    """

    cors_origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


class ServeSettings(Value):
    """All settings.

    Args:
        batch: See there, as for the rest.
        limits: See ``batch``.
        gallery: See ``batch``.
        access: See ``batch``.
        search: ``exact``, or ``approximate`` through the index of ``cairn gallery tune``.
        stages: The file of a recipe that answers (docs/rerank.md), in place of the nearest image;
            paths are taken from where the server is started.
        model: An export of the gallery's model, to embed by in its place.
        shutdown_s: How long a stopping server works on what it accepted.
    """

    batch: BatchSettings = BatchSettings()
    limits: LimitSettings = LimitSettings()
    gallery: GallerySettings = GallerySettings()
    access: AccessSettings = AccessSettings()
    search: Literal["exact", "approximate"] = "exact"
    stages: Path | None = None
    model: Path | None = None
    shutdown_s: Seconds = 30.0


def read_settings(path: Path) -> ServeSettings:
    """Return the settings in a TOML file.

    Raises:
        CairnError: There is no such file, it is not TOML, or a setting is unknown or out of range.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CairnError("file not found", where=path, todo="--config names a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CairnError(f"not TOML: {error}", where=path) from None
    return parse_value(ServeSettings, values, where=path)
