"""Search in plain PyTorch on any device: for GPUs, and for searches too small to compile for.

Products in blocks, in bfloat16 on a GPU, give every pair a bound; the pairs whose bounds reach the
query's floor, or the row's, are scored in float64 and sorted in. The likeliest pairs of the first
block are scored beforehand, so that there is a floor from the start.

Legend of shapes: Q queries, G gallery rows, N rows of a block, K neighbours, D dimensions, P pairs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch
from torch import Tensor

from cairn.search.rows import require_vectors
from cairn.search.topk import TopK

_PAIRS_AT_ONCE = {"cpu": 1 << 22, "cuda": 1 << 27}
_PAIR_BYTES_AT_ONCE = {"cpu": 1 << 26, "cuda": 1 << 31}
_QUERIES_AT_ONCE = 16384
_SUMS = 16  # as cairn.search.instructions.SUMS, which loads what small searches do without
_FLOAT32, _BFLOAT16 = 2.0**-24, 2.0**-8  # half a last place near 1


class _Best:
    """The best of so many: the top K of each owner, a query or a row, on a device.

    Args:
        num: Owners.
        k: K.
        device: Where.
    """

    def __init__(self, num: int, k: int, device: torch.device) -> None:
        self.rows = torch.full((num, k), -1, dtype=torch.int64, device=device)
        self.scores = torch.full((num, k), -torch.inf, dtype=torch.float64, device=device)
        self.floors = torch.full((num,), -torch.inf, device=device)

    def take(self, owners: Tensor, rows: Tensor, scores: Tensor) -> None:
        """Sort (P,) pairs in: equal scores by lower row."""
        num, k = self.rows.shape
        own = torch.arange(num, device=rows.device).repeat_interleave(k)
        owners = torch.cat([own, owners])
        rows = torch.cat([self.rows.flatten(), rows])
        scores = torch.cat([self.scores.flatten(), scores])
        order = rows.argsort(stable=True)
        order = order[scores[order].argsort(stable=True, descending=True)]
        order = order[owners[order].argsort(stable=True)]
        owners, rows, scores = owners[order], rows[order], scores[order]
        counts = torch.bincount(owners, minlength=num)
        places = torch.arange(len(owners), device=rows.device)
        places -= (counts.cumsum(0) - counts)[owners]
        kept = places < k
        self.rows[owners[kept], places[kept]] = rows[kept]
        self.scores[owners[kept], places[kept]] = scores[kept]
        self.raise_floors(self.scores[:, k - 1])

    def raise_floors(self, scores: Tensor) -> None:
        """Let (num,) scores, or what is just below them in float32, be beaten from now on."""
        lower = (scores - (scores.abs() + 1e-30) * 2.0**-22).float()
        self.floors = torch.maximum(self.floors, torch.where(scores.isfinite(), lower, -torch.inf))


def by_torch(
    queries: Tensor, gallery: Tensor, offsets_G: Tensor, k: int, first_row: int = 0
) -> TopK:
    """Return the top ``k``, k <= G, computed where the gallery lies, or else the queries.

    Args:
        queries: (Q, D) of a type that ``cairn.search.rows`` knows, on any device.
        gallery: (G, D), likewise.
        offsets_G: (G,) float32.
        k: How many a query.
        first_row: The number of the gallery's first row.
    """
    return _pass(queries, gallery, offsets_G, k, 0, first_row)[0]


def both_by_torch(queries: Tensor, gallery: Tensor, k: int, m: int) -> tuple[TopK, TopK]:
    """Return the top k rows of each query and the top m queries of each row, of one pass."""
    return _pass(queries, gallery, torch.zeros(len(gallery)), k, m)


def _pass(
    queries: Tensor, gallery: Tensor, offsets_G: Tensor, k: int, m: int, first_row: int = 0
) -> tuple[TopK, TopK]:
    device = gallery.device if gallery.device.type != "cpu" else queries.device
    queries_QD, offsets_G = queries.to(device).float(), offsets_G.to(device)
    norms_Q = _norms(queries_QD, "queries", 0)
    for_rows = _Best(len(gallery), m, device) if m else None
    found = []
    with _sums_in_float32():
        for start in range(0, len(queries_QD), _QUERIES_AT_ONCE):
            part = slice(start, start + _QUERIES_AT_ONCE)
            best = _Best(len(queries_QD[part]), k, device)
            of_part = (start, queries_QD[part], norms_Q[part])
            _take_blocks(best, for_rows, *of_part, gallery, offsets_G, first_row)
            found.append(best)
    return _top_k(found, k), _top_k([for_rows] if for_rows else [], m)


def _take_blocks(
    best: _Best,
    for_rows: _Best | None,
    first_query: int,
    queries_QD: Tensor,
    norms_Q: Tensor,
    gallery: Tensor,
    offsets_G: Tensor,
    first_row: int,
) -> None:
    """Let all blocks of the gallery pass by."""
    device = queries_QD.device
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    left_QD = queries_QD.to(dtype)
    errors_Q = _errors(queries_QD, left_QD)
    relative = 1.01 * (_BFLOAT16 if dtype == torch.bfloat16 else _FLOAT32) + 4 * _FLOAT32
    num_queries, dimension = queries_QD.shape
    # Matrix units cut what they add off, where processors round it to the nearest.
    summing = summing_error(dimension) * (2 if device.type == "cuda" else 1)
    k = best.rows.shape[1]
    step = max(k, _PAIRS_AT_ONCE[device.type] // max(num_queries, dimension))
    for start in range(0, len(gallery), step):
        rows_ND = gallery[start : start + step].to(device)
        wide_ND = rows_ND.float()
        norms_N = _norms(wide_ND, "gallery", first_row + start)
        right_ND = rows_ND.to(dtype)
        errors_N = _errors(wide_ND, right_ND)
        added_N = offsets_G[start : start + step]
        bounds_QN = (left_QD @ right_ND.T).float()
        size_Q = (norms_Q + errors_Q) * (norms_N.max() + errors_N.max())
        radius_Q = errors_Q * norms_N.max() + summing * size_Q + 8 * _FLOAT32 * size_Q
        radius_Q += (norms_Q + errors_Q) * errors_N.max()
        raised_N = added_N + 8 * _FLOAT32 * added_N.abs()
        bounds_QN += relative * bounds_QN.abs() + raised_N + radius_Q[:, None]
        if start == 0 and k < len(rows_ND):
            most_QK, at_QK = bounds_QN.topk(k, dim=1)
            if dtype == torch.float32:  # bounds are so near the scores that these need not be made
                slack_Q = 3 * (relative * size_Q + radius_Q)
                least_QK = most_QK - slack_Q[:, None] - 32 * _FLOAT32 * added_N.abs()[at_QK]
            else:
                owners = torch.arange(num_queries, device=device).repeat_interleave(k)
                likely = _scores(queries_QD, rows_ND, added_N, (owners, at_QK.flatten()))
                least_QK = likely.view(num_queries, k)
            best.raise_floors(least_QK.amin(dim=1))
        at_once = max(1, _PAIR_BYTES_AT_ONCE[device.type] // (8 * dimension))
        for some in torch.split((bounds_QN >= best.floors[:, None]).nonzero(), at_once):
            queries, rows = some[:, 0], some[:, 1]
            scores = _scores(queries_QD, rows_ND, added_N, (queries, rows))
            best.take(queries, rows + first_row + start, scores)
        if for_rows is not None:
            own = _part(for_rows, slice(start, start + step))
            m = min(own.rows.shape[1], num_queries)
            if first_query == 0:
                at_MN = bounds_QN.topk(m, dim=0).indices
                owners = torch.arange(len(rows_ND), device=device).repeat(m)
                likely = _scores(queries_QD, rows_ND, added_N, (at_MN.flatten(), owners))
                if m == own.rows.shape[1]:
                    own.raise_floors(likely.view(m, -1).amin(dim=0))
            for some in torch.split((bounds_QN >= own.floors).nonzero(), at_once):
                queries, rows = some[:, 0], some[:, 1]
                scores = _scores(queries_QD, rows_ND, added_N, (queries, rows))
                own.take(rows, queries + first_query, scores)
            for_rows.floors[start : start + step] = own.floors


def _part(best: _Best, owners: slice) -> _Best:
    """Return some owners' best, in the same memory but for the floors."""
    part = object.__new__(_Best)
    part.rows, part.scores = best.rows[owners], best.scores[owners]
    part.floors = best.floors[owners]
    return part


def _top_k(found: list[_Best], k: int) -> TopK:
    rows = [best.rows for best in found] or [torch.empty((0, k), dtype=torch.int64)]
    scores = [best.scores for best in found] or [torch.empty((0, k), dtype=torch.float64)]
    return TopK(torch.cat(rows).cpu().numpy(), torch.cat(scores).cpu().numpy())


def _scores(
    queries_QD: Tensor, rows_ND: Tensor, added_N: Tensor, pairs: tuple[Tensor, Tensor]
) -> Tensor:
    """Return the (P,) scores proper of pairs of a query and a row.

    The sums are added in the order of ``candidates.score``, so that every way and every device
    gives a pair the same score in every bit.
    """
    products_PD = queries_QD.index_select(0, pairs[0]).double()
    products_PD *= rows_ND.index_select(0, pairs[1])
    whole, rest = divmod(products_PD.shape[1], _SUMS)
    num = len(products_PD)
    sums = torch.zeros((num, _SUMS), dtype=torch.float64, device=products_PD.device)
    for products_PS in products_PD[:, : whole * _SUMS].view(num, whole, _SUMS).unbind(1):
        sums += products_PS
    for d in range(whole * _SUMS, whole * _SUMS + rest):
        sums[:, 0] += products_PD[:, d]
    while sums.shape[1] > 1:
        half = sums.shape[1] // 2
        sums = sums[:, :half] + sums[:, half:]
    return sums[:, 0] + added_N[pairs[1]].double()


def _errors(rows_ND: Tensor, rounded_ND: Tensor) -> Tensor:
    """Return the (N,) norms of what rounding rows lost, rounded up."""
    if rounded_ND.dtype == torch.float32:
        return rows_ND.new_zeros(len(rows_ND))
    norms_N: Tensor = torch.linalg.vector_norm(rows_ND - rounded_ND.float(), dim=1)
    return norms_N * (1.001 + 2 * rows_ND.shape[1] * _FLOAT32)


def _norms(rows_ND: Tensor, name: str, first: int) -> Tensor:
    """Return the (N,) norms of rows, rounded up; refuse what is no vector."""
    norms_N: Tensor = torch.linalg.vector_norm(rows_ND, dim=1)
    require_vectors(norms_N.cpu().numpy(), first, name)
    return norms_N * (1 + 2 * rows_ND.shape[1] * _FLOAT32)  # they were summed in float32


def summing_error(dimension: int) -> float:
    """Return the bound on a product of unit rows in PyTorch's float32, in whatever order summed.

    D numbers are off by at most D 2^-24 times the norms (Higham, Accuracy and Stability of
    Numerical Algorithms, 2002, 3.1).
    """
    return 1.01 * (dimension + 4) * _FLOAT32 + (2.02 * _BFLOAT16 if _may_round() else 0.0)


def _may_round() -> bool:
    """Return whether float32 products may round their factors, to bfloat16 at worst."""
    # oneDNN's own switch, of which PyTorch knows nothing; usual on ARM servers.
    for name in ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"):
        if os.environ.get(name, "").upper() not in ("", "STRICT"):
            return True
    try:
        return torch.get_float32_matmul_precision() != "highest"
    except RuntimeError:  # it was set by PyTorch's newer names, of which this one tells nothing
        return True


class _SumsInFloat32:
    """Keeps CUDA from adding parts of a bfloat16 product in bfloat16, which no bound here covers.

    The switch is PyTorch's, one for all threads: it goes back when the last search is over.
    """

    def __init__(self) -> None:
        self._lock, self._num_inside, self._before = Lock(), 0, False

    @contextmanager
    def __call__(self) -> Iterator[None]:
        matmul = torch.backends.cuda.matmul
        with self._lock:
            if self._num_inside == 0:
                self._before = matmul.allow_bf16_reduced_precision_reduction
                matmul.allow_bf16_reduced_precision_reduction = False
            self._num_inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_inside -= 1
                if self._num_inside == 0:
                    matmul.allow_bf16_reduced_precision_reduction = self._before


_sums_in_float32 = _SumsInFloat32()
