"""``cairn gallery tune``: the quickest search of a gallery that keeps a stated recall."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cairn.cli.output import Json, emit


def tune(
    gallery: Annotated[str, typer.Argument(help="The gallery: a folder, or s3://bucket/prefix.")],
    queries: Annotated[
        Path | None,
        typer.Option(
            help="Embeddings like those to come; by default the gallery's own, each without itself."
        ),
    ] = None,
    recall: Annotated[
        float | None,
        typer.Option(help="Share of the nearest images that must be found; 0.99 by default."),
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", help="How many nearest images; 20 by default.")
    ] = None,
    kind: Annotated[Literal["hnsw", "ivf-pq", "both"], typer.Option(help="What to try.")] = "both",
    goal: Annotated[
        Literal["single", "batch"],
        typer.Option(help="What is to be quick: one query at a time, or many at once."),
    ] = "single",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Try and print, keep nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Try approximate searches on the gallery itself, print their recall, keep the quickest."""
    from cairn.gallery import Gallery
    from cairn.gallery.indexes import keep_index, tune_gallery
    from cairn.index_kinds import KINDS
    from cairn.tables import EmbeddingTable
    from cairn.tuning import TARGET_RECALL, TOP_K

    loaded = Gallery.load(gallery)
    asked = None if queries is None else EmbeddingTable.read(queries)
    done = tune_gallery(
        loaded,
        asked,
        target_recall=TARGET_RECALL if recall is None else recall,
        k=TOP_K if k is None else k,
        kinds=tuple(KINDS) if kind == "both" else (kind,),
        goal=goal,
    )
    kept = "" if dry_run or done.winner is None else keep_index(loaded, done)
    of = f"of {queries}"
    if done.is_own:
        of = "of the gallery itself, each without itself (new photographs are harder: --queries)"
    lines = [
        done.table(),
        "",
        f"{done.num_queries} queries {of}; recall against exact search of {len(loaded.table)} "
        f"images{', penalty included' if loaded.penalty is not None else ''}",
        done.verdict,
    ]
    if kept:
        lines += [
            f"kept: {kept}",
            f"next: cairn recognize {gallery} PHOTOGRAPH --search approximate",
        ]
    emit(
        {
            "gallery": gallery,
            "version": loaded.version,
            "num_images": len(loaded.table),
            "penalized": loaded.penalty is not None,
            **done.to_json(),
            "index": kept or None,
        },
        "\n".join(lines),
        as_json=as_json,
    )
