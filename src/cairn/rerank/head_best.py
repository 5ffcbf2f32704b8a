"""The best image of a landmark and the landmark's head speak together, once each.

``head-sum`` (R4) adds a landmark's hits up, so that a landmark with many photographs wins by their
number. Here each landmark has one image's word and one head's, however many photographs it has.

Legend of shapes: Q queries, G gallery rows, K hits.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from cairn.config.value import Value
from cairn.domain import Int64, Neighbors
from cairn.errors import CairnError
from cairn.rerank.answers import Votes, first_hits
from cairn.rerank.context import Context
from cairn.rerank.head import Head
from cairn.rerank.stage import HITS, VOTES, Kind
from cairn.rerank.voting import best_votes


def add_head_to_best(
    found: Neighbors,
    landmarks: Int64,
    head: Head,
    *,
    num_hits: int = 100,
    head_weight: float = 1.0,
) -> Votes:
    """Return S_c = (best score among the hits of landmark c) + head_weight * head_c.

    It is R4 (Xu et al. 2021, arXiv:2110.02794) with the best hit in place of the hits' sum. With
    the landmarks' mean directions as a head (``centres_of``) it gained more answers on photographs
    than any sum (docs/log.md). A penalty per image comes before it, as ``dense-penalty``.

    Args:
        found: (Q, K) hits.
        landmarks: (G,) codes of the gallery's landmarks.
        head: What the head says.
        num_hits: Hits of a query whose landmarks stand for election.
        head_weight: Of the head's term, at least 0.

    Raises:
        CairnError: The head is of other queries.
    """
    if len(head) != found.num_queries:
        raise CairnError(f"the head is of {len(head)} queries and the hits of {found.num_queries}")
    votes = best_votes(first_hits(found, num_hits), landmarks)
    is_vote = votes.landmarks >= 0
    scores = np.where(is_vote, votes.scores, 0.0) + head_weight * head.scores(votes.landmarks)
    scores = np.where(is_vote, scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")
    return Votes(
        np.take_along_axis(votes.landmarks, order, axis=1),
        np.take_along_axis(scores, order, axis=1),
    )


class HeadBest(Value):
    """Best hit plus head, landmark by landmark; see ``add_head_to_best``."""

    name: ClassVar[str] = "head-best"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = VOTES
    needs: ClassVar[tuple[str, ...]] = ("gallery.landmarks", "queries.head")
    batch: ClassVar[str] = ""
    reach: ClassVar[dict[str, str]] = {}

    num_hits: int = Field(100, ge=1)
    head_weight: float = Field(1.0, ge=0)

    def __call__(self, found: Neighbors, context: Context) -> Votes:
        """Return the votes."""
        assert context.gallery.landmarks is not None
        assert context.queries.head is not None
        return add_head_to_best(
            found,
            context.gallery.landmarks,
            context.queries.head,
            num_hits=self.num_hits,
            head_weight=self.head_weight,
        )
