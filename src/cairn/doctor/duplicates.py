"""Images that are nearly the same picture: one of a landmark is enough, across two one is wrong.

Copies have equal vectors and are found whole, however many there are. Nearly the same are those
whose similarity reaches the rule's threshold, as far as the nearest images of each one tell: beyond
K such neighbours (`num_crowded` counts where that may be) pairs can be missed.

Legend of shapes: N images, K neighbours, D dimensions, E pairs, R redundant images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cairn.doctor.rule import CheckRule
from cairn.doctor.view import Bool, View
from cairn.domain import Float32, Int64
from cairn.groups import components, numbered, stand_ins

_ROWS_AT_ONCE = 1 << 14


@dataclass(frozen=True, eq=False)
class Redundant:
    """Images that another one of their landmark stands for, in groups: the most alike ones first.

    Each is paired with the one that stands for it, and no two of those are paired: taking all of
    them out leaves every picture there once.

    Args:
        rows: (R,) the images.
        keepers: (R,) the image that stands for each.
        similarities: (R,) of the two.
        is_copy: (R,) whether an earlier image of the landmark has an equal vector: the keeper, or
            one that the keeper stands for too.
        groups: (R,) number of the group, from 0: those with one keeper.
    """

    rows: Int64
    keepers: Int64
    similarities: Float32
    is_copy: Bool
    groups: Int64


@dataclass(frozen=True, eq=False)
class Contradictions:
    """Pairs of nearly the same picture under two landmarks, in groups: the most alike ones first.

    Copies within a landmark are named once.

    Args:
        first: (E,) an image.
        second: (E,) the other one, of another landmark.
        similarities: (E,) of the two.
        is_copy: (E,) whether their vectors are equal.
        groups: (E,) number of the group, from 0: pairs that hang together by common images.
        doubted: (E,) which image has fewer images of its landmark among its nearest: 0 the first,
            1 the second, -1 neither.
    """

    first: Int64
    second: Int64
    similarities: Float32
    is_copy: Bool
    groups: Int64
    doubted: Int64


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Nearly the same pictures, within and across landmarks.

    Args:
        redundant: Within one landmark.
        contradictions: Across two.
        num_crowded: Images all of whose nearest images are nearly the same: pairs of theirs may
            have been missed.
    """

    redundant: Redundant
    contradictions: Contradictions
    num_crowded: int


def find_duplicates(view: View, rule: CheckRule) -> Duplicates:
    """Return the images that are nearly the same picture."""
    twins = first_equal(view.gallery.table.vectors)
    # Copies within a landmark are one picture: the first of them speaks for all.
    keys = twins * len(view.landmark_ids) + view.codes
    _, where, inverse = np.unique(keys, return_index=True, return_inverse=True)
    stands = where[inverse]
    is_near = view.nearest.similarities >= rule.near
    rows, columns = np.nonzero(is_near)
    others = view.nearest.indices[rows, columns]
    apart = np.flatnonzero((stands == np.arange(len(view))) & (stands != twins))
    low, high, similarities = _pairs(
        np.concatenate([twins[apart], stands[rows]]),
        np.concatenate([apart, stands[others]]),
        np.concatenate([np.ones(len(apart), np.float32), view.nearest.similarities[is_near]]),
        len(view),
    )
    within = view.codes[low] == view.codes[high]
    across = Contradictions(
        *_grouped(view, twins, low[~within], high[~within], similarities[~within])
    )
    return Duplicates(
        _redundant(view, twins, stands, low[within], high[within]),
        across,
        int(is_near.all(axis=1).sum()) if view.nearest.k and view.nearest.k < len(view) - 1 else 0,
    )


def first_equal(vectors: Float32) -> Int64:
    """Return (N,) for each row the first row with an equal vector.

    Rows are told apart by a 64-bit sum of their bits under random odd factors, and compared where
    the sums agree.
    """
    num, dimension = vectors.shape
    factors = _odd_factors(dimension)
    sums = np.empty(num, np.uint64)
    for start in range(0, num, _ROWS_AT_ONCE):
        block = vectors[start : start + _ROWS_AT_ONCE] + np.float32(0)  # -0.0 becomes 0.0
        sums[start : start + _ROWS_AT_ONCE] = (block.view(np.uint32) * factors).sum(axis=1)
    _, where, inverse = np.unique(sums, return_index=True, return_inverse=True)
    first: Int64 = where[inverse]
    copies = np.flatnonzero(first != np.arange(num))
    for start in range(0, len(copies), _ROWS_AT_ONCE):
        rows = copies[start : start + _ROWS_AT_ONCE]
        unequal = rows[(vectors[rows] != vectors[first[rows]]).any(axis=1)]
        first[unequal] = unequal
    return first


def _odd_factors(num: int) -> NDArray[np.uint64]:
    return np.random.default_rng(0).integers(0, 2**63, num, np.uint64) * np.uint64(2) | np.uint64(1)


def _pairs(
    first: Int64, second: Int64, similarities: Float32, num: int
) -> tuple[Int64, Int64, Float32]:
    """Return each pair of different rows once, lower row first, with its highest similarity."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    keys = low * num + high
    order = np.lexsort((-similarities, keys))
    order = order[(low != high)[order]]
    once = np.ones(len(order), bool)
    once[1:] = keys[order[1:]] != keys[order[:-1]]
    order = order[once]
    return low[order], high[order], similarities[order]


def _redundant(view: View, twins: Int64, stands: Int64, low: Int64, high: Int64) -> Redundant:
    nodes, ends = np.unique(np.concatenate([low, high]), return_inverse=True)
    first, second = ends[: len(low)], ends[len(low) :]
    # Kept first: images that cost nothing, then those that stand for many; ties by chance, so that
    # a long chain of likenesses takes few passes.
    penalty = view.gallery.penalty
    cost = np.zeros(len(nodes), np.float32) if penalty is None else penalty.penalty[nodes]
    chance = np.random.default_rng(0).permutation(len(nodes))
    rank = np.empty(len(nodes), np.int64)
    rank[np.lexsort((chance, -np.bincount(ends, minlength=len(nodes)), cost))] = np.arange(
        len(nodes)
    )
    keepers = np.arange(len(view), dtype=np.int64)
    keepers[nodes] = nodes[stand_ins(rank, first, second)]
    keepers = keepers[stands]
    rows = np.flatnonzero(keepers != np.arange(len(view)))
    similarities = view.similarities(rows, keepers[rows])
    similarities[twins[rows] == twins[keepers[rows]]] = 1.0
    is_copy = stands[rows] != rows
    order = np.lexsort((rows, keepers[rows], -similarities, ~is_copy))
    groups = numbered(keepers[rows[order]])
    order = order[np.argsort(groups, kind="stable")]
    rows = rows[order]
    return Redundant(rows, keepers[rows], similarities[order], is_copy[order], np.sort(groups))


def _grouped(
    view: View, twins: Int64, low: Int64, high: Int64, similarities: Float32
) -> tuple[Int64, Int64, Float32, Bool, Int64, Int64]:
    """Return the pairs with copies marked, grouped, and the weaker label of each pair."""
    is_copy = twins[low] == twins[high]
    nodes, ends = np.unique(np.concatenate([low, high]), return_inverse=True)
    roots = components(len(nodes), ends[: len(low)], ends[len(low) :])[ends[: len(low)]]
    order = np.lexsort((high, low, -similarities, ~is_copy))
    groups = numbered(roots[order])
    order = order[np.argsort(groups, kind="stable")]
    support = view.support[low[order]] - view.support[high[order]]
    doubted = np.where(support < 0, 0, np.where(support > 0, 1, -1))
    return low[order], high[order], similarities[order], is_copy[order], np.sort(groups), doubted
