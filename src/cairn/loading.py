"""Photographs from files to training batches on the device: ordered, bounded, deterministic.

Threads decode, ahead of the training; on the processor they finish their photograph, too. For CUDA
they cut bytes into pinned memory, and the next batch is uploaded and changed on a stream of its own
while the model works on the one before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cairn.ahead import threaded_map
from cairn.augment import (
    LUMA,
    Change,
    Pixels,
    change_batch,
    change_table,
    cut,
    decode_size,
    draw_change,
    normalisation,
)
from cairn.config import AugmentConfig, Preprocess
from cairn.domain import Float32, Int64
from cairn.images import UnreadableImage, decode
from cairn.sampling import image_rng


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


@dataclass(frozen=True, eq=False)
class _Place:
    """Where a worker puts its photograph: number ``slot`` of the step's ``buffer``."""

    row: int
    showing: int
    slot: int
    buffer: Tensor


@dataclass(frozen=True, eq=False)
class _Part:
    """What the workers made of one step: photographs in memory, and their changes."""

    rows: Int64
    pixels: Tensor
    changes: tuple[Change, ...]
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

    The change of a photograph depends on (seed, epoch, row, showing) alone: neither the threads nor
    the company in its batch matter, to the last bit on one kind of device.

    Args:
        paths: Files of the whole table.
        steps: Of each step or part of one, (B, 2) rows and how often the epoch has shown each
            before (`cairn.sampling.count_showings`); B may be 0.
        preprocess: What the model expects.
        augment: How photographs are changed.
        seed: Of the run.
        epoch: Counted from 0 over the whole run.
        device: Where the images are wanted.
        workers: Decoding threads; 0 for as many as processors that this process may use.
    """
    side = preprocess.image_size
    on_cuda = device.type == "cuda"
    shape = (3, side, side) if on_cuda else (side, side, 3)
    dtype = torch.uint8 if on_cuda else torch.float32
    finish = None if on_cuda else _finisher(preprocess)
    buffers: dict[int, Tensor] = {}

    def places() -> Iterator[_Place]:
        for number, step in enumerate(steps):
            if len(step):
                buffers[number] = torch.empty((len(step), *shape), dtype=dtype, pin_memory=on_cuda)
            for slot, (row, showing) in enumerate(step.tolist()):
                yield _Place(row, showing, slot, buffers[number])

    def load(place: _Place) -> Change | str:
        rng = image_rng(seed, epoch, place.row, showing=place.showing)
        change = draw_change(preprocess, augment, rng)
        try:
            image = decode(paths[place.row], min_side=decode_size(preprocess, change.box))
        except UnreadableImage as error:
            return error.reason
        pixels_3SS = cut(image, change.box, preprocess)
        if finish is None:
            place.buffer[place.slot] = torch.from_numpy(pixels_3SS)
        else:
            finish(pixels_3SS, change, place.buffer[place.slot].numpy())
        return change

    def parts() -> Iterator[_Part]:
        ahead = max((len(step) for step in steps), default=0)
        results = threaded_map(load, places(), ahead=ahead, workers=workers)
        for number, step in enumerate(steps):
            found = [next(results) for _ in step]
            buffer = buffers.pop(number) if len(step) else torch.empty((0, *shape), dtype=dtype)
            yield _part(step[:, 0], found, buffer)

    if on_cuda:
        yield from _uploaded(parts(), preprocess, device)
        return
    for part in parts():
        yield TrainBatch(part.rows, part.pixels.permute(0, 3, 1, 2), part.unreadable)


def _finisher(preprocess: Preprocess) -> Callable[[Pixels, Change, Float32], None]:
    """Return what writes a changed, normalised photograph (S, S, 3) on the processor."""
    from cairn.pixels import change_pixels  # loads the compiler

    luma_3 = np.array(LUMA, dtype=np.float32)
    scale_3, shift_3 = normalisation(preprocess)

    def finish(pixels_3SS: Pixels, change: Change, out_SS3: Float32) -> None:
        table_K = change_table([change])[0]
        change_pixels(pixels_3SS, table_K, luma_3, scale_3, shift_3, out_SS3)

    return finish


def _part(step: Int64, found: Sequence[Change | str], buffer: Tensor) -> _Part:
    """Return the step's part without its unreadable photographs."""
    good = [slot for slot, change in enumerate(found) if isinstance(change, Change)]
    bad = tuple((int(step[i]), why) for i, why in enumerate(found) if isinstance(why, str))
    return _Part(
        np.asarray(step, dtype=np.int64)[good],
        buffer[good] if bad else buffer,
        tuple(change for change in found if isinstance(change, Change)),
        bad,
    )


def _uploaded(
    parts: Iterator[_Part], preprocess: Preprocess, device: torch.device
) -> Iterator[TrainBatch]:
    """Yield the parts as batches on a CUDA device, each made while the one before is in use."""
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    waiting: deque[tuple[TrainBatch, torch.cuda.Event]] = deque()
    for part in parts:
        table_BK = torch.from_numpy(change_table(part.changes)).pin_memory()
        with torch.cuda.stream(stream):
            images = change_batch(
                part.pixels.to(device, non_blocking=True),
                table_BK.to(device, non_blocking=True),
                preprocess,
            )
        batch = TrainBatch(part.rows, images, part.unreadable)
        waiting.append((batch, stream.record_event()))
        if len(waiting) > 1:
            yield _handed_over(*waiting.popleft(), device)
    while waiting:
        yield _handed_over(*waiting.popleft(), device)


def _handed_over(batch: TrainBatch, made: torch.cuda.Event, device: torch.device) -> TrainBatch:
    """Return the batch once the model's stream is told to wait for it, and to keep its memory."""
    current = torch.cuda.current_stream(device)
    current.wait_event(made)
    batch.images.record_stream(current)
    return batch
