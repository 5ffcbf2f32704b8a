"""``cairn penalize``: what a bank of non-landmarks costs the images of a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cairn.cli.output import Json, emit
from cairn.errors import CairnError


def penalize(
    gallery: Annotated[str, typer.Argument(help="A gallery: a folder, or s3://bucket/prefix.")],
    bank: Annotated[Path, typer.Argument(help="Embeddings of non-landmarks (`cairn embed`).")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the table to this file; by default the gallery has it from now on.",
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
    """Give a gallery its penalty, and keep the bank: every later change of images follows."""
    from cairn.gallery import Gallery, keep_penalty
    from cairn.gallery.stale import tell_if_stale
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
    number = _top(top)
    nonlandmarks = EmbeddingTable.read(bank)
    if output is None:
        version = keep_penalty(gallery, nonlandmarks, top=number, **rule).version
        loaded = Gallery.load(gallery)
        assert loaded.penalty is not None
        table, path = loaded.penalty, loaded.penalty_path
        tell_if_stale(gallery, loaded.content_key, offsets=table.offsets)
    else:
        require_absent(output)
        loaded = Gallery.load(gallery, penalty=False)
        version, path = loaded.version, str(output)
        table = loaded.penalize(nonlandmarks, top=number, **rule)
        loaded.write_penalty(table, output)
    hit = table.penalty > 0
    emit(
        {
            "gallery": gallery,
            "version": version,
            "path": path,
            "num_images": len(table),
            "num_penalized": int(hit.sum()),
            "num_picks": table.num_picks,
            "bank_size": table.bank_size,
            "mean_penalty": float(table.penalty[hit].mean()) if hit.any() else 0.0,
        },
        f"{int(hit.sum())} of {len(table)} gallery images penalized: "
        + (str(output) if output else f"{gallery}, version {version}")
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
