"""Exact top-k by inner product: which way to go, and what every way is given.

A cheap product only proposes. Every gallery row that rounding could have pushed out of the top k is
scored again in float64, and those scores choose and order. So the answer is that of a float64 brute
force, whatever the block sizes, the number of threads or the device.

This module knows vectors and rows; it knows nothing of images, landmarks or penalties. It expects
rows of unit length (the model makes them so) and never normalises: similarities are plain inner
products.

Legend of shapes: Q queries, G gallery rows, S rows of a slab, K neighbours, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from cairn.domain import Float32, Neighbors
from cairn.errors import CairnError, nearest
from cairn.search.by_torch import by_torch
from cairn.search.rows import Array, Blocks, Gallery, as_matrix, as_offsets, require_vectors
from cairn.search.topk import TopK, merge, stack

if TYPE_CHECKING:
    from cairn.search.candidates import Slab

PRECISIONS = ("exact",)
"""Ways of searching; ``exact`` answers as a float64 brute force does."""

SMALL = 1 << 21  # proposals or numbers in the gallery: too few to load compiled loops for
_FEW = 8  # queries; for so many reading the gallery takes the time, not the products
_BFLOAT16_FROM = 48  # queries; fewer do not repay rounding the gallery
_ANSWERS_AT_ONCE = 1 << 14  # queries at least, for which the gallery is packed anew
_ANSWER_BYTES = 32 << 20  # of scores and rows
_QUERIES_AT_ONCE = 1 << 17  # whose codes are kept
_ROWS_AT_ONCE = 1 << 30  # where no other limit asks for fewer: numbers in a slab have 32 bits
_BLOCK_BYTES = 128 << 20  # of a gallery that is read in blocks, at a time


def search(
    queries: Array,
    gallery: Gallery,
    k: int,
    *,
    precision: str = "exact",
    offsets: Array | None = None,
) -> Neighbors:
    """Return the ``k`` gallery rows with the highest similarity to each query, best first.

    Args:
        queries: (Q, D) rows of unit length, float32, float16 or bfloat16; a NumPy array or a
            tensor on any device.
        gallery: (G, D), likewise, G >= 1; a memory map too, or ``Blocks`` that are read one after
            the other, so that never more than one lies in memory.
        k: How many neighbours a query gets, at least 1. Where k > G the rest is padded with row -1
            and similarity -inf.
        precision: One of ``PRECISIONS``.
        offsets: (G,) finite float32 added to the similarities of each gallery row before the top
            k is chosen; minus a penalty, say, or -1e30 for a row that is out of the question. The
            similarities returned include it. At most 1e30.

    Returns:
        (Q, k) int64 rows and (Q, k) float32 similarities on the host. Rows and order are those of
        the inner products in float64; equal ones come by lower row.

    Raises:
        CairnError: Shapes, types or ``k`` do not fit, or a row is zero, not finite, or of a length
            beyond 1e-9 to 1e9.
    """
    if precision not in PRECISIONS:
        raise CairnError(
            f"unknown search precision {precision!r}", todo=nearest(precision, PRECISIONS)
        )
    queries_QD = as_matrix(queries, "queries")
    at_once = max(_ANSWERS_AT_ONCE, _ANSWER_BYTES // (16 * max(1, k)))
    if k < 1 or isinstance(gallery, Blocks) or len(queries_QD) <= at_once:
        return top_k(queries_QD, gallery, k, offsets=offsets).neighbors()
    # Scores in full take twice the room of similarities, so they are kept for some queries only.
    _require_all(queries_QD, at_once)
    found = Neighbors(
        np.empty((len(queries_QD), k), np.int64), np.empty((len(queries_QD), k), np.float32)
    )
    for start in range(0, len(queries_QD), at_once):
        part = slice(start, start + at_once)
        some = top_k(queries_QD[part], gallery, k, offsets=offsets).neighbors()
        found.indices[part], found.similarities[part] = some.indices, some.similarities
    return found


def _require_all(queries_QD: Tensor, at_once: int) -> None:
    """Refuse a query that is no vector by its number among all."""
    for start in range(0, len(queries_QD), at_once):
        norms = torch.linalg.vector_norm(queries_QD[start : start + at_once].float(), dim=1)
        require_vectors(norms.cpu().numpy(), start, "queries")


def top_k(queries: Array, gallery: Gallery, k: int, *, offsets: Array | None = None) -> TopK:
    """Return what ``search`` does, with scores in float64, which ``merge`` needs.

    Raises:
        CairnError: As ``search``.
    """
    if k < 1:
        raise CairnError("k must be at least 1", where=f"k = {k}")
    queries_QD = as_matrix(queries, "queries")
    if isinstance(gallery, Blocks):
        return _of_blocks(queries_QD, gallery, k, offsets)
    gallery_GD = as_matrix(gallery, "gallery")
    require_fit(queries_QD, tuple(gallery_GD.shape))
    return _of_matrix(queries_QD, gallery_GD, as_offsets(offsets, len(gallery_GD)), k, 0)


def _of_matrix(
    queries_QD: Tensor, gallery_GD: Tensor, offsets_G: Float32, k: int, first_row: int
) -> TopK:
    """Return the top k of a matrix, padded where k > G; its first row has that number."""
    num_rows = len(gallery_GD)
    if k > num_rows:
        return merge([_of_matrix(queries_QD, gallery_GD, offsets_G, num_rows, first_row)], k)
    is_small = num_rows * max(len(queries_QD), gallery_GD.shape[1]) <= SMALL
    if gallery_GD.is_cuda or queries_QD.is_cuda or is_small:
        return by_torch(queries_QD, gallery_GD, torch.from_numpy(offsets_G), k, first_row)
    return _on_processor(queries_QD, gallery_GD, offsets_G, k, first_row)


def _of_blocks(queries_QD: Tensor, gallery: Blocks, k: int, offsets: Array | None) -> TopK:
    num_rows, dimension = gallery.shape
    require_fit(queries_QD, gallery.shape)
    offsets_G = as_offsets(offsets, num_rows)
    found: TopK | None = None
    start = 0
    for block in gallery.blocks(max(1, _BLOCK_BYTES // (4 * dimension))):
        block_SD = as_matrix(block, "gallery")
        require_fit(queries_QD, (num_rows, block_SD.shape[1]))
        first, start = start, start + len(block_SD)
        if start > num_rows:
            break
        if first < start:
            most = min(k, start - first)
            part = _of_matrix(queries_QD, block_SD, offsets_G[first:start], most, first)
            found = part if found is None else merge([found, part], min(k, start))
    if found is None or start != num_rows:
        raise CairnError(f"the gallery says that it has {num_rows} rows and gave {start}")
    return merge([found], k)


def require_fit(queries_QD: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a gallery, by its shape, that is empty or does not fit the queries."""
    if queries_QD.shape[1] != shape[1]:
        raise CairnError(
            "queries and gallery differ in dimension",
            where=f"{queries_QD.shape[1]} and {shape[1]}",
            todo="embed both with the same model",
        )
    if shape[0] == 0:
        raise CairnError("the gallery holds no rows", todo="build it from at least one image")


def _on_processor(
    queries_QD: Tensor, gallery_GD: Tensor, offsets_G: Float32, k: int, first_row: int
) -> TopK:
    """Search by compiled loops."""
    from cairn.search.by_products import by_products
    from cairn.search.by_rows import by_rows
    from cairn.search.by_tiles import by_tiles, slab_rows
    from cairn.search.quickest import quickest_way
    from cairn.search.tiles import MOST_DIMENSIONS
    from cairn.search.workers import workers

    rows_QD: Float32 = queries_QD.float().numpy()
    num_queries, dimension = rows_QD.shape
    with workers() as crew:
        if num_queries <= _FEW:
            whole = slabs(gallery_GD, offsets_G, _ROWS_AT_ONCE, first_row)
            return by_rows(rows_QD, whole, k, crew)
        way = quickest_way()
        if way == "tiles" and dimension <= MOST_DIMENSIONS:
            found = []
            for first in range(0, num_queries, _QUERIES_AT_ONCE):
                some_QD = rows_QD[first : first + _QUERIES_AT_ONCE]
                every = list(slabs(gallery_GD, offsets_G, slab_rows(dimension), first_row))
                found.append(by_tiles(some_QD, first, every, k, crew))
            return found[0] if len(found) == 1 else stack(found)
        is_rounded = way == "bfloat16" and num_queries >= _BFLOAT16_FROM
        dtype = torch.bfloat16 if is_rounded else torch.float32
        parts = slabs(gallery_GD, offsets_G, slab_rows(dimension), first_row)
        return by_products(rows_QD, parts, k, crew, dtype=dtype)


def slabs(
    gallery_GD: Tensor, offsets_G: Float32, num_rows: int, first_row: int = 0
) -> Iterator[Slab]:
    """Yield a gallery on the host in slabs of at most ``num_rows``, none of it copied.

    Its rows are numbered from ``first_row`` on.
    """
    from cairn.search.candidates import Slab
    from cairn.search.compiled import BFLOAT16, FLOAT16, FLOAT32

    kind = {torch.float32: FLOAT32, torch.bfloat16: BFLOAT16, torch.float16: FLOAT16}
    is_half = gallery_GD.dtype != torch.float32
    bits_GD = gallery_GD.view(torch.uint16 if is_half else torch.uint32).numpy()
    for start in range(0, len(bits_GD), num_rows):
        part = slice(start, start + num_rows)
        yield Slab(bits_GD[part], kind[gallery_GD.dtype], offsets_G[part], first_row + start)
