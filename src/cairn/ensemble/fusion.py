"""What every way of putting models together is: weights in, one landmark a photograph out.

A fusion is made once for some photographs, which is when galleries are searched, and then asked for
any weights, which is cheap; that is what fitting weights needs. What it says of a photograph does
not depend on the other photographs.

Legend of shapes: Q photographs, M models, C candidates of a photograph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Int64, Prediction
from cairn.errors import CairnError

Float64 = NDArray[np.float64]


class Fusion(Protocol):
    """Models side by side on the same photographs."""

    @property
    def image_ids(self) -> tuple[str, ...]:
        """Q different ids."""
        ...

    @property
    def landmark_ids(self) -> tuple[str, ...]:
        """What codes stand for, ascending."""
        ...

    @property
    def num_members(self) -> int:
        """M."""
        ...

    def count(self, weights: Sequence[float]) -> tuple[Int64, Float64]:
        """Return (Q,) codes of the landmarks answered, -1 for none, and (Q,) their scores.

        Equal scores go to the landmark whose id comes first.

        Args:
            weights: M numbers >= 0, not all of them 0; only their proportions matter.

        Raises:
            CairnError: The weights are none.
        """
        ...


def answers(fusion: Fusion, weights: Sequence[float]) -> dict[str, tuple[str, float]]:
    """Return the landmark and score of each photograph that has an answer."""
    codes, scores = fusion.count(weights)
    columns = zip(fusion.image_ids, codes.tolist(), scores.tolist(), strict=True)
    names = fusion.landmark_ids
    return {image: (names[code], score) for image, code, score in columns if code >= 0}


def predictions(fusion: Fusion, weights: Sequence[float]) -> list[Prediction]:
    """Return one prediction for each photograph, in order; a blank one where nothing answers."""
    found = answers(fusion, weights)
    return [Prediction(image, *found.get(image, (None, 0.0))) for image in fusion.image_ids]


def shares(weights: Sequence[float], num_members: int) -> Float64:
    """Return the weights as (M,) shares that add up to 1.

    Raises:
        CairnError: Not one number >= 0 for each model, or all are 0.
    """
    given = np.asarray(weights, dtype=np.float64)
    if len(given) != num_members or not np.isfinite(given).all() or (given < 0).any():
        raise CairnError(f"{num_members} models need as many weights >= 0", where=tuple(weights))
    if not given.any():
        raise CairnError("not all weights can be 0", where=tuple(weights))
    value: Float64 = given / given.sum()
    return value


def largest_sums(
    codes_QC: Int64, worth_QC: Float64, heard_QC: NDArray[np.bool_], num_landmarks: int
) -> tuple[Int64, Float64]:
    """Return (Q,) landmarks with the largest sum of what their candidates are worth, and the sums.

    Args:
        codes_QC: (Q, C) landmarks of the candidates.
        worth_QC: (Q, C) finite where a candidate is heard.
        heard_QC: (Q, C) which of them count.
        num_landmarks: What codes stay below.
    """
    worth = np.where(heard_QC, worth_QC, 0.0)
    sums = np.zeros_like(worth)
    for column in range(worth.shape[1]):  # the same order for every landmark: sums repeat
        same = codes_QC == codes_QC[:, column : column + 1]
        sums += np.where(same, worth[:, column : column + 1], 0.0)
    sums = np.where(heard_QC, sums, -np.inf)
    best = sums.max(axis=1, keepdims=True)
    winners = np.where(heard_QC & (sums == best), codes_QC, num_landmarks).min(axis=1)
    return np.where(winners == num_landmarks, -1, winners), best[:, 0]
