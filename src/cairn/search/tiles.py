"""Inner products of int8 codes in the processor's dot-product units, one register tile at a time.

A tile is ``QUERIES`` queries by ``ROWS`` gallery rows. Its sums never leave the registers before
they are compared: what comes out is, for each pair, an upper bound of its score and whether that
reaches the query's floor, or the row's. So the query x gallery matrix is not even written block by
block. The instruction (VPDPBUSD, of AVX-512 VNNI or AVX-VNNI) adds four products of an unsigned and
a signed byte to a 32-bit sum, exactly; Python has no word for it, so the loop is given to numba as
LLVM code.

This module knows addresses and layouts; it does not know how codes are made (``packing``) or what
becomes of the pairs that reach a floor (``scans``).

Legend of layouts, all contiguous; a step is four dimensions:

- queries: int8 (steps, QUERIES, 4), one group.
- rows: uint8 (2, steps, LANES, 4), one panel; a code is its byte less 128.
- query facts: (5, QUERIES) of 32 bits: int32 -128 x the sum of the codes, float32 scale, float32
  weight of a row's error, float32 radius, float32 floor.
- row facts: float32 (4, ROWS): scale, error, what is added to the score, floor.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from cairn.search.instructions import pointer

# What numba compiles for, which is this processor unless its settings say otherwise.
_features = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
IS_WIDE = "+avx512vnni" in _features and "+avx512vl" in _features
HAS_TILES = IS_WIDE or "+avxvnni" in _features
"""Whether this processor has the instruction; without it, nothing here may be called."""

HAS_MATRIX_UNITS = "+amx-bf16" in _features
"""Whether it multiplies matrices in bfloat16 in units of their own."""

LANES = 16 if IS_WIDE else 8
QUERIES = 14 if IS_WIDE else 6
"""So many sums, two vectors of each, as fill the registers but for the operands."""

MOST_DIMENSIONS = 1 << 17
"""As many products of codes, 127 x 127 at most, as surely fit into the 32 bits of a sum."""

ROWS = 2 * LANES
QUERY_FACTS, ROW_FACTS = 5, 4

_ALIGNMENT = 64
_VECTORS = 2
_INT16, _INT32, _INT64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_INTS, _FLOATS = (ir.VectorType(kind, LANES) for kind in (_INT32, ir.FloatType()))
_DOT = f"llvm.x86.avx512.vpdpbusd.{32 * LANES}"


def aligned(shape: tuple[int, ...], dtype: Any) -> Any:
    """Return an uninitialised array that begins where vectors may be loaded at once."""
    num_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(num_bytes + _ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + num_bytes].view(dtype).reshape(shape)


@intrinsic  # type: ignore[untyped-decorator]
def tile(
    typing_context: Any,
    queries: Any,
    rows: Any,
    steps: Any,
    query_facts: Any,
    row_facts: Any,
    uppers: Any,
    masks: Any,
) -> Any:
    """Write upper bounds of the scores of one group and one panel, and which reach a floor.

    All arguments are addresses but ``steps``. With the sum s of products of codes, a pair's bound
    is ``s * scale_q * scale_r + error_r * weight_q + added_r + radius_q``, in float32.

    Args:
        typing_context: numba's.
        queries: A group, as the module says, like the others.
        rows: A panel.
        steps: Number of steps.
        query_facts: The group's.
        row_facts: The panel's.
        uppers: float32 (QUERIES, ROWS), written.
        masks: uint16 (2, QUERIES, 2), written: one bit for each lane of a vector of rows whose
            bound reaches the query's floor, then those that reach the row's own.
    """
    signature = types.void(*[types.int64] * 7)
    return signature, _generate


def _generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    queries, rows, steps, query_facts, row_facts, uppers, masks = arguments
    dot = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_INTS, [_INTS] * 3), _DOT)
    load = partial(_load, builder)
    sums = [[cgutils.alloca_once(builder, _INTS) for _ in range(_VECTORS)] for _ in range(QUERIES)]
    for i in range(QUERIES):
        start = _splat(builder, load(query_facts, 4 * i, _INT32), _INTS)
        for v in range(_VECTORS):
            builder.store(start, sums[i][v])
    vector_bytes = builder.mul(steps, ir.Constant(_INT64, 4 * LANES))
    with cgutils.for_range(builder, steps) as loop:
        at_queries = builder.add(queries, builder.mul(loop.index, ir.Constant(_INT64, 4 * QUERIES)))
        at_rows = builder.add(rows, builder.mul(loop.index, ir.Constant(_INT64, 4 * LANES)))
        codes = [load(at_rows, 0, _INTS), load(builder.add(at_rows, vector_bytes), 0, _INTS)]
        for i in range(QUERIES):
            query = _splat(builder, load(at_queries, 4 * i, _INT32), _INTS)
            for v in range(_VECTORS):
                more = builder.call(dot, [builder.load(sums[i][v]), codes[v], query])
                builder.store(more, sums[i][v])
    scales, errors, added, floors = (
        [load(row_facts, 4 * (fact * ROWS + v * LANES), _FLOATS) for v in range(_VECTORS)]
        for fact in range(ROW_FACTS)
    )
    for i in range(QUERIES):
        scale, weight, radius, floor = (
            _splat(builder, load(query_facts, 4 * (fact * QUERIES + i), ir.FloatType()), _FLOATS)
            for fact in range(1, QUERY_FACTS)
        )
        for v in range(_VECTORS):
            value = builder.sitofp(builder.load(sums[i][v]), _FLOATS)
            value = builder.fmul(builder.fmul(value, scales[v]), scale)
            slack = builder.fadd(builder.fmul(errors[v], weight), builder.fadd(added[v], radius))
            upper = builder.fadd(value, slack)
            _store(builder, upper, uppers, 4 * (i * ROWS + v * LANES))
            for side, least in enumerate((floor, floors[v])):
                reached = builder.fcmp_ordered(">=", upper, least)
                bits = builder.bitcast(reached, ir.IntType(LANES))
                bits = bits if LANES == 16 else builder.zext(bits, _INT16)
                _store(builder, bits, masks, 2 * ((side * QUERIES + i) * _VECTORS + v))
    return context.get_dummy_value()


def _load(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    return builder.load(pointer(builder, address, offset, kind), align=4)


def _store(builder: Any, value: Any, address: Any, offset: int) -> None:
    builder.store(value, pointer(builder, address, offset, value.type), align=2)


def _splat(builder: Any, value: Any, kind: Any) -> Any:
    empty = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(empty, value, ir.Constant(_INT32, 0))
    places = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, empty, places)
