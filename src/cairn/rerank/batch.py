"""Stages that look at the whole batch of queries: transductive, of no use for one photograph.

They win challenges, whose queries come all at once; a service refuses them.

Legend of shapes: Q queries, K hits, V votes.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from cairn.config.value import Value
from cairn.domain import Neighbors
from cairn.rerank.answers import Votes, ranked
from cairn.rerank.context import Context
from cairn.rerank.stage import HITS, VOTES, Kind


def to_quantiles(found: Neighbors) -> Neighbors:
    """Return hits with their scores as quantiles of all scores in the batch.

    The share of the batch's scores that are lower, plus half of those that are equal: a number in
    (0, 1). The winners of 2020 and 2021 map each model's scores so before they add models up; one
    model's ranking of first hits it leaves as it is.

    Args:
        found: (Q, K) hits.
    """
    known = found.indices >= 0
    scores = found.similarities[known]
    levels, which, counts = np.unique(scores, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - counts / 2
    quantiles = np.full(found.indices.shape, -np.inf)
    quantiles[known] = (middle / max(1, len(scores)))[which] if len(levels) else 0.0
    return ranked(found.indices, quantiles)


def demote(votes: Votes, *, most: int = 20, amount: float | None = None) -> Votes:
    """Return votes in which queries answered by an over-predicted landmark are less sure.

    A landmark that answers more than ``most`` queries of the batch draws whatever has no landmark
    (R3 and R6 of the field: 20 to 30 in GLDv2's 117,577 queries). All scores of the queries that it
    answers are lowered by ``amount``; the answers stay.

    Args:
        votes: (Q, V).
        most: Answers that a landmark may give; at least 1.
        amount: What is taken off; None for as much as puts them below all other answers, in the
            order they had.
    """
    if not votes.landmarks.size:
        return votes
    first = votes.landmarks[:, 0]
    codes, which, counts = np.unique(first, return_inverse=True, return_counts=True)
    is_over = ((counts > most) & (codes >= 0))[which]
    if amount is None:
        scores = votes.scores[first >= 0, 0]
        span = float(scores.max() - scores.min()) if len(scores) else 0.0
        amount = span + max(1.0, span)  # by a gap that no rounding closes
    return Votes(votes.landmarks, votes.scores - np.where(is_over, amount, 0.0)[:, None])


class Quantile(Value):
    """Scores as quantiles of the batch; see ``to_quantiles``."""

    name: ClassVar[str] = "quantile"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = HITS
    needs: ClassVar[tuple[str, ...]] = ()
    batch: ClassVar[str] = "quantiles are those of all queries' scores"

    def __call__(self, found: Neighbors, context: Context) -> Neighbors:
        """Return the hits."""
        return to_quantiles(found)


class Demote(Value):
    """Over-predicted landmarks are less sure; see ``demote``."""

    name: ClassVar[str] = "demote"
    takes: ClassVar[tuple[Kind, ...]] = VOTES
    gives: ClassVar[tuple[Kind, ...]] = VOTES
    needs: ClassVar[tuple[str, ...]] = ()
    batch: ClassVar[str] = "it counts how many queries a landmark answers"

    most: int = Field(20, ge=1)
    amount: float | None = Field(None, ge=0)

    def __call__(self, found: Votes, context: Context) -> Votes:
        """Return the votes."""
        return demote(found, most=self.most, amount=self.amount)
