"""Photographs as small JPEGs inside the page; one that cannot be read becomes a box saying why."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from cairn.images import UnreadableImage, decode

HEIGHT_PX = 220
"""Height of an embedded thumbnail: shown at about half of it, sharp on dense screens."""

MIN_ASPECT, MAX_ASPECT = 0.6, 1.8
"""Width over height beyond which only the middle of a photograph is shown."""

_QUALITY = 78


@dataclass
class Thumbnails:
    """Makes ``img`` elements, each file decoded once.

    Args:
        root: What relative paths are relative to.
        height_px: Height of the embedded pictures.
    """

    root: Path | None = None
    height_px: int = HEIGHT_PX
    unreadable: dict[str, str] = field(default_factory=dict)
    _made: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def element(self, path: str | Path | None, *, alt: str) -> tuple[str, float]:
        """Return the ``img`` of a file and its width over height.

        A photograph that cannot be shown gives a placeholder with the reason.

        Args:
            path: The photograph; None where it is not known.
            alt: What a reader who cannot see it is told.
        """
        if path is None:
            return _placeholder("no path recorded", alt)
        key = str(path)
        if key not in self._made and key not in self.unreadable:
            try:
                self._made[key] = self._encode(Path(path))
            except UnreadableImage as error:
                self.unreadable[key] = error.reason
        if key in self.unreadable:
            return _placeholder(self.unreadable[key], alt)
        data, width, height = self._made[key]
        return (
            f'<img class="photo" src="data:image/jpeg;base64,{data}" width="{width}" '
            f'height="{height}" alt="{escape(alt)}">',
            width / height,
        )

    def figure(self, path: str | Path | None, *, alt: str, caption: str, kind: str = "one") -> str:
        """Return the photograph as a ``figure``.

        Args:
            path: The photograph; None where it is not known.
            alt: What a reader who cannot see it is told.
            caption: HTML below it.
            kind: The element's class; ``query`` is framed.
        """
        image, ratio = self.element(path, alt=alt)
        return (
            f'<figure class="{kind}" style="--ratio:{ratio:.3f}">{image}'
            f'<figcaption class="sum">{caption}</figcaption></figure>'
        )

    def _encode(self, path: Path) -> tuple[str, int, int]:
        if self.root is not None:
            path = self.root / path
        image = decode(path, min_side=self.height_px)
        width, height = image.size
        wide, high = min(width, MAX_ASPECT * height), min(height, width / MIN_ASPECT)
        if wide < width or high < height:
            left, top = (width - wide) / 2, (height - high) / 2
            image = image.crop((round(left), round(top), round(left + wide), round(top + high)))
        # A thumbnail is never larger than its photograph, only the page's box is.
        scale = min(1.0, self.height_px / image.height)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        buffer = io.BytesIO()
        image.resize(size).save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
        return base64.b64encode(buffer.getvalue()).decode("ascii"), *size


def _placeholder(reason: str, alt: str) -> tuple[str, float]:
    return (
        f'<span class="photo absent" role="img" aria-label="{escape(alt)}: {escape(reason)}">'
        f"<span>{escape(reason)}</span></span>",
        1.0,
    )
