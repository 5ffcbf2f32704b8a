"""How the loops of search are compiled, and how they read rows of any kind.

Every loop releases the interpreter's lock. Rows come as bits: uint32 for float32, uint16 for
float16 and bfloat16, so that a gallery in half precision is never copied whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from cairn.domain import Float32

Loop = TypeVar("Loop", bound=Callable[..., Any])

FLOAT32, BFLOAT16, FLOAT16 = 0, 1, 2
"""What the bits of a row mean."""

TOO_LARGE = np.float32(65536.0)
"""What infinity and NaN of float16 become at least; its largest number is 65,504."""


def compiled(loop: Loop) -> Loop:
    """Compile a loop whose sums may be reordered; NaN and infinity keep their meaning."""
    made: Loop = numba.njit(
        nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"}
    )(loop)
    return made


def compiled_strictly(loop: Loop) -> Loop:
    """Compile a loop whose sums are added in the order written, on every processor.

    Unless that is said, numba lets a loop inherit the reordering of the one that calls it.
    """
    made: Loop = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=False)(loop)
    return made


def as_float32(
    bits_D: NDArray[np.uint16] | NDArray[np.uint32], kind: int, scratch_D: Float32
) -> Float32:
    """Return a row's numbers: the row itself where it is float32, else ``scratch_D``, filled."""
    if bits_D.dtype == np.uint32:
        return bits_D.view(np.float32)
    halves = bits_D.view(np.float16 if kind == FLOAT16 else np.uint16)
    wide = halves.astype(np.float32) if kind == FLOAT16 else _widened(halves)
    scratch_D[:] = wide
    return scratch_D


def _widened(bits: NDArray[Any]) -> Float32:
    return (bits.astype(np.uint32) << 16).view(np.float32)


@overload(as_float32, jit_options={"cache": True})  # type: ignore[untyped-decorator]
def _as_float32(bits_D: Any, kind: Any, scratch_D: Any) -> Any:
    if bits_D.dtype.bitwidth == 32:

        def same(bits_D: Any, kind: Any, scratch_D: Any) -> Any:
            return bits_D.view(np.float32)

        return same

    def widened(bits_D: Any, kind: Any, scratch_D: Any) -> Any:
        out = scratch_D.view(np.uint32)
        if kind == BFLOAT16:
            for d in range(len(bits_D)):
                out[d] = np.uint32(bits_D[d]) << np.uint32(16)
        else:
            # The exponent moves from 5 bits with bias 15 to 8 with bias 127: a factor of 2^112,
            # which also makes subnormal numbers normal. Infinity and NaN come out too large.
            for d in range(len(bits_D)):
                half = np.uint32(bits_D[d])
                out[d] = (half & np.uint32(0x7FFF)) << np.uint32(13)
            for d in range(len(bits_D)):
                scratch_D[d] *= np.float32(2.0**112)
            for d in range(len(bits_D)):
                out[d] |= (np.uint32(bits_D[d]) & np.uint32(0x8000)) << np.uint32(16)
        return scratch_D

    return widened
