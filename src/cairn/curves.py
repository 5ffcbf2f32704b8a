"""Training curves of a run folder: loss, validation GAP and accuracy over epochs."""

from __future__ import annotations

import json
from pathlib import Path


def draw_curves(folder: Path) -> Path:
    """Draw ``plots/training.png`` from the run's metrics.jsonl and return its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    text = (folder / "metrics.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    losses = [(line["epoch"], line["loss"]) for line in lines if "loss" in line]
    left.plot(*zip(*losses, strict=True) if losses else ([], []), color="#b4532a")
    left.set(xlabel="epoch", ylabel="training loss", title="Loss")
    for key, label, color in (
        ("val_gap", "GAP", "#1f6f8b"),
        ("val_accuracy", "accuracy", "#7a9e4b"),
    ):
        points = [(line["epoch"], line[key]) for line in lines if key in line]
        if points:
            right.plot(*zip(*points, strict=True), color=color, label=label, marker=".")
    right.set(xlabel="epoch", title="Validation, with non-landmarks", ylim=(0, 1))
    if right.lines:
        right.legend(frameon=False)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.2)
    path = folder / "plots" / "training.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=120)
    return path
