"""How rows of stages are searched: every one, one place at a time, or stage after stage.

A search looks at one part of the queries and starts from no stage at all, so that what it returns
is never worse there than the nearest image. It counts the rows that it looks at, whether they were
run before or not, so that a search that goes on after an interruption ends where it would have.
Of equally good rows the one seen first stays: searches see fewer stages first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from cairn.stack_tuning.portfolio import Candidate
from cairn.stack_tuning.space import Space, Stages, runnable

Score = Callable[[Stages], float]
"""A row of stages -> what is to be large: GAP on one part of the queries."""

LEAST_GAIN = 1e-12
"""Rounding: less than this is no gain."""

BLOCK = 128
"""Options of one place up to which all are tried; of more, one parameter after the other."""


class _SpentError(Exception):
    """No trial is left."""


class Looking:
    """Rows of stages as one search sees them: how many it may look at, and the best so far.

    Args:
        score: What is to be large.
        limit: How many different rows may be looked at; at least 1.
        plain: Start from no stage; otherwise from the first row that is offered.
    """

    def __init__(self, score: Score, *, limit: int, plain: bool = True) -> None:
        self._score, self._limit = score, limit
        self._seen: dict[Stages, float] = {}
        self.best: Stages = ()
        self.best_score = -np.inf
        self.is_spent = False
        if plain:
            self.offer(())

    @property
    def num_seen(self) -> int:
        """Different rows that were looked at."""
        return len(self._seen)

    def offer(self, stages: Stages) -> float:
        """Return a row's score; it becomes the best if it beats it.

        Raises:
            _SpentError: It would be one row too many.
        """
        if stages not in self._seen:
            if len(self._seen) >= self._limit:
                self.is_spent = True
                raise _SpentError
            self._seen[stages] = self._score(stages)
        value = self._seen[stages]
        if value > self.best_score + LEAST_GAIN:
            self.best, self.best_score = stages, value
        return value


def every(space: Space, looking: Looking) -> Stages:
    """Return the best row of a space, each tried: the oracle of the others.

    Args:
        space: What may stand where.
        looking: Where rows are offered.
    """
    try:
        for chosen in space.choices():
            if space.follows(chosen):
                looking.offer(space.full(chosen))
    except _SpentError:
        pass
    return looking.best


def descend(space: Space, looking: Looking, *, starts: int = 3, seed: int = 0) -> Stages:
    """Return the best row found by changing one place at a time (coordinate ascent on GAP).

    Every option of a place is tried with the others held, and the best kept, until no place gains;
    the first start takes every slot's first option, the others random ones.

    Args:
        space: What may stand where.
        looking: Where rows are offered.
        starts: How often, at least 1.
        seed: Of the random starts.
    """
    rng = np.random.default_rng(seed)
    try:
        for start in range(starts):
            chosen: list[int | None] = [0] * len(space.slots)
            if start:
                chosen = [int(rng.integers(len(slot.options))) for slot in space.slots]
            _climb(space, looking, chosen)
    except _SpentError:
        pass
    return looking.best


def _climb(space: Space, looking: Looking, chosen: list[int | None]) -> None:
    best = looking.offer(space.full(chosen))
    improves = True
    while improves:
        improves = False
        for place, slot in enumerate(space.slots):
            options: list[int | None] = [None] if slot.optional else []
            options += _moves(slot.options, chosen[place])
            for option in options:
                other = [*chosen[:place], option, *chosen[place + 1 :]]
                if not space.follows(other):
                    continue
                value = looking.offer(space.full(other))
                if value > best + LEAST_GAIN:
                    best, chosen, improves = value, other, True


def _moves(options: Sequence[Stages], at: int | None) -> Iterable[int]:
    """Return the options to try from one: all, or where they are many, those one value away."""
    if len(options) <= BLOCK or at is None:
        return range(len(options))
    mine = [table for stage in options[at] for table in _values(stage)]
    return [
        number
        for number, option in enumerate(options)
        if sum(a != b for a, b in zip(mine, (v for s in option for v in _values(s)), strict=True))
        == 1
    ]


def _values(stage: object) -> list[object]:
    dump: Callable[[], dict[str, object]] = getattr(stage, "model_dump", dict)
    return list(dump().values())


@dataclass(frozen=True)
class Step:
    """A row of the path that forward selection takes.

    Args:
        stages: The row.
        score: Its score on the part that was searched.
        names: The candidates in it, in the order they run.
    """

    stages: Stages
    score: float
    names: tuple[str, ...] = ()


def forward(
    candidates: Sequence[Candidate], looking: Looking, *, most: int, sweep: bool = True
) -> list[Step]:
    """Return rows of 0, 1, 2, ... stages, each the best that one more candidate makes of the last.

    After each addition what was there is tried again, once: its other options, and other candidates
    of its kind. It ends where nothing gains.

    Args:
        candidates: What may be put in, each at its own place.
        looking: Where rows are offered.
        most: Candidates in the longest row.
        sweep: Try the others again.
    """
    path = [Step((), looking.offer(()))]
    row: dict[int, Stages] = {}  # rank -> option
    try:
        while len(row) < most:
            better = _grown(row, candidates, looking, path[-1].score)
            if better is None:
                break
            row, score = _swept(better[0], candidates, looking, better[1]) if sweep else better
            path.append(Step(_joined(row), score, _names(row, candidates)))
    except _SpentError:
        pass
    return path


Row = dict[int, Stages]


def _grown(
    row: Row, candidates: Sequence[Candidate], looking: Looking, score: float
) -> tuple[Row, float] | None:
    """Return the best row with one more candidate, and its score; None where none gains."""
    best: tuple[Row, float] | None = None
    kinds = {one.kind for one in candidates if one.rank in row}
    for candidate in candidates:
        if candidate.kind in kinds:
            continue
        for option in candidate.slot.options:
            other = {**row, candidate.rank: option}
            value = looking.offer(_joined(other))
            if value > (best[1] if best else score) + LEAST_GAIN:
                best = other, value
    return best


def _swept(
    row: Row, candidates: Sequence[Candidate], looking: Looking, score: float
) -> tuple[Row, float]:
    """Return the row with each of its places tried again, the others held.

    What may stand there is every option of the candidates of its kind: what was best alone, a sum
    of votes say, need not be best before what was added since.
    """
    kind_of = {one.rank: one.kind for one in candidates}
    for candidate in candidates:
        if candidate.kind not in {kind_of[rank] for rank in row}:
            continue
        for option in candidate.slot.options:
            rest = {rank: one for rank, one in row.items() if kind_of[rank] != candidate.kind}
            other = {**rest, candidate.rank: option}
            value = looking.offer(_joined(other))
            if value > score + LEAST_GAIN:
                row, score = other, value
    return row, score


def _joined(row: Row) -> Stages:
    return runnable(tuple(stage for rank in sorted(row) for stage in row[rank]))


def _names(row: Row, candidates: Sequence[Candidate]) -> tuple[str, ...]:
    return tuple(one.slot.name for one in candidates if one.rank in row)
