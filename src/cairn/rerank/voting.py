"""Hits to votes: what the hits of a landmark come to.

Legend of shapes: Q queries, G gallery rows, K hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from cairn.config.value import Value
from cairn.domain import Int64, Neighbors
from cairn.errors import CairnError
from cairn.rerank.answers import Float64, Votes, first_hits, tally
from cairn.rerank.context import Context
from cairn.rerank.stage import HITS, VOTES, Kind

LEAST = 1e-12
"""Where logarithms are taken, similarities below this count as this."""


def best_votes(found: Neighbors, landmarks: Int64) -> Votes:
    """Return S_c = the highest score among the hits of landmark c: the answer of the nearest.

    Args:
        found: (Q, K) hits.
        landmarks: (G,) codes of the gallery's landmarks.
    """
    return tally(landmarks_of(found, landmarks), _wide(found), "best")


def sum_votes(
    found: Neighbors, landmarks: Int64, *, num_hits: int | None = None, power: float = 1.0
) -> Votes:
    """Return S_c = sum over the first ``num_hits`` hits of landmark c of score^power.

    With ``num_hits`` 3 and power 1 it sums as the winners of 2020 and 2021 do (R1); with 5 and 8 it
    is the nearest-neighbour part of the third place of 2020 (Ha et al., arXiv:2010.05350). Scores
    below 0 count as 0 where power is not 1.

    Args:
        found: (Q, K) hits.
        landmarks: (G,) codes of the gallery's landmarks.
        num_hits: Hits of a query that count, whatever their landmarks; None for all.
        power: Greater than 0.
    """
    found = first_hits(found, num_hits or found.k)
    values = _wide(found)
    if power != 1.0:
        values = np.maximum(values, 0.0) ** power
    return tally(landmarks_of(found, landmarks), values, "sum")


def pool_votes(parts: Sequence[Votes], weights: Sequence[float] | None = None) -> Votes:
    """Return S_c = sum over models of weight * the model's score of landmark c.

    So the winners of 2020 and 2021 put models together. A landmark that a model has no vote for
    gets nothing from it, so scores should not be below 0, nor logarithms.

    Args:
        parts: Votes of each model on the same queries, with the same codes of landmarks.
        weights: One a model; 1 for each by default.

    Raises:
        CairnError: Models of different queries, none, or not one weight for each.
    """
    weights = [1.0] * len(parts) if weights is None else weights
    if len({part.num_queries for part in parts}) != 1 or len(weights) != len(parts):
        raise CairnError(
            "votes to pool must be of the same queries, with a weight for each model",
            where=f"queries: {[part.num_queries for part in parts]}, {len(weights)} weights",
        )
    landmarks = np.concatenate([part.landmarks for part in parts], axis=1)
    scores = [
        weight * np.where(part.landmarks >= 0, part.scores, 0.0)
        for part, weight in zip(parts, weights, strict=True)
    ]
    return tally(landmarks, np.concatenate(scores, axis=1), "sum")


def landmarks_of(found: Neighbors, landmarks: Int64) -> Int64:
    """Return (Q, K) codes of the hits' landmarks; -1 where there is no hit."""
    codes: Int64 = np.where(found.indices >= 0, landmarks[np.maximum(found.indices, 0)], -1)
    return codes


def _wide(found: Neighbors) -> Float64:
    """Return scores in float64, 0 where there is no hit."""
    return np.where(found.indices >= 0, found.similarities, 0.0).astype(np.float64)


class BestVote(Value):
    """The best hit of each landmark speaks for it; see ``best_votes``."""

    name: ClassVar[str] = "best-vote"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = VOTES
    needs: ClassVar[tuple[str, ...]] = ("gallery.landmarks",)
    batch: ClassVar[str] = ""

    def __call__(self, found: Neighbors, context: Context) -> Votes:
        """Return the votes."""
        assert context.gallery.landmarks is not None
        return best_votes(found, context.gallery.landmarks)


class SumVotes(Value):
    """The hits of each landmark add up; see ``sum_votes``."""

    name: ClassVar[str] = "sum-votes"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = VOTES
    needs: ClassVar[tuple[str, ...]] = ("gallery.landmarks",)
    batch: ClassVar[str] = ""

    num_hits: int | None = Field(3, ge=1)
    power: float = Field(1.0, gt=0)

    def __call__(self, found: Neighbors, context: Context) -> Votes:
        """Return the votes."""
        assert context.gallery.landmarks is not None
        return sum_votes(found, context.gallery.landmarks, num_hits=self.num_hits, power=self.power)
