"""The two pictures of imbalance: landmarks by number of images, and images by category."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cairn.runs import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, 100), (101, 500), (501, None))
"""Images per landmark, from and to: the sizes that reports of the field speak of."""

_MAIN, _SECOND, _GREY = "#2f6f9f", "#c8642b", "#666666"
_MAX_CATEGORIES = 20


def landmarks_by_size(images_per_landmark: Sequence[int]) -> dict[str, int]:
    """Return how many landmarks have a number of images in each of `BINS`, up to the last used."""
    sizes = np.asarray(images_per_landmark, np.int64)
    counted = {}
    for low, high in BINS:
        if low > sizes.max(initial=0):
            break
        label = f"{low}" if low == high else (f"{low}-{high}" if high else f"> {low - 1}")
        counted[label] = int(((sizes >= low) & (sizes <= (high or sizes.max()))).sum())
    return counted


def draw_landmarks(path: Path, images_per_landmark: Sequence[int]) -> None:
    """Draw landmarks by number of images, and landmarks ranked with their cumulative share."""
    sizes = np.sort(np.asarray(images_per_landmark, np.int64))[::-1]
    figure = _figure(11.0, 4.4)
    bars, ranks = figure.subplots(1, 2)
    counted = landmarks_by_size(images_per_landmark)
    while len(counted) > 1 and not next(iter(counted.values())):
        counted.pop(next(iter(counted)))
    drawn = bars.bar(list(counted), list(counted.values()), color=_MAIN, width=0.8)
    shares = [f"{count:,}\n{count / len(sizes):.0%}" for count in counted.values()]
    bars.bar_label(drawn, shares, padding=2, fontsize=9, color=_GREY)
    bars.margins(y=0.18)
    bars.tick_params(axis="x", labelsize=9 if len(counted) < 8 else 8)
    bars.yaxis.set_major_locator(_whole_numbers(6))
    bars.yaxis.set_major_formatter(_thousands())
    bars.set_xlabel("images of the landmark")
    bars.set_ylabel("landmarks")
    bars.set_title(f"{len(sizes):,} landmarks by number of images", loc="left")
    _draw_ranks(ranks, sizes)
    _plain(bars, ranks)
    _save(figure, path)


def _draw_ranks(axes: Axes, sizes: np.ndarray[Any, Any]) -> None:
    rank = np.arange(1, len(sizes) + 1)
    axes.plot(rank, sizes, color=_MAIN, marker="o" if len(sizes) < 200 else "", markersize=3)
    logarithmic = len(sizes) >= 1000
    axes.set_xscale("log" if logarithmic else "linear")
    axes.set_yscale("log")
    if sizes[0] <= 1000:
        axes.yaxis.set_major_locator(_one_two_five())
    axes.yaxis.set_major_formatter(_thousands())
    axes.yaxis.set_minor_formatter(_nothing())
    if logarithmic:
        axes.xaxis.set_major_formatter(_thousands())
    axes.set_xlabel("landmark, ranked by number of images")
    axes.set_ylabel("images of the landmark", color=_MAIN)
    share = axes.twinx()
    cumulative = np.cumsum(sizes) / sizes.sum()
    share.plot(rank, cumulative * 100, color=_SECOND, linestyle="--")
    share.set_ylim(0, 102)
    share.set_ylabel("share of all images so far, %", color=_SECOND)
    share.spines["top"].set_visible(False)
    half = int(np.searchsorted(cumulative, 0.5)) + 1
    axes.set_title(f"half of all images show {half:,} of {len(sizes):,} landmarks", loc="left")


def draw_categories(
    path: Path, categories: Sequence[str | None], kinds: Sequence[str | None]
) -> None:
    """Draw images by category, the crowded ones first, and by kind (natural or human-made).

    Args:
        path: The PNG to write.
        categories: One per image; None is unknown.
        kinds: One per image, or empty where the manifest does not say.
    """
    counted = _shown(Counter(name or "unknown" for name in categories))
    kind_counts = Counter(kind or "unknown" for kind in kinds)
    figure = _figure(11.0 if kind_counts else 8.0, 1.4 + 0.3 * max(len(counted), 4))
    if kind_counts:
        bars, split = figure.subplots(1, 2, width_ratios=(3, 1))
        names, counts = zip(*kind_counts.most_common(), strict=True)
        _bars(split, names, counts)
        split.set_ylim(max(len(counted), len(names)) - 0.4, -0.6)  # bars as thick as the others'
        split.set_title("natural or human-made", loc="left")
        _plain(split)
    else:
        bars = figure.subplots()
    _bars(bars, tuple(counted), tuple(counted.values()))
    bars.set_title("images by category", loc="left")
    _plain(bars)
    _save(figure, path)


def _shown(counted: Counter[str]) -> Mapping[str, int]:
    top = dict(counted.most_common(_MAX_CATEGORIES))
    rest = sum(counted.values()) - sum(top.values())
    return {**top, f"{len(counted) - len(top)} others": rest} if rest else top


def _bars(axes: Axes, names: Sequence[str], counts: Sequence[int]) -> None:
    drawn = axes.barh(range(len(names)), counts, color=_MAIN)
    axes.set_yticks(range(len(names)), [_drawable(name) for name in names])
    axes.invert_yaxis()
    shares = [f"{count:,} ({count / sum(counts):.0%})" for count in counts]
    axes.bar_label(drawn, shares, padding=3, fontsize=9, color=_GREY)
    axes.margins(x=0.4, y=0.02)
    axes.set_xlabel("images")
    axes.xaxis.set_major_locator(_whole_numbers(4))
    axes.xaxis.set_major_formatter(_thousands())


def _drawable(name: str) -> str:
    """Return the name with the characters that the plot's font lacks written as their codes."""
    from matplotlib.font_manager import findfont, get_font

    known = get_font(findfont("DejaVu Sans")).get_charmap()
    drawn = "".join(c if ord(c) in known else f"\\u{ord(c):04x}" for c in name)
    return drawn.replace("$", r"\$")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _thousands() -> Any:
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: f"{value:,.0f}")


def _whole_numbers(count: int) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(count, integer=True)


def _one_two_five() -> Any:
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1.0, 2.0, 5.0))


def _nothing() -> Any:
    from matplotlib.ticker import NullFormatter

    return NullFormatter()


def _plain(*axes: Axes) -> None:
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
