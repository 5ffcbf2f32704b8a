"""Compiled loops over hashes and sketches: which of a million pictures are the same one.

Two hashes of 128 bits that differ in at most 15 of them differ in at most one bit of some 16-bit
band, of which there are eight (multi-index hashing: Norouzi, Punjani and Fleet, CVPR 2012). So a
hash is compared with those that have its band or one of the 16 neighbours of it, in each band, and
none that is near is missed. All loops let go of the interpreter's lock.

Legend of shapes: N photographs, U hashes that are compared, E pairs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cairn.compiled import compiled

Rows = NDArray[np.int64]
Words = NDArray[np.uint64]

NUM_BANDS = 8
NUM_BUCKETS = 1 << 16
_FLAT_VARIANCE = 9.0
_MAX_TONE = 4.0


@compiled
def find_root(parents: Rows, row: int) -> int:
    """Return the row that ``row`` hangs together with in the end, and shorten the way to it."""
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


@compiled
def join(parents: Rows, pairs_E2: Rows) -> NDArray[np.bool_]:
    """Let the higher root of each pair hang on the lower one; return which pairs did so."""
    needed = np.zeros(len(pairs_E2), np.bool_)
    for pair in range(len(pairs_E2)):
        a, b = find_root(parents, pairs_E2[pair, 0]), find_root(parents, pairs_E2[pair, 1])
        parents[max(a, b)] = min(a, b)
        needed[pair] = a != b
    return needed


@compiled
def settle(parents: Rows) -> None:
    """Write every row's root in its place."""
    for row in range(len(parents)):
        parents[row] = parents[parents[row]]  # roots are lower, and settled


@compiled
def is_same(sketches: NDArray[np.uint8], first: int, second: int, min_correlation: float) -> bool:
    """Return whether two rows of (N, 256) sketches agree: by tone where one is flat."""
    x, y = sketches[first], sketches[second]
    sum_x = sum_y = sum_xx = sum_yy = sum_xy = apart = np.int32(0)
    for pixel in range(256):
        a, b = np.int32(x[pixel]), np.int32(y[pixel])
        sum_x += a
        sum_y += b
        sum_xx += a * a
        sum_yy += b * b
        sum_xy += a * b
        apart += abs(a - b)
    n = 256.0
    variance_x = sum_xx / n - (sum_x / n) ** 2
    variance_y = sum_yy / n - (sum_y / n) ** 2
    if min(variance_x, variance_y) < _FLAT_VARIANCE:
        return bool(apart / n <= _MAX_TONE)
    covariance = sum_xy / n - (sum_x / n) * (sum_y / n)
    return bool(covariance >= min_correlation * np.sqrt(variance_x * variance_y))


@compiled
def _ones(word: np.uint64) -> np.uint64:
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + (
        (word >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@compiled
def match_equal(
    high: Words,
    low: Words,
    rows: Rows,
    sketches: NDArray[np.uint8],
    parents: Rows,
    max_leaders: int,
    min_correlation: float,
    pairs_E2: Rows,
    stand_ins: NDArray[np.bool_],
) -> int:
    """Join rows of equal hashes whose sketches agree; return how many pairs were written.

    A run of equal hashes has its leaders: each row is compared with the latest ``max_leaders`` of
    them and joins the first that agrees, or becomes one. That is linear in empty skies and in
    placeholders, and the same as comparing all with all wherever agreeing is transitive.

    Args:
        high: (U,) upper halves of the hashes, sorted.
        low: (U,) lower halves, sorted within equal upper ones.
        rows: (U,) whose hashes they are, ascending where hashes are equal.
        sketches: (N, 256).
        parents: (N,) roots so far; changed.
        max_leaders: Leaders that a row is compared with.
        min_correlation: As of `is_same`.
        pairs_E2: (U, 2) written: which rows were found equal.
        stand_ins: (U,) written: whether a row became a leader.
    """
    count = 0
    leaders = np.empty(max_leaders, np.int64)
    num_leaders = 0
    for at in range(len(rows)):
        if at == 0 or high[at] != high[at - 1] or low[at] != low[at - 1]:
            num_leaders = 0
        row, joined = rows[at], False
        for back in range(min(num_leaders, max_leaders)):
            leader = leaders[(num_leaders - 1 - back) % max_leaders]
            if is_same(sketches, leader, row, min_correlation):
                a, b = find_root(parents, leader), find_root(parents, row)
                parents[max(a, b)] = min(a, b)
                pairs_E2[count, 0], pairs_E2[count, 1] = leader, row
                count += 1
                joined = True
                break
        stand_ins[at] = not joined
        if not joined:
            leaders[num_leaders % max_leaders] = row
            num_leaders += 1
    return count


@compiled
def match_band(
    high: Words,
    low: Words,
    rows: Rows,
    starts: Rows,
    sketches: NDArray[np.uint8],
    parents: Rows,
    window: int,
    max_misses: int,
    max_bits: int,
    min_correlation: float,
    pairs_E2: Rows,
) -> tuple[int, int]:
    """Join rows whose hashes are near and have nearly one band.

    Returns how many pairs were written, and how many rows were given up for ``max_misses``.

    Args:
        high: (U,) upper halves of the hashes, turned so that the band comes first, sorted.
        low: (U,) lower halves, turned with them.
        rows: (U,) whose hashes they are.
        starts: (NUM_BUCKETS + 1,) where the hashes of each value of the band begin.
        sketches: (N, 256).
        parents: (N,) roots so far; changed.
        window: Of a longer bucket, the hashes next in order that one is compared with.
        max_misses: Sketches that may prove different from that of one row in one bucket, until
            the rest of the bucket is passed over.
        max_bits: Bits that may differ.
        min_correlation: As of `is_same`.
        pairs_E2: (U, 2) written: the pairs that joined what was not together before.
    """
    count, given_up, limit = 0, 0, np.uint64(max_bits)
    for bucket in range(NUM_BUCKETS):
        start, end = starts[bucket], starts[bucket + 1]
        for probe in range(17):
            other = bucket if probe == 16 else bucket ^ (1 << probe)
            first, last = starts[other], starts[other + 1]
            if other < bucket or first == last:
                continue
            for at in range(start, end):
                if other == bucket:
                    low_at, high_at = at + 1, min(last, at + 1 + window)
                elif last - first <= window:
                    low_at, high_at = first, last
                else:  # both are in order: the middle of the window is as far along
                    middle = first + (at - start) * (last - first) // (end - start)
                    low_at = min(max(middle - window // 2, first), last - window)
                    high_at = low_at + window
                misses = 0
                begin = low_at
                while begin < high_at and misses < max_misses:
                    stop = min(begin + 64, high_at)
                    nearest = np.uint64(128)
                    for to in range(begin, stop):  # a loop that the compiler makes vectors of
                        bits = _ones(high[at] ^ high[to]) + _ones(low[at] ^ low[to])
                        nearest = min(nearest, bits)
                    if nearest > limit:
                        begin = stop
                        continue
                    for to in range(begin, stop):
                        if _ones(high[at] ^ high[to]) + _ones(low[at] ^ low[to]) > limit:
                            continue
                        a, b = find_root(parents, rows[at]), find_root(parents, rows[to])
                        if a == b:
                            continue
                        if not is_same(sketches, rows[at], rows[to], min_correlation):
                            misses += 1
                            continue
                        parents[max(a, b)] = min(a, b)
                        pairs_E2[count, 0] = min(rows[at], rows[to])
                        pairs_E2[count, 1] = max(rows[at], rows[to])
                        count += 1
                    begin = stop
                given_up += misses >= max_misses
    return count, given_up


@compiled
def count_comparisons(starts: Rows, window: int) -> float:
    """Return how many pairs of hashes `match_band` compares with these buckets and this window."""
    total = 0.0
    for bucket in range(NUM_BUCKETS):
        length = starts[bucket + 1] - starts[bucket]
        if length == 0:
            continue
        total += length * min((length - 1) / 2.0, float(window))
        for probe in range(16):
            other = bucket ^ (1 << probe)
            if other > bucket:
                total += length * min(float(starts[other + 1] - starts[other]), float(window))
    return total


@compiled
def toward(groups: Rows, links_E2: Rows, starts: Rows, order: Rows) -> Rows:
    """Return for each row the one that it was found equal to on the way to its group's first.

    Args:
        groups: (N,) the first row of each one's group; it is its own answer.
        links_E2: (E, 2) pairs that hold the groups together, without circles.
        starts: (N + 1,) where the ends of each row's pairs begin in ``order``.
        order: (2 E,) ends of pairs by row: pair number p stands for its first end, E + p for its
            second.
    """
    found = np.full(len(groups), -1, np.int64)
    waiting = np.empty(len(groups), np.int64)
    for first in range(len(groups)):
        if groups[first] != first:
            continue
        found[first] = first
        waiting[0] = first
        num_waiting = 1
        while num_waiting > 0:
            num_waiting -= 1
            row = waiting[num_waiting]
            for at in range(starts[row], starts[row + 1]):
                end = order[at]
                pair = end % len(links_E2)
                other = links_E2[pair, 1] if end < len(links_E2) else links_E2[pair, 0]
                if found[other] < 0:
                    found[other] = row
                    waiting[num_waiting] = other
                    num_waiting += 1
    return found
