"""One look at every photograph: can it be read, how large is it, and what does it look like.

Legend of shapes: N photographs of the manifest, in its order.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cairn.ahead import threaded_map
from cairn.images import UnreadableImage, decode_sized
from cairn.progress import track

SKETCH_SIDE = 16
_HASH_SIDE = 8
_DECODE_SIDE = 64
_AHEAD = 64  # photographs looked at before they are asked for


@dataclass(frozen=True)
class Looks:
    """What was seen, one entry per photograph.

    Args:
        sizes: (N, 2) int64 upright width and height in pixels; 0 where unreadable.
        sha256: N hexadecimal sums of the files; "" where a file could not be read at all.
        hashes: (N, 16) uint8, the 128 bits of `difference_hash`.
        sketches: (N, 16, 16) uint8, the photograph in grey, squashed to a square.
        reasons: Row number to why the photograph gives no picture.
    """

    sizes: NDArray[np.int64]
    sha256: list[str]
    hashes: NDArray[np.uint8]
    sketches: NDArray[np.uint8]
    reasons: dict[int, UnreadableImage]

    @property
    def readable(self) -> NDArray[np.int64]:
        """The rows that give a picture, ascending."""
        return np.flatnonzero(self.sizes[:, 0] > 0)

    def take(self, rows: NDArray[np.int64]) -> Looks:
        """Return what was seen in these rows, in the order given."""
        chosen = rows.tolist()
        return Looks(
            sizes=self.sizes[rows],
            sha256=[self.sha256[row] for row in chosen],
            hashes=self.hashes[rows],
            sketches=self.sketches[rows],
            reasons={
                place: self.reasons[row] for place, row in enumerate(chosen) if row in self.reasons
            },
        )


def look_at(paths: Sequence[Path], *, workers: int | None = None) -> Looks:
    """Return what is seen in each file; every one is read and decoded to the end.

    Args:
        paths: The photographs.
        workers: Threads; one per processor, at most 8, unless given.
    """
    count = len(paths)
    looks = Looks(
        sizes=np.zeros((count, 2), np.int64),
        sha256=[""] * count,
        hashes=np.zeros((count, 16), np.uint8),
        sketches=np.zeros((count, SKETCH_SIDE, SKETCH_SIDE), np.uint8),
        reasons={},
    )
    threads = workers or min(8, os.cpu_count() or 1)
    seen = threaded_map(_look, paths, ahead=_AHEAD, workers=threads)
    for row, (sha256, found) in enumerate(track(seen, "looking at photographs", total=count)):
        looks.sha256[row] = sha256
        if isinstance(found, UnreadableImage):
            looks.reasons[row] = found
            continue
        image, size = found
        looks.sizes[row] = size
        looks.hashes[row] = difference_hash(image)
        looks.sketches[row] = np.asarray(image.resize((SKETCH_SIDE, SKETCH_SIDE), _BOX))
    return looks


def difference_hash(image: Image.Image) -> NDArray[np.uint8]:
    """Return 128 bits that survive resizing and recompression, as (16,) uint8.

    The picture is squashed to 9 x 8 and to 8 x 9 grey pixels; a bit says whether a pixel is darker
    than its right (then its lower) neighbour: dHash, in both directions (N. Krawetz, "Kind of like
    that", 2013).
    """
    grey = image.convert("L")
    across = np.asarray(grey.resize((_HASH_SIDE + 1, _HASH_SIDE), _BOX))
    down = np.asarray(grey.resize((_HASH_SIDE, _HASH_SIDE + 1), _BOX))
    bits = np.stack([across[:, :-1] < across[:, 1:], down[:-1] < down[1:]])
    return np.packbits(bits)


_BOX = Image.Resampling.BOX
_Look = tuple[str, UnreadableImage | tuple[Image.Image, tuple[int, int]]]


def _look(path: Path) -> _Look:
    try:
        data: Any = path.read_bytes()
    except OSError:
        data = None
    sha256 = hashlib.sha256(data).hexdigest() if data is not None else ""
    try:
        image, size = decode_sized(path if data is None else data, min_side=_DECODE_SIDE)
    except UnreadableImage as error:
        return sha256, error
    return sha256, (image.convert("L").resize((_DECODE_SIDE, _DECODE_SIDE), _BOX), size)
