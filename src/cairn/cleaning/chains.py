"""Chains of mutual nearest neighbours within landmarks: which photographs hold together.

GLDv2's clean training set was made with this idea (Weyand et al. 2020, 5.1: photographs of a
landmark that match one another are kept); here similarities of embeddings stand in for matches of
local features. A landmark seen from several sides has several chains, each valid: their size is
what tells.

Legend of shapes: N images, K neighbours, M rows in question.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cairn.domain import Int64
from cairn.groups import components
from cairn.neighborhood import Bool, Int32, Neighborhood

_ROWS_AT_ONCE = 4096
_LOOSEST = 0.1  # quantile of the likeness to the nearest own photograph that a link must reach


@dataclass(frozen=True, eq=False)
class Chains:
    """Photographs linked to those of their landmark.

    Args:
        near: The images.
        is_link: (N, K) whether a neighbour is a mutual one and alike enough, whatever its label.
        roots: (N,) the lowest row of each photograph's chain.
        lengths: (N,) photographs in the chain.
        threshold: Similarity that a link needs.
    """

    near: Neighborhood
    is_link: Bool
    roots: Int64
    lengths: Int64
    threshold: float

    @classmethod
    def of(cls, near: Neighborhood, *, nothing: int) -> Chains:
        """Return the chains; a link is at least as alike as nine in ten nearest own ones are."""
        best = near.best_own[near.codes != nothing]
        best = best[np.isfinite(best)]
        threshold = float(np.quantile(best, _LOOSEST)) if len(best) else np.inf
        link = _mutual(near.nearest.indices) & (near.nearest.similarities >= threshold)
        rows, at = np.nonzero(link & near.is_own & (near.codes != nothing)[:, None])
        roots = components(len(near), rows, near.nearest.indices[rows, at])
        return cls(near, link, roots, np.bincount(roots, minlength=len(near))[roots], threshold)

    def support(self, rows: Int64, codes: Int32) -> Int64:
        """Return (M,) how many others of ``codes`` each row is in a chain with, or would be.

        Of a landmark that a row does not belong to these are all in chains that it has links to.
        """
        near = self.near
        found = np.empty(len(rows), np.int64)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            own = self.is_link[rows[part]] & (near.neighbor_codes[rows[part]] == codes[part, None])
            roots = np.where(own, self.roots[near.nearest.indices[rows[part]]], -1)
            roots.sort(axis=1)
            new = roots >= 0
            new[:, 1:] &= roots[:, 1:] != roots[:, :-1]
            lengths = np.where(new, self.lengths[np.maximum(roots, 0)], 0).sum(axis=1)
            is_in = (near.codes[rows[part]] == codes[part]) & new.any(axis=1)
            found[part] = lengths - is_in
        return found


def _mutual(nearest: Int64) -> Bool:
    found = np.zeros(nearest.shape, bool)
    for start in range(0, len(nearest), _ROWS_AT_ONCE):
        theirs = nearest[nearest[start : start + _ROWS_AT_ONCE]]
        rows = np.arange(start, start + len(theirs))[:, None, None]
        found[start : start + _ROWS_AT_ONCE] = (theirs == rows).any(axis=2)
    return found
