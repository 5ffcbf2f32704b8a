"""Answers with their scores in full, so that those of parts merge to the answer of the whole.

Legend of shapes: Q queries, K neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Int64, Neighbors
from cairn.errors import CairnError


@dataclass(frozen=True, eq=False)
class TopK:
    """Per query: the rows with the highest scores, best first, equal ones by lower row.

    Args:
        rows: (Q, K) int64 gallery rows; -1 where there are fewer than K.
        scores: (Q, K) float64 inner products plus offsets; -inf where the row is -1.
    """

    rows: Int64
    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.rows.shape != self.scores.shape or self.rows.ndim != 2:
            raise CairnError(
                "answers need (Q, K) rows and (Q, K) scores",
                where=f"{self.rows.shape} and {self.scores.shape}",
            )

    def moved(self, by: int) -> TopK:
        """Return the answer with rows numbered ``by`` higher."""
        return TopK(np.where(self.rows >= 0, self.rows + by, -1), self.scores)

    def neighbors(self) -> Neighbors:
        """Return rows and similarities, in float32."""
        return Neighbors(self.rows, self.scores.astype(np.float32))


def merge(parts: Sequence[TopK], k: int) -> TopK:
    """Return the top ``k`` of answers to the same queries from disjoint rows.

    It is the answer of a search of all the rows at once, in every bit, where each part answered
    with ``k`` rows or all it has.

    Args:
        parts: At least one answer; rows are numbered through all parts.
        k: At least 1; padded where the parts hold fewer rows.

    Raises:
        CairnError: No parts, parts of different queries, or k below 1.
    """
    if not parts or len({len(part.rows) for part in parts}) != 1:
        raise CairnError(
            "answers to merge must be of the same queries",
            where=f"numbers of queries: {[len(part.rows) for part in parts]}",
        )
    if k < 1:
        raise CairnError("k must be at least 1", where=f"k = {k}")
    if len(parts) == 1:  # it is in order
        rows, scores = parts[0].rows[:, :k], parts[0].scores[:, :k]
    else:
        rows = np.concatenate([part.rows for part in parts], axis=1)
        scores = np.concatenate([part.scores for part in parts], axis=1)
        order = np.lexsort((rows, -scores), axis=1)[:, :k]
        rows = np.take_along_axis(rows, order, axis=1)
        scores = np.take_along_axis(scores, order, axis=1)
    if rows.shape[1] == k:
        return TopK(rows, scores)
    missing = ((0, 0), (0, k - rows.shape[1]))
    return TopK(
        np.pad(rows, missing, constant_values=-1), np.pad(scores, missing, constant_values=-np.inf)
    )


def stack(parts: Sequence[TopK]) -> TopK:
    """Return the answers to the queries of all parts, one after the other."""
    rows = np.concatenate([part.rows for part in parts])
    return TopK(rows, np.concatenate([part.scores for part in parts]))
