"""What every finding looks at: a gallery's images, their landmarks as numbers, their neighbours.

Legend of shapes: N images, L landmarks, K neighbours, M rows in question.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from cairn.domain import Float32, Int64, Neighbors
from cairn.gallery import Gallery
from cairn.neighborhood import Bool, Int32, Neighborhood

__all__ = ["Bool", "Int32", "View"]


@dataclass(frozen=True, eq=False)
class View(Neighborhood):
    """A gallery beside the nearest other images of each of its images; codes are landmarks.

    Args:
        gallery: The gallery.
        landmark_ids: (L,) its landmarks, as strings in an Arrow array.
    """

    gallery: Gallery
    landmark_ids: pa.StringArray

    @classmethod
    def of(cls, gallery: Gallery, nearest: Neighbors) -> View:
        """Return the view, landmarks numbered by first appearance."""
        coded = pa.array(gallery.table.landmark_ids, pa.string()).dictionary_encode()
        codes = coded.indices.to_numpy().astype(np.int32)
        num = len(coded.dictionary)
        return cls(gallery.table.vectors, nearest, codes, num, gallery, coded.dictionary)

    @cached_property
    def image_ids(self) -> pa.StringArray:
        """(N,) ids of the images."""
        return pa.array(self.gallery.table.image_ids, pa.string())

    @cached_property
    def paths(self) -> pa.StringArray:
        """(N,) where their photographs lay."""
        return pa.array(self.gallery.table.paths, pa.string())

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

    def nearest_own(self, rows: Int64) -> tuple[Int64, Float32]:
        """Return, for rows of landmarks with other images, the nearest one of those.

        Returns:
            (M,) rows and (M,) similarities.
        """
        found, best = self.nearest_of(rows, self.codes[rows])
        return found[:, 0], best[:, 0]
