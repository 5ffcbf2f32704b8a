"""Runs to be compared: evaluation folders, or answers beside what is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cairn.domain import Prediction
from cairn.errors import CairnError
from cairn.predictions import SUFFIXES, PredictionTable, read_answers
from cairn.submission import Solution, by_image

_FILE = "predictions.parquet"


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """What one run answered, and what was true.

    Args:
        where: The folder or file.
        predictions: One a query, in the order of the truth; without evidence.
        truth: Query id -> its landmarks; empty for a non-landmark.
        counts: Landmark id -> gallery photographs, where known.
        paths: Query id -> its photograph, where known.
        names: Landmark id -> a name for people, where known.
        table: What has the evidence; None for a submission.
    """

    where: Path
    predictions: Sequence[Prediction]
    truth: Mapping[str, frozenset[str]]
    counts: Mapping[str, int] | None = None
    paths: Mapping[str, Path] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    table: PredictionTable | None = None

    def with_evidence(self, image_ids: Sequence[str]) -> dict[str, Prediction]:
        """Return the answers to some queries with their evidence, where it was kept."""
        wanted = set(image_ids)
        if self.table is None:
            return {one.image_id: one for one in self.predictions if one.image_id in wanted}
        rows = [row for row, one in enumerate(self.table.image_ids) if one in wanted]
        return {one.image_id: one for one in self.table.predictions(rows)}

    def photograph(self, path: str | Path) -> Path:
        """Return where a photograph lies, of the root that the run kept."""
        root = None if self.table is None else self.table.photo_root
        return Path(path) if root is None else root / path


def read_run(
    path: Path,
    solution: Solution | None = None,
    *,
    counts: Mapping[str, int] | None = None,
    paths: Mapping[str, str | Path] | None = None,
    names: Mapping[str, str] | None = None,
) -> EvaluatedRun:
    """Return a run.

    Args:
        path: An evaluation folder, its predictions.parquet, or a submission.
        solution: What is true, where the file does not say; it comes before what the file says.
        counts: Landmark id -> gallery photographs, likewise.
        paths: Query id -> its photograph, likewise.
        names: Landmark id -> a name, likewise.

    Raises:
        CairnError: There is no such run, or nothing says what is true.
    """
    if path.is_dir() and not (path / _FILE).is_file():
        inside = path / "evaluation" / _FILE
        raise CairnError(
            f"this folder has no {_FILE}",
            where=path,
            todo=f"give {inside.parent}"
            if inside.is_file()
            else "give a folder that `cairn evaluate -o` wrote",
        )
    file = path / _FILE if path.is_dir() else path
    if not file.exists():
        raise CairnError(
            "no such evaluation folder or file", where=path, todo="check the path of this run"
        )
    table = PredictionTable.read(file) if file.suffix.lower() in SUFFIXES else None
    given = read_answers(file) if table is None else table.light_predictions()
    if solution is None:
        if table is None or not table.truth:
            raise CairnError(
                "these answers come without what is true",
                where=path,
                todo="add --solution with the solution file or manifest, or give the folder that "
                "`cairn evaluate -o` wrote",
            )
        solution = Solution(table.truth)
        counts = counts or table.gallery_counts
    kept = solution.keep(by_image(given))
    by_id = {one.image_id: one for one in given}
    predictions = [
        by_id[one] if one in kept else Prediction(one, None, 0.0) for one in solution.truth
    ]
    told = names or {}
    if table is None:
        found = {image_id: Path(one) for image_id, one in (paths or {}).items()}
        return EvaluatedRun(path, predictions, solution.truth, counts, found, told)
    root = table.photo_root
    own = {i: Path(one) if root is None else root / one for i, one in table.paths.items()}
    found = {**own, **{i: Path(one) for i, one in (paths or {}).items()}}
    every = {**table.names, **told}
    return EvaluatedRun(path, predictions, solution.truth, counts, found, every, table)


def require_same_queries(runs: Sequence[EvaluatedRun]) -> None:
    """Refuse runs that answered other queries than the first, or were judged by another truth.

    Raises:
        CairnError: With the first query at fault.
    """
    first = runs[0]
    for one in runs[1:]:
        if one.truth.keys() != first.truth.keys():
            lost = sorted(first.truth.keys() - one.truth.keys())
            more = sorted(one.truth.keys() - first.truth.keys())
            example = f"only the first has {lost[0]!r}" if lost else f"only it has {more[0]!r}"
            raise CairnError(
                f"these runs answered different queries: {len(first.truth):,} and "
                f"{len(one.truth):,}, {len(first.truth.keys() & one.truth.keys()):,} in common",
                where=f"{one.where} beside {first.where}: {example}",
                todo="evaluate all runs on the same query set, then compare them",
            )
        other = [i for i, shown in first.truth.items() if one.truth[i] != shown]
        if other:
            raise CairnError(
                f"these runs were judged by different truths: {len(other):,} queries differ",
                where=f"{one.where} beside {first.where}: {other[0]!r} shows "
                f"{sorted(one.truth[other[0]])} and {sorted(first.truth[other[0]])}",
                todo="evaluate all runs against the same solution or manifest",
            )


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return short names that tell paths apart: what differs at their ends.

    Raises:
        CairnError: A path is given twice.
    """
    parts = [path.absolute().parts for path in paths]
    twice = next((one for row, one in enumerate(paths) if parts[row] in parts[:row]), None)
    if twice is not None:
        raise CairnError("a run is given twice", where=twice, todo="give two different runs")
    shared = 0
    while (
        all(len(one) > shared + 1 for one in parts)
        and len({one[-1 - shared] for one in parts}) == 1
    ):
        shared += 1
    ends = [one[: len(one) - shared] for one in parts]
    for length in range(1, max(map(len, ends)) + 1):
        names = ["/".join(one[-length:]) for one in ends]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]  # pragma: no cover - absolute paths differ somewhere
