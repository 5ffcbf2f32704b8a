"""What is known of an answer before it is judged: four numbers a query.

They come from the neighbours alone, so that re-ranked ones serve as well, and each is a function of
its own photograph: no statistics of other queries enter.

Legend of shapes: Q queries, K neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Int64, Neighbors
from cairn.errors import CairnError

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

NUM_NEIGHBORS = 20
"""Neighbours that features look at."""

AGREEING = 10
"""Of these, the first ones that may agree with the answer."""

NAMES = ("score", "margin", "agreement", "log size")


@dataclass(frozen=True, eq=False)
class Features:
    """What Q answers look like.

    Args:
        landmark_ids: The landmark answered, one a query.
        scores: (Q,) float64 similarity less penalty of the best gallery image.
        margins: (Q,) score less that of the best image of another landmark; where none of the K
            neighbours shows another, less that of the last one, which is the least it can be.
        agreements: (Q,) how many of the first :data:`AGREEING` neighbours show the landmark
            answered, as a share of as many as could: a small landmark has fewer to agree.
        sizes: (Q,) gallery photographs of the landmark answered, at least 1.
    """

    landmark_ids: tuple[str, ...]
    scores: Float64
    margins: Float64
    agreements: Float64
    sizes: Int64

    def __post_init__(self) -> None:
        columns = (self.scores, self.margins, self.agreements, self.sizes)
        if any(column.shape != (len(self.landmark_ids),) for column in columns):
            raise CairnError("features need one value of each kind for every query")
        if not all(np.isfinite(column).all() for column in columns):
            raise CairnError("features must be finite")

    def __len__(self) -> int:
        return len(self.landmark_ids)

    @cached_property
    def matrix(self) -> Float64:
        """(Q, 4), columns as :data:`NAMES`."""
        sizes = np.log(self.sizes)
        return np.stack([self.scores, self.margins, self.agreements, sizes], axis=1)

    def take(self, rows: Int64 | Bool) -> Features:
        """Return the features of some queries."""
        kept = np.arange(len(self))[rows].tolist()
        return Features(
            tuple(self.landmark_ids[row] for row in kept),
            self.scores[rows],
            self.margins[rows],
            self.agreements[rows],
            self.sizes[rows],
        )


def features_of(
    neighbors: Neighbors, landmark_ids: Sequence[str], sizes: Mapping[str, int] | None = None
) -> Features:
    """Return the features of every query's answer, the landmark of its first neighbour.

    Args:
        neighbors: (Q, K), the penalty in the similarities; K of at least 2 gives a margin.
        landmark_ids: One a gallery row.
        sizes: Gallery photographs by landmark id; counted from ``landmark_ids`` by default.

    Raises:
        CairnError: A query has no neighbour.
    """
    if neighbors.k < 1 or (neighbors.indices[:, 0] < 0).any():
        raise CairnError("every query needs a neighbour", todo="leave unanswered queries out")
    counted: Mapping[str, Any] = Counter(landmark_ids) if sizes is None else sizes
    names = sorted(counted)
    place = {name: code for code, name in enumerate(names)}
    codes_G = np.asarray([place[one] for one in landmark_ids], dtype=np.int64)
    is_there = neighbors.indices >= 0
    codes_QK = np.where(is_there, codes_G[neighbors.indices], -1)
    scores_QK = neighbors.similarities.astype(np.float64)
    answer_Q = codes_QK[:, 0]
    is_other = is_there & (codes_QK != answer_Q[:, None])
    num_there_Q = is_there.sum(axis=1)
    first_other_Q = np.where(is_other.any(axis=1), is_other.argmax(axis=1), num_there_Q - 1)
    others_Q = scores_QK[np.arange(len(scores_QK)), first_other_Q]
    agrees = (codes_QK == answer_Q[:, None])[:, :AGREEING] & is_there[:, :AGREEING]
    sizes_Q = np.asarray([counted[names[code]] for code in answer_Q.tolist()], dtype=np.int64)
    most_Q = np.minimum(np.minimum(num_there_Q, AGREEING), sizes_Q)
    return Features(
        tuple(names[code] for code in answer_Q.tolist()),
        scores_QK[:, 0],
        scores_QK[:, 0] - others_Q,
        agrees.sum(axis=1) / most_Q,
        sizes_Q,
    )
