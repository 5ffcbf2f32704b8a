"""Two curves from numbers to chances: logistic and isotonic regression, kept as plain numbers.

scikit-learn has both, and is the oracle of their tests. These are some sixty lines, and a fit that
is a handful of floats can be written to JSON and read by any version; scikit-learn's own way to
store one is a pickle.

Legend of shapes: N examples, F features, B blocks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cairn.errors import CairnError

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]

RIDGE = 1.0
"""Weight of half the squared coefficients against the sum of the losses: scikit-learn's C = 1."""

_STEPS = 100


@dataclass(frozen=True)
class Logistic:
    """Chances 1 / (1 + exp(-z)), z = intercept + sum of coefficient * (feature - mean) / scale.

    Args:
        means: F numbers.
        scales: F numbers above 0.
        coefficients: F numbers; of features held to rise, never negative.
        intercept: z where every feature is at its mean.
    """

    means: tuple[float, ...]
    scales: tuple[float, ...]
    coefficients: tuple[float, ...]
    intercept: float

    def __call__(self, features_NF: Float64) -> Float64:
        """Return (N,) chances in [0, 1]."""
        scaled = (features_NF - np.asarray(self.means)) / np.asarray(self.scales)
        logits = scaled @ np.asarray(self.coefficients) + self.intercept
        chances: Float64 = 0.5 * (1.0 + np.tanh(0.5 * logits))
        return chances

    @classmethod
    def fit(
        cls,
        features_NF: Float64,
        right: Bool,
        *,
        rising: Collection[int] = (),
        ridge: float = RIDGE,
        weights: Float64 | None = None,
    ) -> Logistic:
        """Return the curve of least penalised loss, by Newton's method with halved steps.

        The loss is the sum over examples of the negative log likelihood, and ``ridge`` times half
        the squared coefficients of standardised features; the intercept is free.

        Args:
            features_NF: (N, F) finite numbers.
            right: (N,) what the chance is of; both values must be there.
            rising: Features with which the chance must not fall. One that would is left out, the
                most falling first, and the rest fitted again.
            ridge: See above.
            weights: (N,) above 0, how much each example counts; 1 by default. With a mean of 1 the
                ridge keeps its force.

        Raises:
            CairnError: No example is right, or all are.
        """
        if right.all() or not right.any():
            raise CairnError(
                f"nothing to tell apart: {int(right.sum())} of {len(right)} answers are right"
            )
        means, scales = features_NF.mean(axis=0), features_NF.std(axis=0)
        scales = np.where(scales > 1e-12, scales, 1.0)
        scaled = (features_NF - means) / scales
        kept = list(range(features_NF.shape[1]))
        counts = np.ones(len(right)) if weights is None else weights
        while True:
            inputs = np.column_stack([scaled[:, kept], np.ones(len(scaled))])
            found = _newton(inputs, right, ridge, counts)
            falling = {one: w for one, w in zip(kept, found, strict=False) if one in rising}
            if not falling or min(falling.values()) >= 0:
                break
            kept.remove(min(falling, key=lambda one: falling[one]))
        weights = np.zeros(features_NF.shape[1])
        weights[kept] = found[:-1]
        return cls(
            tuple(means.tolist()), tuple(scales.tolist()), tuple(weights.tolist()), float(found[-1])
        )

    @classmethod
    def platt(cls, scores_N: Float64, right: Bool) -> Logistic:
        """Return the curve of greatest likelihood on a score alone, wherever there is one.

        Platt's method (1999) with his softened targets, which keep the slope finite where scores
        part right from wrong cleanly, and answers that are all right from a chance of 1. Where
        surer answers are wrong more often the curve is level.

        Args:
            scores_N: (N,) finite; of answers to photographs the model has not learned from.
            right: (N,) whether the answer was right; wrong ones and non-landmarks are not.

        Raises:
            CairnError: There is no score, or not one verdict for each.
        """
        if scores_N.shape != right.shape or scores_N.ndim != 1 or not len(scores_N):
            raise CairnError("a curve needs scores and as many verdicts, one at least")
        hits = int(right.sum())
        misses = len(right) - hits
        targets = np.where(right, (hits + 1) / (hits + 2), 1 / (misses + 2))
        mean, spread = float(scores_N.mean()), float(scores_N.std())
        scale = spread if spread > 1e-12 else 1.0
        inputs = np.column_stack([(scores_N - mean) / scale, np.ones(len(scores_N))])
        slope, level = _newton(inputs, targets, 0.0)
        if slope <= 0:
            slope, level = 0.0, np.log((hits + 1) / (misses + 1))
        return cls((mean,), (scale,), (float(slope),), float(level))

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {
            "means": list(self.means),
            "scales": list(self.scales),
            "coefficients": list(self.coefficients),
            "intercept": self.intercept,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Logistic:
        """Return what ``to_json`` gave."""
        return cls(
            tuple(map(float, value["means"])),
            tuple(map(float, value["scales"])),
            tuple(map(float, value["coefficients"])),
            float(value["intercept"]),
        )


@dataclass(frozen=True)
class Isotonic:
    """A rising curve through knots, straight between them and level beyond.

    Args:
        inputs: B numbers, ascending.
        chances: B numbers in [0, 1], never falling.
    """

    inputs: tuple[float, ...]
    chances: tuple[float, ...]

    def __call__(self, values: Float64) -> Float64:
        """Return chances of the same shape."""
        return np.interp(values, self.inputs, self.chances).astype(np.float64)

    @classmethod
    def fit(cls, values: Float64, right: Bool, *, weights: Float64 | None = None) -> Isotonic:
        """Return the rising curve of least squares, which is also that of greatest likelihood.

        Pool adjacent violators (Ayer et al. 1955), equal values pooled first; each block keeps its
        first and last value as knots, so that the curve has slopes between blocks.

        Args:
            values: (N,) finite, N at least 1.
            right: (N,) what the chance is of.
            weights: (N,) above 0, how much each example counts; 1 by default.
        """
        levels, level_N = np.unique(values, return_inverse=True)
        counted = np.ones(len(right)) if weights is None else weights
        counts = np.bincount(level_N, weights=counted)
        hits = np.bincount(level_N, weights=counted * right)
        blocks: list[list[float]] = []  # hits, count, first level, last level
        rows = zip(hits.tolist(), counts.tolist(), strict=True)
        for level, (hit, count) in enumerate(rows):
            blocks.append([hit, count, level, level])
            while len(blocks) > 1 and _is_above(blocks[-2], blocks[-1]):
                last = blocks.pop()
                before = blocks[-1]
                before[0], before[1], before[3] = before[0] + last[0], before[1] + last[1], last[3]
        inputs, chances = [], []
        for hit, count, first, last_level in blocks:
            for level in sorted({int(first), int(last_level)}):
                inputs.append(float(levels[level]))
                chances.append(hit / count)
        return cls(tuple(inputs), tuple(chances))

    def to_json(self) -> dict[str, Any]:
        """Return the knots."""
        return {"inputs": list(self.inputs), "chances": list(self.chances)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Isotonic:
        """Return what ``to_json`` gave."""
        return cls(tuple(map(float, value["inputs"])), tuple(map(float, value["chances"])))


def _is_above(one: Sequence[float], two: Sequence[float]) -> bool:
    return one[0] * two[1] >= two[0] * one[1]  # no rounding where hits and counts are whole


def _newton(
    inputs: Float64, right: Bool | Float64, ridge: float, counts: Float64 | None = None
) -> Float64:
    """Return coefficients and, last, the intercept; the last column of ``inputs`` is ones.

    ``right`` may be soft: the chance that an example should have. ``counts`` say how much each
    example counts; 1 by default.
    """
    counts = np.ones(len(right)) if counts is None else counts
    penalty = np.full(inputs.shape[1], ridge)
    penalty[-1] = 0.0
    found = np.zeros(inputs.shape[1])
    share = np.average(right, weights=counts)
    found[-1] = np.log(share / (1 - share))

    def loss(weights: Float64) -> float:
        logits = inputs @ weights
        told = counts * (np.logaddexp(0.0, logits) - right * logits)
        return float(told.sum() + 0.5 * (penalty * weights * weights).sum())

    now = loss(found)
    for _ in range(_STEPS):
        chances = 0.5 * (1.0 + np.tanh(0.5 * (inputs @ found)))
        slope = inputs.T @ (counts * (chances - right)) + penalty * found
        curve = (inputs.T * (counts * chances * (1 - chances))) @ inputs + np.diag(penalty + 1e-12)
        step = np.linalg.solve(curve, slope)
        size = 1.0
        while (then := loss(found - size * step)) > now and size > 1e-9:
            size /= 2
        if then > now:
            break
        found, gained, now = found - size * step, now - then, then
        if gained <= 1e-12 * max(now, 1.0):
            break
    return found
