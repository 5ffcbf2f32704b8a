"""Compilation works where nothing can be cached, and hides no other failure."""

from collections.abc import Callable
from typing import Any

import pytest
from numba import njit

from cairn import compiled as module


def twice(x: int) -> int:
    return 2 * x


def test_without_a_place_for_the_cache_it_still_compiles(monkeypatch: pytest.MonkeyPatch) -> None:
    def picky(**options: Any) -> Callable[..., Any]:
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function 'twice': no locator available")
        return njit(**options)  # type: ignore[no-any-return]

    monkeypatch.setattr(module, "njit", picky)
    assert module.compiled(twice)(21) == 42


def test_other_failures_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**_: Any) -> Callable[..., Any]:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(module, "njit", broken)
    with pytest.raises(RuntimeError, match="no compiler"):
        module.compiled(twice)
