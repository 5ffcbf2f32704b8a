"""One version of the gallery, ready to answer: what a request is served from, start to end.

A snapshot does not change. When the gallery does, another takes its place, and requests that are
under way finish on theirs.

Legend of shapes: L landmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from cairn.domain import Float32, Landmark
from cairn.gallery import Gallery
from cairn.gallery.following import Followed
from cairn.index_kinds import StaleIndex
from cairn.progress import say
from cairn.recognize import Recognizer
from cairn.rerank import Pipeline
from cairn.rerank.nonlandmark import Penalty
from cairn.runtime import Runtime
from cairn.serve.lookups import Lookups
from cairn.serve.photographs import pixels_to_match, preparer
from cairn.serve.settings import ServeSettings


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A loaded gallery with its model and what finds its images and landmarks.

    Args:
        recognizer: Answers, with the penalty where the gallery has one.
        without_penalty: Answers as if it had none, by a recipe without its stage ``penalty``; the
            same one where no penalty comes off.
        prepare: Makes network input of a file's bytes.
        lookups: Finds images and landmarks.
    """

    recognizer: Recognizer
    without_penalty: Recognizer
    prepare: Callable[[bytes], Float32]
    lookups: Lookups = field(repr=False)

    @classmethod
    def of(
        cls,
        gallery: Gallery,
        runtime: Runtime,
        settings: ServeSettings,
        stages: Pipeline | None = None,
        *,
        before: Snapshot | None = None,
        followed: Followed | None = None,
    ) -> Snapshot:
        """Return a gallery ready to answer.

        Args:
            gallery: It.
            runtime: Its model, or what stands in for that.
            settings: Of the server.
            stages: What answers in place of the nearest image.
            before: The snapshot of an earlier version, of which what is the same is taken over.
            followed: What the gallery has of that version.

        Raises:
            CairnError: The model is another than the gallery's, an index that is wanted is
                missing or damaged, or a stage lacks something or needs the whole batch.
        """
        try:
            recognizer, plain = _recognizers(gallery, runtime, settings.search, stages)
        except StaleIndex as stale:  # a change is to be seen, if at the price of a slower search
            say(f"{stale.what}; searched exactly until `cairn gallery tune` has run again")
            recognizer, plain = _recognizers(gallery, runtime, "exact", stages)
        limits = settings.limits
        prepare = preparer(runtime, max_pixels=limits.pixels, max_scans=limits.scans)
        if before is None or followed is None:
            return cls(recognizer, plain, prepare, Lookups.of(gallery))
        return cls(recognizer, plain, prepare, before.lookups.following(followed))

    @property
    def takes_penalty(self) -> bool:
        """Whether the gallery has a penalty, and it comes off where nothing else is asked."""
        return self.recognizer.ways.use_penalty and self.gallery.penalty is not None

    @property
    def search(self) -> str:
        """How it is searched: exactly too where the index that is wanted is stale."""
        return self.recognizer.ways.search

    @property
    def stage_names(self) -> list[str]:
        """The stages that answer, in order; none where the nearest image does."""
        stack = self.recognizer.ways.stack
        return [] if stack is None else [stage.name for stage in stack.pipeline.stages]

    def to_match(self, content: bytes) -> NDArray[np.uint8] | None:
        """Return a photograph's pixels where a stage matches them; None where none does.

        Raises:
            UnreadableImage: The photograph cannot be read.
        """
        stack = self.recognizer.ways.stack
        if stack is None or not self.recognizer.ways.looks_at_photographs:
            return None
        side: int | None = getattr(stack.parts.ready_matcher, "most_side", None)
        return pixels_to_match(content, side)

    @property
    def gallery(self) -> Gallery:
        """The gallery at this version."""
        return self.recognizer.gallery

    @property
    def version(self) -> int:
        """Its number."""
        return self.gallery.version

    def landmark(self, landmark_id: str) -> Landmark:
        """Return what is known of a landmark of the gallery."""
        return self.gallery.landmark(landmark_id)

    @property
    def num_landmarks(self) -> int:
        """L."""
        return len(self.lookups.landmark_ids)

    def row(self, image_id: str) -> int | None:
        """Return the row of an image; None where it is not there."""
        return self.lookups.row(image_id)

    def has_landmark(self, landmark_id: str) -> bool:
        """Return whether the gallery has images of a landmark."""
        return self.lookups.place(landmark_id) is not None

    def num_images(self, landmark_id: str) -> int:
        """Return how many images a landmark has; 0 for one that is not there."""
        place = self.lookups.place(landmark_id)
        return 0 if place is None else int(self.lookups.counts_L[place])

    def rows_of(self, landmark_id: str, *, offset: int = 0, limit: int | None = None) -> list[int]:
        """Return rows of a landmark's images, in order; none where it is not there."""
        place = self.lookups.place(landmark_id)
        return [] if place is None else self.lookups.rows_of(place, offset=offset, limit=limit)

    def find_landmarks(self, search: str, *, offset: int, limit: int) -> tuple[list[str], int]:
        """Return ids of landmarks whose name or id contains a text, by name, and how many do.

        Args:
            search: The text, whatever its case; "" for every landmark.
            offset: How many to pass over.
            limit: How many to return at most.
        """
        found: Any = self.lookups.landmark_ids
        if search:
            is_hit = pc.match_substring(self.lookups.texts, search, ignore_case=True)
            found = found.filter(is_hit)
        ids: list[str] = found.slice(offset, limit).to_pylist()
        return ids, len(found)


def _recognizers(
    gallery: Gallery, runtime: Runtime, search: str, stages: Pipeline | None
) -> tuple[Recognizer, Recognizer]:
    """Return what answers, and what answers as if the gallery had no penalty."""
    recognizer = Recognizer(gallery, runtime, search=search, stages=stages)
    if stages is None:
        if gallery.penalty is None:
            return recognizer, recognizer
        # An index holds for the penalty; without it there is none.
        return recognizer, Recognizer(gallery.without_penalty(), runtime, use_penalty=False)
    rest = tuple(stage for stage in stages.stages if stage.name != Penalty.name)
    if len(rest) == len(stages.stages):
        return recognizer, recognizer
    return recognizer, Recognizer(
        gallery, runtime, search=search, stages=replace(stages, stages=rest)
    )
