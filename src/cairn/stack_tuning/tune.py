"""Choosing stages on validation queries, and what the choice is worth on queries it did not see.

The search is run K + 1 times: on all queries, and on all but one fold for each of K folds. What the
K searches gain on the fold that each did not see is the honest figure; the gain on the queries that
were searched is the flattering one. Where stages are chosen too (forward selection), the K searches
also say how many: the shortest row whose held-out GAP is within one standard error of the best
(Breiman et al. 1984; Hastie, Tibshirani and Friedman 2009, section 7.10), the error being that of
the paired difference over folds.

Legend of shapes: K folds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cairn.rerank.answers import Float64
from cairn.stack_tuning.fitting import is_fitted
from cairn.stack_tuning.portfolio import Candidate
from cairn.stack_tuning.search import Looking, Step, descend, every, forward
from cairn.stack_tuning.space import Space, Stages, table_of
from cairn.stack_tuning.trials import Trials

LIMIT = 3000
"""Rows of stages that one search may look at."""

MOST_STAGES = 4
"""Stages in the longest row that forward selection tries."""

Method = Literal["every row", "one place at a time", "stage after stage"]


@dataclass(frozen=True)
class PathStep:
    """A length of the row, in forward selection.

    Args:
        stages: The row that all queries choose.
        gap: Its GAP on them.
        held_out: The mean over folds of GAP on the fold that a search did not see; None without
            folds.
        error: The standard error of its difference to the best length, paired over folds.
    """

    stages: Stages
    gap: float
    held_out: float | None
    error: float | None


@dataclass(frozen=True)
class Tuned:
    """What a search chose, and what it is worth.

    Args:
        stages: The row; empty where nothing gains on the nearest image.
        method: How rows were searched.
        gap: GAP on all queries.
        plain: GAP of the nearest image on them.
        held_out: (K,) gain on each fold of the search that did not see it; empty without folds.
        num_tried: Different rows that were run, in all searches.
        is_spent: Whether a search ended at its limit.
        path: The lengths that forward selection tried.
        recipe: The row with the numbers that all queries give, where some are fitted: what is to
            be used. Its GAP on these queries would flatter; that of ``stages`` is of fits that
            did not see the fold they answer.
    """

    stages: Stages
    method: Method
    gap: float
    plain: float
    held_out: Float64
    num_tried: int
    is_spent: bool
    path: tuple[PathStep, ...] = ()
    recipe: Stages = ()

    @property
    def gain(self) -> float:
        """GAP less that of the nearest image, on the queries that chose."""
        return self.gap - self.plain

    @property
    def held_out_gain(self) -> float | None:
        """The mean gain on folds that were not searched; None without folds."""
        return float(self.held_out.mean()) if len(self.held_out) else None

    @property
    def held_out_error(self) -> float | None:
        """The standard error of that mean over folds."""
        return _error(self.held_out) if len(self.held_out) else None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "stages": [table_of(stage) for stage in self.recipe],
            "method": self.method,
            "gap": self.gap,
            "plain": self.plain,
            "gain": self.gain,
            "held_out_gain": self.held_out_gain,
            "held_out_error": self.held_out_error,
            "held_out_gains": self.held_out.tolist(),
            "num_tried": self.num_tried,
            "limit_reached": self.is_spent,
            "path": [
                {
                    "stages": [table_of(stage) for stage in step.stages],
                    "gap": step.gap,
                    "held_out": step.held_out,
                    "error": step.error,
                }
                for step in self.path
            ],
        }


def tune(trials: Trials, space: Space, *, limit: int = LIMIT, seed: int = 0) -> Tuned:
    """Return the best row of a space, every row tried where there are no more than ``limit``.

    Args:
        trials: On the validation queries.
        space: What may stand where.
        limit: Rows that one search may look at; a larger space is searched place by place.
        seed: Of that search's starts.

    Raises:
        CairnError: The context lacks what a stage needs.
    """
    is_small = space.size < limit  # one more is the nearest image

    def search(part: int) -> Looking:
        looking = _looking(trials, part, limit)
        if is_small:
            every(space, looking)
        else:
            descend(space, looking, seed=seed)
        return looking

    whole = search(0)
    folds = range(trials.parts.num_folds)
    chosen = [search(trials.parts.without(fold)) for fold in folds]
    return Tuned(
        whole.best,
        "every row" if is_small else "one place at a time",
        whole.best_score,
        float(trials.gaps(())[0]),
        _held_out(trials, [one.best for one in chosen]),
        len(trials),
        any(one.is_spent for one in (whole, *chosen)),
        recipe=trials.recipe(whole.best),
    )


def select(
    trials: Trials,
    candidates: Sequence[Candidate],
    *,
    limit: int = LIMIT,
    most: int = MOST_STAGES,
) -> Tuned:
    """Return the row that forward selection makes of candidates, its length cross-validated.

    Without folds (too few queries) it is the longest row that gains on the queries at hand; with
    too few of them to fit numbers, candidates that need it are left out.

    Args:
        trials: On the validation queries.
        candidates: What may be put in.
        limit: Rows that one search may look at.
        most: Candidates in the longest row.

    Raises:
        CairnError: The context lacks what a stage needs.
    """
    if not trials.can_fit:
        candidates = [one for one in candidates if all(map(is_fitted, one.slot.options))]
    whole = _looking(trials, 0, limit)
    path = forward(candidates, whole, most=most)
    folds = range(trials.parts.num_folds)
    chosen = [_looking(trials, trials.parts.without(fold), limit) for fold in folds]
    paths = [forward(candidates, one, most=most) for one in chosen]
    steps = _measured(trials, path, paths)
    at = _shortest(steps)
    return Tuned(
        steps[at].stages,
        "stage after stage",
        steps[at].gap,
        float(trials.gaps(())[0]),
        _held_out(trials, [_step(one, at).stages for one in paths]),
        len(trials),
        any(one.is_spent for one in (whole, *chosen)),
        tuple(steps),
        trials.recipe(steps[at].stages),
    )


def _looking(trials: Trials, part: int, limit: int) -> Looking:
    return Looking(lambda stages: float(trials.gaps(stages)[part]), limit=limit)


def _held_out(trials: Trials, chosen: Sequence[Stages]) -> Float64:
    """Return (K,) what each fold's choice gains on the fold."""
    plain = trials.gaps(())
    within = [trials.parts.within(fold) for fold in range(len(chosen))]
    gains = [trials.gaps(one)[part] - plain[part] for one, part in zip(chosen, within, strict=True)]
    return np.asarray(gains, dtype=np.float64)


def _measured(
    trials: Trials, path: Sequence[Step], paths: Sequence[Sequence[Step]]
) -> list[PathStep]:
    if not paths:
        return [PathStep(step.stages, step.score, None, None) for step in path]
    gaps = np.asarray(
        [
            [
                trials.gaps(_step(one, at).stages)[trials.parts.within(fold)]
                for fold, one in enumerate(paths)
            ]
            for at in range(len(path))
        ]
    )
    best = int(gaps.mean(axis=1).argmax())
    return [
        PathStep(step.stages, step.score, float(mine.mean()), _error(mine - gaps[best]))
        for step, mine in zip(path, gaps, strict=True)
    ]


def _shortest(steps: Sequence[PathStep]) -> int:
    """Return the place of the shortest row within one standard error of the best."""
    means = [step.held_out for step in steps]
    best = max((mean for mean in means if mean is not None), default=None)
    if best is None:
        return len(steps) - 1
    return next(
        at
        for at, step in enumerate(steps)
        if step.held_out is not None
        and step.error is not None
        and step.held_out >= best - step.error
    )


def _step(path: Sequence[Step], at: int) -> Step:
    """Return a step, the last where the path is shorter."""
    return path[min(at, len(path) - 1)]


def _error(values: Float64) -> float:
    """Return the standard error of the mean of (K,) values."""
    if len(values) < 2:
        return 0.0
    return float(values.std(ddof=1) / np.sqrt(len(values)))
