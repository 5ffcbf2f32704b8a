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
        scores: (Q,) float64 similarity less penalty of the best gallery image; the score of the
            answer where landmarks were voted for.
        margins: (Q,) score less that of the best image of another landmark, or of the next vote;
            where none of the K neighbours shows another, less that of the last one, which is the
            least it can be.
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

    @classmethod
    def joined(cls, parts: Sequence[Features]) -> Features:
        """Return the features of all queries of the parts, in order; at least one part."""
        return cls(
            tuple(one for part in parts for one in part.landmark_ids),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.margins for part in parts]),
            np.concatenate([part.agreements for part in parts]),
            np.concatenate([part.sizes for part in parts]),
        )

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
    seen = _Seen.of(neighbors, landmark_ids, sizes)
    scores_QK = neighbors.similarities.astype(np.float64)
    answer_Q = seen.codes_QK[:, 0]
    is_other = seen.is_there_QK & (seen.codes_QK != answer_Q[:, None])
    last_Q = seen.is_there_QK.sum(axis=1) - 1
    first_other_Q = np.where(is_other.any(axis=1), is_other.argmax(axis=1), last_Q)
    others_Q = scores_QK[np.arange(len(scores_QK)), first_other_Q]
    return seen.features(answer_Q, scores_QK[:, 0], others_Q)


def features_of_votes(
    neighbors: Neighbors,
    answers: Sequence[str],
    scores: Float64,
    others: Float64,
    landmark_ids: Sequence[str],
    sizes: Mapping[str, int] | None = None,
) -> Features:
    """Return the features of answers that were voted for.

    Args:
        neighbors: (Q, K) hits in the order in which they voted.
        answers: The landmark answered, one a query.
        scores: (Q,) its score.
        others: (Q,) the score of the landmark that comes next, or the most that it can be.
        landmark_ids: One a gallery row.
        sizes: Gallery photographs by landmark id; counted from ``landmark_ids`` by default.

    Raises:
        CairnError: An answer is no landmark of the gallery.
    """
    seen = _Seen.of(neighbors, landmark_ids, sizes)
    strange = set(answers) - set(seen.names)
    if strange:
        raise CairnError(f"the gallery has no landmark {min(strange)!r}")
    place = {name: code for code, name in enumerate(seen.names)}
    answer_Q = np.asarray([place[one] for one in answers], dtype=np.int64)
    return seen.features(answer_Q, scores.astype(np.float64), others.astype(np.float64))


@dataclass(frozen=True, eq=False)
class _Seen:
    """The landmarks of neighbours."""

    names: Sequence[str]
    counts: Int64
    codes_QK: Int64
    is_there_QK: Bool

    @classmethod
    def of(
        cls, neighbors: Neighbors, landmark_ids: Sequence[str], sizes: Mapping[str, int] | None
    ) -> _Seen:
        counted: Mapping[str, Any] = Counter(landmark_ids) if sizes is None else sizes
        names = sorted(counted)
        place = {name: code for code, name in enumerate(names)}
        codes_G = np.asarray([place[one] for one in landmark_ids], dtype=np.int64)
        is_there = neighbors.indices >= 0
        counts = np.asarray([counted[name] for name in names], dtype=np.int64)
        return cls(names, counts, np.where(is_there, codes_G[neighbors.indices], -1), is_there)

    def features(self, answer_Q: Int64, scores_Q: Float64, others_Q: Float64) -> Features:
        agrees = (self.codes_QK == answer_Q[:, None])[:, :AGREEING]
        sizes_Q = self.counts[answer_Q]
        most_Q = np.minimum(np.minimum(self.is_there_QK.sum(axis=1), AGREEING), sizes_Q)
        return Features(
            tuple(self.names[code] for code in answer_Q.tolist()),
            scores_Q,
            scores_Q - others_Q,
            agrees.sum(axis=1) / most_Q,
            sizes_Q,
        )
