"""The pictures of an inspection: imbalance, categories, sizes, years, places.

Each is one panel, kept as a PNG file and, where a page shows it, as SVG in the page's colours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cairn.inspection.figures import coordinates, images_per_landmark, landmarks_by_size
from cairn.inspection.look import Looks
from cairn.inspection.map import draw_map
from cairn.manifest import Manifest
from cairn.pages.drawing import MUTED, NOW, RIGHT, WRONG, new_figure, thousands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw: TypeAlias = Callable[[], "Figure"]

_SIZE_IN = (5.1, 3.4)
_MOST_BARS = 20
_DRAWN_POINTS = 400
_BARS = {
    "categories": ("category", "Images by category"),
    "kinds": ("natural_or_human_made", "Natural or human-made"),
    "licences": ("license", "Images by licence"),
    "authors": ("author", "Images by author"),
}


def pictures(
    manifest: Manifest, looks: Looks, report: Mapping[str, Any]
) -> dict[str, tuple[str, Draw]]:
    """Return name -> title and a function that draws, of each picture there is data for.

    Draw, and save, within `cairn.pages.drawing.drawing`.
    """
    found: dict[str, tuple[str, Draw]] = {}
    counts = images_per_landmark(manifest)
    if len(counts):
        found["landmarks"] = ("Landmarks by number of images", lambda: draw_landmarks(counts))
        found["ranks"] = (
            "Landmarks ranked, and their share of all images",
            lambda: draw_ranks(counts),
        )
    found["roles"] = ("Images by role", lambda: _bars(report["roles"], 0))
    for name, (column, title) in _BARS.items():
        if values := report["values"].get(column):
            natural = report["natural_by_category"] if name == "categories" else {}
            found[name] = (title, _drawer(values, natural))
    sizes = looks.sizes[looks.readable].astype(np.float64)
    if len(sizes):
        found["sizes"] = ("Sizes", lambda: _megapixels(sizes.prod(axis=1) / 1e6))
        found["aspects"] = ("Width over height", lambda: _aspects(sizes[:, 0] / sizes[:, 1]))
    if report["years"]:
        found["years"] = ("Images by year", lambda: _years(report["years"]))
    places = coordinates(manifest)
    if len(places):
        found["map"] = ("Where the photographs were taken", lambda: draw_map(places))
    return found


def _drawer(values: Mapping[str, Any], natural: Mapping[str, int]) -> Draw:
    rest = values["num_images"] - values["num_absent"] - sum(values["images"].values())
    counts = dict(values["images"])
    if values["num_absent"]:
        counts["not stated"] = values["num_absent"]
    return lambda: _bars(counts, rest, natural)


def draw_landmarks(counts: NDArray[np.int64]) -> Figure:
    """Draw how many landmarks have how many images; (L,) images of each landmark."""
    figure, (axes,) = new_figure(*_SIZE_IN)
    counted = landmarks_by_size(counts)
    while len(counted) > 1 and not next(iter(counted.values())):
        counted.pop(next(iter(counted)))
    drawn = axes.bar([name.replace("-", "–") for name in counted], list(counted.values()))
    for bar in drawn:
        bar.set(color=NOW, width=0.8)
    shares = [f"{count:,}\n{count / len(counts):.0%}" for count in counted.values()]
    axes.bar_label(drawn, shares, padding=2, fontsize=9, color=MUTED)
    axes.margins(x=0.02, y=0.2)
    axes.grid(visible=False, axis="x")
    axes.tick_params(axis="x", labelsize=10 if len(counted) < 7 else 8)
    axes.yaxis.set_major_locator(_whole_numbers(5))
    axes.yaxis.set_major_formatter(thousands())
    axes.set_xlabel("images of the landmark")
    axes.set_ylabel("landmarks")
    return figure


def draw_ranks(counts: NDArray[np.int64]) -> Figure:
    """Draw landmarks by rank on log axes, and the share of all images that they have so far.

    Args:
        counts: (L,) images of each landmark, largest first.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, PercentFormatter

    figure, (axes,) = new_figure(*_SIZE_IN)
    ranks = np.arange(1, len(counts) + 1)
    spaced = np.geomspace(1, len(counts), _DRAWN_POINTS).round().astype(np.int64)
    shown = np.unique(np.concatenate([spaced, [1, len(counts)]])) - 1
    axes.plot(ranks[shown], counts[shown], color=NOW)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for one in (axes.xaxis, axes.yaxis):
        one.set_major_formatter(thousands())
        one.set_minor_formatter(NullFormatter())
        if max(len(counts), int(counts[0])) <= 1000:
            one.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.set_xlim(1, max(len(counts), 2))
    axes.set_ylim(bottom=0.9)
    axes.set_xlabel("landmarks, most images first")
    axes.set_ylabel("images of the landmark", color=NOW)
    share = axes.twinx()
    share.patch.set_alpha(0.0)
    cumulative = np.cumsum(counts) / counts.sum()
    share.plot(ranks[shown], cumulative[shown], color=WRONG, linestyle="--")
    share.set_ylim(0, 1.02)
    share.grid(visible=False)
    share.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    share.set_ylabel("share of all images so far", color=WRONG)
    return figure


def _bars(counts: Mapping[str, int], rest: int, natural: Mapping[str, int] | None = None) -> Figure:
    """Draw bars that lie, the first ones alone and the others in one; what is natural apart."""
    names = list(counts)[:_MOST_BARS]
    rest += sum(counts.values()) - sum(counts[name] for name in names)
    shown = {name: counts[name] for name in names} | ({"all others": rest} if rest else {})
    total = sum(shown.values())
    figure, (axes,) = new_figure(7.0, 0.9 + 0.3 * max(len(shown), 3))
    drawn = axes.barh(range(len(shown)), list(shown.values()), color=NOW)
    if natural:
        parts = [natural.get(name, 0) for name in shown]
        axes.barh(range(len(shown)), parts, color=RIGHT, label="of these natural")
        axes.legend(loc="lower right")
    axes.set_yticks(range(len(shown)), [_drawable(name) for name in shown])
    axes.invert_yaxis()
    shares = [f"{count:,} ({count / total:.0%})" for count in shown.values()]
    axes.bar_label(drawn, shares, padding=3, fontsize=9, color=MUTED)
    axes.margins(x=0.25, y=0.02)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("images")
    axes.xaxis.set_major_locator(_whole_numbers(4))
    axes.xaxis.set_major_formatter(thousands())
    return figure


def _megapixels(values: NDArray[np.float64]) -> Figure:
    figure, (axes,) = new_figure(*_SIZE_IN)
    low, high = max(values.min(), 1e-4), max(values.max(), 1e-4)
    edges = np.geomspace(low / 1.05, high * 1.05, 41)
    _histogram(axes, np.clip(values, low, high), edges)
    axes.set_xscale("log")
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    if high / low < 5:  # too narrow for steps of 1, 2, 5: the log locator would crowd them
        axes.xaxis.set_major_locator(MaxNLocator(4))
    else:
        subs = (1.0, 2.0, 5.0) if high / low < 200 else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=subs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("megapixels")
    return figure


def _aspects(values: NDArray[np.float64]) -> Figure:
    figure, (axes,) = new_figure(*_SIZE_IN)
    edges = np.geomspace(0.25, 4.0, 61)
    _histogram(axes, np.clip(values, edges[0], edges[-1]), edges)
    axes.set_xscale("log")
    ticks = {
        0.25: "≤ 1:4",
        0.5: "1:2",
        2 / 3: "2:3",
        1.0: "1:1",
        1.5: "3:2",
        2.0: "2:1",
        4.0: "≥ 4:1",
    }
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xticks([], minor=True)
    axes.set_xlabel("width : height")
    return figure


def _histogram(axes: Axes, values: NDArray[np.float64], edges: NDArray[np.float64]) -> None:
    heights = np.histogram(values, edges)[0]
    axes.stairs(heights, edges, fill=True, color=NOW, alpha=0.3)
    axes.stairs(heights, edges, color=NOW, linewidth=1.5)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(_whole_numbers(5))
    axes.yaxis.set_major_formatter(thousands())
    axes.set_ylabel("images")


def _years(counted: Mapping[str, int]) -> Figure:
    figure, (axes,) = new_figure(*_SIZE_IN)
    axes.bar([int(year) for year in counted], list(counted.values()), color=NOW, width=0.8)
    axes.xaxis.set_major_locator(_whole_numbers(6))
    axes.yaxis.set_major_locator(_whole_numbers(5))
    axes.yaxis.set_major_formatter(thousands())
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("year")
    axes.set_ylabel("images")
    return figure


def _whole_numbers(count: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count, integer=True)


def _drawable(name: str, longest: int = 40) -> str:
    """Return the name with the characters that the plot's font lacks written as their codes."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    short = name if len(name) <= longest else f"{name[: longest - 1]}…"
    drawn = "".join(c if ord(c) in known else f"\\u{ord(c):04x}" for c in short)
    return drawn.replace("$", r"\$")


def names_of(found: Mapping[str, tuple[str, Draw]]) -> Sequence[str]:
    """Return the names of pictures that a page draws as SVG; of the others it has its own."""
    return [name for name in found if name not in ("roles", *_BARS)]
