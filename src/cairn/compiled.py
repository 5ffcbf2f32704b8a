"""How loops become machine code: cached on disk, strict floating point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Return ``function`` as machine code that gives the same result on every run (no fastmath).

    Where no folder for the compiler's cache can be written, it compiles anew in every process.
    """
    strict: dict[str, Any] = {"error_model": "numpy", "nogil": True}
    try:
        return cast(Function, njit(cache=True, **strict)(function))
    except RuntimeError as error:
        if "cannot cache" not in str(error):
            raise
        return cast(Function, njit(**strict)(function))
