"""``cairn gallery``: what photographs are recognized against."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.gallery_check import check
from cairn.cli.output import Json, emit
from cairn.errors import CairnError

app = typer.Typer(no_args_is_help=True, help="Make a gallery to recognize against.")


app.command("check")(check)


@app.callback()
def _group() -> None:
    """Make a gallery to recognize against."""


@app.command("build")
def build(
    embeddings: Annotated[Path, typer.Argument(help="A folder that `cairn embed` wrote.")],
    model: Annotated[Path, typer.Argument(help="The model folder that made it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The gallery folder to make.")],
    names: Annotated[
        Path | None, typer.Option(help="A manifest whose column landmark_name names landmarks.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a gallery, complete with its model, of labelled embeddings."""
    from cairn.gallery import Gallery

    made = Gallery.build(
        embeddings, model, output, landmark_names=None if names is None else _names(names)
    )
    emit(
        {
            "folder": output,
            "num_images": len(made.table),
            "num_landmarks": made.num_landmarks,
            "fingerprint": made.table.fingerprint,
        },
        f"gallery of {len(made.table)} images of {made.num_landmarks} landmarks: {output}\n"
        f"next: cairn penalize {output} BANK, or cairn recognize {output} PHOTOGRAPH",
        as_json=as_json,
    )


def _names(path: Path) -> dict[str, str]:
    from cairn.manifest import Manifest

    manifest = Manifest.read(path)
    if "landmark_name" not in manifest.table.column_names:
        raise CairnError("the manifest has no column landmark_name", where=path)
    return manifest.landmark_names
