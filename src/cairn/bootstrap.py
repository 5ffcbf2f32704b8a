"""Bootstrap intervals over queries: how far a score would move with other photographs.

Queries are drawn with replacement WITHIN strata, so that every resample keeps the make-up of the
query set: as many non-landmarks and as many landmark queries (per size of landmark) as were asked.
Those numbers were chosen by whoever built the set, not by chance; drawing them anew would widen the
intervals with a doubt that is not there, and would let M reach 0. Intervals are percentiles of the
resampled values (Efron 1979). :func:`bootstrap` says nothing of another training run;
:func:`bootstrap_runs` does, where there are several. Neither says anything of another gallery.

Legend of shapes: Q queries, B resamples, S statistics, R runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cairn.errors import CairnError

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

Statistic = Callable[[Int64 | None], Float64]
"""(Q,) counts of each query, or None for each once -> (S,) values; NaN where undefined."""

LEVEL = 0.95
NUM_RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """A value and the bounds of its bootstrap interval; the bounds are None without resamples.

    Args:
        value: On the queries as they are.
        low: The lower percentile.
        high: The upper percentile.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise CairnError("an interval's low must not exceed its high", where=self)

    def to_json(self) -> dict[str, float | None]:
        """Return the three numbers by name."""
        return {"value": self.value, "low": self.low, "high": self.high}


def bootstrap(
    statistic: Statistic,
    strata: Int64,
    *,
    rng: np.random.Generator,
    num_resamples: int = NUM_RESAMPLES,
    sizes: Int64 | None = None,
) -> Float64:
    """Return (B, S) the statistic on ``num_resamples`` resamples of the queries.

    A paired comparison is a statistic that takes the difference of two prediction sets under the
    SAME counts: what both find hard then cancels.

    Args:
        statistic: From counts to values.
        strata: (Q,) integers; queries are exchanged within equal ones only.
        rng: Where the draws come from.
        num_resamples: B; 0 returns an empty table.
        sizes: (Q,) how many exchangeable queries each entry stands for; one by default. The
            statistic gets how many of them were drawn.
    """
    if num_resamples < 0:
        raise CairnError("the number of resamples must not be negative", where=num_resamples)
    width = len(statistic(None))
    groups = _members(strata)
    samples = np.empty((num_resamples, width))
    counts = np.zeros(len(strata), dtype=np.int64)
    for row in range(num_resamples):
        for members in groups:
            counts[members] = _draw(len(members), rng, None if sizes is None else sizes[members])
        samples[row] = statistic(counts)
    return samples


def bootstrap_runs(
    statistic: Statistic,
    strata: Int64,
    *,
    rng: np.random.Generator,
    num_resamples: int = NUM_RESAMPLES,
) -> Float64:
    """Return (B, S) means over training runs, in doubt about the queries and about the runs.

    Every run answers the same queries. These are drawn anew as :func:`bootstrap` does. Runs are too
    few for that: means drawn from two or three never leave their range, in which a true mean lies
    with a chance of 1/2 or 3/4 only. So what runs add is taken as normal, with the standard error
    of their mean, and the sum of both doubts gets the tails of Student's t, with the degrees of
    freedom of Welch (1947): R - 1 where runs are the whole doubt, ever more where queries are. With
    one run the queries alone are doubted.

    Columns hold for themselves: differences between two trainings with the same seed belong into a
    column of their own. Samples may leave the range of a score.

    Args:
        statistic: From counts of the queries to (R, S) values, NaN where a run has none.
        strata: (Q,) integers; queries are exchanged within equal ones only.
        rng: Where the draws come from.
        num_resamples: B.
    """
    values_RS = statistic(None)
    samples = bootstrap(
        lambda counts: mean_over_runs(statistic(counts)),
        strata,
        rng=rng,
        num_resamples=num_resamples,
    )
    means = mean_over_runs(values_RS)
    num_runs = (~np.isnan(values_RS)).sum(axis=0)
    squares = np.nansum((values_RS - means) ** 2, axis=0)
    of_runs = squares / np.maximum(num_runs * (num_runs - 1), 1)
    if not num_resamples or not of_runs.any():
        return samples
    doubted = of_runs > 0
    ratio = np.divide(samples.var(axis=0), of_runs, out=np.zeros_like(of_runs), where=doubted)
    freedom = (num_runs - 1) * (1 + ratio) ** 2
    seed = int(rng.integers(2**32))
    for column in np.flatnonzero(doubted):
        draws = np.random.default_rng(seed)  # the same ones, so that equal columns stay equal
        moved = samples[:, column] - means[column]
        moved += np.sqrt(of_runs[column]) * draws.standard_normal(num_resamples)
        tails = np.sqrt(freedom[column] / draws.chisquare(freedom[column], num_resamples))
        samples[:, column] = means[column] + moved * tails
    return samples


def mean_over_runs(values_RS: Float64) -> Float64:
    """Return (S,) the mean of each column over the runs that have it; NaN where none has."""
    known = ~np.isnan(values_RS)
    with np.errstate(invalid="ignore"):
        means: Float64 = np.where(known, values_RS, 0.0).sum(axis=0) / known.sum(axis=0)
    return means


def intervals(values: Float64, samples: Float64, *, level: float = LEVEL) -> list[Interval | None]:
    """Return per statistic its value with the central ``level`` of its samples; None where NaN.

    Args:
        values: (S,) on the queries as they are.
        samples: (B, S) of :func:`bootstrap`; with B = 0 the bounds are None.
        level: The share of resamples inside, in (0, 1).
    """
    if not 0 < level < 1:
        raise CairnError("the level of an interval lies between 0 and 1", where=level)
    found: list[Interval | None] = []
    for value, column in zip(values, samples.T, strict=True):
        column = column[~np.isnan(column)]
        if np.isnan(value):
            found.append(None)
        elif len(column):
            low, high = np.quantile(column, [(1 - level) / 2, (1 + level) / 2])
            found.append(Interval(float(value), float(low), float(high)))
        else:
            found.append(Interval(float(value)))
    return found


def chance_of_difference(differences: Float64) -> float:
    """Return the two-sided p value of paired differences: how readily resamples cross 0.

    Twice the smaller share of resamples on either side of 0, a resample at 0 being on both (the
    level at which the percentile interval just reaches 0; Efron and Tibshirani 1993, ch. 15), with
    one further resample counted on each side, so that it is never below 2 / (B + 1).

    Args:
        differences: (B,) of :func:`bootstrap`; NaN is left out. With none left it is 1.
    """
    known = differences[~np.isnan(differences)]
    if not len(known):
        return 1.0
    less = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (less + 1) / (len(known) + 1))


def holm(chances: Sequence[float]) -> list[float]:
    """Return p values corrected for their number (Holm 1979), in the order given.

    Those at or below a level are jointly significant at it: the chance of even one false discovery
    among all of them is at most that level, whatever depends on what.

    Args:
        chances: p values in [0, 1].
    """
    count = len(chances)
    corrected = [0.0] * count
    highest = 0.0
    for place, row in enumerate(sorted(range(count), key=lambda one: chances[one])):
        highest = max(highest, min(1.0, (count - place) * chances[row]))
        corrected[row] = highest
    return corrected


def _members(strata: Int64) -> list[Int64]:
    return [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]


def _draw(size: int, rng: np.random.Generator, sizes: Int64 | None = None) -> Int64:
    if sizes is not None and int(sizes.max()) > 1:
        total = int(sizes.sum())
        return rng.multinomial(total, sizes / total).astype(np.int64)
    return np.bincount(rng.integers(0, size, size), minlength=size).astype(np.int64)
