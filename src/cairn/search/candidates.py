"""Which rows may still be among the top k of a query, and the scores that decide.

A bound is a number that a row's score does not exceed. A query keeps the ``K`` best rows whose
scores are known, as a heap with the worst on top; once the heap is full, the worst score is the
query's floor. A row whose bound stays below the floor is out for good; the others wait, with their
bounds, until they are scored. Which of them are scored early only decides how quickly the floor
rises: the answer does not depend on it.

Scores are inner products in float64, of the float32 (or half-precision) numbers as they are: every
product is exact there, and sums are added up in one order, so equal rows get equal scores and a
pair gets the same score wherever it is met.

This module does not know where bounds come from.

Legend of shapes: Q queries, S rows of the slab at hand, K neighbours, C waiting rows, D dimensions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Float32, Int64
from cairn.search.compiled import as_float32, compiled, compiled_strictly
from cairn.search.instructions import SUMS, add_products, prefetch

Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]
Bits = NDArray[np.uint16] | NDArray[np.uint32]

LOWEST = np.float32(np.finfo(np.float32).min)
"""A floor that every finite bound reaches."""


class Slab(NamedTuple):
    """Rows at hand, so many of a gallery as are worked on together.

    Args:
        bits_SD: (S, D) uint32 or uint16, contiguous.
        kind: What the bits mean (``compiled``).
        added_S: (S,) float32 added to every score of a row.
        first: The number of its first row in the gallery.
    """

    bits_SD: Bits
    kind: int
    added_S: Float32
    first: int


class Lists(NamedTuple):
    """The best rows and the waiting ones of some queries.

    Args:
        scores_QK: (Q, K) float64 heaps.
        rows_QK: (Q, K) int64, the rows of these scores in the gallery.
        sizes_Q: (Q,) int64 how many there are.
        bounds_QC: (Q, C) float32 bounds of waiting rows.
        waiting_QC: (Q, C) int32, these rows in the slab.
        counts_Q: (Q,) int64 how many wait.
        leans_Q: (Q,) float32 by how much a bound is expected to exceed its score.
        least_Q: (Q,) float64 scores below which no row is wanted; -inf where all are.
    """

    scores_QK: Float64
    rows_QK: Int64
    sizes_Q: Int64
    bounds_QC: Float32
    waiting_QC: Int32
    counts_Q: Int64
    leans_Q: Float32
    least_Q: Float64


def capacity(k: int) -> int:
    """Return how many rows may wait for a query."""
    return 2 * k + 512


@compiled_strictly
def score(a_D: Float32, b_D: Float32, sums: Float64) -> Any:
    """Return the inner product in float64, added up in 16 partial sums, and these in halves.

    Always in this order, whoever calls it: a pair has one score, in every bit.
    """
    num = len(a_D)
    add_products(a_D.ctypes.data, b_D.ctypes.data, num, sums.ctypes.data)
    for d in range(num - num % SUMS, num):
        sums[0] += np.float64(a_D[d]) * np.float64(b_D[d])
    half = SUMS
    while half > 1:
        half //= 2
        for j in range(half):
            sums[j] += sums[half + j]
    return sums[0]


@compiled
def rounded_down(floor: float) -> Any:
    """Return a float32 not above a floor."""
    return max(np.float32(floor - (abs(floor) + 1e-30) * 2.0**-22), LOWEST)


@compiled
def _is_worse(score_a: float, row_a: int, score_b: float, row_b: int) -> Any:
    return score_a < score_b or (score_a == score_b and row_a > row_b)


@compiled
def insert(scores_K: Float64, rows_K: Int64, size: int, value: float, row: int) -> Any:
    """Add a row to a heap if it is among the best; return the new size."""
    most = len(scores_K)
    if size < most:
        at = size
        while at > 0:
            up = (at - 1) // 2
            if not _is_worse(value, row, scores_K[up], rows_K[up]):
                break
            scores_K[at], rows_K[at] = scores_K[up], rows_K[up]
            at = up
        scores_K[at], rows_K[at] = value, row
        return size + 1
    if _is_worse(scores_K[0], rows_K[0], value, row):
        _sift_down(scores_K, rows_K, size, value, row)
    return size


@compiled
def _sift_down(scores_K: Float64, rows_K: Int64, size: int, value: float, row: int) -> None:
    """Put a row in the place of the worst one of the first ``size``."""
    at = 0
    while True:
        down = 2 * at + 1
        if down >= size:
            break
        if down + 1 < size and _is_worse(
            scores_K[down + 1], rows_K[down + 1], scores_K[down], rows_K[down]
        ):
            down += 1
        if not _is_worse(scores_K[down], rows_K[down], value, row):
            break
        scores_K[at], rows_K[at] = scores_K[down], rows_K[down]
        at = down
    scores_K[at], rows_K[at] = value, row


@compiled
def kth_largest(values_C: Float32, k: int) -> Any:
    """Return the k-th largest of values that are left in another order (Hoare's selection)."""
    low, high = 0, len(values_C) - 1
    while low < high:
        pivot = values_C[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values_C[left] > pivot:
                left += 1
            while values_C[right] < pivot:
                right -= 1
            if left <= right:
                values_C[left], values_C[right] = values_C[right], values_C[left]
                left += 1
                right -= 1
        if k - 1 <= right:
            high = right
        elif k - 1 >= left:
            low = left
        else:
            break
    return values_C[k - 1]


@compiled
def absorb(
    lists: Lists, i: int, query_D: Float32, slab: Slab, scratch_D: Float32, is_last: bool
) -> None:
    """Score waiting rows of query ``i``: the promising ones, or all that reach the floor."""
    sums = np.empty(SUMS, np.float64)
    row_bytes = slab.bits_SD.shape[1] * slab.bits_SD.itemsize
    at_rows = slab.bits_SD.ctypes.data
    scores_K, rows_K = lists.scores_QK[i], lists.rows_QK[i]
    bounds_C, waiting_C = lists.bounds_QC[i], lists.waiting_QC[i]
    k = len(scores_K)
    for turn in range(2):
        count, size = lists.counts_Q[i], lists.sizes_Q[i]
        least = float(LOWEST)
        if turn == 0:  # so many as fill the heap, the best first, then those beyond the floor
            if size == k:
                least = scores_K[0] + float(lists.leans_Q[i])
            if count > k:
                least = max(least, float(kth_largest(bounds_C[:count].copy(), k)))
        kept = 0
        for c in range(count):
            if c + 1 < count and bounds_C[c + 1] >= least:
                prefetch(at_rows + waiting_C[c + 1] * row_bytes, row_bytes)
            bound = float(bounds_C[c])
            floor = max(scores_K[0] if size == k else -np.inf, lists.least_Q[i])
            if bound < floor:
                continue
            if bound < least:
                bounds_C[kept], waiting_C[kept] = bounds_C[c], waiting_C[c]
                kept += 1
                continue
            row = np.int64(waiting_C[c])
            row_D = as_float32(slab.bits_SD[row], slab.kind, scratch_D)
            value = score(query_D, row_D, sums) + np.float64(slab.added_S[row])
            size = insert(scores_K, rows_K, size, value, int(slab.first + row))
        lists.counts_Q[i], lists.sizes_Q[i] = kept, size
        if not is_last and 2 * kept <= len(bounds_C):
            break


@compiled
def floor_of(lists: Lists, i: int) -> Any:
    """Return a float32 that a bound must reach for its row to be among the best of query ``i``."""
    floor = lists.least_Q[i]
    if lists.sizes_Q[i] == lists.scores_QK.shape[1]:
        floor = max(floor, lists.scores_QK[i, 0])
    return rounded_down(floor) if floor > LOWEST else LOWEST


@compiled
def settle(lists: Lists, queries_QD: Float32, slab: Slab, first: int, last: int) -> None:
    """Score what still waits, before the slab is let go of."""
    scratch_D = np.empty(queries_QD.shape[1], np.float32)
    for i in range(first, last):
        absorb(lists, i, queries_QD[i], slab, scratch_D, True)


@compiled
def put_in_order(scores_QK: Float64, rows_QK: Int64, sizes_Q: Int64, first: int, last: int) -> None:
    """Sort heaps: the best first, equal ones by lower row; empty places stay last."""
    for i in range(first, last):
        scores_K, rows_K = scores_QK[i], rows_QK[i]
        for size in range(sizes_Q[i] - 1, 0, -1):  # the worst goes last, the others are a heap
            value, row = scores_K[size], rows_K[size]
            scores_K[size], rows_K[size] = scores_K[0], rows_K[0]
            _sift_down(scores_K, rows_K, size, value, row)
