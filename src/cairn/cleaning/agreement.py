"""What the nearest photographs say: of the label, of the best other landmark, of the bank.

Neighbours vote by (similarity / that of the nearest) ** 8, as retrieval on GLDv2 weighs hits.

Legend of shapes: N images, K neighbours, M rows in question.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Int64
from cairn.neighborhood import Bool, Int32, Neighborhood

FIRST = 8
"""Nearest photographs that are counted one by one, in words too."""

_POWER = 8
_ROWS_AT_ONCE = 4096
Float64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Agreement:
    """Of M photographs that are said to show something: what their nearest ones say.

    A similarity that lies beyond the K nearest is taken as that of the last one.

    Args:
        own_share: (M,) share of the votes for what it is said to show.
        own_first: (M,) share of own ones among the first `FIRST`, or as many as there are.
        target: (M,) the other landmark with most votes; -1 where all are own ones or the bank's.
        target_share: (M,) its share of the votes.
        target_best: (M,) similarity of its nearest photograph.
        runner_up: (M,) similarity of the nearest photograph of any further landmark.
        bank_share: (M,) share of the votes of the bank.
        bank_best: (M,) similarity of the nearest image of the bank.
        best: (M,) similarity of the nearest photograph of anything.
    """

    own_share: Float64
    own_first: Float64
    target: Int64
    target_share: Float64
    target_best: Float64
    runner_up: Float64
    bank_share: Float64
    bank_best: Float64
    best: Float64


def agreement(
    near: Neighborhood,
    rows: Int64,
    codes: Int32,
    *,
    nothing: int,
    hidden: Int32 | None = None,
) -> Agreement:
    """Return what the nearest photographs of ``rows`` say, were they said to show ``codes``.

    Args:
        near: The images.
        rows: (M,) photographs.
        codes: (M,) what each is said to show, its own label or another; -1 for nothing said.
        nothing: The code of the bank.
        hidden: (M,) codes whose photographs count as not being there.
    """
    parts = [
        _some(near, rows[part], codes[part], nothing, None if hidden is None else hidden[part])
        for start in range(0, max(len(rows), 1), _ROWS_AT_ONCE)
        for part in (slice(start, start + _ROWS_AT_ONCE),)
    ]
    return Agreement(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS))


def _some(
    near: Neighborhood, rows: Int64, codes: Int32, nothing: int, hidden: Int32 | None
) -> Agreement:
    of = near.neighbor_codes[rows]
    similarity = near.nearest.similarities[rows].astype(np.float64)
    there = np.ones(of.shape, bool) if hidden is None else of != hidden[:, None]
    own, bank = (of == codes[:, None]) & there, (of == nothing) & there
    other = there & ~own & ~bank
    first = np.maximum(_best(similarity, there, -1.0), 1e-6)
    votes = np.where(there, np.maximum(similarity, 0) / first[:, None], 0.0) ** _POWER
    total = votes.sum(axis=1) + 1e-12
    same = of[:, :, None] == of[:, None, :]
    by_landmark = np.einsum("mkj,mj->mk", same, np.where(other, votes, 0))
    by_landmark[~other] = 0
    at = by_landmark.argmax(axis=1)
    each, has = np.arange(len(rows)), other.any(axis=1)
    target = np.where(has, of[each, at], -1)
    is_target = other & (of == target[:, None])
    last = similarity[:, -1]
    counted = np.clip(near.sizes[codes] - 1, 1, min(FIRST, of.shape[1]))
    rank = np.cumsum(there, axis=1)
    own_first = (own & (rank <= counted[:, None])).sum(axis=1) / counted
    target_best = _best(similarity, is_target, last)
    return Agreement(
        np.where(own, votes, 0).sum(axis=1) / total,
        own_first,
        target,
        np.where(has, by_landmark[each, at] / total, 0.0),
        target_best,
        np.minimum(_best(similarity, other & ~is_target, last), target_best),
        np.where(bank, votes, 0).sum(axis=1) / total,
        _best(similarity, bank, last),
        _best(similarity, there, last),
    )


def _best(similarity: Float64, wanted: Bool, otherwise: Float64 | float) -> Float64:
    found = np.where(wanted, similarity, -np.inf).max(axis=1)
    return np.where(np.isfinite(found), found, otherwise)


_FIELDS = tuple(Agreement.__dataclass_fields__)
