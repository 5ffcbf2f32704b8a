"""Concatenated embeddings: several models as one, whose gallery works like any other.

The joint embedding is each model's unit vector times the square root of its weight, one after the
other (`cairn.joint`), so that similarities are the weighted means of the models' similarities. A
gallery of such embeddings keeps a joint model folder, so whatever embeds photographs for it
(recognizing, adding, calibrating, serving) asks all members by itself.

Two penalties are possible. ``Concatenation`` takes off the weighted mean of the members' own
penalties, so that it answers as ``WeightedSimilarity`` does. A gallery that is built gets a penalty
of its own, from the members' banks as the joint model sees them: that is what it would be if the
joint model had been there first.

Legend of shapes: Q queries, G gallery rows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cairn.checkpoint import model_fingerprint
from cairn.domain import Int64
from cairn.ensemble.alignment import aligned, require_same_queries, summed_offsets
from cairn.ensemble.fusion import Float64, shares
from cairn.ensemble.votes import exact_scores
from cairn.gallery import Gallery, keep_penalty
from cairn.gallery.penalties import read_bank
from cairn.gallery.place import Place
from cairn.gallery.versions import Version
from cairn.joint import Joint, concatenated, write_joint
from cairn.progress import say
from cairn.rerank.answers import code_landmarks
from cairn.runs import require_absent
from cairn.search import search
from cairn.tables import EmbeddingTable

if TYPE_CHECKING:
    from cairn.gallery.rows import PenaltyNote


class Concatenation:
    """A fusion: exact search among concatenated embeddings, the members' penalties taken off.

    Each call of ``count`` searches the whole gallery.

    Args:
        queries: For each model, its embeddings of the same photographs in the same order.
        galleries: For each model, its gallery of the same images.

    Raises:
        CairnError: Galleries or queries differ.
    """

    def __init__(self, queries: Sequence[EmbeddingTable], galleries: Sequence[Gallery]) -> None:
        require_same_queries(queries, galleries)
        self.queries, self.galleries = tuple(queries), aligned(galleries)
        self.image_ids = tuple(queries[0].image_ids)
        self.num_members = len(queries)
        self._codes_G, self.landmark_ids = code_landmarks(self.galleries[0].table.landmark_ids)

    def count(self, weights: Sequence[float]) -> tuple[Int64, Float64]:
        """Return the landmarks of the best images and their scores; see ``Fusion``.

        Equal scores go to the gallery image that stands first.
        """
        used = shares(weights, self.num_members)
        heard = np.flatnonzero(used)
        parts = used[heard].tolist()
        vectors_QD, vectors_GD = (
            concatenated([tables[one].vectors for one in heard], parts)
            for tables in (self.queries, [gallery.table for gallery in self.galleries])
        )
        offsets = summed_offsets([self.galleries[one] for one in heard], parts)
        rows_Q1 = search(vectors_QD, vectors_GD, 1, offsets=offsets).indices
        scores_Q1 = exact_scores(vectors_QD, vectors_GD, rows_Q1, offsets)
        return self._codes_G[rows_Q1[:, 0]], scores_Q1[:, 0]


def build_gallery(
    galleries: Sequence[Gallery], weights: Sequence[float], out: Path | str
) -> Gallery:
    """Make the gallery of several models' concatenated embeddings, and return it.

    Names and credits are the first gallery's. Where all members keep banks of the same
    non-landmarks, the new gallery gets a penalty from them, by the first one's settings.

    Args:
        galleries: Of the same images, each by its model, as loaded from their places.
        weights: One each, >= 0; a model of weight 0 is left out.
        out: Where the gallery goes, a folder or ``s3://bucket/prefix``.

    Raises:
        CairnError: The galleries differ, the weights are none, or ``out`` is taken.
    """
    if not Place(out).remote:
        require_absent(Path(out))
    used = shares(weights, len(galleries))
    rows = aligned(galleries)
    heard = [one for one in range(len(rows)) if used[one] > 0]
    members, parts = [rows[one] for one in heard], used[heard].tolist()
    joint = Joint(tuple(one.table.fingerprint for one in members), tuple(parts))
    bank_parts = _banks(members)
    with tempfile.TemporaryDirectory(prefix="cairn-") as work:
        model = Path(work) / "model"
        write_joint(model, joint, [one.model_dir for one in members])
        fingerprint = model_fingerprint(model)
        table = _joined([one.table for one in members], parts, fingerprint)
        table.write(Path(work) / "table")
        labels = Version.open(galleries[0].place, galleries[0].version).labels()
        made = Gallery.build(Path(work) / "table", model, out, labels=labels)
    if bank_parts is None:
        return made
    banks, note = bank_parts
    keep_penalty(out, _joined(banks, parts, fingerprint), **note.rule)
    return Gallery.load(out)


def _banks(members: Sequence[Gallery]) -> tuple[list[EmbeddingTable], PenaltyNote] | None:
    """Return the members' banks in one order and the first one's note, where all keep the same."""
    notes = [Version.open(one.place, one.version).facts.penalty for one in members]
    there = [note for note in notes if note is not None]
    if not there:
        return None
    if len(there) < len(members):
        say(
            f"note: {len(there)} of {len(members)} galleries have a penalty, so the joint one gets "
            "none; embed the bank with its model and give it: cairn penalize GALLERY BANK"
        )
        return None
    pairs = zip(members, there, strict=True)
    banks = [read_bank(one.place, note.bank) for one, note in pairs]
    shared = set(banks[0].image_ids).intersection(*(bank.image_ids for bank in banks[1:]))
    if any(len(shared) < len(bank) for bank in banks):
        say(
            f"note: the galleries' banks share {len(shared)} of {len(banks[0])} non-landmarks, so "
            "the joint gallery gets no penalty; embed one bank with its model: cairn penalize"
        )
        return None
    ordered = [banks[0]]
    for bank in banks[1:]:
        place = {image: row for row, image in enumerate(bank.image_ids)}
        ordered.append(bank.take([place[image] for image in banks[0].image_ids]))
    return ordered, there[0]


def _joined(
    tables: Sequence[EmbeddingTable], weights: Sequence[float], fingerprint: str
) -> EmbeddingTable:
    first = tables[0]
    vectors = concatenated([table.vectors for table in tables], weights)
    return EmbeddingTable(first.image_ids, first.landmark_ids, first.paths, vectors, fingerprint)
