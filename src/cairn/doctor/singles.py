"""Landmarks with one image, which nothing in the gallery can confirm or contradict.

Legend of shapes: N images, M images that are alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cairn.doctor.view import View
from cairn.domain import Float32, Int64


@dataclass(frozen=True, eq=False)
class Singles:
    """The only images of their landmarks; those most like another landmark first.

    Args:
        rows: (M,) the images.
        nearest: (M,) the nearest image, of another landmark; -1 where the gallery has none.
        similarities: (M,) of the two; nan where there is none.
    """

    rows: Int64
    nearest: Int64
    similarities: Float32


def find_singles(view: View) -> Singles:
    """Return the images that are the only ones of their landmark."""
    rows = np.flatnonzero(view.sizes[view.codes] == 1)
    if not view.nearest.k:
        return Singles(rows, np.full(len(rows), -1), np.full(len(rows), np.nan, np.float32))
    similarities = view.nearest.similarities[rows, 0]
    order = np.lexsort((rows, -similarities))
    return Singles(rows[order], view.nearest.indices[rows[order], 0], similarities[order])
