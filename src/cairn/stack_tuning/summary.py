"""What tuning came to, in words: a table for the terminal, and a page of Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from cairn.bootstrap import Interval
from cairn.stack_tuning.gains import Kind, Measured, optimism
from cairn.stack_tuning.outcome import TODAY, Outcome
from cairn.stack_tuning.space import said

KINDS: dict[Kind, str] = {
    "alone": "Each stage alone, at the values that are best alone, over the nearest image",
    "in sequence": "One after the other, each over the stages before it",
    "left out": "The whole recipe over the recipe without the stage",
}


def signed(gain: Interval) -> str:
    """Return a gain with its interval: +0.012 (+0.003 to +0.021)."""
    text = f"{_plus(gain.value)}"
    if gain.low is not None and gain.high is not None:
        text += f" ({_plus(gain.low)} to {_plus(gain.high)})"
    return text


def before_after(outcome: Outcome) -> list[tuple[str, ...]]:
    """Return set, queries, GAP before, GAP after and gain of each set of queries, held-out too."""
    rows = []
    chosen = outcome.tuned.stages
    for name, one in sets_of(outcome).items():
        known, unknown = outcome.counts[name]
        rows.append(
            (
                name,
                f"{known} + {unknown}",
                f"{one.gap(()).value:.4f}",
                *([f"{one.gap(TODAY).value:.4f}"] if outcome.has_today else []),
                f"{one.gap(chosen).value:.4f}",
                signed(one.gain(chosen, ())),
            )
        )
    return rows


def heads(outcome: Outcome) -> tuple[str, ...]:
    """Return the heads of that table."""
    today = ["its own penalty"] if outcome.has_today else []
    return ("queries", "landmarks + others", "nearest image", *today, "tuned", "gain (95 %)")


def sets_of(outcome: Outcome) -> dict[str, Measured]:
    """Return the measured sets of queries by name."""
    both = {"validation": outcome.validation, "test": outcome.test}
    return {name: one for name, one in both.items() if one is not None}


def held_out(outcome: Outcome) -> str:
    """Return what folds gain that the search did not see, in a sentence."""
    gain, error = outcome.tuned.held_out_gain, outcome.tuned.held_out_error
    if gain is None or error is None:
        return "There are too few queries for folds, so no gain was held out."
    return (
        f"On {len(outcome.tuned.held_out)} folds that the search did not see the same search "
        f"gains {_plus(gain)} (standard error {error:.4f})."
    )


def optimism_of(outcome: Outcome) -> str:
    """Return how much validation flatters, in a sentence; empty without a test."""
    if outcome.test is None:
        return ""
    found = optimism(outcome.validation, outcome.test, outcome.tuned.stages)
    return f"Optimism (the gain on validation less that on test): {signed(found)}."


def basis(outcome: Outcome) -> str:
    """Return how it was measured, in a sentence."""
    share = outcome.wishes.known_share
    told = "" if share is None else f" GAP is that of queries of which {share:g} show a landmark."
    speed = outcome.trials_per_s
    rate = "" if speed is None else f", {speed:,.0f} a second"
    return (
        f"{outcome.tuned.num_tried:,} recipes tried ({outcome.tuned.method}{rate}), "
        f"{outcome.num_hits} hits a query.{told}"
    )


def smallest(outcome: Outcome) -> str:
    """Return the smallest gain that so many queries show, in a sentence."""
    if outcome.smallest is None:
        return ""
    return (
        f"So many validation queries show a gain of {outcome.smallest:.4f} four times in five; "
        "a smaller one they mostly miss."
    )


def ablation_rows(outcome: Outcome, kind: Kind) -> list[tuple[str, ...]]:
    """Return stage with its values and gain on each set of the lines of one kind."""
    return [
        (
            said(line.row) if kind == "alone" else _named(line.name, outcome),
            *(signed(one.gain(line.row, line.over)) for one in sets_of(outcome).values()),
        )
        for line in outcome.lines
        if line.kind == kind
    ]


def table(outcome: Outcome) -> str:
    """Return the outcome for the terminal."""
    lines = [
        f"chosen: {said(outcome.tuned.stages)}",
        "",
        *_aligned([heads(outcome), *before_after(outcome)]),
        "",
        held_out(outcome),
        *filter(None, [optimism_of(outcome), smallest(outcome)]),
        basis(outcome),
    ]
    for kind, title in KINDS.items():
        rows = ablation_rows(outcome, kind)
        if rows:
            lines += ["", f"{title}:", *_aligned([("", *sets_of(outcome)), *rows])]
    return "\n".join(lines)


def markdown(outcome: Outcome) -> str:
    """Return the outcome as a page of Markdown."""
    lines = ["# Tuned stages", "", f"Chosen: {said(outcome.tuned.stages)}", ""]
    if outcome.cautions:
        lines += ["## Before believing it", "", *(f"- {one}" for one in outcome.cautions), ""]
    lines += [
        "## Before and after",
        "",
        *_pipes(heads(outcome), before_after(outcome)),
        "",
        " ".join(filter(None, [held_out(outcome), optimism_of(outcome), smallest(outcome)])),
        "",
        basis(outcome),
    ]
    for kind, title in KINDS.items():
        rows = ablation_rows(outcome, kind)
        if rows:
            names = [f"gain on {name} (95 %)" for name in sets_of(outcome)]
            lines += ["", f"## {title}", "", *_pipes(("stage", *names), rows)]
    return "\n".join([*lines, ""])


def _named(name: str, outcome: Outcome) -> str:
    return said(tuple(stage for stage in outcome.tuned.stages if stage.name == name))


def _pipes(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(heads)} |",
        "|" + "---|" * len(heads),
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _plus(value: float) -> str:
    return f"{round(value, 4) + 0.0:+.4f}"  # rounding noise is no -0.0000
