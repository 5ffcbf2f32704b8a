"""The page for people: its files, under an address that names what they are.

The files lie in ``page/``; the style of Cairn's reports comes first. Their address has the digest
of all of them, so that browsers keep them for good and never mix two versions; the document itself
is asked for anew each time. What the page may load is said to the browser: this server, no other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from cairn.serve.problems import Problem

router = APIRouter(include_in_schema=False)

PREFIX = "/page/"
"""Where the files are, for everybody: they are the same for all galleries."""

POLICY = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""The document's Content-Security-Policy: no script, style, picture or request from elsewhere."""

_DOCUMENT = "index.html"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOR_GOOD = "public, max-age=31536000, immutable"
_EACH_TIME = "no-cache"
_HEADERS = {"Content-Security-Policy": POLICY}


@dataclass(frozen=True)
class Site:
    """The files of the page.

    Args:
        digest: Of all of them.
        document: The HTML, which names the others by their address.
        files: Content by name.
    """

    digest: str
    document: bytes
    files: Mapping[str, bytes]


@lru_cache(maxsize=1)
def site() -> Site:
    """Return the page's files, read once."""
    folder = resources.files("cairn.serve").joinpath("page")
    files = {one.name: one.read_bytes() for one in folder.iterdir() if _suffix(one.name) in _TYPES}
    files["house.css"] = resources.files("cairn.pages").joinpath("style.css").read_bytes()
    document = files.pop(_DOCUMENT)
    total = hashlib.sha256(document)
    for name in sorted(files):
        total.update(name.encode() + b"\0" + files[name])
    digest = total.hexdigest()[:16]
    return Site(digest, document.replace(b"{assets}", f"{PREFIX}{digest}".encode()), files)


@router.get("/")
async def page(request: Request) -> Response:
    """Return the page."""
    found = site()
    headers = {**_HEADERS, "Cache-Control": _EACH_TIME, "ETag": f'"{found.digest}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(found.document, media_type=_TYPES[".html"], headers=headers)


@router.get(PREFIX + "{digest}/{name}")
async def file(digest: str, name: str) -> Response:
    """Return a file of the page; one of another version is not there."""
    found = site()
    if digest != found.digest or name not in found.files:
        raise Problem(404, "the page has no such file", todo="load the page again")
    headers = {**_HEADERS, "Cache-Control": _FOR_GOOD}
    return Response(found.files[name], media_type=_TYPES[_suffix(name)], headers=headers)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :] if "." in name else ""
