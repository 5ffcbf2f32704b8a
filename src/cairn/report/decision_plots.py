"""The plots of the decision: the threshold among the kinds, open-set curves, chances, risk.

Each returns a Matplotlib figure, drawn within `cairn.pages.drawing.drawing`.
"""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from cairn.calibration import OpenSetCurve
from cairn.pages.drawing import INK, MUTED, NONE, NOW, PAST, WRONG, new_figure
from cairn.pages.thinning import thinned
from cairn.report.analysis import OpenSet, Reliability
from cairn.report.decision import Decision
from cairn.report.outcomes import Float64, Outcomes
from cairn.report.plots import draw_histogram, finish_histograms, histogram_edges
from cairn.report.risk import RiskCoverage

_SIZE_IN = (5.1, 3.4)
_LEAST_RATE = 1e-4


def kinds_with_threshold(outcomes: Outcomes, decision: Decision | None) -> Figure:
    """Return what decides, by kind of query, with the threshold drawn where there is one."""
    values = outcomes.values
    kinds = (
        ("unknown", ~outcomes.known),
        ("known, wrong", outcomes.known & ~outcomes.right),
        ("known, right", outcomes.right),
    )
    edges = (
        np.linspace(0.0, 1.0, 41)
        if outcomes.by == "chance"
        else histogram_edges(values[outcomes.answered])
    )
    figure, panels = new_figure(*_SIZE_IN)
    axes = panels[0]
    draw_histogram(axes, values, kinds, edges)
    if decision is not None and decision.threshold is not None:
        at = decision.threshold
        axes.axvline(at, color=INK, linewidth=1.4)
        late = at > edges[0] + 0.6 * (edges[-1] - edges[0])
        axes.annotate(
            f"below {at:.3f}: held back" if late else f"from {at:.3f}: answered",
            (at, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-5 if late else 5, -4),
            textcoords="offset points",
            ha="right" if late else "left",
            va="top",
            fontsize=10,
        )
        axes.set_ylim(top=axes.get_ylim()[1] * 1.12)
    finish_histograms(figure, panels, _name(outcomes.by))
    return figure


def open_set_curves(found: OpenSet, num_unknown: int) -> Figure:
    """Return the ROC curve and OSCR over the share of unknown queries accepted, on a log axis."""
    figure, (axes,) = new_figure(*_SIZE_IN)
    least = max(_LEAST_RATE, 0.5 / max(num_unknown, 1))
    curves: list[tuple[OpenSetCurve, str, str, str]] = [
        (found.known_scores, PAST, "--", "accepted"),
        (found.scores, NOW, "-", "accepted and right"),
    ]
    if found.chances is not None:
        curves.append((found.chances, WRONG, "-.", "the same, by chance"))
    for curve, colour, style, name in curves:
        x, y = _steps(curve, least)
        axes.plot(x, y, color=colour, linestyle=style, label=name)
    fpr = found.fpr95.value
    axes.plot(max(fpr, least), 0.95, "o", color=PAST, markersize=7)
    crowded = fpr > 0.05
    axes.annotate(
        f"95% of the known, {fpr:.1%} of the unknown",
        (max(fpr, least), 0.95),
        xytext=(-8 if crowded else 8, 6),
        textcoords="offset points",
        ha="right" if crowded else "left",
        va="bottom",
        color=MUTED,
        fontsize=9.5,
    )
    axes.set_xscale("log")
    axes.set_xlim(least * 0.95, 1.05)
    axes.set_ylim(0, 1.1)
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    axes.set_xlabel("unknown queries accepted")
    axes.set_ylabel("known queries")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(loc="lower right")
    return figure


def reliability_diagram(found: Reliability, outcomes: Outcomes) -> Figure:
    """Return what was said against what came, by bins of equal mass, and below how often."""
    figure, (curve, below) = new_figure(5.1, 4.4, 2, 1, sharex=True, height_ratios=(4, 1))
    said = np.asarray([one.probability for one in found.bins])
    came = np.asarray([one.right.value for one in found.bins])
    lows = np.asarray([one.right.low for one in found.bins], dtype=np.float64)
    highs = np.asarray([one.right.high for one in found.bins], dtype=np.float64)
    curve.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=":")
    curve.annotate("as it should be", (0.6, 0.6), xytext=(9, -4), textcoords="offset points",
                   va="top", color=MUTED, fontsize=9.5)  # fmt: skip
    curve.vlines(said, lows, highs, color=NOW, linewidth=1.6, alpha=0.6)
    curve.plot(said, came, "o-", color=NOW, markersize=6, linewidth=1.2)
    wide = [(one.probability, one.right.value) for one in found.wide]
    curve.plot(*zip(*wide, strict=True), "s", color=WRONG, markersize=5, fillstyle="none")
    curve.set_xlim(-0.02, 1.02)
    curve.set_ylim(-0.02, 1.04)
    curve.set_ylabel("share that is right")
    curve.set_title(f"ECE {found.ece:.3f}, Brier {found.brier:.3f}", loc="left", fontsize=10.5,
                    color=MUTED)  # fmt: skip
    counts = np.histogram(outcomes.values[outcomes.answered], np.linspace(0, 1, 21))[0]
    below.stairs(counts, np.linspace(0, 1, 21), fill=True, color=NONE, alpha=0.5)
    below.set_ylabel("answers")
    below.set_xlabel("chance of being right, as said")
    below.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    for axes in (curve, below):
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    curve.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return figure


def risk_coverage(found: RiskCoverage, decision: Decision | None, by: str) -> Figure:
    """Return the share of errors among the answers over the share of queries answered."""
    figure, (axes,) = new_figure(*_SIZE_IN)
    if len(found.coverage):
        kept = thinned(found.coverage, found.risk)
        axes.plot(found.coverage[kept], found.risk[kept], color=NOW, drawstyle="steps-post")
    if decision is not None and decision.num_accepted:
        x = decision.num_accepted / decision.num_queries
        y = 1 - decision.accepted_right / decision.num_accepted
        axes.plot(x, y, "o", color=WRONG, markersize=8)
        _beside(axes, x, y, f"here: {x:.0%} answered,\n{y:.1%} of that wrong")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, min(1.02, max(float(found.risk.max(initial=0.0)) * 1.08, 0.05)))
    axes.set_xlabel(f"queries answered, by {'chance' if by == 'chance' else 'confidence'}")
    axes.set_ylabel("wrong among the answers")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g}%"))
    return figure


def _beside(axes: Axes, x: float, y: float, text: str) -> None:
    left = x > 0.35
    axes.annotate(
        text,
        (x, y),
        xytext=(-10 if left else 10, 10),
        textcoords="offset points",
        ha="right" if left else "left",
        va="bottom",
        color=WRONG,
        fontsize=9.5,
    )


def _steps(curve: OpenSetCurve, least: float) -> tuple[Float64, Float64]:
    """Return a curve as corners of its steps, thinned for a log axis that begins at ``least``."""
    x = np.repeat(np.maximum(curve.false_positives, least), 2)[1:]
    y = np.repeat(curve.correct, 2)[:-1]
    kept = thinned(x, y, log=True)
    return x[kept], y[kept]


def _name(by: str) -> str:
    return "chance of being right" if by == "chance" else "confidence"
