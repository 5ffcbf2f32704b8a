"""Photographs looked at a second, and a million hashes grouped: Cairn against the machine's limits.

The first table is of JPEG files of the sizes that GLDv2 has: Cairn's whole look (read, SHA-256,
decode to the end, hash, sketch) beside what no look can do without, and beside the usual way of
hashing, which decodes every pixel. The second plants copies with 0 to 14 differing bits among
random hashes and says how many of them are found again, and what else is.

fastdup states 711 images a second for the 1,590,815 images of the landmark recognition challenge
of 2021 (532 x 800 on average; 2,236 s on a machine of 32 cores, its own features and neighbours
included). Other work on another machine: a yardstick, not a race.

    python benchmarks/inspection.py [--photos DIR] [--hashes 1500000]
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from cairn.ahead import num_processors, threaded_map
from cairn.inspection import Looks, find_duplicates, look_at
from input import collections
from measuring.memory import PeakMemory

FASTDUP_IMAGES_PER_S, FASTDUP_CORES = 711, 32
Way = Callable[[Sequence[Path]], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="folder of photographs; default: made ones")
    parser.add_argument("--images", type=int, default=128, help="photographs a size")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=num_processors())
    parser.add_argument("--hashes", type=int, default=200_000)
    options = parser.parse_args()
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"{options.workers} threads on {os.cpu_count()} CPUs, load before the run {load}")
    with tempfile.TemporaryDirectory() as folder:
        for name, paths in collections(options.photos, options.images, Path(folder)).items():
            compare(name, paths, options.workers, options.rounds)
    group(options.hashes, options.workers)


def compare(name: str, paths: Sequence[Path], workers: int, rounds: int) -> None:
    """Print images a second of each way; every one has the same threads, and they take turns."""
    kilobytes = sum(path.stat().st_size for path in paths) / len(paths) / 1000
    print(f"\n{name}: {len(paths)} files of {kilobytes:.0f} kB on average")
    ways: dict[str, Way] = {
        "Cairn, the whole look": lambda some: look_at(some, workers=workers),
        "decoding at 1/8 alone": each(decode_small, workers),
        "reading and SHA-256 alone": each(read_and_sum, workers),
        "decoding every pixel, dHash": each(decode_whole, workers),
    }
    wall = dict.fromkeys(ways, float("inf"))
    busy = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for title, way in ways.items():
            start, began = time.perf_counter(), time.process_time()
            way(paths)
            wall[title] = min(wall[title], time.perf_counter() - start)
            busy[title] = min(busy[title], time.process_time() - began)
    ours = "Cairn, the whole look"
    for title in ways:
        print(
            f"{title:<30}{len(paths) / wall[title]:>9.0f} images/s"
            f"{len(paths) / busy[title]:>9.0f} a core's second {busy[title] / busy[ours]:>6.2f}x"
        )
    per_core = len(paths) / busy[ours]
    print(
        f"fastdup as published: {FASTDUP_IMAGES_PER_S} images/s on {FASTDUP_CORES} cores, "
        f"{FASTDUP_IMAGES_PER_S / FASTDUP_CORES:.0f} a core, with features and neighbours; "
        f"Cairn a core {per_core * FASTDUP_CORES / FASTDUP_IMAGES_PER_S:.1f}x"
    )


def each(function: Callable[[Path], object], workers: int) -> Way:
    def way(paths: Sequence[Path]) -> object:
        return list(threaded_map(function, paths, ahead=workers, workers=workers))

    return way


def decode_small(path: Path) -> None:
    with Image.open(path) as image:
        image.draft(image.mode, (64, 64))
        image.load()


def read_and_sum(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()


def decode_whole(path: Path) -> object:
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.LANCZOS))
    return small[:, 1:] > small[:, :-1]


def group(count: int, workers: int) -> None:
    """Print how long it takes to group ``count`` photographs, and what was found of the planted."""
    rng = np.random.default_rng(0)
    looks = Looks.blank(count)
    looks.sizes[:], looks.stamps[:] = 1, 1
    for name in ("sha256", "hashes", "sketches"):
        values = getattr(looks, name)
        values[:] = rng.integers(0, 256, values.shape, dtype=np.uint8)
    planted = count // 20
    chosen = rng.permutation(count)[: 2 * planted]
    a, b = chosen[:planted], chosen[planted:]
    bits = np.unpackbits(looks.hashes[a], axis=1)
    for row, flips in zip(bits, rng.integers(0, 15, planted), strict=True):
        row[rng.choice(128, flips, replace=False)] ^= 1
    looks.hashes[b] = np.packbits(bits, axis=1)
    looks.sketches[b] = looks.sketches[a]
    find_duplicates(looks.take(np.arange(100)))  # compiles
    with PeakMemory() as memory:
        start, began = time.perf_counter(), time.process_time()
        found = find_duplicates(looks, workers=workers)
        seconds, busy = time.perf_counter() - start, time.process_time() - began
    recall = (found.groups[a] == found.groups[b]).mean()
    right = int((found.groups[a] == found.groups[b]).sum())
    precision = right / max(len(found.links), 1)
    pairs = count * (count - 1) / 2
    print(
        f"\n{count:,} hashes, {planted:,} planted copies: recall {recall:.4f}, precision "
        f"{precision:.4f}; {seconds:.1f} s ({busy:.1f} s of processor), "
        f"{memory.above / 1e6:,.0f} MB above the {looks_bytes(looks) / 1e6:,.0f} MB of looks"
    )
    rate = brute_force_rate(looks.hashes)
    print(
        f"comparing all with all in NumPy: {pairs / rate:,.0f} s (calc) {pairs / rate / busy:.0f}x"
    )


def looks_bytes(looks: Looks) -> int:
    return sum(one.nbytes for one in (looks.sizes, looks.sha256, looks.hashes, looks.sketches))


def brute_force_rate(hashes: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> float:
    """Return pairs of hashes that NumPy compares a second, one with many."""
    words = np.ascontiguousarray(hashes).view(np.uint64)
    start = time.process_time()
    for row in range(10):
        np.bitwise_count(words ^ words[row]).sum(axis=1)
    return 10 * len(words) / (time.process_time() - start)


if __name__ == "__main__":
    main()
