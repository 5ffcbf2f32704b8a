"""Resamples keep their strata; intervals cover; pairing sharpens."""

import numpy as np
import pytest
from scipy.stats import norm

from cairn.bootstrap import (
    Float64,
    Int64,
    Interval,
    bootstrap,
    bootstrap_runs,
    chance_of_difference,
    holm,
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


def halves(samples: Float64, values: Float64) -> list[float]:
    """Return half the width of each interval."""
    found = intervals(mean_over_runs(values), samples)
    assert all(one is not None and one.low is not None for one in found)
    return [(one.high - one.low) / 2 for one in found if one and one.low is not None and one.high]


def test_runs_and_queries_are_both_doubted() -> None:
    """Means of R runs and of queries have their textbook intervals; the sum has Welch's."""
    rng = np.random.default_rng(2)
    runs, queries = np.array([0.0, 1.0, 5.0]), rng.normal(size=50)
    error = runs.std(ddof=1) / 3**0.5
    queries *= error / (queries.std() / 50**0.5)

    def statistic(counts: Int64 | None) -> Float64:
        weights = np.ones(50) if counts is None else counts
        mean = float(weights @ queries) / 50
        return np.stack([runs + mean, runs, np.full(3, mean)], axis=1)

    samples = bootstrap_runs(statistic, np.zeros(50, np.int64), rng=rng, num_resamples=40_000)
    both, of_runs, of_queries = halves(samples, statistic(None))
    assert of_runs == pytest.approx(4.303 * error, rel=0.05)  # t of 2 degrees of freedom
    assert of_queries == pytest.approx(1.960 * error, rel=0.05)
    assert both == pytest.approx(2.306 * 2**0.5 * error, rel=0.05)  # of 2 (1 + 1)^2 = 8
    assert np.median(samples, axis=0)[1] == pytest.approx(runs.mean(), abs=0.05)


@pytest.mark.parametrize("num_runs", [2, 3, 5])
@pytest.mark.parametrize("noise_of_queries", [0.0, 1.0])
def test_chance_alone_leaves_nought_outside_about_as_often_as_it_says(
    num_runs: int, noise_of_queries: float
) -> None:
    rng = np.random.default_rng(7)
    trials = 2000
    runs = rng.normal(size=(num_runs, trials)) * num_runs**0.5
    queries = rng.normal(size=(40, trials)) * noise_of_queries * 40**0.5

    def statistic(counts: Int64 | None) -> Float64:
        weights = np.ones(40) if counts is None else counts
        mean: Float64 = runs + weights @ queries / 40
        return mean

    samples = bootstrap_runs(statistic, np.zeros(40, np.int64), rng=rng, num_resamples=1000)
    found = intervals(mean_over_runs(statistic(None)), samples)
    outside = [one is None or one.low is None or one.low * (one.high or 0) > 0 for one in found]
    assert np.mean(outside) == pytest.approx(0.05, abs=0.04)  # Welch: 8 % at worst


def test_one_run_doubts_the_queries_alone_and_absent_runs_are_left_out() -> None:
    def one(counts: Int64 | None) -> Float64:
        return np.array([[3.0]])

    strata = np.zeros(4, np.int64)
    found = bootstrap_runs(one, strata, rng=np.random.default_rng(0), num_resamples=5)
    assert (found == 3).all()
    means = mean_over_runs(np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan]]))
    assert means[0] == 1.5
    assert np.isnan(means[1])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_chance_of_a_difference_counts_both_tails() -> None:
    differences = np.concatenate([np.full(95, 1.0), np.full(4, -1.0), [np.nan]])
    assert chance_of_difference(differences) == pytest.approx(2 * 5 / 100)
    assert chance_of_difference(-differences) == pytest.approx(2 * 5 / 100)
    assert chance_of_difference(np.zeros(10)) == 1.0
    assert chance_of_difference(np.empty(0)) == 1.0
    assert chance_of_difference(np.ones(999)) == pytest.approx(2 / 1000)


def test_the_chance_of_a_difference_is_about_that_of_a_normal_test() -> None:
    rng = np.random.default_rng(4)
    values = rng.normal(0.2, 1.0, 100)
    drawn = rng.choice(values, (20_000, 100)).mean(axis=1)
    z = values.mean() / values.std() * 10
    assert chance_of_difference(drawn) == pytest.approx(2 * norm.sf(abs(z)), abs=0.02)
