"""Cairn: landmark recognition on a long tail, and the honesty to say "none of these"."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cairn.recognize import Recognizer

__version__ = "0.1.0.dev0"
__all__ = ["Recognizer", "__version__"]

_MODULES = ("heads", "metrics", "model", "penalty", "search")


def __getattr__(name: str) -> Any:
    """Load the heavy names only when asked for: ``import cairn`` stays quick."""
    if name in _MODULES:
        return import_module(f"cairn.{name}")
    if name == "Recognizer":
        from cairn.recognize import Recognizer

        return Recognizer
    raise AttributeError(f"module 'cairn' has no attribute {name!r}")
