"""Two or more runs on the same queries: differences with their significance, and what changed.

Every run is compared with the first. Differences are paired over the same bootstrap resamples;
their p values are corrected together (Holm 1979), over all runs and scores of the table.

Legend of shapes: R runs, S scores, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cairn.bootstrap import (
    NUM_RESAMPLES,
    Interval,
    chance_of_difference,
    holm,
    intervals,
)
from cairn.errors import CairnError
from cairn.evaluate import Resampled, resample
from cairn.metrics import SIZE_BINS
from cairn.proportions import mcnemar
from cairn.report.decision import Decision, decide
from cairn.report.evaluated import EvaluatedRun, require_same_queries
from cairn.report.outcomes import Outcomes
from cairn.scores import BIN_SCORES
from cairn.submission import by_image

TESTED = ("gap", "gap_without_unlabelled", "top1_accuracy", "auroc")
"""Scores whose differences are tested."""

LEVEL = 0.05
"""A difference counts as real where its corrected p value is at most this."""

_PER_TEST = 200  # resamples, so that Holm's correction alone makes no difference insignificant


@dataclass(frozen=True)
class Difference:
    """How far a run is from the first in one score.

    Args:
        change: The run's score less the first one's, with its paired interval.
        chance: The two-sided p value; None without resamples.
        corrected: The same, corrected for all comparisons made.
    """

    change: Interval
    chance: float | None
    corrected: float | None

    @property
    def is_significant(self) -> bool:
        """Whether the difference holds after correction."""
        return self.corrected is not None and self.corrected <= LEVEL

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {**asdict(self), "is_significant": self.is_significant}


@dataclass(frozen=True, eq=False)
class Against:
    """One run against the first.

    Args:
        differences: By score.
        by_size: Name of a size of landmark -> score -> paired difference, not tested.
        gained: Queries that this run alone gets right, the surest first.
        lost: Queries that the first run alone gets right, the surest first.
        num_both_right: Landmark queries that both get right.
        num_both_wrong: Landmark queries that neither does.
        chance: McNemar's exact p value of the two numbers.
    """

    differences: Mapping[str, Difference]
    by_size: Mapping[str, Mapping[str, Interval]]
    gained: tuple[str, ...]
    lost: tuple[str, ...]
    num_both_right: int
    num_both_wrong: int
    chance: float

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {
            "differences": {name: one.to_json() for name, one in self.differences.items()},
            "by_size": {
                size: {name: asdict(one) for name, one in some.items()}
                for size, some in self.by_size.items()
            },
            "num_gained": len(self.gained),
            "num_lost": len(self.lost),
            "num_both_right": self.num_both_right,
            "num_both_wrong": self.num_both_wrong,
            "mcnemar": self.chance,
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """R runs on the same queries.

    Args:
        names: R names, the first one compared with.
        runs: R runs.
        measured: Scores, intervals and resamples.
        against: R - 1, of every run but the first.
        decisions: R; None where no threshold can be told.
    """

    names: tuple[str, ...]
    runs: tuple[EvaluatedRun, ...]
    measured: Resampled
    against: tuple[Against, ...]
    decisions: tuple[Decision | None, ...]

    @property
    def num_resamples(self) -> int:
        """B."""
        return len(self.measured.samples)

    @property
    def too_few_resamples(self) -> bool:
        """Whether no difference could be significant, however large, with so few resamples."""
        return self.num_resamples > 0 and 2 * self.num_tests / (self.num_resamples + 1) > LEVEL

    @property
    def num_tests(self) -> int:
        """How many comparisons are corrected for."""
        return sum(len(one.differences) for one in self.against)

    def to_json(self) -> dict[str, Any]:
        """Return all numbers as plain JSON values."""
        first = self.measured.reports[0]
        return {
            "num_queries": first.num_queries,
            "num_labelled": first.num_labelled,
            "num_resamples": self.num_resamples,
            "num_tests": self.num_tests,
            "level": LEVEL,
            "runs": [
                {
                    "name": name,
                    "where": str(run.where),
                    **report.to_json(),
                    "decision": None if decision is None else decision.to_json(),
                }
                for name, run, report, decision in zip(
                    self.names, self.runs, self.measured.reports, self.decisions, strict=True
                )
            ],
            "against_first": [
                {"name": name, **one.to_json()}
                for name, one in zip(self.names[1:], self.against, strict=True)
            ],
        }


def compare(
    runs: Sequence[EvaluatedRun],
    names: Sequence[str],
    *,
    num_resamples: int | None = None,
    seed: int = 0,
) -> Comparison:
    """Return how runs differ from the first.

    Args:
        runs: Two or more, on the same queries with the same truth.
        names: One each.
        num_resamples: B; by default 1,000, more where so many comparisons are made that their
            correction would need finer p values. 0 for neither intervals nor tests.
        seed: Of the resamples.

    Raises:
        CairnError: There are fewer than two runs, or their queries or truths differ.
    """
    if len(runs) < 2:
        raise CairnError(
            "a comparison needs two runs or more", todo="give two evaluation folders or more"
        )
    require_same_queries(runs)
    if num_resamples is None:
        num_resamples = max(NUM_RESAMPLES, _PER_TEST * len(TESTED) * (len(runs) - 1))
    first = runs[0]
    measured = resample(
        [by_image(one.predictions) for one in runs],
        first.truth,
        gallery_counts=first.counts,
        num_resamples=num_resamples,
        seed=seed,
    )
    outcomes = [Outcomes.of(one.predictions, first.truth, first.counts) for one in runs]
    against = _against(measured, outcomes)
    return Comparison(
        tuple(names), tuple(runs), measured, against, tuple(decide(one) for one in outcomes)
    )


def _against(measured: Resampled, outcomes: Sequence[Outcomes]) -> tuple[Against, ...]:
    rows = range(1, len(outcomes))
    moved = measured.values - measured.values[0]
    resampled = measured.samples - measured.samples[:, :1]
    changes = [
        dict(zip(measured.names, intervals(moved[row], resampled[:, row]), strict=True))
        for row in rows
    ]
    tested = [
        (row, name) for row in rows for name in TESTED if changes[row - 1].get(name) is not None
    ]
    column = {name: place for place, name in enumerate(measured.names)}
    chances = [chance_of_difference(resampled[:, row, column[name]]) for row, name in tested]
    corrected = dict(zip(tested, holm(chances), strict=True))
    plain = dict(zip(tested, chances, strict=True))
    has_tests = len(measured.samples) > 0
    sizes = [entry.size for entry in measured.reports[0].by_size]
    found = []
    for row in rows:
        told = {name: one for name, one in changes[row - 1].items() if one is not None}
        differences = {
            name: Difference(
                told[name],
                plain[row, name] if has_tests else None,
                corrected[row, name] if has_tests else None,
            )
            for name in TESTED
            if name in told
        }
        by_size = {
            size: {name: told[f"{name}/{size}"] for name in BIN_SCORES if f"{name}/{size}" in told}
            for size, _ in SIZE_BINS
            if size in sizes
        }
        found.append(_changed(outcomes[0], outcomes[row], differences, by_size, measured))
    return tuple(found)


def _changed(
    old: Outcomes,
    new: Outcomes,
    differences: Mapping[str, Difference],
    by_size: Mapping[str, Mapping[str, Interval]],
    measured: Resampled,
) -> Against:
    gained = np.flatnonzero(new.right & ~old.right)
    lost = np.flatnonzero(old.right & ~new.right)

    def surest(rows: Any, outcomes: Outcomes) -> tuple[str, ...]:
        order = sorted(
            rows.tolist(), key=lambda row: (-outcomes.values[row], outcomes.image_ids[row])
        )
        return tuple(outcomes.image_ids[row] for row in order)

    both = int((old.right & new.right).sum())
    neither = measured.reports[0].num_labelled - both - len(gained) - len(lost)
    return Against(
        differences,
        by_size,
        surest(gained, new),
        surest(lost, old),
        both,
        neither,
        mcnemar(len(gained), len(lost)),
    )


def chance_text(value: float | None) -> str:
    """Return a p value as people write it."""
    if value is None:
        return "–"
    if value < 0.001:
        return "p < 0.001"
    return f"p = {value:.{2 if value >= 0.1 else 3}f}" if not math.isclose(value, 1) else "p = 1"
