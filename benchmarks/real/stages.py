"""Stages on real photographs: what each gains over the nearest image, alone and in a row.

It takes the embeddings that `photos.py` left (``python benchmarks/real/photos.py --rows two-views``
first). Half of the queries choose each stage's values by GAP, the other half is scored once, with
the gain over the plain nearest image and its 95 % interval (the same resamples for both). The
landmarks' mean directions stand in for a head, which frozen models do not have. Prints one markdown
table a model. Where there are no embeddings it says so and ends well.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from cairn.domain import Float32, Int64, Neighbors
from cairn.evaluate import evaluate
from cairn.metrics import global_average_precision, top1_accuracy
from cairn.penalty import penalty_table
from cairn.progress import say, track
from cairn.rerank import (
    Context,
    GallerySide,
    HeadVectors,
    Picks,
    QuerySide,
    code_landmarks,
    compose,
    predictions_of,
)
from cairn.rerank.context import Inliers
from cairn.rerank.expansion import augment_gallery
from cairn.rerank.head import centres_of
from cairn.rerank.local import LocalMatcher
from cairn.runs import atomic_write
from cairn.search import search
from cairn.searchers import ExactSearcher
from cairn.stack_tuning import Parts, Queries, Slot, Trials, said, stratified
from cairn.stack_tuning.space import Stages
from cairn.tables import EmbeddingTable

ROOT = Path(__file__).parents[2]
HITS, MATCHED, NEAR = 100, 5, 30

Options = Sequence[Stages]


def grid(stage: str, **values: Sequence[Any]) -> Options:
    """Return a stage with every combination of values."""
    return Slot.of(stage, values).options


def rows_of(*stages: Options) -> list[Stages]:
    """Return every way of taking one option of each stage."""
    return [tuple(stage for part in parts for stage in part) for parts in product(*stages)]


FEW_PRODUCT = grid("head-product", num_hits=(3, 10), power=(4.0, 8.0), head_power=(4.0, 12.0))
BEST = grid("best-vote")
DENSE = grid("dense-penalty", weight=(0.25, 0.5, 0.75, 1.0))
QUERY = grid("query-penalty", top=(3, 10), weight=(0.25, 0.5, 0.75, 1.0))
SUMS = grid("sum-votes", num_hits=(2, 3, 5, 10, 20, 50), power=(1.0, 4.0, 8.0, 16.0))
SOFT = grid("soft-confidence", temperature=(2.0, 5.0, 10.0, 20.0, 50.0))
PRODUCT = grid(
    "head-product", num_hits=(3, 5, 10, 30), power=(1.0, 4.0, 8.0), head_power=(0.5, 1.0, 4.0, 12.0)
)
HEAD_SUM = grid(
    "head-sum", num_hits=(1, 3, 7), head_weight=(0.5, 1.0, 2.0), bank_weight=(0.25, 0.5, 1.0)
)
ALPHA = grid("alpha-expansion", num=(1, 2, 3, 5, 10), alpha=(0.0, 1.0, 3.0))
VERIFY = grid(
    "verify", num_hits=[MATCHED], least=(0, 6), most=(10, 20, 90), weight=(0.25, 0.5, 1.0)
)
FEW_VERIFY = grid("verify", num_hits=[MATCHED], least=[6], most=(10, 20), weight=(0.5, 1.0))
RECIPROCAL = grid("k-reciprocal", k1=(5, 10, 20), k2=(1, 3), weight=(0.3, 0.6, 0.8))
LOG_QUERY = grid("query-penalty", top=(3, 10), weight=(2.0, 4.0, 8.0, 16.0))

ROWS: dict[str, list[Stages]] = {
    "S6 penalty": rows_of(
        grid("penalty", min_n=(2, 3), ramp=("from-min", "from-zero"), strength=(0.3, 0.5, 1.0))
    ),
    "dense penalty (R1)": rows_of(DENSE),
    "query penalty (R1)": rows_of(QUERY),
    "distractor penalty (R3)": rows_of(
        grid("distractor-penalty", threshold=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7), amount=(0.1, 0.3, 1.0))
    ),
    "cut-off (R5)": rows_of(grid("cut-off", threshold=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7))),
    "vote sum": rows_of(SUMS),
    "Met's confidence": rows_of(BEST, SOFT),
    "head product (R2)": rows_of(PRODUCT),
    "head sum (R4)": rows_of(HEAD_SUM),
    "alpha expansion": rows_of(ALPHA),
    "k-reciprocal": rows_of(RECIPROCAL),
    "SuperGlobal": rows_of(
        grid("super-global", num_hits=(10, 30, 100), num_near=(3, 9), beta=(0.15, 0.5))
    ),
    "SuperGlobal, mean": rows_of(
        grid("super-global", num_hits=(10, 30, 100), num_near=(3, 9), pooling=["mean"])
    ),
    "local features (R3)": rows_of(VERIFY),
    "demotion (R6), transductive": rows_of(BEST, grid("demote", most=(10, 20, 30))),
    "winners of 2020/21 (R1): dense, sum of 3, query": rows_of(
        DENSE, grid("sum-votes", num_hits=[3]), QUERY
    ),
    "dense, query": rows_of(DENSE, QUERY),
    "dense, Met's confidence, query": rows_of(DENSE, BEST, SOFT, LOG_QUERY),
    "dense, head product, query": rows_of(DENSE, PRODUCT, LOG_QUERY),
    "head sum, query": rows_of(HEAD_SUM, QUERY),
    "dense, local features, query": rows_of(DENSE, VERIFY, QUERY),
    "dense, local features, head product, query": rows_of(
        DENSE[:2], FEW_VERIFY, FEW_PRODUCT, LOG_QUERY
    ),
    "local features, head sum, query": rows_of(FEW_VERIFY, HEAD_SUM, QUERY),
    "alpha expansion, dense, query": rows_of(ALPHA[:9], DENSE, QUERY),
}
AUGMENTED = "database-side augmentation"


@dataclass(frozen=True)
class World:
    """Hits of all queries, what stages may need, and the truth."""

    found: Neighbors
    context: Context
    names: tuple[str, ...]
    query_ids: list[str]
    truth: dict[str, list[str]]

    def queries(self, rows: Int64) -> Queries:
        """Return some of the queries, for trials."""
        found = Neighbors(self.found.indices[rows], self.found.similarities[rows])
        ids = [self.query_ids[row] for row in rows]
        return Queries.of(found, self.context.take(rows), ids, self.of(rows), self.names)

    def answers(self, stages: Stages, rows: Int64) -> dict[str, tuple[str, float]]:
        """Return what stages say of some of the queries."""
        found = Neighbors(self.found.indices[rows], self.found.similarities[rows])
        votes = compose(stages).votes(found, self.context.take(rows))
        said = predictions_of(votes, [self.query_ids[row] for row in rows], self.names)
        return {one.image_id: (one.landmark_id, one.confidence) for one in said if one.landmark_id}

    def of(self, rows: Int64) -> dict[str, list[str]]:
        """Return the truth of some of the queries."""
        return {self.query_ids[row]: self.truth[self.query_ids[row]] for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--embeddings", type=Path, default=ROOT / "real" / "manifest")
    parser.add_argument("--rows", nargs="*", default=["centred", "two-views"])
    parser.add_argument("--seed", type=int, default=0, help="of the halves")
    parser.add_argument("--only", nargs="*", help="names of stacks, or parts of them")
    options = parser.parse_args()
    for row in options.rows:
        folder = options.embeddings / row / "scores" / "embeddings"
        if not folder.is_dir():
            print(f"no embeddings at {folder}: nothing to do (photos.py makes them)")
            continue
        compare(row, folder, options.seed, options.only)


def compare(row: str, folder: Path, seed: int, only: Sequence[str] | None) -> None:
    """Print the table of one model."""
    say(f"== {row}")
    gallery, bank, queries = (
        EmbeddingTable.read(folder / name) for name in ("gallery", "bank", "query")
    )
    counts = cache(partial(counts_in, folder, gallery, queries))
    world = world_of(gallery, bank.vectors, queries, lambda q, row: int(counts()[q, row]))
    is_known = np.asarray([bool(world.truth[image]) for image in world.query_ids])
    choose, judge = stratified(is_known, 2, np.random.default_rng(seed))
    plain = world.answers((), judge)
    before = global_average_precision(plain, world.of(judge))
    print(f"\n{row}: GAP {before:.3f}, accuracy {top1_accuracy(plain, world.of(judge)):.3f}\n")
    print("| stages | accuracy | GAP | gain in GAP (95 % interval) | relative | values chosen |")
    print("|---|---|---|---|---|---|")
    for name, worlds in everything(world, gallery, bank.vectors, queries, only):
        best_world, best = chosen(worlds, choose)
        answers = best_world.answers(best, judge)
        report = evaluate(answers, world.of(judge), before=plain, seed=seed)
        change = report.change["gap"]
        print(
            f"| {name} | {report.top1_accuracy:.3f} | {report.gap:.3f} | {change.value:+.3f} "
            f"({change.low:+.3f} to {change.high:+.3f}) | {change.value / before:+.1%} "
            f"| {said(best)} |",
            flush=True,
        )


def chosen(worlds: Sequence[tuple[World, Sequence[Stages]]], rows: Int64) -> tuple[World, Stages]:
    """Return the world and the stages of the highest GAP on some of the queries, the first such."""
    best: tuple[float, World, Stages] | None = None
    for world, stacks in worlds:
        queries = world.queries(rows)
        trials = Trials(queries, Parts.of(queries, folds=0))
        for stages in stacks:
            value = float(trials.gaps(stages)[0])
            if best is None or value > best[0]:
                best = value, world, stages
    assert best is not None
    return best[1:]


def everything(
    world: World,
    gallery: EmbeddingTable,
    bank: Float32,
    queries: EmbeddingTable,
    only: Sequence[str] | None,
) -> Iterator[tuple[str, list[tuple[World, Sequence[Stages]]]]]:
    """Yield names with the ways to be compared on the choosing half."""

    def wanted(name: str) -> bool:
        return not only or any(part in name for part in only)

    for name, stacks in ROWS.items():
        if wanted(name):
            yield name, [(world, stacks)]
    if not wanted(AUGMENTED):
        return
    exact = ExactSearcher(gallery.vectors).search
    codes, _ = code_landmarks(gallery.landmark_ids)
    made = []
    for num, alpha, own in product((1, 3, 5), (0.0, 3.0), (False, True)):
        vectors = augment_gallery(
            gallery.vectors, exact, num=num, alpha=alpha, landmarks=codes if own else None
        )
        made.append(world_of(replace(gallery, vectors=vectors), bank, queries))
    yield AUGMENTED, [(one, [()]) for one in made]
    yield f"{AUGMENTED}, dense, query", [(one, rows_of(DENSE, QUERY)) for one in made]


def world_of(
    gallery: EmbeddingTable, bank: Float32, queries: EmbeddingTable, inliers: Inliers | None = None
) -> World:
    """Return everything that stages may need, of one gallery."""
    codes, names = code_landmarks(gallery.landmark_ids)
    near = search(gallery.vectors, gallery.vectors, NEAR + 1)
    context = Context(
        GallerySide(
            landmarks=codes,
            picks=Picks.of_table(penalty_table(gallery.vectors, bank, top="auto")),
            to_bank=search(gallery.vectors, bank, 10).similarities,
            vectors=gallery.vectors,
            neighbors=Neighbors(near.indices[:, 1:], near.similarities[:, 1:]),
            search=ExactSearcher(gallery.vectors).search,
        ),
        QuerySide(
            vectors=queries.vectors,
            to_bank=search(queries.vectors, bank, 20).similarities,
            head=HeadVectors(queries.vectors, centres_of(gallery.vectors, codes)),
            inliers=inliers,
        ),
    )
    pairs = zip(queries.image_ids, queries.landmark_ids, strict=True)
    truth = {image: [landmark] if landmark else [] for image, landmark in pairs}
    found = search(queries.vectors, gallery.vectors, HITS)
    return World(found, context, names, queries.image_ids, truth)


def counts_in(folder: Path, gallery: EmbeddingTable, queries: EmbeddingTable) -> Int64:
    """Return (Q, G) inliers of each query with its first hits; they are counted once and kept."""
    path = folder.parent / "inliers.npy"
    if path.is_file():
        kept: Int64 = np.load(path)
        return kept
    matcher = LocalMatcher()
    counts = np.zeros((len(queries), len(gallery)), np.int64)
    found = search(queries.vectors, gallery.vectors, MATCHED)
    for query in track(range(len(queries)), "match"):
        for row in found.indices[query].tolist():
            counts[query, row] = matcher(Path(queries.paths[query]), Path(gallery.paths[row]))
    with atomic_write(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, counts)
    return counts


if __name__ == "__main__":
    main()
