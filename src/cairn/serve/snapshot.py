"""One version of the gallery, ready to answer: what a request is served from, start to end.

A snapshot does not change. When the gallery does, another takes its place, and requests that are
under way finish on theirs.

Legend of shapes: N rows, L landmarks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cairn.columns import coded
from cairn.domain import Float32, Int64, Landmark
from cairn.gallery import Gallery
from cairn.recognize import Recognizer
from cairn.rerank import Pipeline
from cairn.rerank.nonlandmark import Penalty
from cairn.runtime import Runtime
from cairn.serve.photographs import pixels_to_match, preparer
from cairn.serve.settings import ServeSettings

_AT_ONCE = 4096  # rows between two moments at which other threads may run


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A loaded gallery with its model and what finds its images and landmarks.

    Args:
        recognizer: Answers, with the penalty where the gallery has one.
        without_penalty: Answers as if it had none, by a recipe without its stage ``penalty``; the
            same one where no penalty comes off.
        prepare: Makes network input of a file's bytes.
        rows: Row by image id.
        landmark_ids: (L,) ids in the order of their names.
        landmark_texts: (L,) what a search looks at.
        counts: (L,) images of each.
        places: Number of a landmark in ``landmark_ids`` by its id.
    """

    recognizer: Recognizer
    without_penalty: Recognizer
    prepare: Callable[[bytes], Float32]
    rows: dict[str, int]
    landmark_ids: pa.Array
    landmark_texts: pa.Array
    counts: Int64
    places: dict[str, int]
    _order: Int64 = field(repr=False)
    _starts: Int64 = field(repr=False)

    @classmethod
    def of(
        cls,
        gallery: Gallery,
        runtime: Runtime,
        settings: ServeSettings,
        stages: Pipeline | None = None,
    ) -> Snapshot:
        """Return a gallery ready to answer.

        Args:
            gallery: It.
            runtime: Its model, or what stands in for that.
            settings: Of the server.
            stages: What answers in place of the nearest image.

        Raises:
            CairnError: The model is another than the gallery's, an index that is wanted is
                missing or stale, or a stage lacks something or needs the whole batch.
        """
        recognizer, plain = _recognizers(gallery, runtime, settings.search, stages)
        limits = settings.limits
        prepare = preparer(runtime, max_pixels=limits.pixels, max_scans=limits.scans)
        rows: dict[str, int] = {}
        ids = gallery.table.image_ids
        for start in range(0, len(ids), _AT_ONCE):
            part = ids[start : start + _AT_ONCE]
            rows.update(zip(part, range(start, start + len(part)), strict=True))
        codes, found = coded(pa.chunked_array([pa.array(gallery.table.landmark_ids, pa.string())]))
        names = [gallery.landmark(one).name for one in found.to_pylist()]
        texts = pc.binary_join_element_wise(pa.array(names, pa.string()), found, " ")
        by_name = pc.sort_indices(pc.utf8_lower(texts)).to_numpy().astype(np.int64)
        rank = np.empty_like(by_name)
        rank[by_name] = np.arange(len(by_name))
        ranked = rank[codes]
        order = np.argsort(ranked, kind="stable")
        starts = np.searchsorted(ranked[order], np.arange(len(by_name) + 1))
        landmark_ids = found.take(pa.array(by_name))
        return cls(
            recognizer,
            plain,
            prepare,
            rows,
            landmark_ids,
            texts.take(pa.array(by_name)),
            np.diff(starts),
            {one: place for place, one in enumerate(landmark_ids.to_pylist())},
            order,
            starts,
        )

    @property
    def takes_penalty(self) -> bool:
        """Whether the gallery has a penalty, and it comes off where nothing else is asked."""
        return self.recognizer.ways.use_penalty and self.gallery.penalty is not None

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

    def num_images(self, landmark_id: str) -> int:
        """Return how many images a landmark has; 0 for one that is not there."""
        place = self.places.get(landmark_id)
        return 0 if place is None else int(self.counts[place])

    def rows_of(self, landmark_id: str, *, offset: int = 0, limit: int | None = None) -> list[int]:
        """Return rows of a landmark's images, in the gallery's order."""
        place = self.places[landmark_id]
        start, end = int(self._starts[place]), int(self._starts[place + 1])
        part = slice(start + offset, end if limit is None else min(end, start + offset + limit))
        rows: list[int] = self._order[part].tolist()
        return rows

    def find_landmarks(self, search: str, *, offset: int, limit: int) -> tuple[list[str], int]:
        """Return ids of landmarks whose name or id contains a text, by name, and how many do.

        Args:
            search: The text, whatever its case; "" for every landmark.
            offset: How many to pass over.
            limit: How many to return at most.
        """
        found: Any = self.landmark_ids
        if search:
            is_hit = pc.match_substring(self.landmark_texts, search, ignore_case=True)
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
