"""Photographs to pixels: any file a person may hand over becomes an upright 8-bit RGB image.

What cannot be read is refused with a reason, for the caller to report and count. The module knows
nothing of landmarks, manifests or networks. Colour profiles are not applied; CMYK is converted by
Pillow's plain formula. Decoding is safe in threads.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import IFD

IMAGE_SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".webp",
        ".gif",
        ".bmp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".jp2",
        ".avif",
    ]
)
"""File name endings, in lower case, that are taken for photographs when a folder is searched."""

MAX_PIXELS = 178_956_970
"""Width times height beyond which a file is refused unread: the bound at which Pillow itself calls
a file a decompression bomb (half a gigabyte of RGB)."""

_FORMATS = ["JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF"]
_ORIENTATION_TAG = 0x0112
_FIRST_ON_ITS_SIDE = 5
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImage(Exception):  # noqa: N818 (a finding about a file, the field's word for it)
    """A file that gives no picture.

    Args:
        reason: Why, in a few words; what follows a colon is particular to the file.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    @property
    def kind(self) -> str:
        """The reason without what is particular to the file: what reports count by."""
        return self.reason.partition(":")[0]


def decode(source: Path | bytes, *, min_side: int | tuple[int, int] | None = None) -> Image.Image:
    """Return the picture as RGB, upright and 8 bits a channel.

    Grey, palette and CMYK files become RGB; 16-bit values are scaled to 8 bits; transparent pixels
    are laid on white; an animation or a many-page file gives its first frame. The camera's rotation
    (EXIF) is carried out, and the result holds no metadata that would rotate it again.

    Args:
        source: A file, or the bytes of one.
        min_side: Where given, a JPEG is decoded at the smallest of the scales 1/8, 1/4, 1/2 and 1
            whose shorter side is at least this many pixels, or whose upright (width, height) are at
            least these: much faster where the photograph is shrunk afterwards. Other formats ignore
            it. The caller still resizes.

    Raises:
        UnreadableImage: The file is missing, empty, truncated, no image, too large, or broken.
    """
    return decode_sized(source, min_side=min_side)[0]


def decode_sized(
    source: Path | bytes, *, min_side: int | tuple[int, int] | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """Return what `decode` returns, and the photograph's own upright (width, height) in pixels.

    Raises:
        UnreadableImage: As `decode`.
    """
    with _readable(source) as handle:
        return _decode(handle, min_side)


@dataclass(frozen=True)
class Header:
    """What a photograph's file says of it, its pixels left alone.

    Args:
        width: Of the upright photograph, in pixels.
        height: Likewise.
        exif: Values of EXIF's second part (the exposure's) by tag, such as the time it was taken.
        gps: Values of EXIF's part on the position by tag.
    """

    width: int
    height: int
    exif: Mapping[int, Any]
    gps: Mapping[int, Any]


def read_header(source: Path | bytes) -> Header:
    """Return what a photograph's file says of it, without decoding pixels.

    Broken metadata count as none: a photograph with them is still a photograph.

    Raises:
        UnreadableImage: The file is missing, empty, no image, or too large.
    """
    with _readable(source) as handle, Image.open(handle, formats=_formats()) as opened:
        width, height = opened.size
        if width * height > MAX_PIXELS:
            raise UnreadableImage(f"too large: {width} x {height} pixels, over {MAX_PIXELS}")
        if _orientation(opened) >= _FIRST_ON_ITS_SIDE:
            width, height = height, width
        try:
            exif = opened.getexif()
            details, gps = (dict(exif.get_ifd(part)) for part in (IFD.Exif, IFD.GPSInfo))
        except Exception:  # as hostile as any other bytes
            details, gps = {}, {}
        return Header(width, height, details, gps)


@contextmanager
def _readable(source: Path | bytes) -> Iterator[IO[bytes]]:
    """Open a file for Pillow; whatever goes wrong inside becomes a reason."""
    try:
        handle: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    except FileNotFoundError:
        raise UnreadableImage("missing file") from None
    except IsADirectoryError:
        raise UnreadableImage("a folder, not a file") from None
    except (OSError, ValueError) as error:
        raise UnreadableImage(f"cannot be opened: {error}") from None
    with handle, _quiet_pillow():
        try:
            if not handle.read(1):
                raise UnreadableImage("empty file")
            handle.seek(0)
            yield handle
        except UnreadableImage:
            raise
        except UnidentifiedImageError:
            raise UnreadableImage("not an image") from None
        except Image.DecompressionBombError:
            raise UnreadableImage(f"too large: more than {MAX_PIXELS} pixels") from None
        except Exception as error:  # decoders meet hostile bytes and raise nearly anything
            if "truncated" in str(error).lower() or isinstance(error, EOFError):
                raise UnreadableImage(f"truncated: {error}") from error
            raise UnreadableImage(f"broken: {type(error).__name__}: {error}") from error


def _decode(
    handle: IO[bytes], min_side: int | tuple[int, int] | None
) -> tuple[Image.Image, tuple[int, int]]:
    with Image.open(handle, formats=_formats()) as opened:
        size = width, height = opened.size
        if width * height > MAX_PIXELS:
            raise UnreadableImage(f"too large: {width} x {height} pixels, over {MAX_PIXELS}")
        drafted = None
        if min_side is not None:
            kept = min_side if isinstance(min_side, tuple) else (min_side, min_side)
            if kept[0] != kept[1] and _orientation(opened) >= _FIRST_ON_ITS_SIDE:
                kept = kept[1], kept[0]
            drafted = opened.draft(opened.mode, kept)
        opened.load()
        if drafted is None:
            size = opened.size  # a TIFF is turned upright while loading
        orientation = _orientation(opened)
        image = _to_rgb(opened)
    turn = _UPRIGHT.get(orientation)
    if turn is not None:
        image = image.transpose(turn)
        size = (size[1], size[0]) if orientation >= _FIRST_ON_ITS_SIDE else size
    image.info.clear()
    return image, size


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _to_8_bits(values_HW: NDArray[Any]) -> NDArray[np.uint8]:
    """Return grey values as uint8.

    The scale is 16 bits, or [0, 1] for fractions; values beyond it are scaled by their own range,
    since files of 32 bits do not say which they use.
    """
    fractional = values_HW.dtype.kind == "f"
    values = np.nan_to_num(values_HW.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    top = 1.0 if fractional and high <= 1.0 else 65_535.0
    if low < 0.0 or high > top:
        top = max(high - low, 1.0)
        values = values - low
    return np.rint(values * (255.0 / top)).astype(np.uint8)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # a photograph with broken metadata is still a photograph
        return 1


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats read, as far as this Pillow has them; never one that runs a program."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


_quiet_lock = threading.Lock()
_quiet_depth = 0
_quiet_filters: warnings.catch_warnings[None] | None = None


@contextmanager
def _quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings (large files, odd metadata, palettes) while any thread decodes.

    ``warnings.catch_warnings`` is global, so that threads leaving in another order than they came
    would leave the filter behind; the first one in sets it and the last one out takes it away.
    """
    global _quiet_depth, _quiet_filters
    with _quiet_lock:
        if _quiet_depth == 0:
            _quiet_filters = warnings.catch_warnings()
            _quiet_filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0 and _quiet_filters is not None:
                _quiet_filters.__exit__(None, None, None)
                _quiet_filters = None
