"""Exact top-k search against FAISS, ScaNN, scikit-learn and plain PyTorch, in one run.

Every row of the table is one search: Cairn's seconds, what share of the machine's own rates they
are (``int8``, ``bf16``, ``f32``: 2 Q G D operations against PyTorch's best matrix product of that
type; ``read``: the gallery's bytes against the rate at which memory is read), the peak memory of
Cairn's search above the gallery, then the seconds of each peer and how many times Cairn's they are,
and the least of those ratios among the exact peers. Ways take turns; the best round counts (the
only one, where it took 20 s or more). ``~`` marks seconds measured on the first ``--slice`` queries
and scaled: Cairn and FAISS are never sliced.

Answers are checked first: Cairn's against float64 brute force for a few queries, and against
FAISS's for all, where only near ties may stand differently; the other exact peers' for a few.
PyTorch in bfloat16 is inexact, so beside its ratio stands how much of its answer is right.

Memory is measured in a process of its own; ``measuring/once.py`` says what counts. Data:
``random``, ``clustered`` and ``strong`` rows of ``measuring/vectors.py``; half of the queries are
views of gallery rows.

    python benchmarks/search.py                      # 200,000 rows
    python benchmarks/search.py --preset full        # the rows of docs/benchmarks.md
    python benchmarks/search.py --rows 10x2000 --k 5 --repeats 1
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.progress import say
from cairn.search import search
from measuring.checks import overlap, require_exact, require_same
from measuring.machine import (
    describe,
    describe_rates,
    gemm_rates,
    processor,
    read_rate,
    taking_turns,
)
from measuring.once import Task, measured
from measuring.peers import WAYS, Searcher
from measuring.vectors import ALIKE, QUERY_ALIKE, queries, write

PRESETS = {
    "quick": ["1000x200000", "1x200000"],
    "full": ["1000x200000", "10000x1000000", "1x1000000"],
}
_NEVER_SLICED = ("Cairn", "FAISS flat")
_SHARES = {"int8": "int8", "bfloat16": "bf16", "float32": "f32"}
_FEW = 64  # queries that are checked against every exact peer, and that warm up
_FLOAT64 = 8  # queries that are checked against float64
_KNOWN = 0.5


def main() -> None:
    options = read_options()
    ways = [name for name in options.peers if WAYS[name].is_installed]
    threads = options.threads
    print(describe(threads))
    torch.set_num_threads(threads)
    clock = processor(threads) if options.clock == "cpu" else time.perf_counter
    if options.clock == "cpu":
        print(f"all times are seconds of processor time over {threads}, not of the wall")
    rates = gemm_rates(clock=clock)
    print(describe_rates(rates), end="")
    rates["read"] = read_rate(clock)
    print(f"; memory read at {rates['read'] / 1e9:.0f} GB/s")
    for name in options.peers:
        if name not in ways:
            print(f"{name} is left out: not installed ({WAYS[name].install})")
    print_head(ways)
    for num_gallery in dict.fromkeys(gallery for _, gallery in options.rows):
        for data in options.data:
            with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                of_gallery = [row for row in options.rows if row[1] == num_gallery]
                compare_all(data, num_gallery, of_gallery, ways, rates, Path(folder), options)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--rows", nargs="+", help="QUERIESxGALLERY, in place of the preset's")
    parser.add_argument("--k", type=int, nargs="+", default=[20, 100])
    parser.add_argument("--data", nargs="+", choices=ALIKE, default=["random", "strong"])
    peers = [name for name in WAYS if name not in ("Cairn", "FAISS in place")]
    parser.add_argument("--peers", nargs="*", choices=peers, default=peers)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many counts")
    parser.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="cpu: processor time over threads; flatters what leaves some idle",
    )
    parser.add_argument("--slice", type=int, default=2500, help="queries; 0: all of them")
    parser.add_argument("--memory", choices=["cairn", "all", "none"], default="cairn",
                        help="whose peak to measure; all adds a line a way")  # fmt: skip
    parser.add_argument("--folder", type=Path, help="for the galleries meanwhile, as .npy files")
    options = parser.parse_args()
    try:
        pairs = [row.split("x") for row in options.rows or PRESETS[options.preset]]
        options.rows = [(int(num_queries), int(gallery)) for num_queries, gallery in pairs]
    except ValueError:
        parser.error("--rows takes pairs such as 1000x200000")
    return options


def print_head(ways: Sequence[str]) -> None:
    print(f"\n{'data':10}{'Q':>6}{'G':>9}{'k':>4}{'Cairn':>10}", end="")
    print("".join(f"{name:>6}" for name in (*_SHARES.values(), "read", "MB")), end="")
    for name in ways:
        print(f"{name:>17}" + (" right" if not WAYS[name].is_exact else ""), end="")
    print(f"{'best':>6}")


def compare_all(
    data: str,
    num_gallery: int,
    rows: Sequence[tuple[int, int]],
    ways: Sequence[str],
    rates: dict[str, float],
    folder: Path,
    options: argparse.Namespace,
) -> None:
    """Make a gallery, prepare every way for it, and print a line for each search."""
    paths = folder / "gallery.npy", folder / "queries.npy"
    write(paths[0], data, num_gallery, options.dimension, seed=0)
    gallery_GD: Float32 = np.load(paths[0])
    most = max(num_queries for num_queries, _ in rows)
    alike = QUERY_ALIKE[data]
    queries_QD = queries(gallery_GD, max(most, _FEW), known=_KNOWN, alike=alike, seed=1)
    np.save(paths[1], queries_QD)
    searchers = {name: WAYS[name].prepare(gallery_GD, options.threads) for name in ["Cairn", *ways]}
    for num_queries, _ in rows:
        for k in options.k:
            task = Task("Cairn", str(paths[0]), num_gallery, str(paths[1]), num_queries, k,
                        options.threads, 1)  # fmt: skip
            print(f"{data:10}{num_queries:6}{num_gallery:9}{k:4}", end="", flush=True)
            check(searchers, queries_QD, gallery_GD, k)
            compare(searchers, queries_QD[:num_queries], gallery_GD, task, rates, options)


def check(searchers: dict[str, Searcher], queries_QD: Float32, gallery_GD: Float32, k: int) -> None:
    """Exit unless a few answers are right; so every way has run before it is timed."""
    few_QD = queries_QD[:_FEW]
    found = search(few_QD, gallery_GD, k)
    try:
        require_exact(search(few_QD[:_FLOAT64], gallery_GD, k), few_QD[:_FLOAT64], gallery_GD)
        for name, answer in searchers.items():
            theirs = answer(few_QD, k)
            if WAYS[name].is_exact:
                require_same(found.indices, theirs, few_QD, gallery_GD, peer=name)
    except CairnError as error:
        sys.exit(f"\n{error}")


def compare(
    searchers: dict[str, Searcher],
    queries_QD: Float32,
    gallery_GD: Float32,
    task: Task,
    rates: dict[str, float],
    options: argparse.Namespace,
) -> None:
    """Time all ways, check FAISS's answer whole, and end the line."""
    most = options.slice or len(queries_QD)
    parts = {name: queries_QD if name in _NEVER_SLICED else queries_QD[:most] for name in searchers}
    answers = {}

    def run(name: str) -> None:
        answers[name] = searchers[name](parts[name], task.k)

    clock = processor(options.threads) if options.clock == "cpu" else time.perf_counter
    best_s = taking_turns({name: partial(run, name) for name in searchers}, options.repeats, clock)
    own_s, own_QK = best_s["Cairn"], answers["Cairn"]
    print(f"{own_s:9.4f}s", end="")
    work = 2.0 * len(queries_QD) * gallery_GD.size / own_s
    for name in _SHARES:
        print(f"{work / rates[name]:6.0%}" if name in rates else f"{'-':>6}", end="")
    print(f"{gallery_GD.nbytes / own_s / rates['read']:6.0%}", end="", flush=True)
    cost = measured(task) if options.memory != "none" else None
    print(f"{cost.above / 1e6:6.0f}" if cost else f"{'-':>6}", end="", flush=True)
    exact_ratios = []
    for name in list(searchers)[1:]:
        times = len(queries_QD) / len(parts[name])
        ratio = best_s[name] * times / own_s
        print(f"{'~' if times > 1 else '':>2}{best_s[name] * times:8.4f}s{ratio:5.1f}x", end="")
        if WAYS[name].is_exact:
            exact_ratios.append(ratio)
        else:
            print(f"{overlap(answers[name], own_QK[: len(parts[name])]):6.1%}", end="")
    print(f"{min(exact_ratios):5.1f}x" if exact_ratios else f"{'-':>6}", flush=True)
    if "FAISS flat" in answers:
        try:
            require_same(own_QK, answers["FAISS flat"], queries_QD, gallery_GD, peer="FAISS flat")
        except CairnError as error:
            sys.exit(str(error))
    if options.memory == "all":
        print_memory(list(searchers)[1:], task, len(gallery_GD))


def print_memory(names: Sequence[str], task: Task, num_rows: int) -> None:
    """Print peak memory above the gallery and what of it is an index, by way."""
    words = []
    for name in names:
        say(f"memory of {name}")
        cost = measured(Task(**{**vars(task), "way": name}))
        words.append(f"{name} {cost.above / 1e6:.0f} MB ({cost.held / 1e6:.0f} held as an index)")
    print("  peak memory above the gallery: " + "; ".join(words), flush=True)


if __name__ == "__main__":
    main()
