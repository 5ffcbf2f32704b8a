"""Image ids as numbers: which are on disk, and which a training set has.

An id of 16 hexadecimal digits is a 64-bit number, so that four million of them are 33 MB to hold
and a binary search to look up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.errors import CairnError
from cairn.sources.gldv2.tables import batches, read, words

UInt64 = np.ndarray[tuple[int], np.dtype[np.uint64]]

_DIGITS = "0123456789abcdef"
_LENGTH = 16
_VALUE = np.full(256, 255, np.uint8)  # of a digit, by its character
_VALUE[np.frombuffer(_DIGITS.encode(), np.uint8)] = np.arange(16)


def as_numbers(ids: Any, where: object = "") -> UInt64:
    """Return image ids, a column of text or a sequence, as (N,) unsigned 64-bit numbers.

    Raises:
        CairnError: One is not 16 hexadecimal digits in lower case.
    """
    column = pa.array(ids, pa.string()) if isinstance(ids, Sequence) else ids
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not len(column):
        return np.zeros(0, np.uint64)
    good = np.asarray(pc.equal(pc.binary_length(column), _LENGTH).fill_null(False))
    if good.all():
        ends = np.frombuffer(column.buffers()[1], np.int32)[column.offset :]
        digits = _VALUE[np.frombuffer(column.buffers()[2], np.uint8)[ends[0] :][: 16 * len(column)]]
        good = digits.reshape(-1, _LENGTH).max(axis=1) < 16
        if good.all():
            return ((digits[::2] << 4) | digits[1::2]).view(">u8").astype(np.uint64)
    bad = column[int(np.argmin(good))].as_py()
    raise CairnError(f"an image id is 16 hexadecimal digits, not {bad!r}", where=where)


def positions(sorted_M: UInt64, wanted_N: UInt64) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return where each wanted number stands among sorted ones, -1 for those that do not."""
    if not len(sorted_M):
        return np.full(len(wanted_N), -1, np.int64)
    order = np.argsort(wanted_N)  # in order, a search finds its surroundings in the cache
    found = np.empty(len(wanted_N), np.int64)
    found[order] = np.searchsorted(sorted_M, wanted_N[order])
    there = sorted_M[np.minimum(found, len(sorted_M) - 1)] == wanted_N
    return np.where(there, found, -1).astype(np.int64)


def ids_on_disk(tree: Path) -> UInt64:
    """Return the ids, ascending, of the photographs in a split's tree of folders ``a/b/c``."""
    parts: list[UInt64] = []
    for a in _DIGITS:
        names: list[str] = []
        for folder in (f"{tree}/{a}/{b}/{c}" for b in _DIGITS for c in _DIGITS):
            try:
                there = os.listdir(folder)  # noqa: PTH208 (millions of names)
            except (FileNotFoundError, NotADirectoryError):
                continue
            names += [n[:_LENGTH] for n in there if len(n) == _LENGTH + 4 and n.endswith(".jpg")]
        column = pa.array(names, pa.string())
        good = pc.match_substring_regex(column, f"^[0-9a-f]{{{_LENGTH}}}$")
        parts.append(as_numbers(column.filter(good)))
    return np.sort(np.concatenate(parts))


def clean_pairs(folder: Path) -> pa.Table:
    """Return ``id`` and ``landmark_id`` of every image of the clean training set.

    Raises:
        CairnError: ``train_clean.csv`` is missing or not what it should be.
    """
    path = folder / "metadata" / "train_clean.csv"
    table = read(path, ("landmark_id", "images"))
    ids, rows = words(table["images"])
    if not len(ids):
        raise CairnError("the clean training set is empty", where=path)
    return pa.table({"id": ids, "landmark_id": table["landmark_id"].take(rows)})


def train_pairs(folder: Path, subset: str) -> pa.Table:
    """Return ``id`` and ``landmark_id`` of every image of a training set.

    Raises:
        CairnError: A table is missing or not what it should be.
    """
    if subset == "clean":
        return clean_pairs(folder)
    landmarks = None
    if subset == "2x":
        landmarks = pc.unique(clean_pairs(folder)["landmark_id"])
    kept = []
    for batch in batches(folder / "metadata" / "train.csv", ("id", "landmark_id")):
        if landmarks is not None:
            batch = batch.filter(pc.is_in(batch["landmark_id"], landmarks))
        kept.append(batch)
    schema = pa.schema([("id", pa.string()), ("landmark_id", pa.string())])
    return pa.Table.from_batches(kept, schema)


def subset_ids(folder: Path, subset: str) -> UInt64:
    """Return the ids of a training set, ascending.

    Raises:
        CairnError: A table is missing or not what it should be.
    """
    return np.sort(as_numbers(train_pairs(folder, subset)["id"], folder / "metadata"))
