"""What was seen of photographs, kept on disk: parts written as it goes, one file in the end.

A row is found again by the path it was looked at under. Rows of files that could not be read at
all are not kept: they are tried again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cairn.errors import CairnError
from cairn.images import UnreadableImage
from cairn.runs import atomic_write

if TYPE_CHECKING:
    from cairn.inspection.look import Looks

LOOKS_NAME = "looks.parquet"
"""The file in an inspection's folder that holds what was seen."""

_FORMAT = {b"cairn.looks": b"1"}
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sha256", pa.binary(32)),
        ("hash", pa.binary(16)),
        ("sketch", pa.binary(256)),
        ("reason", pa.string()),
    ],
    metadata=_FORMAT,
)
_ROWS_A_PART, _SECONDS_A_PART = 4096, 20.0


def write_looks(path: Path, names: Sequence[str], looks: Looks) -> None:
    """Write what was seen to a Parquet file, whole or not at all.

    Args:
        path: The file.
        names: N paths of the photographs.
        looks: What was seen of them.
    """
    rows = np.flatnonzero(looks.stamps[:, 0] >= 0)
    with atomic_write(path) as temporary, pq.ParquetWriter(temporary, _SCHEMA) as writer:
        for start in range(0, len(rows), 1 << 15):
            writer.write_table(_table(names, looks, rows[start : start + (1 << 15)]))


def recall(place: Path, names: Sequence[str], looks: Looks) -> NDArray[np.bool_]:
    """Fill in what ``place`` says of photographs; return which of them it knew.

    Args:
        place: A file of looks, a folder that has one, or a folder of parts.
        names: N paths of the photographs.
        looks: What is filled in.

    Raises:
        CairnError: ``place`` is not there, or holds something else than looks.
    """
    files = _files(place)
    found = np.zeros(len(names), bool)
    if not files:
        return found
    paths = [_open(path).read(["path"]) for path in files]
    lengths = [len(table) for table in paths]
    known = pa.concat_tables(paths)["path"].combine_chunks()
    at = pc.index_in(pa.array(names, pa.string()), value_set=known).fill_null(-1).to_numpy()
    order = np.argsort(at, kind="stable")
    ends = np.searchsorted(at[order], np.cumsum([0, *lengths]))
    start = 0
    for path, length, low, high in zip(files, lengths, ends[:-1], ends[1:], strict=True):
        rows = order[low:high]
        if len(rows):
            for part, batch in _batches(path, rows, at[rows] - start):
                _fill(looks, part, batch)
            found[rows] = True
        start += length
    return found


class Keeper:
    """Writes rows of ``looks`` to numbered parts in a folder; what was written survives a kill.

    Args:
        folder: Where the parts go; None keeps nothing.
        names: N paths of the photographs.
        looks: What was seen, filled in before rows are added.
    """

    def __init__(self, folder: Path | None, names: Sequence[str], looks: Looks) -> None:
        self._folder, self._names, self._looks = folder, names, looks
        self._rows: list[int] = []
        self._number = 0
        self._written = time.monotonic()

    def __enter__(self) -> Keeper:
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            numbers = [path.stem.split("-")[1] for path in self._folder.glob("part-*.parquet")]
            self._number = max(map(int, numbers), default=0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._write()  # what was seen before an error or Ctrl-C is not lost either

    def add(self, rows: Sequence[int]) -> None:
        """Keep these rows, now or with a few more."""
        if self._folder is None:
            return
        self._rows += rows
        old = time.monotonic() - self._written >= _SECONDS_A_PART
        if len(self._rows) >= _ROWS_A_PART or old:
            self._write()

    def _write(self) -> None:
        rows = np.array(self._rows, np.int64)
        rows = rows[self._looks.stamps[rows, 0] >= 0]
        if self._folder is not None and len(rows):
            self._number += 1
            path = self._folder / f"part-{self._number:06d}-{os.getpid()}.parquet"
            with atomic_write(path) as temporary:
                pq.write_table(_table(self._names, self._looks, rows), temporary)
        self._rows = []
        self._written = time.monotonic()


def _files(place: Path) -> list[Path]:
    """Return the files of looks there, the newest first."""
    if place.is_dir():
        whole = place / LOOKS_NAME
        parts = sorted(place.glob("part-*.parquet"), reverse=True)
        files = parts + ([whole] if whole.is_file() else [])
        if not files and any(place.iterdir()):
            raise CairnError(
                "no looks at photographs in this folder",
                where=place,
                todo="name a folder that `cairn inspect` made",
            )
        return files
    if place.is_file():
        return [place]
    raise CairnError("no looks at photographs here", where=place, todo="check the path")


def _open(path: Path) -> Any:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise CairnError(f"not readable: {error}", where=path, todo="remove it") from None
    if (file.schema_arrow.metadata or {}).get(b"cairn.looks") != _FORMAT[b"cairn.looks"]:
        raise CairnError(
            "these are no looks at photographs, or those of another version of Cairn",
            where=path,
            todo="name another file, or leave it out: the photographs are looked at anew",
        )
    return file


def _batches(
    path: Path, rows: NDArray[np.int64], places: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], Any]]:
    """Yield rows and what the file holds at their places (ascending), a row group at a time."""
    file = _open(path)
    start = 0
    for group in range(file.num_row_groups):
        end = start + file.metadata.row_group(group).num_rows
        low, high = np.searchsorted(places, (start, end))
        if high > low:
            yield (
                rows[low:high],
                file.read_row_group(group).take(pa.array(places[low:high] - start)),
            )
        start = end


def _table(names: Sequence[str], looks: Looks, rows: NDArray[np.int64]) -> Any:
    reasons = [looks.reasons.get(row) for row in rows.tolist()]
    return pa.Table.from_arrays(
        [
            pa.array([names[row] for row in rows.tolist()], pa.string()),
            pa.array(looks.stamps[rows, 0]),
            pa.array(looks.stamps[rows, 1]),
            pa.array(looks.sizes[rows, 0]),
            pa.array(looks.sizes[rows, 1]),
            _binary(looks.sha256[rows]),
            _binary(looks.hashes[rows]),
            _binary(looks.sketches[rows].reshape(len(rows), -1)),
            pa.array([None if why is None else why.reason for why in reasons], pa.string()),
        ],
        schema=_SCHEMA,
    )


def _fill(looks: Looks, rows: NDArray[np.int64], table: Any) -> None:
    looks.stamps[rows] = np.stack([table["bytes"], table["mtime_ns"]], axis=1)
    looks.sizes[rows] = np.stack([table["width"], table["height"]], axis=1)
    looks.sha256[rows] = _bytes(table["sha256"], 32)
    looks.hashes[rows] = _bytes(table["hash"], 16)
    looks.sketches[rows] = _bytes(table["sketch"], 256).reshape(-1, *looks.sketches.shape[1:])
    for row, reason in zip(rows.tolist(), table["reason"].to_pylist(), strict=True):
        looks.reasons.pop(row, None)
        if reason is not None:
            looks.reasons[row] = UnreadableImage(reason)


def _binary(values: NDArray[np.uint8]) -> Any:
    width = values.shape[1]
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(values), [None, buffer])


def _bytes(column: Any, width: int) -> NDArray[np.uint8]:
    array = column.combine_chunks()
    whole = np.frombuffer(array.buffers()[1], np.uint8)
    return whole[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width)
