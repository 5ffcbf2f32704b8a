"""Exact top-k by inner product, streaming: the query x gallery matrix is never built.

A cheap product in float32 only proposes. Every gallery row that rounding could have pushed out of
the top k stays a candidate, the candidates are scored again in float64, and those scores choose
and order. So the answer is that of a float64 brute force, whatever the block sizes, the number of
threads or the device.

This module knows vectors and rows; it knows nothing of images, landmarks or penalties. It expects
rows of unit length (the model makes them so) and never normalises: similarities are plain inner
products.

Legend of shapes: Q queries, G gallery rows, K neighbours, D dimensions, C candidates.
"""

from __future__ import annotations

import warnings
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cairn.domain import Neighbors
from cairn.errors import CairnError, nearest

Array: TypeAlias = NDArray[np.float32] | Tensor

PRECISIONS = ("exact",)
"""Ways of searching; ``exact`` answers as a float64 brute force does."""

_BLOCK_BYTES = 64 << 20
_EXTRA = 32
_UNIT = 2.0**-24


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
    if queries_QD.shape[1] != gallery_GD.shape[1]:
        raise CairnError(
            "queries and gallery differ in dimension",
            where=f"{queries_QD.shape[1]} and {gallery_GD.shape[1]}",
            todo="embed both with the same model",
        )
    if len(gallery_GD) == 0:
        raise CairnError("the gallery holds no rows", todo="build it from at least one image")
    offsets_G = _as_offsets(offsets, len(gallery_GD), gallery_GD.device)
    device = gallery_GD.device if gallery_GD.is_cuda else queries_QD.device
    queries_QD = queries_QD.to(device)
    query_norms_Q, _ = _norms(queries_QD, "queries")
    _, gallery_norm = _norms(gallery_GD, "gallery")
    offset_size = float(offsets_G.abs().max())
    gamma = (gallery_GD.shape[1] + 4) * _UNIT * 1.01
    slack_Q = 2 * gamma * (query_norms_Q * gallery_norm + offset_size)

    found = min(k, len(gallery_GD))
    indices_QK = np.full((len(queries_QD), k), -1, dtype=np.int64)
    similarities_QK = np.full((len(queries_QD), k), -np.inf, dtype=np.float32)
    pending = [(torch.arange(len(queries_QD), device=device), min(found + _EXTRA, len(gallery_GD)))]
    while pending:
        rows, width = pending.pop()
        step = max(1, min(1024, _BLOCK_BYTES // (8 * gallery_GD.shape[1] * width)))
        for part in torch.split(rows, step):
            best, at, proven = _top(
                queries_QD[part], gallery_GD, offsets_G, found, width, slack_Q[part]
            )
            done = part[proven].cpu().numpy()
            indices_QK[done, :found] = at[proven].cpu().numpy()
            similarities_QK[done, :found] = best[proven].float().cpu().numpy()
            if len(done) < len(part):
                pending.append((part[~proven], min(2 * width, len(gallery_GD))))
    return Neighbors(indices_QK, similarities_QK)


def _top(
    queries_QD: Tensor, gallery_GD: Tensor, offsets_G: Tensor, k: int, width: int, slack_Q: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return float64 scores (Q, k), rows (Q, k), and (Q,) whether ``width`` proved enough."""
    device = queries_QD.device
    num_queries, num_rows = len(queries_QD), len(gallery_GD)
    kept_QC = torch.empty((num_queries, 0), device=device)
    rows_QC = torch.empty((num_queries, 0), dtype=torch.int64, device=device)
    step = max(width, _BLOCK_BYTES // (4 * max(num_queries, gallery_GD.shape[1])))
    for start in range(0, num_rows, step):
        block = gallery_GD[start : start + step].to(device)
        scores = torch.addmm(offsets_G[start : start + step].to(device), queries_QD, block.T)
        top, at = scores.topk(min(width, len(block)), dim=1)
        kept_QC, rows_QC = torch.cat([kept_QC, top], 1), torch.cat([rows_QC, at + start], 1)
        kept_QC, at = kept_QC.topk(min(width, kept_QC.shape[1]), dim=1)
        rows_QC = rows_QC.gather(1, at)
    proven = kept_QC[:, -1] < kept_QC[:, k - 1] - slack_Q
    if width == num_rows:
        proven = torch.ones_like(proven)
    rows_QC = rows_QC.sort(dim=1).values
    near = gallery_GD[rows_QC.to(gallery_GD.device)].to(device).double()
    exact_QC = (near * queries_QD[:, None].double()).sum(-1)
    exact_QC += offsets_G[rows_QC.to(gallery_GD.device)].to(device).double()
    best, at = exact_QC.sort(dim=1, descending=True, stable=True)
    return best[:, :k], rows_QC.gather(1, at[:, :k]), proven


def _as_matrix(rows: Array, name: str) -> Tensor:
    tensor = _as_tensor(rows)
    if tensor.ndim != 2 or tensor.shape[1] == 0:
        raise CairnError(f"{name} must be a matrix, one vector a row", where=tuple(tensor.shape))
    if tensor.dtype != torch.float32:
        raise CairnError(f"{name} must be float32", where=tensor.dtype)
    return tensor


def _as_offsets(offsets: Array | None, num_rows: int, device: torch.device) -> Tensor:
    if offsets is None:
        return torch.zeros(num_rows, device=device)
    tensor = _as_tensor(offsets).to(device=device)
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
        return values.detach()
    with warnings.catch_warnings():  # read-only arrays are only read here
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(np.ascontiguousarray(values))


def _norms(rows_ND: Tensor, name: str) -> tuple[Tensor, float]:
    """Return the (N,) float64 norms and their maximum; refuse zero and non-finite rows."""
    norms_N = torch.cat([part.double().norm(dim=1) for part in torch.split(rows_ND, 8192)])
    bad = torch.nonzero(~(torch.isfinite(norms_N) & (norms_N > 0)))
    if len(bad):
        raise CairnError(
            f"{len(bad)} of the {name} rows are zero or not finite",
            where=f"row {int(bad[0])}",
            todo="embed those images again; unit rows are what the model makes",
        )
    return norms_N, float(norms_N.max()) if len(norms_N) else 0.0
