"""``cairn demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.output import Json, emit


def demo(
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to put everything.")] = Path(
        "demo"
    ),
    seed: Annotated[int, typer.Option(help="Another seed makes another world.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a world of landmarks, train on it, and run the whole path to the report."""
    from cairn.demo import run_demo

    outcome = run_demo(out, seed=seed)
    emit(outcome.to_json(), outcome.text(), as_json=as_json)
