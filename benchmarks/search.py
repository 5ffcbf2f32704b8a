"""Exact top-k search against FAISS, scikit-learn and plain PyTorch, in one run on one machine.

Prints a table: the seconds of each, and how many times Cairn's they are. The ids are compared with
FAISS's first: they may differ only where float32 cannot tell two rows apart. ``random`` rows are
uniform on the sphere; ``clustered`` ones are 20 noisy views of each landmark, with more close
calls. ``FP32 GEMM`` is Cairn's rate as a share of a bare float32 product's on this machine; above
100 % where products in bfloat16 propose.

    python benchmarks/search.py
    python benchmarks/search.py --gallery 2000 --queries 10 --k 5 --repeats 1
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import faiss
import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from cairn.domain import Float32, Int64, Neighbors
from cairn.search import search

_BLOCK = 4096
_NEAR_TIE = 1e-6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--queries", type=int, nargs="+", default=[1000, 100, 1])
    parser.add_argument("--gallery", type=int, nargs="+", default=[200_000, 20_000])
    parser.add_argument("--k", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--data", nargs="+", default=["random", "clustered"])
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many counts")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    faiss.omp_set_num_threads(args.threads)
    with threadpool_limits(args.threads):
        rates = {dtype: gemm_rate(dtype, args.dimension) for dtype in ("float32", "bfloat16")}
        print_machine(args.threads, rates)
        print(f"{'data':10}{'Q':>6}{'G':>9}{'k':>5}{'Cairn':>10}{'FP32 GEMM':>11}", end="")
        print("".join(f"{name:>18}" for name in ("FAISS flat", "PyTorch blocks", "scikit-learn")))
        for num_gallery in args.gallery:
            for data in args.data:
                rng = np.random.default_rng(0)
                gallery = embeddings(data, num_gallery, args.dimension, rng)
                index = faiss.IndexFlatIP(args.dimension)
                index.add(gallery)
                brute = NearestNeighbors(algorithm="brute", metric="euclidean").fit(gallery)
                for num_queries in args.queries:
                    queries = views(gallery[rng.integers(num_gallery, size=num_queries)], rng)
                    for k in args.k:
                        print(f"{data:10}{num_queries:6}{num_gallery:9}{k:5}", end="")
                        compare(queries, gallery, k, index, brute, args.repeats, rates["float32"])


def compare(
    queries: Float32,
    gallery: Float32,
    k: int,
    index: faiss.IndexFlatIP,
    brute: NearestNeighbors,
    repeats: int,
    rate: float,
) -> None:
    """Check the ids against FAISS's, then time all and end the line."""
    require_same(search(queries, gallery, k), index.search(queries, k)[1], queries, gallery)
    own_s = seconds(lambda: search(queries, gallery, k), repeats)
    share = 2.0 * len(queries) * gallery.size / own_s / rate
    print(f"{own_s:9.4f}s{share:10.0%} ", end="", flush=True)
    peers: list[Callable[[], object]] = [
        lambda: index.search(queries, k),
        lambda: in_blocks(queries, gallery, k),
        lambda: brute.kneighbors(queries, k),
    ]
    for peer in peers:
        peer_s = seconds(peer, repeats)
        print(f"{peer_s:9.4f}s{peer_s / own_s:6.1f}x ", end="", flush=True)
    print()


def require_same(found: Neighbors, theirs: Int64, queries: Float32, gallery: Float32) -> None:
    """Exit unless the ids are FAISS's, near ties apart."""
    for row, query in enumerate(queries):
        at = np.flatnonzero(found.indices[row] != theirs[row])
        ours = gallery[found.indices[row, at]].astype(np.float64) @ query.astype(np.float64)
        others = gallery[theirs[row, at]].astype(np.float64) @ query.astype(np.float64)
        if (np.abs(ours - others) > _NEAR_TIE).any():
            sys.exit(f"query {row}: ids differ from FAISS's by more than a near tie")


def in_blocks(queries: Float32, gallery: Float32, k: int) -> torch.Tensor:
    """Return the rows that plain PyTorch finds: products in blocks, topk, merge."""
    queries_QD, gallery_GD = torch.from_numpy(queries), torch.from_numpy(gallery)
    best_QK = torch.empty(len(queries), 0)
    rows_QK = torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(gallery), _BLOCK):
        scores = queries_QD @ gallery_GD[start : start + _BLOCK].T
        top, at = scores.topk(min(k, scores.shape[1]), dim=1)
        best_QK, rows_QK = torch.cat([best_QK, top], 1), torch.cat([rows_QK, at + start], 1)
        best_QK, at = best_QK.topk(min(k, best_QK.shape[1]), dim=1)
        rows_QK = rows_QK.gather(1, at)
    return rows_QK


def embeddings(data: str, num: int, dimension: int, rng: np.random.Generator) -> Float32:
    """Return unit rows: ``random`` ones, or ``clustered`` about landmarks, 20 to each."""
    if data == "random":
        return unit(rng.standard_normal((num, dimension), dtype=np.float32))
    if data != "clustered":
        sys.exit(f"unknown data {data!r}: random or clustered")
    landmarks = unit(rng.standard_normal((-(-num // 20), dimension), dtype=np.float32))
    return views(landmarks.repeat(20, axis=0)[:num], rng)


def views(rows: Float32, rng: np.random.Generator) -> Float32:
    """Return noisy copies, about 0.7 alike to what they came from."""
    return unit(rows + unit(rng.standard_normal(rows.shape, dtype=np.float32)))


def unit(rows: Float32) -> Float32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def seconds(run: Callable[[], object], repeats: int) -> float:
    """Return the least of ``repeats`` wall times, after one run that does not count."""
    run()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times)


def gemm_rate(dtype: str, dimension: int) -> float:
    """Return the FLOP/s of PyTorch's matrix product here, 1,000 rows by blocks of 4,096."""
    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16}[dtype]
    left, right = torch.randn(1000, dimension).to(kind), torch.randn(_BLOCK, dimension).to(kind).T
    out = left @ right
    return 2.0 * 1000 * _BLOCK * dimension / seconds(lambda: torch.mm(left, right, out=out), 10)


def print_machine(threads: int, rates: dict[str, float]) -> None:
    """Print what the figures hang on."""
    names = ("cairn-landmarks", "torch", "numba", "faiss-cpu", "scikit-learn", "numpy")
    print(", ".join(f"{name} {metadata.version(name)}" for name in names))
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor()
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    print(f"{model}, {os.cpu_count()} CPUs, {threads} threads; load before the run {load}")
    products = ", ".join(f"{dtype} {rate / 1e9:.0f} GFLOP/s" for dtype, rate in rates.items())
    print(f"matrix product: {products}\n")


if __name__ == "__main__":
    main()
