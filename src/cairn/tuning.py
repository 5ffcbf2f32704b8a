"""The quickest approximate search that keeps a stated recall, found by trying on the gallery.

Each kind is built a few times, and each build is searched with ever more effort until it finds what
was asked for. Half of the queries choose; the other half, which chooses nothing, must show the
recall too. Exact search runs the same queries: where it is quicker, that is the answer.

Without queries of one's own, photographs of the gallery are asked about, each without itself. Such
queries are kinder than new photographs: a graph links a row to its neighbours.

Legend of shapes: Q queries, G gallery rows, K neighbours, D dimensions.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from statistics import median

import numpy as np

from cairn.approximate import MIN_ROWS, ApproximateSearcher
from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError, nearest
from cairn.index_kinds import KINDS, Hnsw, IvfPq, Parameters
from cairn.progress import say
from cairn.recall import recall_of, timed
from cairn.searchers import ExactSearcher, Searcher, as_queries
from cairn.trials import GOALS, Trial, Tuning, bounds

MOST_QUERIES = 2000
"""Queries that are tried; of more, so many are drawn."""

TARGET_RECALL = 0.99
TOP_K = 20

_LEAST_QUERIES = 20
_TIMED_ALONE = 50
_HOPELESS = 1.5  # times the cost of the quickest that will do; effort beyond is not tried
_STALLED = 0.001  # what twice the lists must add to recall
_MOST_EFFORT = 4096
_MANY_ROWS = 200_000  # from here on a graph takes so long that it is built once


def tune(
    vectors: Float32,
    queries: Float32 | None = None,
    *,
    offsets: Float32 | None = None,
    target_recall: float = TARGET_RECALL,
    k: int = TOP_K,
    kinds: Sequence[str] = tuple(KINDS),
    goal: str = "single",
    seed: int = 0,
) -> Tuning:
    """Return the quickest search that keeps a recall of the top ``k``, and all that was tried.

    Args:
        vectors: (G, D) float32 gallery, rows of unit length.
        queries: (Q, D) float32, like those to come; by default rows of the gallery, each without
            itself. At least 20.
        offsets: (G,) float32 added to similarities; minus a penalty, say.
        target_recall: In (0, 1].
        k: At least 1, and less than G.
        kinds: Of ``KINDS``.
        goal: One of ``GOALS``.
        seed: Draws the queries and cuts them in halves.

    Raises:
        CairnError: A value is out of its range, or there are too few rows or queries.
    """
    _check(target_recall, kinds, goal)
    exact = ExactSearcher(vectors, offsets=offsets)
    if not 1 <= k < len(exact):
        raise CairnError(
            f"k must be at least 1 and less than the {len(exact)} gallery rows", where=f"k = {k}"
        )
    asked = _Asked.draw(vectors, queries, k, np.random.default_rng(seed))
    contest = _Contest(asked, exact, target_recall, goal)
    if len(exact) < MIN_ROWS:
        return contest.end(
            f"exact search: a gallery of fewer than {MIN_ROWS:,} images needs no index"
        )
    for kind in kinds:
        for parameters in _builds(kind, len(exact)):
            searcher = ApproximateSearcher(vectors, parameters, offsets=offsets)
            say(f"{kind} built in {searcher.build_s:.1f} s; measuring its recall")
            if isinstance(parameters, Hnsw):
                _widen_walk(contest, searcher)
            else:
                _widen_scan(contest, searcher, parameters.nlist)
    return contest.end(contest.verdict())


def without(found: Neighbors, own_Q: Int64) -> Neighbors:
    """Return (Q, K - 1) answers less one row each: ``own_Q`` where it was found, else the last."""
    is_own = found.indices == own_Q[:, None]
    is_own[~is_own.any(axis=1), -1] = True
    shape = (found.num_queries, found.k - 1)
    return Neighbors(
        found.indices[~is_own].reshape(shape), found.similarities[~is_own].reshape(shape)
    )


class _Asked:
    """Queries in two halves, and the rows they are themselves, which answers leave out."""

    def __init__(self, queries_QD: Float32, own_Q: Int64 | None, k: int) -> None:
        self.queries_QD, self.own_Q, self.k = queries_QD, own_Q, k
        half = len(queries_QD) // 2
        self.choosing, self.held_out = slice(0, half), slice(half, None)

    @classmethod
    def draw(
        cls, vectors: Float32, queries: Float32 | None, k: int, rng: np.random.Generator
    ) -> _Asked:
        given = vectors if queries is None else as_queries(queries, vectors.shape[1])
        if len(given) < _LEAST_QUERIES:
            raise CairnError(
                f"tuning needs at least {_LEAST_QUERIES} queries",
                where=f"{len(given)} {'gallery images' if queries is None else 'queries'}",
                todo="search exactly" if queries is None else "give more of them, or none",
            )
        rows = rng.choice(len(given), min(MOST_QUERIES, len(given)), replace=False)
        return cls(np.ascontiguousarray(given[rows]), rows if queries is None else None, k)

    def ask(self, searcher: Searcher, part: slice) -> Neighbors:
        """Return (Q', K) answers to a part of the queries."""
        if self.own_Q is None:
            return searcher.search(self.queries_QD[part], self.k)
        return without(searcher.search(self.queries_QD[part], self.k + 1), self.own_Q[part])

    def single_ms(self, searcher: Searcher) -> float:
        """Return the median milliseconds of one query."""
        times = []
        for row in range(min(_TIMED_ALONE, len(self.queries_QD))):
            begin = time.perf_counter()
            self.ask(searcher, slice(row, row + 1))
            times.append(time.perf_counter() - begin)
        return 1000.0 * median(times)


class _Contest:
    """The trials so far, and the best of them, built."""

    def __init__(
        self, asked: _Asked, exact: ExactSearcher, target_recall: float, goal: str
    ) -> None:
        self.asked, self.target, self.goal, self.num_rows = asked, target_recall, goal, len(exact)
        self.best: tuple[Trial, ApproximateSearcher] | None = None
        single_ms = asked.single_ms(exact)
        self.truth, took = timed(partial(asked.ask, exact, asked.choosing))
        qps = len(self.truth.indices) / took
        self.held_out = asked.ask(exact, asked.held_out)
        recall, held_out = (recall_of(one, one) for one in (self.truth, self.held_out))
        self.exact = Trial("exact", None, 0.0, 0, recall, held_out, single_ms, qps)
        self.trials = [self.exact]

    def enter(self, searcher: ApproximateSearcher) -> Trial:
        """Return what a setting shows, and keep it."""
        single_ms = self.asked.single_ms(searcher)
        found, took = timed(partial(self.asked.ask, searcher, self.asked.choosing))
        qps = len(found.indices) / took
        recall = recall_of(found, self.truth, qps=qps, exact_qps=self.exact.qps)
        held_out = None
        if recall.at_k.value >= self.target:
            other = self.asked.ask(searcher, self.asked.held_out)
            held_out = recall_of(other, self.held_out, qps=qps, exact_qps=self.exact.qps)
        trial = Trial(
            searcher.name,
            searcher.parameters,
            searcher.build_s,
            searcher.num_bytes,
            recall,
            held_out,
            single_ms,
            qps,
        )
        self.trials.append(trial)
        if trial.reaches(self.target) and (self.best is None or self.beats(trial, self.best[0])):
            self.best = trial, searcher
        return trial

    def beats(self, one: Trial, other: Trial) -> bool:
        """Return whether one trial is quicker than another."""
        return one.cost(self.goal) < other.cost(self.goal)

    def is_hopeless(self, trial: Trial) -> bool:
        """Return whether more effort cannot be worth it."""
        quickest = self.exact if self.best is None else self.best[0]
        costs = quickest.cost(self.goal), self.exact.cost(self.goal)
        return trial.cost(self.goal) > _HOPELESS * min(costs)

    def verdict(self) -> str:
        """Return the outcome in words."""
        exact = self.exact.pace(self.goal)
        k = self.asked.k
        if self.best is None:
            near = max(self.trials[1:], key=lambda trial: trial.recall.at_k.value)
            return (
                f"nothing tried reaches recall@{k} {self.target:g}: {near.name} comes nearest "
                f"with {near.recall.at_k.value:.4f}. Search exactly ({exact}), or ask for less"
            )
        trial = self.best[0]
        own = trial.pace(self.goal)
        if not self.beats(trial, self.exact):
            return f"exact search is quicker: {exact}, against {own} of {trial.name}"
        assert trial.held_out is not None
        at_k, at_1 = trial.held_out.at_k, trial.held_out.at_1
        text = (
            f"{trial.name}: {own}, exact search {exact}; on "
            f"{trial.held_out.num_queries} held-out queries recall@{k} {at_k.value:.4f} "
            f"({bounds(at_k)}), recall@1 {at_1.value:.4f} ({bounds(at_1)})"
        )
        if at_k.low is not None and at_k.low < self.target:
            text += f". The interval reaches below {self.target:g}: more queries would tell"
        return text

    def end(self, verdict: str) -> Tuning:
        """Return the outcome."""
        best = self.best if self.best and self.beats(self.best[0], self.exact) else None
        winner, searcher = best or (None, None)
        asked = self.asked
        facts = (self.target, asked.k, self.goal, len(asked.queries_QD), asked.own_Q is not None)
        return Tuning(tuple(self.trials), winner, verdict, *facts, searcher)


def _widen_walk(contest: _Contest, searcher: ApproximateSearcher) -> None:
    """Weigh ever more rows of a graph."""
    for effort in _efforts(contest.asked.k + 16, contest.num_rows, 2**0.5):
        trial = contest.enter(searcher.with_search(ef_search=effort))
        if trial.reaches(contest.target) or contest.is_hopeless(trial):
            return


def _widen_scan(contest: _Contest, searcher: ApproximateSearcher, nlist: int) -> None:
    """Score ever more candidates again, and for each number of them scan ever more lists."""
    first = max(1, nlist // 64)
    quickest: Trial | None = None
    for width in _efforts(max(2 * contest.asked.k, 50), contest.num_rows, 2.0):
        reached, recall, nprobe = None, -1.0, first
        for nprobe in _efforts(first, 4 * nlist, 2.0):
            trial = contest.enter(searcher.with_search(nprobe=nprobe, num_rescored=width))
            if trial.reaches(contest.target):
                reached = trial
            is_stalled = trial.recall.at_k.value - recall < _STALLED
            if reached or is_stalled or contest.is_hopeless(trial):
                break
            recall = trial.recall.at_k.value
        if quickest and (reached is None or not contest.beats(reached, quickest)):
            return
        if reached is None and contest.is_hopeless(trial):
            return
        quickest, first = reached, max(first, nprobe // 4)  # fewer lists were far from enough


def _efforts(first: int, num_rows: int, factor: float) -> list[int]:
    """Return efforts that rise by a factor, to a quarter of the rows at most."""
    most = max(1, min(_MOST_EFFORT, num_rows // 4))
    efforts = [min(first, most)]
    while efforts[-1] < most:
        efforts.append(min(most, max(efforts[-1] + 1, round(efforts[-1] * factor))))
    return efforts


def _builds(kind: str, num_rows: int) -> list[Parameters]:
    if kind == Hnsw.kind:
        graphs = [Hnsw(m=16, ef_construction=80), Hnsw(m=32, ef_construction=100)]
        return [*(graphs if num_rows < _MANY_ROWS else graphs[1:])]
    usual = IvfPq.for_gallery(num_rows)
    return [IvfPq(usual.nlist, dims, usual.nprobe, usual.num_rescored) for dims in (4, 2)]


def _check(target_recall: float, kinds: Sequence[str], goal: str) -> None:
    if not 0 < target_recall <= 1:
        raise CairnError(
            "the recall asked for must lie above 0 and not above 1", where=target_recall
        )
    if not kinds:
        raise CairnError("name at least one kind of search", todo=nearest("", KINDS))
    for kind in kinds:
        if kind not in KINDS:
            raise CairnError(f"unknown kind of search {kind!r}", todo=nearest(kind, KINDS))
    if goal not in GOALS:
        raise CairnError(f"unknown goal {goal!r}", todo=nearest(goal, GOALS))
