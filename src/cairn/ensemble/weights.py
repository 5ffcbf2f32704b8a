"""Weights of greatest GAP on validation photographs, from a grid over the simplex."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import comb

import numpy as np

from cairn.ensemble.fusion import Fusion, answers
from cairn.errors import CairnError
from cairn.metrics import global_average_precision
from cairn.progress import track

NUM_STEPS = 10
"""Steps of the weights' grid: weights are multiples of a tenth."""

_MOST = 2000  # weights that are tried; more models get a coarser grid


def fit_weights(
    fusions: Sequence[Fusion],
    truths: Sequence[Mapping[str, Collection[str]]],
    *,
    num_steps: int | None = None,
) -> tuple[tuple[float, ...], float]:
    """Return the weights of greatest GAP on validation photographs, and that GAP.

    Tries every way of dividing 1 into ``num_steps`` equal parts among the models, a model alone
    among them, so that the GAP found is never below the best model's own on these photographs. It
    is too good by what chance lends the best of the grid, and says nothing of other photographs.
    Among equals the most even weights are taken, then those that lean to the models named first.

    Args:
        fusions: For each validation set (say, of each seed) the same M models.
        truths: For each validation set its photographs' landmarks; GAP is the mean over the sets.
        num_steps: Parts; 10 means weights of 0, 0.1, ..., 1. By default 10, or as many as keep the
            grid within 2,000 weights.

    Raises:
        CairnError: No set, not one truth for each, or no step.
    """
    if not fusions or len(fusions) != len(truths) or (num_steps is not None and num_steps < 1):
        raise CairnError(
            "weights need validation answers and as many truths, and a step at least",
            where=f"{len(fusions)} sets, {len(truths)} truths, {num_steps} steps",
        )
    num_members = fusions[0].num_members
    steps = steps_for(num_members) if num_steps is None else num_steps
    total = comb(steps + num_members - 1, num_members - 1)
    tried = []
    for parts in track(_divisions(steps, num_members), "fit weights", total=total):
        weights = tuple(part / steps for part in parts)
        gaps = [
            global_average_precision(answers(fusion, weights), truth)
            for fusion, truth in zip(fusions, truths, strict=True)
        ]
        evenness = -sum(part * part for part in parts)
        tried.append((float(np.mean(gaps)), evenness, parts, weights))
    gap, _, _, found = max(tried)
    return found, gap


def steps_for(num_members: int) -> int:
    """Return the steps of a grid that stays within what is tried."""
    steps = NUM_STEPS
    while steps > 1 and comb(steps + num_members - 1, num_members - 1) > _MOST:
        steps -= 1
    return steps


def _divisions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    """Yield every way of writing ``total`` as ``parts`` numbers >= 0, in order."""
    if parts == 1:
        yield (total,)
        return
    for first in range(total + 1):
        for rest in _divisions(total - first, parts - 1):
            yield (first, *rest)
