"""Idempotency keys: a change that is asked for twice with one key is made once.

The key is noted in the log's line of the change, in the same commit, so that it is known after a
crash too: a client that never got its answer asks again and gets it. Keys are known as far as the
latest ``KEPT`` versions go back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cairn.gallery import Entry
from cairn.gallery.entries import read_entry
from cairn.gallery.place import Place
from cairn.gallery.versions import Version
from cairn.serve.problems import Problem

KEPT = 256
"""Versions whose keys are known when the server starts."""

NOTE_KEYS = ("key", "request")
"""What a line of the log has of a key; nobody else is told."""

_MAX_LENGTH = 128


def checked_key(key: str | None) -> str:
    """Return an Idempotency-Key as it came; "" for none.

    Raises:
        Problem: It is longer than 128 characters, or has others than visible ASCII.
    """
    if key is None:
        return ""
    if not 0 < len(key) <= _MAX_LENGTH or not key.isascii() or not key.isprintable():
        raise Problem(
            422,
            "a key has 1 to 128 visible ASCII characters",
            where="Idempotency-Key",
            todo="make a new random one for every change, and keep it for its repetitions",
        )
    return key


def request_digest(*parts: Any) -> str:
    """Return 16 hex digits that tell one request's meaning from another's."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Keys:
    """The changes that were made with a key; used by the one writer.

    Args:
        place: The gallery.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._made: dict[str, tuple[str, Entry]] | None = None

    def find(self, key: str, digest: str) -> Entry | None:
        """Return the change that was made with a key.

        Raises:
            Problem: It was another request's.
        """
        if not key:
            return None
        found = self._known().get(key)
        if found is None:
            return None
        if found[0] != digest:
            raise Problem(
                422,
                "this key was used for another request",
                where="Idempotency-Key",
                todo="make a new key for every change",
            )
        return found[1]

    def note(self, key: str, digest: str, by: str) -> Mapping[str, str]:
        """Return what the log's line of a change is to say beside the change."""
        noted = {"by": by, "key": key, "request": digest if key else ""}
        return {name: value for name, value in noted.items() if value}

    def made(self, key: str, digest: str, entry: Entry) -> None:
        """Remember a change."""
        if key:
            self._known()[key] = (digest, entry)

    def _known(self) -> dict[str, tuple[str, Entry]]:
        if self._made is None:
            self._made = {}
            dataset = Version.open(self._place).dataset
            for one in dataset.versions()[-KEPT:]:
                entry = read_entry(dataset, one["version"])
                key, digest = (entry.arguments.get(name) for name in NOTE_KEYS)
                if isinstance(key, str) and isinstance(digest, str):
                    self._made[key] = (digest, entry)
        return self._made
