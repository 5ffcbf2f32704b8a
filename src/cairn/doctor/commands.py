"""Findings as command lines to copy; the doctor itself changes nothing.

Ids and folders are quoted for a POSIX shell, and stand behind an option or ``--`` where they could
be read as one.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

MAX_IMAGES = 20
"""Images that one command names; longer lists are in the tables."""


def remove_command(gallery: Path, image_ids: Sequence[str]) -> str:
    """Return the command that takes images, the first `MAX_IMAGES`, out of a gallery."""
    images = [f"--image={image_id}" for image_id in image_ids[:MAX_IMAGES]]
    return _command("remove", *images, "--", str(gallery))


def merge_command(gallery: Path, source: str, target: str) -> str:
    """Return the command that gives the images of landmark ``source`` to ``target``."""
    return _command("merge", "--", str(gallery), source, target)


def _command(*words: str) -> str:
    return shlex.join(("cairn", "gallery", *words))
