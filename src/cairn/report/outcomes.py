"""How answers turned out, as arrays that every figure of a report is worked out from.

A query is *known* where it shows a landmark that the gallery has (where the gallery is not known:
any landmark); all others are *unknown*, and no answer to them is right.

Legend of shapes: Q queries.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Prediction

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The answers of one run, in the order of the predictions.

    Args:
        image_ids: Q ids.
        known: (Q,) see above.
        right: (Q,) whether the answer names a landmark that the query shows.
        scores: (Q,) confidences; -inf for a blank.
        chances: (Q,) calibrated chances of being right, 0 for a blank; None unless every answer has
            one.
        accepted: (Q,) the verdicts known or unknown; None unless every answer has one.
    """

    image_ids: Sequence[str]
    known: Bool
    right: Bool
    scores: Float64
    chances: Float64 | None = None
    accepted: Bool | None = None

    @classmethod
    def of(
        cls,
        predictions: Sequence[Prediction],
        truth: Mapping[str, Collection[str]],
        counts: Mapping[str, int] | None = None,
    ) -> Outcomes:
        """Return how predictions turned out.

        Args:
            predictions: What was said.
            truth: Query id -> landmark ids; empty for a non-landmark.
            counts: Landmark id -> gallery photographs; None or empty where the gallery is unknown.
        """
        shown = [truth[one.image_id] for one in predictions]
        right = np.asarray(
            [one.landmark_id in ids for one, ids in zip(predictions, shown, strict=True)], bool
        )
        known = np.asarray(
            [any(not counts or counts.get(one, 0) > 0 for one in ids) for ids in shown], bool
        )
        answers = [one for one in predictions if one.landmark_id is not None]
        told = bool(answers) and all(one.probability is not None for one in answers)
        judged = told and all(one.is_known is not None for one in answers)
        return cls(
            [one.image_id for one in predictions],
            known | right,
            right,
            np.asarray(
                [-np.inf if one.landmark_id is None else one.confidence for one in predictions],
                np.float64,
            ),
            np.asarray([one.probability or 0.0 if one.landmark_id else 0.0 for one in predictions])
            if told
            else None,
            np.asarray([bool(one.landmark_id and one.is_known) for one in predictions], bool)
            if judged
            else None,
        )

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def answered(self) -> Bool:
        """(Q,) whether anything was answered."""
        return np.isfinite(self.scores)

    @property
    def by(self) -> str:
        """What decides: ``chance`` where answers have one, else ``score``."""
        return "score" if self.chances is None else "chance"

    @property
    def values(self) -> Float64:
        """(Q,) what decides, higher for surer; -inf for a blank."""
        if self.chances is None:
            return self.scores
        return np.where(self.answered, self.chances, -np.inf)
