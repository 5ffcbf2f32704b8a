"""Directions of a landmark: how near a photograph is to the ones that many others hold.

Spherical k-means finds up to K directions in a landmark with enough photographs, as the sub-centres
of an ArcFace head do while it trains (Deng et al. 2020, Sub-center ArcFace: noise gathers in those
that are not dominant). Here every direction that holds a quarter of the photographs counts, since a
landmark has several sides. A photograph is never measured against a direction that it is part of:
it is taken out first.

Legend of shapes: T directions of all landmarks, D dimensions, M rows in question.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cairn.cleaning.agreement import Float64
from cairn.cleaning.rule import CleanRule
from cairn.domain import Float32, Int64
from cairn.neighborhood import Bool, Int32, Neighborhood, by_code
from cairn.progress import track

_HELD = 0.25
_ROUNDS = 10
_SPREAD_IMAGES = 4  # others that a landmark needs to have a spread of its own


@dataclass(frozen=True, eq=False)
class Centers:
    """Directions of every landmark.

    Args:
        near: The images.
        sums: (T, D) sum of the photographs of each direction.
        counts: (T,) photographs of each.
        starts: (L + 1,) first direction of each landmark.
        mine: (N,) the direction that each photograph is part of; -1 in the bank.
    """

    near: Neighborhood
    sums: Float32
    counts: Int64
    starts: Int64
    mine: Int64

    @classmethod
    def of(cls, near: Neighborhood, rule: CleanRule, *, nothing: int) -> Centers:
        """Return the directions of all landmarks."""
        sums, counts, starts = [], [], [0]
        mine = np.full(len(near), -1, np.int64)
        for code in track(range(nothing), "directions of landmarks"):
            members = near.members(code)
            vectors = near.vectors[members]
            k = rule.num_subcenters if len(members) >= rule.subcenter_images else 1
            parts = directions(vectors, k)
            num = int(parts.max(initial=0)) + 1
            total = np.zeros((num, vectors.shape[1]), np.float32)
            np.add.at(total, parts, vectors)
            mine[members] = starts[-1] + parts
            sums.append(total)
            counts.append(np.bincount(parts, minlength=num))
            starts.append(starts[-1] + num)
        return cls(near, np.concatenate(sums), np.concatenate(counts), np.array(starts), mine)

    def likeness(self, rows: Int64, codes: Int32) -> Float64:
        """Return (M,) the similarity to the nearest direction of ``codes`` that is held.

        0 where nothing is left of a landmark without the photograph, or ``codes`` is none.
        """
        found = np.zeros(len(rows))
        for at in by_code(codes):
            code = int(codes[at[0]])
            if not 0 <= code < len(self.starts) - 1:
                continue
            those = slice(int(self.starts[code]), int(self.starts[code + 1]))
            found[at] = self._some(rows[at], those)
        return found

    def strangeness(self, codes: Int32, likeness: Float64) -> Float64:
        """Return (M,) by how much less alike than is usual in the landmark a photograph is."""
        return self.usual[codes] - likeness

    @cached_property
    def usual(self) -> Float64:
        """(L,) median likeness of a landmark's photographs; of all where it has few."""
        near, num = self.near, len(self.starts) - 1
        rows = np.flatnonzero(near.codes < num)
        likeness = self.likeness(rows, near.codes[rows])
        order = np.lexsort((likeness, near.codes[rows]))
        sizes = near.sizes[:num]
        middle = likeness[order][np.cumsum(sizes) - sizes + sizes // 2]
        asked = near.sizes[near.codes[rows]] >= 2
        overall = float(np.median(likeness[asked])) if asked.any() else 0.0
        return np.where(sizes > _SPREAD_IMAGES, middle, overall)

    def _some(self, rows: Int64, those: slice) -> Float64:
        sums, counts = self.sums[those], self.counts[those]
        products = (self.near.vectors[rows] @ sums.T).astype(np.float64)
        squares = np.broadcast_to(np.einsum("td,td->t", sums, sums), products.shape).astype(float)
        left = np.broadcast_to(counts, products.shape).copy()
        mine = self.mine[rows][:, None] == np.arange(those.start, those.stop)
        squares = np.where(mine, squares - 2 * products + 1, squares)
        products = np.where(mine, products - 1, products)
        left -= mine
        held: Bool = left >= np.maximum(_HELD * left.sum(axis=1, keepdims=True), 1)
        held |= (left == left.max(axis=1, keepdims=True)) & (left > 0)
        likeness = products / np.sqrt(np.maximum(squares, 1e-12))
        found = np.where(held, likeness, -np.inf).max(axis=1)
        return np.where(np.isfinite(found), np.clip(found, -1, 1), 0.0)


def directions(vectors: Float32, k: int) -> Int64:
    """Return (n,) the number, below ``k``, of the direction that each vector is part of.

    The first seed is the vector nearest to the mean, each further one the least alike to the seeds
    so far: nothing is drawn.
    """
    parts = np.zeros(len(vectors), np.int64)
    if k == 1 or len(vectors) <= k:
        return parts
    seeds = [int((vectors @ vectors.mean(axis=0)).argmax())]
    nearest = vectors @ vectors[seeds[0]]
    for _ in range(k - 1):
        seeds.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, vectors @ vectors[seeds[-1]])
    centers = vectors[seeds]
    for _ in range(_ROUNDS):
        found = (vectors @ centers.T).argmax(axis=1)
        if np.array_equal(found, parts):
            break
        parts = found
        for number in range(k):
            total = vectors[parts == number].sum(axis=0)
            length = float(np.linalg.norm(total))
            if length > 1e-6:
                centers[number] = total / length
    return parts
