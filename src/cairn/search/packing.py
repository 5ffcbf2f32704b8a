"""Rows as codes of one byte a dimension, and how far a code may be from its row.

A row x becomes round(x / scale) with scale = max|x| / 127. What rounding lost is measured, not
estimated, so that the bound of a score follows from the rows themselves: with x', y' the rows that
the codes stand for, xy <= x'y' + |x - x'| |y| + |x'| |y - y'| (Cauchy-Schwarz). Norms are measured
in float32 and rounded up; that holds for rows of lengths that ``rows.require_vectors`` lets pass,
whose squares neither vanish nor overflow.

Legend of shapes: N rows, D dimensions; layouts of groups and panels as in ``tiles``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Float32
from cairn.search.candidates import LOWEST, Bits
from cairn.search.compiled import FLOAT16, TOO_LARGE, as_float32, compiled
from cairn.search.tiles import LANES, QUERIES, QUERY_FACTS, ROW_FACTS, ROWS, aligned

UNIT = 2.0**-24
"""Half a unit in the last place of a float32 near 1."""


class Panels(NamedTuple):
    """Gallery rows for tiles.

    Args:
        codes: (P, 2, steps, LANES, 4) uint8.
        facts: (P, ROW_FACTS, ROWS) float32; a place without a row is never reached.
        norms_N: (N,) float32, not below the rows' norms.
    """

    codes: NDArray[np.uint8]
    facts: Float32
    norms_N: Float32


class Groups(NamedTuple):
    """Queries for tiles.

    Args:
        codes: (H, steps, QUERIES, 4) int8.
        facts: (H, QUERY_FACTS, QUERIES) float32, the first of them int32 bits.
        norms_N: (N,) float32, not below the rows' norms.
        errors_N: (N,) float32, not below the norms of what rounding lost.
    """

    codes: NDArray[np.int8]
    facts: Float32
    norms_N: Float32
    errors_N: Float32


def empty_panels(num_rows: int, dimension: int) -> Panels:
    """Return room for the panels of ``num_rows`` rows."""
    num, steps = -(-num_rows // ROWS), -(-dimension // 4)
    return Panels(
        aligned((num, 2, steps, LANES, 4), np.uint8),
        aligned((num, ROW_FACTS, ROWS), np.float32),
        np.empty(num_rows, np.float32),
    )


def empty_groups(num_rows: int, dimension: int) -> Groups:
    """Return room for the groups of ``num_rows`` queries; places without one reach nothing."""
    num, steps = -(-num_rows // QUERIES), -(-dimension // 4)
    groups = Groups(
        np.zeros((num, steps, QUERIES, 4), np.int8),
        np.zeros((num, QUERY_FACTS, QUERIES), np.float32),
        np.empty(num_rows, np.float32),
        np.empty(num_rows, np.float32),
    )
    groups.facts[:, 4] = np.inf
    return groups


@compiled
def _float_of(bits: int) -> Any:
    """Return the float32 of these bits."""
    one = np.empty(1, np.int32)
    one[0] = bits
    return one.view(np.float32)[0]


@compiled
def norm_of(row_D: Float32, kind: int) -> Any:
    """Return a row's norm, rounded up; NaN where it is no vector."""
    total = np.float32(0)
    for d in range(len(row_D)):
        total += row_D[d] * row_D[d]
    norm = np.sqrt(total)
    if not (norm > 0 and norm < np.inf) or (kind == FLOAT16 and largest(row_D) >= TOO_LARGE):
        norm = np.float32(np.nan)
    # The sum was made in float32: D additions and products, rounded each.
    return norm * np.float32(1 + 2 * (len(row_D) + 4) * UNIT)


@compiled
def largest(row_D: Float32) -> Any:
    """Return the largest size of a row's numbers."""
    # As whole numbers sizes compare alike, and their maximum is taken in any order.
    bits_D = row_D.view(np.int32)
    most = np.int32(0)
    for d in range(len(row_D)):
        most = max(most, bits_D[d] & np.int32(0x7FFFFFFF))
    return np.float32(_float_of(int(most)))


@compiled
def measure_all(
    rows_ND: Float32,
    back_ND: Float32,
    norms_N: Float32,
    errors_N: Float32,
    first: int,
    last: int,
) -> None:
    """Write norms of the rows ``first`` to ``last``, and of their differences from ``back_ND``."""
    for i in range(first, last):
        norms_N[i] = norm_of(rows_ND[i], 0)
        errors_N[i] = _norm_of_difference(rows_ND[i], back_ND[i], largest(rows_ND[i]))


@compiled
def _norm_of_difference(row_D: Float32, back_D: Float32, most: float) -> Any:
    """Return the norm of what rounding a row lost, rounded up."""
    num = len(row_D)
    lost = np.float32(0)
    for d in range(num):
        lost += (row_D[d] - back_D[d]) * (row_D[d] - back_D[d])
    # Rounding of the differences themselves, at most 2^-22 of each number, is added.
    size = np.float32(2.0**-22) * np.float32(most) * np.float32(np.sqrt(num))
    return np.sqrt(lost) * np.float32(1 + 2 * (num + 4) * UNIT) + size


@compiled
def _encode(row_D: Float32, most: float, codes_S: NDArray[np.uint8], back_D: Float32) -> Any:
    """Fill codes (plus 128) of a row; return the scale and the norm of what rounding lost."""
    scale = np.float32(most) / np.float32(127)
    inverse = np.float32(127) / np.float32(most)
    num = len(row_D)
    for d in range(num):
        codes_S[d] = np.uint8(np.int32(row_D[d] * inverse + np.float32(128.5)))
    for d in range(num):
        back_D[d] = (np.float32(codes_S[d]) - np.float32(128)) * scale
    return scale, _norm_of_difference(row_D, back_D, most)


@compiled
def pack_rows(
    bits_ND: Bits, kind: int, added_N: Float32, panels: Panels, first: int, last: int
) -> None:
    """Fill the panels ``first`` to ``last``."""
    num_rows, dimension = bits_ND.shape
    steps = panels.codes.shape[2]
    scratch_D, back_D = np.empty(dimension, np.float32), np.empty(dimension, np.float32)
    codes_S = np.full(4 * steps, 128, np.uint8)
    words = codes_S.view(np.uint32)
    for p in range(first, last):
        target = panels.codes[p].reshape(2, steps, 4 * LANES).view(np.uint32)
        for j in range(ROWS):
            row = p * ROWS + j
            if row >= num_rows:
                panels.facts[p, 0, j] = 0
                panels.facts[p, 1, j] = 0
                panels.facts[p, 2, j] = -np.inf
                panels.facts[p, 3, j] = np.inf
                for s in range(steps):
                    target[j // LANES, s, j % LANES] = 0
                continue
            row_D = as_float32(bits_ND[row], kind, scratch_D)
            panels.norms_N[row] = norm_of(row_D, kind)
            scale, error = _encode(row_D, largest(row_D), codes_S, back_D)
            panels.facts[p, 0, j] = scale
            panels.facts[p, 1, j] = error
            # Raised by more than adding it rounds off: a large one widens its own row alone.
            panels.facts[p, 2, j] = added_N[row] + np.float32(16 * UNIT) * abs(added_N[row])
            panels.facts[p, 3, j] = np.inf
            for s in range(steps):
                target[j // LANES, s, j % LANES] = words[s]


def grown(panels: Panels, bits_ND: Bits, kind: int, num_rows: int) -> Panels:
    """Return panels of more rows, nothing added to scores; the first ``num_rows`` are packed."""
    made = empty_panels(*bits_ND.shape)
    made.codes[: len(panels.codes)] = panels.codes
    made.facts[: len(panels.facts)] = panels.facts
    made.norms_N[: len(panels.norms_N)] = panels.norms_N
    nothing_N = np.zeros(len(bits_ND), np.float32)
    pack_rows(bits_ND, kind, nothing_N, made, num_rows // ROWS, len(made.codes))
    return made


def with_added(panels: Panels, added_N: Float32) -> Panels:
    """Return panels of the same rows, of which other numbers are added to their scores."""
    facts = aligned(panels.facts.shape, np.float32)
    facts[:] = panels.facts
    raised = np.full(facts.shape[0] * ROWS, -np.inf, np.float32)
    raised[: len(added_N)] = added_N + np.float32(16 * UNIT) * np.abs(added_N)  # as pack_rows
    facts[:, 2] = raised.reshape(-1, ROWS)
    return panels._replace(facts=facts)


@compiled
def pack_queries(rows_ND: Float32, groups: Groups, first: int, last: int) -> None:
    """Fill the groups ``first`` to ``last``, but for radii and the weights of errors."""
    num_rows, dimension = rows_ND.shape
    steps = groups.codes.shape[1]
    back_D = np.empty(dimension, np.float32)
    codes_S = np.full(4 * steps, 128, np.uint8)
    sums = groups.facts.view(np.int32)
    for g in range(first, last):
        for i in range(min(QUERIES, num_rows - g * QUERIES)):
            row = g * QUERIES + i
            groups.norms_N[row] = norm_of(rows_ND[row], 0)
            most = largest(rows_ND[row])
            scale, groups.errors_N[row] = _encode(rows_ND[row], most, codes_S, back_D)
            total = np.int32(0)
            for d in range(4 * steps):
                code = np.int32(codes_S[d]) - 128
                groups.codes[g, d // 4, i, d % 4] = code
                total += code
            sums[g, 0, i] = -128 * total
            groups.facts[g, 1, i] = scale
            groups.facts[g, 4, i] = LOWEST
