"""What stages cost: microseconds a query, and the ratio to the exact search before them.

Hits are of made vectors with a long tail of landmarks; similarities to a bank and the gallery's own
neighbours are made up, for their cost does not hang on them. ``alpha-expansion`` holds a second
search. ``verify`` is timed without matching; the last line has what matching one pair costs.

    python benchmarks/rerank.py                                       # 50,000 rows, a minute
    python benchmarks/rerank.py --gallery 1000000 --queries 1 1000 10000   # 2 GB, quiet machine
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError
from cairn.rerank import STAGES, Context, GallerySide, HeadVectors, Picks, QuerySide, Votes
from cairn.rerank.local import LocalMatcher
from cairn.rerank.voting import best_votes
from cairn.search import search
from cairn.searchers import ExactSearcher
from measuring.machine import describe
from measuring.vectors import fill, queries

_NEAR = 20  # non-landmarks and neighbours kept
_SIDE = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gallery", type=int, default=50_000)
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 1000])
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--stages", nargs="*", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(describe(options.threads))
    print(f"\n{options.gallery:,} rows of {options.dimension}, {options.k} hits a query\n")
    gallery_GD = np.empty((options.gallery, options.dimension), np.float32)
    fill(gallery_GD, "clustered", seed=0)
    side, centres_LD = gallery_side(gallery_GD)
    head = "".join(f"{f'Q = {num:,}: us/query':>24}{'of search':>11}" for num in options.queries)
    print(f"{'':20}{head}")
    asked = [asked_of(num, gallery_GD, side, centres_LD, options.k) for num in options.queries]
    searches = [
        best_of(partial(searched, gallery_GD, context, options.k), options.repeats)
        for _, context in asked
    ]
    print_line("search", searches, searches, options.queries)
    for name in options.stages:
        seconds = [best_of(stage_on(name, *one), options.repeats) for one in asked]
        print_line(name, seconds, searches, options.queries)
    print(f"\nmatching one pair of {_SIDE} px photographs: {pair_ms(options.repeats):.0f} ms")


def gallery_side(gallery_GD: Float32) -> tuple[GallerySide, Float32]:
    """Return what is known of the gallery, and the centres of its landmarks."""
    rng = np.random.default_rng(1)
    num = len(gallery_GD)
    num_landmarks = max(1, num // 20)
    centres_LD = gallery_GD[rng.integers(num, size=num_landmarks)]
    near = Neighbors(rng.integers(num, size=(num, _NEAR)), falling((num, _NEAR), rng))
    counts = rng.poisson(1.4, num).astype(np.int64)
    side = GallerySide(
        landmarks=rng.integers(num_landmarks, size=num),
        picks=Picks(counts, np.where(counts, 0.4, 0).astype(np.float32)),
        to_bank=falling((num, 5), rng),
        vectors=gallery_GD,
        neighbors=near,
        search=ExactSearcher(gallery_GD).search,
    )
    return side, centres_LD


def asked_of(
    num: int, gallery_GD: Float32, side: GallerySide, centres_LD: Float32, k: int
) -> tuple[Neighbors, Context]:
    """Return hits of some queries and the context they come in."""
    rng = np.random.default_rng(num)
    asked_QD = queries(gallery_GD, num, known=0.5, alike=0.7, seed=2)
    context = Context(
        side,
        QuerySide(
            vectors=asked_QD,
            to_bank=falling((num, 10), rng),
            head=HeadVectors(asked_QD, centres_LD),
            inliers=lambda query, row: (query + row) % 90,
        ),
    )
    return search(asked_QD, gallery_GD, min(k, len(gallery_GD))), context


def searched(gallery_GD: Float32, context: Context, k: int) -> Neighbors:
    """Return the hits of a context's queries."""
    assert context.queries.vectors is not None
    return search(context.queries.vectors, gallery_GD, k)


def stage_on(name: str, found: Neighbors, context: Context) -> Callable[[], object]:
    """Return what runs a stage with its defaults."""
    stage = STAGES[name]()
    if "hits" in stage.takes:
        return lambda: stage(found, context)
    assert context.gallery.landmarks is not None
    votes: Votes = best_votes(found, context.gallery.landmarks)
    return lambda: stage(votes, context)


def falling(shape: tuple[int, int], rng: np.random.Generator) -> Float32:
    """Return rows of similarities, best first."""
    return -np.sort(-rng.uniform(0.1, 0.7, shape).astype(np.float32), axis=1)


def best_of(run: Callable[[], object], repeats: int) -> float:
    """Return the seconds of the quickest of some runs, one before them left out."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def print_line(
    name: str, seconds: Sequence[float], searches: Sequence[float], numbers: Sequence[int]
) -> None:
    parts = [
        f"{1e6 * one / num:>24,.1f}{one / of:>10.3f}x"
        for one, of, num in zip(seconds, searches, numbers, strict=True)
    ]
    print(f"{name:20}{''.join(parts)}", flush=True)


def pair_ms(repeats: int) -> float:
    """Return what counting inliers of two photographs costs, their features being known."""
    try:
        matcher = LocalMatcher()
    except CairnError:
        return float("nan")
    rng = np.random.default_rng(0)
    noise: Int64 = rng.integers(0, 256, (64, 64, 3))
    picture = np.kron(noise, np.ones((8, 8, 1))).astype(np.uint8)
    one, other = matcher.features_of(picture), matcher.features_of(picture[:, 8:])
    return 1e3 * best_of(lambda: matcher.inliers(one, other), repeats)


if __name__ == "__main__":
    main()
