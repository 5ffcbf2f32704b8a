"""A confidence that knows of the landmarks that were not seen among the hits (Met).

Legend of shapes: Q queries, V votes of a query.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from cairn.config.value import Value
from cairn.errors import CairnError
from cairn.rerank.answers import Votes
from cairn.rerank.context import Context
from cairn.rerank.stage import VOTES, Kind


def soften(votes: Votes, num_landmarks: int, *, temperature: float = 50.0) -> Votes:
    """Return log of exp(t s_c) / (sum over voted landmarks of exp(t s_c) + unseen).

    The classifier of the Met dataset (Ypsilantis et al. 2021): s_c is the best similarity of
    landmark c among the K nearest images (``best_votes``), below 0 taken as 0; ``unseen`` is the
    number of landmarks without a vote, each worth exp(0). K and t are tuned on validation GAP.

    Scores are logarithms, exp gives Met's confidence: near 1 that has no room left to tell sure
    answers apart, and they would tie.

    Args:
        votes: (Q, V) of the best hits.
        num_landmarks: Of the whole gallery.
        temperature: t, greater than 0.

    Raises:
        CairnError: There are more landmarks voted for than in the gallery.
    """
    cast = votes.landmarks >= 0
    num_unseen = num_landmarks - cast.sum(axis=1)
    if (num_unseen < 0).any():
        raise CairnError(
            f"a query has votes for {int(cast.sum(axis=1).max())} landmarks of {num_landmarks}"
        )
    if not votes.landmarks.shape[1]:
        return votes
    values = np.where(cast, temperature * np.maximum(votes.scores, 0.0), -np.inf)
    with np.errstate(divide="ignore"):
        unseen = np.log(num_unseen.astype(np.float64))
    # Of the first: log(1 + the rest / its own), which stays exact where the rest all but vanishes.
    highest = np.maximum(values[:, 0], 0.0)
    rest = np.exp(values[:, 1:] - highest[:, None]).sum(axis=1) + np.exp(unseen - highest)
    whole = highest + np.log(np.exp(values[:, 0] - highest) + rest)
    scores = values - whole[:, None]
    with np.errstate(over="ignore"):
        scores[:, 0] = -np.log1p(rest * np.exp(highest - values[:, 0]))
    return Votes(votes.landmarks, np.where(cast, scores, -np.inf))


class SoftConfidence(Value):
    """Met's confidence; see ``soften``. Scores are logarithms."""

    name: ClassVar[str] = "soft-confidence"
    takes: ClassVar[tuple[Kind, ...]] = VOTES
    gives: ClassVar[tuple[Kind, ...]] = VOTES
    needs: ClassVar[tuple[str, ...]] = ("gallery.landmarks",)
    batch: ClassVar[str] = ""

    temperature: float = Field(50.0, gt=0)

    def __call__(self, found: Votes, context: Context) -> Votes:
        """Return the votes with softened confidences."""
        return soften(found, context.gallery.num_landmarks, temperature=self.temperature)
