"""``cairn inspect``: what is in a manifest's photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.output import Json, emit, resumable


def inspect(
    manifest: Annotated[Path, typer.Argument(help="A manifest, .parquet or .csv.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder for what is found.")],
    earlier: Annotated[
        Path | None,
        typer.Option(help="An earlier inspection: unchanged files are not looked at again."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that decode; else one per processor.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at every photograph: imbalance, unreadable files, duplicates and leaks.

    The same command goes on where a killed one stopped.
    """
    from cairn.inspection import inspect_manifest
    from cairn.manifest import Manifest

    images = Manifest.read(manifest)
    with resumable():
        found = inspect_manifest(images, output, earlier=earlier, workers=workers)
    page = output / "index.html"
    text = "\n".join((*found.sentences, f"open {page}"))
    emit({**found.report, "page": page}, text, as_json=as_json)
