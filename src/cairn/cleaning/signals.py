"""Everything that speaks for or against a label, side by side, as numbers.

Signals of a photograph are those of what it is SAID to show; asked with another landmark than its
own, they are what they would be had it that label. No similarity is compared with a fixed number:
what is high or low with a model is learnt later (`cairn.cleaning.doubt`).

Legend of shapes: N images, M rows in question, F features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cairn.cleaning.agreement import Agreement, Float64, agreement
from cairn.cleaning.centers import Centers
from cairn.cleaning.chains import Chains
from cairn.cleaning.rule import CleanRule
from cairn.domain import Int64
from cairn.neighborhood import Int32, Neighborhood


@dataclass(frozen=True, eq=False)
class Signals:
    """Of M photographs and what they are said to show.

    Args:
        rows: (M,) the photographs.
        codes: (M,) what they are said to show; -1 for nothing.
        others: (M,) how many photographs are said to show it, but for one: itself, or the one whose
            place it would take.
        near: What their nearest photographs say.
        own_best: (M,) similarity of the nearest other photograph of `codes`; 0 without one.
        chained: (M,) others of `codes` that it is in a chain with.
        likeness: (M,) to the nearest direction of `codes`.
        strangeness: (M,) by how much that is less than usual there.
        target_likeness: (M,) to the nearest direction of the best other landmark.
        target_size: (M,) photographs of the best other landmark; 0 without one.
    """

    rows: Int64
    codes: Int32
    others: Int64
    near: Agreement
    own_best: Float64
    chained: Int64
    likeness: Float64
    strangeness: Float64
    target_likeness: Float64
    target_size: Int64

    def of_label(self) -> Float64:
        """(M, F) everything that tells a right label from a wrong one."""
        near = self.near
        return np.column_stack(
            [
                near.target_best - self.own_best,
                self.own_best,
                near.own_share,
                near.own_first,
                near.target_share,
                np.minimum(self.chained / np.maximum(self.others, 1), 1.0),
                np.log1p(self.chained),
                self.likeness,
                self.strangeness,
                self.target_likeness - self.likeness,
                near.bank_best - self.own_best,
                near.bank_share,
                np.log1p(self.others),
            ]
        )

    def of_target(self) -> Float64:
        """(M, F) everything that tells whether the best other landmark is in the picture."""
        near = self.near
        return np.column_stack(
            [
                near.target_best,
                near.target_share,
                near.target_best - near.runner_up,
                self.target_likeness,
                near.bank_best - near.target_best,
                near.bank_share,
                np.log1p(self.target_size),
            ]
        )


@dataclass(frozen=True, eq=False)
class Scene:
    """What signals are taken from.

    Args:
        near: The images and their nearest.
        chains: Which hold together.
        centers: Directions of the landmarks.
        nothing: The code of the bank.
    """

    near: Neighborhood
    chains: Chains
    centers: Centers
    nothing: int

    @classmethod
    def of(cls, near: Neighborhood, rule: CleanRule, *, nothing: int) -> Scene:
        """Return the scene of a neighbourhood whose last code is the bank."""
        chains = Chains.of(near, nothing=nothing)
        return cls(near, chains, Centers.of(near, rule, nothing=nothing), nothing)

    def signals(self, rows: Int64, codes: Int32, *, hidden: Int32 | None = None) -> Signals:
        """Return the signals of ``rows``, were they said to show ``codes``.

        Args:
            rows: (M,) photographs.
            codes: (M,) landmarks; -1 for nothing said.
            hidden: (M,) codes whose photographs count as not being there.
        """
        near, asked = self.near, codes >= 0
        voices = agreement(near, rows, codes, nothing=self.nothing, hidden=hidden)
        likeness = self.centers.likeness(rows, codes)
        target_code = voices.target.astype(np.int32)
        return Signals(
            rows,
            codes,
            np.where(asked, near.sizes[codes] - 1, 0),
            voices,
            self._own_best(rows, codes),
            np.where(asked, self.chains.support(rows, codes), 0),
            likeness,
            np.where(asked, self.centers.strangeness(codes, likeness), 0.0),
            self.centers.likeness(rows, target_code),
            np.where(target_code >= 0, near.sizes[target_code], 0),
        )

    def _own_best(self, rows: Int64, codes: Int32) -> Float64:
        """Return the similarity of the nearest other photograph of ``codes``, wherever it ranks."""
        near = self.near
        found = np.zeros(len(rows))
        own = near.neighbor_codes[rows] == codes[:, None]
        at, has = own.argmax(axis=1), own.any(axis=1)
        found[has] = near.nearest.similarities[rows[has], at[has]]
        far = np.flatnonzero(~has & (codes >= 0))
        best = near.nearest_of(rows[far], codes[far])[1][:, 0]
        found[far] = np.where(np.isfinite(best), best, 0.0)
        return found
