"""Three ways past all rows of a slab: by tiles, row by row, or over products made elsewhere.

Each gives every pair a bound and lets those that reach the query's floor wait (``candidates``).
The bounds hold whatever the numbers are; how tight they are decides how many rows are scored.

Legend of shapes: Q queries, S rows of the slab, D dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Float32
from cairn.search.candidates import Lists, Slab, absorb, floor_of, settle
from cairn.search.compiled import as_float32, compiled
from cairn.search.instructions import lowest_bit
from cairn.search.packing import UNIT, Groups, Panels, norm_of
from cairn.search.tiles import LANES, QUERIES, ROWS, tile

CHUNK = 128
"""Products looked at together."""


@compiled
def _wait(lists: Lists, i: int, bound: float, row: int) -> Any:
    """Let a row wait; return whether the query's list is full now."""
    count = lists.counts_Q[i]
    lists.bounds_QC[i, count] = bound
    lists.waiting_QC[i, count] = row
    lists.counts_Q[i] = count + 1
    return count + 1 == lists.bounds_QC.shape[1]


@compiled
def scan_tiles(
    groups: Groups,
    panels: Panels,
    lists: Lists,
    queries_QD: Float32,
    slab: Slab,
    first: int,
    last: int,
) -> None:
    """Scan the panels ``first`` to ``last`` for all queries, and settle."""
    steps = panels.codes.shape[2]
    uppers = np.empty((QUERIES, ROWS), np.float32)
    masks = np.empty((2, QUERIES, 2), np.uint16)
    pairs = masks.view(np.uint32)
    scratch_D = np.empty(queries_QD.shape[1], np.float32)
    at_rows, at_row_facts = panels.codes.ctypes.data, panels.facts.ctypes.data
    at_groups, at_query_facts = groups.codes.ctypes.data, groups.facts.ctypes.data
    rows_bytes, row_facts_bytes = panels.codes[0].nbytes, panels.facts[0].nbytes
    group_bytes, query_facts_bytes = groups.codes[0].nbytes, groups.facts[0].nbytes
    for i in range(len(queries_QD)):
        groups.facts[i // QUERIES, 4, i % QUERIES] = floor_of(lists, i)
    for p in range(first, last):
        for g in range(len(groups.codes)):
            tile(
                at_groups + g * group_bytes,
                at_rows + p * rows_bytes,
                steps,
                at_query_facts + g * query_facts_bytes,
                at_row_facts + p * row_facts_bytes,
                uppers.ctypes.data,
                masks.ctypes.data,
            )
            for a in range(QUERIES):
                mask = pairs[0, a, 0]
                if mask == 0:
                    continue
                i = g * QUERIES + a
                floor = groups.facts[g, 4, a]
                while mask:
                    bit = lowest_bit(mask)
                    mask &= mask - np.uint32(1)
                    j = bit // 16 * LANES + bit % 16
                    if uppers[a, j] >= floor and _wait(lists, i, uppers[a, j], p * ROWS + j):
                        absorb(lists, i, queries_QD[i], slab, scratch_D, False)
                        floor = floor_of(lists, i)
                groups.facts[g, 4, a] = floor
    settle(lists, queries_QD, slab, 0, len(queries_QD))


@compiled
def scan_tiles_both(
    groups: Groups,
    panels: Panels,
    lists: Lists,
    queries: Slab,
    rows_lists: Lists,
    slab: Slab,
    groups_at_once: int,
    first: int,
    last: int,
) -> None:
    """Scan the panels ``first`` to ``last`` for the best rows of all queries, and the other way.

    ``queries`` is a slab too: what waits for a row of the gallery is a query. The products are made
    once. Rows outside ``first`` to ``last`` are not touched, so that threads may share the lists
    of the rows, but each needs lists of its own for the queries.
    """
    steps = panels.codes.shape[2]
    dimension = slab.bits_SD.shape[1]
    uppers = np.empty((QUERIES, ROWS), np.float32)
    masks = np.empty((2, QUERIES, 2), np.uint16)
    pairs = masks.view(np.uint32)
    scratch_D, other_D = np.empty(dimension, np.float32), np.empty(dimension, np.float32)
    at_rows, at_row_facts = panels.codes.ctypes.data, panels.facts.ctypes.data
    at_groups, at_query_facts = groups.codes.ctypes.data, groups.facts.ctypes.data
    rows_bytes, row_facts_bytes = panels.codes[0].nbytes, panels.facts[0].nbytes
    group_bytes, query_facts_bytes = groups.codes[0].nbytes, groups.facts[0].nbytes
    num_queries, num_rows = len(queries.bits_SD), len(slab.bits_SD)
    queries_QD = queries.bits_SD.view(np.float32)
    for i in range(num_queries):
        groups.facts[i // QUERIES, 4, i % QUERIES] = floor_of(lists, i)
    for row in range(first * ROWS, min(last * ROWS, num_rows)):
        panels.facts[row // ROWS, 3, row % ROWS] = floor_of(rows_lists, row)
    for begin in range(0, len(groups.codes), groups_at_once):
        for p in range(first, last):
            for g in range(begin, min(begin + groups_at_once, len(groups.codes))):
                tile(
                    at_groups + g * group_bytes,
                    at_rows + p * rows_bytes,
                    steps,
                    at_query_facts + g * query_facts_bytes,
                    at_row_facts + p * row_facts_bytes,
                    uppers.ctypes.data,
                    masks.ctypes.data,
                )
                for a in range(QUERIES):
                    i = g * QUERIES + a
                    mask = pairs[0, a, 0]
                    while mask:
                        bit = lowest_bit(mask)
                        mask &= mask - np.uint32(1)
                        j = bit // 16 * LANES + bit % 16
                        bound = uppers[a, j]
                        if bound >= groups.facts[g, 4, a] and _wait(lists, i, bound, p * ROWS + j):
                            absorb(lists, i, queries_QD[i], slab, scratch_D, False)
                            groups.facts[g, 4, a] = floor_of(lists, i)
                    mask = pairs[1, a, 0] if i < num_queries else np.uint32(0)
                    while mask:
                        bit = lowest_bit(mask)
                        mask &= mask - np.uint32(1)
                        j = bit // 16 * LANES + bit % 16
                        row = p * ROWS + j
                        bound = uppers[a, j]
                        if bound >= panels.facts[p, 3, j] and _wait(rows_lists, row, bound, i):
                            row_D = as_float32(slab.bits_SD[row], slab.kind, other_D)
                            absorb(rows_lists, row, row_D, queries, scratch_D, False)
                            panels.facts[p, 3, j] = floor_of(rows_lists, row)
    settle(lists, queries_QD, slab, 0, num_queries)
    for row in range(first * ROWS, min(last * ROWS, num_rows)):
        row_D = as_float32(slab.bits_SD[row], slab.kind, other_D)
        absorb(rows_lists, row, row_D, queries, scratch_D, True)


@compiled
def scan_rows(
    queries_QD: Float32,
    norms_Q: Float32,
    slab: Slab,
    lists: Lists,
    norms_S: Float32,
    first: int,
    last: int,
) -> None:
    """Scan rows for a few queries, as quickly as memory gives the rows, and settle."""
    dimension = queries_QD.shape[1]
    scratch_D = np.empty(dimension, np.float32)
    floors = np.empty(len(queries_QD), np.float32)
    # D products and additions in float32, in any order, and the addition of what is added.
    relative = np.float32((dimension + 8) * UNIT)
    for i in range(len(queries_QD)):
        floors[i] = floor_of(lists, i)
    for row in range(first, last):
        row_D = as_float32(slab.bits_SD[row], slab.kind, scratch_D)
        norm = norm_of(row_D, slab.kind)
        norms_S[row] = norm
        for i in range(len(queries_QD)):
            total = np.float32(0)
            for d in range(dimension):
                total += queries_QD[i, d] * row_D[d]
            size = norms_Q[i] * norm + abs(total) + abs(slab.added_S[row])
            bound = total + slab.added_S[row] + relative * size
            if bound >= floors[i] and _wait(lists, i, bound, row):
                absorb(lists, i, queries_QD[i], slab, scratch_D, False)
                floors[i] = floor_of(lists, i)
    settle(lists, queries_QD, slab, 0, len(queries_QD))


@compiled
def scan_products(
    products_QN: NDArray[np.uint16] | NDArray[np.uint32],
    shift: int,
    start: int,
    relative: float,
    radius_Q: Float32,
    weights_Q: Float32,
    errors_S: Float32,
    raised_S: Float32,
    lists: Lists,
    queries_QD: Float32,
    slab: Slab,
    first: int,
    last: int,
) -> None:
    """Take in a block of products whose first row is row ``start`` of the slab.

    ``products_QN`` holds the bits of the products; shifted left by ``shift`` they are those of a
    float32 v. A pair's bound is ``v + relative |v| + error_r * weight_q + raised_r + radius_q``;
    ``raised_S`` is what is added to scores, raised by more than adding it rounds off.
    """
    num = products_QN.shape[1]
    scratch_D = np.empty(queries_QD.shape[1], np.float32)
    bits, bounds = np.empty(CHUNK, np.uint32), np.empty(CHUNK, np.float32)
    values = bits.view(np.float32)
    share = np.float32(relative)
    for i in range(first, last):
        floor = floor_of(lists, i)
        weight, radius = weights_Q[i], radius_Q[i]
        for begin in range(0, num, CHUNK):
            size = min(CHUNK, num - begin)
            row = products_QN[i, begin : begin + size]
            errors = errors_S[start + begin : start + begin + size]
            raised = raised_S[start + begin : start + begin + size]
            for j in range(size):
                bits[j] = np.uint32(row[j]) << np.uint32(shift)
            for j in range(size):
                slack = share * abs(values[j]) + errors[j] * weight + raised[j] + radius
                bounds[j] = values[j] + slack
            reached = np.uint32(0)
            for j in range(size):
                reached |= np.uint32(bounds[j] >= floor)
            if reached == 0:
                continue
            for j in range(size):
                if bounds[j] >= floor and _wait(lists, i, bounds[j], start + begin + j):
                    absorb(lists, i, queries_QD[i], slab, scratch_D, False)
                    floor = floor_of(lists, i)
