"""The field's scores in float64: GAP, mAP@100, top-1 accuracy, known/unknown AUROC.

A :class:`Ranking` is predictions judged against the truth once; every score is arithmetic on it,
also with a weight per query, which is how :mod:`cairn.bootstrap` resamples. Knows nothing of files,
galleries or models.

Order of predictions: score descending, then image id ascending, then landmark id ascending (the
rule of the Google Landmark challenges, DELF ``metrics.py``); integers compare as numbers, strings
by code point. A mapping holds one prediction per image, so the landmark id never has to decide.

Legend of shapes: Q queries, P predictions that are not blank, R correct ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cairn.errors import CairnError
from cairn.known_share import unknown_weight

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]

ImageId = TypeVar("ImageId", int, str)
LandmarkId = TypeVar("LandmarkId", int, str)


SIZE_BINS = (("0", 0), ("1", 1), ("2", 2), ("3-5", 5), ("6-10", 10), ("11-50", 50), (">50", None))
"""Names and highest sizes of the bins of landmarks by photographs; None is no limit."""


def size_bins(sizes: Sequence[int] | Int64) -> Int64:
    """Return the number of the bin of :data:`SIZE_BINS` that each number of photographs is in."""
    highest = [np.inf if high is None else high for _, high in SIZE_BINS]
    return np.searchsorted(highest, sizes).astype(np.int64)


@dataclass(frozen=True)
class Ranking:
    """Predictions judged against the truth.

    Args:
        image_ids: The Q query ids of the truth, ascending.
        labelled: (Q,) whether the query shows a known landmark.
        correct: (Q,) whether its prediction names one of its landmarks.
        scores: (Q,) float64 confidences; -inf where the query has no prediction (a blank).
        order: (P,) int64 positions of the queries that have a prediction, best first.
    """

    image_ids: tuple[int | str, ...]
    labelled: Bool
    correct: Bool
    scores: Float64
    order: Int64

    def __post_init__(self) -> None:
        shapes = {(len(self.image_ids),), self.labelled.shape, self.correct.shape}
        assert len(shapes | {self.scores.shape}) == 1, "a ranking holds one value per query"

    @property
    def num_labelled(self) -> int:
        """M: how many queries show a known landmark, predicted or not."""
        return int(self.labelled.sum())

    def take(self, rows: Int64) -> Ranking:
        """Return the ranking of some queries, in the order given."""
        place = np.full(len(self.image_ids), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        order = place[self.order]
        ids = tuple(self.image_ids[row] for row in rows.tolist())
        return Ranking(
            ids, self.labelled[rows], self.correct[rows], self.scores[rows], order[order >= 0]
        )

    def among(self, queries: Bool) -> Ranking:
        """Return the ranking with only the predictions of ``queries`` (Q,) in it.

        The other queries stay in place, as unlabelled blanks, so that weights keep their meaning.
        """
        return Ranking(
            self.image_ids,
            self.labelled & queries,
            self.correct & queries,
            np.where(queries, self.scores, -np.inf),
            self.order[queries[self.order]],
        )


def rank(
    predictions: Mapping[ImageId, tuple[LandmarkId, float] | None],
    truth: Mapping[ImageId, Collection[LandmarkId]],
) -> Ranking:
    """Return ``predictions`` judged against ``truth`` and ordered by the rule of this module.

    Args:
        predictions: ``{image_id: (landmark_id, score)}``; a missing image or None is a blank.
        truth: ``{image_id: landmark ids}`` for every query; an empty collection is a non-landmark.

    Raises:
        CairnError: A prediction is for an image that is no query, a score is NaN or infinite, ids
            mix numbers and strings, or no query shows a landmark (M = 0).
    """
    _check_truth(truth)
    _check_same_kind(predictions, truth)
    image_ids = _ascending(truth)
    position = {image_id: row for row, image_id in enumerate(image_ids)}
    if not predictions.keys() <= truth.keys():
        unknown = next(image_id for image_id in predictions if image_id not in truth)
        raise CairnError(
            "a prediction is for an image that is not among the queries",
            where=f"image {unknown!r}",
            todo="check that predictions and truth are of the same set of queries",
        )
    told = {i: answer for i, answer in predictions.items() if answer is not None}
    rows = list(map(position.__getitem__, told))
    given = np.asarray([score for _, score in told.values()], dtype=np.float64)
    if not np.isfinite(given).all():
        bad = image_ids[rows[int(np.flatnonzero(~np.isfinite(given))[0])]]
        raise CairnError("a score must be finite", where=f"image {bad!r}")
    scores = np.full(len(image_ids), -np.inf)
    correct = np.zeros(len(image_ids), dtype=bool)
    scores[rows] = given
    correct[rows] = [landmark_id in truth[i] for i, (landmark_id, _) in told.items()]
    answered = np.flatnonzero(np.isfinite(scores))
    order = answered[np.argsort(-scores[answered], kind="stable")]
    labelled = np.asarray([len(truth[image_id]) > 0 for image_id in image_ids])
    return Ranking(tuple(image_ids), labelled, correct, scores, order)


def global_average_precision(
    predictions: Mapping[ImageId, tuple[LandmarkId, float] | None],
    truth: Mapping[ImageId, Collection[LandmarkId]],
    *,
    ignore_unlabelled: bool = False,
    known_share: float | None = None,
) -> float:
    """Return GAP (micro-AP), (1/M) sum_i P(i) rel(i), in [0, 1].

    M counts the queries that show a landmark, predicted or not; P(i) is the precision among the
    first i predictions and rel(i) whether the i-th is right (Perronnin et al. 2009; Google Landmark
    Recognition). A prediction on a non-landmark takes a rank.

    Args:
        predictions: ``{image_id: (landmark_id, score)}``; a missing image or None is a blank.
        truth: ``{image_id: landmark ids}`` for every query; an empty collection is a non-landmark.
        ignore_unlabelled: Drop the non-landmarks first, giving the Met dataset's GAP-.
        known_share: Score as if this share of the queries showed a landmark
            (:mod:`cairn.known_share`); None takes the queries as they are.

    Raises:
        CairnError: As :func:`rank`, or as :func:`cairn.known_share.unknown_weight`.
    """
    ranking = rank(predictions, truth)
    weight = unknown_weight(ranking.labelled, known_share)
    if ignore_unlabelled:
        ranking = ranking.among(ranking.labelled)
    return gap(ranking, unknown_weight=weight)


def top1_accuracy(
    predictions: Mapping[ImageId, tuple[LandmarkId, float] | None],
    truth: Mapping[ImageId, Collection[LandmarkId]],
) -> float:
    """Return the share of the M queries with a landmark whose prediction names one of theirs.

    Raises:
        CairnError: As :func:`rank`.
    """
    return accuracy(rank(predictions, truth))


def mean_average_precision(
    predictions: Mapping[ImageId, Sequence[LandmarkId]],
    truth: Mapping[ImageId, Collection[LandmarkId]],
    *,
    max_predictions: int = 100,
) -> float:
    """Return mAP@``max_predictions`` of ranked retrieval lists, in [0, 1].

    Per query the sum of P(i) rel(i) over its first ``max_predictions`` answers, divided by
    min(number of relevant images, ``max_predictions``); the mean runs over all queries of the
    truth, those never predicted scoring 0 (GLDv2, Weyand et al. 2020).

    Args:
        predictions: ``{query_id: gallery ids, best first}``; a repeated id scores nothing after its
            first place, but takes a rank.
        truth: ``{query_id: relevant gallery ids}``, none of them empty.
        max_predictions: How far down the lists count.

    Raises:
        CairnError: A list is for an unknown query, a query has nothing to find, or the truth is
            empty.
    """
    return float(np.mean(average_precisions(predictions, truth, max_predictions=max_predictions)))


def average_precisions(
    predictions: Mapping[ImageId, Sequence[LandmarkId]],
    truth: Mapping[ImageId, Collection[LandmarkId]],
    *,
    max_predictions: int = 100,
) -> Float64:
    """Return (Q,) the average precision of every query, ids ascending: the parts of mAP.

    Raises:
        CairnError: As :func:`mean_average_precision`.
    """
    if max_predictions < 1:
        raise CairnError("max_predictions must be at least 1", where=max_predictions)
    _check_truth(truth)
    unknown = next((query for query in predictions if query not in truth), None)
    if unknown is not None:
        raise CairnError("a ranked list is for an unknown query", where=f"query {unknown!r}")
    values = []
    for query_id in _ascending(truth):
        relevant = set(truth[query_id])
        if not relevant:
            raise CairnError(
                "a query without relevant images has no average precision",
                where=f"query {query_id!r}",
                todo="leave queries without a landmark out of the retrieval truth",
            )
        best = min(len(relevant), max_predictions)
        total, found = 0.0, 0
        for place, answer in enumerate(predictions.get(query_id, ())[:max_predictions], start=1):
            if answer in relevant:
                relevant.remove(answer)
                found += 1
                total += found / place
        values.append(total / best)
    return np.asarray(values, dtype=np.float64)


def gap(ranking: Ranking, weights: Int64 | None = None, *, unknown_weight: float = 1.0) -> float:
    """Return the GAP of a judged ranking; the arguments are those of :func:`gap_terms`."""
    labelled = ranking.labelled if weights is None else weights[ranking.labelled]
    return float(gap_terms(ranking, weights, unknown_weight).sum() / labelled.sum())


def gap_terms(
    ranking: Ranking, weights: Int64 | None = None, unknown_weight: float = 1.0
) -> Float64:
    """Return (Q,) what each query adds to M * GAP: P(i) where its prediction is right, else 0.

    Args:
        ranking: Of :func:`rank`.
        weights: (Q,) how often each query stands in a resample; copies of a query are ties, and
            take ranks one after the other. None counts each query once.
        unknown_weight: How many ranks an answered non-landmark takes, for GAP at another share of
            them (:func:`cairn.known_share.unknown_weight`); 0 leaves them out.
    """
    copies = np.ones(len(ranking.labelled), dtype=np.int64) if weights is None else weights
    ranked = copies[ranking.order]
    right = ranking.correct[ranking.order]
    mine = ranked[right]
    hits_before = np.cumsum(mine) - mine
    places = ranked
    if unknown_weight != 1.0:
        places = np.where(ranking.labelled[ranking.order], ranked, ranked * unknown_weight)
    places_before = np.cumsum(places)[right] - mine
    sums = np.zeros(len(mine))
    for copy in range(1, int(mine.max(initial=0)) + 1):
        precision = (hits_before + copy) / (places_before + copy)
        sums += np.where(mine >= copy, precision, 0.0)
    terms = np.zeros(len(copies))
    terms[ranking.order[right]] = sums
    return terms


def accuracy(ranking: Ranking, weights: Int64 | None = None) -> float:
    """Return top-1 accuracy over the labelled queries of a judged ranking."""
    right = ranking.correct[ranking.labelled]
    return float(np.average(right, weights=None if weights is None else weights[ranking.labelled]))


def auroc(positive: Bool, scores: Float64, weights: Int64 | None = None) -> float | None:
    """Return the area under the ROC curve: P(score of a positive > score of a negative), ties half.

    The rank-sum identity of Mann and Whitney. Blanks enter as -inf: less sure than every answer.

    Args:
        positive: (Q,) the queries that should score high, for example those with a known landmark.
        scores: (Q,) confidences; -inf is allowed, NaN is not.
        weights: (Q,) how often each query counts; None counts each once.

    Returns:
        The area in [0, 1], or None where one of the two kinds is absent.
    """
    assert not np.isnan(scores).any(), "AUROC is undefined for NaN"
    return auroc_of_levels(positive, np.unique(scores, return_inverse=True)[1], weights)


def auroc_of_levels(
    positive: Bool, level: Int64, weights: Int64 | Float64 | None = None
) -> float | None:
    """Return :func:`auroc` from ``level`` (Q,), each score's place among the distinct ones.

    The levels are the costly part, and the same in every resample.
    """
    copies = np.ones(len(level)) if weights is None else weights.astype(np.float64)
    highs = np.bincount(level, weights=copies * positive)
    lows = np.bincount(level, weights=copies * ~positive)
    pairs = highs.sum() * lows.sum()
    if pairs == 0:
        return None
    below = np.cumsum(lows) - lows
    return float(np.sum(highs * (below + lows / 2)) / pairs)


def _check_truth(truth: Mapping[ImageId, Collection[LandmarkId]]) -> None:
    for kind in {type(landmarks) for landmarks in truth.values()}:
        if issubclass(kind, str | bytes) or not issubclass(kind, Collection):
            image_id = next(i for i, landmarks in truth.items() if type(landmarks) is kind)
            raise CairnError(
                "the truth of a query must be a collection of ids, such as a set or a list",
                where=f"image {image_id!r}: {truth[image_id]!r}",
            )
    if not any(len(landmarks) for landmarks in truth.values()):
        raise CairnError(
            "no query shows a landmark, so there is nothing to score (M = 0)",
            todo="give the truth of queries with at least one labelled image",
        )


def _ascending(truth: Mapping[ImageId, Collection[LandmarkId]]) -> list[ImageId]:
    try:
        return sorted(truth)
    except TypeError:
        raise CairnError("image ids mix numbers and strings", todo="use one kind of id") from None


def _check_same_kind(
    predictions: Mapping[ImageId, tuple[LandmarkId, float] | None],
    truth: Mapping[ImageId, Collection[LandmarkId]],
) -> None:
    """Refuse string answers to integer truths and the reverse: all would be wrong in silence."""
    kinds = {type(answer[0]) for answer in predictions.values() if answer is not None}
    kinds |= {type(landmark) for landmarks in truth.values() for landmark in landmarks}
    if len({issubclass(kind, str) for kind in kinds}) > 1:
        raise CairnError(
            "landmark ids mix numbers and strings",
            where="predictions and truth",
            todo="use one kind of id in both",
        )
