"""Which of many files are there: whole folders are listed, since asking for each file is slow."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cairn.progress import track


def are_present(root: Path, paths: Any) -> Any:
    """Return a mask of the ``paths``, relative to ``root``, that are files or links.

    Args:
        root: Where the paths start.
        paths: (N,) an Arrow column of texts with ``/`` between folders.

    Returns:
        (N,) an Arrow column of booleans.
    """
    folders = pc.unique(pc.replace_substring_regex(paths, pattern="[^/]*$", replacement=""))
    found: list[Any] = []
    for folder in track(folders.to_pylist(), "folders listed"):
        found.append(pa.array(_files(root, folder), pa.string()))
    names = pa.chunked_array(found, pa.string())
    return pc.is_in(paths, value_set=names.combine_chunks())


def _files(root: Path, folder: str) -> list[str]:
    try:
        with os.scandir(root / folder) as entries:
            return [f"{folder}{entry.name}" for entry in entries if not entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
