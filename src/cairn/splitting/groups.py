"""Photographs that must not be parted: copies of one picture, and what belongs together.

Two kinds of bonds. *Copies* are one picture twice: the same file, the same bytes, or nearly the
same pixels. A *column* bonds photographs with equal values: an author, an upload, a day. Bonds
chain: what hangs together through any of them is one group.

A bond by column is written ``COLUMN[:CELL]``, several joined with ``+`` where all of them must
agree: ``author+taken:day``. ``day`` and ``hour`` cut a time; a number is the width of a cell, as in
``latitude:0.001+longitude:0.001``. Neighbours across the edge of a cell are not bonded. An empty
value bonds nothing.

Legend of shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.domain import Int64
from cairn.errors import CairnError, nearest
from cairn.groups import components
from cairn.inspection.duplicates import find_duplicates
from cairn.inspection.look import Looks
from cairn.manifest import Manifest
from cairn.splitting.names import coded
from cairn.splitting.sides import files_of, sums_of

GROUP_COLUMN = "leak_group"
"""The manifest's column that names the group of each image that has company."""

_CUTS = {"day": 10, "hour": 13}
_TIME = r"^\d{4}[-:]\d\d[-:]\d\d([T ]\d\d)?"


@dataclass(frozen=True, eq=False)
class LeakGroups:
    """Which rows hang together.

    Args:
        copies: (N,) the lowest row that each hangs together with as copies of one picture.
        groups: (N,) the same through copies and columns.
        bonds: Kind of bond -> the rows that it bonds to others, in the order looked for.
        looked: Whether pixels were compared.
        complete: Whether every pair of like pixels was, and not only those next to each other in
            order because there were too many.
    """

    copies: Int64
    groups: Int64
    bonds: Mapping[str, int]
    looked: bool
    complete: bool = True


def leak_groups(
    manifest: Manifest, *, columns: Sequence[str] = (), looks: Looks | None = None
) -> LeakGroups:
    """Return what hangs together in a manifest.

    Args:
        manifest: The photographs.
        columns: Bonds by column, as in the module's words.
        looks: What was seen in the photographs, in the manifest's order; without it copies are
            known by path and, where the manifest has it, by sha256 alone.

    Raises:
        CairnError: A column is missing or has not the values that its cell needs.
    """
    count = len(manifest)
    bonds: dict[str, int] = {}
    first, second = [], []

    def add(kind: str, pairs: tuple[Int64, Int64]) -> None:
        bonds[kind] = len(np.unique(np.concatenate(pairs)))
        first.append(pairs[0])
        second.append(pairs[1])

    add("the same path", _equal(files_of(manifest)))
    sums = sums_of(manifest)
    if sums is not None:
        add("the same sha256", _equal(sums))
    complete = True
    if looks is not None:
        same, complete = pictures(looks)
        add("the same picture", _equal(same))
    copies = components(count, np.concatenate(first), np.concatenate(second))
    for column in columns:
        add(f"the same {column}", _equal(bond_values(manifest, column)))
    groups = components(count, np.concatenate(first), np.concatenate(second))
    return LeakGroups(copies, groups, bonds, looks is not None, complete)


def pictures(looks: Looks) -> tuple[Any, bool]:
    """Return (N,) texts that are equal where photographs show the same picture, copies chained.

    And whether every pair was compared (`cairn.inspection.duplicates.Duplicates.is_complete`).
    """
    found = find_duplicates(looks)
    return pa.array(found.groups).cast(pa.string()), found.is_complete


def _equal(texts: Any) -> tuple[Int64, Int64]:
    """Return pairs of rows that bond all rows of equal text; null and "" bond nothing."""
    codes, _ = coded(texts)
    rows = np.flatnonzero(codes >= 0)
    order = rows[np.argsort(codes[rows], kind="stable")]
    same = codes[order[1:]] == codes[order[:-1]]
    return order[:-1][same], order[1:][same]


def bond_values(manifest: Manifest, bond: str) -> Any:
    """Return (N,) texts that are equal where a bond by column holds, null or "" where it cannot.

    Raises:
        CairnError: As `leak_groups`.
    """
    parts = [_cells(manifest, part.strip()) for part in bond.split("+")]
    if len(parts) == 1:
        return parts[0]
    blank = pa.scalar(None, pa.string())
    parts = [pc.if_else(pc.equal(part, ""), blank, part) for part in parts]
    return pc.binary_join_element_wise(*parts, "\x1f")  # null where any of them is


def _cells(manifest: Manifest, part: str) -> Any:
    name, _, cell = part.partition(":")
    known = manifest.table.column_names
    if name not in known:
        raise CairnError(
            f"the manifest has no column {name!r}", where="--group", todo=nearest(name, known)
        )
    column = manifest.table[name].combine_chunks()
    if not cell:
        return column.cast(pa.string())
    if cell in _CUTS:
        return _cut_times(column, name, cell)
    try:
        width = float(cell)
    except ValueError:
        width = 0.0
    if not 0 < width < float("inf"):
        raise CairnError(
            f"no cell: {cell!r}", where=f"--group {part}", todo="give day, hour or a width above 0"
        )
    try:
        numbers = column.cast(pa.float64())
    except pa.ArrowException:
        raise CairnError(f"column {name!r} must hold numbers", where=f"--group {part}") from None
    return pc.floor(pc.divide(numbers, width)).cast(pa.string())


def _cut_times(column: Any, name: str, cell: str) -> Any:
    if pa.types.is_temporal(column.type):
        column = pc.strftime(column, format="%Y-%m-%d %H")
    texts = column.cast(pa.string())
    fine = pc.match_substring_regex(texts, _TIME).fill_null(True)
    length = pc.greater_equal(pc.utf8_length(texts), _CUTS[cell]).fill_null(True)
    wrong = pc.and_(pc.invert(pc.and_(fine, length)), pc.not_equal(texts, "").fill_null(False))
    if pc.any(wrong).as_py():
        shown = texts.filter(wrong)[0].as_py()
        raise CairnError(
            f"column {name!r} must hold times such as 2026-05-31 14:05",
            where=f"{shown!r}",
            todo=f"mend the column, or bond by {name} without :{cell}",
        )
    return pc.utf8_slice_codeunits(texts, 0, _CUTS[cell])
