"""Which of many files are there: whole folders are listed, since asking for each file is slow."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cairn.errors import CairnError
from cairn.images import IMAGE_SUFFIXES
from cairn.progress import track

_ENDING = rf"({'|'.join(re.escape(suffix) for suffix in sorted(IMAGE_SUFFIXES))})$"
_ENDING_ANY = r"\.[^./]*$"


def require_folder(path: Path) -> None:
    """Refuse a path that is no folder.

    Raises:
        CairnError: It is a file, or is not there.
    """
    if path.is_file():
        raise CairnError(
            "this is a file, not a folder",
            where=path,
            todo="unpack an archive first; `cairn data csv` reads tables",
        )
    if not path.is_dir():
        raise CairnError("folder not found", where=path)


def are_present(root: Path, paths: Any) -> Any:
    """Return a mask of the ``paths``, relative to ``root``, that are files or links.

    Args:
        root: Where the paths start.
        paths: (N,) an Arrow column of texts with ``/`` between folders.

    Returns:
        (N,) an Arrow column of booleans.
    """
    return pc.is_in(paths, value_set=_listed(root, paths))


def mended_paths(root: Path, paths: Any) -> tuple[Any, list[str]]:
    """Return the paths, with the endings that their files have, and sentences about them.

    A path that is not there becomes that of the one photograph beside it that differs by its ending
    alone (``a.jpg`` or ``a`` for ``a.JPG``). Others stay, and are counted.

    Args:
        root: Where the paths start.
        paths: (N,) an Arrow column of texts.
    """
    listed = _listed(root, paths)
    there = pc.is_in(paths, value_set=listed)
    lost = pc.invert(there)
    if not pc.any(lost).as_py():
        return paths, []
    photos = listed.filter(pc.match_substring_regex(listed, _ENDING, ignore_case=True))
    stems = pc.replace_substring_regex(photos, _ENDING_ANY, "")
    counted = pc.value_counts(stems)
    once = counted.field("values").filter(pc.equal(counted.field("counts"), 1))
    single = pc.is_in(stems, value_set=once)
    photos, stems = photos.filter(single), stems.filter(single)
    whole = pc.index_in(paths, value_set=stems)
    bare = pc.if_else(
        pc.match_substring_regex(paths, _ENDING, ignore_case=True),
        pc.replace_substring_regex(paths, _ENDING_ANY, ""),
        None,
    )
    row = pc.if_else(lost, pc.coalesce(whole, pc.index_in(bare, value_set=stems)), None)
    mended = pc.coalesce(photos.take(row), paths)
    notes = []
    num_mended = len(row) - row.null_count
    if num_mended:
        first = pc.index(pc.is_valid(row), True).as_py()
        notes.append(
            f"{num_mended:,} paths got the ending that their file has, such as "
            f"{mended[first].as_py()} for {paths[first].as_py()}"
        )
    missing = pc.and_(lost, pc.is_null(row))
    number = pc.sum(missing).as_py() or 0
    if number:
        first = paths[pc.index(missing, True).as_py()].as_py()
        which = "none" if number == len(paths) else f"{number:,}"
        verb = "is" if number == len(paths) else "are not"
        notes.append(
            f"{which} of the {len(paths):,} photographs {verb} there, the first: {root / first}; "
            "--root says where relative paths start"
        )
    return mended, notes


def _listed(root: Path, paths: Any) -> Any:
    """Return the files in every folder that the paths name, as the paths would name them."""
    folders = pc.unique(pc.replace_substring_regex(paths, "[^/]*$", ""))
    found = [
        pa.array(_files(root, folder), pa.string())
        for folder in track(folders.to_pylist(), "folders listed")
    ]
    return pa.chunked_array(found, pa.string()).combine_chunks()


def _files(root: Path, folder: str) -> list[str]:
    try:
        with os.scandir(root / folder) as entries:
            return [f"{folder}{entry.name}" for entry in entries if not entry.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
