"""``cairn demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cairn.cli.output import Json, emit


def demo(
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="A new folder [runs/<date>-demo].")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes another world.")] = 0,
    as_json: Json = False,
) -> None:
    """Make a world of landmarks, train on it, and run the whole path to the report."""
    from cairn.demo import run_demo
    from cairn.runs import new_run

    outcome = run_demo(out or new_run(Path("runs"), "demo"), seed=seed)
    emit(outcome.to_json(), outcome.text(), as_json=as_json)
