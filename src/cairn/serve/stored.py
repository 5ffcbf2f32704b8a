"""Photographs that clients added, kept in the gallery under the digest of their bytes.

Their bytes are kept as they came, for another model to be embedded from; what is served is decoded
and written anew. A photograph is on the disk before the commit that needs it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from cairn.gallery.place import Place
from cairn.serve.photographs import digest_of, suffix_of

FOLDER = "photographs"


def store(place: Place, content: bytes) -> str:
    """Keep a photograph, unless it is there; return its path as the gallery records it.

    Args:
        place: The gallery.
        content: The bytes of the file.
    """
    digest = digest_of(content)
    name = f"{FOLDER}/{digest[:2]}/{digest}{suffix_of(content)}"
    if not place.has(name):
        with tempfile.TemporaryDirectory(prefix="cairn-") as folder:
            copy = Path(folder) / "photograph"
            copy.write_bytes(content)
            place.write_file(name, copy)
    return place.uri(name)


def local_path(place: Place, recorded: str) -> Path:
    """Return where a gallery image's photograph lies.

    One that was added through a server is found in the gallery, wherever that was moved to.

    Args:
        place: The gallery.
        recorded: The path in the gallery.
    """
    path = Path(recorded)
    if not place.remote and path.parent.parent.name == FOLDER and not path.is_file():
        return Path(place.uri(f"{FOLDER}/{path.parent.name}/{path.name}"))
    return path
