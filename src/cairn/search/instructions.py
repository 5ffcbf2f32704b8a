"""What numba has no word for, as LLVM code: a dot product in float64, prefetching, a bit's place.

Vectors here are LLVM's own, of a fixed number of lanes, which it fits to any processor: sums come
out the same in every bit everywhere.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

SUMS = 16
"""Partial sums of a dot product: number d goes to sum d modulo 16."""

_INT32, _INT64 = ir.IntType(32), ir.IntType(64)
_LINE_BYTES = 64


def pointer(builder: Any, address: Any, offset: int, kind: Any) -> Any:
    """Return a pointer to a ``kind`` so many bytes after an address."""
    moved = builder.add(address, ir.Constant(_INT64, offset))
    return builder.inttoptr(moved, kind.as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def add_products(typing_context: Any, a: Any, b: Any, num: Any, sums: Any) -> Any:
    """Write the 16 partial sums of the products of two rows of float32.

    Args:
        typing_context: numba's.
        a: Address of a row.
        b: Address of the other.
        num: How many numbers, rounded down to a multiple of 16; the rest is not looked at.
        sums: Address of 16 float64, written.
    """
    return types.void(*[types.int64] * 4), _products


def _products(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    a, b, num, sums = arguments
    half = SUMS // 2
    floats = ir.VectorType(ir.FloatType(), half)
    doubles = ir.VectorType(ir.DoubleType(), half)
    kept = [cgutils.alloca_once(builder, doubles) for _ in range(2)]
    for one in kept:
        builder.store(ir.Constant(doubles, [0.0] * half), one)
    with cgutils.for_range(builder, builder.sdiv(num, ir.Constant(_INT64, SUMS))) as loop:
        moved = builder.mul(loop.index, ir.Constant(_INT64, 4 * SUMS))
        rows = [builder.add(row, moved) for row in (a, b)]
        for part, one in enumerate(kept):
            left, right = (
                builder.fpext(
                    builder.load(pointer(builder, row, 4 * half * part, floats), align=4), doubles
                )
                for row in rows
            )
            # Products of float32 are exact in float64, so fusing them changes no bit.
            product = builder.fmul(left, right, flags=["contract"])
            builder.store(builder.fadd(builder.load(one), product, flags=["contract"]), one)
    for part, one in enumerate(kept):
        place = pointer(builder, sums, 8 * half * part, doubles)
        builder.store(builder.load(one), place, align=8)
    return context.get_dummy_value()


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typing_context: Any, address: Any, num_bytes: Any) -> Any:
    """Ask for memory that will be read soon."""
    return types.void(types.int64, types.int64), _prefetch


def _prefetch(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    address, num_bytes = arguments
    byte = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [byte, _INT32, _INT32, _INT32])
    fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    lines = builder.sdiv(num_bytes, ir.Constant(_INT64, _LINE_BYTES))
    to_read, to_keep, data = (ir.Constant(_INT32, value) for value in (0, 3, 1))
    with cgutils.for_range(builder, lines) as loop:
        moved = builder.mul(loop.index, ir.Constant(_INT64, _LINE_BYTES))
        place = builder.inttoptr(builder.add(address, moved), byte)
        builder.call(fetch, [place, to_read, to_keep, data])
    return context.get_dummy_value()


@intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing_context: Any, mask: Any) -> Any:
    """Return the place of the lowest bit that is set in a uint32, which is not zero."""
    return types.int64(types.uint32), _lowest_bit


def _lowest_bit(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
    place = builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))
    return builder.zext(place, _INT64)
