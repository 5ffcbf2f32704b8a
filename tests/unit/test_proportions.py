"""Intervals of proportions: worked out by hand, and SciPy as the oracle."""

import pytest
from scipy.stats import binomtest

from cairn.proportions import clopper_pearson, mcnemar, wilson


def test_wilson_intervals() -> None:
    # 10 of 10: z^2 / (n + z^2) lies below, nothing above. 5 of 10: worked out by hand.
    whole = wilson(1.0, 10)
    assert whole.low == pytest.approx(10 / (10 + 1.959964**2))
    assert whole.high == 1.0
    half = wilson(0.5, 10)
    assert half.low == pytest.approx(0.2366, abs=1e-4)
    assert half.high == pytest.approx(0.7634, abs=1e-4)


def test_none_of_n_has_the_exact_bound_of_the_textbook() -> None:
    # (1 - p)^n = 0.025.
    none = clopper_pearson(0, 20)
    assert (none.value, none.low) == (0.0, 0.0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 20), abs=1e-12)
    every = clopper_pearson(20, 20)
    assert every.high == 1.0
    assert every.low == pytest.approx(0.025 ** (1 / 20), abs=1e-12)
    assert clopper_pearson(0, 1).high == pytest.approx(0.975)


@pytest.mark.parametrize(("hits", "trials"), [(1, 7), (3, 200), (61, 615), (40, 115_000), (9, 10)])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_clopper_pearson_is_scipys(hits: int, trials: int, level: float) -> None:
    ours = clopper_pearson(hits, trials, level=level)
    theirs = binomtest(hits, trials).proportion_ci(level, method="exact")
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (5, 0), (12, 3), (40, 41), (900, 1000)])
def test_mcnemar_against_scipy(gained: int, lost: int) -> None:
    total = gained + lost
    wanted = binomtest(gained, total).pvalue if total else 1.0
    assert mcnemar(gained, lost) == pytest.approx(wanted)
