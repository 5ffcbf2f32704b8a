"""Validation queries and a gallery: refused where it has them already, said where it has copies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery.gallery import Gallery
from cairn.gallery.penalties import bank_of
from cairn.gallery.versions import Version
from cairn.progress import say
from cairn.tables import EmbeddingTable

Bool = NDArray[np.bool_]

_COPY = 0.99999  # cosine of two embeddings of one picture, decoded twice
_SHOWN = 3


def require_apart(gallery: Gallery, image_ids: Sequence[str], paths: Sequence[str]) -> None:
    """Refuse validation photographs that the gallery or the bank of its penalty has.

    Raises:
        CairnError: Some have an id or a path in common.
    """
    for name, table in (("gallery", gallery.table), ("penalty's bank", _bank(gallery))):
        if table is None:
            continue
        rows = np.flatnonzero(_is_shared(table, image_ids, paths)).tolist()
        if rows:
            raise CairnError(
                f"{len(rows)} validation queries are images of the {name}, "
                f"such as {', '.join(repr(image_ids[row]) for row in rows[:_SHOWN])}",
                where=gallery.location,
                todo="give queries that the gallery and the bank do not have; photographs that "
                "were seen before look surer than new ones",
            )


def shared_with(gallery: Gallery, image_ids: Sequence[str], paths: Sequence[str]) -> Bool:
    """Return (Q,) whether the gallery or the bank of its penalty has an id or a path."""
    bank = _bank(gallery)
    found = _is_shared(gallery.table, image_ids, paths)
    return found if bank is None else found | _is_shared(bank, image_ids, paths)


def copies_of_gallery(nearest_Q: Float32) -> Bool:
    """Return (Q,) whether a query is a picture of the gallery, by its nearest one's cosine."""
    return nearest_Q >= _COPY


def copies_of_bank(gallery: Gallery, vectors_QD: Float32) -> Bool:
    """Return (Q,) whether a query is a picture of the bank of the gallery's penalty."""
    bank = _bank(gallery)
    if bank is None:
        return np.zeros(len(vectors_QD), dtype=np.bool_)
    from cairn.search import search

    return search(vectors_QD, bank.vectors, 1).similarities[:, 0] >= _COPY


def tell_copies(
    queries: EmbeddingTable, gallery: Gallery, of_gallery_Q: Bool, known_Q: Bool
) -> None:
    """Say how many queries are pictures of gallery or bank under other names.

    Args:
        queries: Q of them.
        gallery: What they are compared with.
        of_gallery_Q: (Q,) whether a query is a picture of the gallery.
        known_Q: (Q,) whether the gallery has the query's landmark.
    """
    num = int(of_gallery_Q.sum())
    if num:
        say(
            f"warning: {num} of {len(queries)} queries have the embedding of a gallery image: "
            "copies make a validation look better than it is (cairn inspect finds them)"
        )
    num = int(copies_of_bank(gallery, queries.vectors[~known_Q]).sum())
    if num:
        say(
            f"warning: {num} of the unknown queries have the embedding of a bank image: the "
            "penalty was made for them"
        )


def _is_shared(table: EmbeddingTable, image_ids: Sequence[str], paths: Sequence[str]) -> Bool:
    ids, places = set(table.image_ids), set(table.paths) - {""}
    rows = zip(image_ids, paths, strict=True)
    return np.asarray([one in ids or path in places for one, path in rows], dtype=np.bool_)


def _bank(gallery: Gallery) -> EmbeddingTable | None:
    """Return the bank that the gallery's penalty was made with, where it has one."""
    if not gallery.version:
        return None
    return bank_of(Version.open(gallery.place, gallery.version))
