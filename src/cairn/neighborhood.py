"""Images beside their nearest other images: what findings in labels are made of.

Legend of shapes: N images, C codes, K neighbours, M rows in question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Float32, Int64, Neighbors

Bool = NDArray[np.bool_]
Int32 = NDArray[np.int32]

_ROWS_AT_ONCE = 4096
_PRODUCTS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class Neighborhood:
    """Vectors with labels, and the nearest other ones of each.

    Args:
        vectors: (N, D) float32, rows of unit length.
        nearest: (N, K) nearest other rows and similarities, best first.
        codes: (N,) number of what each image is said to show.
        num_codes: C; every code is below it.
    """

    vectors: Float32
    nearest: Neighbors
    codes: Int32
    num_codes: int

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def sizes(self) -> Int64:
        """(C,) images of each code."""
        return np.bincount(self.codes, minlength=self.num_codes)

    @cached_property
    def neighbor_codes(self) -> Int32:
        """(N, K) codes of the nearest images."""
        return self.codes[self.nearest.indices]

    @cached_property
    def is_own(self) -> Bool:
        """(N, K) whether a nearest image has the same code."""
        own: Bool = self.neighbor_codes == self.codes[:, None]
        return own

    @cached_property
    def support(self) -> Int64:
        """(N,) how many of the K nearest images have the same code."""
        return np.asarray(self.is_own.sum(axis=1), np.int64)

    @cached_property
    def best_own(self) -> Float32:
        """(N,) similarity of the nearest image of the same code, -inf where none is near."""
        return self._best(self.is_own)

    @cached_property
    def best_other(self) -> Float32:
        """(N,) similarity of the nearest image of another code, -inf where none is near."""
        return self._best(~self.is_own)

    def members(self, code: int) -> Int64:
        """Return the rows of a code, ascending."""
        order, ends = self._by_code
        return order[ends[code] - self.sizes[code] : ends[code]]

    def similarities(self, first: Int64, second: Int64) -> Float32:
        """Return the (M,) similarities of the rows ``first`` to the rows ``second``."""
        found = np.empty(len(first), np.float32)
        for start in range(0, len(first), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            found[part] = np.einsum(
                "md,md->m", self.vectors[first[part]], self.vectors[second[part]]
            )
        return found

    def nearest_of(self, rows: Int64, codes: Int32, k: int = 1) -> tuple[Int64, Float32]:
        """Return, for each row, the ``k`` nearest other images of a code, best first.

        They may lie beyond the K nearest, so each row is compared with all images of the code.

        Args:
            rows: (M,) rows.
            codes: (M,) whose images; -1 for none.
            k: How many.

        Returns:
            (M, k) rows, -1 where there are fewer, and (M, k) similarities, -inf there.
        """
        found = np.full((len(rows), k), -1, np.int64)
        best = np.full((len(rows), k), -np.inf, np.float32)
        for at in by_code(codes):
            code = int(codes[at[0]])
            members = self.members(code) if code >= 0 else at[:0]
            if not len(members):
                continue
            products = self.vectors[rows[at]] @ self.vectors[members].T
            products[rows[at][:, None] == members] = -np.inf
            order = np.argsort(-products, axis=1, kind="stable")[:, :k]
            width = order.shape[1]
            best[at, :width] = np.take_along_axis(products, order, axis=1)
            found[at, :width] = np.where(np.isfinite(best[at, :width]), members[order], -1)
        return found, best

    @cached_property
    def _by_code(self) -> tuple[Int64, Int64]:
        return np.argsort(self.codes, kind="stable"), np.cumsum(self.sizes)

    def _best(self, wanted: Bool) -> Float32:
        if not wanted.shape[1]:
            return np.full(len(self), -np.inf, np.float32)
        at = wanted.argmax(axis=1)  # the first one is the best one
        rows = np.arange(len(self))
        found = self.nearest.similarities[rows, at]
        return np.where(wanted[rows, at], found, np.float32(-np.inf))


def by_code(codes: Int32) -> Iterator[Int64]:
    """Yield positions of one code each, few at a time where there are many."""
    if not len(codes):
        return
    order = np.argsort(codes, kind="stable")
    edges = np.flatnonzero(np.diff(codes[order])) + 1
    for group in np.split(order, edges):
        for start in range(0, len(group), _PRODUCTS_AT_ONCE):
            yield group[start : start + _PRODUCTS_AT_ONCE]
