"""Several models vote: each for its best landmarks, with a weight times its confidence.

A model votes for the landmarks among the gallery images most similar to the photograph; a vote
weighs what the model's best image of that landmark is worth, similarity less penalty, turned into a
chance of being right by a curve that was fitted on the validation. Votes are summed per landmark
over models (as the winners of the Google challenges sum them, 2020 and 2021) and the largest sum
answers. Everything is a function of one photograph: no statistics of the query set enter, so that a
single photograph gets the answer it would get among others. One model alone answers and ranks as it
does without a vote.

Weights come from a grid over the simplex, scored by GAP on validation votes. The module does not
know how photographs were embedded, and fits nothing on what it is scored on unless it is told to.

Legend of shapes: Q queries, K votes of a model, M models, C = M * K votes on a photograph.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Float32, Int64, Prediction
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.metrics import global_average_precision
from cairn.search import search
from cairn.tables import EmbeddingTable, require_same_model

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

NUM_VOTES = 3
"""Landmarks that a model votes for (first place 2020 and 2021: three)."""

NUM_NEIGHBORS = 32
"""Gallery images among which a model looks for its landmarks."""

NUM_STEPS = 10
"""Steps of the weights' grid: weights are multiples of a tenth."""


@dataclass(frozen=True)
class Calibration:
    """A score as the chance of being right: 1 / (1 + exp(-(slope * score + offset))).

    Args:
        slope: Never negative, so that a model's own ranking stays.
        offset: See above.
    """

    slope: float
    offset: float

    def __post_init__(self) -> None:
        if not (np.isfinite([self.slope, self.offset]).all() and self.slope >= 0):
            raise CairnError("a calibration needs finite numbers and a slope >= 0", where=self)

    def __call__(self, scores: Float64) -> Float64:
        """Return chances in [0, 1] of the same shape, of finite scores."""
        value: Float64 = 0.5 * (1.0 + np.tanh(0.5 * (self.slope * scores + self.offset)))
        return value

    @classmethod
    def fit(cls, scores: Float64, right: Bool, *, steps: int = 100) -> Calibration:
        """Return the curve of greatest likelihood for answers that were right or not.

        Platt's method (1999) with his softened targets, which keep the slope finite where scores
        part right from wrong cleanly; Newton steps, halved until they gain (Lin et al. 2007). Where
        surer answers are wrong more often the curve is flat.

        Args:
            scores: (N,) finite; of answers to photographs the model has not learned from.
            right: (N,) whether the answer was right; wrong ones and non-landmarks are not.
            steps: Newton steps at most.
        """
        if scores.shape != right.shape or scores.ndim != 1 or not len(scores):
            raise CairnError("a calibration needs scores and as many verdicts, one at least")
        middle, spread = float(scores.mean()), float(scores.std()) or 1.0
        inputs = np.stack([(scores - middle) / spread, np.ones(len(scores))], axis=1)
        hits = int(right.sum())
        misses = len(right) - hits
        targets = np.where(right, (hits + 1) / (hits + 2), 1 / (misses + 2))
        found = np.array([0.0, np.log((hits + 1) / (misses + 1))])

        def loss(parameters: Float64) -> float:
            logits = inputs @ parameters
            return float(np.sum(np.logaddexp(0.0, logits) - targets * logits))

        now = loss(found)
        for _ in range(steps):
            chances = 0.5 * (1.0 + np.tanh(0.5 * (inputs @ found)))
            slope = inputs.T @ (chances - targets)
            curve = (inputs.T * (chances * (1 - chances))) @ inputs + 1e-12 * np.eye(2)
            step = np.linalg.solve(curve, slope)
            size = 1.0
            while (then := loss(found - size * step)) > now and size > 1e-6:
                size /= 2
            if now - then <= 1e-12 * max(now, 1.0):
                break
            found, now = found - size * step, then
        if found[0] <= 0:
            return cls(0.0, float(np.log((hits + 1) / (misses + 1))))
        return cls(float(found[0] / spread), float(found[1] - found[0] * middle / spread))


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

    def calibrated(self, calibration: Calibration) -> Votes:
        """Return the votes with their confidences as chances of being right."""
        cast = self.codes >= 0
        chances = calibration(np.where(cast, self.confidences, 0.0))
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
    exact = _scores(queries.vectors, table.vectors, found.indices, offsets)
    for query, (rows, scores) in enumerate(zip(found.indices.tolist(), exact, strict=True)):
        best: dict[int, float] = {}
        for row, score in zip(rows, scores.tolist(), strict=True):
            if row >= 0:
                best.setdefault(int(code_of[row]), score)
        for vote, (code, score) in enumerate(list(best.items())[:num_votes]):
            codes[query, vote], values[query, vote] = code, score
    return Votes(tuple(queries.image_ids), tuple(landmarks), codes, values)


def count_votes(votes: Sequence[Votes], weights: Sequence[float]) -> list[Prediction]:
    """Return one prediction for each photograph: the landmark with the largest weighted sum.

    The confidence is that sum. Equal sums go to the landmark whose id comes first.

    Args:
        votes: Of M models on the same photographs, in the same order, against galleries of the
            same landmarks.
        weights: M numbers >= 0, not all of them 0; only their proportions matter.

    Raises:
        CairnError: The models voted on different photographs or landmarks, or the weights are
            none.
    """
    return _Booth(votes).predictions(weights)


def fit_weights(
    votes: Sequence[Sequence[Votes]],
    truths: Sequence[Mapping[str, Collection[str]]],
    *,
    num_steps: int = NUM_STEPS,
) -> tuple[tuple[float, ...], float]:
    """Return the weights of greatest GAP on validation votes, and that GAP.

    Tries every way of dividing 1 into ``num_steps`` equal parts among the models, a model alone
    among them, so that the GAP found is never below the best model's own on these photographs. It
    is too good by what chance lends the best of the grid, and says nothing of other photographs.
    Among equals the most even weights are taken, then those that lean to the models named first.

    Args:
        votes: For each validation set (say, of each seed) the votes of the same M models.
        truths: For each validation set its photographs' landmarks; GAP is the mean over the sets.
        num_steps: Parts; 10 means weights of 0, 0.1, ..., 1.

    Raises:
        CairnError: No set, not one truth for each, or as ``count_votes``.
    """
    if not votes or len(votes) != len(truths) or num_steps < 1:
        raise CairnError(
            "weights need validation votes and as many truths, and a step at least",
            where=f"{len(votes)} sets of votes, {len(truths)} truths, {num_steps} steps",
        )
    booths = [_Booth(cast) for cast in votes]
    tried = []
    for parts in _divisions(num_steps, len(votes[0])):
        weights = tuple(part / num_steps for part in parts)
        gaps = [
            global_average_precision(booth.answers(weights), truth)
            for booth, truth in zip(booths, truths, strict=True)
        ]
        evenness = -sum(part * part for part in parts)
        tried.append((float(np.mean(gaps)), evenness, parts, weights))
    gap, _, _, weights = max(tried)
    return weights, gap


class _Booth:
    """Votes of M models side by side, with which of them are for the same landmark."""

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
        self.model = np.repeat(np.arange(len(votes)), [one.codes.shape[1] for one in votes])
        self.codes = np.concatenate([one.codes for one in votes], axis=1)
        given = np.concatenate([one.confidences for one in votes], axis=1)
        self.confidences = np.where(self.codes < 0, 0.0, given)

    def count(self, weights: Sequence[float]) -> tuple[Int64, Float64]:
        """Return (Q,) codes of the winners, -1 for no vote at all, and (Q,) their sums."""
        shares = np.asarray(weights, dtype=np.float64)
        num_models = int(self.model[-1]) + 1
        if len(shares) != num_models or not np.isfinite(shares).all() or (shares < 0).any():
            raise CairnError(f"{num_models} models need as many weights >= 0", where=weights)
        if not shares.any():
            raise CairnError("not all weights can be 0", where=weights)
        shares = shares / shares.sum()
        heard = (shares[self.model] > 0) & (self.codes >= 0)  # (Q, C)
        worth = np.where(heard, shares[self.model] * self.confidences, 0.0)
        sums = np.zeros_like(worth)
        for column in range(worth.shape[1]):  # the same order for every landmark: sums repeat
            same = self.codes == self.codes[:, column : column + 1]
            sums += np.where(same, worth[:, column : column + 1], 0.0)
        sums = np.where(heard, sums, -np.inf)
        best = sums.max(axis=1, keepdims=True)
        never = len(self.landmark_ids)
        winners = np.where(heard & (sums == best), self.codes, never).min(axis=1)
        return np.where(winners == never, -1, winners), best[:, 0]

    def answers(self, weights: Sequence[float]) -> dict[str, tuple[str, float]]:
        codes, sums = self.count(weights)
        columns = zip(self.image_ids, codes.tolist(), sums.tolist(), strict=True)
        return {
            image: (self.landmark_ids[code], total) for image, code, total in columns if code >= 0
        }

    def predictions(self, weights: Sequence[float]) -> list[Prediction]:
        answers = self.answers(weights)
        return [Prediction(image, *answers.get(image, (None, 0.0))) for image in self.image_ids]


def _scores(
    queries_QD: Float32, gallery_GD: Float32, rows_QK: Int64, offsets: Float32 | None
) -> Float64:
    """Return (Q, K) similarity less penalty of found gallery rows, in float64."""
    scores = np.full(rows_QK.shape, -np.inf)
    for query, rows in enumerate(rows_QK):
        known = rows >= 0
        chosen = rows[known]
        similar = gallery_GD[chosen].astype(np.float64) @ queries_QD[query].astype(np.float64)
        scores[query, known] = similar if offsets is None else similar + offsets[chosen]
    return scores


def _divisions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Yield every way of writing ``total`` as ``parts`` numbers >= 0, in order."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _divisions(total - first, parts - 1):
            yield (first, *rest)
