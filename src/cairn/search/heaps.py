"""The best rows so far of all queries, kept while slabs of a gallery pass by.

Legend of shapes: T parts of the gallery that are scanned apart, Q queries, K neighbours.
"""

from __future__ import annotations

import numpy as np

from cairn.domain import Float32
from cairn.search.candidates import Float64, Lists, capacity, put_in_order
from cairn.search.topk import TopK, merge
from cairn.search.workers import Workers


class Heaps:
    """Heaps of K rows for each part and query.

    Args:
        num_parts: T; each has heaps of its own, so that threads do not meet.
        num_queries: Q.
        k: K.

    Attributes:
        least_Q: (Q,) float64 scores below which no row is wanted.
    """

    def __init__(self, num_parts: int, num_queries: int, k: int) -> None:
        shape = (num_parts, num_queries, k)
        self._scores_TQK = np.full(shape, -np.inf)
        self._rows_TQK = np.full(shape, -1, dtype=np.int64)
        self._sizes_TQ = np.zeros(shape[:2], dtype=np.int64)
        self.least_Q = np.full(num_queries, -np.inf)

    def lists(
        self,
        part: int,
        queries: slice,
        leans_Q: Float32 | None = None,
        *,
        room: int | None = None,
    ) -> Lists:
        """Return the heaps of some queries with room for waiting rows.

        Args:
            part: Which part's.
            queries: Which queries.
            leans_Q: See ``Lists``; of these queries; 0 unless given.
            room: How many rows may wait for a query, more than K; ``capacity`` unless given.
        """
        sizes_Q = self._sizes_TQ[part, queries]
        shape = (len(sizes_Q), capacity(self._rows_TQK.shape[2]) if room is None else room)
        return Lists(
            self._scores_TQK[part, queries],
            self._rows_TQK[part, queries],
            sizes_Q,
            np.empty(shape, np.float32),
            np.empty(shape, np.int32),
            np.zeros(len(sizes_Q), np.int64),
            np.zeros(len(sizes_Q), np.float32) if leans_Q is None else leans_Q,
            self.least_Q[queries],
        )

    def worst(self) -> Float64:
        """Return (Q,) the K-th best score of each query in the first part; -inf where fewer."""
        is_full_Q = self._sizes_TQ[0] == self._rows_TQK.shape[2]
        return np.where(is_full_Q, self._scores_TQK[0, :, 0], -np.inf)

    def top_k(self, crew: Workers) -> TopK:
        """Return the best rows in order; the heaps are used up."""
        num_queries, k = self._rows_TQK.shape[1:]
        parts: list[TopK] = []
        for scores_QK, rows_QK, sizes_Q in zip(
            self._scores_TQK, self._rows_TQK, self._sizes_TQ, strict=True
        ):
            crew.spread(put_in_order, scores_QK, rows_QK, sizes_Q, over=num_queries)
            parts.append(TopK(rows_QK, scores_QK))
        return parts[0] if len(parts) == 1 else merge(parts, k)
