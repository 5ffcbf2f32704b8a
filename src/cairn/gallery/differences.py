"""What two versions of a gallery differ in, found without reading a vector of what stayed.

A row is told by its checksum, 64 bits of its id and its vector. Labels are compared where the files
that hold them are others.

Legend of shapes: G rows of the earlier version, N rows of the later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cairn.columns import taken
from cairn.domain import Int64
from cairn.errors import CairnError
from cairn.gallery.gallery import Gallery
from cairn.gallery.rows import IMAGE_COLUMNS, LABEL_TYPES, LANDMARK_COLUMNS
from cairn.gallery.versions import Version
from cairn.tables import TEXT_COLUMNS

OF_LANDMARKS = ["landmark_id", *LANDMARK_COLUMNS]
"""Columns that say what is known of a row's landmark."""

OF_IMAGES = list(IMAGE_COLUMNS)
"""Columns that say what is known of a row's image."""

_LABELS = (*OF_LANDMARKS, *OF_IMAGES)
_AT_ONCE = 8192  # rows that are taken together


@dataclass(frozen=True, eq=False)
class Moved:
    """Rows that stayed and say something else now, with what they say."""

    rows: Int64
    table: pa.Table


def sources(sums_G: NDArray[np.uint64], sums_N: NDArray[np.uint64]) -> Int64 | None:
    """Return (N,) the row with the same checksum in an earlier version, -1 where it has none.

    None where rows changed their order, or half of them and more are new.
    """
    num, least = len(sums_N), min(len(sums_G), len(sums_N))
    first = _num_equal(sums_G[:least], sums_N[:least])
    rest = least - first
    last = _num_equal(sums_G[::-1][:rest], sums_N[::-1][:rest])
    source_N = np.arange(num, dtype=np.int64)
    source_N[num - last :] += len(sums_G) - num
    between = slice(first, num - last)
    old, new = sums_G[first : len(sums_G) - last], sums_N[between]
    source_N[between] = -1
    if len(old) and len(new):
        order = np.argsort(old)
        at = order[np.searchsorted(old, new, sorter=order).clip(max=len(old) - 1)]
        source_N[between] = np.where(old[at] == new, at + first, -1)
    kept = source_N[source_N >= 0]
    return source_N if 2 * len(kept) > num and (np.diff(kept) > 0).all() else None


def _num_equal(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> int:
    """Return how many values are equal before the first that are not."""
    differ = np.flatnonzero(one != other)
    return int(differ[0]) if len(differ) else len(one)


def earlier(gallery: Gallery, opened: Version) -> Version | None:
    """Return the loaded version where the wanted one is a later one by the same model."""
    if not 0 < gallery.version < opened.number:
        return None
    try:
        before = Version.open(opened.place, gallery.version)
    except CairnError:  # compacted away
        return None
    facts = (before.facts.fingerprint, before.facts.dimension)
    return before if facts == (opened.facts.fingerprint, opened.facts.dimension) else None


def fresh_rows(opened: Version, rows: Int64) -> pa.Table:
    """Return what a version has in some of its rows."""
    schema = opened.dataset.schema
    names = [name for name in (*TEXT_COLUMNS, "vector", *_LABELS) if name in schema.names]
    names = list(dict.fromkeys(names))
    parts = [
        opened.dataset.take(rows[start : start + _AT_ONCE].tolist(), columns=names)
        for start in range(0, len(rows), _AT_ONCE)
    ]
    nothing = pa.schema([schema.field(name) for name in names]).empty_table()
    return _with_all(pa.concat_tables([part.select(names) for part in parts]) if parts else nothing)


def moved_rows(before: Version, opened: Version, source_N: Int64) -> Moved:
    """Return which rows that stayed say something else, looking where files are others."""
    known = {one.fragment_id: one.metadata.to_json()["files"] for one in before.fragments}
    fragments, ranges, end = [], [], 0
    for one in opened.fragments:
        start, end = end, end + one.count_rows()
        if known.get(one.fragment_id) != one.metadata.to_json()["files"]:
            fragments.append(one)
            ranges.append(np.arange(start, end))
    rows = np.concatenate(ranges) if ranges else np.empty(0, np.int64)
    is_old = source_N[rows] >= 0
    rows = rows[is_old]
    if not len(rows):
        return Moved(rows, _with_all(pa.table({"path": pa.array([], pa.string())})))
    now = _columns(opened, fragments).filter(pa.array(is_old))
    was = _columns_at(before, source_N[rows])
    differs = np.zeros(len(rows), np.bool_)
    for name in now.column_names:
        differs |= _differs(now[name], was[name])
    return Moved(rows[differs], now.filter(pa.array(differs)))


def _columns_at(version: Version, rows: Int64) -> pa.Table:
    """Return what labels a version has at rows, of the files alone that hold them."""
    fragments = version.fragments
    counts = np.asarray([one.count_rows() for one in fragments])
    starts = np.cumsum(counts) - counts
    owners = np.searchsorted(starts, rows, side="right") - 1
    chosen = np.unique(owners)
    there = np.zeros(len(fragments), np.int64)
    there[chosen] = np.cumsum(counts[chosen]) - counts[chosen]
    found = _columns(version, [fragments[i] for i in chosen.tolist()])
    at = rows - starts[owners] + there[owners]
    return found if np.array_equal(at, np.arange(len(found))) else taken(found, pa.array(at))


def _columns(version: Version, fragments: Sequence[Any]) -> pa.Table:
    there = set(version.dataset.schema.names)
    names = [name for name in (*_LABELS, "path") if name in there]
    scanner = version.dataset.scanner(columns=names, fragments=list(fragments))
    return _with_all(scanner.to_table())


def _with_all(table: pa.Table) -> pa.Table:
    """Return a table with all columns of labels; those that were not there say nothing."""
    columns = {name: table[name] for name in table.column_names}  # of one schema, whatever theirs
    for name in _LABELS:
        columns.setdefault(name, pa.nulls(len(table), LABEL_TYPES.get(name, pa.string())))
    return pa.table(columns)


def _differs(one: pa.ChunkedArray, other: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return where two columns differ; nulls are equal."""
    unequal = pc.fill_null(pc.not_equal(one, other), False)
    found: NDArray[np.bool_] = pc.or_(
        unequal, pc.not_equal(pc.is_null(one), pc.is_null(other))
    ).to_numpy()
    return found
