"""Orders of an epoch: Cairn's against PyTorch's WeightedRandomSampler, on a long tail.

The sampler is what people balance landmarks with: independent draws with a weight a photograph. The
data are as many photographs and landmarks as Google Landmarks v2 (clean), their numbers falling as
a power of the rank, with two at least for each. Prints seconds, ratios and how even the draws are.

    python benchmarks/sampling.py --photographs 1580470 --landmarks 81313
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch.utils.data import WeightedRandomSampler

from cairn.config import SamplingConfig
from cairn.domain import Int64
from cairn.sampling import epoch_rows
from measuring.vectors import long_tail


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=int, default=1_580_470)
    parser.add_argument("--landmarks", type=int, default=81_313)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    counts = long_tail(options.photographs, options.landmarks)
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(
        f"{len(labels):,} photographs of {len(counts):,} landmarks, {counts.min()} to "
        f"{counts.max():,} each, median {int(np.median(counts))}; numpy {np.__version__}, torch "
        f"{torch.__version__}{load}\n"
    )
    print(f"{'':38} seconds          off by a photograph or more")
    balanced = np.full(len(counts), len(labels) / len(counts))
    weights = torch.from_numpy(1.0 / counts[labels])
    sampler = WeightedRandomSampler(weights.tolist(), len(labels))
    base = report("balanced, WeightedRandomSampler", lambda: np.array(list(sampler)), labels,
                  balanced, options.rounds)  # fmt: skip
    roots = np.sqrt(counts)
    expected = {
        "balanced": balanced,
        "instance": counts.astype(np.float64),
        "sqrt": roots / roots.sum() * len(labels),
        "progressive": (balanced + counts) / 2,
    }
    for kind, mean in expected.items():
        config = SamplingConfig.model_validate({"kind": kind})
        report(
            f"{kind}, Cairn",
            partial(epoch_rows, labels, config, seed=0, epoch=0, progress=0.5),
            labels,
            mean,
            options.rounds,
            base,
        )


def report(
    name: str,
    draw: Callable[[], Int64],
    labels: Int64,
    expected: np.ndarray[tuple[int], np.dtype[np.float64]],
    rounds: int,
    base: float | None = None,
) -> float:
    """Print a line: seconds, ratio to ``base``, landmarks drawn unlike ``expected``."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        order = draw()
        seconds.append(time.perf_counter() - start)
    middle = statistics.median(seconds)
    drawn = np.bincount(labels[order], minlength=len(expected))
    uneven = float((np.abs(drawn - expected) >= 1 + 1e-6).mean())
    ratio = (base or middle) / middle
    print(f"{name:38} {middle:7.3f}  {ratio:4.1f}x  {100 * uneven:5.1f} % of the landmarks")
    return middle


if __name__ == "__main__":
    main()
