"""What every finding looks at: a gallery's images, their landmarks as numbers, their neighbours.

Legend of shapes: N images, L landmarks, K neighbours, M rows in question.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cairn.domain import Float32, Int64, Neighbors
from cairn.gallery import Gallery

Bool = NDArray[np.bool_]
Int32 = NDArray[np.int32]

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class View:
    """A gallery beside the nearest other images of each of its images.

    Args:
        gallery: The gallery.
        nearest: (N, K) nearest other rows and similarities, best first.
        landmark_ids: (L,) its landmarks, as strings in an Arrow array.
        codes: (N,) number of the landmark that each image is said to show.
    """

    gallery: Gallery
    nearest: Neighbors
    landmark_ids: pa.StringArray
    codes: Int32

    @classmethod
    def of(cls, gallery: Gallery, nearest: Neighbors) -> View:
        """Return the view, landmarks numbered by first appearance."""
        coded = pa.array(gallery.table.landmark_ids, pa.string()).dictionary_encode()
        codes = coded.indices.to_numpy().astype(np.int32)
        return cls(gallery, nearest, coded.dictionary, codes)

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def image_ids(self) -> pa.StringArray:
        """(N,) ids of the images."""
        return pa.array(self.gallery.table.image_ids, pa.string())

    @cached_property
    def paths(self) -> pa.StringArray:
        """(N,) where their photographs lay."""
        return pa.array(self.gallery.table.paths, pa.string())

    @cached_property
    def sizes(self) -> Int64:
        """(L,) images of each landmark."""
        return np.bincount(self.codes, minlength=len(self.landmark_ids))

    @cached_property
    def neighbor_codes(self) -> Int32:
        """(N, K) landmarks of the nearest images."""
        return self.codes[self.nearest.indices]

    @cached_property
    def is_own(self) -> Bool:
        """(N, K) whether a nearest image is of the same landmark."""
        own: Bool = self.neighbor_codes == self.codes[:, None]
        return own

    @cached_property
    def support(self) -> Int64:
        """(N,) how many of the K nearest images are of the same landmark."""
        return np.asarray(self.is_own.sum(axis=1), np.int64)

    @cached_property
    def best_own(self) -> Float32:
        """(N,) similarity of the nearest image of the same landmark, -inf where none is near."""
        return self._best(self.is_own)

    @cached_property
    def best_other(self) -> Float32:
        """(N,) similarity of the nearest image of another landmark, -inf where none is near."""
        return self._best(~self.is_own)

    @cached_property
    def usual(self) -> float:
        """What three images in four are at least alike to the nearest of their landmark; or nan."""
        near = self.best_own[np.isfinite(self.best_own)]
        return float(np.quantile(near, 0.25)) if len(near) else float("nan")

    @cached_property
    def leave_one_out(self) -> float | None:
        """Share of images whose nearest image shows their landmark, where it has two or more."""
        asked = self.sizes[self.codes] >= 2
        return float(self.is_own[asked, 0].mean()) if asked.any() else None

    def similarities(self, first: Int64, second: Int64) -> Float32:
        """Return the (M,) similarities of the rows ``first`` to the rows ``second``."""
        vectors = self.gallery.table.vectors
        found = np.empty(len(first), np.float32)
        for start in range(0, len(first), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            found[part] = np.einsum("md,md->m", vectors[first[part]], vectors[second[part]])
        return found

    def nearest_own(self, rows: Int64) -> tuple[Int64, Float32]:
        """Return, for rows of landmarks with other images, the nearest one of those.

        It may lie beyond the K nearest, so each is compared with all images of its landmark.

        Returns:
            (M,) rows and (M,) similarities.
        """
        vectors = self.gallery.table.vectors
        order = np.argsort(self.codes, kind="stable")
        ends = np.cumsum(self.sizes)
        found = np.empty(len(rows), np.int64)
        best = np.empty(len(rows), np.float32)
        for at in self._by_landmark(rows):
            code = self.codes[rows[at[0]]]
            members = order[ends[code] - self.sizes[code] : ends[code]]
            products = vectors[rows[at]] @ vectors[members].T
            products[rows[at][:, None] == members] = -np.inf
            top = products.argmax(axis=1)
            found[at], best[at] = members[top], products[np.arange(len(at)), top]
        return found, best

    def _by_landmark(self, rows: Int64) -> Iterator[Int64]:
        """Yield positions in ``rows`` of one landmark each, few at a time where it is large."""
        order = np.argsort(self.codes[rows], kind="stable")
        edges = np.flatnonzero(np.diff(self.codes[rows[order]])) + 1
        for group in np.split(order, edges):
            for start in range(0, len(group), 256):
                yield group[start : start + 256]

    def _best(self, wanted: Bool) -> Float32:
        if not wanted.shape[1]:
            return np.full(len(self), -np.inf, np.float32)
        at = wanted.argmax(axis=1)  # the first one is the best one
        rows = np.arange(len(self))
        found = self.nearest.similarities[rows, at]
        return np.where(wanted[rows, at], found, np.float32(-np.inf))
