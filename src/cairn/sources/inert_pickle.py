"""Plain values out of a foreign pickle, without running any of it.

Some ground truths of the field are published as pickles only. Python's own reader calls whatever
the file names; this one gives every name a stand-in that can only hold what the file says of it,
knows the names by which numpy's numbers and arrays travel, and refuses all others. What comes out
are dictionaries, lists, texts, numbers, booleans and None. Cairn writes no pickle itself.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cairn.errors import CairnError

MAX_BYTES = 64 << 20
"""A larger file is refused unread: the ground truths of ROxford and RParis have less than one."""

MAX_VALUES = 20_000_000
"""What a file may unfold to: parts that it names again and again count each time."""

_NAMES = {
    **{
        (module, name): name
        for module in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
        for name in ("_reconstruct", "ndarray", "dtype", "scalar")
    },
    ("numpy.core.numeric", "_frombuffer"): "_frombuffer",
    ("numpy._core.numeric", "_frombuffer"): "_frombuffer",
    ("_codecs", "encode"): "bytes",  # how bytes travel in protocols 0 to 2
    ("__builtin__", "bytes"): "bytes",
}
"""The names that a file may use, and what stands in for them."""

_DEPTH = 20
_NUMBERS = {f"{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)} | {"f2", "f4", "f8", "b1"}


class _Refused(Exception):  # noqa: N818
    """What the file holds that is no plain value."""


class _Stand:
    """Holds what a pickle says of one of numpy's objects; does nothing."""

    def __init__(self, kind: str, *arguments: Any) -> None:
        self.kind, self.arguments = kind, arguments
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, tuple) else (state,)


def read_inert(path: Path) -> Any:
    """Return the value in a pickle file: dictionaries, lists, texts, numbers, booleans and None.

    Arrays of numbers become lists of them, and tuples too. Nothing that the file names is imported
    or called.

    Raises:
        CairnError: The file is missing, too large, damaged, or holds anything else.
    """
    todo = "give the ground truth as JSON (docs/formats.md), or the file as its authors publish it"
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise CairnError(f"a pickle of {size} bytes is no ground truth", where=path, todo=todo)
        data = path.read_bytes()
    except FileNotFoundError:
        raise CairnError("file not found", where=path) from None
    try:
        return _Plain().of(_Reader(io.BytesIO(data), encoding="latin1").load())
    except _Refused as refused:
        raise CairnError(f"the pickle holds {refused}: refused", where=path, todo=todo) from None
    except Exception as error:  # the format has many ways to be damaged
        raise CairnError(
            f"not a readable pickle: {type(error).__name__}: {error}", where=path, todo=todo
        ) from None


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Return a stand-in for a name by which numpy's numbers travel; refuse any other."""
        kind = _NAMES.get((module, name))
        if kind is None:
            raise _Refused(f"{module}.{name}")
        return lambda *arguments: _Stand(kind, *arguments)

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("a reference to something outside")


class _Plain:
    """Unfolds what was read into plain values, up to `MAX_VALUES` of them."""

    def __init__(self) -> None:
        self.left = MAX_VALUES

    def of(self, value: Any, depth: int = 0) -> Any:
        """Return the plain value; stand-ins become the numbers they hold."""
        self.left -= 1
        if depth > _DEPTH or self.left < 0:
            raise _Refused("values within values without end")
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise _Refused("a dictionary whose keys are no texts")
            return {key: self.of(inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(inner, depth + 1) for inner in value]
        if isinstance(value, _Stand):
            return self._numbers(value, depth)
        raise _Refused(f"a {type(value).__name__}")

    def _numbers(self, stand: _Stand, depth: int) -> Any:
        if stand.kind == "scalar" and len(stand.arguments) == 2:
            dtype, data = stand.arguments
            return np.frombuffer(_bytes(data), _dtype(dtype), count=1)[0].item()
        if stand.kind == "_reconstruct" and len(stand.state) == 5:
            _, shape, dtype, by_column, data = stand.state
            if isinstance(data, list):  # an array of objects: its elements are looked at too
                return [self.of(inner, depth + 1) for inner in data]
            return _array(shape, dtype, "F" if by_column else "C", data)
        if stand.kind == "_frombuffer" and len(stand.arguments) == 4:
            data, dtype, shape, order = stand.arguments
            return _array(shape, dtype, order, data)
        raise _Refused(f"an unknown use of numpy's {stand.kind}")


def _array(shape: Any, dtype: Any, order: Any, data: Any) -> Any:
    whole = isinstance(shape, tuple) and all(isinstance(side, int) for side in shape)
    if not whole or order not in ("C", "F"):
        raise _Refused("an array of no shape")
    return np.frombuffer(_bytes(data), _dtype(dtype)).reshape(shape, order=order).tolist()


def _dtype(stand: Any) -> np.dtype[Any]:
    if not (isinstance(stand, _Stand) and stand.kind == "dtype" and stand.arguments):
        raise _Refused("an array without a type of number")
    code = stand.arguments[0]
    if code not in _NUMBERS:
        raise _Refused(f"an array of {code!r}, not of numbers")
    order = stand.state[1] if len(stand.state) > 1 else "="
    return np.dtype(f"{order}{code}" if order in ("<", ">") else code)


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, str):  # Python 2
        return value.encode("latin1")
    if isinstance(value, _Stand) and value.kind == "bytes":
        return "".join(value.arguments[:1]).encode("latin1")
    raise _Refused("an array without its bytes")
