"""What stages gain: before and after, each alone, one after the other, and the row without each.

Every figure comes with a bootstrap interval of the paired difference: the same resamples of the
queries for all rows, drawn within landmark queries and within others. Where validation and test are
both there, so is the *optimism*: the gain on the queries that chose less the gain on those that did
not.

Legend of shapes: Q queries, S rows of stages, B resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from cairn.bootstrap import NUM_RESAMPLES, Interval, bootstrap, intervals
from cairn.domain import Int64
from cairn.known_share import unknown_weight
from cairn.metrics import Ranking, accuracy, gap
from cairn.rerank.answers import Float64
from cairn.rerank.voting import BestVote
from cairn.stack_tuning.queries import Queries
from cairn.stack_tuning.space import Slot, Stages, runnable, said, table_of
from cairn.stack_tuning.trials import Runs, Trials

Kind = Literal["alone", "in sequence", "left out"]
Row: TypeAlias = Stages | str

POWER = 2.8
"""Standard errors of a gain that is seen 4 times in 5, at 5 % two-sided: 1.96 + 0.84."""


@dataclass(frozen=True, eq=False)
class Measured:
    """GAP of rows of stages on one set of queries, and on its resamples.

    Args:
        rows: Rows of stages, each once, and the names of other answers.
        gaps: (S,) GAP.
        samples: (B, S) GAP on resamples, the same ones for all rows.
        accuracies: (S,) top-1 accuracy.
    """

    rows: tuple[Row, ...]
    gaps: Float64
    samples: Float64
    accuracies: Float64

    @classmethod
    def of(
        cls,
        queries: Queries,
        rows: Sequence[Stages],
        *,
        fitted_by: Trials | None = None,
        others: Mapping[str, Ranking] | None = None,
        known_share: float | None = None,
        num_resamples: int = NUM_RESAMPLES,
        seed: int = 0,
    ) -> Measured:
        """Return rows of stages measured on queries.

        Args:
            queries: Any.
            rows: Rows; equal ones are measured once.
            fitted_by: On the validation queries, where numbers are to be fitted. On these very
                queries each is answered by a fit without its fold, on others by that of all.
            others: Other answers to the same queries, by name.
            known_share: See ``cairn.known_share``.
            num_resamples: B.
            seed: Of the resamples.

        Raises:
            CairnError: The context lacks what a stage needs, numbers are to be fitted and nothing
                says by whom, or as ``unknown_weight``.
        """
        distinct = tuple(dict.fromkeys(rows))
        others = others or {}
        ranked = _ranked_by(queries, fitted_by)
        rankings = [*(ranked(row) for row in distinct), *others.values()]
        labelled = queries.labelled

        def statistic(counts: Int64 | None) -> Float64:
            weight = unknown_weight(labelled, known_share, counts)
            return np.asarray([gap(one, counts, unknown_weight=weight) for one in rankings])

        return cls(
            (*distinct, *others),
            statistic(None),
            bootstrap(
                statistic,
                labelled.astype(np.int64),
                rng=np.random.default_rng(seed),
                num_resamples=num_resamples,
            ),
            np.asarray([accuracy(one) for one in rankings]),
        )

    def gap(self, row: Row) -> Interval:
        """Return the GAP of a row."""
        return _interval(self.gaps[self._at(row)], self.samples[:, self._at(row)])

    def accuracy(self, row: Row) -> float:
        """Return the top-1 accuracy of a row."""
        return float(self.accuracies[self._at(row)])

    def gain(self, row: Row, over: Row) -> Interval:
        """Return the GAP of a row less that of another, paired."""
        return _interval(*self._difference(row, over))

    def error(self, row: Row, over: Row) -> float:
        """Return the standard error of that gain."""
        samples = self._difference(row, over)[1]
        return float(samples.std()) if len(samples) else float("nan")

    def _difference(self, row: Row, over: Row) -> tuple[float, Float64]:
        one, two = self._at(row), self._at(over)
        difference: Float64 = self.samples[:, one] - self.samples[:, two]
        return float(self.gaps[one] - self.gaps[two]), difference

    def _at(self, row: Row) -> int:
        return self.rows.index(row)


def _ranked_by(queries: Queries, fitted_by: Trials | None) -> Callable[[Stages], Ranking]:
    """Return what answers rows of stages on these queries without a fit that saw who it judges."""
    if fitted_by is None:
        return Runs(queries).ranking
    if fitted_by.queries is queries:
        return fitted_by.ranking
    runs, trials = Runs(queries), fitted_by
    return lambda row: runs.ranking(trials.fitted(row))


def optimism(validation: Measured, test: Measured, row: Stages) -> Interval:
    """Return the gain of a row on validation less that on the test, each resampled by itself."""
    value, samples = validation._difference(row, ())
    other, others = test._difference(row, ())
    num = min(len(samples), len(others))
    return _interval(value - other, samples[:num] - others[:num])


@dataclass(frozen=True)
class Line:
    """One line of the ablation table.

    Args:
        kind: ``alone``: the stage and nothing else, at the values that are best alone, over the
            nearest image; ``in sequence``: the row up to the stage, over the row before it;
            ``left out``: the whole row over the row without the stage.
        name: The stage.
        row: What was measured.
        over: What it is compared with.
    """

    kind: Kind
    name: str
    row: Stages
    over: Stages

    def to_json(self, **sets: Measured | None) -> dict[str, Any]:
        """Return plain JSON values, with the figures of each set of queries by name."""
        return {
            "kind": self.kind,
            "stage": self.name,
            "stages": [table_of(stage) for stage in self.row],
            "over": [table_of(stage) for stage in self.over],
            "values": said(self.row),
            **{
                name: {
                    "gap": one.gap(self.row).to_json(),
                    "gain": one.gain(self.row, self.over).to_json(),
                }
                for name, one in sets.items()
                if one is not None
            },
        }


def ablation(chosen: Stages, slots: Sequence[Slot], trials: Trials) -> list[Line]:
    """Return the lines of a row of stages: alone, in sequence, left out.

    Args:
        chosen: The row.
        slots: All stages that were searched, with their options; each gets a line *alone*.
        trials: On the validation queries, which choose the values that are best alone.
    """
    lines = []
    for slot in slots:
        rows = [runnable(option) for option in slot.options]
        best = max(rows, key=lambda row: float(trials.gaps(row)[0]))
        if best != (BestVote(),):
            lines.append(Line("alone", slot.name, best, ()))
    ends = [end for end in range(1, len(chosen) + 1) if chosen[end - 1].name != BestVote.name]
    for before, end in zip([0, *ends], ends, strict=False):
        lines.append(Line("in sequence", chosen[end - 1].name, chosen[:end], chosen[:before]))
    for at, stage in enumerate(chosen):
        if stage.name != BestVote.name and len(ends) > 1:
            rest = runnable((*chosen[:at], *chosen[at + 1 :]))
            lines.append(Line("left out", stage.name, chosen, rest))
    return lines


def rows_of(lines: Sequence[Line], chosen: Stages) -> list[Stages]:
    """Return every row that the lines, and before and after, are made of."""
    return [(), chosen, *(row for line in lines for row in (line.row, line.over))]


def smallest_gain(measured: Measured, lines: Sequence[Line], chosen: Stages) -> float | None:
    """Return the gain that so many queries would show 4 times in 5; None where nothing changed.

    It goes by the spread of the chosen row's gain, or, where none was chosen, the widest of those
    of stages alone.
    """
    if chosen:
        return POWER * measured.error(chosen, ())
    errors = [measured.error(line.row, ()) for line in lines if line.kind == "alone"]
    return POWER * max(errors) if errors else None


def _interval(value: float, samples: Float64) -> Interval:
    found = intervals(np.asarray([value]), samples[:, None])[0]
    assert found is not None, "GAP is never NaN"
    return found
