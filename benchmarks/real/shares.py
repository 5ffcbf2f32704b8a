"""Stacks at the shares of non-landmarks that the field has: 90, 95, 98 % of the queries.

It takes embeddings with a gallery, a bank and queries, as `photos.py` and `many_strangers.py` leave
them. One half of the queries chooses a stack's values, by GAP at the share in question, and fits
what has to be fitted; the other half judges it, once. Halves are drawn several times and used both
ways; a query's landmark and non-landmark images are never in the gallery or the bank. A share is
reached by weight (`cairn.known_share`); ``--draws`` checks that by drawing landmark queries until
the share is real. Intervals: the queries drawn anew within landmarks and non-landmarks, the same
draws for a stack and for the plain nearest image; the values chosen stay.

    python benchmarks/real/photos.py --rows centred two-views
    python benchmarks/real/shares.py --rows centred two-views
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stages import (
    DENSE,
    FEW_VERIFY,
    HEAD_SUM,
    LOG_QUERY,
    PRODUCT,
    ROWS,
    World,
    counts_in,
    grid,
    rows_of,
    world_of,
)

from cairn.bootstrap import bootstrap
from cairn.domain import Int64, Neighbors
from cairn.known_share import unknown_weight
from cairn.metrics import Ranking, accuracy, gap
from cairn.penalty import penalty_table
from cairn.progress import say, track
from cairn.rerank import Picks, Stage, Votes, compose
from cairn.rerank.answers import Answer
from cairn.rerank.chance import Chance, fit_chance
from cairn.runs import write_json
from cairn.stack_tuning import said, stratified
from cairn.stack_tuning.space import Stages
from cairn.tables import EmbeddingTable

ROOT = Path(__file__).parents[2]
FIT = Chance()
"""The last stage of a stack whose numbers the choosing half gives."""

HEAD_BEST = grid("head-best", head_weight=(0.5, 1.0, 1.5, 2.0))
STRONG_QUERY = grid("query-penalty", top=(3, 10), weight=(0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0))
LIGHTLY, SOME_VERIFY = DENSE[:2], FEW_VERIFY[::2]
STACKS: dict[str, list[Stages]] = {
    **{
        name: ROWS[name]
        for name in (
            "S6 penalty",
            "dense penalty (R1)",
            "query penalty (R1)",
            "distractor penalty (R3)",
            "cut-off (R5)",
            "vote sum",
            "Met's confidence",
            "head product (R2)",
            "head sum (R4)",
            "alpha expansion",
            "k-reciprocal",
            "local features (R3)",
            "demotion (R6), transductive",
            "winners of 2020/21 (R1): dense, sum of 3, query",
            "dense, query",
        )
    },
    "head best": rows_of(HEAD_BEST),
    "dense, local features, query": rows_of(LIGHTLY, FEW_VERIFY, STRONG_QUERY),
    "head product, query": rows_of(PRODUCT, LOG_QUERY),
    "head sum, query": rows_of(HEAD_SUM, STRONG_QUERY),
    "head best, query": rows_of(HEAD_BEST, STRONG_QUERY),
    "dense, head best, query": rows_of(LIGHTLY, HEAD_BEST, STRONG_QUERY),
    "local features, head best, query": rows_of(SOME_VERIFY, HEAD_BEST, STRONG_QUERY),
    "chance": rows_of(grid("best-vote"), [(FIT,)]),
    "head best, chance": rows_of(HEAD_BEST, [(FIT,)]),
    "dense, head best, chance": rows_of(LIGHTLY, HEAD_BEST, [(FIT,)]),
    "local features, head best, chance": rows_of(SOME_VERIFY, HEAD_BEST, [(FIT,)]),
    "local features, head best, chance, demotion, transductive": rows_of(
        SOME_VERIFY, HEAD_BEST, [(FIT,)], grid("demote", most=(20, 30, 60))
    ),
}
PUBLISHED = "S6 penalty as published (top 20, strength 1)"
AUTO = "S6 penalty (top auto, strength 1)"
BEST, BEST_BATCH = "**best online stack**", "**best stack that sees the whole batch**"

Answers = tuple[Int64, NDArray[np.float64]]


@dataclass(frozen=True)
class Split:
    """Queries that choose and queries that judge, by number."""

    choose: Int64
    judge: Int64


class Bench:
    """All stacks on one world: answers are worked out once, where they hang on one query alone."""

    def __init__(self, world: World, published: World) -> None:
        self.world, self.published = world, published
        codes = {name: code for code, name in enumerate(world.names)}
        truth = [world.truth[image] for image in world.query_ids]
        self.truth = np.asarray([codes.get(one[0], -2) if one else -1 for one in truth])
        self.known = self.truth >= 0
        self._votes: dict[str, Votes] = {}
        self._begun: dict[str, Answer] = {}

    def votes(self, stack: Stages, *, which: str = "") -> Votes:
        """Return the first two votes of every query, by stages that ask nothing of the others."""
        key = f"{which}{said(stack)}"
        if key not in self._votes:
            made = self._answer(stack, which)
            if isinstance(made, Neighbors):
                made = compose([{"stage": "best-vote"}]).votes(made, self.world.context)
            self._votes[key] = Votes(made.landmarks[:, :2], made.scores[:, :2])
        return self._votes[key]

    def _answer(self, stack: Stages, which: str) -> Answer:
        """Return what a stack makes of all hits; what it begins with is kept for other stacks."""
        world = self.published if which else self.world
        if not stack:
            return world.found
        key = f"{which}{said(stack[:-1])}"
        if key not in self._begun:
            self._begun[key] = self._answer(stack[:-1], which)
        return compose(stack).stages[-1](self._begun[key], world.context)

    def answers(
        self, stack: Stages, split: Split, share: float | None, *, which: str = ""
    ) -> list[Answers]:
        """Return codes and scores on the choosing and on the judging half."""
        sides, rest = (split.choose, split.judge), list(stack)
        begun = [stage for stage in stack if stage is not FIT and stage.name != "demote"]
        whole = self.votes(tuple(begun), which=which)
        parts = [Votes(whole.landmarks[q], whole.scores[q]) for q in sides]
        for stage in rest[len(begun) :]:
            if stage is FIT:
                right = parts[0].landmarks[:, 0] == self.truth[split.choose]
                known, context = self.known[split.choose], self.world.context.take(split.choose)
                made: Stage = fit_chance(parts[0], context, right, known, known_share=share)
            else:
                made = stage
            contexts = [self.world.context.take(q) for q in sides]
            pairs = zip(parts, contexts, strict=True)
            parts = [one for part, side in pairs if isinstance(one := made(part, side), Votes)]
        return [(one.landmarks[:, 0], one.scores[:, 0]) for one in parts]

    def ranking(self, answers: Answers, queries: Int64) -> Ranking:
        """Return answers judged; equal scores stand in the order of the queries' ids."""
        codes, scores = answers
        known = self.known[queries]
        return Ranking(
            tuple(self.world.query_ids[query] for query in queries.tolist()),
            known,
            known & (codes == self.truth[queries]),
            scores,
            np.argsort(-scores, kind="stable"),
        )


def gap_at(ranking: Ranking, share: float | None, counts: Int64 | None = None) -> float:
    """Return GAP where ``share`` of the queries show a landmark."""
    return gap(ranking, counts, unknown_weight=unknown_weight(ranking.labelled, share, counts))


def judged(
    bench: Bench, stacks: Mapping[str, list[Stages]], split: Split, share: float | None
) -> dict[str, tuple[Ranking, str]]:
    """Return what every stack, its values chosen on one half, does on the other."""
    done: dict[str, tuple[Ranking, str]] = {}
    best: dict[str, tuple[float, str]] = {BEST: (-1.0, ""), BEST_BATCH: (-1.0, "")}
    for name, ways in stacks.items():
        which = "published: " if name == PUBLISHED else ""
        found = []
        for stack in ways:
            choose, judge = bench.answers(stack, split, share, which=which)
            found.append((gap_at(bench.ranking(choose, split.choose), share), stack, judge))
        score, stack, judge = max(found, key=lambda one: one[0])
        done[name] = (bench.ranking(judge, split.judge), said(stack))
        kinds = [BEST, BEST_BATCH] if "transductive" not in name else [BEST_BATCH]
        for kind in kinds:
            best[kind] = max(best[kind], (score, name))
    for kind, (_, name) in best.items():
        done[kind] = (done[name][0], f"{name}: {done[name][1]}")
    return done


def measure(
    bench: Bench,
    stacks: Mapping[str, list[Stages]],
    shares: Sequence[float | None],
    seeds: int,
    resamples: int,
) -> dict[str, Any]:
    """Return scores, gains and intervals by stack and share."""
    splits = []
    for seed in range(seeds):
        one, other = stratified(bench.known, 2, np.random.default_rng(seed))
        splits += [Split(one, other), Split(other, one)]
    found: dict[str, Any] = {}
    for share in shares:
        rows = [judged(bench, stacks, one, share) for one in track(splits, f"halves at {share}")]
        names = list(rows[0])

        def means(
            counts: Int64 | None,
            rows: list[dict[str, tuple[Ranking, str]]] = rows,
            names: list[str] = names,
            share: float | None = share,
        ) -> NDArray[np.float64]:
            gaps = np.empty((len(splits), len(names)))
            for at, (split, row) in enumerate(zip(splits, rows, strict=True)):
                part = None if counts is None else counts[split.judge]
                gaps[at] = [gap_at(row[name][0], share, part) for name in names]
            plain = gaps[:, :1]
            over = gaps.mean(axis=0) / plain.mean() - 1
            return np.concatenate([gaps.mean(axis=0), (gaps - plain).mean(axis=0), over])

        strata = bench.known.astype(np.int64)
        values = means(None).reshape(3, -1)
        samples = bootstrap(
            means, strata, rng=np.random.default_rng(0), num_resamples=resamples
        ).reshape(resamples, 3, -1)
        lows, highs = np.quantile(samples, [0.025, 0.975], axis=0)
        by_half = np.asarray([[gap_at(row[name][0], share) for name in names] for row in rows])
        over = by_half / by_half[:, :1] - 1
        for at, name in enumerate(names):
            chosen: dict[str, int] = {}
            for row in rows:
                chosen[row[name][1]] = chosen.get(row[name][1], 0) + 1
            found.setdefault(name, {})[str(share)] = {
                "accuracy": float(np.mean([accuracy(row[name][0]) for row in rows])),
                **{
                    key: [float(v[kind, at]) for v in (values, lows, highs)]
                    for kind, key in enumerate(("gap", "gain", "relative"))
                },
                "relative_of_halves": [float(over[:, at].min()), float(over[:, at].max())],
                "spread": float(over[:, at].std(ddof=1)) if len(over) > 1 else 0.0,
                "chosen": dict(sorted(chosen.items(), key=lambda one: -one[1])),
            }
        found[BEST][str(share)]["drawn"] = None if share is None else drawn(rows, share)
    return found


def drawn(
    rows: Sequence[Mapping[str, tuple[Ranking, str]]], share: float, num_draws: int = 100
) -> dict[str, Any]:
    """Return what the best online stack gains on sets whose share of landmarks is real.

    From each judging half, as many landmark queries as the share asks for are drawn, many times;
    all non-landmarks stay.
    """
    rng = np.random.default_rng(0)
    gaps = []
    for row in rows:
        plain, best = row["none: the nearest image"][0], row[BEST][0]
        known, unknown = np.flatnonzero(plain.labelled), np.flatnonzero(~plain.labelled)
        num = max(1, round(share / (1 - share) * len(unknown)))
        for _ in range(num_draws):
            some = np.sort(np.concatenate([rng.choice(known, num, replace=False), unknown]))
            gaps.append([gap(plain.take(some)), gap(best.take(some))])
    before, after = np.asarray(gaps).T
    lows, highs = np.quantile(after - before, [0.025, 0.975])
    return {
        "landmark queries": num,
        "non-landmark queries": len(unknown),
        "gap": [float(before.mean()), float(after.mean())],
        "gain": [float((after - before).mean()), float(lows), float(highs)],
        "relative": float(after.mean() / before.mean() - 1),
    }


def bench_of(folder: Path) -> Bench:
    """Return all that stacks may need, of the embeddings in a folder."""
    gallery, bank, queries = (
        EmbeddingTable.read(folder / name) for name in ("gallery", "bank", "query")
    )
    counts = cache(partial(counts_in, folder, gallery, queries))
    world = world_of(gallery, bank.vectors, queries, lambda q, row: int(counts()[q, row]))
    picks = Picks.of_table(penalty_table(gallery.vectors, bank.vectors, top=20))
    side = replace(world.context.gallery, picks=picks)
    return Bench(world, replace(world, context=replace(world.context, gallery=side)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--embeddings", type=Path, default=ROOT / "real" / "manifest")
    parser.add_argument("--rows", nargs="*", default=["centred", "two-views"])
    parser.add_argument("--unknown", type=float, nargs="*", default=[0.9, 0.95, 0.98])
    parser.add_argument("--seeds", type=int, default=5, help="of the halves, each used both ways")
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--without", nargs="*", default=[], help="parts of names of stacks")
    options = parser.parse_args()
    for row in options.rows:
        folder = options.embeddings / row / "scores" / "embeddings"
        if not folder.is_dir():
            print(f"no embeddings at {folder}: nothing to do (photos.py makes them)")
            continue
        bench = bench_of(folder)
        say(f"== {row}")
        plain: list[Stages] = [()]
        one = rows_of(grid("penalty"))
        stacks = {"none: the nearest image": plain, PUBLISHED: one, AUTO: one, **STACKS}
        stacks = {
            name: ways
            for name, ways in stacks.items()
            if not any(part in name for part in options.without)
        }
        shares = [None, *(round(1 - unknown, 6) for unknown in options.unknown)]
        found = measure(bench, stacks, shares, options.seeds, options.resamples)
        write_json(folder.parent / "shares.json", found)
        print_tables(row, bench, found, shares)


def print_tables(
    row: str, bench: Bench, found: Mapping[str, Any], shares: Sequence[float | None]
) -> None:
    """Print one markdown table, and what the draws say."""
    own = f"{(~bench.known).mean():.0%}"
    told: list[tuple[str, Callable[[dict[str, Any]], str]]] = [
        (f"{1 - share:.0%}" if share else own, _cell if share else _gap) for share in shares
    ]
    print(f"\n{row}: {bench.known.sum()} landmark and {(~bench.known).sum()} other queries\n")
    print("| stages | accuracy | " + " | ".join(f"GAP at {name}" for name, _ in told) + " |")
    print("|---" * (len(told) + 2) + "|")
    for name, by_share in found.items():
        cells = [
            say_it(by_share[str(share)]) for share, (_, say_it) in zip(shares, told, strict=True)
        ]
        print(f"| {name} | {by_share[str(shares[-1])]['accuracy']:.3f} | {' | '.join(cells)} |")
    for share in shares:
        best = found[BEST][str(share)]
        print(f"at {share}: relative {best['relative']}, halves {best['relative_of_halves']}, "
              f"standard deviation {best['spread']:.3f}, drawn {best.get('drawn')}")  # fmt: skip
        for chosen, times in list(best["chosen"].items())[:3]:
            print(f"  {times}x {chosen}")


def _gap(cell: Mapping[str, Any]) -> str:
    return f"{cell['gap'][0]:.3f}"


def _cell(cell: Mapping[str, Any]) -> str:
    gain, low, high = cell["gain"]
    return (
        f"{cell['gap'][0]:.3f}, {gain:+.3f} ({low:+.3f} to {high:+.3f}), {cell['relative'][0]:+.1%}"
    )


if __name__ == "__main__":
    main()
