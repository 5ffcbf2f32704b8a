"""The tables of a report, as values: the page shows them, and a paper can take them over."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cairn.bootstrap import Interval
from cairn.proportions import wilson
from cairn.report.analysis import Analysis
from cairn.report.confusions import CategoryScores, Confusion
from cairn.report.decision import Decision
from cairn.report.risk import RISKS, RiskCoverage
from cairn.report.tables import Cell, Table, bounds_text, share_cell, signed
from cairn.scores import Report, SizeBin

NAMES = {
    "gap": "GAP",
    "gap_without_unlabelled": "GAP−",
    "top1_accuracy": "Top-1 accuracy",
    "auroc": "AUROC",
    "mean_average_precision": "mAP@100",
}
"""What people call the scores."""

Name = Callable[[str], str]


def scores_table(report: Report) -> Table:
    """Return the scores with their intervals, and what they were before a change."""
    before = report.before
    heads = ["Score", "Value", "95% interval"]
    if before is not None:
        heads += ["Before", "Change"]
    rows: list[list[Cell | str]] = []
    for key, name in NAMES.items():
        score = report.scores.get(key)
        if score is None:
            continue
        row: list[Cell | str] = [name, f"{score.value:.3f}", bounds_text(score) or "–"]
        if before is not None:
            change, old = report.change.get(key), before.scores.get(key)
            row.append("–" if old is None else f"{old.value:.3f}")
            row.append("–" if change is None else change_cell(change))
        rows.append(row)
    note = f"{report.num_queries:,} queries, {report.num_labelled:,} of them with a landmark."
    return Table("scores", "Scores", heads, rows, note=note)


def change_cell(change: Interval) -> Cell:
    """Return a difference with its interval, coloured where that leaves out 0."""
    bounds = ""
    if change.low is not None and change.high is not None:
        bounds = f"{signed(change.low)} to {signed(change.high)}"
    kind = {1: "better", -1: "worse", 0: "same"}[direction(change)]
    return Cell(signed(change.value), bounds, kind)


def direction(change: Interval) -> int:
    """Return 1 or -1 where the whole interval lies above or below 0, else 0."""
    if change.low is None or change.high is None:
        return 0
    return int(change.low > 0) - int(change.high < 0)


def decision_table(decision: Decision) -> Table:
    """Return what becomes of known and of unknown queries."""

    def part(count: int, total: int) -> Cell:
        return Cell(f"{count:,}", f"{count / total:.1%}" if total else "")

    known, unknown = decision.num_known, decision.num_unknown
    rows: list[list[Cell | str]] = [
        [
            "Known landmark",
            f"{known:,}",
            part(decision.accepted_right, known),
            part(decision.accepted_wrong, known),
            part(decision.refused_known, known),
        ]
    ]
    if unknown:
        rows.append(
            [
                "Unknown",
                f"{unknown:,}",
                "–",
                part(decision.accepted_unknown, unknown),
                part(decision.refused_unknown, unknown),
            ]
        )
        total = known + unknown
        wrong = decision.accepted_wrong + decision.accepted_unknown
        refused = decision.refused_known + decision.refused_unknown
        right = part(decision.accepted_right, total)
        rows.append(["All", f"{total:,}", right, part(wrong, total), part(refused, total)])
    note = ""
    if decision.refused_known:
        note = (
            f"Of the {decision.refused_known:,} known ones held back, {decision.refused_right:,} "
            "would have been answered rightly."
        )
    heads = ("Photographs", "Queries", "Answered right", "Answered wrong", "Held back")
    return Table("decision", "What gets answered", heads, rows, frozenset({1}), note)


def sizes_table(report: Report, analysis: Analysis) -> Table:
    """Return the scores by size of landmark; an arrow stands between before and after."""
    earlier = {one.size: one for one in (report.before.by_size if report.before else ())}
    columns = ["top1_accuracy", "gap"]
    if any("mean_average_precision" in entry.scores for entry in report.by_size):
        columns.append("mean_average_precision")
    answered = analysis.answered_by_size
    heads = ["Gallery photographs", "Landmarks", "Queries", *(NAMES[one] for one in columns)]
    heads += ["AUROC", *(["Answered right", "Held back"] if answered else [])]
    rows: list[list[Cell | str]] = []
    for entry in report.by_size:
        row: list[Cell | str] = [size_text(entry.size), f"{entry.num_landmarks:,}"]
        row.append(f"{entry.num_queries:,}")
        row += [_score(entry, earlier.get(entry.size), one) for one in columns]
        row.append("–" if entry.auroc is None else f"{entry.auroc:.3f}")
        if answered:
            asked, given, right = answered[entry.size]
            row += [share_cell(wilson(right / asked, asked)), f"{1 - given / asked:.1%}"]
        rows.append(row)
    return Table("sizes", "Scores by size of landmark", heads, rows, narrow=frozenset({1}))


def operating_table(risk: RiskCoverage, by: str) -> Table:
    """Return how much can be answered at stated shares of errors."""
    rows: list[list[Cell | str]] = []
    for one in map(risk.at, RISKS):
        at = "–" if one.threshold is None else f"{one.threshold:.3f}"
        rows.append([f"{one.risk:.0%}", f"{one.coverage:.1%}", at])
    value = "Chance" if by == "chance" else "Confidence"
    heads = ("Wrong at most", "Answered", f"{value} from")
    return Table("operating", "What can be answered at a share of errors", heads, rows)


def categories_table(categories: Sequence[CategoryScores]) -> Table:
    """Return the scores by category of the landmark."""
    rows: list[list[Cell | str]] = [
        [
            one.category,
            f"{one.num_landmarks:,}",
            f"{one.num_queries:,}",
            share_cell(one.accuracy),
            f"{one.gap:.3f}",
        ]
        for one in categories
    ]
    heads = ("Category", "Landmarks", "Queries", "Top-1 accuracy", "GAP")
    title = "Scores by category"
    return Table("categories", title, heads, rows, narrow=frozenset({1}))


def pairs_table(pairs: Sequence[Confusion], name: Name) -> Table:
    """Return landmarks taken for one another, both ways."""
    rows: list[list[Cell | str]] = [
        [
            f"{name(one.landmarks[0])} ↔ {name(one.landmarks[1])}",
            way_cell(one.forward, one.queries[0]),
            way_cell(one.backward, one.queries[1]),
        ]
        for one in pairs
    ]
    heads = ("Landmarks A ↔ B", "A answered as B", "B answered as A")
    return Table("pairs", "Landmarks taken for one another", heads, rows)


def way_cell(count: int, total: int) -> Cell:
    """Return how many of a landmark's queries were answered as another."""
    if not total:
        return Cell("–", "not asked about")
    return Cell(f"{count:,} of {total:,}", f"{count / total:.0%}")


def size_text(name: str) -> str:
    """Return the name of a size of landmark as people read it."""
    return name.replace("-", "–").replace(">", "more than ")


def all_tables(report: Report, analysis: Analysis, name: Name, *, num_pairs: int) -> list[Table]:
    """Return every table that this report has."""
    found = [scores_table(report)]
    if analysis.decision is not None:
        found.append(decision_table(analysis.decision))
    if report.by_size:
        found.append(sizes_table(report, analysis))
    found.append(operating_table(analysis.risk, analysis.outcomes.by))
    if analysis.categories:
        found.append(categories_table(analysis.categories))
    if analysis.pairs:
        found.append(pairs_table(analysis.pairs[:num_pairs], name))
    return found


def _score(entry: SizeBin, old: SizeBin | None, key: str) -> Cell:
    score = entry.scores.get(key)
    if score is None:
        return Cell("–")
    was = old.scores.get(key) if old else None
    return Cell(
        f"{score.value:.3f}", bounds_text(score), was="" if was is None else f"{was.value:.3f}"
    )
