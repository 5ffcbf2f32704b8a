"""Tuning stages: recipes tried a second, and the ratio to a loop that recomputes everything.

The library runs each prefix of stages once, and gives GAP of all queries, of all but each fold and
of each fold from one sort. The loop is what one writes first: for each recipe the whole pipeline, a
dictionary of answers, ``global_average_precision`` of all queries (and of nothing else). Both see
the same hits and must come to the same GAP. Every recipe of the library is timed; the loop is timed
on a sample spread over them.

    python benchmarks/tune.py                      # 1,000 queries, half a minute
    python benchmarks/tune.py --queries 10000
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from cairn.domain import Float32, Neighbors
from cairn.metrics import global_average_precision
from cairn.rerank import Context, GallerySide, QuerySide, compose
from cairn.search import search
from cairn.stack_tuning import Parts, Queries, Trials, choices_of
from cairn.stack_tuning.space import Space, Stages
from measuring.machine import describe
from measuring.vectors import fill, queries

Made = tuple[Neighbors, Context, list[str], dict[str, set[str]], tuple[str, ...]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gallery", type=int, default=20_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--dimension", type=int, default=64)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--sample", type=int, default=24, help="recipes that the loop runs")
    options = parser.parse_args()
    print(describe(1))
    made = world(options.gallery, options.queries, options.dimension, options.k)
    space = Space(
        (
            choices_of("dense-penalty"),
            choices_of("sum-votes", num_hits=(2, 3, 5, 10)),
            choices_of("query-penalty", top=(3,)),
        )
    )
    rows = [space.full(chosen) for chosen in space.choices()]
    ids, truth = made[2], made[3]
    asked = Queries.of(made[0], made[1], ids, truth, made[4])
    trials = Trials(asked, Parts.of(asked, folds=options.folds))
    start = time.perf_counter()
    gaps = [float(trials.gaps(row)[0]) for row in rows]
    ours = len(rows) / (time.perf_counter() - start)
    sample = np.linspace(0, len(rows) - 1, min(options.sample, len(rows))).astype(int).tolist()
    start = time.perf_counter()
    expected = [by_loop(rows[row], made) for row in sample]
    theirs = len(sample) / (time.perf_counter() - start)
    worst = max(abs(gaps[row] - one) for row, one in zip(sample, expected, strict=True))
    assert worst < 1e-12, f"the loop's GAP differs by {worst}"
    print(
        f"\n{options.queries:,} queries, {options.k} hits, {len(rows)} recipes of three stages, "
        f"GAP of {len(trials.parts.masks)} parts each\n"
        f"library                       {ours:10.1f} recipes/s\n"
        f"recomputing loop, one part    {theirs:10.1f} recipes/s\n"
        f"ratio                         {ours / theirs:10.1f}x"
    )


def by_loop(stages: Stages, made: Made) -> float:
    """Return GAP of a recipe, everything computed anew."""
    found, context, ids, truth, names = made
    votes = compose(stages).votes(found, context)
    first: Sequence[tuple[str, int, float]] = list(
        zip(ids, votes.landmarks[:, 0].tolist(), votes.scores[:, 0].tolist(), strict=True)
    )
    return global_average_precision({one: (names[code], s) for one, code, s in first}, truth)


def world(num_gallery: int, num_queries: int, dimension: int, k: int) -> Made:
    """Return hits, context, ids, truth and landmarks of made vectors; half of the queries known."""
    gallery = np.empty((num_gallery, dimension), np.float32)
    fill(gallery, "clustered", seed=0)
    asked = queries(gallery, num_queries, known=0.5, alike=0.6, seed=1)
    bank: Float32 = queries(gallery, 2000, known=0.0, alike=0.6, seed=2)
    num_landmarks = max(2, num_gallery // 10)
    codes = np.arange(num_gallery) % num_landmarks
    found = search(asked, gallery, min(k, num_gallery))
    context = Context(
        GallerySide(landmarks=codes, to_bank=search(gallery, bank, 5).similarities),
        QuerySide(vectors=asked, to_bank=search(asked, bank, 10).similarities),
    )
    names = tuple(str(code) for code in range(num_landmarks))
    rng = np.random.default_rng(3)
    right = rng.random(num_queries) < 0.7
    ids = [f"q{number:06}" for number in range(num_queries)]
    nearest = codes[found.indices[:, 0]]
    truth: dict[str, set[str]] = {}
    for number, one in enumerate(ids):
        shown = nearest[number] if right[number] else rng.integers(num_landmarks)
        truth[one] = {names[int(shown)]} if number % 2 == 0 else set()
    return found, context, ids, truth, names


if __name__ == "__main__":
    main()
