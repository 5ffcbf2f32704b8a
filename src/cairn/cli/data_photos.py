"""``cairn data photos``: photographs nobody has sorted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.manifests import Output, finish
from cairn.cli.output import Json


def photos(
    root: Annotated[Path, typer.Argument(help="Photographs, at any depth.")],
    output: Output,
    by_place: Annotated[
        float | None,
        typer.Option(help="Group photographs within so many metres into candidate landmarks."),
    ] = None,
    min_photos: Annotated[int, typer.Option(help="Photographs that make a place.")] = 2,
    workers: Annotated[int, typer.Option(help="Threads; 0 for as many as processors.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a manifest of unsorted photographs, with position, size and time from their EXIF."""
    from cairn.sources.photos import read_photos

    found = read_photos(root, place_m=by_place, min_photos=min_photos, workers=workers)
    extra = {"num_skipped": found.num_skipped}
    finish(found.manifest, output, found.notes, extra, as_json=as_json, truth_known=False)
