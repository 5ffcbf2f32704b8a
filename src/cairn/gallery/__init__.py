"""Galleries that live: versions, changes and their log, on a local path or in an object store."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cairn.gallery.add import add_embeddings, add_photographs, add_table
    from cairn.gallery.change import merge_landmarks, remove_images, rename_landmark
    from cairn.gallery.compaction import Compacted, compact
    from cairn.gallery.describing import describe
    from cairn.gallery.entries import Entry
    from cairn.gallery.gallery import Gallery, require_gallery
    from cairn.gallery.history import log, rollback, tag, untag
    from cairn.gallery.penalize import keep_penalty
    from cairn.gallery.reembedding import reembed

__all__ = [
    "Compacted",
    "Entry",
    "Gallery",
    "add_embeddings",
    "add_photographs",
    "add_table",
    "compact",
    "describe",
    "keep_penalty",
    "log",
    "merge_landmarks",
    "reembed",
    "remove_images",
    "rename_landmark",
    "require_gallery",
    "rollback",
    "tag",
    "untag",
]

_MODULES = {
    "add": ("add_embeddings", "add_photographs", "add_table"),
    "change": ("merge_landmarks", "remove_images", "rename_landmark"),
    "compaction": ("Compacted", "compact"),
    "describing": ("describe",),
    "gallery": ("Gallery", "require_gallery"),
    "history": ("log", "rollback", "tag", "untag"),
    "penalize": ("keep_penalty",),
    "reembedding": ("reembed",),
    "entries": ("Entry",),
}


def __getattr__(name: str) -> Any:
    """Load a name when it is asked for: reading a log needs no PyTorch, which takes seconds."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"cairn.gallery.{module}"), name)
    raise AttributeError(f"module 'cairn.gallery' has no attribute {name!r}")
