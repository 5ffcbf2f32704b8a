"""Where photographs lie, as a column of millions of rows: paths made one by one, and moved.

A `Path` for every row of a large table would take gigabytes, so a path is made when it is asked
for, and what moves a table to another folder works on the whole column at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, SupportsIndex, overload

import pyarrow as pa
import pyarrow.compute as pc

from cairn.columns import taken

_ROWS_AT_ONCE = 1 << 14
_NOT_PLAIN = r"//|(^|/)\.\.?(/|$)|./$"
"""What `os.path.normpath` would change: empty, ``.`` and ``..`` parts, and a slash at the end."""


class Paths(Sequence[Path]):
    """N absolute paths: a column of texts and the folder that relative ones start from.

    Args:
        texts: The column, without nulls.
        root: The folder.
    """

    def __init__(self, texts: pa.ChunkedArray, root: Path) -> None:
        self._texts, self._root = texts, root

    @classmethod
    def joined(cls, parts: Iterable[Paths]) -> Paths:
        """Return the paths of several, one after the other, wherever each starts from."""
        columns = [part._absolute() for part in parts]
        chunks = [chunk for column in columns for chunk in column.chunks]
        return cls(pa.chunked_array(chunks, pa.string()), Path("/"))

    def __len__(self) -> int:
        return len(self._texts)

    @overload
    def __getitem__(self, row: SupportsIndex) -> Path: ...
    @overload
    def __getitem__(self, row: slice) -> Paths: ...
    def __getitem__(self, row: SupportsIndex | slice) -> Path | Paths:
        if isinstance(row, slice):
            return self.take(range(len(self))[row])
        return self._root / str(self._texts[int(row)])

    def __iter__(self) -> Iterator[Path]:
        for start in range(0, len(self), _ROWS_AT_ONCE):
            for text in self._texts.slice(start, _ROWS_AT_ONCE).to_pylist():
                yield self._root / text

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(str(path) for path in self[:3])
        return f"Paths({shown}{', ...' if len(self) > 3 else ''}; {len(self)} in all)"

    def take(self, rows: Sequence[int]) -> Paths:
        """Return the paths at these rows, in the order given."""
        return Paths(taken(self._texts, pa.array(rows, pa.int64())), self._root)

    def _absolute(self) -> pa.ChunkedArray:
        return _under(self._texts, self._root)


def relocated(texts: pa.ChunkedArray, root: Path, folder: Path) -> pa.ChunkedArray:
    """Return a column of paths, now relative to ``root``, as a file in ``folder`` should store it.

    What lies below ``folder`` becomes relative to it, the rest absolute; both are normalised.
    """
    is_odd = pc.or_(pc.starts_with(texts, "/"), pc.match_substring(texts, ".."))
    if root == folder and not pc.any(is_odd).as_py():
        return texts
    chunks = [_normal(chunk) for chunk in _under(texts, root).chunks]
    paths = pa.chunked_array(chunks, pa.string())
    prefix = os.path.join(folder, "")  # noqa: PTH118 (ends in a separator)
    inside = pc.starts_with(paths, prefix)
    if not pc.any(inside).as_py():
        return paths
    return pc.if_else(inside, pc.utf8_slice_codeunits(paths, start=len(prefix)), paths)


def _normal(paths: Any) -> Any:
    """Return an array of absolute paths as `os.path.normpath` gives each."""
    not_plain = pc.match_substring_regex(paths, _NOT_PLAIN)
    if not pc.any(not_plain).as_py():
        return paths
    normal = [os.path.normpath(path) for path in paths.filter(not_plain).to_pylist()]
    return pc.replace_with_mask(paths, not_plain, pa.array(normal, pa.string()))


def _under(texts: pa.ChunkedArray, root: Path) -> Any:
    """Return the texts with ``root`` before those that are relative."""
    is_absolute = pc.starts_with(texts, "/")
    prefix = pc.if_else(is_absolute, "", os.path.join(root, ""))  # noqa: PTH118 (ends in one)
    return pc.binary_join_element_wise(prefix, texts, "")
