"""SuperGlobal: the first hits refine one another, and the query; no training, no local features.

Shao et al. 2023, "Global Features are All You Need for Image Retrieval and Reranking" (ICCV),
section 3.2, as its published code computes it. Each query's hits are refined apart: online.

Legend of shapes: Q queries, G gallery rows, M hits that are refined, K hits, D dimensions.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from cairn.config.value import Value
from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError
from cairn.rerank.answers import query_blocks
from cairn.rerank.context import Context, Rows
from cairn.rerank.stage import HITS, Kind


def refine(
    found: Neighbors,
    queries: Float32,
    vectors: Rows,
    *,
    num_hits: int = 100,
    num_near: int = 9,
    beta: float = 0.15,
    pooling: Literal["max", "mean"] = "max",
) -> Neighbors:
    """Return the first ``num_hits`` hits by the mean of two refined similarities.

    Each of these hits is averaged with its ``num_near`` nearest among them,

        x'_m = (x_m + sum beta s_mj x_j) / (1 + sum beta s_mj),      s_mj = max(x_m . x_j, 0),

    and S1 = q . x'_m ranks them; the query becomes the largest number, dimension by dimension, of
    the first ``num_near`` + 1 of them (their generalised mean with p -> infinity), S2 = q' . x'_m;
    the new similarity is (S1 + S2) / 2. The published code has no max(., 0): a negative weight may
    make the sum vanish there. Its numbers are 400 hits, 9 near ones, beta 0.15. Largest numbers
    favour signs, which mean nothing in embeddings that are centred; the mean does not.

    Args:
        found: (Q, K) hits.
        queries: (Q, D) unit vectors.
        vectors: (G, D) the gallery's.
        num_hits: M; hits beyond stay behind these, in their order.
        num_near: See above.
        beta: At least 0.
        pooling: "max" as above, or "mean" of the same refined hits.
    """
    if len(queries) != found.num_queries:
        raise CairnError(f"{len(queries)} vectors for the hits of {found.num_queries} queries")
    num = min(num_hits, found.k)
    indices, scores = found.indices.copy(), found.similarities.copy()
    for at in query_blocks(len(queries), num * (queries.shape[1] + num)):
        rows = found.indices[at, :num]
        better = _refined(rows, queries[at], vectors, num_near, beta, is_max=pooling == "max")
        lowest = np.where(rows >= 0, better, np.inf).min(axis=1, keepdims=True)
        order = np.argsort(-better, axis=1, kind="stable")
        indices[at, :num] = np.take_along_axis(rows, order, axis=1)
        scores[at, :num] = np.take_along_axis(better, order, axis=1)
        if found.k > num:
            last = found.similarities[at, num - 1 : num]
            behind = np.isfinite(found.similarities[at, num:])
            drop = np.where(behind, last - np.where(behind, found.similarities[at, num:], 0), 0)
            scores[at, num:] = np.where(behind, lowest - drop, -np.inf)
    return Neighbors(indices, scores)


def _refined(
    rows_QM: Int64,
    queries_QD: Float32,
    vectors: Rows,
    num_near: int,
    beta: float,
    *,
    is_max: bool,
) -> Float32:
    """Return (Q, M) new similarities; -inf where there is no hit."""
    is_there = rows_QM >= 0
    hits_QMD = np.asarray(vectors[np.maximum(rows_QM, 0)], dtype=np.float32)
    alike_QMM = np.matmul(hits_QMD, hits_QMD.transpose(0, 2, 1))
    alike_QMM[~(is_there[:, :, None] & is_there[:, None, :])] = 0
    at = np.arange(rows_QM.shape[1])
    alike_QMM[:, at, at] = np.inf  # itself comes first, whatever copies there are
    near = min(num_near, len(at) - 1)
    chosen = np.argsort(-alike_QMM, axis=2, kind="stable")[:, :, 1 : near + 1]
    weights_QMM = np.zeros_like(alike_QMM)
    values = beta * np.maximum(np.take_along_axis(alike_QMM, chosen, axis=2), 0)
    np.put_along_axis(weights_QMM, chosen, values, axis=2)
    weights_QMM[:, at, at] = 1
    better_QMD = np.matmul(weights_QMM, hits_QMD) / weights_QMM.sum(axis=2, keepdims=True)
    first_QM = np.matmul(better_QMD, queries_QD[:, :, None])[:, :, 0]
    first_QM[~is_there] = -np.inf
    best = np.argsort(-first_QM, axis=1, kind="stable")[:, : near + 1]
    taken_QND = np.take_along_axis(better_QMD, best[:, :, None], axis=1)
    is_taken = np.take_along_axis(is_there, best, axis=1)[:, :, None]
    if is_max:
        pooled_QD = np.where(is_taken, taken_QND, -np.inf).max(axis=1)
    else:
        pooled_QD = np.where(is_taken, taken_QND, 0).sum(axis=1)
        pooled_QD /= np.maximum(is_taken.sum(axis=1), 1)
    pooled_QD[~is_there.any(axis=1)] = 0
    second_QM = np.matmul(better_QMD, pooled_QD[:, :, None])[:, :, 0]
    return np.where(is_there, (first_QM + second_QM) / 2, np.float32(-np.inf))


class SuperGlobal(Value):
    """Hits that refine one another; see ``refine``."""

    name: ClassVar[str] = "super-global"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = HITS
    needs: ClassVar[tuple[str, ...]] = ("queries.vectors", "gallery.vectors")
    batch: ClassVar[str] = ""

    num_hits: int = Field(100, ge=1)
    num_near: int = Field(9, ge=0)
    beta: float = Field(0.15, ge=0)
    pooling: Literal["max", "mean"] = "max"

    def __call__(self, found: Neighbors, context: Context) -> Neighbors:
        """Return the hits by refined similarity."""
        assert context.queries.vectors is not None
        assert context.gallery.vectors is not None
        return refine(
            found,
            context.queries.vectors,
            context.gallery.vectors,
            num_hits=self.num_hits,
            num_near=self.num_near,
            beta=self.beta,
            pooling=self.pooling,
        )
