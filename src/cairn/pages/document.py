"""One self-contained HTML document: style inside, no script, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import TypeAlias

Section: TypeAlias = tuple[str, str, str]
"""Key for links, heading, HTML; empty HTML leaves the section out."""


def document(*, title: str, header: str, sections: Sequence[Section], footer: str) -> str:
    """Return the whole document, with links to its sections below the header.

    Args:
        title: The heading, as text.
        header: HTML below it.
        sections: The body.
        footer: HTML of the last line.
    """
    sections = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{key}">{escape(name)}</a>' for key, name, _ in sections)
    body = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{escape(name)}</h2>{text}</section>'
        for key, name, text in sections
    )
    style = resources.files("cairn.pages").joinpath("style.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{style}</style></head><body>"
        f"<header><h1>{escape(title)}</h1>{header}"
        f'<nav aria-label="Sections">{links}</nav></header>'
        f"<main>{body}</main><footer><p>{footer}</p></footer></body></html>\n"
    )
