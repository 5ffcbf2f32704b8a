"""What the readers of published data sets share: rows put together, missing files told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.sources.presence import are_present


@dataclass(frozen=True)
class KnownContents:
    """A published data set as it lies on disk.

    Args:
        manifest: Its images.
        num_missing: Images that it names and that are not on disk.
        notes: Remarks for the person who asked, one sentence each.
    """

    manifest: Manifest
    num_missing: int
    notes: tuple[str, ...]


def rows_of(role: str, label_space: str, **columns: Any) -> pa.Table:
    """Return a table of the columns, with one role and one label space for all of its rows."""
    table = pa.table(columns)
    for name, value in (("role", role), ("label_space", label_space)):
        repeated = pa.array([value], pa.string()).take(pa.array(np.zeros(len(table), np.int64)))
        table = table.append_column(name, repeated)
    return table


def on_disk(
    table: pa.Table, root: Path, what: str, *, keep_missing: bool
) -> tuple[pa.Table, int, list[str]]:
    """Return the rows whose file is there, how many are not, and a sentence about those.

    Args:
        table: With a column ``path``, relative to ``root``.
        root: Where the paths start.
        what: What the rows are, for the sentence, such as ``training images``.
        keep_missing: Keep the others too, since a query is answered even where it cannot be read.

    Raises:
        CairnError: No file is there.
    """
    if not len(table):
        return table, 0, []
    there = are_present(root, table["path"])
    missing = pc.sum(pc.invert(there)).as_py() or 0
    if not missing:
        return table, 0, []
    first = table["path"].filter(pc.invert(there))[0].as_py()
    if missing == len(table):
        raise CairnError(
            f"none of the {missing:,} {what} is on disk",
            where=f"{root}, first: {first}",
            todo="unpack the images there, or give the folder they lie in",
        )
    done = "stay, and are answered with a blank" if keep_missing else "are left out"
    note = f"{missing:,} of {len(table):,} {what} are not on disk and {done}, the first: {first}"
    return (table if keep_missing else table.filter(there)), missing, [note]
