"""Links out of a page and credits under its photographs: followed by readers, never fetched."""

from __future__ import annotations

import re
from html import escape
from urllib.parse import urlsplit

from cairn.domain import Credit, Landmark

_CREATIVE_COMMONS = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)/([0-9.]+)?"
)
_SCHEMES = ("http", "https")


def link(url: str, text: str) -> str:
    """Return a link as HTML; only the text where the address is not one of the web.

    Args:
        url: Any text; only http and https addresses become links.
        text: What is shown, as text.
    """
    if not is_web(url):
        return escape(text)
    return f'<a href="{escape(url)}" rel="noopener noreferrer">{escape(text)}</a>'


def is_web(url: str) -> bool:
    """Say whether a text is an http or https address with a host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in _SCHEMES and bool(parts.netloc) and url.isprintable()


def credit_html(credit: Credit) -> str:
    """Return whose a photograph is as HTML: author, licence, and the page it is from."""
    author, url = credit.author, credit.source_url
    parts = []
    if is_web(url):
        parts.append(link(url, author or "source"))
    elif author or url:
        parts.append(escape(author or url))
    if credit.license:
        parts.append(link(credit.license, _license_name(credit.license)))
    return f'<span class="credit">{", ".join(parts)}</span>' if parts else ""


def landmark_html(landmark: Landmark) -> str:
    """Return what is known of a landmark beyond its name, as HTML: what it is, where, its page."""
    parts = [escape(landmark.category)] if landmark.category else []
    if landmark.latitude is not None and landmark.longitude is not None:
        parts.append(escape(f"{landmark.latitude:.4f}, {landmark.longitude:.4f}"))
    if is_web(landmark.url):
        parts.append(link(landmark.url, "about it"))
    return f'<span class="about">{" · ".join(parts)}</span>' if parts else ""


def _license_name(license: str) -> str:
    """Return a licence as people call it, also where an address stands for it."""
    found = _CREATIVE_COMMONS.match(license)
    if found is None:
        return license
    kind, code, version = found.groups()
    names = {"zero": "CC0", "mark": "Public Domain Mark"}
    name = names.get(code, code) if kind == "publicdomain" else f"CC {code.upper()}"
    return f"{name} {version}" if version else name
