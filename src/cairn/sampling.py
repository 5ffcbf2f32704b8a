"""Which photograph comes when: orders drawn from (seed, epoch) alone.

A resumed run, or one of another number of processes, shows the same photographs in the same order.
Draws are even: a landmark comes as often as its probability says, rounded up or down, and a
photograph of it returns only after all the others of the landmark have been shown.

Legend of shapes: N photographs, L landmarks, T photographs shown.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cairn.config import SamplingConfig
from cairn.domain import Int64
from cairn.errors import CairnError


def epoch_rows(
    labels_N: Int64, config: SamplingConfig, *, seed: int, epoch: int, progress: float
) -> Int64:
    """Return (T,) positions of the photographs that an epoch shows, in the order of showing.

    T is the number of photographs under ``config.cap`` of landmarks with ``config.min_images``.

    Args:
        labels_N: Landmark of each photograph: any integers of 0 or more.
        config: Which landmarks come how often.
        seed: Of the run.
        epoch: Finished epochs of the run.
        progress: How far the stage is, in [0, 1]: ``progressive`` goes by it.

    Raises:
        CairnError: No landmark has ``config.min_images`` photographs.
    """
    rng = np.random.default_rng((seed, 1, epoch))
    counts_L = np.bincount(labels_N)
    draws_L = _draws(counts_L, config, progress, rng)
    shuffled_N = rng.permutation(len(labels_N))
    grouped_N = shuffled_N[np.argsort(labels_N[shuffled_N], kind="stable")]
    own_N = labels_N[grouped_N]
    rank_N = np.arange(len(labels_N)) - (np.cumsum(counts_L) - counts_L)[own_N]
    whole_L, rest_L = np.divmod(draws_L, np.maximum(counts_L, 1))
    times_N = whole_L[own_N] + (rank_N < rest_L[own_N])
    shown: Int64 = rng.permutation(np.repeat(grouped_N, times_N)).astype(np.int64, copy=False)
    return shown


def epoch_length(labels_N: Int64, config: SamplingConfig) -> int:
    """Return T: how many photographs `epoch_rows` shows, whatever the epoch."""
    return int(_sizes(np.bincount(labels_N), config).sum())


def count_showings(rows_T: Int64) -> Int64:
    """Return (T, 2): each row, and how often it came before."""
    order_T = np.argsort(rows_T, kind="stable")
    sorted_T = rows_T[order_T]
    before_T = np.empty(len(rows_T), dtype=np.int64)
    before_T[order_T] = np.arange(len(rows_T)) - np.searchsorted(sorted_T, sorted_T)
    return np.stack([rows_T, before_T], axis=1)


def step_rows(order_T: Int64, batch_size: int) -> list[Int64]:
    """Return an epoch cut into the fewest steps of at most ``batch_size``, of nearly equal sizes.

    Every photograph is in one step. Sizes differ by one at most, so that none is a small remnant.
    An entry of the order may have several values (`count_showings`), which stay together.
    """
    return np.array_split(order_T, -(-len(order_T) // batch_size)) if len(order_T) else []


def process_share(step_B: Int64, rank: int, size: int) -> Int64:
    """Return the part of a step that process ``rank`` of ``size`` takes; the parts make the whole.

    Sizes differ by one at most; where a step has fewer photographs than processes, some are empty.
    """
    return np.array_split(step_B, size)[rank]


def image_rng(seed: int, epoch: int, row: int, *, showing: int = 0) -> np.random.Generator:
    """Return the generator of one photograph's augmentation: the same whatever thread draws it.

    A photograph that an epoch shows again is changed in another way: ``showing`` counts from 0.
    """
    return np.random.default_rng((seed, 2, epoch, row, *([showing] if showing else [])))


def _sizes(counts_L: NDArray[np.intp], config: SamplingConfig) -> NDArray[np.intp]:
    """Return (L,) photographs of each landmark that count: under the cap, none where too few."""
    sizes_L = np.where(counts_L >= config.min_images, counts_L, 0)
    return sizes_L if config.cap is None else np.minimum(sizes_L, config.cap)


def _draws(
    counts_L: NDArray[np.intp],
    config: SamplingConfig,
    progress: float,
    rng: np.random.Generator,
) -> Int64:
    """Return (L,) photographs to show of each landmark: expectations, rounded to a fixed sum.

    Systematic sampling over landmarks in random order: the sum of the expectations before a
    landmark, plus one random offset, is rounded down, and so is the sum after it.
    """
    sizes_L = _sizes(counts_L, config)
    total = int(sizes_L.sum())
    if not total:
        raise CairnError(
            f"no landmark has {config.min_images} training photographs",
            where="sampling.min_images",
            todo="lower it",
        )
    order_L = rng.permutation(len(counts_L))
    offset = rng.random()
    if config.kind == "instance":
        return sizes_L.astype(np.int64)
    share_L = _probabilities(sizes_L, config.kind, progress)[order_L]
    ends_L = np.floor(np.cumsum(share_L) * total + offset).astype(np.int64)
    ends_L[int(np.flatnonzero(share_L)[-1]) :] = total  # whatever the sum was rounded to
    draws_L = np.empty(len(counts_L), dtype=np.int64)
    draws_L[order_L] = np.diff(ends_L, prepend=0)
    return draws_L


def _probabilities(sizes_L: NDArray[np.intp], kind: str, progress: float) -> NDArray[np.float64]:
    """Return (L,) the probability that a shown photograph is of each landmark."""
    instance_L = sizes_L / sizes_L.sum()
    if kind == "sqrt":
        roots_L = np.sqrt(sizes_L)
        chosen: NDArray[np.float64] = roots_L / roots_L.sum()
        return chosen
    balanced_L = (sizes_L > 0) / np.count_nonzero(sizes_L)
    weight = 1.0 if kind == "balanced" else min(max(progress, 0.0), 1.0)
    mixed: NDArray[np.float64] = (1 - weight) * instance_L + weight * balanced_L
    return mixed
