"""How well a score parts known landmarks from unknown pictures: FPR at a TPR, and OSCR.

A query is known where the gallery has its landmark. AUROC is in :mod:`cairn.metrics`.

Legend of shapes: Q queries, T distinct scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cairn.errors import CairnError

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


def false_positive_rate(known: Bool, scores: Float64, *, tpr: float = 0.95) -> float | None:
    """Return the share of unknown queries that are accepted where ``tpr`` of the known ones are.

    The threshold is the highest score at or above which at least that share of the known queries
    lies; equal scores are accepted together (Liang et al. 2018 report it at 95 %).

    Args:
        known: (Q,) whether the gallery has the query's landmark.
        scores: (Q,) confidences; -inf for a blank, no NaN.
        tpr: In (0, 1].

    Returns:
        The share in [0, 1], or None where one of the two kinds is absent.
    """
    if not 0 < tpr <= 1:
        raise CairnError("a true positive rate lies in (0, 1]", where=tpr)
    positives, negatives = np.sort(scores[known]), scores[~known]
    if not len(positives) or not len(negatives):
        return None
    num_accepted = int(np.ceil(tpr * len(positives) - 1e-9))
    threshold = positives[len(positives) - num_accepted]
    return float((negatives >= threshold).mean())


@dataclass(frozen=True, eq=False)
class OpenSetCurve:
    """Correct classification against false positives, over all thresholds (OSCR).

    Args:
        false_positives: (T + 1,) share of the unknown queries with a score at or above each
            threshold, ascending from 0 to 1.
        correct: (T + 1,) share of the known queries that are answered rightly at or above it.
        thresholds: (T + 1,) descending, the first one above every score.
    """

    false_positives: Float64
    correct: Float64
    thresholds: Float64

    @property
    def area(self) -> float:
        """The area under it, in [0, accuracy]: the trapezoids between thresholds."""
        return float(np.trapezoid(self.correct, self.false_positives))

    @classmethod
    def of(cls, known: Bool, right: Bool, scores: Float64) -> OpenSetCurve | None:
        """Return the curve of Dhamija, Günther and Boult (2018), or None where a kind is absent.

        The area is the chance that a known query is answered rightly and scores above an unknown
        one, equal scores counting half; with every known answer right it is the AUROC.

        Args:
            known: (Q,) whether the gallery has the query's landmark.
            right: (Q,) whether the answer names it.
            scores: (Q,) confidences; -inf for a blank, no NaN.
        """
        num_known = int(known.sum())
        if not 0 < num_known < len(known):
            return None
        levels, level_Q = np.unique(scores, return_inverse=True)
        wrongly = np.bincount(level_Q, weights=~known)[::-1].cumsum() / (len(known) - num_known)
        rightly = np.bincount(level_Q, weights=known & right)[::-1].cumsum() / num_known
        return cls(
            np.concatenate([[0.0], wrongly]),
            np.concatenate([[0.0], rightly]),
            np.concatenate([[np.inf], levels[::-1]]),
        )
