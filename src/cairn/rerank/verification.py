"""Local features decide between hits that look alike: how many of them agree on one geometry.

A matcher is anything that counts them for two photographs: ``cairn.rerank.local`` has one of
OpenCV's parts; a learned one (SuperPoint with LightGlue, say) is a function of the same kind.

Legend of shapes: Q queries, G gallery rows, K hits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol, TypeVar

import numpy as np
from pydantic import Field

from cairn.config.value import Value
from cairn.domain import Neighbors
from cairn.rerank.answers import ranked
from cairn.rerank.context import Context, Inliers
from cairn.rerank.stage import HITS, Kind

Image = TypeVar("Image", contravariant=True)


class Matcher(Protocol[Image]):
    """Counts what two photographs have in common."""

    def __call__(self, one: Image, other: Image, /) -> int:
        """Return how many local features of both agree on one geometry, at least 0."""
        ...


def inliers_between(
    matcher: Matcher[Image], queries: Sequence[Image], gallery: Sequence[Image]
) -> Inliers:
    """Return what counts inliers of a query and a gallery row, for ``QuerySide.inliers``.

    Args:
        matcher: See ``Matcher``.
        queries: Q photographs, in whatever form the matcher takes.
        gallery: G photographs, one for each row.
    """
    return lambda query, row: matcher(queries[query], gallery[row])


def verify(
    found: Neighbors,
    inliers: Inliers,
    *,
    num_hits: int = 10,
    least: int = 0,
    most: int = 90,
    weight: float = 1.0,
) -> Neighbors:
    """Return the hits by cos + weight * min(inliers, most) / most.

    R3, of the second place of 2020 (``least`` 0, ``most`` 90, weight 1); summed by landmark with
    ``sum_votes(num_hits=3)`` it is theirs whole. Only the first ``num_hits`` hits are matched; the
    others count as without inliers.

    Args:
        found: (Q, K) hits.
        inliers: Counts those of a query and a gallery row.
        num_hits: Hits of a query that are matched.
        least: Fewer inliers than this count as none: some agree by chance.
        most: Inliers beyond this say no more; at least 1.
        weight: At least 0.
    """
    counts = np.zeros(found.indices.shape)
    for query, rows in enumerate(found.indices[:, :num_hits].tolist()):
        counts[query, : len(rows)] = [inliers(query, row) if row >= 0 else 0 for row in rows]
    counts[counts < least] = 0
    scores = found.similarities.astype(np.float64) + weight * np.minimum(counts, most) / most
    return ranked(found.indices, scores)


class Verify(Value):
    """Local features that agree (R3); see ``verify``."""

    name: ClassVar[str] = "verify"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = HITS
    needs: ClassVar[tuple[str, ...]] = ("queries.inliers",)
    batch: ClassVar[str] = ""

    num_hits: int = Field(10, ge=1)
    least: int = Field(0, ge=0)
    most: int = Field(90, ge=1)
    weight: float = Field(1.0, ge=0)

    def __call__(self, found: Neighbors, context: Context) -> Neighbors:
        """Return the hits by similarity and inliers."""
        assert context.queries.inliers is not None
        return verify(
            found,
            context.queries.inliers,
            num_hits=self.num_hits,
            least=self.least,
            most=self.most,
            weight=self.weight,
        )
