"""Several models vote: each for its best landmarks, with a weight times its confidence.

A model votes for the landmarks among the gallery images most similar to the photograph; a vote
weighs what the model's best image of that landmark is worth, similarity less penalty, turned into a
chance of being right by a curve that was fitted on the validation. Votes are summed per landmark
over models (as the winners of the Google challenges sum them, 2020 and 2021) and the largest sum
answers. Everything is a function of one photograph: no statistics of the query set enter, so that a
single photograph gets the answer it would get among others. One model alone answers and ranks as it
does without a vote.

The module does not know how photographs were embedded, and fits nothing.

Legend of shapes: Q queries, K votes of a model, M models, C = M * K votes on a photograph.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cairn.calibration import Logistic
from cairn.domain import Float32, Int64
from cairn.ensemble.fusion import Float64, largest_sums, shares
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.search import search
from cairn.tables import EmbeddingTable, require_same_model

Bool = NDArray[np.bool_]

NUM_VOTES = 3
"""Landmarks that a model votes for (first place 2020 and 2021: three)."""

NUM_NEIGHBORS = 32
"""Gallery images among which a model looks for its landmarks."""


@dataclass(frozen=True, eq=False)
class Votes:
    """What one model says of Q photographs.

    Args:
        image_ids: Q different ids.
        landmark_ids: The gallery's landmarks, ascending; ``codes`` point into them.
        codes: (Q, K) int64 landmarks voted for, best first, no landmark twice; -1 for none.
        confidences: (Q, K) float64, descending; -inf where the code is -1.
    """

    image_ids: tuple[str, ...]
    landmark_ids: tuple[str, ...]
    codes: Int64
    confidences: Float64

    def __post_init__(self) -> None:
        shape = (len(self.image_ids), self.codes.shape[-1])
        if not self.codes.shape == self.confidences.shape == shape:
            raise CairnError("votes need (Q, K) codes and confidences", where=self.codes.shape)

    def calibrated(self, curve: Logistic) -> Votes:
        """Return the votes with their confidences as chances of being right.

        Args:
            curve: Of one score, never falling (``Logistic.platt``).
        """
        cast = self.codes >= 0
        chances = curve(np.where(cast, self.confidences, 0.0).reshape(-1, 1)).reshape(cast.shape)
        return replace(self, confidences=np.where(cast, chances, -np.inf))

    def first_right(self, truth: Mapping[str, Collection[str]]) -> Bool:
        """Return (Q,) whether the landmark voted for first is one of the photograph's."""
        pairs = zip(self.image_ids, self.codes[:, 0].tolist(), strict=True)
        return np.asarray([c >= 0 and self.landmark_ids[c] in truth[i] for i, c in pairs], bool)


def cast_votes(
    queries: EmbeddingTable,
    gallery: Gallery,
    *,
    num_votes: int = NUM_VOTES,
    num_neighbors: int = NUM_NEIGHBORS,
) -> Votes:
    """Return a model's votes: its best landmarks with similarity less penalty of the best image.

    Args:
        queries: Embeddings by the gallery's model; their landmarks are not looked at.
        gallery: What to recognize against, with its penalty where it has one.
        num_votes: K, at most so many landmarks a photograph.
        num_neighbors: Gallery images looked at; a landmark that none of them shows gets no vote.

    Raises:
        CairnError: The queries are of another model, or a number is less than 1.
    """
    require_same_model(queries, gallery.table, where=f"the queries and {gallery.location}")
    if min(num_votes, num_neighbors) < 1:
        raise CairnError("votes and neighbours are at least 1", where=(num_votes, num_neighbors))
    table = gallery.table
    landmarks = sorted(set(table.landmark_ids))
    place = {landmark: code for code, landmark in enumerate(landmarks)}
    code_of = np.asarray([place[landmark] for landmark in table.landmark_ids], dtype=np.int64)
    offsets = None if gallery.penalty is None else gallery.penalty.offsets
    k = min(num_neighbors, len(table))
    found = search(queries.vectors, table.vectors, k, offsets=offsets)
    codes = np.full((len(queries), num_votes), -1, dtype=np.int64)
    values = np.full(codes.shape, -np.inf)
    exact = exact_scores(queries.vectors, table.vectors, found.indices, offsets)
    for query, (rows, scores) in enumerate(zip(found.indices.tolist(), exact, strict=True)):
        best: dict[int, float] = {}
        for row, score in zip(rows, scores.tolist(), strict=True):
            if row >= 0:
                best.setdefault(int(code_of[row]), score)
        for vote, (code, score) in enumerate(list(best.items())[:num_votes]):
            codes[query, vote], values[query, vote] = code, score
    return Votes(tuple(queries.image_ids), tuple(landmarks), codes, values)


class SideBySide:
    """Votes of M models beside one another: candidates of each photograph, with their model.

    Args:
        votes: Of M models on the same photographs, in the same order, against galleries of the
            same landmarks.

    Raises:
        CairnError: There is no model, or they voted on different photographs or landmarks.
    """

    def __init__(self, votes: Sequence[Votes]) -> None:
        if not votes:
            raise CairnError("there is no model to vote")
        first = votes[0]
        for other in votes[1:]:
            if other.image_ids != first.image_ids or other.landmark_ids != first.landmark_ids:
                raise CairnError(
                    "the models voted on different photographs or landmarks",
                    todo="embed the same queries and the same gallery with each model",
                )
        self.image_ids, self.landmark_ids = first.image_ids, first.landmark_ids
        self.num_members = len(votes)
        widths = [one.codes.shape[1] for one in votes]
        self.model_C = np.repeat(np.arange(len(votes)), widths)
        self.rank_C = np.concatenate([np.arange(1, width + 1) for width in widths])
        self.codes_QC = np.concatenate([one.codes for one in votes], axis=1)
        given = np.concatenate([one.confidences for one in votes], axis=1)
        self.confidences_QC = np.where(self.codes_QC < 0, 0.0, given)

    def largest_sums(self, weights: Sequence[float], worth_QC: Float64) -> tuple[Int64, Float64]:
        """Return the landmarks with the largest weighted sums, and these sums; see ``Fusion``."""
        share_C = shares(weights, self.num_members)[self.model_C]
        heard_QC = (share_C > 0) & (self.codes_QC >= 0)
        return largest_sums(self.codes_QC, share_C * worth_QC, heard_QC, len(self.landmark_ids))


class WeightedVotes(SideBySide):
    """A fusion: the landmark with the largest weighted sum of confidences answers.

    The score is that sum. Equal sums go to the landmark whose id comes first.
    """

    def count(self, weights: Sequence[float]) -> tuple[Int64, Float64]:
        """Return winners and their sums; see ``Fusion``."""
        return self.largest_sums(weights, self.confidences_QC)


def exact_scores(
    queries_QD: Float32, gallery_GD: Float32, rows_QK: Int64, offsets: Float32 | None
) -> Float64:
    """Return (Q, K) similarity less penalty of gallery rows, in float64; -inf where a row is -1."""
    scores = np.full(rows_QK.shape, -np.inf)
    for query, rows in enumerate(rows_QK):
        known = rows >= 0
        chosen = rows[known]
        similar = gallery_GD[chosen].astype(np.float64) @ queries_QD[query].astype(np.float64)
        scores[query, known] = similar if offsets is None else similar + offsets[chosen]
    return scores
