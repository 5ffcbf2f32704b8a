"""What pages share: their look, photographs inside them, and the document around their sections."""

from cairn.pages.document import Section, document
from cairn.pages.links import credit_html, landmark_html, link
from cairn.pages.parts import id_html, name_html, table_html, terms_html, tiles_html
from cairn.pages.thumbnails import Thumbnails

__all__ = [
    "Section",
    "Thumbnails",
    "credit_html",
    "document",
    "id_html",
    "landmark_html",
    "link",
    "name_html",
    "table_html",
    "terms_html",
    "tiles_html",
]
