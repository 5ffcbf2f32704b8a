"""Scores of a prediction set: intervals, by size of landmark, before and after a change.

The GAP of a size bin is that bin's share of the one ranking: (1/M_bin) * sum of P(i) rel(i) over
the bin's queries, where P(i) is the precision among ALL predictions ranked above, non-landmarks and
other bins included. Weighted by their queries the bins add up to GAP exactly. Ranking each bin
alone beside every non-landmark would instead make small bins look poor for being small: fewer
possible hits, as many distractors.

A query's size is the number of gallery photographs of its landmark (of the largest, where it shows
several). Knows nothing of files or pictures.

Legend of shapes: Q queries, S statistics, B resamples, Z size bins.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cairn import metrics
from cairn.bootstrap import NUM_RESAMPLES, Interval, bootstrap, intervals
from cairn.errors import CairnError
from cairn.metrics import SIZE_BINS
from cairn.scores import BIN_SCORES, SCORES, Report, Retrieval, SizeBin

__all__ = ["Report", "Resampled", "Retrieval", "SizeBin", "evaluate", "resample"]

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


def evaluate(
    predictions: Mapping[str, tuple[str, float] | None],
    truth: Mapping[str, Collection[str]],
    *,
    before: Mapping[str, tuple[str, float] | None] | None = None,
    gallery_counts: Mapping[str, int] | None = None,
    retrieval: Retrieval | None = None,
    retrieval_before: Retrieval | None = None,
    ignore_unlabelled: bool = False,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Report:
    """Return the report of ``predictions`` against ``truth``.

    Args:
        predictions: Query id -> (landmark id, score); missing or None is a blank.
        truth: Query id -> landmark ids; empty for a non-landmark.
        before: Another prediction set on the same queries, to compare with (say, without penalty).
        gallery_counts: Landmark id -> gallery photographs; gives the scores by size.
        retrieval: Ranked lists of the queries, for mAP@100.
        retrieval_before: Those of ``before``.
        ignore_unlabelled: Drop the non-landmark queries first.
        num_resamples: Bootstrap resamples behind each interval; 0 leaves intervals out.
        seed: Of the resamples.

    Raises:
        CairnError: As :func:`cairn.metrics.rank` and :func:`cairn.metrics.average_precisions`.
    """
    if ignore_unlabelled:
        labelled = {query: landmarks for query, landmarks in truth.items() if landmarks}
        dropped = truth.keys() - labelled.keys()
        predictions = {i: answer for i, answer in predictions.items() if i not in dropped}
        before = before and {i: answer for i, answer in before.items() if i not in dropped}
        truth = labelled
    ranking = metrics.rank(predictions, truth)
    bins = _bins(ranking.image_ids, truth, gallery_counts)
    after = _Measured(ranking, bins, _precisions(ranking, retrieval))
    earlier = None
    if before is not None:
        old = metrics.rank(before, truth)
        earlier = _Measured(old, bins, _precisions(old, retrieval_before))

    sets = [after] if earlier is None else [after, earlier]
    values = np.concatenate([one.measure(None) for one in sets])
    samples = _samples(sets, num_resamples, seed) if num_resamples else np.empty((0, len(values)))
    width = after.width
    report = _report(after, values[:width], samples[:, :width], truth, gallery_counts)
    if earlier is None:
        return report
    told = _report(earlier, values[width:], samples[:, width:], truth, gallery_counts)
    change = intervals(values[:width] - values[width:], samples[:, :width] - samples[:, width:])
    named = {name: one for name, one in zip(SCORES, change, strict=False) if one is not None}
    return replace(report, before=told, change=named)


@dataclass(frozen=True, eq=False)
class Resampled:
    """What several prediction sets measure on the same queries, and on the same resamples of them.

    Args:
        reports: R of them, each with intervals of its own.
        rankings: R of them.
        names: S names of the columns: :data:`SCORES`, then ``<score>/<size>`` of each bin.
        values: (R, S) on the queries as they are; NaN where undefined.
        samples: (B, R, S) on resamples: differences between rows of one are paired.
    """

    reports: tuple[Report, ...]
    rankings: tuple[metrics.Ranking, ...]
    names: tuple[str, ...]
    values: Float64
    samples: Float64


def resample(
    runs: Sequence[Mapping[str, tuple[str, float] | None]],
    truth: Mapping[str, Collection[str]],
    *,
    gallery_counts: Mapping[str, int] | None = None,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
) -> Resampled:
    """Return what several prediction sets measure, for paired comparisons.

    Args:
        runs: Query id -> (landmark id, score) of each; missing or None is a blank.
        truth: Query id -> landmark ids; empty for a non-landmark.
        gallery_counts: Landmark id -> gallery photographs; gives the scores by size.
        num_resamples: B.
        seed: Of the resamples.

    Raises:
        CairnError: As :func:`cairn.metrics.rank`.
    """
    rankings = [metrics.rank(one, truth) for one in runs]
    bins = _bins(rankings[0].image_ids, truth, gallery_counts)
    sets = [_Measured(one, bins, _precisions(one, None)) for one in rankings]
    values = np.stack([one.measure(None) for one in sets])
    shape = (num_resamples, *values.shape)
    samples = _samples(sets, num_resamples, seed) if num_resamples else np.empty(shape)
    samples = samples.reshape(shape)
    reports = tuple(
        _report(one, values[row], samples[:, row], truth, gallery_counts)
        for row, one in enumerate(sets)
    )
    by_size = (f"{score}/{size}" for score in BIN_SCORES for size, _ in SIZE_BINS)
    return Resampled(reports, tuple(rankings), (*SCORES, *by_size), values, samples)


class _Measured:
    """One prediction set judged, with what every resample shares computed once."""

    def __init__(self, ranking: metrics.Ranking, bins: Int64, precisions: Float64) -> None:
        self.ranking = ranking
        self.minus = self.ranking.among(self.ranking.labelled)
        self.level: Int64 = np.unique(self.ranking.scores, return_inverse=True)[1]
        self.bins = bins
        self.known = np.flatnonzero(self.ranking.labelled)
        self.precisions = precisions
        self.width = len(SCORES) + len(BIN_SCORES) * len(SIZE_BINS)

    def places(self) -> Int64:
        """Return (Q,) numbers that are equal for non-landmarks which no score tells apart.

        Those are: between the same two landmark queries in the ranking, and as sure as, or less
        sure than, the same ones (at equal scores ids decide the rank, but not the AUROC).
        """
        ranking = self.ranking
        place = np.full(len(ranking.labelled), -1, dtype=np.int64)
        place[ranking.order] = np.cumsum(ranking.labelled[ranking.order])
        marked = np.zeros(int(self.level.max(initial=-1)) + 1, dtype=np.int64)
        marked[self.level[self.known]] = 1
        level = 2 * np.cumsum(marked)[self.level] - marked[self.level]
        return _paired(place + 1, level)

    def few(self, rows: Int64) -> _Measured:
        """Return what is left with some of the queries."""
        return _Measured(self.ranking.take(rows), self.bins[rows], self.precisions[rows])

    def measure(self, weights: Int64 | None) -> Float64:
        """Return (S,): :data:`SCORES`, then Z values for each of :data:`BIN_SCORES`."""
        ranking = self.ranking
        counts = np.ones(len(self.bins), dtype=np.int64) if weights is None else weights
        found = ~np.isnan(self.precisions)
        area = metrics.auroc_of_levels(ranking.labelled, self.level, weights)
        sums = (
            metrics.gap_terms(ranking, weights),
            metrics.gap_terms(self.minus, weights),
            counts * ranking.correct,
            counts * np.where(found, self.precisions, 0.0),
        )
        per_bin = [self._per_bin(one) for one in sums]
        sizes = [self._per_bin(counts * ranking.labelled)] * 3 + [self._per_bin(counts * found)]
        with np.errstate(invalid="ignore"):
            gap, minus, right, listed = (
                one.sum() / size.sum() for one, size in zip(per_bin, sizes, strict=True)
            )
            by_bin = [one / size for one, size in zip(per_bin, sizes, strict=True)]
        overall = [gap, minus, right, np.nan if area is None else area, listed]
        return np.concatenate([overall, *by_bin])

    def auroc_of_bin(self, number: int) -> float | None:
        """Return the AUROC of one bin's queries against the non-landmarks."""
        mine = self.bins == number
        return metrics.auroc_of_levels(
            self.ranking.labelled, self.level, (mine | ~self.ranking.labelled).astype(np.int64)
        )

    def _per_bin(self, values: NDArray[Any]) -> Float64:
        # Only landmark queries have a bin, and in the field they are a fiftieth of all.
        chosen = values[self.known]
        sums = np.bincount(self.bins[self.known], weights=chosen, minlength=len(SIZE_BINS))
        return sums.astype(np.float64)


def _samples(sets: Sequence[_Measured], num_resamples: int, seed: int) -> Float64:
    """Return (B, S) what the prediction sets measure on resamples of their queries, side by side.

    Non-landmarks only push others down, so those in one place, in every set, are exchangeable: a
    resample draws how many of each place there are, and costs what the landmark queries cost, a
    fiftieth of all in the field.
    """
    first, sizes = _alike(sets)
    few = [one.few(first) for one in sets]

    def statistic(weights: Int64 | None) -> Float64:
        counts = sizes if weights is None else weights
        return np.concatenate([one.measure(counts) for one in few])

    rng = np.random.default_rng(seed)
    return bootstrap(statistic, few[0].bins, sizes=sizes, rng=rng, num_resamples=num_resamples)


def _alike(sets: Sequence[_Measured]) -> tuple[Int64, Int64]:
    """Return (A,) one query of each kind that nothing tells apart, and (A,) how many there are."""
    kind = sets[0].places()
    for one in sets[1:]:
        kind = _paired(kind, one.places())
    labelled = sets[0].ranking.labelled
    kind = np.where(labelled, -1 - np.arange(len(labelled)), kind)  # each its own
    _, first, sizes = np.unique(kind, return_index=True, return_counts=True)
    return first.astype(np.int64), sizes.astype(np.int64)


def _paired(one: Int64, two: Int64) -> Int64:
    """Return (Q,) numbers from 0 that are equal where both of two are; these are not negative."""
    numbers: Int64 = np.unique(one * (int(two.max(initial=0)) + 1) + two, return_inverse=True)[1]
    return numbers


def _bins(
    image_ids: Sequence[Any], truth: Mapping[str, Collection[str]], counts: Mapping[str, int] | None
) -> Int64:
    """Return (Q,) each query's bin number, ids ascending; -1 for non-landmarks.

    Without counts every landmark query is of bin 0.
    """
    sizes = np.full(len(image_ids), -1, dtype=np.int64)
    for row, query in enumerate(image_ids):
        if landmarks := truth[query]:
            sizes[row] = 0 if counts is None else max(counts.get(one, 0) for one in landmarks)
    return np.where(sizes < 0, -1, metrics.size_bins(sizes))


def _precisions(ranking: metrics.Ranking, retrieval: Retrieval | None) -> Float64:
    """Return (Q,) average precision per query; NaN where the query has nothing to find."""
    values = np.full(len(ranking.image_ids), np.nan)
    if retrieval is not None:
        place = {query: row for row, query in enumerate(ranking.image_ids)}
        unknown = next((query for query in retrieval.relevant if query not in place), None)
        if unknown is not None:
            raise CairnError("retrieval truth is for an unknown query", where=unknown)
        lists = {query: retrieval.lists.get(query, ()) for query in retrieval.relevant}
        rows = [place[query] for query in sorted(retrieval.relevant)]
        values[rows] = metrics.average_precisions(lists, retrieval.relevant)
    return values


def _report(
    measured: _Measured,
    values: Float64,
    samples: Float64,
    truth: Mapping[str, Collection[str]],
    counts: Mapping[str, int] | None,
) -> Report:
    found = intervals(values, samples)
    ranking = measured.ranking
    return Report(
        {name: one for name, one in zip(SCORES, found, strict=False) if one is not None},
        num_queries=len(ranking.image_ids),
        num_labelled=ranking.num_labelled,
        num_answered=len(ranking.order),
        by_size=() if counts is None else _by_size(measured, found, truth),
        num_resamples=len(samples),
    )


def _by_size(
    measured: _Measured, found: Sequence[Interval | None], truth: Mapping[str, Collection[str]]
) -> tuple[SizeBin, ...]:
    queries = np.asarray(sorted(truth), dtype=object)
    entries = []
    for number, (name, _) in enumerate(SIZE_BINS):
        mine = measured.bins == number
        if not mine.any():
            continue
        places = {
            score: found[len(SCORES) + row * len(SIZE_BINS) + number]
            for row, score in enumerate(BIN_SCORES)
        }
        entries.append(
            SizeBin(
                name,
                num_landmarks=len({one for query in queries[mine] for one in truth[query]}),
                num_queries=int(mine.sum()),
                scores={score: one for score, one in places.items() if one is not None},
                auroc=measured.auroc_of_bin(number),
            )
        )
    return tuple(entries)
