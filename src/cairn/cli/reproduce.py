"""``cairn reproduce``: published experiments, done again on the data at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.output import Json, emit

app = typer.Typer(no_args_is_help=True, help="Do the field's experiments again on your data.")


@app.callback()
def _group() -> None:
    """Keep ``ablation`` a word of its own while it is the only command of the group."""


@app.command("ablation", short_help="What each part of the house model is worth, with evidence.")
def ablation(
    data: Annotated[Path, typer.Option(help="The manifest; query rows are what is tested on.")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="Folder of the ablation; again: it goes on.")
    ],
    recipe: Annotated[
        str | None,
        typer.Option(
            help="What rows start from: ablation (small), ablation-gldv2 (512 px), a recipe or "
            "TOML file [the table's]."
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(help="The rows: ablation, ablation-gldv2 or a TOML file [the recipe's]."),
    ] = None,
    rows: Annotated[
        str | None, typer.Option(help="Only these rows, as a,b,c; the table keeps the others.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Trainings of each row; 3 by default.", min=1)
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder of <timm name>*.safetensors: each becomes transfer rows."),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting of what rows start from; may be repeated."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Json = False,
) -> None:
    """Train and test rows that each change one thing; write a table with intervals and plots."""
    from cairn.ablation import NUM_SEEDS, reproduce_ablation
    from cairn.manifest import Manifest
    from cairn.progress import say

    try:
        outcome = reproduce_ablation(
            Manifest.read(data),
            out,
            table=table,
            recipe=recipe,
            overrides=overrides or (),
            rows=[name.strip() for name in rows.split(",") if name.strip()] if rows else (),
            num_seeds=NUM_SEEDS if seeds is None else seeds,
            weights=weights,
            device=device,
        )
    except KeyboardInterrupt:
        say("interrupted; the same command goes on where it stopped")
        raise
    emit(outcome.to_json(), outcome.text(), as_json=as_json)
