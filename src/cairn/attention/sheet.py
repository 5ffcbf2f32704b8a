"""A contact sheet: pictures of one height beside one another, each with a line below."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_HEIGHT, _MARGIN, _LINE = 240, 16, 17
_ROW_WIDTH = 1400
_PAPER, _INK, _FAINT = "#ffffff", "#1a1a1a", "#5c5c5c"


def contact_sheet(pictures: Sequence[tuple[Image.Image, str, str]]) -> Image.Image:
    """Return one picture of all, row by row.

    Args:
        pictures: Each with its title and a note; at least one.
    """
    cells = [(_scaled(picture), title, note) for picture, title, note in pictures]
    title_font, note_font = ImageFont.load_default(15), ImageFont.load_default(12)
    rows: list[list[tuple[Image.Image, str, str, int]]] = [[]]
    used = _MARGIN
    for picture, title, note in cells:
        texts = [title_font.getlength(title), *map(note_font.getlength, note.split("\n"))]
        width = max(picture.width, round(max(texts)))
        if rows[-1] and used + width + _MARGIN > _ROW_WIDTH:
            rows.append([])
            used = _MARGIN
        rows[-1].append((picture, title, note, width))
        used += width + _MARGIN
    lines = 1 + max(note.count("\n") + 1 for _, _, note in cells)
    step = _HEIGHT + lines * _LINE + _MARGIN + 6
    widest = max(sum(cell[3] + _MARGIN for cell in row) for row in rows)
    sheet = Image.new("RGB", (widest + _MARGIN, step * len(rows) + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(rows):
        left, top = _MARGIN, _MARGIN + number * step
        for picture, title, note, width in row:
            sheet.paste(picture, (left, top + _HEIGHT - picture.height))
            draw.text((left, top + _HEIGHT + 6), title, fill=_INK, font=title_font)
            draw.text(
                (left, top + _HEIGHT + 6 + _LINE + 2), note, fill=_FAINT, font=note_font, spacing=4
            )
            left += width + _MARGIN
    return sheet


def _scaled(picture: Image.Image) -> Image.Image:
    """Return the picture at the sheet's height; one that is very wide is lower."""
    scale = min(_HEIGHT / picture.height, (_ROW_WIDTH - 2 * _MARGIN) / picture.width)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS)
