"""Parquet and CSV files as typed columns: the reading and writing beneath manifests.

Ids are text wherever they come from, so that 00012 stays 00012. The module knows the names and
types of a manifest's columns, and nothing of what they must hold together.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from cairn.domain import Int64
from cairn.errors import CairnError
from cairn.runs import atomic_write

REQUIRED = ("image_id", "path", "landmark_id", "role")
"""The columns without which a table is no manifest."""

OPTIONAL_TEXTS = (
    *("landmark_name", "category", "natural_or_human_made", "landmark_url"),
    *("author", "license", "source_url", "sha256"),
)
"""Text columns a manifest may have; an empty value is read as null."""

TEXTS = (*REQUIRED, "label_space", *OPTIONAL_TEXTS)
"""The columns that hold text."""

NUMBERS = {
    "latitude": pa.float64(),
    "longitude": pa.float64(),
    "width": pa.int64(),
    "height": pa.int64(),
}
"""The columns that hold numbers, and their types: degrees and pixels."""

TABLE_SUFFIXES = (".parquet", ".pq", ".csv")
"""File name endings, in lower case, that are taken for tables."""

_SHOWN = 5
_WIDE_BLOCK = 1 << 26  # bytes of CSV read at a time where a row may be larger than usual
_MOST_BYTES = (1 << 31) - 1  # of text in one piece of a column


def table_of(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Return a table of equally long columns, the manifest's own with the manifest's types."""
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise CairnError("the columns differ in length", where=lengths)
    arrays = {}
    for name, values in columns.items():
        if name in TEXTS:
            texts = [None if value is None else str(value) for value in values]
            arrays[name] = pa.array(texts, pa.string())
        else:
            arrays[name] = pa.array(values)
    return pa.table(arrays)


def read_table(path: Path) -> pa.Table:
    """Return the rows of any Parquet or CSV file; CSV gives strings, so that 00012 stays 00012.

    CSV is UTF-8, or UTF-16 where the file says so, with commas, or else the semicolons or tabs that
    its first line has instead.

    Raises:
        CairnError: The file is missing, empty, or not what its name says.
    """
    if path.is_dir():
        raise CairnError(
            "this is a folder, not a table of images",
            where=path,
            todo="give a .parquet or .csv file; `cairn data folder` makes one of photographs",
        )
    if not path.is_file():
        raise CairnError("file not found", where=path, todo="check the path")
    if path.stat().st_size == 0:
        raise CairnError("the file is empty", where=path)
    suffix = path.suffix.lower()
    try:
        if suffix in (".parquet", ".pq"):
            return pa.parquet.read_table(path, pre_buffer=False)
        if suffix in (".csv", ".tsv"):
            return _read_csv(path)
    except (pa.ArrowException, UnicodeError, csv.Error, OSError) as error:
        kind = "Parquet" if suffix in (".parquet", ".pq") else "CSV (UTF-8)"
        foreign = isinstance(error, UnicodeError) or "UTF8" in str(error)
        todo = "save it as UTF-8; from Windows: iconv -f WINDOWS-1252 -t UTF-8 OLD.csv"
        raise CairnError(
            f"not a readable {kind} file: {error}", where=path, todo=todo if foreign else ""
        ) from None
    raise CairnError(
        f"a table's name ends in .parquet, .csv or .tsv, not {suffix!r}",
        where=path,
        todo="save the table as CSV in UTF-8, with a first line of column names",
    )


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as Parquet, or as CSV where the name ends in .csv; whole or not at all."""
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise CairnError(f"a table's name ends in .parquet or .csv, not {suffix!r}", where=path)
    with atomic_write(path) as temporary:
        if suffix == ".csv":
            pa.csv.write_csv(table, temporary, pa.csv.WriteOptions(quoting_style="needed"))
        else:
            pa.parquet.write_table(table, temporary, compression="zstd")


def rows_text(mask: Any) -> str:
    """Return ``rows 3, 8 and 2 more`` for the true values of a mask; the first row is 1."""
    rows = np.flatnonzero(np.asarray(mask)) + 1
    shown = ", ".join(str(row) for row in rows[:_SHOWN])
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f"row{'s' if len(rows) > 1 else ''} {shown}{more} (the first is 1)"


def _read_csv(path: Path) -> pa.Table:
    encoding, separator = _csv_form(path)
    with path.open(encoding=encoding, newline="") as handle:
        names = next(csv.reader(handle, delimiter=separator), [])
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise CairnError(f"column names stand twice: {', '.join(sorted(twice))}", where=path)
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    parse = pa.csv.ParseOptions(newlines_in_values=True, delimiter=separator)
    read = pa.csv.ReadOptions(encoding=encoding.removesuffix("-sig"))
    try:
        return pa.csv.read_csv(path, read, parse, convert)
    except pa.ArrowInvalid:  # read without threads, so that the error names the row
        read.use_threads, read.block_size = False, _WIDE_BLOCK
        return pa.csv.read_csv(path, read, parse, convert)


def _csv_form(path: Path) -> tuple[str, str]:
    """Return the encoding and the separator of a CSV file, as its first bytes and line show."""
    with path.open("rb") as handle:
        marked = handle.read(2) in (b"\xff\xfe", b"\xfe\xff")
    encoding = "utf-16" if marked else "utf-8-sig"
    with path.open(encoding=encoding, newline="") as handle:
        first = handle.readline()
    signs = (",", *sorted(";\t", key=first.count, reverse=True))
    return encoding, next((sign for sign in signs if sign in first), ",")


def as_texts(column: Any, name: str) -> Any:
    """Return a column as strings; whole numbers that a writer stored as fractions lose the .0.

    Raises:
        CairnError: The column holds fractions, or what has no text.
    """
    if pa.types.is_floating(column.type):  # 12.0 is how some writers store an id beside a null
        whole = pc.all(pc.equal(column, pc.round(column))).as_py()
        if whole is False:
            raise CairnError(f"column {name!r} holds fractions; ids are text or whole numbers")
        column = column.cast(pa.int64())
    try:
        if pa.types.is_large_string(column.type):
            return _in_pieces(column)
        return column.cast(pa.string())
    except pa.ArrowException as error:
        raise CairnError(f"column {name!r} cannot be read as text: {error}") from None


def taken(values: Any, rows: Any) -> Any:
    """Return the rows of a column or a table, also where the text of a column is beyond 2 GB."""
    if isinstance(values, pa.Table):
        columns = [taken(column, rows) for column in values.columns]
        return pa.table(columns, schema=values.schema)
    is_large = pa.types.is_string(values.type) and values.nbytes > _MOST_BYTES
    if not is_large:
        return values.take(rows)
    return _in_pieces(values.cast(pa.large_string()).take(rows))


def filtered(table: pa.Table, mask: Any) -> pa.Table:
    """Return the rows where the mask is true; column by column, several times as quick as at once.

    The mask has no nulls. Where it is true everywhere, the table itself comes back.
    """
    if pc.all(mask).as_py():
        return table
    columns = [column.filter(mask) for column in table.columns]
    return pa.table(columns, schema=table.schema)


def coded(column: pa.ChunkedArray) -> tuple[Int64, pa.Array]:
    """Return (N,) numbers of a column's texts, -1 for null, and the texts, each once."""
    pieces = column.dictionary_encode().unify_dictionaries().chunks
    if not pieces:
        return np.empty(0, np.int64), pa.array([], column.type)
    codes = [piece.indices.fill_null(-1).to_numpy() for piece in pieces]
    return np.concatenate(codes).astype(np.int64), pieces[0].dictionary


def _in_pieces(column: Any) -> Any:
    """Return a column of large strings as strings, in pieces that their 32-bit offsets allow."""
    pieces = []
    for chunk in column.chunks:
        parts = max(1, -(-chunk.nbytes // _MOST_BYTES))
        while True:
            step = max(1, -(-len(chunk) // parts))
            slices = [chunk.slice(start, step) for start in range(0, len(chunk), step)]
            if step == 1 or all(one.nbytes <= _MOST_BYTES for one in slices):
                break
            parts *= 2
        pieces += [one.cast(pa.string()) for one in slices]
    return pa.chunked_array(pieces, pa.string())


def as_numbers(column: Any, name: str) -> Any:
    """Return a column in the type `NUMBERS` gives its name; empty text is null.

    Raises:
        CairnError: A value is no number.
    """
    if pa.types.is_string(column.type):
        column = pc.utf8_trim_whitespace(column)
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    try:
        return column.cast(NUMBERS[name])
    except pa.ArrowException as error:
        raise CairnError(f"column {name!r} must hold numbers: {error}") from None


def typed(table: pa.Table) -> pa.Table:
    """Return a table whose columns of `TEXTS` are strings and of `NUMBERS` numbers.

    Blank values of `OPTIONAL_TEXTS` become nulls.

    Raises:
        CairnError: A column holds what cannot be read as its type.
    """
    for index, name in enumerate(table.column_names):
        column = table[name]
        if name in TEXTS and column.type != pa.string():
            table = table.set_column(index, name, as_texts(column, name))
        elif name in NUMBERS and column.type != NUMBERS[name]:
            table = table.set_column(index, name, as_numbers(column, name))
    for index, name in enumerate(table.column_names):
        if name in OPTIONAL_TEXTS:
            blank = pc.equal(table[name], "")
            if pc.any(blank).as_py():
                nothing = pa.scalar(None, pa.string())
                table = table.set_column(index, name, pc.if_else(blank, nothing, table[name]))
    return table


def check_places(table: pa.Table) -> None:
    """Refuse coordinates that are none, naming the rows.

    Raises:
        CairnError: A latitude is outside [-90, 90], a longitude outside [-180, 180], or not finite.
    """
    for name, most in (("latitude", 90), ("longitude", 180)):
        if name in table.column_names:
            inside = pc.less_equal(pc.abs(table[name]), float(most))  # false for nan
            refuse(
                pc.invert(inside.fill_null(True)),
                f"column {name!r} holds what is no number of degrees in [-{most}, {most}]",
                "leave it empty where it is not known; minutes and seconds become fractions",
            )


def refuse(mask: Any, what: str, todo: str = "") -> None:
    """Refuse the rows where the mask is true.

    Raises:
        CairnError: There is one; the error names the first few.
    """
    if pc.any(mask).as_py():
        raise CairnError(what, where=rows_text(mask), todo=todo)


def check_unique(ids: Any, name: str) -> None:
    """Refuse ids that stand twice, naming them and their rows.

    Args:
        ids: The column.
        name: Its name, such as ``image_id``.

    Raises:
        CairnError: An id does.
    """
    if len(pc.unique(ids)) == len(ids):  # quicker than count_distinct
        return
    what = name.removesuffix("_id")
    counted = pc.value_counts(ids)
    twice = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    stands = "ids stand" if len(twice) > 1 else "id stands"
    shown = ", ".join(repr(one) for one in twice[:_SHOWN].to_pylist())
    article = "an" if what[:1] in "aeiou" else "a"
    raise CairnError(
        f"{len(twice)} {what} {stands} twice or more: {shown}",
        where=rows_text(pc.is_in(ids, twice)),
        todo=f"{article} {what} has one row; make {name} unique",
    )
