"""Galleries that live: versions, changes and their log, on a local path or in an object store."""

from cairn.gallery.gallery import Gallery, require_gallery
from cairn.gallery.penalize import keep_penalty
from cairn.gallery.versions import Entry

__all__ = ["Entry", "Gallery", "keep_penalty", "require_gallery"]
