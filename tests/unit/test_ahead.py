"""Work ahead: order, how far it runs, and how it ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from cairn.ahead import num_processors, threaded_map


def test_processors_are_those_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 5, 7}, raising=False)
    assert num_processors() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert num_processors() == 1


def test_results_keep_their_order_whoever_is_quicker() -> None:
    """The first item is held back until a later one is done."""
    later = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert later.wait(20)
        elif number == 2:
            later.set()
        return number * number

    assert list(threaded_map(work, range(5), ahead=4, workers=2)) == [0, 1, 4, 9, 16]


def test_work_ahead_is_bounded() -> None:
    drawn = 0

    def items() -> Iterator[int]:
        nonlocal drawn
        for number in range(100):
            drawn += 1
            yield number

    results = threaded_map(abs, items(), ahead=5, workers=2)
    assert drawn == 0, "nothing is done before it is asked for"
    for number in range(20):
        assert next(results) == number
        assert drawn <= number + 1 + 5 + 2 * 2
    results.close()  # type: ignore[attr-defined]
    assert drawn < 40


def test_threads_end_with_the_loop_and_faults_come_through() -> None:
    def work(number: int) -> float:
        return 1 / (number - 3)

    before = threading.active_count()
    results = threaded_map(work, range(10), ahead=2, workers=2)
    assert next(results) == pytest.approx(-1 / 3)
    with pytest.raises(ZeroDivisionError):
        list(results)
    assert threading.active_count() == before
    short = threaded_map(work, [9], ahead=2, workers=2)
    assert next(short) == pytest.approx(1 / 6)
    short.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
