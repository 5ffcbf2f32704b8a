"""Photographs to batches: order, unreadable files, and batches that do not hang on company."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cairn.config import AugmentConfig, Preprocess
from cairn.loading import TrainBatch, train_batches
from cairn.sampling import count_showings


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


def train(
    paths: list[Path], steps: list[list[int]], *, workers: int, seed: int = 3, epoch: int = 1
) -> list[TrainBatch]:
    return list(
        train_batches(
            paths,
            [count_showings(np.array(step, dtype=np.int64)) for step in steps],
            Preprocess(image_size=16),
            AugmentConfig(),
            seed=seed,
            epoch=epoch,
            device=torch.device("cpu"),
            workers=workers,
        )
    )


def test_training_batches_do_not_hang_on_threads_or_company(paths: list[Path]) -> None:
    (whole,) = train(paths, [[9, 0, 5, 1]], workers=1)
    parts = train(paths, [[9], [], [0, 5, 1]], workers=3)
    assert [part.rows.tolist() for part in parts] == [[9], [], [0, 5, 1]]
    assert parts[1].images.shape == (0, 3, 16, 16)
    assert torch.equal(whole.images, torch.cat([part.images for part in parts]))
    assert whole.images.is_contiguous(memory_format=torch.channels_last)
    for other in (
        train(paths, [[9, 0, 5, 1]], workers=1, epoch=2),
        train(paths, [[9, 0, 5, 1]], workers=1, seed=4),
    ):
        assert not torch.equal(whole.images, other[0].images)


def test_a_photograph_shown_again_is_changed_anew(paths: list[Path]) -> None:
    (twice,) = train(paths, [[9, 5, 9]], workers=2)
    assert not torch.equal(twice.images[0], twice.images[2])
    (once,) = train(paths, [[9]], workers=1)
    assert torch.equal(twice.images[0], once.images[0])


def test_batches_keep_the_order_asked_for(paths: list[Path]) -> None:
    """Without changes a flat grey photograph of value v is v / 255, normalised, everywhere."""
    still = AugmentConfig(flip=0, brightness=0, contrast=0, saturation=0, erase=0)
    raw = Preprocess(image_size=16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    rows = [9, 0, 5, 1, 7, 2, 2]
    steps = np.split(count_showings(np.array(rows)), [3, 6])
    batches = list(
        train_batches(paths, steps, raw, still, seed=0, epoch=0, device=torch.device("cpu"))
    )
    assert [batch.rows.tolist() for batch in batches] == [[9, 0, 5], [1, 7, 2], [2]]
    for batch in batches:
        assert batch.rows.dtype == np.int64
        assert batch.images.dtype == torch.float32
        expected = torch.from_numpy(batch.rows * 10 / 255).float()[:, None, None, None]
        torch.testing.assert_close(batch.images, expected.expand_as(batch.images))
        assert batch.unreadable == ()
    assert (
        list(train_batches(paths, [], raw, still, seed=0, epoch=0, device=torch.device("cpu")))
        == []
    )


def test_training_batches_name_unreadable_photographs(paths: list[Path]) -> None:
    first, second = train(paths, [[3, 8], [8, 2]], workers=2)
    assert first.images.shape == (0, 3, 16, 16)
    assert first.unreadable == ((3, "not an image"), (8, "missing file"))
    assert second.rows.tolist() == [2]
    assert second.unreadable == ((8, "missing file"),)
