"""Pairs of photographs that are the same picture, found without comparing all with all.

The same file twice is found by its sum. The same picture in two files (resized, recompressed,
toned, trimmed by a few per cent) is found by its 128-bit hash. Only photographs that agree in one
of eight 16-bit bands of it are compared: that misses no pair of at most 7 differing bits, and few
of at most `MAX_BITS`. A comparison of 16 x 16 sketches confirms them. Mirrored, turned and strongly
cropped copies are not looked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cairn.inspection.look import SKETCH_SIDE, Looks

MAX_BITS = 14
"""Hash bits in which two files of one picture may differ, of 128."""

MIN_CORRELATION = 0.95
"""What the sketches of two files of one picture correlate at, at least."""

_PIXELS = SKETCH_SIDE * SKETCH_SIDE
_FLAT = 3.0
_MAX_TONE = 4.0
_MAX_SHARED = 400


@dataclass(frozen=True)
class Duplicate:
    """Two rows with the same picture, the one that is no query first.

    Args:
        first: Row number.
        second: Row number.
        kind: ``exact`` (the same bytes) or ``near`` (the same picture in other bytes).
        num_bits: Hash bits that differ, of 128.
        leaks: One is a query and the other is not: the answer was seen before it was asked.
        labels_differ: They are said to show different landmarks, or only one is said to show any.
    """

    first: int
    second: int
    kind: str
    num_bits: int
    leaks: bool
    labels_differ: bool


def find_duplicates(
    looks: Looks, roles: Sequence[str], landmark_ids: Sequence[str]
) -> list[Duplicate]:
    """Return the pairs with the same picture: exact ones first, then near ones, in row order.

    Of files with the same bytes one stands for all: each other one is paired with it alone, and
    near duplicates are looked for among the stand-ins.
    """
    order = sorted(looks.readable.tolist(), key=lambda row: (roles[row] == "query", row))
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for row in order:
        groups[looks.sha256[row]].append(row)
    exact = [(rows[0], other) for rows in groups.values() for other in rows[1:]]
    stand_ins = np.array(sorted(rows[0] for rows in groups.values()), np.int64)
    near = [
        (first, second) if roles[first] != "query" else (second, first)
        for first, second in _near_pairs(looks, stand_ins)
    ]
    found = []
    for kind, pairs in (("exact", exact), ("near", near)):
        for first, second in sorted(pairs):
            leaks = (roles[first] == "query") != (roles[second] == "query")
            labels_differ = landmark_ids[first] != landmark_ids[second]
            bits = int(_num_bits(looks.hashes[[first]], looks.hashes[[second]])[0])
            found.append(Duplicate(first, second, kind, bits, leaks, labels_differ))
    return found


def _near_pairs(looks: Looks, rows: NDArray[np.int64]) -> list[tuple[int, int]]:
    found: set[tuple[int, int]] = set()
    for first, second in _candidates(looks.hashes[rows]):
        a, b = rows[first], rows[second]
        close = _num_bits(looks.hashes[a], looks.hashes[b]) <= MAX_BITS
        a, b = a[close], b[close]
        same = _same_picture(looks.sketches[a], looks.sketches[b])
        a, b = a[same], b[same]
        low, high = np.minimum(a, b), np.maximum(a, b)
        found.update(zip(low.tolist(), high.tolist(), strict=True))
    return sorted(found)


def _candidates(hashes: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield index pairs (first, second) of hashes that agree in a 16-bit band.

    Where more than `_MAX_SHARED` hashes agree, as empty skies do, each is compared with that many
    of those that follow it when sorted by the whole hash, which keeps the work linear.
    """
    whole = np.ascontiguousarray(hashes).view(">u8")
    bands = np.ascontiguousarray(hashes).view(">u2")
    for band in bands.T:
        order = np.lexsort((whole[:, 1], whole[:, 0], band))
        edges = np.flatnonzero(np.diff(band[order])) + 1
        lengths = np.diff(np.concatenate([[0], edges, [len(order)]]))
        left_in_bucket = np.concatenate([np.arange(n - 1, -1, -1) for n in lengths] or [edges])
        for step in range(1, int(min(left_in_bucket.max(initial=0), _MAX_SHARED)) + 1):
            here = np.flatnonzero(left_in_bucket >= step)
            yield order[here], order[here + step]


def _num_bits(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
    counts: NDArray[np.int64] = np.bitwise_count(a ^ b).sum(axis=-1, dtype=np.int64)
    return counts


def _same_picture(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which (M, 16, 16) sketches agree: by correlation, or by tone where one is flat."""
    x = a.reshape(len(a), _PIXELS).astype(np.float64)
    y = b.reshape(len(b), _PIXELS).astype(np.float64)
    tones = np.abs(x - y).mean(axis=1)
    x -= x.mean(axis=1, keepdims=True)
    y -= y.mean(axis=1, keepdims=True)
    spread = np.minimum(x.std(axis=1), y.std(axis=1))
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    correlation = (x * y).sum(axis=1) / np.maximum(norms, 1e-12)
    same: NDArray[np.bool_] = np.where(
        spread < _FLAT, tones <= _MAX_TONE, correlation >= MIN_CORRELATION
    )
    return same
