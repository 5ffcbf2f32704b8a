"""What pages share: their look, photographs inside them, and the document around their sections."""

from cairn.pages.document import Section, document
from cairn.pages.thumbnails import Thumbnails

__all__ = ["Section", "Thumbnails", "document"]
