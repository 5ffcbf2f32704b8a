"""Do stated chances come true: reliability diagram, ECE, Brier score, log loss.

Legend of shapes: Q queries, B bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cairn.bootstrap import Interval
from cairn.errors import CairnError
from cairn.proportions import wilson

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

NUM_BINS = 10
"""Bins of the diagram and of ECE."""

Binning = Literal["mass", "width"]
"""Bins of about as many queries each, or of equal widths over [0, 1]."""


@dataclass(frozen=True)
class Bin:
    """Queries whose chances lie together.

    Args:
        low: The least chance among them.
        high: The highest.
        num_queries: How many.
        probability: Their mean chance: what was said.
        right: The share that was right: what came, with Wilson's 95 % interval, of as many trials
            as the weights are worth.
        weight: What the queries count together; their number where all count alike.
    """

    low: float
    high: float
    num_queries: int
    probability: float
    right: Interval
    weight: float

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return asdict(self)


def reliability_bins(
    probabilities: Float64,
    right: Bool,
    *,
    num_bins: int = NUM_BINS,
    binning: Binning = "mass",
    weights: Float64 | None = None,
) -> list[Bin]:
    """Return the bins of a reliability diagram, lowest chances first; empty bins are left out.

    Bins of equal mass are cut at ranks; a cut through equal chances moves behind the last of them,
    so that one chance is in one bin and there may be fewer bins than asked for. Bins of equal width
    are [0, 1/B), [1/B, 2/B), ..., the last one closed.

    Args:
        probabilities: (Q,) in [0, 1].
        right: (Q,) whether what had that chance came.
        num_bins: B.
        binning: See above.
        weights: (Q,) above 0, how much each query counts; 1 by default. Bins of equal mass have
            about as much weight each.

    Raises:
        CairnError: There is no query, a chance is outside [0, 1], or ``num_bins`` is below 1.
    """
    _check(probabilities, right)
    if num_bins < 1:
        raise CairnError("bins must be at least 1", where=num_bins)
    order = np.argsort(probabilities, kind="stable")
    chances, hits = probabilities[order], right[order]
    counts = np.ones(len(order)) if weights is None else weights[order]
    if binning == "mass":
        before = np.cumsum(counts)
        wanted = np.arange(1, num_bins) * (before[-1] / num_bins)
        cuts = np.searchsorted(before, wanted * (1 - 1e-12)) + 1
        ends = np.searchsorted(chances, chances[np.maximum(cuts, 1) - 1], side="right")
    else:
        ends = np.searchsorted(chances, np.arange(1, num_bins) / num_bins, side="left")
    edges = np.unique(np.concatenate([[0], ends, [len(chances)]]))
    found = []
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        part, count = chances[begin:end], counts[begin:end]
        share = float(np.average(hits[begin:end], weights=count))
        effective = float(count.sum() ** 2 / (count * count).sum())
        found.append(
            Bin(
                float(part[0]),
                float(part[-1]),
                end - begin,
                float(np.average(part, weights=count)),
                wilson(share, effective),
                float(count.sum()),
            )
        )
    return found


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return ECE: the mean over queries of |chance said - share that came| of their bin.

    Naeini et al. (2015) with bins of equal width; with bins of equal mass it depends less on where
    chances crowd (Nguyen and O'Connor 2015). It is never 0 by luck alone: with Q queries in B bins
    even perfect chances have one of about sqrt(B / Q) * 0.4 at chances near 1/2.
    """
    total = sum(one.weight for one in bins)
    return sum(one.weight * abs(one.probability - one.right.value) for one in bins) / total


def brier_score(probabilities: Float64, right: Bool, weights: Float64 | None = None) -> float:
    """Return the mean squared difference of chance and outcome (Brier 1950), in [0, 1].

    ``weights`` (Q,) above 0 say how much each query counts; 1 by default.

    Raises:
        CairnError: There is no query, or a chance is outside [0, 1].
    """
    _check(probabilities, right)
    return float(np.average((probabilities - right) ** 2, weights=weights))


def log_loss(probabilities: Float64, right: Bool, weights: Float64 | None = None) -> float:
    """Return the mean negative logarithm of the chance that was given to what came.

    Infinite where something came that had no chance. ``weights`` as for ``brier_score``.

    Raises:
        CairnError: There is no query, or a chance is outside [0, 1].
    """
    _check(probabilities, right)
    given = np.where(right, probabilities, 1 - probabilities)
    with np.errstate(divide="ignore"):
        return float(-np.average(np.log(given), weights=weights))


def _check(probabilities: Float64, right: Bool) -> None:
    if not len(probabilities) or probabilities.shape != right.shape:
        raise CairnError("chances need queries, and a verdict on each")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise CairnError("chances lie between 0 and 1")
