"""Galleries as search takes them: arrays, tensors, memory maps, or rows that are read in blocks.

Legend of shapes: G gallery rows, S rows of a slab, D dimensions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cairn.domain import Float32
from cairn.errors import CairnError

Array: TypeAlias = NDArray[Any] | Tensor
"""(N, D) float32, float16 or bfloat16 (tensors only)."""


@runtime_checkable
class Blocks(Protocol):
    """Rows that lie elsewhere, as in a table on a disk, and are read a block at a time."""

    @property
    def shape(self) -> tuple[int, int]:
        """G and D."""
        ...

    def blocks(self, num_rows: int) -> Iterator[Array]:
        """Yield all rows in order, in blocks of at most ``num_rows``."""
        ...


Gallery: TypeAlias = Array | Blocks

SHORTEST, LONGEST = 1e-9, 1e9
"""Lengths of rows: the squares of what rounding loses of them are numbers of float32 too."""

LARGEST_OFFSET = 1e30
"""With it, too, bounds are finite in float32."""

_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def as_matrix(rows: Array, name: str) -> Tensor:
    """Return rows as a contiguous matrix that shares their memory where it can.

    Raises:
        CairnError: They are no matrix, or of another type than those above.
    """
    tensor = as_tensor(rows)
    if tensor.ndim != 2 or tensor.shape[1] == 0:
        raise CairnError(f"{name} must be a matrix, one vector a row", where=tuple(tensor.shape))
    if tensor.dtype not in _TYPES:
        raise CairnError(
            f"{name} must be float32, float16 or bfloat16",
            where=tensor.dtype,
            todo="convert them first, for example with .astype(np.float32)",
        )
    return tensor


def as_tensor(values: Array) -> Tensor:
    """Return values as a contiguous tensor without a gradient, copied only where they must be."""
    if isinstance(values, Tensor):
        return values.detach().contiguous()
    with warnings.catch_warnings():  # read-only arrays are only read here
        warnings.filterwarnings("ignore", message=".*not writable.*")
        try:
            return torch.from_numpy(np.ascontiguousarray(values))
        except (TypeError, ValueError) as error:  # such as objects, or bytes in another order
            raise CairnError(f"rows cannot be searched: {error}") from None


def as_offsets(offsets: Array | None, num_rows: int) -> Float32:
    """Return what is added to the scores of each row, on the host.

    Raises:
        CairnError: Not one finite float32, at most ``LARGEST_OFFSET``, for each row.
    """
    if offsets is None:
        return np.zeros(num_rows, dtype=np.float32)
    tensor = as_tensor(offsets)
    if tensor.shape != (num_rows,) or tensor.dtype != torch.float32:
        raise CairnError(
            "offsets need one float32 for each gallery row",
            where=f"{tuple(tensor.shape)} {tensor.dtype} for {num_rows} rows",
        )
    if not bool(torch.isfinite(tensor).all()):
        raise CairnError("offsets must be finite")
    if num_rows and float(tensor.max()) > LARGEST_OFFSET:
        raise CairnError(f"offsets must be at most {LARGEST_OFFSET:g}")
    array: Float32 = tensor.cpu().numpy()
    return array


def require_vectors(norms_N: Float32, first: int, name: str) -> None:
    """Refuse rows whose norms are zero, no numbers, or far from those of unit rows.

    Raises:
        CairnError: There is one; the first is named, counted from ``first``.
    """
    bad = np.flatnonzero(~((norms_N >= SHORTEST) & (norms_N <= LONGEST)))
    if len(bad):
        norm = norms_N[bad[0]]
        is_vector = np.isfinite(norm) and norm > 0
        what = f"far from unit length, of length {norm:.3g}" if is_vector else "zero or not finite"
        raise CairnError(
            f"{name} hold a row that is {what}",
            where=f"row {first + int(bad[0])}",
            todo="embed that image again; unit rows are what the model makes",
        )
