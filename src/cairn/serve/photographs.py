"""Photographs from strangers: refused by their header where they ask too much, then decoded.

What they are is looked up in the bytes, never in a name or a content type. Served pictures are
always decoded and written anew: no byte of an uploaded file goes out again.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cairn.augment import decode_side, eval_transform
from cairn.domain import Float32
from cairn.images import UnreadableImage, decode, read_header
from cairn.runtime import Runtime

_START_OF_SCAN = b"\xff\xda"
_JPEG = b"\xff\xd8\xff"
_QUALITY = 85
_MATCHED_SIDES = 4  # times what a matcher looks at, at most, lies in memory while it waits
_SUFFIXES = {
    _JPEG: ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"RIFF": ".webp",
}


def require_modest(content: bytes, *, max_pixels: int, max_scans: int) -> None:
    """Refuse a photograph that would cost too much to decode, by its header alone.

    Args:
        content: The bytes of the file.
        max_pixels: The most that width times height may be.
        max_scans: The most passes over the picture that a JPEG may ask for.

    Raises:
        UnreadableImage: It does, or is no photograph at all.
    """
    header = read_header(content)
    if header.width * header.height > max_pixels:
        raise UnreadableImage(
            f"too large: {header.width} x {header.height} pixels, over {max_pixels}"
        )
    # Within a scan a byte FF is followed by 00 or a restart marker, so this counts scans alone;
    # a thumbnail in the metadata may add its own.
    if content.startswith(_JPEG) and content.count(_START_OF_SCAN) > max_scans:
        raise UnreadableImage(f"too many scans: over {max_scans}")


def preparer(runtime: Runtime, *, max_pixels: int, max_scans: int) -> Callable[[bytes], Float32]:
    """Return what makes network input, ``runtime.input_shape``, of a file's bytes.

    It raises ``UnreadableImage`` where they are no photograph or ask too much.
    """
    transform = _transform_of(runtime)

    def prepare(content: bytes) -> Float32:
        require_modest(content, max_pixels=max_pixels, max_scans=max_scans)
        return transform(content)

    return prepare


def _transform_of(runtime: Runtime) -> Callable[[bytes], Float32]:
    if runtime.parts:
        each = [_transform_of(part) for part in runtime.parts]
        return lambda content: np.concatenate([make(content).reshape(-1) for make in each])
    transform, min_side = eval_transform(runtime.preprocess), decode_side(runtime.preprocess)
    return lambda content: transform(decode(content, min_side=min_side))


def pixels_to_match(content: bytes, side: int | None) -> NDArray[np.uint8]:
    """Return a photograph for a matcher of local features: (H, W, 3) RGB, as it sees files.

    Args:
        content: The bytes of the file.
        side: The longer side to which the matcher shrinks photographs; None where it does not.

    Raises:
        UnreadableImage: The file cannot be read.
    """
    image = decode(content, min_side=side)
    if side is not None and max(image.size) > _MATCHED_SIDES * side:  # many wait: memory
        image.thumbnail((_MATCHED_SIDES * side,) * 2)
    return np.asarray(image)


def digest_of(content: bytes) -> str:
    """Return the name of a photograph by its bytes: 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def suffix_of(content: bytes) -> str:
    """Return the ending of a file's name that suits its bytes."""
    return next((end for start, end in _SUFFIXES.items() if content.startswith(start)), ".img")


class Pictures:
    """JPEGs of files, no larger than asked for, the latest of them kept.

    Args:
        max_bytes: Of pictures that are kept.
    """

    def __init__(self, max_bytes: int = 64 << 20) -> None:
        self._max_bytes, self._num_bytes = max_bytes, 0
        self._kept: OrderedDict[tuple[str, int, int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def jpeg(self, path: Path, side: int, *, max_pixels: int) -> bytes:
        """Return a picture whose longer side is at most ``side`` pixels, without metadata.

        Raises:
            UnreadableImage: The file is missing, no photograph, or has too many pixels.
        """
        try:
            facts = path.stat()
        except (OSError, ValueError):
            raise UnreadableImage("missing file") from None
        key = (str(path), facts.st_mtime_ns, facts.st_size, side)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = _jpeg(path, side, max_pixels)
        with self._lock:
            if key not in self._kept and len(made) <= self._max_bytes:
                self._kept[key] = made
                self._num_bytes += len(made)
            while self._num_bytes > self._max_bytes:
                self._num_bytes -= len(self._kept.popitem(last=False)[1])
        return made


def _jpeg(path: Path, side: int, max_pixels: int) -> bytes:
    header = read_header(path)
    if header.width * header.height > max_pixels:
        raise UnreadableImage("too large")
    # The decoder keeps the shorter side; the longer one is what is asked for.
    share = min(header.width, header.height) / max(header.width, header.height)
    image = decode(path, min_side=max(1, round(side * share)))
    scale = min(1.0, side / max(image.size))
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()
