"""What is said of a run: its validation's gaps, the time left, each unreadable photograph once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cairn.config import Recipe
from cairn.manifest import Manifest
from cairn.training.data import read_photographs
from cairn.training.telling import Unreadable, describe, time_left


@pytest.mark.parametrize(
    ("photos", "none", "said"),
    [
        (3, 4, "warning: no landmark has photographs enough to hold some out; no scores"),
        (8, 0, "warning: no nonlandmark rows; a validation without unknown queries misleads"),
        (8, 4, None),
    ],
)
def test_a_validation_that_tells_little_is_warned_of(
    tmp_path: Path, photos: int, none: int, said: str | None
) -> None:
    names = [f"{mark}{i}" for mark in "xy" for i in range(photos)] + [f"n{i}" for i in range(none)]
    columns = {
        "image_id": names,
        "path": names,
        "landmark_id": [name[0] if name[0] != "n" else "" for name in names],
        "role": ["train" if name[0] != "n" else "nonlandmark" for name in names],
    }
    recipe = Recipe()
    photographs = read_photographs(recipe, Manifest.from_columns(columns, root=tmp_path), {})
    lines = describe(photographs, recipe, torch.device("cpu"))
    assert [line for line in lines if "warning" in line] == ([said] if said else [])


def test_time_left_counts_pixels_of_the_stages_to_come() -> None:
    """An epoch of stage 2 shows half as many photographs of four times the pixels: 20 minutes."""
    sizes = ({"image_size": 32}, {"image_size": 64})
    stages = [
        Recipe.model_validate({"model": {"preprocess": size}, "train": {"epochs": 3}})
        for size in sizes
    ]
    assert time_left(600, stages, [100, 50], stage=0, left=1) == "; about 1 h 10 min left"
    assert time_left(600, stages, [100, 50], stage=1, left=0) == ""


def test_an_unreadable_photograph_is_told_once(tmp_path: Path) -> None:
    said: list[str] = []
    unreadable = Unreadable([tmp_path / "a.jpg", tmp_path / "b.jpg"])
    for rows in ([1], [1, 0], []):
        unreadable.note((row, "missing file") for row in rows)
        unreadable.tell(said.append)
    assert [Path(line.split()[3]).name for line in said] == ["b.jpg", "a.jpg"]
