"""Calibrating a gallery by validation queries: what they find, what is left out, what is fitted.

Making a calibration anew asks the same queries again, and leaves out those that have come into the
gallery or its bank since.

Legend of shapes: Q queries, G gallery rows, K neighbours, D dimensions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from cairn.calibration import (
    FALSE_ACCEPT_RATE,
    NUM_NEIGHBORS,
    Calibration,
    Features,
    calibrate,
    features_of,
    require_unknown,
)
from cairn.domain import Float32, Neighbors
from cairn.errors import CairnError
from cairn.gallery.calibrations import basis_of
from cairn.gallery.gallery import Gallery
from cairn.gallery.indexes import searcher_of
from cairn.gallery.validation import (
    copies_of_bank,
    copies_of_gallery,
    require_apart,
    shared_with,
    tell_copies,
)
from cairn.progress import say, track
from cairn.searchers import Searcher
from cairn.tables import EmbeddingTable, require_same_model

AT_ONCE = 4096
"""Queries that are searched for together, where nobody waits for the processors."""


class Answered(Protocol):
    """Stages upon a gallery, as ``cairn.stacks.Stack``: what is known of their answers."""

    @property
    def basis(self) -> Mapping[str, Any]:
        """What their calibration holds for, beside gallery and search."""
        ...

    @property
    def uses_penalty(self) -> bool:
        """Whether a stage takes the gallery's penalty off."""
        ...

    def features_of(self, vectors_QD: Float32, photographs: Sequence[str]) -> Features:
        """Return the features of the answers to Q queries.

        Raises:
            CairnError: An answer hangs on the other queries, or a query has none.
        """
        ...


def calibrate_gallery(
    gallery: Gallery,
    queries: EmbeddingTable,
    truth: Mapping[str, Collection[str]],
    *,
    use_penalty: bool = True,
    search: str = "exact",
    stack: Answered | None = None,
    false_accept_rate: float = FALSE_ACCEPT_RATE,
    known_share: float | None = None,
    facts: Mapping[str, Any] | None = None,
    seed: int = 0,
    leave_out: bool = False,
    searcher: Searcher | None = None,
    at_once: int = AT_ONCE,
) -> Calibration:
    """Return the calibration of a gallery by validation queries; nothing is written.

    A query whose landmark the gallery lacks is as unknown as one that shows none.

    Args:
        gallery: What recognizes, with the penalty that it will have.
        queries: Embeddings by its model, of photographs that neither training nor gallery has.
        truth: Query id -> its landmarks; empty for a non-landmark.
        use_penalty: Take the gallery's penalty off, where it has one.
        search: ``"exact"``, or ``"approximate"`` as for ``cairn.recognize``.
        stack: Stages upon this gallery, so searched, whose answers are to be judged; the penalty
            comes off where they say so.
        false_accept_rate: Of the threshold that will apply where none is asked for.
        known_share: See ``cairn.calibration.calibrate``.
        facts: Where the queries are from, to be kept; the date is added.
        seed: Of the cross-validation.
        leave_out: Do without queries that the gallery or its bank has, by id, path or embedding,
            and say in the facts how many (``left_out``), where they would be refused or told.
        searcher: Searches the gallery in that way, where one is at hand; for stages by bare
            similarity.
        at_once: Queries that are searched for together; the calibration is the same.

    Raises:
        CairnError: The queries are of another model, are among the gallery or its bank, or are too
            few, known or unknown.
    """
    require_same_model(queries, gallery.table, where=f"the queries and {gallery.location}")
    landmarks = set(gallery.table.landmark_ids)
    use_penalty = use_penalty if stack is None else stack.uses_penalty
    num = len(queries)
    if leave_out:
        queries = _taken(queries, ~shared_with(gallery, queries.image_ids, queries.paths), gallery)
    else:
        require_apart(gallery, queries.image_ids, queries.paths)
        shown = [set(truth[image_id]) & landmarks for image_id in queries.image_ids]
        require_unknown(sum(not one for one in shown), false_accept_rate)  # before the search
    is_plain = stack is None
    if searcher is None:
        searcher = searcher_of(gallery, search, use_penalty=use_penalty and is_plain)
    k = min(NUM_NEIGHBORS if is_plain else 1, len(gallery.table))
    found = _found(searcher, queries.vectors, k, at_once)
    nearest = found.similarities
    if use_penalty and is_plain and gallery.penalty is not None:
        nearest = nearest + gallery.penalty.penalty[found.indices]
    copies = copies_of_gallery(nearest.max(axis=1))
    if leave_out:
        is_kept = ~(copies | copies_of_bank(gallery, queries.vectors))
        queries = _taken(queries, is_kept, gallery)
        found = Neighbors(found.indices[is_kept], found.similarities[is_kept])
        shown = [set(truth[image_id]) & landmarks for image_id in queries.image_ids]
    else:
        tell_copies(queries, gallery, copies, np.asarray([bool(one) for one in shown]))
    left_out = num - len(queries)
    if left_out:
        say(f"{left_out} of {num} validation queries are in the gallery or its bank, and left out")
        facts = {**(facts or {}), "left_out": left_out}
    try:
        if stack is None:
            features, stages = features_of(found, gallery.table.landmark_ids), None
        else:
            require_unknown(sum(not one for one in shown), false_accept_rate)
            features, stages = _staged(stack, queries, at_once), stack.basis
        return calibrate(
            features,
            shown,
            basis=basis_of(gallery, use_penalty=use_penalty, search=search, stages=stages),
            false_accept_rate=false_accept_rate,
            known_share=known_share,
            facts=facts,
            seed=seed,
        )
    except CairnError as error:
        if not left_out:
            raise
        told = f"{error.what}; {left_out} of {num} queries were left out: the gallery has them"
        raise CairnError(told, where=error.where, todo=error.todo) from None


def _taken(queries: EmbeddingTable, is_kept: Any, gallery: Gallery) -> EmbeddingTable:
    if is_kept.all():
        return queries
    if not is_kept.any():
        raise CairnError(
            f"all {len(queries)} validation queries are in the gallery or its bank now",
            where=gallery.location,
            todo=f"give others: cairn calibrate {gallery.location} MANIFEST",
        )
    return queries.take(np.flatnonzero(is_kept))


def _blocks(num: int, at_once: int) -> Iterator[slice]:
    return track(
        (slice(start, min(start + at_once, num)) for start in range(0, num, at_once)),
        "search",
        total=num,
        size=lambda block: block.stop - block.start,
    )


def _found(searcher: Searcher, vectors_QD: Float32, k: int, at_once: int) -> Neighbors:
    parts = [searcher.search(vectors_QD[one], k) for one in _blocks(len(vectors_QD), at_once)]
    return Neighbors(
        np.concatenate([one.indices for one in parts]),
        np.concatenate([one.similarities for one in parts]),
    )


def _staged(stack: Answered, queries: EmbeddingTable, at_once: int) -> Features:
    parts = [
        stack.features_of(queries.vectors[one], queries.paths[one])
        for one in _blocks(len(queries), at_once)
    ]
    return Features.joined(parts)
