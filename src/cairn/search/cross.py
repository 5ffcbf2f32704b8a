"""Two tables of one pass: what each query finds in a gallery, and each gallery row in the queries.

The products of a bank of non-landmarks with a gallery serve both: which gallery images a
non-landmark picks, and which non-landmarks a gallery image is closest to. ``Crossing`` keeps both,
and grows and shrinks with either side for no more than the products of what came, or of what lost
a neighbour.

Legend of shapes: Q queries, G gallery rows, K and M neighbours, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from cairn.errors import CairnError
from cairn.search.by_torch import both_by_torch
from cairn.search.exact import SMALL, require_fit, slabs, top_k
from cairn.search.rows import Array, Gallery, as_matrix
from cairn.search.topk import TopK, merge, stack


@dataclass(frozen=True, eq=False)
class Crossing:
    """Queries and gallery rows, each other's neighbours.

    Args:
        of_queries: (Q, K) gallery rows most similar to each query.
        of_rows: (G, M) queries most similar to each gallery row.
    """

    of_queries: TopK
    of_rows: TopK

    @property
    def k(self) -> int:
        """K."""
        return int(self.of_queries.rows.shape[1])

    @property
    def m(self) -> int:
        """M."""
        return int(self.of_rows.rows.shape[1])

    def with_rows(self, queries: Array, new: Array) -> Crossing:
        """Return the crossing after gallery rows were added at the end.

        Args:
            queries: (Q, D) all the queries.
            new: (N, D) the new rows; only their products are made.
        """
        more = cross(queries, new, self.k, self.m)
        moved = more.of_queries.moved(len(self.of_rows.rows))
        of_rows = stack([self.of_rows, more.of_rows])
        return Crossing(merge([self.of_queries, moved], self.k), of_rows)

    def with_queries(self, new: Array, gallery: Array) -> Crossing:
        """Return the crossing after queries were added at the end.

        Args:
            new: (N, D) the new queries; only their products are made.
            gallery: (G, D) the whole gallery.
        """
        more = cross(new, gallery, self.k, self.m)
        moved = more.of_rows.moved(len(self.of_queries.rows))
        of_queries = stack([self.of_queries, more.of_queries])
        return Crossing(of_queries, merge([self.of_rows, moved], self.m))

    def without_rows(self, kept: Array, queries: Array, gallery: Gallery) -> Crossing:
        """Return the crossing after gallery rows were removed.

        Args:
            kept: (G,) bool: which rows stay.
            queries: (Q, D) all the queries.
            gallery: (N, D) the rows that stay, in order, or ``Blocks`` of them; only queries that
                lost a neighbour are searched again.
        """
        kept_G = np.asarray(kept, dtype=np.bool_)
        if kept_G.shape != (len(self.of_rows.rows),) or kept_G.sum() != gallery.shape[0]:
            raise CairnError(
                "what is kept must be told for each gallery row, and be what the gallery now holds",
                where=f"{int(kept_G.sum())} of {len(kept_G)} rows, {gallery.shape[0]} given",
            )
        number = np.where(kept_G, np.cumsum(kept_G) - 1, -1)
        rows = np.where(self.of_queries.rows >= 0, number[self.of_queries.rows], -1)
        scores = self.of_queries.scores.copy()
        # Rows that stay keep their order, so places that still hold one are still sorted.
        lost = np.flatnonzero(((rows < 0) & (self.of_queries.rows >= 0)).any(axis=1))
        if len(lost):
            again = top_k(as_matrix(queries, "queries")[lost], gallery, self.k)
            rows[lost], scores[lost] = again.rows, again.scores
        of_rows = TopK(self.of_rows.rows[kept_G], self.of_rows.scores[kept_G])
        return Crossing(TopK(rows, scores), of_rows)

    def without_queries(self, kept: Array, queries: Array, gallery: Array) -> Crossing:
        """Return the crossing after queries were removed; as ``without_rows``, the other way."""
        return self.flipped().without_rows(kept, gallery, queries).flipped()

    def flipped(self) -> Crossing:
        """Return the crossing of the gallery with the queries."""
        return Crossing(self.of_rows, self.of_queries)


def cross(queries: Array, gallery: Array, k: int, m: int) -> Crossing:
    """Return the top ``k`` gallery rows of each query and the top ``m`` queries of each row.

    Args:
        queries: (Q, D) as ``cairn.search.search`` takes them, Q >= 1.
        gallery: (G, D), likewise, in memory or mapped.
        k: At least 1; rows are padded where k > G.
        m: At least 1; likewise where m > Q.

    Returns:
        What two searches would, in every bit, of products that are made once (twice on processors
        without the units that ``cairn.search.tiles`` needs).

    Raises:
        CairnError: As ``search``.
    """
    if k < 1 or m < 1:
        raise CairnError("k and m must be at least 1", where=f"k = {k}, m = {m}")
    queries_QD, gallery_GD = as_matrix(queries, "queries"), as_matrix(gallery, "gallery")
    require_fit(queries_QD, tuple(gallery_GD.shape))
    if len(queries_QD) == 0:
        raise CairnError("there are no queries to cross with the gallery")
    most_k, most_m = min(k, len(gallery_GD)), min(m, len(queries_QD))
    found = _cross(queries_QD, gallery_GD, most_k, most_m)
    return Crossing(merge([found[0]], k), merge([found[1]], m))


def _cross(queries_QD: Tensor, gallery_GD: Tensor, k: int, m: int) -> tuple[TopK, TopK]:
    is_small = len(gallery_GD) * max(queries_QD.shape) <= SMALL
    if gallery_GD.is_cuda or queries_QD.is_cuda or is_small:
        return both_by_torch(queries_QD, gallery_GD, k, m)
    from cairn.search.by_tiles import both_by_tiles, slab_rows
    from cairn.search.quickest import quickest_way
    from cairn.search.tiles import MOST_DIMENSIONS
    from cairn.search.workers import workers

    if quickest_way() != "tiles" or queries_QD.shape[1] > MOST_DIMENSIONS:
        return top_k(queries_QD, gallery_GD, k), top_k(gallery_GD, queries_QD, m)
    nothing = np.zeros(len(gallery_GD), np.float32)
    parts = slabs(gallery_GD, nothing, slab_rows(gallery_GD.shape[1]))
    with workers() as crew:
        return both_by_tiles(queries_QD.float().numpy(), parts, k, m, crew)
