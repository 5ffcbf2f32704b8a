"""The two plots of an ablation: GAP with its differences, and accuracy by size of landmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cairn.bootstrap import LEVEL, Interval
from cairn.runs import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cairn.ablation.report import Outcome

_INK, _MUTED, _RULE = "#222222", "#777777", "#d9d9d9"
_SCORE, _HELPS, _HURTS, _NEITHER = "#1f6f8b", "#2b7a3d", "#b4532a", "#8a8a8a"
_ROW_IN = 0.34
_STYLE: Any = {
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "xtick.color": _MUTED,
    "ytick.color": _INK,
}


def draw_gap(outcome: Outcome, path: Path) -> None:
    """Draw GAP of each row with its interval, and beside it the difference to the reference."""
    import matplotlib as mpl

    lines = [line for line in outcome.lines if line.scores is not None]
    with mpl.rc_context(_STYLE):
        figure = _figure(11.0, 1.15 + _ROW_IN * len(lines))
        gaps, changes = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1))
        for place, line in enumerate(lines):
            assert line.scores is not None
            _dot(gaps, place, line.scores.overall["gap"], _SCORE)
            if line.change is not None:
                change = line.change.overall["gap"]
                _dot(changes, place, change, _colour(change))
        _rows(gaps, [line.title + "*" * line.own_budget for line in lines])
        gaps.set(title=f"GAP, {LEVEL * 100:.0f} % interval")
        gaps.set_xlim(left=0)
        changes.axvline(0, color=_MUTED, linewidth=0.8)
        changes.set(title="difference to the reference row; grey where 0 is inside the interval")
        titles = {line.name: line.title for line in lines}
        changes.margins(x=0.1)
        for place, line in enumerate(lines):
            if line.reference is not None:
                changes.annotate(
                    f"against {titles[line.reference]}",
                    (1.0, place),
                    xycoords=("axes fraction", "data"),
                    xytext=(6, 0),
                    textcoords="offset points",
                    va="center",
                    color=_MUTED,
                    fontsize=8.5,
                    annotation_clip=False,
                )
        _save(figure, path)


def draw_sizes(outcome: Outcome, path: Path) -> None:
    """Draw accuracy by the landmark's number of gallery photographs, one panel a size."""
    import matplotlib as mpl

    lines = [line for line in outcome.lines if line.scores is not None]
    counts = outcome.findings.num_queries
    sizes = [name for name in counts if name not in ("sparse", "crowded")]
    with mpl.rc_context(_STYLE):
        figure = _figure(3.2 + 1.6 * len(sizes), 1.3 + _ROW_IN * len(lines))
        panels = figure.subplots(1, len(sizes), sharey=True, sharex=True, squeeze=False)[0]
        for axes, size in zip(panels, sizes, strict=True):
            for place, line in enumerate(lines):
                assert line.scores is not None
                _dot(axes, place, line.scores.accuracy[size], _SCORE)
            axes.set(title=f"{size} photographs\n{counts[size]:,} queries")
            axes.set_xlim(0, 1)
            axes.set_xticks((0, 0.5, 1), ("0", ".5", "1"))
        _rows(panels[0], [line.title + "*" * line.own_budget for line in lines])
        figure.supxlabel("accuracy over landmarks with so many gallery photographs", fontsize=10)
        _save(figure, path)


def _figure(width_in: float, height_in: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _rows(axes: Axes, titles: Sequence[str]) -> None:
    """Name the rows, the first one on top, with a thin line along each of every panel's."""
    axes.set_yticks(range(len(titles)), titles)
    axes.set_ylim(len(titles) - 0.5, -0.5)
    for panel in axes.figure.axes:
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="x", color=_RULE, linewidth=0.6)
        panel.hlines(
            range(len(titles)), 0, 1, transform=panel.get_yaxis_transform(), color=_RULE,
            linewidth=0.6, zorder=0,
        )  # fmt: skip
        panel.set_axisbelow(True)
        panel.spines["left"].set_visible(False)


def _dot(axes: Axes, place: int, one: Interval, colour: str) -> None:
    if one.low is not None and one.high is not None:
        axes.plot((one.low, one.high), (place, place), color=colour, linewidth=2.2, alpha=0.45)
    axes.plot(one.value, place, "o", color=colour, markersize=5.5)


def _colour(change: Interval) -> str:
    if change.low is not None and change.low > 0:
        return _HELPS
    return _HURTS if change.high is not None and change.high < 0 else _NEITHER


def _save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png")
