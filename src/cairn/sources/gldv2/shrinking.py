"""Photographs made smaller while they are unpacked."""

from __future__ import annotations

import io

from PIL import Image

from cairn.errors import CairnError
from cairn.images import decode_sized

QUALITY = 90
"""Of the JPEG files that are written anew; colours at half resolution (4:2:0), as usual."""

MIN_SIZE = 32

_JPEG = b"\xff\xd8"
_BYTES_PER_PIXEL = 0.3
_ASPECT = 4 / 3


def require_size(size: int | None) -> None:
    """Refuse a size that gives no usable photographs.

    Raises:
        CairnError: It is given, and less than `MIN_SIZE`.
    """
    if size is not None and size < MIN_SIZE:
        raise CairnError(
            f"photographs of {size} pixels show nothing",
            where="--size",
            todo=f"the shorter side has at least {MIN_SIZE} pixels; 512 suits the recipes",
        )


def shrink(data: bytes, size: int) -> bytes:
    """Return a photograph as a JPEG whose shorter side has at most ``size`` pixels.

    The shorter side, so that a square of ``size`` can be cut or squashed from it without being
    enlarged. A smaller photograph is returned as it is, once it has been decoded.

    Raises:
        UnreadableImage: It gives no picture.
    """
    image, own = decode_sized(data, min_side=size)
    if min(own) <= size and data.startswith(_JPEG):
        return data
    width, height = image.size
    shorter = min(width, height)
    if shorter > size:
        to = (max(round(width * size / shorter), 1), max(round(height * size / shorter), 1))
        image = image.resize(to, Image.Resampling.LANCZOS, reducing_gap=2.0)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def about_bytes(size: int) -> float:
    """Return about how many bytes a photograph of this size has, rather too many than too few."""
    return _BYTES_PER_PIXEL * _ASPECT * size * size
