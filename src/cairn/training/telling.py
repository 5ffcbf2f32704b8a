"""What is said of a run: its beginning, its epochs, the time left, photographs left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from cairn import processes
from cairn.config import Recipe
from cairn.training.data import Photographs


class Unreadable:
    """Photographs that cannot be read: each is told once, by the first process.

    Args:
        paths: Files of the whole table.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._known: set[int] = set()
        self._untold: list[tuple[int, str]] = []

    def note(self, found: Iterable[tuple[int, str]]) -> None:
        """Remember row and reason of photographs of this process's share."""
        self._untold += found

    def tell(self, say: Callable[[str], None]) -> None:
        """Say what all processes have noted since; every process calls."""
        for row, reason in (pair for pairs in processes.gather(self._untold) for pair in pairs):
            if row not in self._known:
                self._known.add(row)
                say(f"unreadable, left out: {self._paths[row]} ({reason})")
        self._untold = []


def describe(photographs: Photographs, recipe: Recipe, device: torch.device) -> list[str]:
    """Return what a run sets out with, line by line."""
    split, landmarks = photographs.split, len(photographs.landmarks)
    count = int(photographs.counts[:landmarks].sum())
    lines = [
        f"{count} photographs of {landmarks} landmarks; validation: {len(split.queries)} queries "
        f"and {len(split.nonlandmarks)} non-landmarks; {recipe.model.backbone} on {device}"
    ]
    if not split.queries:
        lines.append("warning: no landmark has photographs enough to hold some out; no scores")
    elif not split.nonlandmarks:
        lines.append("warning: no nonlandmark rows; a validation without unknown queries misleads")
    if len(photographs.counts) > landmarks:
        lines.append(f"a class of {photographs.counts[-1]} non-landmarks is learned, too")
    for name, number in photographs.left_out.items():
        lines.append(f"{name}: {number} photographs are left out, for the validation holds them")
    if processes.size() > 1:
        statistics = (
            "batch-norm statistics are shared"
            if device.type == "cuda"
            else "each normalises by the statistics of its own share of a step"
        )
        lines.append(f"{processes.size()} processes; {statistics}")
    return lines


def describe_stage(stage: Recipe, name: str, num_photographs: int) -> str:
    """Return what a stage sets out with."""
    settings, size = stage.train, stage.model.preprocess.image_size
    frozen = f"; frozen: {', '.join(settings.freeze)}" if settings.freeze else ""
    return f"{name}: {settings.epochs} epochs of {num_photographs} photographs at {size} px{frozen}"


def epoch_words(line: Mapping[str, Any]) -> str:
    """Return a line of metrics.jsonl as a sentence; nested values are left to the file."""
    plain = {k: v for k, v in line.items() if isinstance(v, int | float | str)}
    return ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in plain.items()
    )


def time_left(
    seconds: float, stages: Sequence[Recipe], shown: Sequence[int], *, stage: int, left: int
) -> str:
    """Return about how long the run still takes, or "" where it is over; scores not counted.

    Args:
        seconds: What the last epoch took.
        stages: Of the run.
        shown: Photographs that an epoch of each stage shows.
        stage: The one under way.
        left: Epochs left of it.
    """

    def pixels(index: int) -> int:
        return int(shown[index]) * stages[index].model.preprocess.image_size ** 2

    coming = sum(
        stages[i].train.epochs * pixels(i) / pixels(stage) for i in range(stage + 1, len(stages))
    )
    minutes = seconds * (left + coming) / 60
    if not minutes:
        return ""
    hours, rest = divmod(round(minutes), 60)
    about = f"{hours} h {rest} min" if hours else f"{max(rest, 1)} min"
    return f"; about {about} left"
