"""The plots of a report, as SVG text that takes its colours and font from the page around it."""

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
from cairn.pages.drawing import (
    MUTED,
    NONE,
    NOW,
    PAST,
    RIGHT,
    WRONG,
    drawing,
    new_figure,
    thousands,
    to_svg,
)
from cairn.scores import SizeBin

_LOG_BEYOND = 5
"""Answers per landmark query beyond which ranks need a log axis to show the ones that matter."""

_SIZE_IN = (5.1, 3.4)


def precision_curve(after: Ranking, before: Ranking | None = None) -> str:
    """Return precision among the first i predictions over i, the curve that GAP averages.

    Args:
        after: The ranking reported.
        before: The one compared with, dashed.
    """
    with drawing():
        figure, (axes,) = _figure(1)
        if before is not None:
            axes.plot(*_precision(before), color=PAST, linestyle="--", label="before")
        axes.plot(*_precision(after), color=NOW, label="after" if before is not None else None)
        if len(after.order) > _LOG_BEYOND * after.num_labelled:
            axes.set_xscale("log")
        axes.set_xlim(1, max(len(after.order), 2))
        axes.set_ylim(0, 1.02)
        axes.axvline(after.num_labelled, color=MUTED, linewidth=1, linestyle=":")
        axes.annotate(
            f"M = {after.num_labelled:,}",
            (after.num_labelled, 0.94),
            xytext=(5, 0),
            textcoords="offset points",
            ha="left",
            color=MUTED,
            fontsize=10,
        )
        axes.set_xlabel("predictions, surest first")
        axes.set_ylabel("share that is right")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.xaxis.set_major_formatter(thousands())
        if before is not None:
            axes.legend(loc="lower left")
        return to_svg(figure, "precision")


def score_histograms(after: Ranking, before: Ranking | None = None) -> str:
    """Return the confidences of right answers, wrong answers and non-landmarks, each as shares.

    Args:
        after: The ranking reported.
        before: The one compared with, in a panel above on the same axis.
    """
    rankings = [("before", before), ("after", after)] if before is not None else [("", after)]
    shown = [(name, one) for name, one in rankings if one is not None]
    answered = np.concatenate([one.scores[one.order] for _, one in shown])
    low, high = (answered.min(), answered.max()) if len(answered) else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1.0, 41)
    with drawing():
        figure, panels = _figure(len(shown))
        for axes, (name, one) in zip(panels, shown, strict=True):
            _histogram(axes, one, edges)
            axes.set_title(name, loc="left", fontsize=10.5, color=MUTED)
        if len(answered):
            handles = panels[-1].get_legend_handles_labels()
            figure.legend(*handles, loc="outside upper right", ncols=3, columnspacing=1.2)
        panels[-1].set_xlabel("confidence")
        figure.supylabel("share of each kind", fontsize=10.5)
        return to_svg(figure, "scores")


def imbalance(counts: Mapping[str, int]) -> str:
    """Return gallery photographs per landmark, most photographed first, on log axes."""
    sizes = np.sort(np.asarray(list(counts.values()), dtype=np.int64))[::-1]
    with drawing():
        figure, (axes,) = _figure(1)
        ranks = np.arange(1, len(sizes) + 1)
        axes.fill_between(ranks, sizes, 0.8, step="mid", color=NOW, alpha=0.16, linewidth=0)
        axes.step(ranks, sizes, where="mid", color=NOW)
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
        return to_svg(figure, "imbalance")


def scores_by_size(after: Sequence[SizeBin], before: Sequence[SizeBin] = ()) -> str:
    """Return top-1 accuracy per size of landmark with its intervals, before beside after."""
    with drawing():
        figure, (axes,) = _figure(1)
        places = np.arange(len(after), dtype=np.float64)
        shift = 0.12 if before else 0.0
        if before:
            _dots(axes, places - shift, before, PAST, "before", "s")
        _dots(axes, places + shift, after, NOW, "after" if before else None, "o")
        axes.set_xticks(places, [entry.size for entry in after])
        axes.set_xlim(-0.5, len(after) - 0.5)
        axes.set_ylim(0, 1.02)
        axes.grid(visible=False, axis="x")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_xlabel("gallery photographs of the landmark")
        axes.set_ylabel("top-1 accuracy")
        if before:
            axes.legend(loc="lower right")
        return to_svg(figure, "sizes")


def _figure(num_panels: int) -> tuple[Figure, list[Axes]]:
    return new_figure(*_SIZE_IN, num_panels, sharex=True, sharey=True)


def _precision(ranking: Ranking) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return ranks and precisions, thinned to what a plot can show."""
    ranks = np.arange(1, len(ranking.order) + 1)
    precision = np.cumsum(ranking.correct[ranking.order]) / ranks
    if len(ranks) == 0:
        return ranks, precision
    spaced = (np.geomspace(1, len(ranks), 400), np.linspace(1, len(ranks), 400))
    kept = np.unique(np.concatenate(spaced).round().astype(np.int64)) - 1
    return ranks[kept], precision[kept]


def _histogram(axes: Axes, ranking: Ranking, edges: NDArray[np.float64]) -> None:
    answered = np.isfinite(ranking.scores)
    kinds = (
        ("not a landmark", ~ranking.labelled, NONE, "-", 0.28),
        ("landmark, wrong", ranking.labelled & ~ranking.correct, WRONG, "--", 0.0),
        ("landmark, right", ranking.correct, RIGHT, "-", 0.28),
    )
    for name, chosen, colour, line, alpha in kinds:
        values = ranking.scores[chosen & answered]
        if len(values) == 0:
            continue
        heights = np.histogram(values, edges)[0] / len(values)
        if alpha:
            axes.stairs(heights, edges, fill=True, color=colour, alpha=alpha)
        axes.stairs(heights, edges, color=colour, linestyle=line, label=name, linewidth=1.8)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.margins(x=0.01)


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
