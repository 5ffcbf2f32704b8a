"""How much to believe that something is wrong, learnt from examples of wrong and of unknown things.

Positive and unlabelled learning: faults that were made up on purpose stand against the real rows,
of which an unknown share is faulty too. A logistic regression of the two ranks rows as one of
faulty and sound rows would (Elkan and Noto 2008). With A(t) and R(t) the shares of the real rows
and of the made-up faults that score t or more, and a share p of faulty real rows, A >= p R. So the
least A / R bounds p from above (Blanchard et al. 2010), and p dR/dA is the chance that a real row
of that score is faulty: 1 where there are as many real rows as the faults would be, less where
sound ones are among them.

Legend of shapes: N real rows, M made-up faults, F features, B bins of scores.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cairn.cleaning.agreement import Float64

_RIDGE = 5.0
_NEWTON_STEPS = 30
_BINS = 400
_FOLDS = 3
_FITTED = 200_000
_LEAST_REACHED = 0.2
"""Share of the made-up faults that a threshold must reach for A / R to count."""

_SUREST = 0.99

_ODD = 2.0
"""Sound rows that look faulty and are always reckoned with: a handful of suspects proves little."""


@dataclass(frozen=True, eq=False)
class Logistic:
    """A logistic regression.

    Args:
        mean: (F,) of the features.
        spread: (F,) of the features.
        weights: (F + 1,) of 1 and the standardised features.
    """

    mean: Float64
    spread: Float64
    weights: Float64

    def logits(self, features: Float64) -> Float64:
        """Return (N,) log odds of (N, F) features."""
        found: Float64 = ((features - self.mean) / self.spread) @ self.weights[1:]
        return np.asarray(found + self.weights[0])

    def chances(self, features: Float64) -> Float64:
        """Return (N,) chances."""
        return _sigmoid(self.logits(features))


def fit_logistic(features: Float64, is_true: Float64, weights: Float64) -> Logistic:
    """Return the regression with a mild ridge penalty, by Newton's method.

    Args:
        features: (N, F).
        is_true: (N,) 1 or 0.
        weights: (N,) of the rows.
    """
    mean = np.average(features, axis=0, weights=weights)
    spread = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weights)) + 1e-6
    design = np.column_stack([np.ones(len(features)), (features - mean) / spread])
    found = np.zeros(design.shape[1])
    ridge = np.full(len(found), _RIDGE)
    ridge[0] = 1e-6
    for _ in range(_NEWTON_STEPS):
        chance = _sigmoid(design @ found)
        slope = design.T @ (weights * (is_true - chance)) - ridge * found
        curve = (design * (weights * chance * (1 - chance))[:, None]).T @ design
        step = np.linalg.solve(curve + np.diag(ridge), slope)
        found += step
        if np.abs(step).max() < 1e-8:
            break
    return Logistic(mean, spread, found)


@dataclass(frozen=True, eq=False)
class Belief:
    """What is believed of the real rows.

    Args:
        chances: (N,) that each is faulty.
        share: Of the real rows that are faulty, about.
        passed: (N,) share of the made-up faults that look less faulty than the row.
    """

    chances: Float64
    share: float
    passed: Float64


def believe(
    real: Float64,
    faults: Float64,
    fault_weights: Float64 | None = None,
    sound: Float64 | None = None,
) -> Belief:
    """Return the chance that each real row is faulty in the way that the made-up ones are.

    Args:
        real: (N, F) features of real rows.
        faults: (M, F) features of made-up faults.
        fault_weights: (M,) how common each kind of fault is; alike where not given.
        sound: (N,) how far each real row counts as a sound one while the two are told apart; all
            alike where not given. How many are faulty is counted among all rows in any case.
    """
    if not len(real) or not len(faults):
        return _no_belief(len(real))
    weights = np.ones(len(faults)) if fault_weights is None else fault_weights
    if weights.sum() <= 0:
        return _no_belief(len(real))
    weights = weights / weights.sum()
    order = np.arange(len(real))
    sound = np.ones(len(real)) if sound is None else sound
    passed = np.zeros(len(real))
    for fold in range(_FOLDS):  # a row is never scored by what was fitted to it
        held = order % _FOLDS == fold
        fitted = order[~held][:: max(1, len(real) // _FITTED)]
        model = fit_logistic(
            np.concatenate([real[fitted], faults]),
            np.concatenate([np.zeros(len(fitted)), np.ones(len(faults))]),
            np.concatenate([sound[fitted], weights * max(sound[fitted].sum(), 1.0)]),
        )
        scores = model.logits(faults)
        rising = np.argsort(scores, kind="stable")
        below = np.concatenate([[0.0], np.cumsum(weights[rising])])
        passed[held] = below[np.searchsorted(scores[rising], model.logits(real[held]))]
    return calibrated(np.minimum(passed, 1.0))


def calibrated(passed: Float64) -> Belief:
    """Return what is believed of real rows.

    Args:
        passed: (N,) share of made-up faults that look less faulty than each, in [0, 1].
    """
    num, ascending = len(passed), np.sort(passed)
    reached = np.arange(1, _BINS + 1) / _BINS
    above = (num - np.searchsorted(ascending, 1 - reached - 1e-12)).astype(float)
    counted = reached >= _LEAST_REACHED
    # A least value of counts is low by chance: each is raised by its own standard error first.
    most = (above[counted] + np.sqrt(above[counted])) / reached[counted]
    share = min(0.5, max(0.0, float(most.min()) - _ODD) / num)
    # Faults per real row must not rise with falling scores: pool neighbours that violate it.
    in_bin = np.diff(above, prepend=0)
    ratios = _falling(np.full(_BINS, 1 / _BINS), (in_bin + _ODD / _BINS) / num)
    at = np.minimum(((1 - passed) * _BINS).astype(np.int64), _BINS - 1)
    return Belief(np.minimum(share * ratios[at], _SUREST), share, passed)


def _no_belief(num: int) -> Belief:
    return Belief(np.zeros(num), 0.0, np.zeros(num))


def _falling(tops: Float64, bottoms: Float64) -> Float64:
    """Return the ratios, pooled where they would rise: isotonic regression by pooling."""
    pools: list[tuple[float, float, int]] = []
    for top, bottom in zip(tops.tolist(), bottoms.tolist(), strict=True):
        pool = (top, bottom, 1)
        while pools and pools[-1][0] * pool[1] < pool[0] * pools[-1][1]:
            last = pools.pop()
            pool = (last[0] + pool[0], last[1] + pool[1], last[2] + pool[2])
        pools.append(pool)
    return np.concatenate([np.full(num, top / bottom) for top, bottom, num in pools])


def _sigmoid(values: Float64) -> Float64:
    found: Float64 = 1 / (1 + np.exp(-np.clip(values, -30, 30)))
    return found
