"""How far the figures that part known from unknown would move with other photographs.

AUROC, FPR at 95 % TPR, OSCR and accuracy as :mod:`cairn.calibration.open_set` and
:mod:`cairn.metrics` define them, worked out from counts of each score so that a resample costs a
few sums; the tests hold them to those definitions.

Legend of shapes: Q queries, T distinct scores.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cairn.bootstrap import NUM_RESAMPLES, Interval, bootstrap, intervals
from cairn.calibration.calibration import Judged

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

NAMES = ("auroc", "fpr95", "oscr", "oscr_chance", "accuracy")


def intervals_of(
    judged: Judged, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0
) -> dict[str, Interval | None]:
    """Return the figures of :data:`NAMES` with 95 % bootstrap intervals; None where undefined.

    Known and unknown queries are drawn anew each among themselves, as many as there are: their
    share is nobody's finding. The chances stay as they were fitted.

    Args:
        judged: Validation answers.
        num_resamples: 0 for no bounds.
        seed: Of the draws.
    """
    known, right = judged.known, judged.right
    by_score = np.unique(judged.scores, return_inverse=True)[1]
    by_chance = np.unique(judged.probabilities, return_inverse=True)[1]

    def statistic(counts: Int64 | None) -> Float64:
        copies = np.ones(len(known)) if counts is None else counts.astype(np.float64)
        return _figures(known, right, by_score, by_chance, copies)

    samples = bootstrap(
        statistic,
        known.astype(np.int64),
        rng=np.random.default_rng(seed),
        num_resamples=num_resamples,
    )
    found = intervals(statistic(None), samples)
    return dict(zip(NAMES, found, strict=True))


def _figures(
    known: Bool, right: Bool, by_score: Int64, by_chance: Int64, copies: Float64
) -> Float64:
    num_known, num_unknown = copies[known].sum(), copies[~known].sum()
    accuracy = copies[right].sum() / num_known if num_known else np.nan
    if not num_known or not num_unknown:
        return np.array([np.nan, np.nan, np.nan, np.nan, accuracy])
    highs = np.bincount(by_score, weights=copies * known)
    lows = np.bincount(by_score, weights=copies * ~known)
    above = num_known - np.cumsum(highs) + highs  # (T,) known queries at or above each score
    at = np.flatnonzero(above >= np.ceil(0.95 * num_known - 1e-9))[-1]
    accepted = lows[at:].sum() / num_unknown
    areas = [_area(by_score, copies * known, copies * ~known)]
    areas += [_area(levels, copies * right, copies * ~known) for levels in (by_score, by_chance)]
    pairs = num_known * num_unknown
    auroc, oscr, oscr_chance = (area / pairs for area in areas)
    return np.array([auroc, accepted, oscr, oscr_chance, accuracy])


def _area(levels: Int64, ours: Float64, theirs: Float64) -> float:
    """Return in how many pairs ours scores above theirs, equal scores counting half."""
    mine = np.bincount(levels, weights=ours)
    others = np.bincount(levels, weights=theirs)
    return float((mine * (np.cumsum(others) - others / 2)).sum())
