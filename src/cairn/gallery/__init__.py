"""Galleries that live: versions, changes and their log, on a local path or in an object store."""

from cairn.gallery.add import add_embeddings, add_photographs
from cairn.gallery.change import merge_landmarks, remove_images, rename_landmark
from cairn.gallery.compaction import Compacted, compact
from cairn.gallery.gallery import Gallery, require_gallery
from cairn.gallery.history import log, rollback, tag, untag
from cairn.gallery.penalize import keep_penalty
from cairn.gallery.reembedding import reembed
from cairn.gallery.versions import Entry

__all__ = [
    "Compacted",
    "Entry",
    "Gallery",
    "add_embeddings",
    "add_photographs",
    "compact",
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
