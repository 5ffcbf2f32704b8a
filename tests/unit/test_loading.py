"""Photographs to batches: order, unreadable files, and how far decoding runs ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cairn.domain import Float32
from cairn.loading import load_batches, threaded_map


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten flat photographs whose grey tells their number; 3 is no image and 8 is missing."""
    folder = tmp_path_factory.mktemp("照片")
    paths = [folder / f"{number}.png" for number in range(10)]
    for number, path in enumerate(paths):
        Image.new("RGB", (9, 7), (number * 10,) * 3).save(path)
    paths[3].write_text("not an image")
    paths[8].unlink()
    return paths


def grey(image: Image.Image, row: int) -> Float32:
    value = np.asarray(image)[0, 0, 0]
    assert value == row * 10, "the row belongs to the photograph"
    return np.full((3, 2, 2), value, dtype=np.float32)


@pytest.mark.parametrize("workers", [1, 3])
def test_batches_keep_the_order_asked_for(paths: list[Path], workers: int) -> None:
    rows = [9, 0, 5, 1, 7, 2, 2]
    batches = list(load_batches(paths, rows, grey, batch_size=3, workers=workers))
    assert [batch.rows.tolist() for batch in batches] == [[9, 0, 5], [1, 7, 2], [2]]
    for batch in batches:
        assert batch.rows.dtype == np.int64
        assert batch.images.shape == (len(batch.rows), 3, 2, 2)
        assert batch.images.dtype == np.float32
        np.testing.assert_array_equal(batch.images[:, 0, 0, 0], batch.rows * 10)
        assert batch.unreadable == ()


def test_unreadable_photographs_are_named_and_left_out(paths: list[Path]) -> None:
    batches = list(load_batches(paths, np.arange(10), grey, batch_size=4, workers=2))
    assert [batch.rows.tolist() for batch in batches] == [[0, 1, 2], [4, 5, 6, 7], [9]]
    assert [batch.unreadable for batch in batches] == [
        ((3, "not an image"),), (), ((8, "missing file"),)
    ]  # fmt: skip


def test_a_batch_of_nothing_readable_is_empty(paths: list[Path]) -> None:
    (batch,) = load_batches(paths, [3, 8], grey, batch_size=4)
    assert len(batch.rows) == len(batch.images) == 0
    assert [row for row, _ in batch.unreadable] == [3, 8]
    assert list(load_batches(paths, [], grey, batch_size=4)) == []


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
