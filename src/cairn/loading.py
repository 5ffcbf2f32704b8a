"""Photographs from files to batches, decoded by threads: ordered, bounded, deterministic.

Threads suffice because Pillow lets go of the interpreter while it decodes and resamples; no
process is forked, so nothing that holds locks or devices is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cairn.ahead import threaded_map
from cairn.augment import decode_side, train_transform
from cairn.config import AugmentConfig, Preprocess
from cairn.domain import Float32, Int64
from cairn.images import UnreadableImage, decode
from cairn.sampling import image_rng

Prepare = Callable[[Image.Image, int], Float32]


@dataclass(frozen=True)
class Batch:
    """Decoded photographs.

    Args:
        rows: (B,) int64 rows of the table they came from.
        images: (B, 3, S, S) float32, normalised.
        unreadable: Row and reason of the photographs that could not be decoded.
    """

    rows: Int64
    images: Float32
    unreadable: tuple[tuple[int, str], ...]


@dataclass(frozen=True, eq=False)
class TrainBatch:
    """Photographs of one training step, changed at random, on the device.

    Args:
        rows: (B,) int64 rows of the table they came from; B may be 0.
        images: (B, 3, S, S) float32, normalised, channels-last.
        unreadable: Row and reason of the photographs that could not be decoded.
    """

    rows: Int64
    images: Tensor
    unreadable: tuple[tuple[int, str], ...]


def train_batches(
    paths: Sequence[Path],
    steps: Sequence[Int64],
    preprocess: Preprocess,
    augment: AugmentConfig,
    *,
    seed: int,
    epoch: int,
    device: torch.device,
    workers: int = 0,
) -> Iterator[TrainBatch]:
    """Yield one batch for each entry of ``steps``, in order, ready for the model.

    The change of a photograph depends on (seed, epoch, row) alone: neither the threads nor the
    company in its batch matter.

    Args:
        paths: Files of the whole table.
        steps: Rows of each step or part of one; an entry may be empty.
        preprocess: What the model expects.
        augment: How photographs are changed.
        seed: Of the run.
        epoch: Counted from 0 over the whole run.
        device: Where the images are wanted.
        workers: Decoding threads; 0 for as many as this process may use processors.
    """
    change = train_transform(preprocess, augment)
    min_side, side = decode_side(preprocess, augment), preprocess.image_size

    def load(row: int) -> tuple[int, Float32 | str]:
        try:
            image = decode(paths[row], min_side=min_side)
        except UnreadableImage as error:
            return row, error.reason
        return row, change(image, image_rng(seed, epoch, row))

    ahead = max((len(step) for step in steps), default=0)
    rows = (int(row) for step in steps for row in step)
    loaded = threaded_map(load, rows, ahead=ahead, workers=workers)
    for step in steps:
        batch = _batch([next(loaded) for _ in step])
        images = (
            torch.from_numpy(batch.images) if len(batch.rows) else torch.empty(0, 3, side, side)
        )
        images = images.to(device, memory_format=torch.channels_last)
        yield TrainBatch(batch.rows, images, batch.unreadable)


def load_batches(
    paths: Sequence[Path],
    rows: Sequence[int] | Int64,
    prepare: Prepare,
    *,
    batch_size: int,
    min_side: int | None = None,
    workers: int = 0,
) -> Iterator[Batch]:
    """Yield the photographs at ``rows`` in order, in batches; unreadable ones are named, left out.

    Args:
        paths: Files of the whole table.
        rows: Which of them, in the order wanted.
        prepare: From an RGB image and its row to float32 (3, S, S).
        batch_size: Photographs a batch; the last may be smaller, and a batch with unreadable
            photographs is smaller by these.
        min_side: Pixels of the shorter side that the decoder must keep.
        workers: Decoding threads; 0 for as many as processors.
    """

    def load(row: int) -> tuple[int, Float32 | str]:
        try:
            return row, prepare(decode(paths[row], min_side=min_side), row)
        except UnreadableImage as error:
            return row, error.reason

    pending: list[tuple[int, Float32 | str]] = []
    numbers = (int(row) for row in rows)
    for loaded in threaded_map(load, numbers, ahead=batch_size, workers=workers):
        pending.append(loaded)
        if len(pending) == batch_size:
            yield _batch(pending)
            pending = []
    if pending:
        yield _batch(pending)


def _batch(loaded: Sequence[tuple[int, Float32 | str]]) -> Batch:
    good = [(row, image) for row, image in loaded if not isinstance(image, str)]
    bad = tuple((row, reason) for row, reason in loaded if isinstance(reason, str))
    images = np.stack([image for _, image in good]) if good else np.empty((0, 3, 1, 1), np.float32)
    return Batch(np.array([row for row, _ in good], dtype=np.int64), images, bad)
