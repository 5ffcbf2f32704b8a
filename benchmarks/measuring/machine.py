"""The machine that figures hang on: what it is, and how fast it multiplies and reads at best."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

import torch

_PACKAGES = ("cairn-landmarks", "torch", "numba", "faiss-cpu", "scann", "scikit-learn", "numpy")
_UNITS = ("amx_int8", "amx_bf16", "avx512_bf16", "avx512_vnni", "avx2")
_SHAPES = ((1024, 4096, 512), (4096, 4096, 512), (2048, 8192, 512), (2048, 2048, 2048))
_CUDA_SHAPES = ((8192, 16384, 512), (8192, 8192, 4096), (8192, 8192, 8192))
_LEAST, _ENOUGH_S, _LONG_S = 3, 0.3, 20.0

Clock: TypeAlias = Callable[[], float]
"""Seconds since some moment; differences of it are what is measured."""


def processor(threads: int) -> Clock:
    """Return a clock of the seconds for which this process had the processor, over ``threads``.

    On a machine that is not idle it says more than the wall's: what the work would have taken with
    all threads busy. Threads that spin while they wait count as busy.
    """
    return lambda: time.process_time() / threads


def describe(threads: int) -> str:
    """Return versions, processor, its matrix units, threads, memory and load, in two lines."""
    versions = []
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions.append(f"{name} {metadata.version(name)}")
    about = _cpuinfo("flags").split()
    units = " ".join(unit for unit in _UNITS if unit in about)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    waiting = os.environ.get("OMP_WAIT_POLICY", "not set")
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return (
        f"{', '.join(versions)}\n{_cpuinfo('model name') or platform.processor()} ({units}), "
        f"{os.cpu_count()} CPUs, {threads} threads, {gigabytes:.0f} GB; "
        f"OMP_WAIT_POLICY {waiting}; load before the run {load}"
    )


def describe_cuda() -> str:
    """Return the card and its memory."""
    card = torch.cuda.get_device_properties(0)
    return f"{card.name}, {card.total_memory / 1e9:.0f} GB, CUDA {torch.version.cuda}"


def gemm_rates(device: str = "cpu", clock: Clock = time.perf_counter) -> dict[str, float]:
    """Return PyTorch's best operations a second by type, over several shapes.

    Types are float32, bfloat16 and, where PyTorch multiplies it here, int8 (to int32).
    """
    shapes = _SHAPES if device == "cpu" else _CUDA_SHAPES
    rates = {}
    for name in ("float32", "bfloat16", "int8"):
        with suppress(AttributeError, RuntimeError, NotImplementedError):
            rates[name] = max(gemm_rate(name, device, shape, clock) for shape in shapes)
    return rates


def gemm_rate(
    name: str, device: str, shape: tuple[int, int, int], clock: Clock = time.perf_counter
) -> float:
    """Return the operations a second of PyTorch's product of (rows, columns, inner)."""
    rows, columns, inner = shape
    dtype = getattr(torch, name)
    left = (100 * torch.rand(rows, inner, device=device)).to(dtype)
    right = (100 * torch.rand(columns, inner, device=device)).to(dtype).T
    multiply = torch._int_mm if name == "int8" else torch.mm
    out = multiply(left, right)
    once_s = seconds(lambda: multiply(left, right, out=out), device, clock)
    return 2.0 * rows * columns * inner / once_s


def describe_rates(rates: Mapping[str, float]) -> str:
    """Return a line of the rates of products."""
    words = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in rates.items())
    return f"matrix products at best, in TFLOP/s: {words}"


def read_rate(clock: Clock = time.perf_counter) -> float:
    """Return the bytes a second at which all threads read memory, by summing a large tensor."""
    numbers = torch.ones(1 << 27)
    return numbers.numel() * 4 / seconds(lambda: torch.sum(numbers), "cpu", clock)


def seconds(
    run: Callable[[], object], device: str = "cpu", clock: Clock = time.perf_counter
) -> float:
    """Return the least seconds of several runs, after one that does not count."""
    run()
    times: list[float] = []
    while not enough(times, _LEAST):
        times.append(timed(run, device, clock))
    return min(times)


def timed(
    run: Callable[[], object], device: str = "cpu", clock: Clock = time.perf_counter
) -> float:
    """Return the seconds of one run, a graphics card's work included."""
    if device != "cpu":
        torch.cuda.synchronize()
    begin = clock()
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - begin


def taking_turns(
    ways: Mapping[str, Callable[[], object]], rounds: int, clock: Clock = time.perf_counter
) -> dict[str, float]:
    """Return the least seconds of each way; they take turns, so that other load hurts all alike.

    Each should have run before, at a small size at least. ``enough`` says how often each runs.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    while due := [name for name, found in times.items() if not enough(found, rounds)]:
        for name in due:
            times[name].append(timed(ways[name], clock=clock))
    return {name: min(found) for name, found in times.items()}


def enough(times: Sequence[float], rounds: int) -> bool:
    """Return whether so many runs will do.

    There should be ``rounds``; up to ten times as many where they are very quick; no second one
    where one took long.
    """
    if not times or times[0] >= _LONG_S:
        return bool(times)
    return len(times) >= rounds and (len(times) >= 10 * rounds or sum(times) >= _ENOUGH_S)


def _cpuinfo(name: str) -> str:
    path = Path("/proc/cpuinfo")
    for line in path.read_text().splitlines() if path.exists() else []:
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
