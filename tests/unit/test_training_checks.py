"""Faults are said before the first step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cairn import processes
from cairn.config import Recipe
from cairn.errors import CairnError
from cairn.training.checks import look_at, require_sizes


def test_a_step_must_leave_every_part_two_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe.model_validate({"train": {"batch_size": 8, "accumulate": 2}})
    require_sizes([recipe])
    monkeypatch.setattr(processes, "size", lambda: 2)
    require_sizes([recipe])
    monkeypatch.setattr(processes, "size", lambda: 3)
    with pytest.raises(CairnError, match="fewer than two for each of 3 processes and 2 parts") as c:
        require_sizes([recipe])
    assert "train.batch_size = 12" in c.value.todo


def test_unreadable_and_small_photographs_are_told(tmp_path: Path) -> None:
    for number in range(4):
        Image.new("RGB", (40, 30)).save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    said: list[str] = []
    look_at(paths, np.arange(4), image_size=32, say=said.append)
    assert said == []
    look_at(paths, np.arange(4), image_size=64, say=said.append)
    assert "about 30 px a side, the model's input is 64 px" in said.pop()
    look_at(paths, np.arange(6), image_size=32, say=said.append)
    assert "2 of 6 photographs looked at cannot be read" in said.pop()
    with pytest.raises(CairnError, match="none of a sample of 2 photographs can be read") as caught:
        look_at(paths, np.array([4, 5]), image_size=32, say=said.append)
    assert caught.value.where == str(paths[4])
