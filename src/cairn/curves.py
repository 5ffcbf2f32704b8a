"""Training curves of a run folder: loss and rate, scores, and scores by size of landmark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cairn.metrics import SIZE_BINS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOSS, _RATE, _GAP, _ACCURACY = "#b4532a", "#8a8a8a", "#1f6f8b", "#7a9e4b"
_MANY = 40  # points beyond which markers only clutter

Line = Mapping[str, Any]


def draw_curves(folder: Path) -> Path:
    """Draw ``plots/training.png`` from the run's metrics.jsonl and return its path.

    Four panels over epochs: loss and learning rate; GAP and accuracy of the validation; accuracy
    and GAP of landmarks by their number of training photographs, dark for sparse ones. Dotted
    lines part the stages.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    (loss, overall), (accuracy, gap) = figure.subplots(2, 2)
    _draw_loss(loss, lines)
    _draw_series(overall, lines, "val_gap", "GAP", _GAP)
    _draw_series(overall, lines, "val_accuracy", "accuracy", _ACCURACY)
    overall.set(title="Validation, with non-landmarks")
    _draw_sizes(accuracy, lines, "accuracy", "Accuracy by the landmark's training photographs")
    _draw_sizes(gap, lines, "gap", "GAP by the landmark's training photographs")
    for axis in (overall, accuracy, gap):
        _frame_scores(axis)
    epochs = [line["epoch"] for line in lines] or [0]
    span = (min(epochs) - 0.5, max(epochs) + 0.5)
    for axis in (loss, overall, accuracy, gap):
        axis.set(xlabel="epoch", xlim=span)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.2)
        _part_stages(axis, lines, named=axis is loss)
    path = folder / "plots" / "training.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _draw_loss(axis: Axes, lines: Sequence[Line]) -> None:
    _draw_series(axis, lines, "loss", "loss", _LOSS)
    axis.set(title="Training loss")
    axis.set_ylim(bottom=0)
    if any("learning_rate" in line for line in lines):
        rates = axis.twinx()
        _draw_series(rates, lines, "learning_rate", "learning rate", _RATE, width=1.0)
        rates.set_ylim(bottom=0)
        rates.set_ylabel("learning rate at the end of the epoch", color=_RATE)
        rates.tick_params(axis="y", colors=_RATE)
        rates.spines[["top", "left"]].set_visible(False)
        axis.set_ylabel("loss", color=_LOSS)
        axis.set_zorder(rates.get_zorder() + 1)
        axis.patch.set_visible(False)


def _draw_sizes(axis: Axes, lines: Sequence[Line], score: str, title: str) -> None:
    """Draw one curve a size bin, its queries counted in the legend."""
    from matplotlib import colormaps

    scored = [line for line in lines if line.get("val_by_size")]
    known = {name for line in scored for name in line["val_by_size"]}
    names = [name for name, _ in SIZE_BINS if name in known]
    shades = colormaps["viridis"]
    for number, name in enumerate(names):
        found = [line for line in scored if name in line["val_by_size"]]
        points = [
            {"epoch": line["epoch"], score: line["val_by_size"][name][score]} for line in found
        ]
        queries = found[-1]["val_by_size"][name]["queries"]
        shade = shades(0.88 * number / max(len(names) - 1, 1))
        _draw_series(axis, points, score, f"{name}  ({queries} queries)", shade)
    axis.set(title=title)


def _draw_series(
    axis: Axes,
    lines: Sequence[Line],
    key: str,
    label: str,
    color: object,
    *,
    width: float = 1.8,
) -> None:
    points = [(line["epoch"], line[key]) for line in lines if line.get(key) is not None]
    if points:
        marker = "o" if len(points) <= _MANY else None
        axis.plot(*zip(*points, strict=True), color=color, label=label, marker=marker,
                  markersize=3.5, linewidth=width)  # fmt: skip


def _frame_scores(axis: Axes) -> None:
    """Begin scores at 0, and end at 1 or, where all are low, a little above the highest."""
    highest = max((float(np.max(curve.get_ydata())) for curve in axis.lines), default=1.0)
    axis.set_ylim(0, min(1.02, max(1.25 * highest, 0.05)))
    if axis.lines:
        axis.legend(frameon=False, fontsize="small", ncols=2)


def _part_stages(axis: Axes, lines: Sequence[Line], *, named: bool) -> None:
    """Mark where a stage follows another, and name the stages where they have names."""
    last: dict[int, int] = {}
    names: dict[int, str] = {}
    for line in lines:
        stage = line.get("stage", 1)
        last[stage] = line["epoch"]
        names[stage] = line.get("stage_name") or f"stage {stage}"
    ends = sorted(last.items())
    if len(ends) < 2:
        return
    begin = 0.0
    for number, (stage, end) in enumerate(ends):
        if named:
            middle = (begin + end) / 2
            axis.text(middle, 0.98, names[stage], transform=axis.get_xaxis_transform(),
                      ha="center", va="top", fontsize="small", color="#555555")  # fmt: skip
        if number + 1 < len(ends):
            axis.axvline(end + 0.5, color="#555555", linestyle=":", linewidth=1)
        begin = end + 0.5
