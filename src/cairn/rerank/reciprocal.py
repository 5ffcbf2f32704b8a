"""k-reciprocal encoding: hits are alike if they and the query have each other's neighbours.

Zhong et al. 2017, "Re-ranking Person Re-identification with k-reciprocal Encoding" (CVPR). There
all queries and the gallery make one pool, so a query's answer hangs on the others (transductive).
Here the pool is the gallery and the one query: whether the query is among the k nearest of a
gallery row follows from its similarity and the row's k-th best, and the gallery's own encodings
are of the gallery alone. So it is online, given each gallery row's neighbours, and needs no
vectors.

Legend of shapes: Q queries, G gallery rows, N rows that are encoded, K hits, M neighbours kept, E
entries of an encoding.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cairn.config.value import Value
from cairn.domain import Int64, Neighbors
from cairn.errors import CairnError
from cairn.rerank.answers import Float64, query_blocks, ranked
from cairn.rerank.context import Context
from cairn.rerank.stage import HITS, Kind

Bool = NDArray[np.bool_]


def encode_reciprocal(
    found: Neighbors, neighbors: Neighbors, *, k1: int = 20, k2: int = 6, weight: float = 0.3
) -> Neighbors:
    """Return the hits by weight * cos + (1 - weight) * (1 - d_J).

    With N(i, k) the k nearest gallery rows, R(i, k) = {x in N(i, k): i in N(x, k)} and i itself;
    R*(i) is R(i, k1) and every R(x, k1 / 2), x in R(i, k1), of which more than two thirds lie in
    R(i, k1). V_i has exp(cos - 1) at each row of R*(i), scaled to the sum 1, and becomes the mean
    of those of i and its k2 - 1 nearest. d_J = 1 - sum min(V_q, V_g) / sum max(V_q, V_g). The
    paper's numbers are the defaults.

    Other than there: the pool (see the module); a query is no entry of any V; the distance is 1 -
    cos, which needs no scaling by the batch's largest; rows of R* beyond the lists given are left
    out.

    Args:
        found: (Q, K) hits with their cosines; K at least k1 is best.
        neighbors: (G, M) each gallery row's most similar other rows, M >= k1.
        k1: At least 2.
        k2: At least 1 (the query alone).
        weight: Of the cosine, in [0, 1].

    Raises:
        CairnError: Too few neighbours are kept.
    """
    if neighbors.k < min(k1, neighbors.num_queries - 1) or neighbors.k == 0:
        raise CairnError(
            f"k1 is {k1} and {neighbors.k} neighbours of each gallery row are kept",
            todo="search the gallery for more, or lower k1",
        )
    scores = np.full(found.indices.shape, -np.inf)
    gallery = _Gallery(neighbors, k1, k2)
    for at in query_blocks(found.num_queries, found.k * k2 * (neighbors.k + 1)):
        part = Neighbors(found.indices[at], found.similarities[at])
        overlap = _overlap(gallery, part)
        alike = np.where(part.indices >= 0, part.similarities, 0.0)
        scores[at] = weight * alike + (1 - weight) * overlap / (2 - overlap)
    return ranked(found.indices, scores)


class _Gallery:
    """The gallery's lists, each with the row itself in front, and what follows from them."""

    def __init__(self, neighbors: Neighbors, k1: int, k2: int) -> None:
        self.near, self.alike = neighbors.indices, neighbors.similarities
        self.k1, self.k2, self.half = min(k1, neighbors.k), k2, max(1, min(k1, neighbors.k) // 2)

    def __len__(self) -> int:
        return len(self.near)

    def mutual(self, rows_N: Int64, k: int) -> Bool:
        """Return (N, k) which of the k nearest of each row have it among their k nearest."""
        near_NK = self.near[rows_N, :k]
        back_NKK = self.near[np.maximum(near_NK, 0), :k]
        is_mutual: Bool = (back_NKK == rows_N[:, None, None]).any(axis=2) & (near_NK >= 0)
        return is_mutual

    def encoded(self, rows_N: Int64) -> tuple[Int64, Float64]:
        """Return (N, M + 1) rows and weights of the V of gallery rows, before the mean."""
        lists = np.concatenate([rows_N[:, None], self.near[rows_N]], axis=1)
        alike = np.concatenate([np.ones((len(rows_N), 1)), self.alike[rows_N]], axis=1)
        is_core = np.zeros(lists.shape, np.bool_)
        is_core[:, 0] = True
        is_core[:, 1 : self.k1 + 1] = self.mutual(rows_N, self.k1)
        return lists, self.weights(lists, alike, is_core, self.k1 + 1)

    def weights(self, lists: Int64, alike: Float64, is_core: Bool, reach: int) -> Float64:
        """Return the weights of entries, given R(i, k1) among the first ``reach`` of each list."""
        is_member = is_core | self._expansion(lists, is_core, reach)
        raw = np.where(is_member & (lists >= 0), np.exp(np.where(lists >= 0, alike, 0) - 1), 0.0)
        sums = raw.sum(axis=1, keepdims=True)
        weights: Float64 = raw / np.where(sums > 0, sums, 1)
        return weights

    def _expansion(self, lists: Int64, is_core: Bool, reach: int) -> Bool:
        """Return which entries lie in some R(x, k1 / 2) that is mostly of the core."""
        at, column = np.nonzero(is_core[:, :reach])
        rows, which = np.unique(lists[at, column], return_inverse=True)
        sets = np.concatenate([rows[:, None], self.near[rows, : self.half]], axis=1)
        is_in = np.concatenate(
            [np.ones((len(rows), 1), np.bool_), self.mutual(rows, self.half)], axis=1
        )
        sets, is_in = sets[which], is_in[which]  # of each core entry
        core = at * len(self) + lists[at, column]
        keys = at[:, None] * len(self) + sets
        is_shared = np.isin(keys, core) & is_in
        is_mostly = is_shared.sum(axis=1) * 3 > is_in.sum(axis=1) * 2
        added = keys[is_in & is_mostly[:, None]]
        places = np.arange(len(lists))[:, None] * len(self) + lists
        found: Bool = np.isin(places, added) & (lists >= 0)
        return found

    def expanded(self, rows_N: Int64) -> tuple[Int64, Float64]:
        """Return (N, E) rows and weights of the V of gallery rows; -1 and 0 pad."""
        lists = np.concatenate([rows_N[:, None], self.near[rows_N, : self.k2 - 1]], axis=1)
        rows, which = np.unique(np.maximum(lists, 0), return_inverse=True)
        ids, weights = self.encoded(rows)
        which = which.reshape(lists.shape)
        return mean_of(ids[which], weights[which], lists >= 0)


def mean_of(ids_NTE: Int64, weights_NTE: Float64, is_there_NT: Bool) -> tuple[Int64, Float64]:
    """Return (N, T * E) the mean of T sparse vectors, each row once; -1 and 0 pad."""
    num = len(ids_NTE)
    shares = weights_NTE * is_there_NT[:, :, None]
    ids, values = ids_NTE.reshape(num, -1), shares.reshape(num, -1)
    ids = np.where(values > 0, ids, -1)
    order = np.argsort(ids, axis=1, kind="stable")
    ids, values = np.take_along_axis(ids, order, 1), np.take_along_axis(values, order, 1)
    is_first = np.ones(ids.shape, np.bool_)
    is_first[:, 1:] = ids[:, 1:] != ids[:, :-1]
    starts = np.flatnonzero(is_first)
    sums = np.zeros(ids.size)
    sums[starts] = np.add.reduceat(values.ravel(), starts)
    sums = sums.reshape(ids.shape) / np.maximum(is_there_NT.sum(axis=1), 1)[:, None]
    is_kept = is_first & (ids >= 0)
    return np.where(is_kept, ids, -1), np.where(is_kept, sums, 0.0)


def _overlap(gallery: _Gallery, found: Neighbors) -> Float64:
    """Return (Q, K) sum min(V_q, V_g) of queries and their hits."""
    num, k = found.indices.shape
    is_hit = found.indices >= 0
    rows, which = np.unique(found.indices[is_hit], return_inverse=True)
    if not len(rows):
        return np.zeros((num, k))
    own_ids, own = _encoded_queries(gallery, found)
    near = found.indices[:, : gallery.k2 - 1]
    ids, weights = gallery.encoded(np.unique(np.maximum(near, 0)))
    at = np.searchsorted(np.unique(np.maximum(near, 0)), np.maximum(near, 0))
    width = max(own_ids.shape[1], ids.shape[1])
    every_ids = np.concatenate([_wide(own_ids, width, -1)[:, None], _wide(ids, width, -1)[at]], 1)
    every = np.concatenate([_wide(own, width, 0)[:, None], _wide(weights, width, 0)[at]], 1)
    is_there = np.concatenate([np.ones((num, 1), np.bool_), near >= 0], axis=1)
    query_ids, query = mean_of(every_ids, every, is_there)

    hit_ids, hit = gallery.expanded(rows)
    keys = (np.arange(num)[:, None] * len(gallery) + query_ids)[query_ids >= 0]
    order = np.argsort(keys, kind="stable")
    keys, values = keys[order], query[query_ids >= 0][order]
    asked = np.nonzero(is_hit)[0]
    wanted = asked[:, None] * len(gallery) + hit_ids[which]
    place = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    is_same = (keys[place] == wanted) & (hit_ids[which] >= 0) if len(keys) else wanted < 0
    both = np.where(is_same, np.minimum(values[place] if len(keys) else 0.0, hit[which]), 0.0)
    overlap = np.zeros((num, k))
    overlap[is_hit] = both.sum(axis=1)
    return overlap


def _encoded_queries(gallery: _Gallery, found: Neighbors) -> tuple[Int64, Float64]:
    """Return (Q, K) rows and weights of the V of queries, before the mean."""
    lists, alike = found.indices, found.similarities.astype(np.float64)
    is_core = np.zeros(lists.shape, np.bool_)
    reach = min(gallery.k1, found.k)
    near = lists[:, :reach]
    # The query is among the k nearest of a row unless k others are nearer.
    kth = gallery.alike[np.maximum(near, 0), gallery.k1 - 1]
    is_core[:, :reach] = (alike[:, :reach] >= kth) & (near >= 0)
    return lists, gallery.weights(lists, alike, is_core, reach)


def _wide(values: NDArray[np.generic], width: int, fill: float) -> NDArray[np.generic]:
    missing = ((0, 0), (0, width - values.shape[1]))
    return np.pad(values, missing, constant_values=fill)


class KReciprocal(Value):
    """k-reciprocal encoding; see ``encode_reciprocal``."""

    name: ClassVar[str] = "k-reciprocal"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = HITS
    needs: ClassVar[tuple[str, ...]] = ("gallery.neighbors",)
    batch: ClassVar[str] = ""
    reach: ClassVar[dict[str, str]] = {"gallery.neighbors": "k1"}

    k1: int = Field(20, ge=2)
    k2: int = Field(6, ge=1)
    weight: float = Field(0.3, ge=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> KReciprocal:
        if self.k2 > self.k1:
            raise ValueError("k2 must not exceed k1")
        return self

    def __call__(self, found: Neighbors, context: Context) -> Neighbors:
        """Return the hits by similarity and shared neighbours."""
        assert context.gallery.neighbors is not None
        return encode_reciprocal(
            found, context.gallery.neighbors, k1=self.k1, k2=self.k2, weight=self.weight
        )
