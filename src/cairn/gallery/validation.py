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
        ids, places = set(table.image_ids), set(table.paths) - {""}
        rows = zip(image_ids, paths, strict=True)
        shared = [one for one, path in rows if one in ids or path in places]
        if shared:
            raise CairnError(
                f"{len(shared)} validation queries are images of the {name}, "
                f"such as {', '.join(map(repr, shared[:_SHOWN]))}",
                where=gallery.location,
                todo="give queries that the gallery and the bank do not have; photographs that "
                "were seen before look surer than new ones",
            )


def tell_copies(
    queries: EmbeddingTable, gallery: Gallery, nearest_Q: Float32, known_Q: NDArray[np.bool_]
) -> None:
    """Say how many queries are pictures of gallery or bank under other names.

    Args:
        queries: Q of them.
        gallery: What they are compared with.
        nearest_Q: (Q,) cosine to the nearest gallery image.
        known_Q: (Q,) whether the gallery has the query's landmark.
    """
    num = int((nearest_Q >= _COPY).sum())
    if num:
        say(
            f"warning: {num} of {len(queries)} queries have the embedding of a gallery image: "
            "copies make a validation look better than it is (cairn inspect finds them)"
        )
    bank = _bank(gallery)
    if bank is None:
        return
    from cairn.search import search

    nearest = search(queries.vectors[~known_Q], bank.vectors, 1).similarities[:, 0]
    num = int((nearest >= _COPY).sum())
    if num:
        say(
            f"warning: {num} of the unknown queries have the embedding of a bank image: the "
            "penalty was made for them"
        )


def _bank(gallery: Gallery) -> EmbeddingTable | None:
    """Return the bank that the gallery's penalty was made with, where it has one."""
    if not gallery.version:
        return None
    return bank_of(Version.open(gallery.place, gallery.version))
