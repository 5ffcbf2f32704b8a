"""Photographs from files to batches, decoded by threads: ordered, bounded, deterministic.

Threads suffice because Pillow lets go of the interpreter while it decodes and resamples; no
process is forked, so nothing that holds locks or devices is copied.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from cairn.domain import Float32, Int64
from cairn.images import UnreadableImage, decode

A = TypeVar("A")
B = TypeVar("B")
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


def threaded_map(
    function: Callable[[A], B], items: Iterable[A], *, ahead: int, workers: int = 0
) -> Iterator[B]:
    """Yield ``function(item)`` in the order of the items, computed ahead by threads.

    Args:
        function: Must be safe to call from several threads.
        items: Drawn at most ``ahead`` items, and two a thread, before they are yielded.
        ahead: How many results may wait.
        workers: Threads; 0 for as many as processors.
    """
    workers = workers or os.cpu_count() or 1
    waiting: deque[Future[B]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead + 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _batch(loaded: Sequence[tuple[int, Float32 | str]]) -> Batch:
    good = [(row, image) for row, image in loaded if not isinstance(image, str)]
    bad = tuple((row, reason) for row, reason in loaded if isinstance(reason, str))
    images = np.stack([image for _, image in good]) if good else np.empty((0, 3, 1, 1), np.float32)
    return Batch(np.array([row for row, _ in good], dtype=np.int64), images, bad)
