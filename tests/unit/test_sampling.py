from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.config import SamplingConfig
from cairn.domain import Int64
from cairn.errors import CairnError
from cairn.sampling import (
    count_showings,
    epoch_length,
    epoch_rows,
    image_rng,
    process_share,
    step_rows,
)

LABELS = np.repeat(np.arange(5), [1, 2, 4, 20, 73])  # 100 photographs of five landmarks
KINDS = ("instance", "balanced", "sqrt", "progressive")


def shown(labels: Int64, *, epoch: int = 0, progress: float = 0.0, **settings: object) -> Int64:
    config = SamplingConfig.model_validate(settings)
    return epoch_rows(labels, config, seed=3, epoch=epoch, progress=progress)


def per_landmark(labels: Int64, rows: Int64) -> list[int]:
    return [int(count) for count in np.bincount(labels[rows], minlength=labels.max() + 1)]


def test_an_epoch_of_instances_shows_every_photograph_once() -> None:
    order = shown(LABELS, epoch=7)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(100))
    assert order.tolist() != list(range(100))


def test_balanced_by_hand() -> None:
    assert per_landmark(LABELS, shown(LABELS, kind="balanced")) == [20] * 5


def test_square_roots_by_hand() -> None:
    """Roots of 1, 4, 25 sum to 8: of 30 photographs 3.75, 7.5 and 18.75, rounded up or down."""
    labels = np.repeat([0, 1, 2], [1, 4, 25])
    found = [per_landmark(labels, shown(labels, epoch=e, kind="sqrt")) for e in range(400)]
    for landmark, expected in enumerate((3.75, 7.5, 18.75)):
        draws = [counts[landmark] for counts in found]
        assert set(draws) == {int(expected), int(expected) + 1}
        assert np.mean(draws) == pytest.approx(expected, abs=0.08)


def test_progressive_goes_from_instances_to_balance() -> None:
    halfway = [(n / 100 + 1 / 5) / 2 * 100 for n in (1, 2, 4, 20, 73)]
    for progress, expected in ((0.0, [1, 2, 4, 20, 73]), (0.5, halfway), (1.0, [20] * 5)):
        found = per_landmark(LABELS, shown(LABELS, kind="progressive", progress=progress))
        assert np.abs(np.array(found) - expected).max() < 1


def test_a_photograph_returns_after_all_of_its_landmark() -> None:
    times = np.bincount(shown(LABELS, kind="balanced"), minlength=100)
    for landmark in range(5):
        own = times[np.isin(LABELS, landmark)]
        assert own.max() - own.min() <= 1


def test_a_cap_draws_other_photographs_each_epoch() -> None:
    first, second = (shown(LABELS, epoch=e, cap=5) for e in (0, 1))
    assert per_landmark(LABELS, first) == [1, 2, 4, 5, 5]
    assert len(first) == epoch_length(LABELS, SamplingConfig(cap=5)) == 17
    assert len(np.unique(first)) == 17
    assert set(first[LABELS[first] == 4].tolist()) != set(second[LABELS[second] == 4].tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_small_landmarks_may_be_left_out(kind: str) -> None:
    rows = shown(LABELS, kind=kind, min_images=4, progress=0.3)
    found = per_landmark(LABELS, rows)
    assert found[:2] == [0, 0]
    assert min(found[2:]) >= 4
    assert len(rows) == 97
    with pytest.raises(CairnError, match="no landmark has 74"):
        shown(LABELS, kind=kind, min_images=74)


@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12).filter(any),
    kind=st.sampled_from(KINDS),
    cap=st.none() | st.integers(1, 20),
    progress=st.floats(0, 1),
    epoch=st.integers(0, 1000),
)
def test_every_epoch_is_whole(
    sizes: list[int], kind: str, cap: int | None, progress: float, epoch: int
) -> None:
    """Landmarks without photographs among them: as many as promised, evenly used, repeatable."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    config = SamplingConfig.model_validate({"kind": kind, "cap": cap})
    rows = epoch_rows(labels, config, seed=1, epoch=epoch, progress=progress)
    assert len(rows) == epoch_length(labels, config) == sum(min(n, cap or n) for n in sizes)
    again = epoch_rows(labels, config, seed=1, epoch=epoch, progress=progress)
    np.testing.assert_array_equal(rows, again)
    times = np.bincount(rows, minlength=len(labels))
    for landmark in np.unique(labels):
        own = times[labels == landmark]
        assert own.max() - own.min() <= 1


@given(
    length=st.integers(0, 300),
    batch_size=st.integers(2, 70),
    size=st.integers(1, 9),
)
def test_steps_and_shares_lose_and_double_nothing(length: int, batch_size: int, size: int) -> None:
    order = np.random.default_rng(0).permutation(length)
    steps = step_rows(order, batch_size)
    sizes = [len(step) for step in steps]
    assert len(steps) == -(-length // batch_size)
    assert max(sizes, default=0) <= batch_size
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    shares = [process_share(step, rank, size) for step in steps for rank in range(size)]
    np.testing.assert_array_equal(np.concatenate([order[:0], *shares]), order)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    config = SamplingConfig()
    orders = {
        tuple(epoch_rows(LABELS, config, seed=seed, epoch=epoch, progress=0))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(orders) == 9


def test_each_photograph_and_epoch_draws_its_own_numbers() -> None:
    drawn = {
        (seed, epoch, row, showing): image_rng(seed, epoch, row, showing=showing).random()
        for seed in range(3)
        for epoch in range(3)
        for row in range(3)
        for showing in range(3)
    }
    assert len(set(drawn.values())) == 81
    assert image_rng(1, 2, 0).random() == drawn[1, 2, 0, 0]


def test_showings_are_counted_in_the_order_of_showing() -> None:
    counted = count_showings(np.array([7, 3, 7, 7, 0, 3]))
    assert counted.tolist() == [[7, 0], [3, 0], [7, 1], [7, 2], [0, 0], [3, 1]]
    assert count_showings(np.array([], dtype=np.int64)).shape == (0, 2)
    assert [step.tolist() for step in step_rows(counted, 4)][1] == counted[3:].tolist()
