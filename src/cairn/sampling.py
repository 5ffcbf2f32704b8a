"""Which photograph comes when: deterministic orders, so that a resumed run sees the same ones."""

from __future__ import annotations

import numpy as np

from cairn.domain import Int64


def epoch_order(num_images: int, *, seed: int, epoch: int) -> Int64:
    """Return a permutation of the images that depends on the seed and the epoch alone."""
    return np.random.default_rng((seed, 1, epoch)).permutation(num_images).astype(np.int64)


def image_rng(seed: int, epoch: int, row: int) -> np.random.Generator:
    """Return the generator of one photograph's augmentation: the same whatever thread draws it."""
    return np.random.default_rng((seed, 2, epoch, row))
