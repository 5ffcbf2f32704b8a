"""The picture of a benchmark's tail: landmarks ranked by photographs, before and after."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cairn.domain import Int64


def draw_tail(path: Path, before: Int64, after: Int64) -> None:
    """Write a PNG of landmarks ranked by their photographs, on logarithmic axes.

    Args:
        path: The file.
        before: Photographs of each landmark that was given.
        after: Known photographs of each landmark of the benchmark.
    """
    from matplotlib.ticker import NullFormatter

    from cairn.pages.drawing import NOW, PAST, drawing, new_figure, save_png, thousands

    with drawing():
        figure, (axes,) = new_figure(8.0, 4.2)
        for sizes, colour, name in ((before, PAST, "given"), (after, NOW, "known now")):
            ranked = np.sort(sizes)[::-1]
            label = f"{name}: {len(ranked):,} landmarks, {ranked.sum():,} photographs"
            rank = np.arange(1, len(ranked) + 1)
            axes.step(rank, ranked, where="mid", color=colour, label=label)
        axes.set(xscale="log", yscale="log", xlabel="landmark, ranked", ylabel="photographs")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(thousands())
            axis.set_minor_formatter(NullFormatter())
        axes.set_ylim(bottom=0.8)
        axes.legend()
        save_png(figure, path)
