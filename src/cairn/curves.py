"""Training curves of a run folder: loss and rate, scores, and scores by size of landmark."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cairn.metrics import SIZE_BINS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOSS, _RATE, _GAP, _ACCURACY = "#b4532a", "#8a8a8a", "#1f6f8b", "#7a9e4b"
_GREY = "#555555"
_MANY = 40  # points beyond which markers only clutter
_LETTERS = 52  # that a panel's width holds

Line = Mapping[str, Any]


def draw_curves(folder: Path) -> Path:
    """Draw ``plots/training.png`` from the run's metrics.jsonl and return its path.

    Panels over epochs: loss and learning rate; GAP and accuracy of the validation, with the epoch
    whose model is kept; below, where they were measured, accuracy and GAP by the number of training
    photographs of a landmark, from dark for sparse ones to light for crowded ones, on the same
    scale. Dotted lines part the stages.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    by_size = [line for line in lines if line.get("val_by_size")]
    figure = Figure(figsize=(10, 7.4 if by_size else 3.7), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 if by_size else 1, 2).ravel()
    loss, *scores = panels
    _draw_loss(loss, lines)
    _draw_overall(scores[0], lines)
    for axis, score in zip(scores[1:], ("accuracy", "gap"), strict=False):
        _draw_sizes(axis, by_size, score)
    if by_size:
        _explain_sizes(figure, panels[-1])
    _frame_scores(scores)
    for axis in panels:
        _frame_epochs(axis, lines)
        _part_stages(axis, lines, named=axis is loss)
    path = folder / "plots" / "training.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _draw_loss(axis: Axes, lines: Sequence[Line]) -> None:
    """Draw the loss, and on a scale of its own the rate, anew in each stage."""
    _draw_series(axis, lines, "loss", "loss", _LOSS)
    _title(axis, "Training")
    highest = max((line["loss"] for line in lines if "loss" in line), default=0.0)
    axis.set_ylim(0, 1.15 * highest or 1.0)
    axis.set_ylabel("loss", color=_LOSS)
    axis.tick_params(axis="y", colors=_LOSS)
    if not axis.lines:
        axis.text(0.5, 0.5, "no epoch finished", transform=axis.transAxes, ha="center", color=_GREY)
    if any("learning_rate" in line for line in lines):
        rates = axis.twinx()
        marker = "o" if len(lines) <= _MANY else ""
        for _, stage in groupby(lines, key=lambda line: line.get("stage", 0)):
            _draw_series(rates, list(stage), "learning_rate", "", _RATE,
                         linewidth=1.0, markersize=2, marker=marker)  # fmt: skip
        rates.set_ylim(0, 1.15 * max(line.get("learning_rate", 0.0) for line in lines) or 1.0)
        rates.set_ylabel("learning rate (end of epoch)", color=_RATE)
        rates.tick_params(axis="y", colors=_RATE)
        rates.spines[["top", "left"]].set_visible(False)
        axis.set_zorder(rates.get_zorder() + 1)
        axis.patch.set_visible(False)


def _draw_overall(axis: Axes, lines: Sequence[Line]) -> None:
    """Draw GAP and accuracy over all queries, and mark the best GAP."""
    _draw_series(axis, lines, "val_accuracy", "accuracy", _ACCURACY)
    _draw_series(axis, lines, "val_gap", "GAP", _GAP)
    scored = [line for line in lines if line.get("val_gap") is not None]
    if scored:
        best = max(scored, key=lambda line: line["val_gap"])
        axis.plot(best["epoch"], best["val_gap"], "o", color=_GAP, fillstyle="none", markersize=10,
                  linestyle="none", label=f"kept: epoch {best['epoch']}")  # fmt: skip
        axis.legend(framealpha=0.9, edgecolor="none", fontsize="small", ncols=3)
    else:
        axis.text(0.5, 0.5, "not scored", transform=axis.transAxes, ha="center", color=_GREY)
    _title(axis, "Validation: all queries")


def _draw_sizes(axis: Axes, scored: Sequence[Line], score: str) -> None:
    """Draw ``score`` over all queries, dashed, and one curve a size bin."""
    from matplotlib import colormaps

    known = {name for line in scored for name in line["val_by_size"]}
    names = [name for name, _ in SIZE_BINS if name in known]
    shades = colormaps["viridis"]
    for number, name in enumerate(names):
        points = [
            {"epoch": line["epoch"], **line["val_by_size"][name]}
            for line in scored
            if name in line["val_by_size"]
        ]
        shade = shades(0.88 * number / max(len(names) - 1, 1))
        _draw_series(axis, points, score, f"{name}  ({points[-1]['queries']})", shade)
    queries = sum(found["queries"] for found in scored[-1]["val_by_size"].values())
    _draw_series(axis, scored, f"val_{score}", f"all  ({queries})", _GREY,
                 linestyle="--", linewidth=1.0, markersize=2)  # fmt: skip
    name = {"accuracy": "Accuracy", "gap": "GAP"}[score]
    _title(axis, f"{name} by the landmark's training photographs")


def _explain_sizes(figure: Figure, axis: Axes) -> None:
    """Put one legend below for both panels of sizes."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False,
                  fontsize="small", title="training photographs of the landmark (queries)",
                  title_fontsize="small")  # fmt: skip


def _draw_series(
    axis: Axes, lines: Sequence[Line], key: str, label: str, color: object, **style: Any
) -> None:
    points = [(line["epoch"], line[key]) for line in lines if line.get(key) is not None]
    if points:
        marker = "o" if len(points) <= _MANY else ""
        drawn = {"linewidth": 1.8, "markersize": 3.5, "marker": marker, **style}
        axis.plot(*zip(*points, strict=True), color=color, label=label, **drawn)


def _title(axis: Axes, text: str) -> None:
    axis.set_title(text, loc="left", fontsize="medium", fontweight="bold")


def _frame_scores(panels: Sequence[Axes]) -> None:
    """Give scores one scale: from 0 to 1 or, where all are low, a little above the highest."""
    highest = max((np.max(curve.get_ydata()) for axis in panels for curve in axis.lines), default=1)
    top = min(1.02, max(1.2 * float(highest), 0.05))
    for axis in panels:
        axis.set_ylim(0, top)


def _frame_epochs(axis: Axes, lines: Sequence[Line]) -> None:
    from matplotlib.ticker import MaxNLocator

    epochs = [line["epoch"] for line in lines] or [0]
    margin = max(0.5, 0.02 * (epochs[-1] - epochs[0]))
    axis.set(xlabel="epoch", xlim=(epochs[0] - margin, epochs[-1] + margin))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.2)


def _part_stages(axis: Axes, lines: Sequence[Line], *, named: bool) -> None:
    """Mark where a stage follows another, and name the stages, as far as there is room."""
    last = {line["stage"]: line for line in lines if "stage" in line}
    if len(last) < 2:
        return
    left, right = axis.get_xlim()
    begin = left
    for stage, line in sorted(last.items()):
        final = stage == max(last)
        end = right if final else line["epoch"] + 0.5
        if named:
            name = line.get("stage_name") or f"stage {stage}"
            room = int(_LETTERS * (end - begin) / (right - left))
            short = name if len(name) <= room else f"{name[: max(room - 1, 0)]}…"
            axis.text((begin + end) / 2, 0.99, short, transform=axis.get_xaxis_transform(),
                      ha="center", va="top", fontsize="small", color=_GREY)  # fmt: skip
        if not final:
            axis.axvline(end, color=_GREY, linestyle=":", linewidth=1)
        begin = end
