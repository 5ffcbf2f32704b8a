"""Candidates scored again: the best k of rows that something quicker proposed, by exact scores.

The scores are those of exact search, products summed in float64 plus the row's offset, so a row
gets the same similarity whichever way it was found. Memory is that of the candidates' numbers; the
vectors are read where they lie.

Legend of shapes: Q queries, G gallery rows, C candidates of a query, K neighbours, D dimensions.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numba
import numpy as np

from cairn.domain import Float32, Int64, Neighbors


def best_candidates(
    queries_QD: Float32,
    vectors_GD: Float32,
    offsets_G: Float32,
    rows_QC: Int64,
    k: int,
    *,
    threads: int = 1,
) -> Neighbors:
    """Return the ``k`` best candidates of each query, equal ones by lower row.

    Args:
        queries_QD: (Q, D) float32, contiguous.
        vectors_GD: (G, D) float32, contiguous.
        offsets_G: (G,) float32, added to similarities.
        rows_QC: (Q, C) different rows for each query; -1 where there are fewer.
        k: At least 1; what exceeds the candidates is padded with row -1 and similarity -inf.
        threads: How many share the queries.
    """
    num_queries = len(queries_QD)
    into = Neighbors(
        np.full((num_queries, k), -1, dtype=np.int64),
        np.full((num_queries, k), -np.inf, dtype=np.float32),
    )
    values: tuple[Any, ...] = (
        queries_QD,
        vectors_GD,
        offsets_G,
        rows_QC,
        into.indices,
        into.similarities,
    )
    parts = min(threads, num_queries)
    if parts <= 1:
        _settle(*values, 0, num_queries)
        return into
    cuts = [num_queries * part // parts for part in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        tasks = [pool.submit(_settle, *(*values, *part)) for part in pairwise(cuts)]
        for task in tasks:
            task.result()
    return into


@numba.njit(  # type: ignore[untyped-decorator]
    nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
)
def _settle(
    queries_QD: Float32,
    vectors_GD: Float32,
    offsets_G: Float32,
    rows_QC: Int64,
    indices_QK: Int64,
    similarities_QK: Float32,
    first: int,
    last: int,
) -> None:
    """Write the best candidates of the queries ``first`` to ``last``."""
    most = indices_QK.shape[1]
    for i in range(first, last):
        rows_C = np.sort(rows_QC[i])
        scores_C = np.empty(len(rows_C), np.float64)
        for c in range(len(rows_C)):
            row = rows_C[c]
            if row < 0:
                scores_C[c] = -np.inf
                continue
            total = 0.0
            for d in range(queries_QD.shape[1]):
                total += np.float64(queries_QD[i, d]) * np.float64(vectors_GD[row, d])
            scores_C[c] = total + np.float64(offsets_G[row])
        order = np.argsort(-scores_C, kind="mergesort")
        for c in range(min(most, len(rows_C))):
            row = rows_C[order[c]]
            if row >= 0:
                indices_QK[i, c] = row
                similarities_QK[i, c] = np.float32(scores_C[order[c]])
