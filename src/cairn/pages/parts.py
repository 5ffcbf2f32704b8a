"""Parts that pages of findings share: figures in tiles, names of landmarks, ids, terms, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape


def tiles_html(tiles: Iterable[tuple[str, str, str]], *, least_px: int | None = None) -> str:
    """Return figures as a list of tiles.

    Args:
        tiles: Name, number and what it counts of each; text.
        least_px: The least width of a tile; the style's own unless given.
    """
    items = "".join(
        f'<li><span class="name">{escape(name)}</span>'
        f'<span class="number">{escape(number)}</span>'
        f'<span class="basis">{escape(basis)}</span></li>'
        for name, number, basis in tiles
    )
    style = "" if least_px is None else f' style="--least:{least_px}px"'
    return f'<ul class="tiles"{style}>{items}</ul>'


def name_html(landmark_id: str, name: str | None) -> str:
    """Return what people call a landmark, with its id where that differs."""
    if not name or name == landmark_id:
        return escape(landmark_id)
    return f"{escape(name)} ({escape(landmark_id)})"


def id_html(image_id: str) -> str:
    """Return an image's id as it stands under its photograph, whole when it is pointed at."""
    return f'<span class="id" title="{escape(image_id)}"><bdi>{escape(image_id)}</bdi></span>'


def terms_html(terms: Mapping[str, str]) -> str:
    """Return words and what they mean, both text, as a list of definitions."""
    entries = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in terms.items())
    return f"<dl>{entries}</dl>"


def table_html(label: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table that scrolls where it is too wide, its first column heads of the rows.

    Args:
        label: What a reader who cannot see it is told.
        heads: Heads of the columns, as text.
        rows: Cells, as text.
    """
    return scrolling_table(
        label,
        [f'<th scope="col">{escape(name)}</th>' for name in heads],
        (
            [
                f'<th scope="row">{escape(row[0])}</th>',
                *(f"<td>{escape(one)}</td>" for one in row[1:]),
            ]
            for row in rows
        ),
    )


def scrolling_table(label: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are HTML elements already; see `table_html`."""
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return (
        f'<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0"><table>'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{body}</tbody></table></div>"
    )
