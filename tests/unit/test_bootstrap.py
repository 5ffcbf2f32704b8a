"""Resamples keep their strata; intervals cover; pairing sharpens."""

import numpy as np
import pytest

from cairn.bootstrap import (
    Float64,
    Int64,
    Interval,
    bootstrap,
    intervals,
)
from cairn.errors import CairnError

VALUES = np.random.default_rng(1).normal(size=400)
ONE = np.zeros(400, dtype=np.int64)


def mean(weights: Int64 | None) -> Float64:
    return np.array([np.average(VALUES, weights=weights)])


def shifted(weights: Int64 | None) -> Float64:
    return mean(weights) + 0.01


def test_a_resample_keeps_the_size_of_every_stratum() -> None:
    strata = np.array([0] * 10 + [1] * 3 + [-1] * 50)

    def sums(weights: Int64 | None) -> Float64:
        counts = np.ones(63, dtype=np.int64) if weights is None else weights
        return np.array([*(counts[strata == one].sum() for one in (0, 1, -1)), counts.max()])

    samples = bootstrap(sums, strata, rng=np.random.default_rng(0), num_resamples=20)
    assert (samples[:, :3] == [10, 3, 50]).all()
    assert samples[:, 3].min() > 1


def test_the_interval_of_a_mean_agrees_with_its_standard_error() -> None:
    samples = bootstrap(mean, ONE, rng=np.random.default_rng(0), num_resamples=2000)
    (found,) = intervals(mean(None), samples)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    error = VALUES.std() / np.sqrt(len(VALUES))
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.08)
    assert found.low < found.value < found.high


def test_the_same_seed_gives_the_same_samples() -> None:
    first = bootstrap(mean, ONE, rng=np.random.default_rng(4), num_resamples=20)
    again = bootstrap(mean, ONE, rng=np.random.default_rng(4), num_resamples=20)
    assert np.array_equal(first, again)
    assert len(np.unique(first)) == 20


def test_pairing_sees_a_difference_that_unpaired_sets_hide() -> None:
    paired = bootstrap(
        lambda weights: shifted(weights) - mean(weights),
        ONE,
        rng=np.random.default_rng(0),
        num_resamples=200,
    )
    assert paired.min() > 0
    other = bootstrap(mean, ONE, rng=np.random.default_rng(1), num_resamples=200)
    assert (paired + mean(None) - other).min() < 0, "with other photographs it would be hidden"


def test_without_resamples_there_are_values_only() -> None:
    samples = bootstrap(mean, ONE, rng=np.random.default_rng(0), num_resamples=0)
    assert intervals(mean(None), samples) == [Interval(float(mean(None)[0]))]


def test_an_undefined_statistic_has_no_interval() -> None:
    assert intervals(np.array([np.nan]), np.full((5, 1), np.nan)) == [None]


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(CairnError, match="negative"):
        bootstrap(mean, ONE, rng=np.random.default_rng(0), num_resamples=-1)
    with pytest.raises(CairnError, match="level"):
        intervals(mean(None), np.zeros((1, 1)), level=95)
    with pytest.raises(CairnError, match="low"):
        Interval(0.5, low=0.6, high=0.4)
