"""Queries with their hits and their truth, judged fast: what a search over stages asks of them.

Everything that trials share is made once: the order of ids that decides ties, the landmarks' codes,
the parts of a cross-validation. A trial then costs its stages, one sort and a few cumulative sums.

Legend of shapes: Q queries of the truth, A of them with hits, K hits, P parts, L landmarks a query.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Int64, Neighbors
from cairn.errors import CairnError
from cairn.known_share import unknown_weight
from cairn.metrics import Ranking
from cairn.rerank import Context
from cairn.rerank.answers import Float64, Votes

Bool = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Queries:
    """Photographs that stages are tried on; ``Queries.of`` makes them.

    Args:
        image_ids: The Q ids of the truth, ascending.
        labelled: (Q,) whether the query shows a landmark.
        places: (A,) which of them have hits, ascending; the others are blanks.
        truths: (A, L) codes of the landmarks they show; -2 pads, for what the gallery lacks too.
        found: (A, K) hits.
        context: What stages may look at, of these A queries.
    """

    image_ids: tuple[str, ...]
    labelled: Bool
    places: Int64
    truths: Int64
    found: Neighbors
    context: Context

    @classmethod
    def of(
        cls,
        found: Neighbors,
        context: Context,
        image_ids: Sequence[str],
        truth: Mapping[str, Collection[str]],
        landmark_ids: Sequence[str],
    ) -> Queries:
        """Return queries as trials want them.

        Args:
            found: Hits, one row for each of ``image_ids``.
            context: Of the same queries.
            image_ids: Those that have hits; a query of the truth that is not among them is a blank.
            truth: Query id -> landmark ids; empty for a non-landmark.
            landmark_ids: What the codes of ``context.gallery.landmarks`` stand for.

        Raises:
            CairnError: Not one id for each row, an id twice or without a truth, no landmarks of
                the gallery, or no query with a landmark.
        """
        if len(image_ids) != found.num_queries or len(set(image_ids)) != len(image_ids):
            raise CairnError(
                "each row of hits needs an id of its own",
                where=f"{found.num_queries} rows, {len(set(image_ids))} different ids",
            )
        if context.gallery.landmarks is None:
            raise CairnError("the context lacks gallery.landmarks", todo="code_landmarks(labels)")
        lost = next((one for one in image_ids if one not in truth), None)
        if lost is not None:
            raise CairnError("a query has hits and no truth", where=f"query {lost!r}")
        if not any(truth.values()):
            raise CairnError("no query shows a landmark, so nothing tells stages apart")
        order = np.asarray(sorted(range(len(image_ids)), key=image_ids.__getitem__), np.int64)
        every = tuple(sorted(truth))
        row_of = {image_id: row for row, image_id in enumerate(every)}
        code_of = {name: code for code, name in enumerate(landmark_ids)}
        width = max(1, *(len(landmarks) for landmarks in truth.values()))
        truths = np.full((len(order), width), -2, dtype=np.int64)
        for row, asked in enumerate(order.tolist()):
            for column, landmark in enumerate(truth[image_ids[asked]]):
                truths[row, column] = code_of.get(landmark, -2)
        return cls(
            every,
            np.asarray([bool(truth[one]) for one in every]),
            np.asarray([row_of[image_ids[asked]] for asked in order.tolist()], dtype=np.int64),
            truths,
            Neighbors(found.indices[order], found.similarities[order]),
            context.take(order),
        )

    @property
    def num_known(self) -> int:
        """M: queries that show a landmark."""
        return int(self.labelled.sum())

    @property
    def num_unknown(self) -> int:
        """Queries that show none."""
        return len(self.labelled) - self.num_known

    def ranking(self, answer: Votes | Neighbors) -> Ranking:
        """Return the first vote, or the best hit's landmark, of each query, judged.

        Args:
            answer: Of the A queries.

        Raises:
            CairnError: A score is NaN or +-infinite.
        """
        if isinstance(answer, Votes):
            codes, scores = _first(answer.landmarks), _first(answer.scores)
        else:
            landmarks = self.context.gallery.landmarks
            assert landmarks is not None, "checked when these queries were made"
            rows, scores = _first(answer.indices), _first(answer.similarities)
            codes = np.where(rows >= 0, landmarks[np.maximum(rows, 0)], -1)
        is_told = codes >= 0
        if not np.isfinite(scores[is_told]).all():
            raise CairnError("stages gave a score that is not finite")
        shown = np.full(len(self.labelled), -np.inf)
        shown[self.places] = np.where(is_told, scores, -np.inf)
        right = np.zeros(len(self.labelled), dtype=np.bool_)
        right[self.places] = is_told & (self.truths == codes[:, None]).any(axis=1)
        return self.ranked(right, shown)

    def ranked(self, right: Bool, scores: Float64) -> Ranking:
        """Return answers in order.

        Args:
            right: (Q,) whether each is right.
            scores: (Q,) their scores; -inf where there is none.
        """
        told = np.flatnonzero(scores > -np.inf)
        order = told[np.argsort(-scores[told], kind="stable")]
        return Ranking(self.image_ids, self.labelled, right, scores, order)


def stratified(labelled: Bool, num: int, rng: np.random.Generator) -> list[Int64]:
    """Return the queries in ``num`` parts, each with its share of landmarks and of others.

    Args:
        labelled: (Q,) whether the query shows a landmark.
        num: At least 1.
        rng: Where the draws come from.
    """
    kinds = [rng.permutation(np.flatnonzero(labelled == known)) for known in (True, False)]
    return [np.sort(np.concatenate([kind[at::num] for kind in kinds])) for at in range(num)]


@dataclass(frozen=True, eq=False)
class Parts:
    """All queries, all but one fold, and one fold: the parts whose GAP a trial is asked for.

    Args:
        masks: (P, Q) whether a query is in a part: all, then K parts without one fold each, then
            the K folds.
        sizes: (P, Q) how many ranks its answer takes there; 0 where it is not in the part.
        num_known: (P,) landmark queries of each.
        known_share: What the sizes stand for; see ``cairn.known_share``.
    """

    masks: Bool
    sizes: Float64
    num_known: Int64
    known_share: float | None = None

    @classmethod
    def of(
        cls, queries: Queries, *, folds: int, known_share: float | None = None, seed: int = 0
    ) -> Parts:
        """Return the parts of a cross-validation in up to ``folds`` folds.

        There are fewer folds where a kind of query has fewer members, and none where one has less
        than two that has to be in each.

        Args:
            queries: To be parted.
            folds: K; 0 for none.
            known_share: See ``cairn.known_share``; each part is weighed to this share.
            seed: Of the folds.

        Raises:
            CairnError: As ``unknown_weight``.
        """
        labelled = queries.labelled
        unknown_weight(labelled, known_share)  # says what is wrong with the share
        least = queries.num_known
        if known_share not in (None, 1.0):
            least = min(least, queries.num_unknown)
        folds = min(folds, least) if min(folds, least) >= 2 else 0
        held = np.zeros((folds, len(labelled)), dtype=np.bool_)
        for fold, members in enumerate(stratified(labelled, folds, np.random.default_rng(seed))):
            held[fold, members] = True
        masks = np.concatenate([np.ones((1, len(labelled)), np.bool_), ~held, held])
        sizes = np.zeros(masks.shape)
        for part, mask in enumerate(masks):
            weight = unknown_weight(labelled, known_share, mask.astype(np.int64))
            sizes[part] = mask * np.where(labelled, 1.0, weight)
        return cls(masks, sizes, (masks & labelled).sum(axis=1), known_share)

    @property
    def num_folds(self) -> int:
        """K."""
        return (len(self.masks) - 1) // 2

    def without(self, fold: int) -> int:
        """Return the part that lacks a fold."""
        return 1 + fold

    def within(self, fold: int) -> int:
        """Return the part that is a fold."""
        return 1 + self.num_folds + fold

    @property
    def folds(self) -> list[Bool]:
        """The K folds, (Q,) each: whether a query is in it."""
        return list(self.masks[1 + self.num_folds :])

    def unseen(self, part: int) -> frozenset[int]:
        """Return the folds that nothing may see that a part chooses or judges."""
        if not part:
            return frozenset()
        return frozenset({(part - 1) % self.num_folds})

    def gaps(self, ranking: Ranking, parts: Sequence[int] | None = None) -> Float64:
        """Return (P,) GAP of a ranking in each part, or in some."""
        which = slice(None) if parts is None else list(parts)
        places = np.cumsum(self.sizes[which][:, ranking.order], axis=1)
        right = ranking.correct[ranking.order]
        counted = self.masks[which][:, ranking.order[right]]
        hits = np.cumsum(counted, axis=1)
        ranks = places[:, right]
        precisions = np.divide(hits, ranks, out=np.zeros(ranks.shape), where=counted)
        gaps: Float64 = precisions.sum(axis=1) / self.num_known[which]
        return gaps


def _first(values: NDArray[Any]) -> NDArray[Any]:
    if values.shape[1]:
        first: NDArray[Any] = values[:, 0]
        return first
    padding = -1 if values.dtype.kind == "i" else -np.inf
    return np.full(len(values), padding, dtype=values.dtype)
