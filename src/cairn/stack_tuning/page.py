"""The page of a tuning: what was chosen, what it is worth, and what each stage adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from matplotlib.axes import Axes

from cairn.bootstrap import Interval
from cairn.pages import document, table_html, terms_html, tiles_html
from cairn.pages.drawing import MUTED, NOW, PAST, drawing, new_figure, to_svg
from cairn.stack_tuning import summary
from cairn.stack_tuning.gains import Kind, Line, Measured
from cairn.stack_tuning.outcome import Outcome
from cairn.stack_tuning.space import said

_WIDTH_IN = 5.1
_ROW_IN, _REST_IN = 0.42, 1.0


def page(outcome: Outcome, *, gallery: str, recipe: str) -> str:
    """Return the page as self-contained HTML.

    Args:
        outcome: What came of it.
        gallery: What was tuned, as text.
        recipe: Where the recipe lies, as text.
    """
    sections = [
        ("worth", "What it is worth", _worth(outcome)),
        ("gains", "What each stage gains", _gains(outcome)),
        ("length", "How many stages", _length(outcome)),
        ("recipe", "The recipe", _recipe(outcome, gallery, recipe)),
        ("searched", "What was searched", _searched(outcome)),
        ("terms", "Words", _terms()),
    ]
    return document(
        title="Tuned stages",
        header=_header(outcome),
        sections=sections,
        footer=escape(f"{summary.basis(outcome)} Gallery {gallery}."),
    )


def _header(outcome: Outcome) -> str:
    lead = f'<p class="lead">{escape(_verdict(outcome))}</p>'
    warnings = "".join(f'<p class="warning">{escape(str(one))}</p>' for one in outcome.cautions)
    return lead + warnings + tiles_html(_tiles(outcome), least_px=210)


def _verdict(outcome: Outcome) -> str:
    chosen = outcome.tuned.stages
    if not chosen:
        return "No recipe is chosen: none is better than the nearest image on held-out queries."
    name, judge = list(summary.sets_of(outcome).items())[-1]
    gain = judge.gain(chosen, ())
    judged = "queries that did not choose it" if name == "test" else "the queries that chose it"
    text = (
        f"{said(chosen).capitalize()}: GAP goes from {judge.gap(()).value:.3f} to "
        f"{judge.gap(chosen).value:.3f} on {judged}"
    )
    if gain.low is not None and gain.high is not None:
        if gain.low > 0:
            text += ", a gain that resampling does not take away."
        elif gain.high < 0:
            text += ", a loss."
        else:
            text += ", a change that may be chance."
        return text
    return f"{text}."


def _tiles(outcome: Outcome) -> list[tuple[str, str, str]]:
    tiles = []
    for name, one in summary.sets_of(outcome).items():
        gain = one.gain(outcome.tuned.stages, ())
        before, after = one.gap(()).value, one.gap(outcome.tuned.stages).value
        tiles.append(
            (
                f"Gain in GAP on {name}",
                f"{gain.value:+.3f}",
                f"{before:.3f} to {after:.3f}{_between(gain)}",
            )
        )
    held, error = outcome.tuned.held_out_gain, outcome.tuned.held_out_error
    if held is not None and error is not None:
        tiles.append(
            (
                "Held-out gain",
                f"{held:+.3f}",
                f"on {len(outcome.tuned.held_out)} folds not searched, standard error {error:.3f}",
            )
        )
    if outcome.test is not None:
        both = [
            one.gain(outcome.tuned.stages, ()).value for one in summary.sets_of(outcome).values()
        ]
        tiles.append(("Optimism", f"{both[0] - both[1]:+.3f}", "validation gain less test gain"))
    if outcome.smallest is not None:
        tiles.append(
            (
                "Smallest gain to see",
                f"{outcome.smallest:.3f}",
                "four times in five, so many queries",
            )
        )
    return tiles


def _between(gain: Interval) -> str:
    if gain.low is None or gain.high is None:
        return ""
    return f"; 95 %: {gain.low:+.3f} to {gain.high:+.3f}"


def _worth(outcome: Outcome) -> str:
    text = " ".join(
        filter(
            None,
            [
                summary.held_out(outcome),
                summary.optimism_of(outcome),
                summary.smallest(outcome),
            ],
        )
    )
    return table_html(
        "GAP before and after", summary.heads(outcome), summary.before_after(outcome)
    ) + (f'<p class="note">{escape(text)}</p>')


def _gains(outcome: Outcome) -> str:
    titles: dict[Kind, str] = {
        "alone": "Alone, over the nearest image",
        "in sequence": "In sequence, over the stages before",
        "left out": "The whole recipe, over the one without it",
    }
    plots, tables = [], []
    for kind, title in titles.items():
        lines = [line for line in outcome.lines if line.kind == kind]
        if not lines:
            continue
        plots.append(f"<h3>{escape(title)}</h3>{_forest(lines, outcome, kind.replace(' ', '-'))}")
        names = [f"gain on {name}" for name in summary.sets_of(outcome)]
        tables.append(
            f"<h3>{escape(summary.KINDS[kind])}</h3>"
            + table_html(title, ("stage", *names), summary.ablation_rows(outcome, kind))
        )
    # The stages of the recipe are few: their two plots share a card beside the tall one.
    parts = filter(None, ["".join(plots[:1]), "".join(plots[1:])])
    cards = "".join(f'<figure class="plot">{part}</figure>' for part in parts)
    legend = (
        "Blue: on validation, which chose. Grey: on test, which did not."
        if outcome.test is not None
        else "On validation, which chose the values: these gains flatter."
    )
    return (
        f'<p class="note">{escape(legend)} Bars are 95 % intervals of the paired difference.</p>'
        f'<div class="plots">{cards}</div>{"".join(tables)}'
    )


def _forest(lines: Sequence[Line], outcome: Outcome, name: str) -> str:
    sets = summary.sets_of(outcome)
    with drawing():
        figure, (axes,) = new_figure(_WIDTH_IN, _REST_IN + _ROW_IN * len(lines))
        axes.axvline(0, color=MUTED, linewidth=1)
        for (_, one), colour, shift in zip(
            sets.items(), (NOW, PAST), (-0.14, 0.14) if len(sets) > 1 else (0.0,), strict=False
        ):
            _points(axes, lines, one, colour, shift)
        axes.set_yticks(range(len(lines)), [line.name for line in lines])
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("gain in GAP")
        return to_svg(figure, f"forest-{name}")


def _points(axes: Axes, lines: Sequence[Line], one: Measured, colour: str, shift: float) -> None:
    for row, line in enumerate(lines):
        gain = one.gain(line.row, line.over)
        if gain.low is not None and gain.high is not None:
            axes.plot([gain.low, gain.high], [row + shift] * 2, color=colour, linewidth=2)
        axes.plot([gain.value], [row + shift], "o", color=colour, markersize=6)


def _length(outcome: Outcome) -> str:
    steps = outcome.tuned.path
    if not steps:
        return ""
    chosen = outcome.tuned.stages
    rows = [
        (
            f"{number}: {said(step.stages)}{' (chosen)' if step.stages == chosen else ''}",
            f"{step.gap:.4f}",
            "" if step.held_out is None else f"{step.held_out:.4f}",
            "" if step.error is None else f"{step.error:.4f}",
        )
        for number, step in enumerate(steps)
    ]
    text = (
        "Stage after stage, the one that gains most. GAP on the queries that choose only grows; on "
        "held-out folds it does not. Chosen is the shortest recipe within one standard error (of "
        "the paired difference) of the best."
    )
    return f"<p>{escape(text)}</p>" + table_html(
        "Recipes by length",
        ("stages", "GAP, searched", "GAP, held out", "error to the best"),
        rows,
    )


def _recipe(outcome: Outcome, gallery: str, recipe: str) -> str:
    command = f"cairn recognize {gallery} PHOTOGRAPHS --stages {recipe}"
    return (
        f'<p>{escape(said(outcome.tuned.stages))}</p><code class="command">{escape(command)}</code>'
    )


def _searched(outcome: Outcome) -> str:
    return terms_html(
        {
            slot.name: "; ".join(
                f"{name} {', '.join(map(str, values))}" for name, values in slot.values.items()
            )
            or "nothing to choose"
            for slot in outcome.slots
        }
    )


def _terms() -> str:
    return terms_html(
        {
            "Validation, test": "The queries that choose the recipe, and others that judge it.",
            "Held-out gain": "The whole search is run again without each fold of the validation "
            "queries, and its choice scored on that fold. It needs no test and does not flatter.",
            "Optimism": "What choosing adds to the gain on the queries that chose.",
            "Smallest gain to see": "2.8 standard errors of the paired difference: a true gain of "
            "that size is found significant (5 %, two-sided) four times in five.",
        }
    )
