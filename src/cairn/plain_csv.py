"""CSV files without quotes, read all at once: four times as quick as row by row.

Only what needs no rules is read here; anything else, wrong or merely unusual, is left to a careful
reader that knows lines and words it in an error. So this module never refuses.

Legend of shapes: N rows.
"""

from __future__ import annotations

from itertools import repeat
from pathlib import Path

_MOST_BYTES = 1 << 30


def plain_columns(path: Path, header: tuple[str, ...]) -> tuple[list[str], ...] | None:
    """Return the columns of a file under exactly this header, as texts; None where it is unusual.

    Usual is: UTF-8, a byte order mark or none, line ends of one kind, no quotes, in every row as
    many columns as in the header, and ids in the first column that are unique and not empty.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            return None
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    if "\r\n" in text:
        text = text.replace("\r\n", "\n")
    if '"' in text or "\r" in text or "\0" in text:
        return None
    first, _, rest = text.partition("\n")
    if tuple(first.split(",")) != header:
        return None
    lines = rest.split("\n")
    if "" in lines:
        lines = list(filter(None, lines))  # blank lines are no rows
    commas = len(header) - 1
    if any(map(commas.__ne__, map(str.count, lines, repeat(",")))):
        return None
    words = ",".join(lines).split(",") if lines else []
    columns = tuple(words[number :: len(header)] for number in range(len(header)))
    ids = set(columns[0])
    return columns if len(ids) == len(lines) and "" not in ids else None
