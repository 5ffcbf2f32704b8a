"""Resamples keep their strata; intervals cover; pairing sharpens."""

import numpy as np
import pytest

from cairn.bootstrap import (
    Float64,
    Int64,
    Interval,
    bootstrap,
    bootstrap_runs,
    intervals,
    mean_over_runs,
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


def test_runs_and_queries_are_both_drawn() -> None:
    """A mean of R runs plus a mean of queries has the sum of both textbook variances."""
    rng = np.random.default_rng(2)
    runs, queries = np.array([0.0, 1.0, 5.0]), rng.normal(size=50)

    def statistic(counts: Int64 | None) -> Float64:
        weights = np.ones(50) if counts is None else counts
        mean = float(weights @ queries) / 50
        return np.stack([runs + mean, runs, np.full(3, mean)], axis=1)

    samples = bootstrap_runs(statistic, np.zeros(50, np.int64), rng=rng, num_resamples=20_000)
    both, of_runs, of_queries = samples.var(axis=0)
    assert of_runs == pytest.approx(runs.var(ddof=1) / 3, rel=0.03)  # not a third too small
    assert of_queries == pytest.approx(queries.var() / 50, rel=0.05)
    assert both == pytest.approx(of_runs + of_queries, rel=0.05)
    assert samples.mean(axis=0)[1] == pytest.approx(runs.mean(), abs=0.05)


def test_one_run_doubts_the_queries_alone_and_absent_runs_are_left_out() -> None:
    def one(counts: Int64 | None) -> Float64:
        return np.array([[3.0]])

    strata = np.zeros(4, np.int64)
    found = bootstrap_runs(one, strata, rng=np.random.default_rng(0), num_resamples=5)
    assert (found == 3).all()
    means = mean_over_runs(np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan]]))
    assert means[0] == 1.5
    assert np.isnan(means[1])
