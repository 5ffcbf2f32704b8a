"""How near a converted network comes to the one it was made of.

Legend of shapes: N probe images, D embedding dimensions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.execution import Forward

BATCHES = (1, 2, 7)
"""Sizes of batches that every export is tried with."""

LEAST_COSINE = {"float32": 0.9999, "int8": 0.9}
"""Least cosine of any probe image's embedding to the one by float32 PyTorch. An int8 export that is
worse than its bound is broken; whether one above it is good enough, its loss of GAP tells."""


@dataclass(frozen=True)
class Parity:
    """Embeddings by an export beside those by float32 PyTorch.

    Args:
        num_probes: N images, each run in batches of several sizes.
        max_difference: Largest difference of any coordinate.
        min_cosine: Least cosine of any image.
        mean_cosine: Its mean.
        tolerance: The least cosine that was asked for.
        batches: The sizes of the batches.
    """

    num_probes: int
    max_difference: float
    min_cosine: float
    mean_cosine: float
    tolerance: float
    batches: tuple[int, ...] = BATCHES

    def to_json(self) -> dict[str, Any]:
        """Return the values by name."""
        return asdict(self)


def measure_parity(
    forward: Forward, probes: Float32, expected_ND: Float32, *, tolerance: float
) -> Parity:
    """Return how near ``forward`` comes to ``expected_ND`` on the probes, in batches of each size.

    Args:
        forward: The converted network.
        probes: N images, at least as many as the largest of ``BATCHES``.
        expected_ND: Their embeddings by float32 PyTorch.
        tolerance: The least cosine that is accepted.

    Raises:
        CairnError: An image comes out with a lower cosine, or with another shape.
    """
    count = len(probes)
    largest, cosines = 0.0, []
    for size in BATCHES:
        for start in range(0, count, size):
            stop = min(start + size, count)
            got = forward(np.ascontiguousarray(probes[start:stop]))
            want = expected_ND[start:stop].astype(np.float64)
            if got.shape != want.shape:
                raise CairnError(
                    f"a batch of {stop - start} gives embeddings of shape {got.shape}",
                    where=f"expected {want.shape}",
                    todo="export with the other format",
                )
            largest = max(largest, float(np.abs(got - want).max()))
            cosines.append((got * want).sum(axis=1) / np.linalg.norm(got, axis=1))
    every = np.concatenate(cosines)
    found = Parity(count, largest, float(every.min()), float(every.mean()), tolerance)
    if not found.min_cosine >= tolerance:
        raise CairnError(
            f"the export's embeddings are not the model's: least cosine {found.min_cosine:.5f}, "
            f"below {tolerance}",
            where=f"{count} probe images in batches of {', '.join(map(str, BATCHES))}",
            todo="export with the other format, without --int8, or say a lower --tolerance",
        )
    return found
