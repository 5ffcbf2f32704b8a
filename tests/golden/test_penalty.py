"""The penalty of system S6, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cairn.penalty import PenaltyRule, penalty_table

# min_n 3, max_n 12: a step is 0.7 / 10 = 0.07, and n picks are n - 2 steps up. Mean similarity 0.5.
FROM_MIN = {
    0: 0.0,
    2: 0.0,  # min_n - 1
    3: (0.30 + 1 * 0.07) * 0.5,  # min_n: 0.185
    4: (0.30 + 2 * 0.07) * 0.5,
    7: (0.30 + 5 * 0.07) * 0.5,  # 0.325
    11: (0.30 + 9 * 0.07) * 0.5,  # max_n - 1: 0.465
    12: 0.5,  # max_n: the whole mean similarity
    40: 0.5,
}
FROM_ZERO = {2: 0.0, 3: 0.035, 4: 0.07, 7: 0.175, 11: 0.315, 12: 0.5, 40: 0.5}


@pytest.mark.parametrize(
    ("ramp", "n_picked", "penalty"),
    [("from-min", n, p) for n, p in FROM_MIN.items()]
    + [("from-zero", n, p) for n, p in FROM_ZERO.items()],
)
def test_published_proportions(ramp: str, n_picked: int, penalty: float) -> None:
    rule = PenaltyRule(3, 12, 0.3, 1.0, ramp, 1.0)
    half = np.array([0.5], dtype=np.float32)
    np.testing.assert_allclose(rule.penalties(np.array([n_picked]), half), [penalty], rtol=1e-6)


@pytest.mark.parametrize(
    ("min_n", "penalties"),
    [  # at 2, 3, 4 and 5 picks of mean similarity 1; steps 0.7 / 11, 0.7 / 10, 0.7 / 9
        (2, [0.3636364, 0.4272727, 0.4909091, 0.5545455]),
        (3, [0.0, 0.37, 0.44, 0.51]),
        (4, [0.0, 0.0, 0.3777778, 0.4555556]),
    ],
)
def test_published_sweep_of_min_n(min_n: int, penalties: list[float]) -> None:
    rule = PenaltyRule(min_n, 12, 0.3, 1.0, "from-min", 1.0)
    ones = np.ones(4, dtype=np.float32)
    np.testing.assert_allclose(rule.penalties(np.array([2, 3, 4, 5]), ones), penalties, rtol=1e-6)


def test_the_ramp_from_min_reaches_the_whole_continuously_at_max_n() -> None:
    # The ramp's own formula at n = max_n: 0.3 + 0.7 / 10 * 10 = 1.
    rule = PenaltyRule(3, 12, 0.3, 1.0, "from-min", 1.0)
    shares = rule.penalties(np.arange(2, 14), np.ones(12, dtype=np.float32))
    np.testing.assert_allclose(np.diff(shares)[1:-1], 0.07, atol=1e-6)
    assert shares[-1] == shares[-2] == 1.0


def test_a_whole_table_by_hand() -> None:
    # Gallery on the axes of the plane and the diagonal; four bank images pick two rows each.
    diagonal = np.sqrt(0.5)
    gallery = np.array([[1, 0], [0, 1], [diagonal, diagonal], [-1, 0]], dtype=np.float32)
    bank = np.array([[0.8, 0.6], [0.6, 0.8], [1, 0], [0, -1]], dtype=np.float32)
    # similarities: row 0: .8 .6 1.4d -.8 | .6 .8 1.4d -.6 | 1 0 d -1 | 0 -1 -d 0
    # picks:        {2, 0}                 | {2, 1}          | {0, 2}   | {0, 3}, equal at 0: both
    table = penalty_table(gallery, bank, top=2, min_n=2, max_n=3)
    assert table.n_picked.tolist() == [3, 1, 3, 1]
    np.testing.assert_allclose(
        table.sims, [(0.8 + 1 + 0) / 3, 0.8, (1.4 + 1.4 + 1) * diagonal / 3, 0], rtol=1e-6
    )
    # min_n 2, max_n 3: a step is 0.35; three picks cost all, one pick nothing.
    np.testing.assert_allclose(table.penalty, [0.6, 0, 3.8 / 3 * diagonal, 0], rtol=1e-6)
    capped = penalty_table(gallery, bank, top=2, min_n=2, max_n=2, strength=0.5)
    assert capped.n_picked.tolist() == [2, 1, 2, 1]
    np.testing.assert_allclose(capped.sims, table.sims)  # the mean is over all picks
    np.testing.assert_allclose(capped.penalty, table.penalty / 2)
