"""``cairn tune``: stages and their values, chosen on validation queries, and what they gain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.embed import Backend, Device, Workers
from cairn.cli.output import Json, emit, resumable


def tune(
    gallery: Annotated[str, typer.Argument(help="The gallery: a folder, or s3://bucket/prefix.")],
    validation: Annotated[
        Path, typer.Argument(help="Photographs that choose: a manifest's rows of role query.")
    ],
    test: Annotated[
        Path | None,
        typer.Argument(help="Other photographs, that judge; refused where validation has them."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A new folder, or one to go on with.")
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(
            help="A recipe whose values may be lists of choices; without it stages are chosen too.",
            metavar="TOML",
        ),
    ] = None,
    known_share: Annotated[
        float | None,
        typer.Option(help="Share of photographs with a known landmark where it will work."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Recipes that one search may try; 3000 by default.")
    ] = None,
    hits: Annotated[
        int | None, typer.Option(help="Hits of a query; the recipe's, or 100, by default.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of folds and resamples.", min=0)] = 0,
    backend: Backend = "auto",
    device: Device = "auto",
    workers: Workers = 0,
    as_json: Json = False,
) -> None:
    """Choose stages of re-ranking on validation queries, and say honestly what they gain.

    The search runs again without each fifth of the queries, which then judges it; a test judges
    the recipe too. Queries that the gallery, its bank, the training or the other set has are
    refused. The folder gets recipe.toml (for `cairn recognize --stages`), tables and a page.
    """
    from cairn.errors import CairnError
    from cairn.gallery import Gallery
    from cairn.manifest import Manifest
    from cairn.stack_tuning.job import tune_gallery
    from cairn.stack_tuning.outcome import Wishes
    from cairn.stack_tuning.summary import table
    from cairn.stack_tuning.tune import LIMIT
    from cairn.stack_tuning.write import RESULT, write_tuning

    if output is None:
        raise CairnError("there is no place for the recipe", todo="add -o FOLDER")
    if output.is_file() or (output / RESULT).exists():
        raise CairnError(
            "results are never overwritten and this place is taken",
            where=output,
            todo="name another folder, or move this one away",
        )
    wishes = Wishes(
        recipe=recipe,
        known_share=known_share,
        limit=LIMIT if trials is None else trials,
        num_hits=hits,
        seed=seed,
    )
    asked = Manifest.read(validation)
    judges = None if test is None else Manifest.read(test)
    loaded = Gallery.load(gallery)
    with resumable():
        outcome = tune_gallery(
            loaded,
            asked,
            judges,
            output,
            wishes=wishes,
            backend=backend,
            device=device,
            workers=workers,
        )
    facts = {
        "gallery": gallery,
        "gallery_version": loaded.version,
        "gallery_content": loaded.content_key,
        "model": loaded.table.fingerprint,
        "validation": asked.select("query").fingerprint,
        "test": None if judges is None else judges.select("query").fingerprint,
    }
    write_tuning(output, outcome, gallery=gallery, facts=facts)
    emit(
        {"folder": str(output), "recipe": str(output / "recipe.toml"), **outcome.to_json()},
        f"{table(outcome)}\n\nopen {output / 'report.html'}\n"
        f"next: cairn recognize {gallery} PHOTOGRAPHS --stages {output / 'recipe.toml'}",
        as_json=as_json,
    )
