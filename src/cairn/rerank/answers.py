"""What stages hand on: hits in another order, or votes for landmarks.

Legend of shapes: Q queries, K hits of a query, V votes of a query.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Int64, Neighbors, Prediction
from cairn.errors import CairnError

Float64 = NDArray[np.float64]

_BLOCK = 1 << 22  # numbers of a temporary array


@dataclass(frozen=True, eq=False)
class Votes:
    """Per query: landmarks and their scores, best first, no landmark twice.

    Args:
        landmarks: (Q, V) int64 codes of landmarks (``code_landmarks``); -1 pads a row.
        scores: (Q, V) float64, descending; -inf where the landmark is -1, finite elsewhere.
    """

    landmarks: Int64
    scores: Float64

    def __post_init__(self) -> None:
        if self.landmarks.shape != self.scores.shape or self.landmarks.ndim != 2:
            raise CairnError(
                "votes need (Q, V) landmarks and (Q, V) scores",
                where=f"{self.landmarks.shape} and {self.scores.shape}",
            )

    @property
    def num_queries(self) -> int:
        """Q."""
        return int(self.landmarks.shape[0])


Answer: TypeAlias = Neighbors | Votes


def code_landmarks(labels: Sequence[str]) -> tuple[Int64, tuple[str, ...]]:
    """Return (G,) codes of the gallery's landmarks and what they stand for, ascending.

    Args:
        labels: The landmark of each gallery row.
    """
    names, codes = np.unique(np.asarray(labels, dtype=np.str_), return_inverse=True)
    return codes.astype(np.int64), tuple(names.tolist())


def predictions_of(
    votes: Votes, image_ids: Sequence[str], landmark_ids: Sequence[str]
) -> list[Prediction]:
    """Return the first vote of each query as its answer; a query without votes stays blank.

    Args:
        votes: Of Q queries.
        image_ids: Their ids.
        landmark_ids: What codes stand for.

    Raises:
        CairnError: Not one id for each query, or a code that stands for nothing.
    """
    if len(image_ids) != votes.num_queries:
        raise CairnError(f"{votes.num_queries} queries and {len(image_ids)} ids")
    if votes.landmarks.size and int(votes.landmarks.max()) >= len(landmark_ids):
        raise CairnError(
            f"a vote is for landmark {int(votes.landmarks.max())} of {len(landmark_ids)}",
            todo="give the names that `code_landmarks` returned with the codes",
        )
    if not votes.landmarks.shape[1]:
        return [Prediction(image_id, None, 0.0) for image_id in image_ids]
    first = zip(image_ids, votes.landmarks[:, 0].tolist(), votes.scores[:, 0].tolist(), strict=True)
    return [
        Prediction(image, landmark_ids[code], score) if code >= 0 else Prediction(image, None, 0.0)
        for image, code, score in first
    ]


def ranked(indices: Int64, scores: NDArray[np.floating]) -> Neighbors:
    """Return hits by their new scores, best first; equal ones in the order they had.

    Args:
        indices: (Q, K) gallery rows, -1 where there is none.
        scores: (Q, K) any numbers where there is none.
    """
    num_queries, k = indices.shape
    answer = Neighbors(np.empty((num_queries, k), np.int64), np.empty((num_queries, k), np.float32))
    for at in query_blocks(num_queries, 4 * k):
        known = np.where(indices[at] >= 0, scores[at], -np.inf)
        order = np.argsort(-known, axis=1, kind="stable")
        answer.indices[at] = np.take_along_axis(indices[at], order, axis=1)
        answer.similarities[at] = np.take_along_axis(known, order, axis=1)
    return answer


def first_hits(found: Neighbors, num: int) -> Neighbors:
    """Return the first ``num`` hits of each query."""
    return Neighbors(found.indices[:, :num], found.similarities[:, :num])


def tally(
    landmarks: Int64, values: Float64, how: Literal["sum", "best", "log-sum"] = "sum"
) -> Votes:
    """Return the values of hits put together by landmark.

    Args:
        landmarks: (Q, K) codes of the hits, best hit first; -1 where there is none.
        values: (Q, K) finite where there is a hit.
        how: Their sum; their maximum; or log(sum(exp(values))), the sum of numbers that are given
            as logarithms.

    Returns:
        (Q, K) votes. Equal scores stand in the order of the landmarks' first hits.
    """
    num_queries, k = landmarks.shape
    votes = Votes(np.full((num_queries, k), -1, np.int64), np.full((num_queries, k), -np.inf))
    for at in query_blocks(num_queries, 8 * k):
        _tally(landmarks[at], values[at], how, votes.landmarks[at], votes.scores[at])
    return votes


def _tally(
    landmarks_QK: Int64, values_QK: Float64, how: str, into_QK: Int64, scores_QK: Float64
) -> None:
    num_queries, k = landmarks_QK.shape
    order = np.argsort(landmarks_QK, axis=1, kind="stable")
    codes = np.take_along_axis(landmarks_QK, order, axis=1)
    is_first = np.ones((num_queries, k), dtype=np.bool_)
    is_first[:, 1:] = codes[:, 1:] != codes[:, :-1]
    # A run of one landmark ends where the next begins; -1 makes runs too, which are left out after.
    every = np.flatnonzero(is_first)
    if not len(every):
        return
    values = np.take_along_axis(values_QK, order, axis=1).ravel()
    values = np.where(codes.ravel() >= 0, values, 0.0)
    if how == "best":
        totals = np.maximum.reduceat(values, every)
    elif how == "sum":
        totals = np.add.reduceat(values, every)
    else:
        highest = np.maximum.reduceat(values, every)
        lengths = np.diff(every, append=values.size)
        totals = highest + np.log(np.add.reduceat(np.exp(values - highest.repeat(lengths)), every))
    is_vote = codes.ravel()[every] >= 0
    starts, totals = every[is_vote], totals[is_vote]
    # Each total stands where its landmark was hit first, so that a stable sort breaks ties so.
    query, first = starts // k, order.ravel()[starts]
    into_QK[query, first], scores_QK[query, first] = landmarks_QK[query, first], totals
    best = np.argsort(-scores_QK, axis=1, kind="stable")
    into_QK[:] = np.take_along_axis(into_QK, best, axis=1)
    scores_QK[:] = np.take_along_axis(scores_QK, best, axis=1)


def query_blocks(num_queries: int, numbers: int) -> Iterator[slice]:
    """Yield all queries in blocks, so that ``numbers`` for each query stay few enough."""
    size = max(1, _BLOCK // max(1, numbers))
    for start in range(0, num_queries, size):
        yield slice(start, min(start + size, num_queries))
