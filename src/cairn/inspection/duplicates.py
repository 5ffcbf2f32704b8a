"""Groups of photographs that are the same picture, found without comparing all with all.

The same file twice is found by its sum. The same picture in two files (resized, recompressed,
toned, trimmed by a few per cent) is found by its 128-bit hash and confirmed by its 16 x 16 sketch.
Groups are closed: where one picture is like a second and that like a third, all three are together,
as is every frame of a slow film. Mirrored, turned and strongly cropped copies are not looked for.

Legend of shapes: N photographs, E pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cairn.ahead import num_processors, threaded_map
from cairn.inspection.look import SKETCH_SIDE, Looks
from cairn.inspection.matching import (
    NUM_BANDS,
    NUM_BUCKETS,
    count_comparisons,
    join,
    match_band,
    match_equal,
    settle,
)

MAX_BITS = 14
"""Hash bits in which two files of one picture may differ, of 128."""

MIN_CORRELATION = 0.95
"""What the sketches of two files of one picture correlate at, at least."""

MAX_COMPARISONS = 1e10
"""Pairs of hashes compared in a band; where there would be more, each with the next in order."""

_MAX_LEADERS, _MAX_MISSES = 64, 256
_BITS = np.arange(128)
_SPREAD = np.argsort((_BITS % 8 + 3 * (_BITS // 8)) % NUM_BANDS, kind="stable")
"""Bits in the order in which bands take them: along knight's moves over the picture, because
neighbouring bits tend to be equal. Bands of whole rows of real photographs would put a tenth of
them into one bucket."""


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Which photographs are the same picture.

    Args:
        groups: (N,) the lowest row that a photograph is in a group with: its own row for one that
            stands alone, and for every one that cannot be read unless the same bytes come again.
        is_copy: (N,) whether an earlier row has the same bytes.
        links: (E, 2) pairs of rows found to be the same picture, the lower row first: just enough
            to hold the groups together, so one less than images in each.
        num_bits: (E,) hash bits in which they differ, of 128.
        is_complete: Whether every pair within `MAX_BITS` was compared. Else there are so many
            pictures of nearly one hash, such as empty skies, that only a part of them was.
    """

    groups: NDArray[np.int64]
    is_copy: NDArray[np.bool_]
    links: NDArray[np.int64]
    num_bits: NDArray[np.int64]
    is_complete: bool = True


def near_duplicate_groups(looks: Looks) -> NDArray[np.int64]:
    """Return for each photograph the lowest row that shows the same picture, as (N,) int64.

    Rows with equal numbers belong together: the same bytes, or the same picture in other bytes,
    directly or through others of the group. A photograph that stands alone, or that cannot be read,
    has its own row number. A split of the data that keeps each group on one side does not leak.
    """
    return find_duplicates(looks).groups


def find_duplicates(looks: Looks, *, workers: int | None = None) -> Duplicates:
    """Return the groups of photographs with the same picture, and the pairs that tie them.

    Of files with the same bytes the first stands for all. No pair of hashes within `MAX_BITS` is
    missed, unless so many are near that the work would grow with their square: where more than
    `MAX_COMPARISONS` would have to be compared, or where a picture proves different from 256
    others of a bucket (see `Duplicates.is_complete`). Pictures of equal hashes are compared with
    up to 64 of them that differ.

    Args:
        looks: What was seen of the photographs.
        workers: Threads; one per processor unless given.
    """
    count = len(looks)
    sketches = looks.sketches.reshape(count, SKETCH_SIDE * SKETCH_SIDE)
    parents = np.arange(count, dtype=np.int64)
    seen = looks.stamps[:, 0] >= 0
    copies = _same_bytes(looks.sha256, np.flatnonzero(seen))
    is_copy = np.zeros(count, bool)
    is_copy[copies[:, 1]] = True
    rows = np.flatnonzero((looks.sizes[:, 0] > 0) & ~is_copy)
    spread = _spread(looks.hashes)
    equal, rows = _match_equal(spread, rows, sketches, parents)
    links = [copies, equal]
    is_complete = True
    bands = ((band, rows, spread, sketches, parents) for band in range(NUM_BANDS))
    threads = min(workers or num_processors(), NUM_BANDS)
    for pairs, whole in threaded_map(_match_band, bands, ahead=1, workers=threads):
        links.append(pairs)
        is_complete &= whole
    return _together(count, np.concatenate(links), looks.hashes, is_copy, is_complete=is_complete)


def _same_bytes(sha256: NDArray[np.uint8], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (E, 2) pairs of the same bytes: the earliest row that has them, a later one."""
    words = np.ascontiguousarray(sha256[rows]).view(">u8")
    order = np.lexsort(words.T)  # stable: rows ascend where sums are equal
    words = words[order]
    is_new = np.ones(len(rows), bool)
    is_new[1:] = (words[1:] != words[:-1]).any(axis=1)
    firsts = rows[order][np.maximum.accumulate(np.where(is_new, np.arange(len(rows)), 0))]
    return np.stack([firsts[~is_new], rows[order][~is_new]], axis=1)


def _spread(hashes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the hashes with their bits in the order of the bands."""
    spread = np.empty_like(hashes)
    for start in range(0, len(hashes), 1 << 16):
        part = slice(start, start + (1 << 16))
        spread[part] = np.packbits(np.unpackbits(hashes[part], axis=1)[:, _SPREAD], axis=1)
    return spread


def _turned(
    hashes: NDArray[np.uint8], rows: NDArray[np.int64], band: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]:
    """Return the halves of the hashes with a band in front, and their rows, sorted by them."""
    turned = np.ascontiguousarray(np.roll(hashes[rows], -2 * band, axis=1)).view(">u8")
    high, low = turned.astype(np.uint64).T
    order = np.lexsort((low, high))
    return high[order], low[order], rows[order]


def _match_equal(
    hashes: NDArray[np.uint8],
    rows: NDArray[np.int64],
    sketches: NDArray[np.uint8],
    parents: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return pairs of equal hashes that are one picture, and the rows that stand for all."""
    high, low, ordered = _turned(hashes, rows, 0)
    pairs = np.empty((len(rows), 2), np.int64)
    stand_ins = np.zeros(len(rows), bool)
    found = match_equal(
        high, low, ordered, sketches, parents, _MAX_LEADERS, MIN_CORRELATION, pairs, stand_ins
    )
    return pairs[:found], np.sort(ordered[stand_ins])


def _match_band(
    job: tuple[int, NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]],
) -> tuple[NDArray[np.int64], bool]:
    band, rows, hashes, sketches, parents = job
    high, low, ordered = _turned(hashes, rows, band)
    edges = np.arange(NUM_BUCKETS, dtype=np.uint64) << np.uint64(48)
    starts = np.append(np.searchsorted(high, edges), len(high)).astype(np.int64)
    window, whole = len(rows), True
    while count_comparisons(starts, window) > MAX_COMPARISONS and window > 1:
        window, whole = window // 2, False
    pairs = np.empty((len(rows), 2), np.int64)
    found, given_up = match_band(
        high, low, ordered, starts, sketches, parents.copy(), window, _MAX_MISSES, MAX_BITS,
        MIN_CORRELATION, pairs,
    )  # fmt: skip
    return pairs[:found].copy(), whole and given_up == 0


def _together(
    count: int,
    pairs: NDArray[np.int64],
    hashes: NDArray[np.uint8],
    is_copy: NDArray[np.bool_],
    *,
    is_complete: bool,
) -> Duplicates:
    """Return the groups that the pairs make, with the pairs that are needed to make them."""
    parents = np.arange(count, dtype=np.int64)
    links = pairs[join(parents, pairs)]
    settle(parents)
    num_bits = np.bitwise_count(hashes[links[:, 0]] ^ hashes[links[:, 1]]).sum(axis=1, dtype=int)
    return Duplicates(parents, is_copy, links, num_bits, is_complete)
