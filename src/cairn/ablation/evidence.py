"""What the answers of all rows and seeds come to: means, paired differences and their intervals.

All rows answered the same queries, and rows with the same seed learned from the same photographs,
so a difference to the reference row is taken within each seed and under the same resampled queries;
what both find hard cancels. Intervals doubt the queries and the seeds together
(`cairn.bootstrap.bootstrap_runs`).

A landmark's size is the number of its gallery photographs. The GAP of some landmarks is their share
of the one ranking, as in `cairn.evaluate`: the parts, weighted by their queries, add up to GAP.

Legend of shapes: Q queries, R seeds, S statistics of a row, N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cairn import metrics
from cairn.bootstrap import (
    NUM_RESAMPLES,
    Interval,
    bootstrap_runs,
    intervals,
    mean_over_runs,
)
from cairn.metrics import SIZE_BINS

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Answers = Mapping[str, tuple[str, float]]

SPARSE = 10
"""Gallery photographs that a sparse landmark has at most; 57 % of GLDv2's have about as many."""

OVERALL = ("gap", "gap_without_unlabelled", "top1_accuracy")
PARTS = ("sparse", "crowded")
_SPARSE_BINS = sum(high is not None and high <= SPARSE for _, high in SIZE_BINS)


@dataclass(frozen=True)
class Question:
    """What the rows were asked.

    Args:
        truth: Query id -> its landmarks.
        gallery_counts: Landmark -> gallery photographs.
    """

    truth: Mapping[str, frozenset[str]]
    gallery_counts: Mapping[str, int]

    def bins(self) -> Int64:
        """Return (Q,) the bin of each query's landmark, ids ascending; -1 for non-landmarks."""
        sizes = [
            max((self.gallery_counts.get(one, 0) for one in self.truth[query]), default=-1)
            for query in sorted(self.truth)
        ]
        return np.where(np.asarray(sizes) < 0, -1, metrics.size_bins(sizes))

    @property
    def num_labelled(self) -> int:
        """Queries that show a landmark."""
        return sum(map(bool, self.truth.values()))


@dataclass(frozen=True)
class Evidence:
    """Scores of one row, or its differences to another.

    Args:
        overall: GAP, GAP- and accuracy, by name.
        gap: GAP of ``sparse`` and ``crowded`` landmarks, and of each bin of sizes.
        accuracy: Top-1 accuracy of the same.
        seeds: Seeds behind the means.
    """

    overall: Mapping[str, Interval]
    gap: Mapping[str, Interval]
    accuracy: Mapping[str, Interval]
    seeds: int

    def to_json(self) -> dict[str, Any]:
        """Return the intervals as plain values."""
        parts = {"gap_by_size": self.gap, "accuracy_by_size": self.accuracy}
        return {
            **{name: one.to_json() for name, one in self.overall.items()},
            **{k: {n: one.to_json() for n, one in v.items()} for k, v in parts.items()},
            "seeds": self.seeds,
        }


@dataclass(frozen=True)
class Findings:
    """Scores of all rows, and differences of those whose reference was tested too.

    Args:
        scores: Row -> scores, means over its seeds.
        changes: Row -> scores less those of its reference.
        num_queries: Of each bin and part, by name: queries that show such a landmark.
    """

    scores: Mapping[str, Evidence]
    changes: Mapping[str, Evidence]
    num_queries: Mapping[str, int] = field(default_factory=dict)


def weigh(
    answers: Mapping[str, Mapping[int, Answers]],
    references: Mapping[str, str],
    question: Question,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Findings:
    """Return what the answers come to.

    Args:
        answers: Row -> seed -> answers to the test queries.
        references: Row -> the row it is compared with, where both were tested.
        question: The queries' truth.
        num_resamples: Behind each interval.
        seed: Of the resamples.
    """
    bins = question.bins()
    seeds = sorted({one for by_seed in answers.values() for one in by_seed})
    judged = {
        (row, one): _Judged(given, question.truth, bins)
        for row, by_seed in answers.items()
        for one, given in by_seed.items()
    }
    rows = list(answers)
    pairs = [(rows.index(row), rows.index(other)) for row, other in references.items()]

    def statistic(counts: Int64 | None) -> Float64:
        blank = np.full(_WIDTH, np.nan)
        measured = {key: one.measure(counts) for key, one in judged.items()}
        table = np.array([[measured.get((row, one), blank) for row in rows] for one in seeds])
        changes = [table[:, row] - table[:, other] for row, other in pairs]  # (R, S) each
        return np.concatenate([table.reshape(len(seeds), -1), *changes], axis=1)

    per_seed = statistic(None)
    samples = bootstrap_runs(
        statistic, bins, rng=np.random.default_rng(seed), num_resamples=num_resamples
    )
    lowest = np.where(np.arange(per_seed.shape[1]) < len(rows) * _WIDTH, 0.0, -1.0)
    found = intervals(mean_over_runs(per_seed), samples.clip(lowest, 1.0))
    evidence = [
        _evidence(found[start : start + _WIDTH], int((~np.isnan(per_seed[:, start])).sum()))
        for start in range(0, per_seed.shape[1], _WIDTH)
    ]
    return Findings(
        dict(zip(rows, evidence, strict=False)),
        dict(zip(references, evidence[len(rows) :], strict=True)),
        _num_queries(bins),
    )


_NAMES = (*PARTS, *(name for name, _ in SIZE_BINS))
_WIDTH = len(OVERALL) + 2 * len(_NAMES)


class _Judged:
    """One row with one seed, judged once; measured under many counts."""

    def __init__(self, answers: Answers, truth: Mapping[str, frozenset[str]], bins: Int64) -> None:
        self.ranking = metrics.rank(answers, truth)
        self.minus = self.ranking.among(self.ranking.labelled)
        self.known = np.flatnonzero(self.ranking.labelled)
        self.known_bins = bins[self.known]
        self.bins = bins

    def measure(self, counts: Int64 | None) -> Float64:
        """Return (S,): :data:`OVERALL`, then GAP and accuracy of parts and bins; NaN if empty."""
        every = np.ones(len(self.bins)) if counts is None else counts.astype(np.float64)
        weights = every[self.known]
        terms = metrics.gap_terms(self.ranking, counts)[self.known]
        right = weights * self.ranking.correct[self.known]
        minus = metrics.gap_terms(self.minus, counts).sum()
        total = weights.sum()
        sizes = self._split(weights)
        with np.errstate(invalid="ignore"):
            return np.concatenate(
                [
                    np.array([terms.sum(), minus, right.sum()]) / total,
                    self._split(terms) / sizes,
                    self._split(right) / sizes,
                ]
            )

    def _split(self, values: Float64) -> Float64:
        """Return the sums over sparse and crowded landmarks, and over each bin."""
        sums = np.bincount(self.known_bins, weights=values, minlength=len(SIZE_BINS))
        parts = [sums[:_SPARSE_BINS].sum(), sums[_SPARSE_BINS:].sum()]
        return np.concatenate([parts, sums])


def _evidence(found: Sequence[Interval | None], seeds: int) -> Evidence:
    def named(names: Sequence[str], start: int) -> dict[str, Interval]:
        pairs = zip(names, found[start : start + len(names)], strict=True)
        return {name: one for name, one in pairs if one is not None}

    first, second = len(OVERALL), len(OVERALL) + len(_NAMES)
    return Evidence(named(OVERALL, 0), named(_NAMES, first), named(_NAMES, second), seeds)


def _num_queries(bins: Int64) -> dict[str, int]:
    per_bin = np.bincount(bins[bins >= 0], minlength=len(SIZE_BINS))
    parts = [per_bin[:_SPARSE_BINS].sum(), per_bin[_SPARSE_BINS:].sum()]
    counts = [int(count) for count in (*parts, *per_bin)]
    return {name: count for name, count in zip(_NAMES, counts, strict=True) if count}
