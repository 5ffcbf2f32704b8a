"""``cairn gallery check``: what is wrong with a gallery, and what to do about it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cairn.cli.embed import Device
from cairn.cli.output import Json, emit


def check(
    gallery: Annotated[str, typer.Argument(help="The gallery: a folder, or s3://bucket/prefix.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder for what is found.")],
    near: Annotated[
        float | None,
        typer.Option(help="Similarity of nearly equal pictures; 0.95 by default."),
    ] = None,
    merge: Annotated[
        float | None,
        typer.Option(help="Share of mixing from which landmarks look like one; 0.6 by default."),
    ] = None,
    outlier_neighbors: Annotated[
        int | None,
        typer.Option(help="Nearest images that an outlier has of other landmarks; 5 by default."),
    ] = None,
    num_neighbors: Annotated[
        int | None, typer.Option(help="Nearest images looked at; 16 by default.")
    ] = None,
    shown: Annotated[
        int | None, typer.Option(help="Findings of a kind on the page; 24 by default.")
    ] = None,
    penalty: Annotated[bool, typer.Option(help="Report images that attract non-landmarks.")] = True,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find wrong labels, collisions, duplicates and images that attract anything."""
    from cairn.doctor import CheckRule, check_gallery
    from cairn.gallery import Gallery

    given: dict[str, Any] = {
        "near": near,
        "merge": merge,
        "outlier_neighbors": outlier_neighbors,
        "num_neighbors": num_neighbors,
        "shown": shown,
    }
    rule = CheckRule(**{name: value for name, value in given.items() if value is not None})
    found = check_gallery(Gallery.load(gallery, penalty=penalty), output, rule=rule, device=device)
    page = output / "checkup.html"
    text = "\n".join((*(found.sentences or ("Nothing was found.",)), f"open {page}"))
    emit({**found.report, "page": page}, text, as_json=as_json)
