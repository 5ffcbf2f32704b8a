"""Training batches on CUDA: the processor's pictures, whatever the threads and the company."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cairn.config import AugmentConfig, Preprocess
from cairn.loading import TrainBatch, train_batches
from cairn.sampling import count_showings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def batches(
    paths: list[Path], steps: list[list[int]], device: str, workers: int
) -> list[TrainBatch]:
    return list(
        train_batches(
            paths,
            [count_showings(np.array(step, dtype=np.int64)) for step in steps],
            Preprocess(image_size=64),
            AugmentConfig(),
            seed=1,
            epoch=2,
            device=torch.device(device),
            workers=workers,
        )
    )


def test_batches_are_the_processor_s_and_hang_on_nothing_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.jpg" for number in range(12)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(path)
    paths[4].unlink()
    (whole,) = batches(paths, [list(range(12))], "cuda", 1)
    parts = batches(paths, [[0, 1, 2], [], [3, 4, 5, 6, 7], [8, 9, 10, 11]], "cuda", 4)
    assert whole.unreadable == ((4, "missing file"),)
    assert parts[1].images.shape == (0, 3, 64, 64)
    assert torch.equal(whole.images, torch.cat([part.images for part in parts]))
    assert whole.images.is_contiguous(memory_format=torch.channels_last)
    (expected,) = batches(paths, [list(range(12))], "cpu", 2)
    torch.testing.assert_close(whole.images.cpu(), expected.images, atol=2e-5, rtol=1e-4)
