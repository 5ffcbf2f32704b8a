"""A loaded gallery that follows its changes: of a later version only what is new is read.

A server holds the gallery and sees it change. Rows that stay are told by their checksums, so that
their vectors are never read again, whatever was added, removed, merged, renamed, rolled back or
compacted; of labels, those in files that changed are compared. Vectors lie in memory with room
behind them, so that an image more costs no second copy of all. Loops go over few rows at a time:
requests that are served meanwhile wait for none of them.

Legend of shapes: G rows of the earlier version, N rows of the later, D dimensions.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.columns import taken
from cairn.domain import Float32, Int64
from cairn.gallery.differences import (
    OF_IMAGES,
    OF_LANDMARKS,
    Moved,
    earlier,
    fresh_rows,
    moved_rows,
    sources,
)
from cairn.gallery.gallery import Gallery
from cairn.gallery.penalties import read_penalty
from cairn.gallery.rows import labels_in
from cairn.gallery.versions import Version
from cairn.tables import TEXT_COLUMNS, EmbeddingTable

_ROOM = 16  # the room is this part of the rows
_LEAST_ROOM = 256
_MOST_CHUNKS = 64
_AT_ONCE = 8192  # rows between two moments at which other threads may run


@dataclass(frozen=True, eq=False)
class Followed:
    """A later version, and what it has of an earlier one.

    Args:
        gallery: As ``Gallery.load`` gives it.
        source_N: (N,) the row of the earlier version that each row was; rising, -1 for new rows.
        relabelled: Rows that stayed and are of another landmark now, in order.
        renamed: Landmarks, old or new, of which something else is known than before.
    """

    gallery: Gallery
    source_N: Int64
    relabelled: Int64
    renamed: frozenset[str]


class Follower:
    """Loads later versions of a gallery by what changed since an earlier one."""

    def __init__(self) -> None:
        self._buffer: Float32 = np.empty((0, 0), np.float32)
        self._used = 0
        self._base: Callable[[], Gallery | None] = lambda: None  # what was followed from
        self._last: Followed | None = None

    def load(self, location: Path | str) -> Gallery:
        """Return the newest version, loaded with room for rows to come.

        Raises:
            CairnError: As ``Gallery.load``.
        """
        gallery = Gallery.load(location, spare=1 / _ROOM)
        vectors_ND: Any = gallery.table.vectors
        if isinstance(vectors_ND.base, np.ndarray):
            self._buffer, self._used = vectors_ND.base, len(vectors_ND)
        return gallery

    def follow(self, gallery: Gallery, opened: Version) -> Followed | None:
        """Return a version as ``Gallery.load`` does; None where it is better loaded.

        That is where the earlier version is not on the disk any more, the model is another, rows
        changed their order, or most of them are new. The same version is the same gallery.

        Args:
            gallery: An earlier version, loaded.
            opened: The version that is wanted.

        Raises:
            CairnError: The rows are no gallery's, or the version's penalty is stale.
        """
        known = (gallery.version, gallery.content_key)
        if opened.number > 0 and known == (opened.number, opened.content_key):
            rows = np.arange(len(gallery.table))
            return Followed(gallery, rows, np.empty(0, np.int64), frozenset())
        last = self._last
        if last and self._base() is gallery and last.gallery.version == opened.number:
            return last  # asked for again, as where it could not be served
        self._base, self._last = weakref.ref(gallery), None
        self._last = self._followed(gallery, opened)
        return self._last

    def _followed(self, gallery: Gallery, opened: Version) -> Followed | None:
        before = earlier(gallery, opened)
        if before is None:
            return None
        source_N = sources(*(one.column("checksum").to_numpy() for one in (before, opened)))
        if source_N is None:
            return None
        fresh = fresh_rows(opened, np.flatnonzero(source_N < 0))
        moved = moved_rows(before, opened, source_N)
        table = self._table(gallery.table, source_N, fresh, moved)
        labels = labels_in(
            pa.concat_tables([moved.table.select(OF_LANDMARKS), fresh.select(OF_LANDMARKS)])
        )
        gone = _gone(gallery, opened, source_N, moved)
        made = replace(
            gallery,
            table=table,
            penalty=None,
            penalty_path="",
            landmark_names=_renewed(gallery.landmark_names, labels.names, {*labels.by_id, *gone}),
            landmarks=_renewed(gallery.landmarks, labels.by_id, gone),
            about_images=_about(gallery, source_N, fresh, moved),
            version=opened.number,
        )
        penalty, path = read_penalty(opened, table)
        made = replace(made, penalty=penalty, penalty_path=path)
        made.__dict__["content_key"] = opened.content_key
        old, now = gallery.table.landmark_ids, table.landmark_ids
        relabelled = [row for row in moved.rows.tolist() if now[row] != old[source_N[row]]]
        known = gallery.landmarks
        renamed = {one for one, landmark in labels.by_id.items() if known.get(one) != landmark}
        return Followed(made, source_N, np.asarray(relabelled, np.int64), frozenset(renamed | gone))

    def _table(
        self, old: EmbeddingTable, source_N: Int64, fresh: pa.Table, moved: Moved
    ) -> EmbeddingTable:
        """Return the rows of the later version; those that stay are not checked again."""
        ids, landmark_ids, paths = (fresh[name].to_pylist() for name in TEXT_COLUMNS)
        vectors_MD = _matrix(fresh["vector"], old.dimension)
        if ids:  # checked here
            EmbeddingTable(ids, landmark_ids, paths, vectors_MD, old.fingerprint)
        return old.changed(
            _assembled(old.image_ids, ids, source_N),
            _assembled(old.landmark_ids, landmark_ids, source_N, moved, "landmark_id"),
            _assembled(old.paths, paths, source_N, moved, "path"),
            self._vectors(old.vectors, vectors_MD, source_N),
            new=ids,
        )

    def _vectors(self, old_GD: Float32, new_MD: Float32, source_N: Int64) -> Float32:
        """Return (N, D): where the old rows lie, if none of them goes and there is room."""
        num, total, buffer = len(old_GD), len(source_N), self._buffer
        is_kept = total >= num and source_N[num - 1] == num - 1  # for it rises: all, and first
        if is_kept and total == num:
            return old_GD
        has_room = old_GD.base is buffer and self._used == num and total <= len(buffer)
        if not (is_kept and has_room):
            room = max(_LEAST_ROOM, total // _ROOM)
            buffer = self._buffer = np.empty((total + room, old_GD.shape[1]), np.float32)
            for first, last, start in _pieces(source_N):
                if start >= 0:
                    buffer[first:last] = old_GD[start : start + last - first]
        # Behind the rows that are in use, nobody looks.
        buffer[np.flatnonzero(source_N < 0)] = new_MD
        self._used = total
        return buffer[:total]


def _gone(gallery: Gallery, opened: Version, source_N: Int64, moved: Moved) -> set[str]:
    """Return the landmarks that lost all their images."""
    ids = gallery.table.landmark_ids
    is_gone = np.ones(len(ids), np.bool_)
    is_gone[source_N[source_N >= 0]] = False
    is_gone[source_N[moved.rows]] = True
    lost = {ids[row] for row in np.flatnonzero(is_gone).tolist()}
    if not lost:
        return lost
    names = pa.array(sorted(lost), pa.string())
    there = pc.is_in(names, value_set=opened.column("landmark_id"))
    return set(names.filter(pc.invert(there)).to_pylist())


def _renewed(old: Mapping[str, Any], new: Mapping[str, Any], gone: set[str]) -> Mapping[str, Any]:
    """Return a mapping without some keys and then with others; itself where that is nothing."""
    if not new and not gone & old.keys():
        return old
    made = {**old}
    for one in gone:
        made.pop(one, None)
    return {**made, **new}


def _about(gallery: Gallery, source_N: Int64, fresh: pa.Table, moved: Moved) -> pa.Table | None:
    """Return what is known of the images of the later version; None where that is nothing."""
    new, other = fresh.select(OF_IMAGES), moved.table.select(OF_IMAGES)
    old = gallery.about_images
    if old is None:
        if _says_nothing(new) and _says_nothing(other):
            return None
        nothing = [pa.nulls(len(gallery.table), field.type) for field in new.schema]
        old = pa.table(nothing, schema=new.schema)
    num = len(old)
    rows_N = source_N.copy()
    rows_N[source_N < 0] = np.arange(num, num + len(new))
    rows_N[moved.rows] = np.arange(len(other)) + num + len(new)
    joined = pa.concat_tables([old, new, other])
    if not np.array_equal(rows_N, np.arange(len(joined))):
        joined = taken(joined, pa.array(rows_N))
    elif joined.column(0).num_chunks > _MOST_CHUNKS:
        joined = joined.combine_chunks()
    return None if _says_nothing(joined) else joined


def _says_nothing(table: pa.Table) -> bool:
    return all(column.null_count == len(table) for column in table.columns)


def _matrix(column: pa.ChunkedArray, dimension: int) -> Float32:
    """Return a column of vectors as (M, D)."""
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(flat.reshape(-1, dimension))


def _assembled(
    old: list[str],
    new: list[str],
    source_N: Int64,
    moved: Moved | None = None,
    name: str = "",
) -> list[str]:
    """Return a column of the later version; the old list where nothing in it changed."""
    values = [] if moved is None else moved.table[name].to_pylist()
    is_same = len(source_N) == len(old) and not new
    if is_same and not values:
        return old
    made: list[str] = []
    for first, last, start in _pieces(source_N):
        if start < 0:
            made += new[: last - first]
            new = new[last - first :]
        else:
            made += old[start : start + last - first]
    for row, value in zip(() if moved is None else moved.rows.tolist(), values, strict=True):
        made[row] = value
    return made


def _pieces(source_N: Int64) -> Iterator[tuple[int, int, int]]:
    """Yield runs of rows that follow one another, first and last, and the first one's source."""
    is_new = source_N < 0
    is_run = np.where(is_new[1:], is_new[:-1], source_N[1:] == source_N[:-1] + 1)
    is_run &= is_new[1:] == is_new[:-1]
    cuts = [0, *(np.flatnonzero(~is_run) + 1).tolist(), len(source_N)]
    for begin, end in pairwise(cuts):
        start = int(source_N[begin])
        for first in range(begin, end, _AT_ONCE):
            last = min(end, first + _AT_ONCE)
            yield first, last, -1 if start < 0 else start + first - begin
