"""Compiled loops of exact search: which gallery rows may still be among the top k of a query.

A proposed score v of a query and a gallery row lies within ``relative * |v| + radius`` of the score
proper. So the k-th best proposal, less its error, is a floor under the k-th best score, and a row
whose proposal plus its error stays below the floor is out for good. What is left is scored again in
float64. Every loop releases the interpreter's lock and works on the queries ``first`` to ``last``.

This module does not know how the proposals were made, only how wrong they can be.

Legend of shapes: Q queries, G gallery rows, N rows of one gallery block, D dimensions, C candidates
kept for a query (an ascending list of rows in the first ``counts`` places).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from cairn.domain import Float32, Int64

Float64 = NDArray[np.float64]
Loop = TypeVar("Loop", bound=Callable[..., Any])

CHUNK = 128
"""Proposals looked at together; a query's places must exceed k by at least so many."""


def _compiled(loop: Loop) -> Loop:
    # Sums may be reordered, so that they vectorise; NaN and infinity keep their meaning.
    compiled: Loop = numba.njit(
        nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
    )(loop)
    return compiled


@_compiled
def measure(
    rows_ND: Float32,
    norms_N: Float32,
    queries_QD: Float32,
    proposals_QN: Float32,
    first: int,
    last: int,
) -> None:
    """Write the norms of the rows ``first`` to ``last`` and their products with a few queries.

    One pass over the rows does both: with so few queries memory is what takes the time.
    """
    num = rows_ND.shape[1]
    for i in range(first, last):
        total = np.float32(0)
        for d in range(num):
            total += rows_ND[i, d] * rows_ND[i, d]
        norms_N[i] = np.sqrt(total)
        for q in range(len(queries_QD)):
            total = np.float32(0)
            for d in range(num):
                total += queries_QD[q, d] * rows_ND[i, d]
            proposals_QN[q, i] = total


@_compiled
def round_to_bfloat16(
    rows_ND: Float32,
    rounded_ND: NDArray[np.uint16],
    norms_N: Float32,
    errors_N: Float32,
    first: int,
    last: int,
) -> None:
    """Write rows rounded to bfloat16 (as bits), their norms, and the norms of the error."""
    num = rows_ND.shape[1]
    bits = np.empty(num, np.uint32)
    values = bits.view(np.float32)
    for i in range(first, last):
        source = rows_ND[i].view(np.uint32)
        for d in range(num):  # to nearest, ties to even
            up = np.uint32(source[d] + np.uint32(0x7FFF) + ((source[d] >> 16) & np.uint32(1)))
            rounded_ND[i, d] = np.uint16(up >> 16)
            bits[d] = up & np.uint32(0xFFFF0000)
        total = np.float32(0)
        lost = np.float32(0)
        for d in range(num):
            total += rows_ND[i, d] * rows_ND[i, d]
            lost += (rows_ND[i, d] - values[d]) * (rows_ND[i, d] - values[d])
        norms_N[i] = np.sqrt(total)
        errors_N[i] = np.sqrt(lost)


@_compiled
def _threshold(floor: float, radius: float, relative: float) -> Any:
    """Return the least proposal v with v + relative |v| + radius >= floor."""
    least = floor - radius
    return np.float32(least / (1 + relative) if least >= 0 else least / (1 - relative))


@_compiled
def _rescore(query_D: Float32, gallery_GD: Float32, offsets_G: Float32, rows_C: Int64) -> Float64:
    """Return the (C,) scores proper: inner products plus offsets, summed in float64."""
    scores_C = np.empty(len(rows_C), np.float64)
    for c in range(len(rows_C)):
        row = rows_C[c]
        total = 0.0
        for d in range(len(query_D)):
            total += np.float64(query_D[d]) * np.float64(gallery_GD[row, d])
        scores_C[c] = total + np.float64(offsets_G[row])
    return scores_C


@_compiled
def _prune(
    query_D: Float32,
    gallery_GD: Float32,
    offsets_G: Float32,
    k: int,
    relative: float,
    radius: float,
    floor: float,
    values_C: Float32,
    rows_C: Int64,
    count: int,
) -> Any:
    """Drop candidates that are out for good; return how many stay and the raised floor."""
    if count < k:
        return count, floor
    kth = np.float64(np.partition(values_C[:count], count - k)[count - k])
    floor = max(floor, kth - relative * abs(kth) - radius)
    least = _threshold(floor, radius, relative)
    kept = 0
    for c in range(count):
        if values_C[c] >= least:
            values_C[kept] = values_C[c]
            rows_C[kept] = rows_C[c]
            kept += 1
    if kept <= len(values_C) - CHUNK:
        return kept, floor
    scores_C = _rescore(query_D, gallery_GD, offsets_G, rows_C[:kept])  # too many near ties
    best = np.argsort(-scores_C, kind="mergesort")[:k]
    floor = max(floor, scores_C[best[k - 1]])
    best.sort()
    for c in range(k):
        values_C[c] = values_C[best[c]]
        rows_C[c] = rows_C[best[c]]
    return k, floor


@_compiled
def gather(
    proposals_QN: NDArray[np.uint16] | NDArray[np.uint32],
    shift: int,
    start: int,
    queries_QD: Float32,
    gallery_GD: Float32,
    offsets_G: Float32,
    k: int,
    relative: float,
    radius_Q: Float64,
    floors_Q: Float64,
    values_QC: Float32,
    rows_QC: Int64,
    counts_Q: Int64,
    first: int,
    last: int,
) -> None:
    """Add to the candidates what one block of the gallery, beginning at row ``start``, offers.

    ``proposals_QN`` holds the bits of the inner products; shifted left by ``shift`` they are those
    of a float32.
    """
    num = proposals_QN.shape[1]
    bits, work = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.uint32)
    scores, differences = bits.view(np.float32), work.view(np.float32)
    for i in range(first, last):
        count, floor = counts_Q[i], floors_Q[i]
        least = _threshold(floor, radius_Q[i], relative)
        for begin in range(0, num, CHUNK):
            size = min(CHUNK, num - begin)
            row = proposals_QN[i, begin : begin + size]
            offsets = offsets_G[start + begin : start + begin + size]
            if size == CHUNK:
                # Loops of known length without branches vectorise: the difference of a score that
                # reaches ``least`` has no sign bit.
                for j in range(CHUNK):
                    bits[j] = np.uint32(row[j]) << np.uint32(shift)
                for j in range(CHUNK):
                    scores[j] += offsets[j]
                    differences[j] = scores[j] - least
                unsigned = np.uint32(0)
                for j in range(CHUNK):
                    unsigned |= ~work[j]
                if unsigned >> np.uint32(31) == 0:
                    continue
            else:
                for j in range(size):
                    bits[j] = np.uint32(row[j]) << np.uint32(shift)
                    scores[j] += offsets[j]
            if count + size > values_QC.shape[1]:
                count, floor = _prune(
                    queries_QD[i],
                    gallery_GD,
                    offsets_G,
                    k,
                    relative,
                    radius_Q[i],
                    floor,
                    values_QC[i],
                    rows_QC[i],
                    count,
                )
                least = _threshold(floor, radius_Q[i], relative)
            for j in range(size):
                if scores[j] >= least:
                    values_QC[i, count] = scores[j]
                    rows_QC[i, count] = start + begin + j
                    count += 1
        counts_Q[i], floors_Q[i] = count, floor


@_compiled
def settle(
    queries_QD: Float32,
    gallery_GD: Float32,
    offsets_G: Float32,
    k: int,
    relative: float,
    radius_Q: Float64,
    floors_Q: Float64,
    values_QC: Float32,
    rows_QC: Int64,
    counts_Q: Int64,
    indices_QK: Int64,
    similarities_QK: Float32,
    first: int,
    last: int,
) -> None:
    """Write the first ``k`` candidates by score in float64, equal ones by lower row."""
    for i in range(first, last):
        count, _ = _prune(
            queries_QD[i],
            gallery_GD,
            offsets_G,
            k,
            relative,
            radius_Q[i],
            floors_Q[i],
            values_QC[i],
            rows_QC[i],
            counts_Q[i],
        )
        scores_C = _rescore(queries_QD[i], gallery_GD, offsets_G, rows_QC[i, :count])
        order = np.argsort(-scores_C, kind="mergesort")
        for c in range(k):
            indices_QK[i, c] = rows_QC[i, order[c]]
            similarities_QK[i, c] = np.float32(scores_C[order[c]])
