"""Two pictures of a calibration: do chances come true, and what does keeping unknowns out cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cairn.calibration.calibration import Calibration, Judged
from cairn.calibration.open_set import OpenSetCurve
from cairn.calibration.reliability import calibration_error, reliability_bins
from cairn.runs import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAIN, _SECOND, _GREY = "#2f6f9f", "#c8642b", "#666666"
_LEAST_RATE = 1e-4


def draw_reliability(path: Path, judged: Judged) -> None:
    """Draw what was said against what came, by bins of equal mass, and below how often."""
    bins = reliability_bins(judged.probabilities, judged.right, weights=judged.weights)
    figure = _figure(5.4, 6.4)
    curve, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    said = np.asarray([one.probability for one in bins])
    came = np.asarray([one.right.value for one in bins])
    lows = np.asarray([one.right.low for one in bins], dtype=np.float64)
    highs = np.asarray([one.right.high for one in bins], dtype=np.float64)
    curve.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
    curve.text(0.70, 0.64, "as it should be", color=_GREY, fontsize=9, ha="left", va="top")
    curve.vlines(said, lows, highs, color=_MAIN, linewidth=1.4, alpha=0.7)
    curve.plot(said, came, color=_MAIN, marker="o", markersize=6, linewidth=1.4)
    curve.set_xlim(-0.02, 1.02)
    curve.set_ylim(-0.02, 1.02)
    curve.set_ylabel("share that is right (95 % interval)")
    curve.set_title(
        f"{len(judged):,} answers to queries not fitted on: ECE {calibration_error(bins):.3f}",
        loc="left",
        fontsize=11,
    )
    edges = np.linspace(0, 1, 41)
    kinds = (
        (judged.right, _MAIN, "right"),
        (judged.known & ~judged.right, _SECOND, "wrong landmark"),
        (~judged.known, _GREY, "unknown picture"),
    )
    for chosen, colour, name in kinds:
        heights = np.histogram(judged.probabilities[chosen], edges)[0]
        below.stairs(heights, edges, color=colour, linewidth=1.4, label=name)
    below.set_yscale("symlog", linthresh=1)
    below.yaxis.set_major_formatter(_thousands())
    below.yaxis.set_minor_locator(_none())
    below.set_ylabel("answers")
    below.set_xlabel("chance of being right, as said")
    for axis in (curve, below):
        axis.xaxis.set_major_formatter(_percent())
    curve.yaxis.set_major_formatter(_percent())
    figure.legend(*below.get_legend_handles_labels(), loc="outside lower center", ncols=3,
                  frameon=False, fontsize=9)  # fmt: skip
    _plain(curve, below)
    _save(figure, path)


def draw_open_set(path: Path, calibration: Calibration) -> None:
    """Draw right answers kept against unknown pictures accepted (OSCR), with the threshold."""
    judged = calibration.judged
    found = OpenSetCurve.of(judged.known, judged.right, judged.probabilities)
    plain = OpenSetCurve.of(judged.known, judged.right, judged.scores)
    assert found is not None, "a calibration has known and unknown queries"
    assert plain is not None, "a calibration has known and unknown queries"
    at = calibration.threshold()
    figure = _figure(5.4, 4.6)
    axis = figure.subplots()
    least = max(_LEAST_RATE, 0.5 / judged.num_unknown)
    for curve, colour, style, name in (
        (plain, _GREY, ":", f"by score, area {plain.area:.3f}"),
        (found, _MAIN, "-", f"by chance, area {found.area:.3f}"),
    ):
        axis.plot(np.maximum(curve.false_positives, least), curve.correct, color=colour,
                  linestyle=style, drawstyle="steps-post", label=name)  # fmt: skip
    axis.legend(loc="lower right", frameon=False, fontsize=9)
    accuracy = float(found.correct[-1])
    axis.axhline(accuracy, color=_GREY, linewidth=1, linestyle="--")
    axis.text(least, accuracy + 0.012, f"accuracy on known {accuracy:.3f}", color=_GREY, fontsize=9)
    accepted = max(at.accepted_unknown.value, least)
    kept = float((judged.right & (judged.probabilities >= at.value)).sum() / judged.known.sum())
    axis.plot(accepted, kept, "o", color=_SECOND, markersize=8)
    side = "right" if accepted > 0.1 else "left"
    axis.annotate(
        f"chance of {at.value:.3f} or more:\n"
        f"{100 * at.accepted_unknown.value:.2f} % of unknown accepted\n"
        f"{100 * at.accepted_right.value:.1f} % of right answers kept",
        (accepted, kept),
        xytext=(-10 if side == "right" else 10, -42),
        textcoords="offset points",
        ha=side,
        va="top",
        color=_SECOND,
        fontsize=9,
    )
    axis.set_xscale("log")
    axis.set_xlim(least * 0.95, 1.05)
    axis.set_ylim(0, min(1.02, accuracy + 0.1))
    axis.set_xlabel("unknown pictures accepted")
    axis.set_ylabel("known queries answered rightly and accepted")
    axis.set_title("What keeping unknown pictures out costs (OSCR)", loc="left", fontsize=11)
    axis.xaxis.set_major_formatter(_percent())
    axis.yaxis.set_major_formatter(_percent())
    _plain(axis)
    _save(figure, path)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _percent() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{100 * value:.3g} %")


def _thousands() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:,.0f}")


def _none() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _plain(*axes: Axes) -> None:
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.grid(alpha=0.2)


def _save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
