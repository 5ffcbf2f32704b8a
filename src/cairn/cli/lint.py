"""``cairn lint``: every problem of a submission file, with its line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cairn.cli.output import Json, emit

if TYPE_CHECKING:
    from cairn.linting import Expected


def lint(
    submission: Annotated[Path, typer.Argument(help="CSV id,landmarks; or id,images.")],
    solution: Annotated[
        Path | None, typer.Option(help="Solution file: which queries there are.", metavar="CSV")
    ] = None,
    queries: Annotated[
        Path | None,
        typer.Option(help="A manifest or sample submission instead: which queries there are."),
    ] = None,
    form: Annotated[
        Literal["cairn", "kaggle", "delf"], typer.Option(help="Who will read the file.")
    ] = "kaggle",
    task: Annotated[
        Literal["recognition", "retrieval"], typer.Option(help="What it answers.")
    ] = "recognition",
    as_json: Json = False,
) -> None:
    """List all that is wrong with a submission; exit 2 where a reader would refuse it."""
    from cairn.errors import CairnError
    from cairn.linting import lint_submission

    if solution is not None and queries is not None:
        raise CairnError("give a solution or queries, not both", where="--solution and --queries")
    if solution is not None and task == "recognition":
        expected = _of_solution(solution)
    else:
        expected = _of_queries(queries or solution)
    found = lint_submission(submission, form=form, task=task, expected=expected)
    emit(found.to_json(), found.text(), as_json=as_json)
    if found.num_errors:
        raise typer.Exit(2)


def _of_solution(path: Path) -> Expected:
    from cairn.linting import Expected
    from cairn.submission import read_solution

    solution = read_solution(path)
    landmarks = {one for some in solution.truth.values() for one in some}
    queries = {*solution.truth, *solution.set_aside}
    return Expected(queries, true_landmarks=landmarks)


def _of_queries(path: Path | None) -> Expected:
    from cairn.columns import TABLE_SUFFIXES, read_table
    from cairn.errors import CairnError
    from cairn.linting import Expected

    if path is None:
        return Expected()
    if path.suffix.lower() not in TABLE_SUFFIXES:
        raise CairnError(
            "queries come in a manifest or a CSV file with a column id",
            where=path,
            todo="give the sample submission, or a manifest",
        )
    table = read_table(path)
    if {"image_id", "role"} <= set(table.column_names):
        from cairn.manifest import Manifest

        manifest = Manifest.read(path)
        known = manifest.select("train", "gallery")
        landmarks = set(known.landmark_ids) if len(known) else None
        images = set(known.image_ids) if len(known) else None
        return Expected(set(manifest.select("query").image_ids), landmarks, images)
    if "id" not in table.column_names:
        raise CairnError(
            f"no column 'id', only {', '.join(table.column_names)}",
            where=path,
            todo="give the sample submission, or a manifest",
        )
    return Expected(set(map(str, table["id"].to_pylist())))
