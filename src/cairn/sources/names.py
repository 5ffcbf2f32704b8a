"""Names people give to landmarks, made into ids.

An id holds no white space, since submission files separate a landmark from its score by a space;
and it is NFC-normalised, since one file system writes é as one character and another as two.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from cairn.errors import CairnError


def landmark_ids(names: Iterable[str]) -> dict[str, str]:
    """Return the id of each name: Unicode NFC, runs of white space replaced by an underscore.

    Raises:
        CairnError: Two names that a reader would tell apart get one id.
    """
    found: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in names:
        if name in found:
            continue
        normal = unicodedata.normalize("NFC", name).strip()
        identity = re.sub(r"\s+", "_", normal)
        if taken.setdefault(identity, normal) != normal:
            raise CairnError(
                "two landmarks would get the same id",
                where=f"{taken[identity]!r} and {normal!r} both give {identity!r}",
                todo="rename one of them",
            )
        found[name] = identity
    return found
