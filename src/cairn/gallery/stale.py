"""Telling, when a gallery has changed, that its index or its calibration no longer serves.

The checks that count are made when these are loaded (``indexes``, ``calibrations``); this one is
for the person who changes the gallery. It loads nothing heavy where there is neither.
"""

from __future__ import annotations

from pathlib import Path

from cairn.domain import Float32
from cairn.gallery.place import Place
from cairn.index_kinds import CARD_NAME
from cairn.progress import say


def tell_if_stale(
    location: Path | str, content_key: str, *, offsets: Float32 | None = None
) -> bool:
    """Say on stderr that a gallery has an index, or a calibration, but none for what it is now.

    Args:
        location: The gallery.
        content_key: Of what it holds now.
        offsets: (G,) minus its penalties, where these have changed.

    Returns:
        Whether the index is stale.
    """
    place, name = Place(location), f"indexes/{content_key}/{CARD_NAME}"
    if place.items("calibrations"):
        from cairn.gallery import calibrations
        from cairn.gallery.versions import Version

        calibrations.tell_if_stale(Version.open(place))
    if not place.items("indexes"):
        return False
    if place.has(name):
        if offsets is None:
            return False
        from cairn.index_folder import digest, read_card

        with place.local_file(name) as card:
            if read_card(card.parent)["offsets"] == digest(offsets):
                return False
    say(
        f"the approximate index of {location} is stale now, and will be refused; make it anew: "
        f"cairn gallery tune {location}"
    )
    return True
