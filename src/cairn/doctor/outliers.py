"""Images that look like no other image of their landmark: a wrong label, or an odd view.

Legend of shapes: N images, K neighbours, M outliers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cairn.doctor.rule import CheckRule
from cairn.doctor.view import View
from cairn.domain import Float32, Int64


@dataclass(frozen=True, eq=False)
class Outliers:
    """Images whose nearest images are all of other landmarks; the widest margin first.

    Args:
        rows: (M,) the images.
        own: (M,) the nearest image of the same landmark, wherever it ranks.
        own_similarities: (M,) of the two.
        other: (M,) the nearest image of the landmark that most of the nearest ones show.
        other_similarities: (M,) of the two.
        agreeing: (M,) how many of the ``asked`` nearest show that landmark.
        asked: How many were looked at.
    """

    rows: Int64
    own: Int64
    own_similarities: Float32
    other: Int64
    other_similarities: Float32
    agreeing: Int64
    asked: int

    @property
    def margins(self) -> Float32:
        """(M,) how much more alike the image is to another landmark than to its own."""
        return self.other_similarities - self.own_similarities


def find_outliers(view: View, rule: CheckRule) -> Outliers:
    """Return the images all of whose nearest are of other landmarks, where theirs has others.

    Ordered by the margin by which another landmark's image is nearer than the own one.
    """
    asked = min(rule.outlier_neighbors, view.nearest.k)
    alone = ~view.is_own[:, :asked].any(axis=1) if asked else np.zeros(len(view), bool)
    rows = np.flatnonzero(alone & (view.sizes[view.codes] >= rule.outlier_images))
    codes = view.neighbor_codes[rows, :asked]
    same = codes[:, :, None] == codes[:, None, :]
    votes = same.sum(axis=2)
    at = votes.argmax(axis=1) if asked else np.zeros(0, np.int64)  # among equals the nearest
    own, own_similarities = view.nearest_own(rows)
    found = Outliers(
        rows,
        own,
        own_similarities,
        view.nearest.indices[rows, at],
        view.nearest.similarities[rows, at],
        votes[np.arange(len(rows)), at],
        asked,
    )
    order = np.lexsort((rows, -found.margins))
    return Outliers(
        rows[order],
        own[order],
        own_similarities[order],
        found.other[order],
        found.other_similarities[order],
        found.agreeing[order],
        asked,
    )
