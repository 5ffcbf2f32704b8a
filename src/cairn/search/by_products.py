"""Search over PyTorch's matrix products, in blocks: for processors without tiles, or quicker so.

Products in bfloat16 are made of rounded rows, and how far these are from the rows is measured, as
in ``packing``. A product of D numbers summed in float32, in whatever order, is off by at most
D 2^-24 times the norms (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 3.1).

Legend of shapes: Q queries, S rows of a slab, N rows of a block, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from cairn.domain import Float32
from cairn.search.by_torch import summing_error
from cairn.search.candidates import Slab, settle
from cairn.search.compiled import BFLOAT16, FLOAT16, FLOAT32
from cairn.search.heaps import Heaps
from cairn.search.packing import UNIT, measure_all
from cairn.search.rows import require_vectors
from cairn.search.scans import scan_products
from cairn.search.topk import TopK
from cairn.search.workers import Workers

_BLOCK_BYTES = 8 << 20  # of products, which stay in the processor's cache
_ROWS_AT_ONCE = 1 << 14
_QUERIES_AT_ONCE = 2048
_BFLOAT16 = 2.0**-8
_TYPES = {FLOAT32: torch.float32, BFLOAT16: torch.bfloat16, FLOAT16: torch.float16}


def by_products(
    queries_QD: Float32,
    slabs: Iterable[Slab],
    k: int,
    crew: Workers,
    *,
    dtype: torch.dtype,
) -> TopK:
    """Return the top k of all slabs; queries and slabs as ``cairn.search.exact`` prepares them.

    Args:
        queries_QD: (Q, D).
        slabs: The gallery.
        k: How many a query.
        crew: The threads.
        dtype: Of the products: float32, or bfloat16 where that is quicker.
    """
    left_QD, norms_Q, errors_Q = _prepared(torch.from_numpy(queries_QD), dtype, crew)
    require_vectors(norms_Q, 0, "queries")
    heaps = Heaps(1, len(queries_QD), k)
    relative = 1.01 * (_BFLOAT16 if dtype == torch.bfloat16 else UNIT) + 4 * UNIT
    for slab in slabs:
        for start in range(0, len(slab.bits_SD), _ROWS_AT_ONCE):
            block = _part(slab, start)
            rows_ND = torch.from_numpy(block.bits_SD).view(_TYPES[slab.kind])
            right_ND, norms_N, errors_N = _prepared(rows_ND, dtype, crew)
            require_vectors(norms_N, block.first, "gallery")
            size_Q = (norms_Q + errors_Q) * float(norms_N.max() + errors_N.max())
            radii_Q = errors_Q * norms_N.max() + summing_error(queries_QD.shape[1]) * size_Q
            radii_Q += 8 * UNIT * size_Q
            raised_N = block.added_S + np.float32(8 * UNIT) * np.abs(block.added_S)
            weights_Q = (norms_Q + errors_Q) * np.float32(1 + 4 * UNIT)
            leans_Q = radii_Q + weights_Q * errors_N.max()
            for first in range(0, len(queries_QD), _QUERIES_AT_ONCE):
                some = slice(first, first + _QUERIES_AT_ONCE)
                own = heaps.lists(0, some, leans_Q[some])
                left, queries = left_QD[some], queries_QD[some]
                step = max(1, _BLOCK_BYTES // (len(left) * left.element_size()))
                for low, high in pairwise([*range(0, len(rows_ND), step), len(rows_ND)]):
                    products_QN = left @ right_ND[low:high].T
                    bits = torch.uint16 if dtype == torch.bfloat16 else torch.uint32
                    crew.spread(
                        scan_products,
                        products_QN.view(bits).numpy(),
                        16 if dtype == torch.bfloat16 else 0,
                        low,
                        relative,
                        radii_Q[some],
                        weights_Q[some],
                        errors_N,
                        raised_N,
                        own,
                        queries,
                        block,
                        over=len(queries),
                    )
                crew.spread(settle, own, queries, block, over=len(queries))
    return heaps.top_k(crew)


def _part(slab: Slab, start: int) -> Slab:
    rows = slice(start, start + _ROWS_AT_ONCE)
    return Slab(slab.bits_SD[rows], slab.kind, slab.added_S[rows], slab.first + start)


def _prepared(
    rows_ND: Tensor, dtype: torch.dtype, crew: Workers
) -> tuple[Tensor, Float32, Float32]:
    """Return what to multiply, and norms of the rows and of what rounding them lost."""
    rows_ND = rows_ND.float()
    rounded_ND = rows_ND.to(dtype)
    measured_2N = np.zeros((2, len(rows_ND)), np.float32)
    back_ND = rows_ND if dtype == torch.float32 else rounded_ND.float()
    crew.spread(measure_all, rows_ND.numpy(), back_ND.numpy(), *measured_2N, over=len(rows_ND))
    return rounded_ND, measured_2N[0], measured_2N[1]
