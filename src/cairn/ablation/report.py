"""What an ablation came to, as JSON, CSV and a page of Markdown with two plots."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cairn.ablation.evidence import OVERALL, PARTS, Evidence, Findings
from cairn.ablation.plots import draw_gap, draw_sizes
from cairn.ablation.table import Published
from cairn.ablation.verdict import sizes_explained, verdict
from cairn.bootstrap import LEVEL, NUM_RESAMPLES, Interval
from cairn.config import Recipe
from cairn.runs import atomic_write, write_json


@dataclass(frozen=True)
class Line:
    """One row of the table; without scores where it failed with every seed.

    Args:
        name: Of the row.
        title: For people.
        question: What it is there to answer.
        reference: The row that it was compared with; None where there is none.
        own_budget: Epochs and image size are its own.
        scores: Means over seeds.
        change: Scores less those of the reference.
        validation_gap: Mean over seeds of the best on the training's validation.
        train_seconds: Mean over seeds, in epochs.
        evaluate_seconds: Mean over seeds: embedding and answering.
        parameters: Of the model, or of all that vote.
        facts: Further ones, such as an ensemble's members and weights.
        failure: Why it failed with one of the seeds; None where it did not.
        lacks: The reference that it could not be compared with, for want of answers with a seed in
            common; None where it was compared, or has none.
    """

    name: str
    title: str
    question: str
    reference: str | None
    own_budget: bool
    scores: Evidence | None
    change: Evidence | None
    validation_gap: float | None
    train_seconds: float | None
    evaluate_seconds: float | None
    parameters: int | None
    facts: Mapping[str, Any] = field(default_factory=dict)
    failure: str | None = None
    lacks: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What an ablation came to.

    Args:
        folder: Where it lies.
        lines: Its rows, in order.
        findings: Their scores and differences.
        num_queries: Test queries.
        num_labelled: Those that show a landmark.
        num_seeds: Trainings of each row that were asked for.
        recipe: The base recipe.
        missing: Lines on backbones without weights.
        published: Figures of other data, beside the table.
        provenance: Command, versions, hardware.
    """

    folder: Path
    lines: tuple[Line, ...]
    findings: Findings
    num_queries: int
    num_labelled: int
    num_seeds: int
    recipe: Recipe
    missing: tuple[str, ...]
    published: tuple[Published, ...]
    provenance: Mapping[str, Any]

    @property
    def failed(self) -> list[Line]:
        """The rows that failed with a seed at least."""
        return [line for line in self.lines if line.failure is not None]

    def says(self, line: Line) -> str:
        """Return the sentence on a row."""
        told = [] if line.failure is None else [f"failed, {line.failure}"]
        if line.lacks is not None:
            told.insert(0, f"not compared: its reference {line.lacks!r} is not finished")
        elif line.scores is not None:
            told.insert(0, verdict(line.name, line.reference, self.findings))
        if "members" in line.facts:
            pairs = zip(line.facts["members"], line.facts["weights"], strict=True)
            told.append("votes of " + ", ".join(f"{name} x {weight:g}" for name, weight in pairs))
        return "; ".join(told)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "rows": [
                {
                    "name": line.name,
                    "title": line.title,
                    "question": line.question,
                    "reference": line.reference,
                    "own_budget": line.own_budget,
                    "status": _status(line, self.num_seeds),
                    "scores": None if line.scores is None else line.scores.to_json(),
                    "change": None if line.change is None else line.change.to_json(),
                    "says": self.says(line),
                    "validation_gap": line.validation_gap,
                    "train_seconds": line.train_seconds,
                    "evaluate_seconds": line.evaluate_seconds,
                    "parameters": line.parameters,
                    "facts": dict(line.facts),
                    "failure": line.failure,
                }
                for line in self.lines
            ],
            "num_queries": self.num_queries,
            "num_labelled": self.num_labelled,
            "queries_by_size": dict(self.findings.num_queries),
            "num_seeds": self.num_seeds,
            "level": LEVEL,
            "num_resamples": NUM_RESAMPLES,
            "skipped": list(self.missing),
            "published": [one.model_dump() for one in self.published],
            "recipe": self.recipe.model_dump(mode="json"),
            "folder": str(self.folder),
            "provenance": dict(self.provenance),
        }

    def text(self) -> str:
        """Return the table for a terminal."""
        width = max(len(line.name) for line in self.lines) + 2
        lines = [f"{'':<{width}}{'GAP':>7}{'GAP-':>7}{'acc.':>7}  evidence"]
        for line in self.lines:
            scores = "".join(f"{_value(line.scores, name):>7}" for name in OVERALL)
            lines.append(f"{line.name:<{width}}{scores}  {self.says(line)}")
        lines += [f"skipped: {line}" for line in self.missing]
        return "\n".join([*lines, "", f"table and plots: {self.folder / 'ablation.md'}"])


def write(outcome: Outcome, folder: Path) -> None:
    """Write ``ablation.json``, ``ablation.csv``, ``ablation.md`` and ``plots/`` into ``folder``."""
    write_json(folder / "ablation.json", outcome.to_json())
    _write_csv(outcome, folder / "ablation.csv")
    draw_gap(outcome, folder / "plots" / "gap.png")
    draw_sizes(outcome, folder / "plots" / "sizes.png")
    with atomic_write(folder / "ablation.md") as temporary:
        temporary.write_text(markdown(outcome), encoding="utf-8")


def markdown(outcome: Outcome) -> str:
    """Return the page: table, sentences, accuracy by size, published figures, method."""
    train = outcome.recipe.train
    seeds = f"{outcome.num_seeds} seed{'s' * (outcome.num_seeds != 1)}"
    parts = [
        f"{outcome.num_queries} test queries, {outcome.num_labelled} of them of a landmark; "
        f"{seeds}; budget of every row: {train.epochs} epochs, batch {train.batch_size}, "
        f"{outcome.recipe.model.preprocess.image_size} px.",
        _scores(outcome),
        "![GAP of each row, and its difference to the reference row](plots/gap.png)",
        "\n".join(f"- **{_title(line)}**: {outcome.says(line)}." for line in outcome.lines),
        _sizes(outcome),
        "![Accuracy by landmark size](plots/sizes.png)",
    ]
    if outcome.published:
        parts.append(_published(outcome.published))
    if outcome.missing:
        parts.append("\n".join(f"- skipped: {line}" for line in outcome.missing))
    return "\n\n".join([*parts, _method(outcome)]) + "\n"


def _scores(outcome: Outcome) -> str:
    rows = []
    for line in outcome.lines:
        gap = "" if line.scores is None else _with_range(line.scores.overall["gap"])
        change = "" if line.change is None else _with_range(line.change.overall["gap"], signed=True)
        rows.append(
            (
                _title(line),
                _name_of(outcome, line.reference),
                gap,
                change,
                *(_value(line.scores, name) for name in OVERALL[1:]),
                "" if line.validation_gap is None else f"{line.validation_gap:.3f}",
                "" if line.parameters is None else f"{line.parameters / 1e6:.1f} M",
                f"{line.train_seconds:.0f} s" if line.train_seconds else "",
            )
        )
    head = (
        "row", "against", "GAP", "difference", "GAP-", "accuracy", "validation GAP", "parameters",
        "training",
    )  # fmt: skip
    return _grid(head, rows)


def _sizes(outcome: Outcome) -> str:
    counts = outcome.findings.num_queries
    names = [name for name in counts if name not in PARTS]
    rows = [
        (
            _title(line),
            *(f"{line.scores.accuracy[name].value:.3f}" for name in names),
            *(f"{line.scores.gap[k].value:.3f}" for k in PARTS if k in counts),
        )
        for line in outcome.lines
        if line.scores is not None
    ]
    head = (
        "accuracy by gallery photographs",
        *(f"{name} ({counts[name]} queries)" for name in names),
        *(f"GAP, {k} ({counts[k]})" for k in PARTS if k in counts),
    )
    return _grid(head, rows)


def _published(published: Sequence[Published]) -> str:
    rows = [
        (one.title, *("" if v is None else f"{v:g}" for v in (one.validation, one.public)))
        for one in published
    ]
    head = ("published, on Google Landmarks v2", "validation GAP", "public GAP")
    return f"For reference only; other data, sizes and budgets:\n\n{_grid(head, rows)}"


def _method(outcome: Outcome) -> str:
    compared = sum(line.change is not None for line in outcome.lines)
    expected = compared * (1 - LEVEL)
    runs = (
        "Queries are drawn anew within their size of landmark, the same draws for all rows; what "
        "seeds add is taken from how far they lie apart, with Student's t for there being few; "
        "differences are taken within a seed."
        if outcome.num_seeds > 1
        else "Queries are drawn anew within their size of landmark; with one seed the intervals "
        "say nothing of another training."
    )
    chance = (
        f" Of {compared} comparisons about {expected:.1f} would leave 0 outside by chance alone."
        if compared
        else ""
    )
    own = any(line.own_budget for line in outcome.lines)
    mark = " * epochs and image size of its own." if own else ""
    return f"Intervals: {LEVEL * 100:.0f} %. {runs}{chance} {sizes_explained()}{mark}"


def _write_csv(outcome: Outcome, path: Path) -> None:
    scores = [f"{name}{end}" for name in OVERALL for end in ("", "_low", "_high")]
    head = [
        "row", "title", "reference", "status", "seeds", *scores, "gap_change", "gap_change_low",
        "gap_change_high", "validation_gap", "parameters", "train_seconds", "evaluate_seconds",
        "says",
    ]  # fmt: skip
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(head)
        for line in outcome.lines:
            rows.writerow(
                (
                    line.name,
                    line.title,
                    line.reference or "",
                    _status(line, outcome.num_seeds),
                    0 if line.scores is None else line.scores.seeds,
                    *(v for name in OVERALL for v in _bounds(line.scores, name)),
                    *_bounds(line.change, "gap"),
                    line.validation_gap,
                    line.parameters,
                    line.train_seconds,
                    line.evaluate_seconds,
                    outcome.says(line),
                )
            )


def _status(line: Line, num_seeds: int) -> str:
    if line.scores is None:
        return "failed"
    return "finished" if line.scores.seeds == num_seeds else "partly finished"


def _bounds(scores: Evidence | None, name: str) -> tuple[float | None, ...]:
    found = None if scores is None else scores.overall.get(name)
    return (None,) * 3 if found is None else (found.value, found.low, found.high)


def _value(scores: Evidence | None, name: str) -> str:
    return "" if scores is None else f"{scores.overall[name].value:.3f}"


def _with_range(one: Interval, *, signed: bool = False) -> str:
    style = "+.3f" if signed else ".3f"
    if one.low is None or one.high is None:
        return format(one.value, style)
    return f"{one.value:{style}} ({one.low:{style}} to {one.high:{style}})"


def _title(line: Line) -> str:
    return line.title + "*" * line.own_budget


def _name_of(outcome: Outcome, row: str | None) -> str:
    return next((line.title for line in outcome.lines if line.name == row), "")


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
