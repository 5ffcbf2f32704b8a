"""How good a calibration is: its figures on validation answers, as values and as lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from cairn.bootstrap import Interval
from cairn.calibration.calibration import Calibration, Judged
from cairn.calibration.doubt import intervals_of
from cairn.calibration.open_set import OpenSetCurve, false_positive_rate
from cairn.calibration.reliability import (
    brier_score,
    calibration_error,
    log_loss,
    reliability_bins,
)
from cairn.calibration.threshold import By
from cairn.metrics import auroc, auroc_of_levels


def figures(judged: Judged) -> dict[str, float | None]:
    """Return the figures of judged answers; None where known or unknown queries are absent.

    ``ece`` is over bins of equal mass, ``ece_width`` over bins of equal width; ``brier`` and
    ``log_loss`` are of the chances. Of the scores: ``auroc`` and ``fpr95`` (the share of unknown
    queries accepted where 95 % of the known ones are) part known from unknown, ``oscr`` is the area
    under correct classification against false positives, ``accuracy`` the share of the known
    queries answered rightly. ``oscr_chance`` is that area by chances, and ``auroc_right`` parts
    right answers from all others by them. The first four and the last are at the share of known
    queries that the chances are for; the others do not depend on it.
    """
    chances, right, weights = judged.probabilities, judged.right, judged.weights
    curve = OpenSetCurve.of(judged.known, right, judged.scores)
    by_chance = OpenSetCurve.of(judged.known, right, chances)
    num_known = int(judged.known.sum())
    return {
        "ece": calibration_error(reliability_bins(chances, right, weights=weights)),
        "ece_width": calibration_error(
            reliability_bins(chances, right, binning="width", weights=weights)
        ),
        "brier": brier_score(chances, right, weights),
        "log_loss": log_loss(chances, right, weights),
        "auroc": auroc(judged.known, judged.scores),
        "auroc_right": _auroc_right(judged),
        "fpr95": false_positive_rate(judged.known, judged.scores),
        "oscr": None if curve is None else curve.area,
        "oscr_chance": None if by_chance is None else by_chance.area,
        "accuracy": float(right.sum() / num_known) if num_known else None,
    }


def report(calibration: Calibration) -> dict[str, Any]:
    """Return all that is told of a calibration, as JSON values."""
    judged = calibration.judged
    bins = reliability_bins(judged.probabilities, judged.right, weights=judged.weights)
    doubts = intervals_of(judged)
    return {
        "num_queries": len(judged),
        "num_known": len(judged) - judged.num_unknown,
        "num_unknown": judged.num_unknown,
        "method": calibration.chance.method,
        "losses": dict(calibration.losses),
        "known_share": judged.known_share,
        **figures(judged),
        "intervals": {name: one and [one.low, one.high] for name, one in doubts.items()},
        "threshold": calibration.threshold().to_json(),
        "threshold_on_score": calibration.threshold(by="score").to_json(),
        "reliability": [one.to_json() for one in bins],
    }


def table(calibration: Calibration) -> str:
    """Return the figures as aligned lines for a person."""
    judged, found = calibration.judged, figures(calibration.judged)
    doubts = intervals_of(judged)
    names = {
        "ece": "ECE, bins of equal mass",
        "ece_width": "ECE, bins of equal width",
        "brier": "Brier score",
        "log_loss": "log loss",
        "auroc": "AUROC known/unknown",
        "fpr95": "FPR at 95 % TPR",
        "oscr": "OSCR, area",
        "oscr_chance": "OSCR, area, by chance",
        "accuracy": "accuracy on known",
    }
    lines = [
        f"{len(judged)} queries, {judged.num_unknown} of them unknown to the gallery; "
        f"chances by {calibration.chance.method}, on queries they were not fitted on",
        *(
            [f"chances are for {100 * judged.known_share:.4g} % known queries in service"]
            if judged.known_share is not None
            else []
        ),
        *(
            f"{title:<26}{found[name]:8.4f}{_bounds(doubts.get(name))}"
            for name, title in names.items()
        ),
    ]
    kinds: tuple[By, ...] = ("chance", "score")
    for by in kinds:
        at = calibration.threshold(by=by)
        lines += [
            f"{f'threshold on {by}':<26}{at.value:8.4f}",
            f"{'  unknown accepted':<26}{_share(at.accepted_unknown)} "
            f"(asked: at most {100 * at.false_accept_rate:.4g} %)",
            f"{'  right answers accepted':<26}{_share(at.accepted_right)}",
        ]
    return "\n".join(lines)


def _bounds(interval: Interval | None) -> str:
    """Return a bootstrap interval in brackets, or nothing."""
    if interval is None or interval.low is None:
        return ""
    return f"  [{interval.low:.4f}, {interval.high:.4f}]"


def _auroc_right(judged: Judged) -> float | None:
    """Return the chance that a right answer is surer than another, at the share of known ones."""
    levels = np.unique(judged.probabilities, return_inverse=True)[1]
    return auroc_of_levels(judged.right, levels, judged.weights)


def _share(interval: Interval) -> str:
    low, high = (100 * (bound or 0.0) for bound in (interval.low, interval.high))
    return f"{100 * interval.value:7.2f} %  [{low:.2f} %, {high:.2f} %]"
