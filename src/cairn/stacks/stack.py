"""A recipe of stages upon one gallery: ready to answer, or refused with what the gallery lacks.

A recipe says everything: hits are found by bare similarity, and the gallery's penalty comes off
only where the recipe has the stage ``penalty``.

Legend of shapes: Q queries, G gallery rows, K hits, D dimensions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from cairn.calibration import Features, features_of_votes
from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.rerank import Context, GallerySide, Pipeline, Votes, as_pipeline, require_online
from cairn.rerank.answers import Float64
from cairn.stacks.parts import AnyMatcher, Parts

if TYPE_CHECKING:
    from cairn.rerank.local import Photograph


Stages: TypeAlias = Pipeline | Path | str
"""Stages that were composed, or the file of a recipe."""


@dataclass(frozen=True, eq=False)
class Stack:
    """Stages upon a gallery; ``Stack.of`` makes it, and sees that the gallery has all they need.

    Args:
        parts: Where the context comes from.
        pipeline: The stages.
    """

    parts: Parts
    pipeline: Pipeline

    @classmethod
    def of(
        cls,
        gallery: Gallery,
        pipeline: Pipeline,
        *,
        search: str = "exact",
        num_hits: int | None = None,
        matcher: AnyMatcher | None = None,
    ) -> Stack:
        """Return the stages upon a gallery.

        Args:
            gallery: What to recognize against.
            pipeline: The stages.
            search: ``"exact"``; or ``"approximate"``, through the index of ``cairn gallery tune``.
            num_hits: Hits of a query, in place of the recipe's.
            matcher: Of local features; OpenCV's by default.

        Raises:
            CairnError: The gallery lacks what a stage needs; says which, and what gives it. Or
                the index that is wanted is missing, stale or damaged.
        """
        if num_hits is not None:
            pipeline = replace(pipeline, num_hits=num_hits)
        if gallery.penalty is None and "gallery.picks" in pipeline.needs and gallery.version:
            gallery = Gallery.load(gallery.location, version=gallery.version)
        made = cls(
            Parts(
                gallery,
                search=search,
                depths=pipeline.depths,
                matcher=matcher,
                wanted_by={need: stage.name for stage in pipeline.stages for need in stage.needs},
            ),
            pipeline,
        )
        made.require()
        return made

    @classmethod
    def read(
        cls,
        gallery: Gallery,
        stages: Stages,
        *,
        use_penalty: bool = True,
        search: str = "exact",
        online: bool = False,
    ) -> Stack:
        """Return the stages of a recipe upon a gallery.

        Args:
            gallery: What to recognize against.
            stages: Composed, or the file of a recipe.
            use_penalty: What else was asked of the penalty; a recipe says everything.
            search: See ``of``.
            online: Refuse stages that look at the whole batch.

        Raises:
            CairnError: The recipe cannot be read, asks for a batch where ``online``, or
                ``use_penalty`` is off beside it; or as ``of``.
        """
        if not use_penalty:
            raise CairnError(
                "with stages the recipe says whether a penalty comes off",
                todo='leave --no-penalty out; only the stage "penalty" takes it off',
            )
        pipeline = as_pipeline(stages)
        if online:
            require_online(pipeline)
        return cls.of(gallery, pipeline, search=search)

    @property
    def gallery(self) -> Gallery:
        """What is recognized against."""
        return self.parts.gallery

    @property
    def num_hits(self) -> int:
        """K: hits of a query, fewer in a smaller gallery."""
        return min(self.pipeline.num_hits, len(self.gallery.table))

    @property
    def names(self) -> tuple[str, ...]:
        """The landmarks that the codes of votes stand for."""
        return self.parts.coded[1]

    def require(self) -> None:
        """Make all that is of the gallery alone.

        Raises:
            CairnError: The gallery lacks what a stage needs.
        """
        _ = self.parts.searcher, self._gallery_side
        for need in self.pipeline.needs:
            if need == "queries.to_bank":
                self.parts.bank_for(need)
            elif need == "queries.head":
                _ = self.parts.centres
            elif need == "queries.inliers":
                _ = self.parts.ready_matcher

    def found(self, vectors_QD: Float32) -> Neighbors:
        """Return (Q, K) hits by bare similarity, whatever penalty the gallery has."""
        return self.parts.search(vectors_QD, self.num_hits)

    def context(
        self, vectors_QD: Float32, photographs: Sequence[Photograph | str] | None = None
    ) -> Context:
        """Return what the stages need beside the hits.

        Args:
            vectors_QD: (Q, D) unit vectors of the queries.
            photographs: Q files or arrays of pixels, where a stage looks at them.

        Raises:
            CairnError: A stage looks at photographs and there are none.
        """
        needs = self.pipeline.needs
        return Context(self._gallery_side, self.parts.query_side(needs, vectors_QD, photographs))

    def votes(
        self, vectors_QD: Float32, photographs: Sequence[Photograph | str] | None = None
    ) -> tuple[Neighbors, Votes]:
        """Return the hits as the stages order them, and the votes.

        Args:
            vectors_QD: (Q, D) unit vectors of the queries.
            photographs: As for ``context``.

        Raises:
            CairnError: As ``context``.
        """
        return self.pipeline.both(self.found(vectors_QD), self.context(vectors_QD, photographs))

    def features(self, hits: Neighbors, votes: Votes, context: Context) -> Features:
        """Return what a calibration looks at in answers: score and margin are those of votes.

        Where one landmark has all votes, the margin is what it has above the last of the hits that
        count, voting alone: the least it can be.

        Args:
            hits: (Q, K) of ``votes``.
            votes: (Q, V), every query with a vote.
            context: What they were made with.

        Raises:
            CairnError: A query has no vote.
        """
        first = votes.landmarks[:, :1]
        if first.shape[1] < 1 or (first < 0).any():
            raise CairnError("every query needs a vote", todo="leave unanswered queries out")
        others = np.full(len(first), -np.inf)
        if votes.landmarks.shape[1] > 1:
            others = np.where(votes.landmarks[:, 1] >= 0, votes.scores[:, 1], -np.inf)
        alone = np.flatnonzero(~np.isfinite(others))
        if len(alone):
            others[alone] = self._last_alone(hits, context, alone)
        return features_of_votes(
            hits,
            [self.names[code] for code in first[:, 0].tolist()],
            votes.scores[:, 0],
            others,
            self.gallery.table.landmark_ids,
            self._sizes,
        )

    def features_of(
        self, vectors_QD: Float32, photographs: Sequence[Photograph | str] | None = None
    ) -> Features:
        """Return what a calibration looks at in the answers to queries.

        Raises:
            CairnError: A stage looks at the whole batch, so that a chance would hold for that
                batch alone; a query has no vote; or as ``context``.
        """
        require_online(self.pipeline)
        context = self.context(vectors_QD, photographs)
        return self.features(*self.pipeline.both(self.found(vectors_QD), context), context)

    def _last_alone(self, hits: Neighbors, context: Context, queries: Int64) -> Float64:
        """Return the score that the last hit that counts would give its landmark, alone."""
        _, rest = self.pipeline.parted()
        counted = getattr(rest.stages[0], "num_hits", None) or hits.k
        rows = hits.indices[queries, :counted]
        last = np.maximum((rows >= 0).sum(axis=1) - 1, 0)[:, None]
        one = Neighbors(
            np.take_along_axis(rows, last, axis=1),
            np.take_along_axis(hits.similarities[queries], last, axis=1),
        )
        return rest.votes(one, context.take(queries)).scores[:, 0]

    @property
    def recipe(self) -> dict[str, Any]:
        """The stages with all their values, and how deep is searched."""
        return {"num_hits": self.pipeline.num_hits, "stages": self.pipeline.to_json()}

    @property
    def basis(self) -> dict[str, Any]:
        """What a calibration of these stages holds for, beside gallery and search."""
        asks_bank = any(need.endswith("to_bank") for need in self.pipeline.needs)
        return {**self.recipe, "bank": self.parts.bank_key if asks_bank else ""}

    @property
    def uses_penalty(self) -> bool:
        """Whether a stage takes the gallery's penalty off."""
        return "gallery.picks" in self.pipeline.needs

    @cached_property
    def _sizes(self) -> Mapping[str, int]:
        return Counter(self.gallery.table.landmark_ids)

    @cached_property
    def _gallery_side(self) -> GallerySide:
        # Votes need landmarks, also where no stage says so.
        return self.parts.gallery_side({*self.pipeline.needs, "gallery.landmarks"})
