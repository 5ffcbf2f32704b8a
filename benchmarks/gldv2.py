"""GLDv2's shape whole: every test query against every gallery image, and the penalty table.

117,577 queries by 1,580,470 gallery rows of 512 dimensions, k = 100 (190 TFLOP), and the picks of
110,000 non-landmarks, top 20 (178 TFLOP). Vectors are made: ``strong`` views of 81,313 landmarks on
a long tail, two queries in a hundred views of the gallery, the rest and the non-landmarks of
nothing; they lie in memory-mapped files, 3.7 GB, which ``--folder`` keeps for the next run.

Prints seconds, the rate as a share of the machine's best matrix products (so 100 % is the physical
floor of that type), and the peak memory above the gallery, whose pages are read beforehand and do
not count; on a graphics card, the card's memory beyond gallery and queries. The ratio is to FAISS
flat, or on a card to PyTorch's matmul and topk, on the first ``--slice`` queries, scaled (``~``). A
sample of the answers is then checked against brute force in float64.

    python benchmarks/gldv2.py                            # a twentieth of each number
    python benchmarks/gldv2.py --scale 1 --folder DIR     # whole: many minutes on a few cores
    python benchmarks/gldv2.py --scale 1 --device cuda
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError
from cairn.penalty import PenaltyTable, penalty_table
from cairn.progress import say
from cairn.runs import atomic_write
from cairn.search import Array, search
from measuring.checks import require_exact, require_picks
from measuring.machine import describe, describe_cuda, describe_rates, gemm_rates, timed
from measuring.memory import PeakMemory, touch
from measuring.peers import faiss_in_place, in_blocks
from measuring.vectors import QUERY_ALIKE, queries, write

QUERIES, GALLERY, BANK, LANDMARKS = 117_577, 1_580_470, 110_000, 81_313
KNOWN = 0.02  # of GLDv2's test queries show a landmark
TOP = 20
_KIND = "strong"
_SAY_EVERY_S = 30.0
_FEW, _FEW_ROWS = 64, 20_000  # of the search before those that count
_WHOLE = 2e9  # products; so few are checked whole


def main() -> None:
    options = read_options()
    torch.set_num_threads(options.threads)
    print(describe(options.threads))
    if options.device == "cuda":
        if not torch.cuda.is_available():
            sys.exit("no CUDA device here")
        print(describe_cuda())
    rates = gemm_rates(options.device)
    print(describe_rates(rates))
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        gallery_GD, queries_QD, bank_BD = vectors(folder, options)
        if "search" in options.parts:
            measure_search(queries_QD, gallery_GD, rates, options)
        if "penalty" in options.parts:
            measure_penalty(bank_BD, gallery_GD, rates, options)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--scale", type=float, default=0.05, help="of every number of rows")
    parser.add_argument("--parts", nargs="+", choices=["search", "penalty"],
                        default=["search", "penalty"])  # fmt: skip
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=1, help="the best of so many counts")
    parser.add_argument("--sample", type=int, default=16, help="queries checked in float64")
    parser.add_argument("--slice", type=int, default=1000, help="queries of the peer; 0: no peer")
    parser.add_argument("--folder", type=Path, help="where the vectors are kept, or found")
    return parser.parse_args()


def vectors(folder: Path, options: argparse.Namespace) -> tuple[Float32, Float32, Float32]:
    """Return gallery, queries and bank as memory maps (never written), made where missing."""
    num_gallery, num_queries, num_bank, landmarks = (
        max(least, round(options.scale * num))
        for num, least in ((GALLERY, TOP), (QUERIES, 1), (BANK, 1), (LANDMARKS, 1))
    )
    paths = [folder / f"{name}.npy" for name in (
        f"gallery-{num_gallery}", f"queries-{num_queries}-of-{num_gallery}", f"bank-{num_bank}"
    )]  # fmt: skip
    begin = time.perf_counter()
    if not paths[0].exists():
        write(paths[0], _KIND, num_gallery, 512, seed=0, landmarks=landmarks)
    gallery_GD: Float32 = np.load(paths[0], mmap_mode="c")
    if not paths[1].exists():
        alike = QUERY_ALIKE[_KIND]
        queries_QD = queries(gallery_GD, num_queries, known=KNOWN, alike=alike, seed=1)
        with atomic_write(paths[1]) as unfinished, unfinished.open("wb") as file:
            np.save(file, queries_QD)
    if not paths[2].exists():
        write(paths[2], "random", num_bank, 512, seed=2)
    say(f"vectors at hand after {time.perf_counter() - begin:.0f} s")
    return gallery_GD, np.load(paths[1], mmap_mode="c"), np.load(paths[2], mmap_mode="c")


def measure_search(
    queries_QD: Float32, gallery_GD: Float32, rates: dict[str, float], options: argparse.Namespace
) -> None:
    found: list[Neighbors] = []

    def run(rows_QD: Array, gallery: Array) -> None:
        found[:] = [search(rows_QD, gallery, options.k)]

    title = f"search, k = {options.k}"
    own_s = measure(title, run, queries_QD, gallery_GD, rates, options)
    compare(own_s, queries_QD, gallery_GD, options.k, options)
    rows = sample(len(queries_QD), options.sample)
    answers = Neighbors(found[0].indices[rows], found[0].similarities[rows])
    judged(lambda: require_exact(answers, queries_QD[rows], gallery_GD), f"{len(rows)} queries")


def measure_penalty(
    bank_BD: Float32, gallery_GD: Float32, rates: dict[str, float], options: argparse.Namespace
) -> None:
    found: list[PenaltyTable] = []

    def run(rows_BD: Array, gallery: Array) -> None:
        found[:] = [penalty_table(gallery, rows_BD, top=TOP)]

    title = f"penalty table, top {TOP}"
    own_s = measure(title, run, bank_BD, gallery_GD, rates, options)
    compare(own_s, bank_BD, gallery_GD, TOP, options)
    whole = len(bank_BD) * len(gallery_GD) <= _WHOLE
    rows = np.arange(len(bank_BD)) if whole else sample(len(bank_BD), options.sample)
    words = f"{'all' if whole else len(rows)} non-landmarks"
    judged(lambda: require_picks(found[0], bank_BD, rows, gallery_GD), words)


def measure(
    title: str,
    run: Callable[[Array, Array], None],
    rows_QD: Float32,
    gallery_GD: Float32,
    rates: dict[str, float],
    options: argparse.Namespace,
) -> float:
    """Print what ``run`` costs for these queries and this gallery; return its seconds."""
    inputs: tuple[Array, Array] = (rows_QD, gallery_GD)
    if options.device == "cuda":
        inputs = torch.from_numpy(rows_QD).cuda(), torch.from_numpy(gallery_GD).cuda()
    else:
        touch(rows_QD)
        touch(gallery_GD)
    run(inputs[0][:_FEW], inputs[1][:_FEW_ROWS])  # loads libraries and compiled code
    flop = 2.0 * len(rows_QD) * gallery_GD.size
    floor_s = flop / max(rates.values())
    with peak(options.device) as above, telling(title, floor_s):
        times = [timed(partial(run, *inputs), options.device)]
    for _ in range(options.repeats - 1):
        with telling(title, floor_s):
            times.append(timed(partial(run, *inputs), options.device))
    own_s = min(times)
    print(
        f"\n{title}: {len(rows_QD):,} x {len(gallery_GD):,} x {gallery_GD.shape[1]}, "
        f"{flop / 1e12:.3g} TFLOP\n  {own_s:.3f} s, {flop / own_s / 1e12:.3f} TFLOP/s"
    )
    for name, rate in rates.items():
        print(
            f"  the floor at the rate of {name} products is {flop / rate:.3f} s: "
            f"{flop / own_s / rate:.0%} of that rate, {own_s * rate / flop:.2f}x the floor"
        )
    print(f"  peak memory above the gallery {above[0] / 1e6:,.0f} MB", flush=True)
    return own_s


@contextmanager
def peak(device: str) -> Iterator[list[float]]:
    """Give a list that afterwards holds by how many bytes memory rose, the card's on a card."""
    above: list[float] = []
    if device == "cpu":
        with PeakMemory() as memory:
            yield above
        above.append(memory.above)
        return
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    yield above
    above.append(float(torch.cuda.max_memory_allocated() - before))


@contextmanager
def telling(title: str, floor_s: float) -> Iterator[None]:
    """Say now and then for how long it has been running, and how long it must at least."""
    done = threading.Event()
    begin = time.perf_counter()

    def tell() -> None:
        while not done.wait(_SAY_EVERY_S):
            say(f"{title}: {time.perf_counter() - begin:.0f} s, at least {floor_s:.0f} s")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def compare(
    own_s: float, rows_QD: Float32, gallery_GD: Float32, k: int, options: argparse.Namespace
) -> None:
    """Print how many times Cairn's seconds the peers take, from a slice of the queries."""
    part_QD = np.array(rows_QD[: options.slice])
    if len(part_QD) == 0:
        return
    times = len(rows_QD) / len(part_QD)
    peers: dict[str, Callable[[], object]] = {}
    if options.device == "cpu":
        answer = faiss_in_place(gallery_GD, options.threads)
        peers["FAISS flat"] = partial(answer, part_QD, k)
    else:
        for dtype in (torch.float32, torch.bfloat16):
            queries_ = torch.from_numpy(part_QD).cuda().to(dtype)
            gallery = torch.from_numpy(gallery_GD).cuda().to(dtype)
            peers[f"PyTorch {dtype}".replace("torch.", "")] = partial(
                in_blocks, queries_, gallery, k
            )
    for name, peer in peers.items():
        say(f"{name} on {len(part_QD)} queries")
        if options.device == "cuda":
            peer()
        peer_s = times * timed(peer, options.device)
        sign = "~" if times > 1 else ""
        print(f"  {name}: {sign}{peer_s:.3f} s, {peer_s / own_s:.1f}x Cairn's", flush=True)


def sample(num: int, size: int) -> Int64:
    """Return ``size`` of ``num`` row numbers, drawn once, ascending."""
    rng = np.random.default_rng(0)
    return np.sort(rng.choice(num, size=min(num, size), replace=False)).astype(np.int64)


def judged(check: Callable[[], None], words: str) -> None:
    """Exit where a check fails; say so where it passes."""
    say(f"checking {words} in float64")
    try:
        check()
    except CairnError as error:
        sys.exit(str(error))
    print(f"  as float64 brute force: {words}", flush=True)


if __name__ == "__main__":
    main()
