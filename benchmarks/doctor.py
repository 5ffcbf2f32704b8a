"""The doctor on a made-up gallery: images a second, the most memory held, and what it found.

A process of its own checks the gallery, so that its peak memory is the doctor's. The peer is a
plain self-join in NumPy: products of blocks, argpartition, sort; of a large gallery only
``--peer-rows`` rows are joined, and the time is scaled. Photographs are not shown: there are none.

    python benchmarks/doctor.py
    python benchmarks/doctor.py --images 1000000
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from cairn.doctor import CheckRule, check_gallery
from cairn.domain import Float32
from cairn.gallery import Gallery
from cairn.tables import EmbeddingTable

_PEER_BYTES = 64 << 20  # of products at a time
_MADE_AT_ONCE = 1 << 14


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--num-neighbors", type=int, default=CheckRule().num_neighbors)
    parser.add_argument("--peer-rows", type=int, default=20_000)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(check(args.images, args.dimension, args.num_neighbors)))
        return
    command = [sys.executable, "-W", "ignore", __file__, "--child"]
    for name in ("images", "dimension", "num-neighbors"):
        command += [f"--{name}", str(getattr(args, name.replace("-", "_")))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    vectors = made(args.images, args.dimension)[0]
    num = min(args.peer_rows, args.images)
    begin = time.perf_counter()
    plain_join(vectors, num, args.num_neighbors)
    peer_s = (time.perf_counter() - begin) * args.images / num
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors")
    print(f"{args.images:,} images of {args.dimension} dimensions, {args.num_neighbors} neighbours")
    print(f"check     {found['seconds']:9.1f} s {args.images / found['seconds']:10,.0f} images/s")
    scaled = f" (scaled from {num:,} rows)" if num < args.images else ""
    print(f"NumPy join{peer_s:9.1f} s{scaled}: {peer_s / found['seconds']:.2f}x the whole check")
    memory = found["memory"]
    print(
        "memory    "
        + ", ".join(f"{name} {(size or 0) / 1e6:,.0f} MB" for name, size in memory.items())
    )
    print(f"found     {found['counts']}")


def check(num: int, dimension: int, num_neighbors: int) -> dict[str, Any]:
    """Return the report of a check of the made-up gallery."""
    vectors, landmarks = made(num, dimension)
    ids = [f"image-{row:08d}" for row in range(num)]
    paths = [f"/photographs/{one}.jpg" for one in ids]
    names = [f"landmark-{landmark:06d}" for landmark in landmarks.tolist()]
    gallery = Gallery(Path("gallery"), EmbeddingTable(ids, names, paths, vectors, "made-up"))
    with tempfile.TemporaryDirectory() as folder:
        rule = CheckRule(num_neighbors=num_neighbors)
        return dict(check_gallery(gallery, Path(folder) / "check", rule=rule).report)


def made(num: int, dimension: int) -> tuple[Float32, np.ndarray[Any, Any]]:
    """Return unit vectors about landmarks of very different sizes, and the landmarks.

    One image in a hundred bears a wrong landmark, one in a hundred is a copy of another.
    """
    rng = np.random.default_rng(0)
    num_landmarks = max(2, num // 20)
    shares = 1 / np.arange(1, num_landmarks + 1)
    landmarks = rng.choice(num_landmarks, num, p=shares / shares.sum())
    centers = unit(rng.standard_normal((num_landmarks, dimension), dtype=np.float32))
    vectors = np.empty((num, dimension), np.float32)
    for start in range(0, num, _MADE_AT_ONCE):
        rows = centers[landmarks[start : start + _MADE_AT_ONCE]]
        noise = unit(rng.standard_normal(rows.shape, dtype=np.float32))
        vectors[start : start + _MADE_AT_ONCE] = unit(rows + noise)
    some = rng.permutation(num)[: 3 * (num // 100)].reshape(3, -1)
    vectors[some[0]] = vectors[some[1]]
    landmarks[some[2]] = rng.integers(0, num_landmarks, len(some[2]))
    return vectors, landmarks


def plain_join(vectors: Float32, num: int, k: int) -> None:
    """Find the k nearest other rows of the first ``num`` rows, as NumPy would."""
    step = max(1, _PEER_BYTES // (4 * len(vectors)))
    for start in range(0, num, step):
        block = vectors[start : min(start + step, num)]
        products = block @ vectors.T
        products[np.arange(len(block)), start + np.arange(len(block))] = -np.inf
        top = np.argpartition(products, -k, axis=1)[:, -k:]
        best = np.take_along_axis(products, top, axis=1)
        np.take_along_axis(top, np.argsort(-best, axis=1), axis=1)


def unit(rows: Float32) -> Float32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


if __name__ == "__main__":
    main()
