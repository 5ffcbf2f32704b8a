"""Queries pulled towards their first hits, and gallery rows towards their neighbours.

Query expansion searches twice. Database-side augmentation is done once, before any search, and
changes the gallery's vectors: penalties, neighbours and indexes of the old ones no longer hold.

Legend of shapes: Q queries, G gallery rows, K hits, N hits that count, D dimensions.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from cairn.config.value import Value
from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError
from cairn.progress import track
from cairn.rerank.answers import Float64, query_blocks
from cairn.rerank.context import Context, Rows, Search
from cairn.rerank.stage import HITS, Kind

_ROWS = 4096  # of a gallery that are augmented together


def expanded(
    queries: Float32, found: Neighbors, vectors: Rows, *, num: int = 10, alpha: float = 3.0
) -> Float32:
    """Return q' = unit(q + sum over the first ``num`` hits of max(cos, 0)^alpha * g).

    Alpha query expansion (Radenovic et al. 2019, arXiv:1711.02512; alpha 3); with alpha 0 it is
    the average query expansion of Chum et al. (2007).

    Args:
        queries: (Q, D) unit vectors.
        found: (Q, K) hits, with the similarities that weigh them.
        vectors: (G, D) the gallery's.
        num: Hits that count.
        alpha: At least 0.
    """
    if len(queries) != found.num_queries:
        raise CairnError(f"{len(queries)} vectors for the hits of {found.num_queries} queries")
    made = np.empty_like(queries)
    for at in query_blocks(len(queries), min(num, found.k) * queries.shape[1]):
        rows = found.indices[at, :num]
        weights = _powers(found.similarities[at, :num], alpha)
        pulled = _weighted(weights, rows, vectors) + queries[at]
        made[at] = _unit(pulled)
    return made


def augment_gallery(
    vectors: Float32,
    search: Search,
    *,
    num: int = 10,
    weights: Literal["alpha", "rank"] = "alpha",
    alpha: float = 3.0,
    landmarks: Int64 | None = None,
    out: Float32 | None = None,
) -> Float32:
    """Return g' = unit(g + sum over its ``num`` nearest other rows of w * g_k).

    Database-side augmentation: w = 1 (alpha 0) is that of Arandjelovic and Zisserman (2012),
    w_r = (num + 1 - r) / (num + 1) for the r-th neighbour, weights that fall with rank, that of
    Gordo et al. (2017), and w = max(cos, 0)^alpha the counterpart of alpha query expansion. It is
    of the gallery alone, so that photographs can be answered one by one. Whatever was made of the
    old vectors (penalty, bank similarities, index) has to be made again.

    Args:
        vectors: (G, D) unit vectors, in memory or mapped.
        search: Searches these very vectors, exactly; it is asked in blocks.
        num: Neighbours that count, at least 1.
        weights: See above.
        alpha: Of weights "alpha".
        landmarks: (G,) codes; with them only neighbours of the same landmark count, so that no row
            is pulled towards another landmark.
        out: (G, D) where the rows are written, such as a memory map; not ``vectors`` itself.

    Raises:
        CairnError: ``out`` is ``vectors``.
    """
    if out is not None and np.shares_memory(out, vectors):
        raise CairnError("augmented rows cannot be written over those they are made of")
    made = np.empty(vectors.shape, np.float32) if out is None else out
    for start in track(range(0, len(vectors), _ROWS), "augment"):
        rows = np.arange(start, min(start + _ROWS, len(vectors)))
        near = _others(search(np.asarray(vectors[rows], np.float32), num + 1), rows, num)
        values = near.similarities
        if weights == "rank":
            falling = np.arange(num, 0, -1, dtype=np.float32) / (num + 1)
            values = np.where(near.indices >= 0, falling[: near.k], -np.inf).astype(np.float32)
        shares = _powers(values, alpha if weights == "alpha" else 1.0)
        if landmarks is not None:
            same = landmarks[np.maximum(near.indices, 0)] == landmarks[rows][:, None]
            shares = np.where(same, shares, 0.0)
        for at in query_blocks(len(rows), num * vectors.shape[1]):
            made[rows[at]] = _unit(
                _weighted(shares[at], near.indices[at], vectors) + vectors[rows[at]]
            )
    return made


def _others(found: Neighbors, rows: Int64, num: int) -> Neighbors:
    """Return the first ``num`` hits of gallery rows that are not the row itself."""
    is_self = found.indices == rows[:, None]
    # Copies may push a row out of its own list; then the last hit goes instead.
    is_self[~is_self.any(axis=1), -1] = True
    order = np.argsort(is_self, axis=1, kind="stable")[:, :num]
    hits = np.take_along_axis(found.indices, order, axis=1)
    return Neighbors(hits, np.take_along_axis(found.similarities, order, axis=1))


def _powers(similarities: Float32, alpha: float) -> Float64:
    """Return max(s, 0)^alpha, and 0 where there is no hit."""
    is_there = np.isfinite(similarities)
    positive = np.where(is_there, np.maximum(similarities, 0.0), 0.0).astype(np.float64)
    powers: Float64 = np.where(is_there, positive**alpha, 0.0)
    return powers


def _weighted(weights_QN: Float64, rows_QN: Int64, vectors: Rows) -> Float64:
    near_QND = np.asarray(vectors[np.maximum(rows_QN, 0)], dtype=np.float32)
    weights = weights_QN.astype(np.float32)[:, None, :]
    sums: Float64 = np.matmul(weights, near_QND)[:, 0].astype(np.float64)
    return sums


def _unit(rows_ND: Float64) -> Float32:
    lengths = np.sqrt(np.einsum("nd,nd->n", rows_ND, rows_ND))[:, None]
    units: Float32 = (rows_ND / np.maximum(lengths, 1e-12)).astype(np.float32)
    return units


class AlphaExpansion(Value):
    """Alpha query expansion and a second search; see ``expanded``.

    It finds as many hits as it was given, by the search of the context; whatever earlier stages did
    to similarities weighs the hits and is then gone, so it comes first.
    """

    name: ClassVar[str] = "alpha-expansion"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = HITS
    needs: ClassVar[tuple[str, ...]] = ("queries.vectors", "gallery.vectors", "gallery.search")
    batch: ClassVar[str] = ""

    num: int = Field(10, ge=1)
    alpha: float = Field(3.0, ge=0)

    def __call__(self, found: Neighbors, context: Context) -> Neighbors:
        """Return the hits of the expanded queries."""
        gallery, queries = context.gallery, context.queries
        assert gallery.vectors is not None
        assert gallery.search is not None
        assert queries.vectors is not None
        made = expanded(queries.vectors, found, gallery.vectors, num=self.num, alpha=self.alpha)
        return gallery.search(made, found.k)
