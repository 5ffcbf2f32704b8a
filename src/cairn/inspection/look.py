"""One look at every photograph: can it be read, how large is it, and what does it look like.

Legend of shapes: N photographs of the manifest, in its order.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cairn.ahead import num_processors, threaded_map
from cairn.images import UnreadableImage, decode_sized
from cairn.inspection.kept import Keeper, recall
from cairn.progress import say, track

SKETCH_SIDE = 16
_HASH_SIDE = 8
_DECODE_SIDE = 64
_AT_ONCE = 16  # photographs a thread looks at between two words with the others


@dataclass(frozen=True, eq=False)
class Looks:
    """What was seen, one entry per photograph.

    Args:
        sizes: (N, 2) int32 upright width and height in pixels; 0 where unreadable.
        sha256: (N, 32) uint8 sums of the files; zeros where a file could not be read at all.
        hashes: (N, 16) uint8, the 128 bits of `difference_hash`.
        sketches: (N, 16, 16) uint8, the photograph in grey, squashed to a square.
        stamps: (N, 2) int64 bytes of the file and its time of change in nanoseconds; -1 where it
            could not be read at all.
        reasons: Row number to why the photograph gives no picture.
        num_recalled: How many were looked at by an earlier call.
    """

    sizes: NDArray[np.int32]
    sha256: NDArray[np.uint8]
    hashes: NDArray[np.uint8]
    sketches: NDArray[np.uint8]
    stamps: NDArray[np.int64]
    reasons: dict[int, UnreadableImage] = field(default_factory=dict)
    num_recalled: int = 0

    @classmethod
    def blank(cls, count: int) -> Looks:
        """Return room for ``count`` photographs of which nothing was seen yet."""
        return cls(
            sizes=np.zeros((count, 2), np.int32),
            sha256=np.zeros((count, 32), np.uint8),
            hashes=np.zeros((count, 16), np.uint8),
            sketches=np.zeros((count, SKETCH_SIDE, SKETCH_SIDE), np.uint8),
            stamps=np.full((count, 2), -1, np.int64),
        )

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def readable(self) -> NDArray[np.int64]:
        """The rows that give a picture, ascending."""
        return np.flatnonzero(self.sizes[:, 0] > 0)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Looks:
        """Return what was seen of these rows, in the order given."""
        chosen = np.asarray(rows, np.int64)
        reasons = {}
        if self.reasons:
            found = enumerate(chosen.tolist())
            reasons = {new: self.reasons[old] for new, old in found if old in self.reasons}
        return Looks(
            self.sizes[chosen],
            self.sha256[chosen],
            self.hashes[chosen],
            self.sketches[chosen],
            self.stamps[chosen],
            reasons,
        )


def look_at(
    paths: Sequence[Path | str],
    *,
    partial: Path | None = None,
    earlier: Path | None = None,
    workers: int | None = None,
) -> Looks:
    """Return what is seen in each file; every one is read and decoded to the end.

    Files that were looked at before, and whose size and time of change are still the same, are
    not opened again.

    Args:
        paths: The photographs.
        partial: A folder, made where missing, that what is seen is written to as it goes. Another
            call that names it goes on where a killed one stopped.
        earlier: What was seen before: an inspection's folder, its looks.parquet, or a partial
            folder. It is only read.
        workers: Threads; one per processor unless given.

    Raises:
        CairnError: ``earlier`` is not there, or it or ``partial`` holds something else than looks.
    """
    names = [os.fspath(path) for path in paths]
    looks = Looks.blank(len(names))
    is_known = np.zeros(len(names), bool)
    for place in (earlier, partial):  # what is in partial is newer
        if place is not None and (place is not partial or place.exists()):
            is_known |= recall(place, names, looks)
    threads = workers or num_processors()
    _forget_changed(names, looks, is_known, threads)
    todo = np.flatnonzero(~is_known)
    if is_known.any():
        say(f"{is_known.sum():,} of {len(names):,} photographs were looked at before")
    parts = (todo[start : start + _AT_ONCE] for start in range(0, len(todo), _AT_ONCE))
    jobs = ([(row, names[row]) for row in part.tolist()] for part in parts)
    seen = threaded_map(_look_at_some, jobs, ahead=2 * threads, workers=threads)
    with Keeper(partial, names, looks) as keeper:
        shown = track(seen, "looking at photographs", total=len(todo), size=len)
        for found in shown:
            for row, one in found:
                _fill(looks, row, one)
            keeper.add([row for row, _ in found])
    return replace(looks, num_recalled=int(is_known.sum()))


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


@dataclass(frozen=True, eq=False)
class _Look:
    """What was seen of one file; without a stamp it could not be read at all."""

    stamp: tuple[int, int] | None
    sha256: bytes
    found: UnreadableImage | tuple[tuple[int, int], NDArray[np.uint8], NDArray[np.uint8]]


def _look_at_some(jobs: Sequence[tuple[int, str]]) -> list[tuple[int, _Look]]:
    return [(row, _look(Path(name))) for row, name in jobs]


def _look(path: Path) -> _Look:
    try:
        with path.open("rb") as handle:
            stamp = _stamp(os.fstat(handle.fileno()))
            data: Any = handle.read()
    except (OSError, ValueError):
        stamp, data = None, None
    sha256 = hashlib.sha256(data).digest() if data is not None else b""
    try:
        image, size = decode_sized(path if data is None else data, min_side=_DECODE_SIDE)
    except UnreadableImage as error:
        return _Look(stamp, sha256, error)
    small = image.convert("L").resize((_DECODE_SIDE, _DECODE_SIDE), _BOX)
    sketch = np.asarray(small.resize((SKETCH_SIDE, SKETCH_SIDE), _BOX))
    return _Look(stamp, sha256, (size, difference_hash(small), sketch))


def _stamp(about: os.stat_result) -> tuple[int, int]:
    return about.st_size, about.st_mtime_ns


def _fill(looks: Looks, row: int, one: _Look) -> None:
    if one.stamp is not None:
        looks.stamps[row] = one.stamp
        looks.sha256[row] = np.frombuffer(one.sha256, np.uint8)
    if isinstance(one.found, UnreadableImage):
        looks.reasons[row] = one.found
    else:
        looks.sizes[row], looks.hashes[row], looks.sketches[row] = one.found


def _forget_changed(
    names: Sequence[str], looks: Looks, is_known: NDArray[np.bool_], threads: int
) -> None:
    """Take out of ``is_known`` the rows whose file is not the one that was looked at."""
    known = np.flatnonzero(is_known)
    parts = [known[start : start + 1024] for start in range(0, len(known), 1024)]

    def changed(part: NDArray[np.int64]) -> list[int]:
        return [row for row in part.tolist() if not _is_unchanged(names[row], looks.stamps[row])]

    for rows in threaded_map(changed, parts, ahead=threads, workers=threads):
        for row in rows:
            is_known[row] = False
            looks.sizes[row] = looks.sha256[row] = looks.hashes[row] = looks.sketches[row] = 0
            looks.stamps[row] = -1
            looks.reasons.pop(row, None)


def _is_unchanged(name: str, stamp: NDArray[np.int64]) -> bool:
    try:
        return _stamp(Path(name).stat()) == tuple(stamp.tolist())
    except (OSError, ValueError):
        return False
