"""Gallery images that pictures of no landmark pick, from the gallery's penalty table.

Legend of shapes: N images, M images that cost a penalty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cairn.doctor.view import Bool, View
from cairn.domain import Int64


@dataclass(frozen=True, eq=False)
class Attracting:
    """Images with a penalty; those nearest to another landmark first, then the highest penalty.

    Args:
        rows: (M,) the images.
        is_full: (M,) whether they were picked so often that the penalty is whole.
        is_lost: (M,) whether none of the nearest images is of the same landmark, though it has
            others.
    """

    rows: Int64
    is_full: Bool
    is_lost: Bool


def find_attracting(view: View) -> Attracting | None:
    """Return the images that attract non-landmarks, or None for a gallery without a penalty."""
    table = view.gallery.penalty
    if table is None:
        return None
    rows = np.flatnonzero(table.penalty > 0)
    near_own = view.is_own[rows, 0] if view.nearest.k else np.zeros(len(rows), bool)
    order = np.lexsort((rows, -table.n_picked[rows], -table.penalty[rows], near_own))
    rows = rows[order]
    lost = (view.support[rows] == 0) & (view.sizes[view.codes[rows]] > 1)
    return Attracting(rows, table.n_picked[rows] >= table.rule.max_n, lost)
