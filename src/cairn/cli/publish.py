"""``cairn push`` and ``cairn pull``: a gallery with all it needs, given away and taken in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.output import Json, emit


def push(
    gallery: Annotated[str, typer.Argument(help="A gallery: a folder, or s3://bucket/prefix.")],
    destination: Annotated[str, typer.Argument(help="A new folder, or hf://owner/name.")],
    version: Annotated[
        str | None, typer.Option(help="Number or tag of the version; the newest by default.")
    ] = None,
    title: Annotated[str, typer.Option(help="Heading of the card.")] = "",
    license: Annotated[
        str, typer.Option(help="What others may do with it: an SPDX identifier, for the card.")
    ] = "",
    private: Annotated[
        bool, typer.Option("--private/--public", help="Who sees a repository that is made now.")
    ] = True,
    message: Annotated[str, typer.Option(help="Of the commit on the hub.")] = "",
    as_json: Json = False,
) -> None:
    """Publish model, gallery, penalty and calibration as one folder with a card; no photographs."""
    from cairn import publishing

    package, where = publishing.push(
        gallery,
        destination,
        version=version,
        title=title,
        license=license,
        private=private,
        message=message,
    )
    emit(
        {"destination": where, **package.to_json()},
        f"version {package.version} with {package.num_images} images of {package.num_landmarks} "
        f"landmarks, {package.num_bytes / 1e6:.1f} MB in {len(package.files)} files: {where}\n"
        f"next: cairn pull {where} -o GALLERY",
        as_json=as_json,
    )


def pull(
    source: Annotated[
        str, typer.Argument(help="A published folder, or hf://owner/name[@revision].")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new gallery.")],
    as_json: Json = False,
) -> None:
    """Take in a published gallery, after checking every file of it."""
    from cairn import publishing

    package = publishing.pull(source, output)
    emit(
        {"gallery": output, **package.to_json()},
        f"{package.title}: {package.num_images} images of {package.num_landmarks} landmarks"
        f"{', with penalty' if package.has_penalty else ''}"
        f"{', calibrated' if package.num_calibrations else ''}: {output}\n"
        f"next: cairn recognize {output} PHOTOGRAPH",
        as_json=as_json,
    )
