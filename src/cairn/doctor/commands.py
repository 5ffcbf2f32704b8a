"""Findings as command lines to copy; the doctor itself changes nothing.

Ids and places are quoted for a POSIX shell, and written so that none is read as an option.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

MAX_IMAGES = 20
"""Images that one command names; longer lists are in the tables."""


def remove_command(gallery: str, image_ids: Sequence[str]) -> str:
    """Return the command that takes images, the first `MAX_IMAGES`, out of a gallery."""
    return _command("remove", gallery, *_positional(image_ids[:MAX_IMAGES]))


def remove_listed_command(gallery: str, ids: Path) -> str:
    """Return the command that takes the images out whose ids are in a file, one a line."""
    return _command("remove", gallery, "--ids", str(ids))


def merge_command(gallery: str, source: str, target: str) -> str:
    """Return the command that gives the images of landmark ``source`` to ``target``."""
    into = [f"--into={target}"] if target.startswith("-") else ["--into", target]
    return _command("merge", gallery, *into, *_positional([source]))


def _positional(words: Sequence[str]) -> tuple[str, ...]:
    return ("--", *words) if any(word.startswith("-") for word in words) else tuple(words)


def _command(verb: str, gallery: str, *words: str) -> str:
    place = f"./{gallery}" if gallery.startswith("-") else gallery
    return shlex.join(("cairn", "gallery", verb, place, *words))
