"""Exact top-k by inner product, streaming: the query x gallery matrix is never built.

A cheap matrix product, in bfloat16 where the processor is quick at it, only proposes. Every gallery
row that rounding could have pushed out of the top k stays a candidate, the candidates are scored
again in float64, and those scores choose and order. So the answer is that of a float64 brute force,
whatever the block sizes, the number of threads or the device.

How wrong a proposal can be follows from the rows themselves: with q', g' the rounded vectors,
|q'g' - qg| <= |q - q'| |g| + |q'| |g - g'| (Cauchy-Schwarz), and a product summed in float32 adds
at most D 2^-24 |q'| |g'| (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 3.1).

This module knows vectors and rows; it knows nothing of images, landmarks or penalties. It expects
rows of unit length (the model makes them so) and never normalises: similarities are plain inner
products.

Legend of shapes: Q queries, G gallery rows, K neighbours, D dimensions, C candidates.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cairn.domain import Float32, Neighbors
from cairn.errors import CairnError, nearest

Array: TypeAlias = NDArray[np.float32] | Tensor
Spread: TypeAlias = Callable[..., None]

PRECISIONS = ("exact",)
"""Ways of searching; ``exact`` answers as a float64 brute force does."""

_SMALL = 1 << 21  # proposals or numbers in the gallery: too few to load compiled loops for
_QUERIES_AT_ONCE = 2048
_CANDIDATE_BYTES = 256 << 20  # 12 for each of 4 k + 512 candidates a query
_BLOCK_BYTES = 8 << 20  # of proposals, which stay in the processor's cache
_DEVICE_BLOCK_BYTES = 256 << 20
_DEVICE_EXTRA = 32
_ROWS_AT_ONCE = 1 << 14
_FEW = 4  # queries; for so many one pass over the gallery is quickest
_BFLOAT16_FROM = 48  # queries; fewer do not repay rounding the gallery
_FLOAT32, _BFLOAT16 = 2.0**-24, 2.0**-9


def search(
    queries: Array,
    gallery: Array,
    k: int,
    *,
    precision: str = "exact",
    offsets: Array | None = None,
) -> Neighbors:
    """Return the ``k`` gallery rows with the highest similarity to each query, best first.

    Args:
        queries: (Q, D) float32, rows of unit length; a NumPy array or a tensor on any device.
        gallery: (G, D) float32, likewise, G >= 1.
        k: How many neighbours a query gets, at least 1. Where k > G the rest is padded with row -1
            and similarity -inf.
        precision: One of ``PRECISIONS``.
        offsets: (G,) finite float32 added to the similarities of each gallery row before the top
            k is chosen; minus a penalty, say. The similarities returned include it.

    Returns:
        (Q, k) int64 rows and (Q, k) float32 similarities on the host. Rows and order are those of
        the inner products in float64; equal ones come by lower row.

    Raises:
        CairnError: Shapes, types or ``k`` do not fit, or a row is zero or not finite.
    """
    if precision not in PRECISIONS:
        raise CairnError(
            f"unknown search precision {precision!r}", todo=nearest(precision, PRECISIONS)
        )
    if k < 1:
        raise CairnError("k must be at least 1", where=f"k = {k}")
    queries_QD = _as_matrix(queries, "queries")
    gallery_GD = _as_matrix(gallery, "gallery")
    dimension = gallery_GD.shape[1]
    if queries_QD.shape[1] != dimension:
        raise CairnError(
            "queries and gallery differ in dimension",
            where=f"{queries_QD.shape[1]} and {dimension}",
            todo="embed both with the same model",
        )
    if len(gallery_GD) == 0:
        raise CairnError("the gallery holds no rows", todo="build it from at least one image")
    offsets_G = _as_offsets(offsets, len(gallery_GD))
    if k > len(gallery_GD):
        found = search(queries_QD, gallery_GD, len(gallery_GD), offsets=offsets_G)
        padding = ((0, 0), (0, k - len(gallery_GD)))
        return Neighbors(
            np.pad(found.indices, padding, constant_values=-1),
            np.pad(found.similarities, padding, constant_values=-np.inf),
        )
    is_small = len(gallery_GD) * max(len(queries_QD), dimension) <= _SMALL
    if gallery_GD.is_cuda or queries_QD.is_cuda or is_small:
        return _search_by_torch(queries_QD, gallery_GD, k, offsets_G)
    result = Neighbors(
        np.empty((len(queries_QD), k), dtype=np.int64),
        np.empty((len(queries_QD), k), dtype=np.float32),
    )
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:

        def spread(loop: Callable[..., None], *values: object, over: int) -> None:
            cuts = [over * part // threads for part in range(threads + 1)]
            parts = [part for part in pairwise(cuts) if part[0] < part[1]]
            waiting = [pool.submit(loop, *values, *part) for part in parts[1:]]
            if parts:
                loop(*values, *parts[0])
            for task in waiting:
                task.result()

        at_once = max(1, min(_QUERIES_AT_ONCE, _CANDIDATE_BYTES // (48 * k + 6144)))
        for start in range(0, len(queries_QD), at_once):
            part = slice(start, start + at_once)
            _search_block(
                queries_QD[part],
                gallery_GD,
                offsets_G,
                (result.indices[part], result.similarities[part]),
                start,
                spread,
            )
    return result


def _search_block(
    queries_QD: Tensor,
    gallery_GD: Tensor,
    offsets_G: Tensor,
    into: tuple[NDArray[np.int64], NDArray[np.float32]],
    first_query: int,
    spread: Spread,
) -> None:
    """Fill ``into``, the indices and similarities (Q, k) of these queries, on the processor."""
    from cairn import candidates

    num_queries, dimension = queries_QD.shape
    k = into[0].shape[1]
    rounds = num_queries >= _BFLOAT16_FROM and _bfloat16_pays()
    is_few = not rounds and num_queries <= _FEW
    dtype = torch.bfloat16 if rounds else torch.float32
    step = max(1, _BLOCK_BYTES // (num_queries * dtype.itemsize))
    step = min(step, _ROWS_AT_ONCE, len(gallery_GD))
    rounded_ND = torch.empty((max(step, num_queries), dimension), dtype=torch.bfloat16)
    measured_2N = np.zeros((2, max(step, num_queries)), dtype=np.float32)
    none = np.empty((0, dimension), dtype=np.float32)

    def prepare(
        rows_ND: Tensor, first_row: int, name: str, out: Tensor | None = None
    ) -> tuple[Tensor, Float32]:
        """Return what to multiply, and (2, N) norms of the rows and of their rounding errors."""
        num, rows = len(rows_ND), rows_ND.numpy()
        if rounds:
            bits_ND = rounded_ND[:num].view(torch.uint16).numpy()
            spread(candidates.round_to_bfloat16, rows, bits_ND, *measured_2N, over=num)
        elif out is not None:
            values = (measured_2N[0], queries_QD.numpy(), out.numpy())
            spread(candidates.measure, rows, *values, over=num)
        else:
            spread(candidates.measure, rows, measured_2N[0], none, none, over=num)
        _require_vectors(measured_2N[0, :num], first_row, name)
        # The norms themselves were summed in float32.
        measured = measured_2N[:, :num] * np.float32(1 + 2 * dimension * _FLOAT32)
        return rounded_ND[:num] if rounds else rows_ND, measured

    left_QD, (norms_Q, errors_Q) = prepare(queries_QD, first_query, "queries")
    left_QD = left_QD.clone() if rounds else left_QD
    arrays = (queries_QD.numpy(), gallery_GD.numpy(), offsets_G.numpy())
    capacity = 4 * k + 4 * candidates.CHUNK
    kept = (
        np.full(num_queries, -np.inf),
        np.empty((num_queries, capacity), dtype=np.float32),
        np.empty((num_queries, capacity), dtype=np.int64),
        np.zeros(num_queries, dtype=np.int64),
    )
    relative = 1.01 * (_BFLOAT16 if rounds else _FLOAT32) + 4 * _FLOAT32
    offset_size = float(offsets_G.abs().max())
    norm = error = 0.0
    proposals = torch.empty(num_queries * step, dtype=dtype)
    for start in range(0, len(gallery_GD), step):
        block_ND = gallery_GD[start : start + step]
        out_QN = proposals[: num_queries * len(block_ND)].view(num_queries, len(block_ND))
        out = out_QN if is_few else None
        right_ND, (norms_N, errors_N) = prepare(block_ND, start, "gallery", out)
        if not is_few:
            torch.mm(left_QD, right_ND.T, out=out_QN)
        norm, error = max(norm, float(norms_N.max())), max(error, float(errors_N.max()))
        radius_Q = errors_Q.astype(np.float64) * norm + (norms_Q + errors_Q) * error
        radius_Q += _summing_error(dimension) * (norms_Q + errors_Q) * (norm + error)
        radius_Q += relative * offset_size
        bits_QN = out_QN.view(torch.uint16 if rounds else torch.uint32).numpy()
        block = (bits_QN, 16 if rounds else 0, start)
        spread(candidates.gather, *block, *arrays, k, relative, radius_Q, *kept, over=num_queries)
    spread(candidates.settle, *arrays, k, relative, radius_Q, *kept, *into, over=num_queries)


@lru_cache(maxsize=1)
def _bfloat16_pays() -> bool:
    """Return whether a product in bfloat16 is quicker here; the answers are the same either way."""
    left, right = torch.ones(256, 512), torch.ones(1024, 512)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b = left.to(dtype), right.to(dtype).T
        out = torch.mm(a, b)
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            torch.mm(a, b, out=out)
            times.append(time.perf_counter() - begin)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] * 1.3 < seconds[torch.float32]


def _summing_error(dimension: int) -> float:
    """Return the bound on a product of unit rows in PyTorch's float32, in whatever order summed."""
    # "high" and "medium" let float32 products round their factors, to bfloat16 at worst.
    rounded = 0.0 if torch.get_float32_matmul_precision() == "highest" else 2.02 * _BFLOAT16
    return 1.01 * (dimension + 4) * _FLOAT32 + rounded


def _search_by_torch(queries: Tensor, gallery_GD: Tensor, k: int, offsets_G: Tensor) -> Neighbors:
    """Search in plain PyTorch, on any device: for GPUs and small searches.

    Each query keeps its top ``width`` proposals. They suffice where the last of them is too far
    below the k-th to be among the top k; the queries where it is not are searched again, wider.
    """
    device = gallery_GD.device if gallery_GD.is_cuda else queries.device
    queries_QD, offsets_G = queries.to(device), offsets_G.to(device)
    norms_Q = _norms(queries_QD, "queries")
    norm = float(_norms(gallery_GD, "gallery").max())
    slack_Q = _summing_error(gallery_GD.shape[1]) * norms_Q * norm
    slack_Q += 4 * _FLOAT32 * (norms_Q * norm + offsets_G.abs().max())
    indices_QK = np.empty((len(queries_QD), k), dtype=np.int64)
    similarities_QK = np.empty((len(queries_QD), k), dtype=np.float32)
    pending = [(torch.arange(len(queries_QD), device=device), k + _DEVICE_EXTRA)]
    while pending:
        rows, width = pending.pop()
        width = min(width, len(gallery_GD))
        step = max(1, min(4096, _DEVICE_BLOCK_BYTES // (8 * gallery_GD.shape[1] * width)))
        for part in torch.split(rows, step):
            best, at, proven = _top(
                queries_QD[part], gallery_GD, offsets_G, k, width, 2 * slack_Q[part]
            )
            done = part[proven].cpu().numpy()
            indices_QK[done] = at[proven].cpu().numpy()
            similarities_QK[done] = best[proven].float().cpu().numpy()
            if len(done) < len(part):
                pending.append((part[~proven], 2 * width))
    return Neighbors(indices_QK, similarities_QK)


def _top(
    queries_QD: Tensor, gallery_GD: Tensor, offsets_G: Tensor, k: int, width: int, slack_Q: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return float64 scores (Q, k), rows (Q, k), and (Q,) whether ``width`` proved enough."""
    device = queries_QD.device
    num_queries, num_rows = len(queries_QD), len(gallery_GD)
    kept_QC = torch.empty((num_queries, 0), device=device)
    rows_QC = torch.empty((num_queries, 0), dtype=torch.int64, device=device)
    step = max(width, _DEVICE_BLOCK_BYTES // (4 * max(num_queries, gallery_GD.shape[1])))
    for start in range(0, num_rows, step):
        block = gallery_GD[start : start + step].to(device)
        scores = torch.addmm(offsets_G[start : start + step], queries_QD, block.T)
        top, at = scores.topk(min(width, len(block)), dim=1)
        kept_QC, rows_QC = torch.cat([kept_QC, top], 1), torch.cat([rows_QC, at + start], 1)
        kept_QC, at = kept_QC.topk(min(width, kept_QC.shape[1]), dim=1)
        rows_QC = rows_QC.gather(1, at)
    proven = kept_QC[:, -1] < kept_QC[:, k - 1] - slack_Q
    if width == num_rows:
        proven = torch.ones_like(proven)
    rows_QC = rows_QC.sort(dim=1).values
    near_QCD = gallery_GD[rows_QC.to(gallery_GD.device)].to(device).double()
    exact_QC = (near_QCD * queries_QD[:, None].double()).sum(-1) + offsets_G[rows_QC].double()
    best, at = exact_QC.sort(dim=1, descending=True, stable=True)
    return best[:, :k], rows_QC.gather(1, at[:, :k]), proven


def _as_matrix(rows: Array, name: str) -> Tensor:
    tensor = _as_tensor(rows)
    if tensor.ndim != 2 or tensor.shape[1] == 0:
        raise CairnError(f"{name} must be a matrix, one vector a row", where=tuple(tensor.shape))
    if tensor.dtype != torch.float32:
        raise CairnError(f"{name} must be float32", where=tensor.dtype)
    return tensor


def _as_offsets(offsets: Array | None, num_rows: int) -> Tensor:
    if offsets is None:
        return torch.zeros(num_rows)
    tensor = _as_tensor(offsets)
    if tensor.shape != (num_rows,) or tensor.dtype != torch.float32:
        raise CairnError(
            "offsets need one float32 for each gallery row",
            where=f"{tuple(tensor.shape)} {tensor.dtype} for {num_rows} rows",
        )
    if not bool(torch.isfinite(tensor).all()):
        raise CairnError("offsets must be finite")
    return tensor


def _as_tensor(values: Array) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach().contiguous()
    with warnings.catch_warnings():  # read-only arrays are only read here
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(np.ascontiguousarray(values))


def _norms(rows_ND: Tensor, name: str) -> Tensor:
    """Return the (N,) norms of rows that are vectors, none too small."""
    norms_N: Tensor = torch.linalg.vector_norm(rows_ND, dim=1)
    _require_vectors(norms_N.cpu().numpy(), 0, name)
    norms_N *= 1 + 2 * rows_ND.shape[1] * _FLOAT32  # they were summed in float32
    return norms_N


def _require_vectors(norms_N: NDArray[np.float32], first: int, name: str) -> None:
    bad = np.flatnonzero(~(np.isfinite(norms_N) & (norms_N > 0)))
    if len(bad):
        raise CairnError(
            f"{name} hold a row that is zero or not finite",
            where=f"row {first + int(bad[0])}",
            todo="embed that image again; unit rows are what the model makes",
        )
