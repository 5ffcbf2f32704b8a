"""A loaded gallery that follows appended rows: a version that only adds is read in its new part.

A server holds the gallery and sees it grow. What was read stays where it is; the vectors lie in
memory with room behind them, so that an image more costs no second copy of all.

Legend of shapes: N rows, M new rows, D dimensions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery.gallery import Gallery
from cairn.gallery.penalties import read_penalty
from cairn.gallery.rows import IMAGE_COLUMNS, LABEL_TYPES, label_names, labels_in
from cairn.gallery.versions import Version
from cairn.tables import TEXT_COLUMNS, EmbeddingTable

_ROOM = 16  # the room is this part of the rows
_LEAST_ROOM = 256
_MOST_CHUNKS = 64


class Follower:
    """Loads later versions of a gallery by what was appended to an earlier one."""

    def __init__(self) -> None:
        self._buffer: Float32 = np.empty((0, 0), np.float32)
        self._used = 0

    def follow(self, gallery: Gallery, opened: Version) -> Gallery | None:
        """Return a version as ``Gallery.load`` does; None where more changed than new rows.

        Args:
            gallery: An earlier version, loaded.
            opened: The version that is wanted.

        Raises:
            CairnError: The rows are no gallery's, or the version's penalty is stale.
        """
        rows = _appended(gallery, opened)
        if rows is None:
            return None
        old, flat = gallery.table, rows["vector"].combine_chunks().flatten()
        ids, landmark_ids, paths = (rows[name].to_pylist() for name in TEXT_COLUMNS)
        vectors_MD = flat.to_numpy(zero_copy_only=False).reshape(-1, old.dimension)
        new = EmbeddingTable(
            ids, landmark_ids, paths, np.ascontiguousarray(vectors_MD), old.fingerprint
        )
        table = old.followed_by(new, self._joined(old.vectors, new.vectors))
        labels = labels_in(rows.select([n for n in label_names() if n in rows.column_names]))
        made = replace(
            gallery,
            table=table,
            penalty=None,
            penalty_path="",
            landmark_names={**labels.names, **gallery.landmark_names},
            landmarks={**labels.by_id, **gallery.landmarks},
            about_images=_about(gallery, labels.images.select(list(IMAGE_COLUMNS))),
            version=opened.number,
        )
        penalty, path = read_penalty(opened, table)
        made = replace(made, penalty=penalty, penalty_path=path)
        made.__dict__["content_key"] = opened.content_key
        return made

    def _joined(self, old_ND: Float32, new_MD: Float32) -> Float32:
        """Return (N + M, D) the old rows where they lie, if there is room, and the new ones."""
        num, total = len(old_ND), len(old_ND) + len(new_MD)
        buffer = self._buffer
        if old_ND.base is not buffer or self._used != num or total > len(buffer):
            room = max(_LEAST_ROOM, total // _ROOM)
            buffer = self._buffer = np.empty((total + room, old_ND.shape[1]), np.float32)
            buffer[:num] = old_ND
        buffer[num:total] = new_MD  # nobody looks behind the rows that are in use
        self._used = total
        return buffer[:total]


def _appended(gallery: Gallery, opened: Version) -> Any:
    """Return the rows that a version has behind those of a gallery; None where it is not so."""
    if not 0 < gallery.version < opened.number:
        return None
    try:
        before = Version.open(opened.place, gallery.version)
    except CairnError:  # compacted away
        return None
    facts = (before.facts.fingerprint, before.facts.dimension)
    if facts != (opened.facts.fingerprint, opened.facts.dimension):
        return None
    old, new = before.fragments, opened.fragments
    if len(new) <= len(old) or any(
        one.metadata.to_json() != other.metadata.to_json()
        for one, other in zip(old, new, strict=False)
    ):
        return None
    there = set(opened.dataset.schema.names)
    names = [*TEXT_COLUMNS, "vector", "landmark_name", *LABEL_TYPES]
    scanner = opened.dataset.scanner(
        columns=[name for name in names if name in there], fragments=new[len(old) :]
    )
    rows = scanner.to_table()
    return rows if rows.num_rows else None


def _about(gallery: Gallery, new: pa.Table) -> pa.Table | None:
    """Return what is known of the images, old and new; None where that is nothing."""
    is_known = any(column.null_count < len(new) for column in new.columns)
    old = gallery.about_images
    if old is None and not is_known:
        return None
    if old is None:
        nothing = [pa.nulls(len(gallery.table), field.type) for field in new.schema]
        old = pa.table(nothing, schema=new.schema)
    joined = pa.concat_tables([old, new])
    return joined.combine_chunks() if joined.column(0).num_chunks > _MOST_CHUNKS else joined
