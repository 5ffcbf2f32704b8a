"""Every plot of a report with its heading and caption: for the page, and as files for a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from cairn.metrics import Ranking
from cairn.pages.drawing import save_png, save_svg, to_svg
from cairn.report import decision_plots, plots
from cairn.report.analysis import Analysis
from cairn.scores import Report


@dataclass(frozen=True, eq=False)
class Plot:
    """A figure with its words.

    Args:
        key: Names its files and its ids.
        title: The heading.
        caption: What it shows and how to read it.
        figure: Drawn within `cairn.pages.drawing.drawing`.
    """

    key: str
    title: str
    caption: str
    figure: Figure

    def html(self) -> str:
        """Return the plot for a page."""
        title, caption = escape(self.title), escape(self.caption)
        return (
            f'<figure class="plot"><h3>{title}</h3>'
            f'<div role="img" aria-label="Plot: {title}. {caption}">'
            f"{to_svg(self.figure, self.key)}</div><figcaption>{caption}</figcaption></figure>"
        )

    def save(self, folder: Path) -> None:
        """Write the plot as SVG and PNG in the colours of light paper."""
        save_svg(self.figure, folder / f"{self.key}.svg", self.key)
        save_png(self.figure, folder / f"{self.key}.png")


def draw(
    report: Report,
    analysis: Analysis,
    after: Ranking,
    before: Ranking | None,
    counts: Mapping[str, int],
) -> dict[str, Plot]:
    """Return the plots by key; those that have nothing to show are left out.

    Args:
        report: The scores.
        analysis: What else is known of the answers.
        after: The ranking reported.
        before: The one compared with.
        counts: Landmark id -> gallery photographs; may be empty.
    """
    outcomes, decision = analysis.outcomes, analysis.decision
    found = [
        Plot(
            "kinds",
            "Known and unknown, with the threshold",
            "Each kind adds up to 100%. Answers at or right of the line are given, the others held "
            "back."
            if decision is not None and decision.threshold is not None
            else "Each kind adds up to 100%.",
            decision_plots.kinds_with_threshold(outcomes, decision),
        ),
        Plot(
            "precision",
            "Precision down the ranking",
            "All answers sorted by confidence: the share that is right among the first i. GAP "
            "averages it over the right ones. The dotted line is the number of landmark queries.",
            plots.precision_curve(after, before),
        ),
    ]
    if before is not None or outcomes.by == "chance":
        found.append(
            Plot(
                "scores",
                "Confidence, by what the photograph was",
                "Each kind adds up to 100%. The further the right answers stand to the right of "
                "the others, the better the score.",
                plots.score_histograms(after, before),
            )
        )
    if report.by_size:
        runs = {"after" if report.before else "": report.by_size}
        if report.before:
            runs = {"before": report.before.by_size, **runs}
        found.append(
            Plot(
                "sizes",
                "Accuracy by size of landmark",
                "Lines are 95% bootstrap intervals over the queries."
                if report.num_resamples
                else "Top-1 accuracy, landmarks with few photographs on the left.",
                plots.scores_by_size(runs),
            )
        )
    if counts:
        caption = _tail_caption(counts)
        found.append(Plot("imbalance", "The long tail", caption, plots.imbalance(counts)))
    if analysis.open_set is not None:
        unknown = int((~outcomes.known).sum())
        found.append(
            Plot(
                "open-set",
                "What keeping unknown pictures out costs",
                "From left to right ever more is accepted. Dashed: known queries accepted (ROC). "
                "Solid: those accepted with the right answer (OSCR).",
                decision_plots.open_set_curves(analysis.open_set, unknown),
            )
        )
    found.append(
        Plot(
            "risk",
            "Errors against coverage",
            "Unknown queries that are answered count as errors. The dot is the decision above."
            if decision is not None
            else "Unknown queries that are answered count as errors.",
            decision_plots.risk_coverage(analysis.risk, decision, outcomes.by),
        )
    )
    if analysis.reliability is not None:
        found.append(
            Plot(
                "reliability",
                "Said and come",
                "A point is about a tenth of the answers, its line a 95% interval; a square is a "
                "tenth of the range of chances. Below the diagonal chances promise too much.",
                decision_plots.reliability_diagram(analysis.reliability, outcomes),
            )
        )
    return {plot.key: plot for plot in found}


def side_by_side(parts: Sequence[str]) -> str:
    """Return plots and other boxes in two columns, in one on a phone."""
    kept = [part for part in parts if part]
    return f'<div class="plots">{"".join(kept)}</div>' if kept else ""


def _tail_caption(counts: Mapping[str, int]) -> str:
    total = len(counts)
    five = sum(count <= 5 for count in counts.values()) / total
    ten = sum(count <= 10 for count in counts.values()) / total
    return (
        f"{total:,} landmarks, {sum(counts.values()):,} gallery photographs. {ten:.0%} of the "
        f"landmarks have at most ten, {five:.0%} at most five."
    )
