from __future__ import annotations

import numpy as np

from cairn.sampling import epoch_order, image_rng


def test_an_epoch_sees_every_photograph_once() -> None:
    order = epoch_order(101, seed=3, epoch=7)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(101))
    assert order.tolist() != list(range(101))


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    first = epoch_order(50, seed=1, epoch=2)
    np.testing.assert_array_equal(first, epoch_order(50, seed=1, epoch=2))
    others = [epoch_order(50, seed=s, epoch=e).tolist() for s, e in ((2, 1), (1, 3), (3, 2))]
    assert first.tolist() not in others
    assert len({tuple(order) for order in others}) == 3


def test_each_photograph_and_epoch_draws_its_own_numbers() -> None:
    drawn = {
        (seed, epoch, row): image_rng(seed, epoch, row).random()
        for seed in range(3)
        for epoch in range(3)
        for row in range(3)
    }
    assert len(set(drawn.values())) == 27
    assert image_rng(1, 2, 0).random() == drawn[1, 2, 0]
