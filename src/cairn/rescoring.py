"""Candidates scored again: the best k of rows that something quicker proposed, by exact scores.

The scores are those of exact search, by its own function, plus the row's offset, so a row gets the
same similarity whichever way it was found. Memory is that of the candidates' numbers; the vectors
are read where they lie.

Legend of shapes: Q queries, G gallery rows, C candidates of a query, K neighbours, D dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Float32, Int64
from cairn.search import TopK
from cairn.search.candidates import insert, put_in_order, score
from cairn.search.compiled import compiled
from cairn.search.instructions import SUMS, prefetch
from cairn.search.workers import workers


def best_candidates(
    queries_QD: Float32, vectors_GD: Float32, offsets_G: Float32, rows_QC: Int64, k: int
) -> TopK:
    """Return the ``k`` best candidates of each query, equal ones by lower row.

    Args:
        queries_QD: (Q, D) float32, contiguous.
        vectors_GD: (G, D) float32, contiguous.
        offsets_G: (G,) float32, added to similarities.
        rows_QC: (Q, C) different rows for each query; -1 where there are fewer.
        k: At least 1; row -1 and score -inf pad what exceeds the candidates.
    """
    shape = (len(queries_QD), k)
    scores_QK, found_QK = np.full(shape, -np.inf), np.full(shape, -1, dtype=np.int64)
    with workers() as crew:
        values = (queries_QD, vectors_GD, offsets_G, rows_QC, scores_QK, found_QK)
        crew.spread(_rescore, *values, over=len(queries_QD))
    return TopK(found_QK, scores_QK)


@compiled
def _rescore(
    queries_QD: Float32,
    vectors_GD: Float32,
    offsets_G: Float32,
    rows_QC: Int64,
    scores_QK: NDArray[np.float64],
    found_QK: Int64,
    first: int,
    last: int,
) -> None:
    """Score the candidates of the queries ``first`` to ``last`` and put them in order."""
    sums = np.empty(SUMS, np.float64)
    row_bytes = vectors_GD.shape[1] * vectors_GD.itemsize
    at_rows = vectors_GD.ctypes.data
    sizes_Q = np.zeros(len(queries_QD), np.int64)
    for i in range(first, last):
        for c in range(rows_QC.shape[1]):
            row = rows_QC[i, c]
            if c + 1 < rows_QC.shape[1] and rows_QC[i, c + 1] >= 0:
                prefetch(at_rows + rows_QC[i, c + 1] * row_bytes, row_bytes)
            if row >= 0:
                value = score(queries_QD[i], vectors_GD[row], sums) + np.float64(offsets_G[row])
                sizes_Q[i] = insert(scores_QK[i], found_QK[i], sizes_Q[i], value, row)
    put_in_order(scores_QK, found_QK, sizes_Q, first, last)
