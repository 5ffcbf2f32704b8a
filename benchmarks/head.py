"""Memory and time of a head: computed for many landmarks and processes, measured on this machine.

The table counts what a process holds of the head at the top of a training step: weight, gradient,
momentum (SGD, float32), and the one buffer of logits. The measured row is a step in a process of
its own: the growth of its peak memory, beside what was computed, and its time; so too for
pytorch-metric-learning's ArcFaceLoss.

    python benchmarks/head.py
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import nn
from torch.nn import functional as F

from cairn.config import HeadConfig
from cairn.heads import build_head
from measuring.memory import highest

FLOAT = 4  # bytes
LANDMARKS = (81_313, 203_094, 1_000_000)  # GLDv2 clean, GLDv2 whole, and beyond
SPLITS = (1, 2, 8)
SHARE = 0.1
FORMS = {"all": "ArcFace", "drawn": f"ArcFace, {SHARE:.0%} drawn", "reference": "ArcFaceLoss"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--landmarks", type=int, default=LANDMARKS[0], help="of the measured row")
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--batch", type=int, default=64, help="photographs of each process")
    parser.add_argument("--processes", type=int, default=8, help="that feed the head")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--measure", choices=FORMS, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        measure(options)
        return
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, {torch.get_num_threads()} threads, "
        f"torch {torch.__version__}{load}; {options.dimension} dimensions, "
        f"{options.processes} x {options.batch} photographs; MB a process\n"
    )
    print_computed(options)
    print_measured(options)


def print_computed(options: argparse.Namespace) -> None:
    """Print what a process holds, by landmarks and by the way the head is split."""
    print(f"{'landmarks':>10}  {'head':<26}{'weight':>8}{'gradient':>10}{'momentum':>10}", end="")
    print(f"{'logits':>8}{'sum':>8}{'of data-parallel':>18}")
    for landmarks in LANDMARKS:
        base = 0.0
        for name, size, share in (
            ("data-parallel", None, 1.0),
            *((f"split over {size}", size, 1.0) for size in SPLITS),
            *((f"split over {size}, {SHARE:.0%} drawn", size, SHARE) for size in SPLITS),
        ):
            photographs = options.batch * (1 if size is None else size)
            sizes = head_bytes(landmarks, options.dimension, photographs, size or 1, share=share)
            total = sum(sizes) / 1e6
            base = base or total
            weight, gradient, momentum, logits = (value / 1e6 for value in sizes)
            print(
                f"{landmarks:>10}  {name:<26}{weight:>8.0f}{gradient:>10.0f}{momentum:>10.0f}"
                f"{logits:>8.0f}{total:>8.0f}{total / base:>17.2f}x"
            )


def head_bytes(
    landmarks: int, dimension: int, photographs: int, processes: int, *, share: float
) -> tuple[int, int, int, int]:
    """Return bytes of weight, gradient, momentum and logits in the fullest process.

    With a share drawn, the gradient is dense and the drawn rows are held twice, with their
    gradients: they count as logits, for they come and go with them.
    """
    rows = -(-landmarks // processes)
    drawn = rows if share == 1 else min(max(math.ceil(share * rows), photographs), rows)
    matrix = rows * dimension * FLOAT
    passing = photographs * drawn * FLOAT
    if share < 1:
        passing += 2 * drawn * dimension * FLOAT
    return matrix, matrix, matrix, passing


def print_measured(options: argparse.Namespace) -> None:
    """Print memory and time of steps in processes of their own."""
    photographs = options.batch * options.processes
    print(f"\nmeasured: {options.landmarks} landmarks, {photographs} photographs, one process")
    for form, name in FORMS.items():
        command = [sys.executable, "-W", "ignore", str(Path(__file__)), f"--measure={form}"]
        for option in ("landmarks", "dimension", "batch", "processes", "steps"):
            command.append(f"--{option}={getattr(options, option)}")
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak, seconds = (float(word) for word in done.stdout.split())
        share = SHARE if form == "drawn" else 1.0
        computed = (
            sum(head_bytes(options.landmarks, options.dimension, photographs, 1, share=share)) / 1e6
        )
        print(
            f"{name:<20} peak {peak:>6.0f} MB, {peak / computed:.2f}x the computed "
            f"{computed:.0f} MB; step {seconds:.3f} s"
        )


def measure(options: argparse.Namespace) -> None:
    """Print by how many MB steps raise this process's peak memory, and the seconds of one."""
    photographs = options.batch * options.processes
    _steps(options.measure, 1000, 8, photographs=4, num=1)  # loads what any first step loads
    before = highest()
    times = _steps(
        options.measure,
        options.landmarks,
        options.dimension,
        photographs=photographs,
        num=options.steps,
    )
    print((highest() - before) / 1e6, statistics.median(times))


def _steps(form: str, landmarks: int, dimension: int, *, photographs: int, num: int) -> list[float]:
    """Return the seconds of each of some steps."""
    torch.manual_seed(0)
    head: nn.Module
    if form == "reference":
        head = ArcFaceLoss(landmarks, dimension, margin=math.degrees(0.3), scale=30)
    else:
        config = HeadConfig(sampled=SHARE if form == "drawn" else 1.0)
        head = build_head(config, dimension, np.full(landmarks, 10))
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    times = []
    for _ in range(num):
        embeddings = F.normalize(torch.randn(photographs, dimension)).requires_grad_()
        labels = torch.randint(0, landmarks, (photographs,))
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss: torch.Tensor = head(embeddings, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        times.append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
