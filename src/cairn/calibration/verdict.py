"""Known or unknown, and how sure: what a calibration says of answers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cairn.calibration.calibration import Calibration
from cairn.calibration.features import Features, features_of
from cairn.domain import Neighbors, Prediction
from cairn.errors import CairnError

_TIE = 1e-6


@dataclass(frozen=True)
class Verdict:
    """What is said of one answer.

    Args:
        landmark_id: The landmark answered, whether it is accepted or not.
        score: Similarity less penalty of the best gallery image, or what the stages gave.
        probability: The calibrated chance that the answer is right.
        is_known: Whether that reaches the threshold; if not, the photograph is taken to show no
            landmark of the gallery.
    """

    landmark_id: str
    score: float
    probability: float
    is_known: bool


def rank_by_chance(predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return predictions whose confidence is their calibrated chance, so that GAP ranks by it.

    The chance knows margin, agreement and size besides the score; on photographs ranking by it was
    worth 0.006 to 0.027 GAP (docs/results.md). Equal chances (isotonic steps, the bounds) are told
    apart by the old confidence s, a function of the one photograph:
    (1 - w) * chance + w / (1 + exp(-s)) with w = 1e-6.

    Args:
        predictions: Of a gallery with a fresh calibration. Those without a landmark stay.

    Raises:
        CairnError: One has a landmark and no chance.
    """
    ranked = []
    for one in predictions:
        if one.landmark_id is not None:
            if one.probability is None:
                raise CairnError(
                    "answers have no chance of being right, so they cannot be ranked by it",
                    where=one.image_id,
                    todo="make a calibration for this gallery: cairn calibrate GALLERY MANIFEST; "
                    "or rank by confidence",
                )
            told = 0.5 * (1.0 + math.tanh(0.5 * one.confidence))
            value = (1 - _TIE) * one.probability + _TIE * told
            one = replace(one, confidence=value)
        ranked.append(one)
    return ranked


def verdicts(
    calibration: Calibration,
    neighbors: Neighbors,
    landmark_ids: Sequence[str],
    *,
    sizes: Mapping[str, int] | None = None,
    false_accept_rate: float | None = None,
) -> list[Verdict]:
    """Return the verdict on every query's answer.

    Args:
        calibration: Of this gallery as it is: see ``cairn.gallery.calibrations.require_fresh``.
        neighbors: (Q, K) with the penalty in the similarities, K as the calibration's features had:
            ``cairn.calibration.NUM_NEIGHBORS``, or the whole gallery where it is smaller.
        landmark_ids: One a gallery row.
        sizes: Gallery photographs by landmark id, where they have been counted already.
        false_accept_rate: The share of unknown pictures that may be accepted; the calibration's own
            by default.

    Raises:
        CairnError: A query has no neighbour, or the rate cannot be told.
    """
    features = features_of(neighbors, landmark_ids, sizes)
    return verdicts_on(calibration, features, false_accept_rate=false_accept_rate)


def verdicts_on(
    calibration: Calibration, features: Features, *, false_accept_rate: float | None = None
) -> list[Verdict]:
    """Return the verdict on every answer of which the features are known.

    Args:
        calibration: Of answers that come the same way.
        features: Of Q answers.
        false_accept_rate: As ``verdicts``.

    Raises:
        CairnError: The rate cannot be told.
    """
    threshold = calibration.threshold(false_accept_rate).value
    chances = calibration.probability(features).tolist()
    rows = zip(features.landmark_ids, features.scores.tolist(), chances, strict=True)
    return [Verdict(one, score, chance, chance >= threshold) for one, score, chance in rows]
