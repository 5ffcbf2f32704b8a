"""What growth is made of, and its picture: seconds and peak memory by size of gallery."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cairn.runs import atomic_write
from measuring.once import PENALTY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GOAL_MB = 300.0
"""What a search may hold at most beyond its gallery."""

End: TypeAlias = tuple[int, float, str, str]

_LEAST_MB = 1.0  # what the system counts is no finer
_PANEL_POINTS, _LABEL_POINTS = 280.0, 11.0
_INK, _MUTED, _RULE = "#222222", "#777777", "#d9d9d9"
_COLOURS = {"Cairn": "#1f6f8b", "FAISS in place": "#b4532a", PENALTY: "#2b7a3d"}
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
    "ytick.color": _MUTED,
}


@dataclass(frozen=True)
class Line:
    """One line of the picture: a way in ``measuring.once``, so many queries, so many neighbours."""

    way: str
    num_queries: int
    k: int

    @property
    def name(self) -> str:
        """What it is called in table and picture."""
        way = "FAISS flat" if self.way == "FAISS in place" else self.way
        if way == PENALTY:
            return f"penalty, {self.num_queries:,} non-landmarks"
        return f"{way}, {self.num_queries:,} quer{'y' if self.num_queries == 1 else 'ies'}"


@dataclass(frozen=True)
class Point:
    """What a line cost with a gallery of so many rows: seconds, and bytes above the gallery."""

    line: Line
    num_rows: int
    seconds: float
    above: float


def draw(path: Path, lines: Sequence[Line], points: Sequence[Point], dimension: int) -> None:
    """Draw time on the left and peak memory above the gallery on the right, both logarithmic."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(11.0, 4.8), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        times, memory = figure.subplots(1, 2)
        ends = _lines(times, lines, points, lambda point: point.seconds)
        times.set(title="seconds", xlabel="rows of the gallery")
        _labels(times, ends)
        ends = _lines(memory, lines, points, lambda point: max(point.above / 1e6, _LEAST_MB))
        sizes = sorted({point.num_rows for point in points})
        galleries = [4e-6 * size * dimension for size in sizes]
        memory.plot(sizes, galleries, color=_MUTED, linewidth=1.0)
        memory.axhline(GOAL_MB, color=_MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        goal = (sizes[-1], GOAL_MB, f"goal, {GOAL_MB:.0f} MB", _MUTED)
        _labels(memory, [*ends, (sizes[-1], galleries[-1], "the gallery itself", _MUTED), goal])
        memory.set(
            title="peak memory above the gallery, MB (less than 1 drawn as 1)",
            xlabel="rows of the gallery",
        )
        with atomic_write(path) as temporary:
            figure.savefig(temporary, dpi=130, format="png")


def _lines(
    axes: Axes, lines: Sequence[Line], points: Sequence[Point], value: Callable[[Point], float]
) -> list[End]:
    """Draw lines and return where they end, with name and colour."""
    ends = []
    for line in lines:
        mine = sorted((p for p in points if p.line == line), key=lambda point: point.num_rows)
        if not mine:
            continue
        sizes, values = [point.num_rows for point in mine], [value(point) for point in mine]
        is_one, colour = line.num_queries == 1, _COLOURS[line.way]
        axes.plot(
            sizes, values, color=colour, linewidth=1.8, marker="o", markersize=4.5,
            markerfacecolor="white" if is_one else colour, linestyle="--" if is_one else "-",
        )  # fmt: skip
        ends.append((sizes[-1], values[-1], line.name, colour))
    axes.set(xscale="log", yscale="log")
    axes.grid(color=_RULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(_plain())
    axes.yaxis.set_major_formatter(_plain())
    return ends


def _labels(axes: Axes, ends: Sequence[End]) -> None:
    """Write names beside the ends of lines, moved apart where they would overlap."""
    low, high = axes.get_ylim()
    height = _PANEL_POINTS / math.log(high / low)
    lowest = -math.inf
    for size, value, text, colour in sorted(ends, key=lambda end: end[1]):
        wanted = height * math.log(value / low)
        place = max(wanted, lowest + _LABEL_POINTS)
        lowest = place
        axes.annotate(
            text, (size, value), xytext=(8, place - wanted), textcoords="offset points",
            va="center", color=colour, fontsize=8.5, annotation_clip=False,
        )  # fmt: skip


def _plain() -> Any:
    from matplotlib.ticker import FuncFormatter

    def words(value: float, _: int) -> str:
        if value >= 1e6:
            return f"{value / 1e6:g} M"
        return f"{value:,.0f}" if value >= 1 else f"{value:g}"

    return FuncFormatter(words)
