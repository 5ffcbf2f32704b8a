"""The picture of a benchmark's tail: landmarks ranked by photographs, before and after."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cairn.domain import Int64
from cairn.runs import atomic_write

_BEFORE, _AFTER = "#8a8d94", "#2f6f9f"


def draw_tail(path: Path, before: Int64, after: Int64) -> None:
    """Write a PNG of landmarks ranked by their photographs, on logarithmic axes.

    Args:
        path: The file.
        before: Photographs of each landmark that was given.
        after: Known photographs of each landmark of the benchmark.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure = Figure(figsize=(8.0, 4.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for sizes, colour, name in ((before, _BEFORE, "given"), (after, _AFTER, "known now")):
        ranked = np.sort(sizes)[::-1]
        label = f"{name}: {len(ranked):,} landmarks, {ranked.sum():,} photographs"
        rank = np.arange(1, len(ranked) + 1)
        axes.step(rank, ranked, where="mid", color=colour, label=label, linewidth=1.8)
    axes.set(xscale="log", yscale="log", xlabel="landmark, ranked", ylabel="photographs")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_ylim(bottom=0.8)
    axes.grid(visible=True, color="#88888833")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png")
