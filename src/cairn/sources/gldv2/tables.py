"""GLDv2's CSV files as typed columns, by the names in their headers.

Big ones are read a block at a time and filtered at once, so that memory follows what is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from cairn.errors import CairnError

_BLOCK = 16 << 20


def batches(
    path: Path,
    needed: Sequence[str],
    wanted: Sequence[str] = (),
    *,
    skipped: list[str] | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a CSV file: the needed columns, and the wanted ones that it has, as text.

    Args:
        path: The file, with a header.
        needed: Columns it must have.
        wanted: Columns it may have.
        skipped: Where given, rows of a wrong number of columns are left out and their text put
            here; else they are an error.

    Raises:
        CairnError: The file is missing, no CSV in UTF-8, or lacks a column.
    """
    header = _header(path)
    missing = [name for name in needed if name not in header]
    if missing:
        raise CairnError(
            f"expected the columns {', '.join(needed)}, found {', '.join(header)}",
            where=path,
            todo="delete the file and fetch it again; if it comes so, its publisher changed it",
        )
    names = [name for name in (*needed, *wanted) if name in header]

    def judge(row: Any) -> str:
        if skipped is None:
            return "error"
        skipped.append(str(row.text)[:200])
        return "skip"

    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.binary()), include_columns=names
    )
    parse = pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=judge)
    read = pa.csv.ReadOptions(block_size=_BLOCK)
    try:
        with pa.csv.open_csv(path, read, parse, convert) as reader:
            for batch in reader:
                columns = [_texts(batch[name], name, path) for name in names]
                yield pa.RecordBatch.from_arrays(columns, names)
    except pa.ArrowException as error:
        raise CairnError(f"not a readable CSV file: {error}", where=path) from None


def read(path: Path, needed: Sequence[str], wanted: Sequence[str] = ()) -> pa.Table:
    """Return all rows of a CSV file, as `batches` gives them; a wanted column may be missing.

    Raises:
        CairnError: As `batches`.
    """
    found = list(batches(path, needed, wanted))
    names = [name for name in (*needed, *wanted) if not found or name in found[0].schema.names]
    return pa.Table.from_batches(found, pa.schema([(name, pa.string()) for name in names]))


def _header(path: Path) -> list[str]:
    import csv

    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as handle:
            names = next(csv.reader(handle), [])
    except FileNotFoundError:
        raise CairnError(
            "file not found", where=path, todo="fetch it: the same command without --parallel 0"
        ) from None
    return [name.strip() for name in names]


def _texts(column: Any, name: str, path: Path) -> Any:
    """Return bytes as text; in words for people, what is no UTF-8 becomes a question mark."""
    try:
        return column.cast(pa.string())
    except pa.ArrowException:
        if name in ("id", "landmark_id", "landmarks", "images"):
            raise CairnError(f"column {name!r} is not UTF-8", where=path) from None
        values = [None if v is None else v.decode("utf-8", "replace") for v in column.to_pylist()]
        return pa.array(values, pa.string())


def words(column: Any) -> tuple[Any, Any]:
    """Return the words of space-separated lists, and for each the row that it stands in.

    Args:
        column: Text; nulls have no words.
    """
    lists = pc.split_pattern_regex(pc.utf8_trim_whitespace(column.fill_null("")), r"\s+")
    if isinstance(lists, pa.ChunkedArray):
        lists = lists.combine_chunks()
    rows, values = pc.list_parent_indices(lists), pc.list_flatten(lists)
    real = pc.not_equal(values, "")
    return values.filter(real), rows.filter(real)
