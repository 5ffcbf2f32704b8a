"""Faults that would otherwise show after hours: sizes, and photographs that are not what they seem.

A few photographs, spread over the rows, tell enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cairn import processes
from cairn.ahead import threaded_map
from cairn.config import Recipe
from cairn.domain import Int64
from cairn.errors import CairnError
from cairn.images import UnreadableImage, decode

_LOOKED_AT = 48
_MANY = 0.1  # share of unreadable photographs that is worth a warning
_SMALL = 0.6  # of the image size: photographs below it are mostly invented pixels


def require_sizes(stages: Sequence[Recipe]) -> None:
    """Refuse batches that leave some process or part fewer than two photographs.

    Raises:
        CairnError: A stage has one.
    """
    for stage in stages:
        settings = stage.train
        parts = settings.accumulate * processes.size()
        if settings.batch_size < 2 * parts:
            raise CairnError(
                f"{settings.batch_size} photographs a step are fewer than two for each of "
                f"{processes.size()} processes and {settings.accumulate} parts",
                where="train.batch_size",
                todo=f"set train.batch_size = {2 * parts} or more, or lower train.accumulate",
            )


def look_at(
    paths: Sequence[Path], rows: Int64, *, image_size: int, say: Callable[[str], None]
) -> None:
    """Open a few of the photographs at ``rows``; say what is amiss with them.

    Args:
        paths: Files of the whole table.
        rows: Which of them are learned from.
        image_size: Pixels of the model's input, a side.
        say: What warnings go to.

    Raises:
        CairnError: None of them can be read.
    """
    spread = np.linspace(0, len(rows) - 1, min(_LOOKED_AT, len(rows))).round().astype(np.int64)
    chosen = [paths[row] for row in rows[spread]]
    seen = list(threaded_map(_shorter_side, chosen, ahead=4))
    sides = [side for side in seen if isinstance(side, int)]
    broken = [(path, why) for path, why in zip(chosen, seen, strict=True) if isinstance(why, str)]
    if not sides:
        raise CairnError(
            f"none of a sample of {len(chosen)} photographs can be read; the first: {broken[0][1]}",
            where=broken[0][0],
            todo="check the paths in the manifest",
        )
    if len(broken) > _MANY * len(chosen):
        say(
            f"warning: {len(broken)} of {len(chosen)} photographs looked at cannot be read, such "
            f"as {broken[0][0]} ({broken[0][1]})"
        )
    middle = int(np.median(sides))
    if middle < _SMALL * image_size:
        say(
            f"warning: photographs are about {middle} px a side, the model's input is "
            f"{image_size} px: model.preprocess.image_size = {middle} would see as much"
        )


def _shorter_side(path: Path) -> int | str:
    """Return the pixels of the shorter side, or why the photograph cannot be read."""
    try:
        return min(decode(path).size)
    except UnreadableImage as error:
        return error.reason
