"""Landmarks whose images are each other's nearest: one landmark under two ids, or two lookalikes.

An image votes for another landmark where its nearest image shows that one: recognition would have
answered so. The only image of a landmark has no choice; it votes only where the likeness is usual
within landmarks (`View.usual`).

Legend of shapes: N images, L landmarks, V votes, P pairs of landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cairn.doctor.rule import CheckRule
from cairn.doctor.view import Bool, View
from cairn.domain import Float32, Int64


@dataclass(frozen=True, eq=False)
class Collisions:
    """Pairs of landmarks; those to be merged first, then by votes.

    Args:
        small: (P,) number of the landmark with fewer images.
        large: (P,) number of the other one.
        small_votes: (P,) images of the small one whose nearest image shows the large one.
        large_votes: (P,) the reverse.
        similarities: (P,) mean similarity over all votes.
        mixing: (P,) the small one's share of votes over the share to expect if both were one.
        voters: (P,) the vote with the highest similarity: the image,
        voted: (P,) and its nearest image.
        is_merge: (P,) whether the two look like one landmark.
    """

    small: Int64
    large: Int64
    small_votes: Int64
    large_votes: Int64
    similarities: Float32
    mixing: Float32
    voters: Int64
    voted: Int64
    is_merge: Bool


def find_collisions(view: View, rule: CheckRule) -> Collisions:
    """Return the pairs of landmarks with at least ``rule.min_votes`` votes for each other.

    If A (a images) and B (b images, b >= a) were one landmark, labelled by chance, the nearest
    image of an image of A would be of B in b / (a + b - 1) of cases. To be merged are those where A
    comes to ``rule.merge`` of that, with two votes or more and a likeness, on average, of what is
    usual within landmarks.
    """
    voters = _voters(view)
    voted = view.nearest.indices[voters, 0] if len(voters) else voters
    similarities = view.nearest.similarities[voters, 0] if len(voters) else np.zeros(0, np.float32)
    own, other = view.codes[voters].astype(np.int64), view.codes[voted].astype(np.int64)
    sizes = view.sizes
    own_is_small = (sizes[own] < sizes[other]) | ((sizes[own] == sizes[other]) & (own < other))
    small, large = np.where(own_is_small, own, other), np.where(own_is_small, other, own)
    keys, pair = np.unique(small * len(sizes) + large, return_inverse=True)
    num_pairs = len(keys)
    small, large = np.divmod(keys, len(sizes))
    votes = np.bincount(pair, minlength=num_pairs)
    small_votes = np.bincount(pair[own_is_small], minlength=num_pairs)
    sums = np.bincount(pair, weights=similarities, minlength=num_pairs)
    means = (sums / np.maximum(votes, 1)).astype(np.float32)
    expected = sizes[large] / (sizes[small] + sizes[large] - 1)
    mixing = (small_votes / sizes[small] / expected).astype(np.float32)
    is_merge = (mixing >= rule.merge) & (small_votes >= 2) & (means >= view.usual)
    best = np.lexsort((voters, -similarities, pair))
    best = best[np.searchsorted(pair[best], np.arange(num_pairs))]
    kept = np.flatnonzero(votes >= rule.min_votes)
    order = kept[np.lexsort((-mixing[kept], -votes[kept], ~is_merge[kept]))]
    return Collisions(
        small[order],
        large[order],
        small_votes[order],
        (votes - small_votes)[order],
        means[order],
        mixing[order],
        voters[best[order]],
        voted[best[order]],
        is_merge[order],
    )


def _voters(view: View) -> Int64:
    if not view.nearest.k:
        return np.zeros(0, np.int64)
    votes = ~view.is_own[:, 0]
    single = view.sizes[view.codes] == 1
    votes &= ~single | (view.nearest.similarities[:, 0] >= view.usual)
    return np.flatnonzero(votes)
