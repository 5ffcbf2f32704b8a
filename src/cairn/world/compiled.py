"""The one way that kernels of the world are compiled: cached on disk, strict floating point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Return ``function`` as machine code that gives the same result on every run (no fastmath)."""
    return cast(Function, njit(cache=True, error_model="numpy", nogil=True)(function))
