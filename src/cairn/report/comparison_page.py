"""The page of a comparison as HTML: scores and differences first, then curves, then photographs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from cairn.domain import Prediction
from cairn.pages import Section, Thumbnails, credit_html, document, terms_html
from cairn.report.comparison import LEVEL, Against, Comparison, chance_text
from cairn.report.drawings import Plot, side_by_side
from cairn.report.evaluated import EvaluatedRun
from cairn.report.paper import NAMES, size_text
from cairn.report.tables import Cell, Table, bounds_text, signed

CASES_IN_ALL = 24
"""Changed photographs on the page, shared by all comparisons."""


@dataclass(frozen=True)
class ComparisonPage:
    """Everything the page shows.

    Args:
        title: The heading.
        comparison: The numbers.
        plots: By key.
        thumbnails: Maker of the pictures.
        facts: Term -> value for the closing list.
    """

    title: str
    comparison: Comparison
    plots: Mapping[str, Plot]
    thumbnails: Thumbnails
    facts: Mapping[str, str] = field(default_factory=dict)

    def html(self) -> str:
        """Return the whole document."""
        found = self.comparison
        tables = {table.key: table.html() for table in tables_of(found)}
        changed = side_by_side([self._plot("precision"), self._plot("sizes")])
        sections: list[Section] = [
            ("scores", "Scores", tables["runs"]),
            ("differences", f"Differences from {found.names[0]}", self._tested(tables)),
            ("curves", "Where they differ", changed + tables.get("sizes", "")),
            ("decisions", "What gets answered", self._decided(tables)),
        ]
        for number, (name, one) in enumerate(zip(found.names[1:], found.against, strict=True)):
            key = f"changed-{number + 1}"
            sections.append((key, f"What {name} changed", self._changed(number + 1, one)))
        sections.append(("terms", "How to read this", self._terms()))
        return document(
            title=self.title,
            header=f'<p class="lead">{lead_text(found)}</p>',
            sections=sections,
            footer="Made by Cairn. The same numbers are in comparison.json, tables.md and "
            "tables.tex, every query that changed in changes.csv, the plots in plots/.",
        )

    def _tested(self, tables: Mapping[str, str]) -> str:
        count = self.comparison.num_tests
        if not self.comparison.num_resamples:
            return tables["differences"]
        if self.comparison.too_few_resamples:
            return (
                "<p>So few resamples cannot show any difference to be significant after "
                "correction; leave --resamples out for enough.</p>" + tables["differences"]
            )
        return (
            f"<p>Green and brown differences hold after correction for all {count} comparisons of "
            "this table; the others are within what another draw of queries could bring.</p>"
            + tables["differences"]
        )

    def _decided(self, tables: Mapping[str, str]) -> str:
        if "decisions" not in tables:
            return ""
        return (
            "<p>Each run at its own threshold: that of its gallery’s calibration where its answers "
            "carry verdicts, else one set on these queries for the share of unknown pictures "
            "stated.</p>" + tables["decisions"]
        )

    def _changed(self, row: int, one: Against) -> str:
        first, name = escape(self.comparison.names[0]), escape(self.comparison.names[row])
        gained, lost = len(one.gained), len(one.lost)
        text = (
            f"<p>Of the landmark photographs, {name} alone gets {gained:,} right and {first} alone "
            f"{lost:,}; both get {one.num_both_right:,}, neither {one.num_both_wrong:,}. McNemar’s "
            f"exact test of the two numbers: {escape(chance_text(one.chance))}.</p>"
        )
        share = max(2, CASES_IN_ALL // (2 * len(self.comparison.against)))
        parts = [text]
        for kind, title, ids in (
            ("right", f"Right in {name} alone", one.gained[:share]),
            ("wrong", f"Right in {first} alone", one.lost[:share]),
        ):
            if not ids:
                continue
            told = [self.comparison.runs[0], self.comparison.runs[row]]
            answers = [run.with_evidence(ids) for run in told]
            cards = "".join(
                self._case(image_id, kind, row, [some.get(image_id) for some in answers])
                for image_id in ids
            )
            parts.append(
                f'<h3 class="group">{title}, the surest first</h3><ul class="cases">{cards}</ul>'
            )
        return "".join(parts)

    def _case(
        self, image_id: str, kind: str, row: int, answers: Sequence[Prediction | None]
    ) -> str:
        runs = self.comparison.runs[0], self.comparison.runs[row]
        labels = self.comparison.names[0], self.comparison.names[row]
        truth = " or ".join(self._name(one) for one in sorted(runs[0].truth[image_id]))
        path = runs[0].paths.get(image_id) or runs[1].paths.get(image_id)
        figures = []
        if path is not None:
            figures.append(
                self.thumbnails.figure(
                    path,
                    alt=f"query photograph {image_id}",
                    caption="<b>query</b>",
                    kind="query",
                )
            )
        lines = []
        for run, label, answer in zip(runs, labels, answers, strict=True):
            if answer is None or answer.landmark_id is None:
                lines.append(f"{escape(label)}: no answer.")
                continue
            said = escape(self._name(answer.landmark_id))
            mark = "✓" if answer.landmark_id in run.truth[image_id] else "✕"
            lines.append(f"{escape(label)}: {mark} {said}, {answer.confidence:.3f}.")
            figures += self._evidence(run, label, answer)
        word = "✓ gained" if kind == "right" else "✕ lost"
        strip = f'<div class="strip">{"".join(figures)}</div>' if figures else ""
        return (
            f'<li class="case"><h3><span class="verdict {kind}">{word}</span>{escape(truth)}</h3>'
            f"<p>{'<br>'.join(lines)}</p>{strip}</li>"
        )

    def _evidence(self, run: EvaluatedRun, label: str, answer: Prediction) -> list[str]:
        if not answer.evidence:
            return []
        best = answer.evidence[0]
        name = self._name(best.landmark_id)
        return [
            self.thumbnails.figure(
                run.photograph(best.path) if best.path else None,
                alt=f"gallery photograph of {name}, the evidence of {label}",
                caption=f"<b>{escape(label)}</b><br>{best.score:.3f} {escape(name)}"
                + credit_html(best.credit),
            )
        ]

    def _name(self, landmark_id: str) -> str:
        for run in self.comparison.runs:
            if landmark_id in run.names:
                return run.names[landmark_id]
        return landmark_id

    def _plot(self, key: str) -> str:
        return self.plots[key].html() if key in self.plots else ""

    def _terms(self) -> str:
        found = self.comparison
        terms = {
            "Intervals": f"95% percentile bootstrap, {found.num_resamples:,} resamples of the "
            "queries within sizes of landmark and non-landmarks. Those of differences are paired: "
            "both runs on the same resamples."
            if found.num_resamples
            else "None were asked for, and nothing was tested.",
            "p": "Twice the share of resamples in which the difference has the other sign, "
            f"corrected after Holm for {found.num_tests} comparisons. A difference counts as real "
            f"at {LEVEL} or below. Differences by size are shown with intervals and not tested.",
            "What this does not say": "Resampling queries says nothing of another training run: "
            "two models of one recipe differ too. Compare several seeds for that.",
            **self.facts,
        }
        if unreadable := self.thumbnails.unreadable:
            some = "; ".join(f"{path} ({why})" for path, why in list(unreadable.items())[:5])
            terms["Unreadable"] = f"{len(unreadable)} photographs could not be shown: {some}"
        return terms_html(terms)


def lead_text(found: Comparison) -> str:
    """Return what the comparison comes to, as sentences in HTML."""
    first = found.measured.reports[0]
    text = [f"{len(found.names)} runs on the same {first.num_queries:,} photographs."]
    for name, one in zip(found.names[1:], found.against, strict=True):
        difference = one.differences["gap"]
        change = difference.change
        text.append(
            f"{escape(name)} {verdict(difference.change.value, difference.is_significant)} "
            f"{escape(found.names[0])} in GAP: {signed(change.value)}"
            + (
                f" (95% interval {signed(change.low)} to {signed(change.high)}, "
                f"{escape(chance_text(difference.corrected))} after Holm’s correction)."
                if change.low is not None and change.high is not None
                else "."
            )
        )
        others = [
            f"{'better' if other.change.value > 0 else 'worse'} in {NAMES[key]} "
            f"({signed(other.change.value)}, {escape(chance_text(other.corrected))})"
            for key, other in one.differences.items()
            if key != "gap" and other.is_significant
        ]
        if others:
            text.append(f"It is {' and '.join(others)}.")
    return " ".join(text)


def verdict(value: float, is_significant: bool) -> str:
    """Return what a difference allows to be said."""
    if not is_significant:
        return "cannot be told from"
    return "is better than" if value > 0 else "is worse than"


def tables_of(found: Comparison) -> list[Table]:
    """Return the tables of a comparison, for its page and for a paper."""
    reports = found.measured.reports
    keys = [one for one in NAMES if any(one in report.scores for report in reports)]
    rows: list[list[Cell | str]] = []
    for name, report in zip(found.names, reports, strict=True):
        cells = [report.scores.get(one) for one in keys]
        rows.append(
            [
                name,
                *(
                    Cell("–") if one is None else Cell(f"{one.value:.3f}", bounds_text(one))
                    for one in cells
                ),
            ]
        )
    first = reports[0]
    note = f"{first.num_queries:,} queries, {first.num_labelled:,} of them with a landmark."
    tables = [
        Table("runs", "Scores of the runs", ["Run", *(NAMES[k] for k in keys)], rows, note=note)
    ]
    tables.append(_differences_table(found))
    if first.by_size:
        tables.append(_sizes_table(found))
    if any(found.decisions):
        tables.append(_decisions_table(found))
    return tables


def _differences_table(found: Comparison) -> Table:
    keys = list(found.against[0].differences)
    rows: list[list[Cell | str]] = []
    for name, one in zip(found.names[1:], found.against, strict=True):
        row: list[Cell | str] = [name]
        for key in keys:
            difference = one.differences.get(key)
            if difference is None:
                row.append("–")
                continue
            change = difference.change
            kind, small = "same", ""
            if change.low is not None and change.high is not None:
                small = (
                    f"{signed(change.low)} to {signed(change.high)}, "
                    f"{chance_text(difference.corrected)}"
                )
            if difference.is_significant:
                kind = "better" if change.value > 0 else "worse"
            row.append(Cell(signed(change.value), small, kind))
        rows.append(row)
    note = (
        f"Paired 95% intervals, {found.num_resamples:,} resamples; p after Holm’s correction."
        if found.num_resamples
        else ""
    )
    title = f"Differences from {found.names[0]}"
    heads = ["Run", *(NAMES[key] for key in keys)]
    return Table("differences", title, heads, rows, note=note)


def _sizes_table(found: Comparison) -> Table:
    rows: list[list[Cell | str]] = []
    for number, entry in enumerate(found.measured.reports[0].by_size):
        row: list[Cell | str] = [size_text(entry.size), f"{entry.num_queries:,}"]
        row.append(f"{entry.scores['top1_accuracy'].value:.3f}")
        for place, one in enumerate(found.against, start=1):
            value = found.measured.reports[place].by_size[number].scores["top1_accuracy"].value
            change = one.by_size[entry.size]["top1_accuracy"]
            bounds = ""
            if change.low is not None and change.high is not None:
                bounds = f"{signed(change.value)}, {signed(change.low)} to {signed(change.high)}"
            row.append(Cell(f"{value:.3f}", bounds or signed(change.value)))
        rows.append(row)
    heads = ["Gallery photographs", "Queries", *found.names]
    note = f"Small figures: the paired difference from {found.names[0]} with its 95% interval."
    return Table("sizes", "Top-1 accuracy by size of landmark", heads, rows, note=note)


def _decisions_table(found: Comparison) -> Table:
    rows: list[list[Cell | str]] = []
    for name, one in zip(found.names, found.decisions, strict=True):
        if one is None:
            rows.append([name, *["–"] * 5])
            continue
        source = (
            "calibration" if one.source == "calibration" else f"{one.false_accept_rate:.0%} here"
        )
        value = "chance" if one.by == "chance" else "confidence"
        at = "verdicts" if one.threshold is None else f"{value} ≥ {one.threshold:.3f}"
        wrong = one.accepted_wrong + one.accepted_unknown
        shares = one.shares()
        right = shares.get("precision")
        rows.append(
            [
                name,
                Cell(at, source),
                f"{one.accepted_right:,}",
                f"{wrong:,}",
                f"{one.num_queries - one.num_accepted:,}",
                "–"
                if right is None
                else Cell(f"{right.value:.1%}", bounds_text(right, percent=True)),
            ]
        )
    heads = (
        "Run",
        "Threshold",
        "Answered right",
        "Answered wrong",
        "Held back",
        "Right if answered",
    )
    return Table("decisions", "What gets answered", heads, rows)
