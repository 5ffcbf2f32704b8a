"""Vectors to predictions: by the most similar gallery image, or by a recipe of stages.

Plainly, similarity less the gallery's penalty names the landmark (system page, S5 and S6). With
stages the recipe says everything, and the score is theirs. Either way an answer carries the gallery
images that spoke for it and, where the gallery keeps a fresh calibration of answers made this way,
the chance that it is right and the verdict known or unknown.

Legend of shapes: Q queries, G gallery rows, K neighbours, T rows shown, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cairn.calibration import Verdict
from cairn.domain import Evidence, Float32, Int64, Neighbors, Prediction
from cairn.gallery import Gallery
from cairn.gallery.indexes import searcher_of
from cairn.judge import Judge
from cairn.progress import track
from cairn.rerank import Votes
from cairn.rerank.voting import landmarks_of
from cairn.searchers import ExactSearcher, Searcher
from cairn.stacks import Stack, Stages

if TYPE_CHECKING:
    from cairn.rerank.local import Photograph

_BLOCK, _BLOCK_OF_PHOTOGRAPHS = 4096, 64  # queries that go through online stages together


@dataclass(frozen=True, eq=False)
class Answering:
    """How a gallery answers; ``Answering.of`` makes it.

    Args:
        gallery: What is recognized against.
        searcher: Finds its images, the penalty in the similarities where there are no stages.
        judge: Says known or unknown, where the gallery has a calibration of such answers.
        use_penalty: Whether the gallery's penalty comes off, where it has one; without stages.
        stack: The stages, or None.
    """

    gallery: Gallery
    searcher: Searcher
    judge: Judge | None
    use_penalty: bool = True
    stack: Stack | None = None

    @classmethod
    def of(
        cls,
        gallery: Gallery,
        *,
        use_penalty: bool = True,
        search: str = "exact",
        stages: Stages | None = None,
        online: bool = False,
    ) -> Answering:
        """Return how a gallery answers.

        Args:
            gallery: What to recognize against.
            use_penalty: Take the gallery's penalty off, where it has one; without stages.
            search: ``"exact"``; or ``"approximate"``, through the index of ``cairn gallery tune``.
            stages: A recipe; it says everything, so the penalty comes off by its stage alone.
            online: Refuse stages that look at the whole batch.

        Raises:
            CairnError: The recipe cannot be read, asks for what the gallery lacks or, where
                ``online``, for a batch; ``use_penalty`` is off beside it; or the index that is
                wanted is missing, stale or damaged.
        """
        if stages is None:
            searcher = searcher_of(gallery, search, use_penalty=use_penalty)
            judge = Judge.of(gallery, use_penalty=use_penalty, search=search)
            return cls(gallery, searcher, judge, use_penalty)
        stack = Stack.read(gallery, stages, use_penalty=use_penalty, search=search, online=online)
        gallery = stack.gallery
        judge = None
        if stack.pipeline.online:  # a chance that hangs on the batch would mean nothing in another
            judge = Judge.of(
                gallery, use_penalty=stack.uses_penalty, search=search, stages=stack.basis
            )
        return cls(gallery, stack.parts.searcher, judge, stack.uses_penalty, stack)

    @property
    def search(self) -> str:
        """``exact`` or ``approximate``."""
        return "exact" if isinstance(self.searcher, ExactSearcher) else "approximate"

    @property
    def looks_at_photographs(self) -> bool:
        """Whether a stage matches photographs, so that vectors are not enough."""
        return self.stack is not None and "queries.inliers" in self.stack.pipeline.needs

    def predictions(
        self,
        vectors_QD: Float32,
        image_ids: Sequence[str],
        photographs: Sequence[Photograph | str] | None = None,
        *,
        top: int,
    ) -> list[Prediction]:
        """Return one prediction for each query, in order.

        Args:
            vectors_QD: (Q, D) unit vectors by the gallery's model.
            image_ids: Q ids.
            photographs: Q files or arrays of pixels, where a stage matches them.
            top: T: gallery images shown at most.

        Raises:
            CairnError: A stage matches photographs, and they are missing or unreadable.
        """
        if not len(image_ids):
            return []
        if self.stack is None:
            return self._plainly(vectors_QD, image_ids, top)
        made: list[Prediction] = []
        for block in track(
            _blocks(len(image_ids), self.stack, together=not self.stack.pipeline.online),
            "stages",
            total=len(image_ids),
            size=lambda block: block.stop - block.start,
        ):
            some = None if photographs is None else photographs[block]
            made += self._by_stages(self.stack, vectors_QD[block], image_ids[block], some, top)
        return made

    def _plainly(self, vectors_QD: Float32, image_ids: Sequence[str], top: int) -> list[Prediction]:
        judge, num = self.judge, len(self.gallery.table)
        found = self.searcher.search(
            vectors_QD, min(max(top, judge.num_neighbors if judge else 0), num)
        )
        verdicts = judge.verdicts(found) if judge else [None] * len(image_ids)
        penalty = self.gallery.penalty if self.use_penalty else None
        costs_G = None if penalty is None else penalty.penalty
        predictions = []
        for image_id, query_D, rows_T, verdict in zip(
            image_ids, vectors_QD, found.indices[:, :top], verdicts, strict=True
        ):
            costs_T = np.zeros(len(rows_T)) if costs_G is None else costs_G[rows_T]
            evidence = self._evidence(query_D, rows_T, costs_T.tolist())
            best = evidence[0]
            answer = (best.landmark_id, best.score)
            predictions.append(self._prediction(image_id, answer, evidence, verdict))
        return predictions

    def _by_stages(
        self,
        stack: Stack,
        vectors_QD: Float32,
        image_ids: Sequence[str],
        photographs: Sequence[Photograph | str] | None,
        top: int,
    ) -> list[Prediction]:
        context = stack.context(vectors_QD, photographs)
        hits, votes = stack.pipeline.both(stack.found(vectors_QD), context)
        answer_Q = votes.landmarks[:, 0] if votes.landmarks.size else np.full(len(image_ids), -1)
        verdicts: dict[int, Verdict] = {}
        answered = np.flatnonzero(answer_Q >= 0)
        if self.judge is not None and len(answered):
            of_answered = stack.features(
                Neighbors(hits.indices[answered], hits.similarities[answered]),
                Votes(votes.landmarks[answered], votes.scores[answered]),
                context.take(answered),
            )
            verdicts = dict(
                zip(answered.tolist(), self.judge.verdicts_on(of_answered), strict=True)
            )
        shown_QT = _own_first(landmarks_of(hits, stack.parts.landmarks), hits, answer_Q)[:, :top]
        predictions = []
        for query, (image_id, code) in enumerate(zip(image_ids, answer_Q.tolist(), strict=True)):
            if code < 0:
                predictions.append(Prediction(image_id, None, 0.0))
                continue
            rows_T = shown_QT[query][shown_QT[query] >= 0]
            costs_T = stack.pipeline.taken(rows_T, context)
            evidence = self._evidence(vectors_QD[query], rows_T, costs_T.tolist())
            answer = (stack.names[code], float(votes.scores[query, 0]))
            predictions.append(self._prediction(image_id, answer, evidence, verdicts.get(query)))
        return predictions

    def _evidence(
        self, query_D: Float32, rows_T: Int64, costs_T: Sequence[float]
    ) -> tuple[Evidence, ...]:
        table, gallery = self.gallery.table, self.gallery
        similarities = table.vectors[rows_T].astype(np.float64) @ query_D.astype(np.float64)
        return tuple(
            Evidence(
                table.image_ids[row],
                table.landmark_ids[row],
                table.paths[row],
                float(similarity),
                float(cost),
                **gallery.about(row),
            )
            for row, similarity, cost in zip(rows_T.tolist(), similarities, costs_T, strict=True)
        )

    def _prediction(
        self,
        image_id: str,
        answer: tuple[str, float],
        evidence: tuple[Evidence, ...],
        verdict: Verdict | None,
    ) -> Prediction:
        return Prediction(
            image_id,
            *answer,
            evidence,
            self.gallery.landmark(answer[0]),
            None if verdict is None else verdict.probability,
            None if verdict is None else verdict.is_known,
        )


def _blocks(num: int, stack: Stack, *, together: bool) -> Iterator[slice]:
    matches = "queries.inliers" in stack.pipeline.needs
    size = num if together else _BLOCK_OF_PHOTOGRAPHS if matches else _BLOCK
    for start in range(0, num, size):
        yield slice(start, min(start + size, num))


def _own_first(codes_QK: Int64, hits: Neighbors, answer_Q: Int64) -> Int64:
    """Return (Q, K) the hits of the landmark answered, in their order, then -1."""
    is_own = codes_QK == answer_Q[:, None]
    order = np.argsort(~is_own, axis=1, kind="stable")
    return np.take_along_axis(np.where(is_own, hits.indices, -1), order, axis=1)
