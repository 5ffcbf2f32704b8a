"""The micro-batcher with a pretended network: order, batches, bounds, time, and its end."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from cairn.serve.batching import Batcher, BatchReport, Busy, Closed

FAR = time.monotonic() + 1e6


class Network:
    """Squares numbers; can be held in the middle of a batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.prepared: list[int] = []
        self.go, self.running = threading.Event(), threading.Event()
        self.go.set()

    def prepare(self, item: int) -> int:
        self.prepared.append(item)
        if item < 0:
            raise ValueError(item)
        return item

    def run(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        self.running.set()
        assert self.go.wait(60)
        if 13 in batch:
            raise RuntimeError("thirteen")
        return [item * item for item in batch]


@contextmanager
def batcher(network: Network, **wishes: Any) -> Iterator[Batcher[int, int, int]]:
    given = {"max_batch": 4, "max_wait_s": 0.0, "queue": 100, "preparers": 2, **wishes}
    made = Batcher[int, int, int](network.prepare, network.run, **given)
    try:
        yield made
    finally:
        network.go.set()
        made.close(60)


def held(network: Network, made: Batcher[int, int, int]) -> Any:
    """Let the network be busy with a number, so that what comes waits."""
    network.go.clear()
    (future,) = made.submit([100], group="g", deadline=FAR)
    assert network.running.wait(60)
    return future


def all_ready(made: Batcher[int, int, int], count: int) -> None:
    end = time.monotonic() + 60
    while len(made._ready) < count:
        assert time.monotonic() < end
        threading.Event().wait(0.005)


def test_results_come_in_the_order_of_the_items() -> None:
    network = Network()
    with batcher(network) as made:
        futures = made.submit(list(range(1, 11)), group="g", deadline=FAR)
        assert [one.result(60) for one in futures] == [n * n for n in range(1, 11)]
    assert max(map(len, network.batches)) <= 4


def test_what_waits_while_the_network_runs_goes_together() -> None:
    network, reports = Network(), list[BatchReport]()
    with batcher(network, on_batch=reports.append) as made:
        first = held(network, made)
        futures = made.submit([1, 2, 3, 4, 5, 6], group="g", deadline=FAR)
        all_ready(made, 6)
        assert made.num_waiting == 7
        network.go.set()
        assert first.result(60) == 10_000
        assert sorted(one.result(60) for one in futures) == [1, 4, 9, 16, 25, 36]
    assert [len(one) for one in network.batches] == [1, 4, 2]
    assert [one.size for one in reports] == [1, 4, 2]
    assert reports[0].waiting == 6


def test_groups_never_go_together_and_none_is_overtaken_for_ever() -> None:
    network = Network()
    with batcher(network, preparers=1) as made:
        held(network, made)
        futures = [
            made.submit([n], group=group, deadline=FAR)[0]
            for n, group in ((1, "a"), (2, "b"), (3, "a"), (4, "b"))
        ]
        all_ready(made, 4)
        network.go.set()
        for one in futures:
            one.result(60)
    assert network.batches == [[100], [1, 3], [2, 4]]


def test_a_full_queue_takes_all_of_a_request_or_none() -> None:
    network = Network()
    with batcher(network, queue=3) as made:
        held(network, made)
        with pytest.raises(Busy) as busy:
            made.submit([1, 2, 3], group="g", deadline=FAR)
        assert busy.value.retry_after_s >= 1
        futures = made.submit([1, 2], group="g", deadline=FAR)
        network.go.set()
        assert sorted(one.result(60) for one in futures) == [1, 4]
        assert 3 not in network.prepared


def test_work_that_nobody_waits_for_is_dropped() -> None:
    network = Network()
    with batcher(network, preparers=1) as made:
        held(network, made)
        gone, late, kept = (
            made.submit([n], group="g", deadline=end)[0]
            for n, end in ((1, FAR), (2, time.monotonic() - 1), (3, FAR))
        )
        with pytest.raises(TimeoutError):
            late.result(60)
        all_ready(made, 2)
        assert gone.cancel()
        network.go.set()
        assert kept.result(60) == 9
    assert network.batches == [[100], [3]]
    assert 2 not in network.prepared


def test_a_fault_of_one_item_or_of_one_batch_ends_there() -> None:
    network = Network()
    with batcher(network, max_batch=1) as made:
        bad, thirteen, good = made.submit([-1, 13, 5], group="g", deadline=FAR)
        with pytest.raises(ValueError, match="-1"):
            bad.result(60)
        with pytest.raises(RuntimeError, match="thirteen"):
            thirteen.result(60)
        assert good.result(60) == 25


def test_closing_finishes_what_was_accepted_and_takes_no_more() -> None:
    network = Network()
    with batcher(network) as made:
        first = held(network, made)
        futures = made.submit([1, 2], group="g", deadline=FAR)
        ended: list[bool] = []
        closing = threading.Thread(target=lambda: ended.append(made.close(60)))
        closing.start()
        while not made._is_closed:
            threading.Event().wait(0.005)
        with pytest.raises(Closed):
            made.submit([3], group="g", deadline=FAR)
        network.go.set()
        closing.join(60)
        assert ended == [True]
        assert [one.result(0) for one in (first, *futures)] == [10_000, 1, 4]


def test_closing_says_when_time_was_short() -> None:
    network = Network()
    with batcher(network) as made:
        held(network, made)
        assert made.close(0.01) is False


def test_a_batch_waits_for_what_is_being_prepared_but_not_for_nothing() -> None:
    network, slow = Network(), threading.Event()

    def prepare(item: int) -> int:
        if item == 2:
            assert slow.wait(60)
        return item

    made = Batcher[int, int, int](
        prepare, network.run, max_batch=4, max_wait_s=60, queue=9, preparers=2
    )
    first, second = made.submit([1, 2], group="g", deadline=FAR)
    all_ready(made, 1)
    assert network.batches == [], "the first went alone while another was on its way"
    slow.set()
    assert (first.result(60), second.result(60)) == (1, 4)
    (alone,) = made.submit([3], group="g", deadline=FAR)
    assert alone.result(30) == 9, "one that comes alone was held up"
    assert network.batches == [[1, 2], [3]]
    made.close(60)


class Version:
    """What a group may be: a version of a gallery, say."""


def test_a_batcher_that_waits_holds_no_group() -> None:
    group, end = Version(), time.monotonic() + 60
    with batcher(Network()) as made:
        (future,) = made.submit([3], group=group, deadline=FAR)
        assert future.result(60) == 9
        left = weakref.ref(group)
        del group, future
        while left() is not None:
            assert time.monotonic() < end
            threading.Event().wait(0.01)
