"""``cairn penalize``: what a bank of non-landmarks costs the images of a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cairn.cli.output import Json, emit
from cairn.errors import CairnError


def penalize(
    gallery: Annotated[Path, typer.Argument(help="A gallery folder.")],
    bank: Annotated[Path, typer.Argument(help="Embeddings of non-landmarks (`cairn embed`).")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Where to write; by default the gallery's own, in use at once."
        ),
    ] = None,
    top: Annotated[
        str, typer.Option(help="Gallery images that each non-landmark picks, or auto.")
    ] = "auto",
    min_n: Annotated[
        int | None, typer.Option(help="Fewer picks cost nothing; 3 by default.")
    ] = None,
    max_n: Annotated[
        int | None, typer.Option(help="From so many picks on the cost is full; 12 by default.")
    ] = None,
    min_pro: Annotated[
        float | None, typer.Option(help="Share at the start of the ramp; 0.3 by default.")
    ] = None,
    max_pro: Annotated[float | None, typer.Option(help="Share at its end; 1.0 by default.")] = None,
    ramp: Annotated[str | None, typer.Option(help="from-min (the default) or from-zero.")] = None,
    strength: Annotated[
        float | None, typer.Option(help="Factor on every penalty; 1.0 by default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the penalty table of a gallery: path, mean similarity, picks, penalty per image."""
    from cairn.gallery import PENALTY_NAME, Gallery
    from cairn.runs import require_absent
    from cairn.tables import EmbeddingTable

    given = {
        "min_n": min_n,
        "max_n": max_n,
        "min_pro": min_pro,
        "max_pro": max_pro,
        "ramp": ramp,
        "strength": strength,
    }
    rule = {name: value for name, value in given.items() if value is not None}
    if output is not None:
        require_absent(output)
    loaded = Gallery.load(gallery, penalty=False)
    table = loaded.penalize(EmbeddingTable.read(bank), top=_top(top), **rule)
    path = gallery / PENALTY_NAME if output is None else output
    loaded.write_penalty(table, path)
    hit = table.penalty > 0
    emit(
        {
            "path": path,
            "num_images": len(table),
            "num_penalized": int(hit.sum()),
            "num_picks": table.num_picks,
            "bank_size": table.bank_size,
            "mean_penalty": float(table.penalty[hit].mean()) if hit.any() else 0.0,
        },
        f"{int(hit.sum())} of {len(table)} gallery images penalized: {path}"
        + (f"\nnext: cairn recognize {gallery} PHOTOGRAPH" if output is None else ""),
        as_json=as_json,
    )


def _top(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    try:
        return int(text)
    except ValueError:
        raise CairnError(
            f"{text!r} is neither a number nor auto", where="--top", todo="leave it out for auto"
        ) from None
