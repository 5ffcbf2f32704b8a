"""Unit vectors to search in, as many as wanted: made block by block, each from a seed of its own.

``random`` rows are uniform on the sphere. ``clustered`` and ``strong`` ones are noisy views of
landmarks, about 20 to a landmark on a long tail (as GLDv2's), in random order: two views are about
0.5 or 0.95 alike. Among ``strong`` rows one in a hundred copies another row and one in a hundred
all but copies one, so that its similarities differ in the seventh digit.

The same seed gives the same rows for any number of threads; another processor may differ in the
last digits. Beside what it fills, a call holds the landmarks (a twentieth of the rows) and a block
a thread.

Legend of shapes: N rows, L landmarks, Q queries, D dimensions.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from cairn.domain import Float32, Int64

ALIKE = {"random": 0.0, "clustered": 0.5, "strong": 0.95}
"""Kinds of rows, and how alike two views of one landmark are."""

QUERY_ALIKE = {"random": 0.7, "clustered": 0.7, "strong": 0.95}
"""How alike a known query is to the gallery row that it is a view of."""

VIEWS = 1_580_470 / 81_313  # photographs of a landmark, on average
FEWEST = 2
POWER = 0.6  # of the ranks: about 5,000 photographs of the first landmark, a median of 14
_BLOCK = 8192
_COPIES = 0.01
_NEAR = 2e-6  # length of what sets a near copy off: inner products then differ by about 1e-7
_ROWS, _LANDMARKS, _LABELS, _COPYING, _QUERIES = range(5)  # streams of random numbers


def fill(rows_ND: Float32, kind: str, *, seed: int, landmarks: int | None = None) -> None:
    """Fill an array or a memory map with unit rows.

    Args:
        rows_ND: (N, D) float32, C-contiguous.
        kind: One of ``ALIKE``.
        seed: Gives the rows.
        landmarks: L; one for every ``VIEWS`` rows where None.
    """
    alike = ALIKE[kind]
    if not alike:
        _in_blocks(len(rows_ND), lambda at: _normal(rows_ND[at], seed, _ROWS, at.start))
        return
    num_landmarks = landmarks or max(1, round(len(rows_ND) / VIEWS))
    centres_LD = np.empty((num_landmarks, rows_ND.shape[1]), dtype=np.float32)
    _in_blocks(num_landmarks, lambda at: _normal(centres_LD[at], seed, _LANDMARKS, at.start))
    counts = long_tail(len(rows_ND), num_landmarks)
    labels_N = np.repeat(np.arange(num_landmarks, dtype=np.int32), counts)
    np.random.default_rng([seed, _LABELS]).shuffle(labels_N)

    def views(at: slice) -> None:
        noise_ND = np.empty((at.stop - at.start, rows_ND.shape[1]), dtype=np.float32)
        _normal(noise_ND, seed, _ROWS, at.start)
        noise_ND *= np.float32((1 - alike) ** 0.5)
        block_ND = centres_LD[labels_N[at]]
        block_ND *= np.float32(alike**0.5)
        block_ND += noise_ND
        to_unit(block_ND)
        if kind == "strong":
            _copy_some(block_ND, seed, at.start)
        rows_ND[at] = block_ND

    _in_blocks(len(rows_ND), views)


def write(
    path: Path, kind: str, num: int, dimension: int, *, seed: int, landmarks: int | None = None
) -> None:
    """Write ``num`` rows as a ``.npy`` file, whole or not at all; see ``fill``."""
    unfinished = path.with_name(path.name + ".unfinished")
    rows_ND = np.lib.format.open_memmap(
        unfinished, mode="w+", dtype=np.float32, shape=(num, dimension)
    )
    fill(rows_ND, kind, seed=seed, landmarks=landmarks)
    rows_ND.flush()
    unfinished.rename(path)


def queries(gallery_GD: Float32, num: int, *, known: float, alike: float, seed: int) -> Float32:
    """Return (Q, D) queries: a share ``known`` are views of gallery rows, the rest of nothing."""
    found_QD = np.empty((num, gallery_GD.shape[1]), dtype=np.float32)
    _in_blocks(num, lambda at: _normal(found_QD[at], seed, _QUERIES, at.start))
    rng = np.random.default_rng([seed, _QUERIES])
    at = rng.permutation(num)[: round(known * num)]
    rows = rng.integers(len(gallery_GD), size=len(at))
    found_QD[at] *= np.float32((1 - alike**2) ** 0.5)
    found_QD[at] += np.float32(alike) * gallery_GD[rows]
    to_unit(found_QD)
    return found_QD


def long_tail(num_photographs: int, num_landmarks: int) -> Int64:
    """Return photographs of each landmark: FEWEST and a share that falls as a power of the rank.

    With fewer than FEWEST photographs a landmark, some get one less, or none.
    """
    fewest = min(FEWEST, num_photographs // num_landmarks)
    spare = num_photographs - fewest * num_landmarks
    falling = np.arange(1, num_landmarks + 1) ** -POWER
    ends = np.floor(np.cumsum(falling) / falling.sum() * spare + 0.5).astype(np.int64)
    counts: Int64 = fewest + np.diff(ends, prepend=0)
    return counts


def to_unit(rows_ND: Float32) -> None:
    """Scale rows to unit length, in place."""
    rows_ND /= np.sqrt(np.einsum("nd,nd->n", rows_ND, rows_ND))[:, None]


def _normal(rows_ND: Float32, seed: int, stream: int, start: int) -> None:
    """Fill rows with noise of unit length, in place."""
    # PyTorch's normal numbers come three times as fast as NumPy's.
    state = np.random.SeedSequence([seed, stream, start]).generate_state(1, np.uint64)[0]
    source = torch.Generator().manual_seed(int(state >> np.uint64(1)))
    torch.from_numpy(rows_ND).normal_(generator=source)
    to_unit(rows_ND)


def _copy_some(block_ND: Float32, seed: int, start: int) -> None:
    rng = np.random.default_rng([seed, _COPYING, start])
    num = round(_COPIES * len(block_ND))
    copies, near, first, second = rng.permutation(len(block_ND))[: 4 * num].reshape(4, num)
    block_ND[copies] = block_ND[first]
    noise_ND = rng.standard_normal((num, block_ND.shape[1]), dtype=np.float32)
    to_unit(noise_ND)
    block_ND[near] = block_ND[second] + np.float32(_NEAR) * noise_ND


def _in_blocks(num: int, make: Callable[[slice], None]) -> None:
    blocks = [slice(at, min(at + _BLOCK, num)) for at in range(0, num, _BLOCK)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for task in [pool.submit(make, block) for block in blocks]:
            task.result()
