"""Intervals of a proportion, Wilson's and Clopper and Pearson's exact one; McNemar's test.

Wilson's (1927) is close on average and does not collapse where all or none succeeded. Clopper and
Pearson's (1934) never covers less than it says, at the price of being wider: for what is promised.
"""

from __future__ import annotations

import math

import numpy as np

from cairn.bootstrap import LEVEL, Interval

_Z = 1.959964  # of a normal distribution, 95 % lie within so many standard deviations
_HALVINGS = 60


def wilson(share: float, num_trials: float) -> Interval:
    """Return a share of trials that succeeded with its 95 % score interval.

    Args:
        share: In [0, 1].
        num_trials: At least 1; no whole number where it is an effective one.
    """
    squared = _Z * _Z
    centre = (share + squared / (2 * num_trials)) / (1 + squared / num_trials)
    spread = share * (1 - share) / num_trials + squared / (4 * num_trials * num_trials)
    half = _Z * math.sqrt(spread) / (1 + squared / num_trials)
    return Interval(share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)))


def clopper_pearson(num_hits: int, num_trials: int, *, level: float = LEVEL) -> Interval:
    """Return the share of trials that succeeded with its exact interval.

    The bounds are the chances of success under which so many hits or more, and so many or fewer,
    have a probability of (1 - ``level``) / 2.

    Args:
        num_hits: From 0 to ``num_trials``.
        num_trials: At least 1.
        level: How often, at least, the interval holds the true chance.
    """
    assert 0 <= num_hits <= num_trials, "hits are among the trials"
    tail = (1 - level) / 2
    low = 0.0 if num_hits == 0 else 1 - _highest(num_trials - num_hits, num_trials, tail)
    high = 1.0 if num_hits == num_trials else _highest(num_hits, num_trials, tail)
    share = num_hits / num_trials
    return Interval(share, min(low, share), max(high, share))


def mcnemar(num_gained: int, num_lost: int) -> float:
    """Return the exact two-sided p value of McNemar's test (1947) on paired yes-or-no outcomes.

    Under no difference each query on which two runs differ is a fair coin.

    Args:
        num_gained: Queries right in the second run alone.
        num_lost: Queries right in the first one alone.
    """
    count, few = num_gained + num_lost, min(num_gained, num_lost)
    logs = np.array(
        [math.lgamma(count + 1) - math.lgamma(i + 1) - math.lgamma(count - i + 1)
         for i in range(few + 1)]
    )  # fmt: skip
    tail = float(np.exp(logs - count * math.log(2)).sum())
    return min(1.0, 2 * tail)


def _highest(num_hits: int, num_trials: int, tail: float) -> float:
    """Return the chance under which at most ``num_hits`` < n hits have the probability ``tail``."""
    hits = np.arange(num_hits + 1)
    whole = math.lgamma(num_trials + 1)
    ways = np.array(
        [whole - math.lgamma(i + 1) - math.lgamma(num_trials - i + 1) for i in hits.tolist()]
    )
    low, high = num_hits / num_trials, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle >= 1.0:
            break
        logs = ways + hits * math.log(middle or 1e-300) + (num_trials - hits) * math.log1p(-middle)
        peak = float(logs.max())
        at_most = math.exp(peak) * float(np.exp(logs - peak).sum())
        low, high = (middle, high) if at_most > tail else (low, middle)
    return (low + high) / 2
