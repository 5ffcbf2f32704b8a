"""The plots of scores: precision down the ranking, confidences, sizes of landmarks.

Each returns a Matplotlib figure, drawn within `cairn.pages.drawing.drawing`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    MaxNLocator,
    NullLocator,
    PercentFormatter,
)
from numpy.typing import NDArray

from cairn.metrics import Ranking
from cairn.pages.drawing import MUTED, NONE, NOW, PAST, RIGHT, WRONG, new_figure, thousands
from cairn.pages.thinning import thinned
from cairn.scores import SizeBin

_LOG_BEYOND = 5
"""Answers per landmark query beyond which ranks need a log axis to show the ones that matter."""

_SIZE_IN = (5.1, 3.4)
_MARKERS = ("o", "s", "^", "D", "v")


SERIES = (NOW, WRONG, RIGHT, NONE, MUTED)
"""Colours of several runs, which the page's variables cover; line styles tell them apart too."""

STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


def precision_curve(after: Ranking, before: Ranking | None = None) -> Figure:
    """Return precision among the first i predictions over i, the curve that GAP averages.

    Args:
        after: The ranking reported.
        before: The one compared with, dashed.
    """
    figure, (axes,) = _figure(1)
    if before is not None:
        axes.plot(*_precision(before), color=PAST, linestyle="--", label="before")
    axes.plot(*_precision(after), color=NOW, label="after" if before is not None else None)
    _ranked(axes, [after])
    if before is not None:
        axes.legend(loc="lower left")
    return figure


def precision_curves(rankings: Mapping[str, Ranking]) -> Figure:
    """Return the precision curves of several runs on the same queries, one over the other."""
    figure, (axes,) = _figure(1)
    for number, (name, one) in enumerate(rankings.items()):
        colour, style = SERIES[number % len(SERIES)], STYLES[number % len(STYLES)]
        ranks, precision = _precision(one)
        axes.plot(ranks, precision, color=colour, linestyle=style, label=name)
    _ranked(axes, list(rankings.values()))
    axes.legend(loc="lower left")
    return figure


def _ranked(axes: Axes, rankings: Sequence[Ranking]) -> None:
    """Give axes of ranks and precision their look, with M marked."""
    num_labelled = rankings[0].num_labelled
    longest = max(len(one.order) for one in rankings)
    if longest > _LOG_BEYOND * num_labelled:
        axes.set_xscale("log")
    axes.set_xlim(1, max(longest, 2))
    axes.set_ylim(0, 1.02)
    axes.axvline(num_labelled, color=MUTED, linewidth=1, linestyle=":")
    late = num_labelled > 0.8 * longest and axes.get_xscale() == "linear"
    axes.annotate(
        f"M = {num_labelled:,}",
        (num_labelled, 0.94),
        xytext=(-5 if late else 5, 0),
        textcoords="offset points",
        ha="right" if late else "left",
        color=MUTED,
        fontsize=10,
    )
    axes.set_xlabel("predictions, surest first")
    axes.set_ylabel("share that is right")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.xaxis.set_major_formatter(thousands())


def score_histograms(after: Ranking, before: Ranking | None = None) -> Figure:
    """Return the confidences of right answers, wrong answers and non-landmarks, each as shares.

    Args:
        after: The ranking reported.
        before: The one compared with, in a panel above on the same axis.
    """
    rankings = [("before", before), ("after", after)] if before is not None else [("", after)]
    shown = [(name, one) for name, one in rankings if one is not None]
    answered = np.concatenate([one.scores[one.order] for _, one in shown])
    edges = histogram_edges(answered)
    figure, panels = _figure(len(shown))
    for axes, (name, one) in zip(panels, shown, strict=True):
        kinds = (
            ("no landmark", ~one.labelled),
            ("landmark, wrong", one.labelled & ~one.correct),
            ("landmark, right", one.correct),
        )
        draw_histogram(axes, one.scores, kinds, edges)
        axes.set_title(name, loc="left", fontsize=10.5, color=MUTED)
    finish_histograms(figure, panels, "confidence")
    return figure


def histogram_edges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of bins that hold all values."""
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    return np.linspace(low, high if high > low else low + 1.0, 41)


def draw_histogram(
    axes: Axes,
    values: NDArray[np.float64],
    kinds: Sequence[tuple[str, NDArray[np.bool_]]],
    edges: NDArray[np.float64],
) -> None:
    """Draw up to three kinds of values, each adding up to 1; what is not finite is left out.

    Args:
        axes: Where.
        values: (Q,) of all queries.
        kinds: Names and (Q,) masks: no landmark, wrong, right.
        edges: Of the bins.
    """
    looks = ((NONE, "-", 0.28), (WRONG, "--", 0.0), (RIGHT, "-", 0.28))
    for (name, chosen), (colour, line, alpha) in zip(kinds, looks, strict=True):
        mine = values[chosen & np.isfinite(values)]
        if len(mine) == 0:
            continue
        heights = np.histogram(mine, edges)[0] / len(mine)
        if alpha:
            axes.stairs(heights, edges, fill=True, color=colour, alpha=alpha)
        axes.stairs(heights, edges, color=colour, linestyle=line, label=name, linewidth=1.8)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.margins(x=0.01)


def finish_histograms(figure: Figure, panels: Sequence[Axes], label: str) -> None:
    """Give panels of histograms one legend and their labels."""
    handles, names = panels[-1].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="outside upper right", ncols=3, columnspacing=1.2)
    panels[-1].set_xlabel(label)
    figure.supylabel("share of each kind", fontsize=10.5)


def imbalance(counts: Mapping[str, int]) -> Figure:
    """Return gallery photographs per landmark, most photographed first, on a log axis."""
    sizes = np.sort(np.asarray(list(counts.values()), dtype=np.int64))[::-1]
    figure, (axes,) = _figure(1)
    ranks = np.arange(1, len(sizes) + 1, dtype=np.float64)
    kept = thinned(ranks, sizes.astype(np.float64))
    axes.fill_between(ranks[kept], sizes[kept], 0.8, step="mid", color=NOW, alpha=0.16, linewidth=0)
    axes.step(ranks[kept], sizes[kept], where="mid", color=NOW)
    axes.set_yscale("log")
    axes.set_ylim(0.8, max(sizes.max(initial=1) * 1.3, 2))
    axes.set_xlim(0.5, len(sizes) + 0.5)
    plain = thousands()
    axes.yaxis.set_major_formatter(plain)
    axes.xaxis.set_major_formatter(plain)
    axes.yaxis.set_major_locator(FixedLocator(_ladder(int(sizes.max(initial=1)))))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("landmarks, most photographed first")
    axes.set_ylabel("gallery photographs")
    return figure


def scores_by_size(runs: Mapping[str, Sequence[SizeBin]]) -> Figure:
    """Return top-1 accuracy per size of landmark with its intervals, several runs side by side.

    Args:
        runs: Name -> bins of the same sizes; with one run, or before and after, the last is the
            one reported.
    """
    figure, (axes,) = _figure(1)
    num_bins = max(len(bins) for bins in runs.values())
    names = [entry.size for entry in next(iter(runs.values()))]
    places = np.arange(num_bins, dtype=np.float64)
    step = min(0.24, 0.7 / max(len(runs), 1))
    looks: list[tuple[str, str]] = [
        (SERIES[i % len(SERIES)], _MARKERS[i % 5]) for i in range(len(runs))
    ]
    if list(runs) == ["before", "after"]:
        looks = [(PAST, "s"), (NOW, "o")]
    for number, ((name, bins), (colour, marker)) in enumerate(
        zip(runs.items(), looks, strict=True)
    ):
        shift = (number - (len(runs) - 1) / 2) * step
        _dots(axes, places + shift, bins, colour, name if len(runs) > 1 else None, marker)
    axes.set_xticks(places, names)
    axes.set_xlim(-0.5, num_bins - 0.5)
    axes.set_ylim(0, 1.02)
    axes.grid(visible=False, axis="x")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_xlabel("gallery photographs of the landmark")
    axes.set_ylabel("top-1 accuracy")
    if len(runs) > 1:
        axes.legend(loc="lower right")
    return figure


def _figure(num_panels: int) -> tuple[Figure, list[Axes]]:
    return new_figure(*_SIZE_IN, num_panels, sharex=True, sharey=True)


def _precision(ranking: Ranking) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ranks and precisions, thinned for either kind of axis."""
    ranks = np.arange(1, len(ranking.order) + 1, dtype=np.float64)
    precision = np.cumsum(ranking.correct[ranking.order]) / ranks
    is_log = len(ranks) > _LOG_BEYOND * ranking.num_labelled
    kept = thinned(ranks, precision, log=is_log)
    return ranks[kept], precision[kept]


def _dots(
    axes: Axes,
    places: NDArray[np.float64],
    bins: Collection[SizeBin],
    colour: str,
    label: str | None,
    marker: str,
) -> None:
    scores = [entry.scores["top1_accuracy"] for entry in bins]
    values = np.asarray([score.value for score in scores])
    axes.plot(places, values, marker, color=colour, markersize=7, label=label)
    for place, score in zip(places, scores, strict=True):
        if score.low is not None and score.high is not None:
            axes.vlines(place, score.low, score.high, color=colour, linewidth=1.6)


def _ladder(highest: int) -> list[int]:
    steps = [base * 10**power for power in range(7) for base in (1, 2, 5)]
    return [step for step in steps if step <= highest * 1.3]
