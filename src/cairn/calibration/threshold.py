"""The threshold that keeps unknown pictures out, for a stated share of them at most.

Legend of shapes: U unknown queries.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cairn.bootstrap import Interval
from cairn.errors import CairnError
from cairn.proportions import clopper_pearson

Float64 = NDArray[np.float64]

By = Literal["chance", "score"]
"""What a threshold is laid on."""


@dataclass(frozen=True)
class Threshold:
    """Answers at or above ``value`` are accepted as known.

    Args:
        value: A chance of being right or a score, as ``by`` says.
        by: ``chance``, or ``score``: similarity less penalty of the best gallery image, as
            ``cairn recognize`` reports it.
        false_accept_rate: The share of unknown pictures that may be accepted.
        accepted_unknown: The share of the validation's unknown queries that is, with its exact
            95 % interval (Clopper and Pearson 1934).
        accepted_right: The share of the right answers that is accepted, likewise.
    """

    value: float
    by: By
    false_accept_rate: float
    accepted_unknown: Interval
    accepted_right: Interval

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return asdict(self)


def num_needed(false_accept_rate: float) -> int:
    """Return how many unknown queries a threshold for that rate needs at least."""
    return max(1, math.ceil(1 / false_accept_rate - 1 - 1e-9))


def require_unknown(num_unknown: int, false_accept_rate: float) -> None:
    """Refuse a validation that cannot say how unknown pictures score.

    Raises:
        CairnError: It has no unknown query, or too few for the rate.
    """
    if not num_unknown:
        raise CairnError(
            "no query is unknown to the gallery, so nothing is learned of unknown pictures: "
            "a validation without them misleads",
            todo="add queries that show no landmark of the gallery, with an empty landmark_id",
        )
    require_enough(num_unknown, false_accept_rate)


def require_enough(num_unknown: int, false_accept_rate: float) -> None:
    """Refuse a rate that so few unknown queries cannot tell.

    Raises:
        CairnError: The rate is not in (0, 1), or there are too few.
    """
    if not 0 < false_accept_rate < 1:
        raise CairnError("a false-accept rate lies between 0 and 1", where=false_accept_rate)
    least = num_needed(false_accept_rate)
    if num_unknown < least:
        raise CairnError(
            f"a false-accept rate of {_percent(false_accept_rate)} cannot be told from "
            f"{num_unknown} unknown queries; at least {least} are needed",
            todo="add queries that show no landmark of the gallery, or state a rate of at least "
            f"{_percent(math.ceil(1e4 / (num_unknown + 1)) / 1e4)}"
            if num_unknown
            else "add queries that show no landmark of the gallery",
        )


def threshold_for(
    unknown_scores: Float64,
    right_scores: Float64,
    false_accept_rate: float,
    *,
    by: By = "score",
) -> Threshold:
    """Return the lowest threshold at which so few unknown pictures are expected to be accepted.

    It lies just above the j-th highest of the U unknown scores, j = floor(rate * (U + 1)). Of a
    further picture of the same kind, the chance of a higher score is then at most j / (U + 1),
    whatever the scores' distribution (Vovk et al. 2005; Papadopoulos et al. 2002).

    Args:
        unknown_scores: (U,) scores, or chances, of queries that show no landmark of the gallery.
        right_scores: Of right answers, to say what the threshold costs.
        false_accept_rate: In (0, 1).
        by: What the values are.

    Raises:
        CairnError: There are too few unknown queries for that rate.
    """
    require_enough(len(unknown_scores), false_accept_rate)
    allowed = math.floor(false_accept_rate * (len(unknown_scores) + 1) + 1e-9)
    rejected = np.sort(unknown_scores)[len(unknown_scores) - allowed]
    value = float(np.nextafter(rejected, np.inf))
    return Threshold(
        value,
        by,
        false_accept_rate,
        _accepted(unknown_scores, value),
        _accepted(right_scores, value),
    )


def _accepted(scores: Float64, threshold: float) -> Interval:
    if not len(scores):
        return Interval(0.0, 0.0, 1.0)
    return clopper_pearson(int((scores >= threshold).sum()), len(scores))


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
