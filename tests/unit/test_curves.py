from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cairn.curves import draw_curves


def drawn(folder: Path, lines: list[dict[str, Any]]) -> np.ndarray[Any, Any]:
    folder.mkdir()
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text, encoding="utf-8")
    path = draw_curves(folder)
    assert path == folder / "plots" / "training.png"
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int64)


def share(pixels: np.ndarray[Any, Any], colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels - np.array(colour)).sum(axis=2) < 24).sum())


LOSS, GAP, ACCURACY = (0xB4, 0x53, 0x2A), (0x1F, 0x6F, 0x8B), (0x7A, 0x9E, 0x4B)


def test_each_curve_is_drawn_where_it_was_measured(tmp_path: Path) -> None:
    lines = [
        {"epoch": 0, "val_gap": 0.1, "val_accuracy": 0.2},
        *({"epoch": e, "loss": 3.0 / e, "val_gap": 0.1 * e, "val_accuracy": 0.15 * e}
          for e in range(1, 6)),
    ]  # fmt: skip
    pixels = drawn(tmp_path / "full", lines)
    half = pixels.shape[1] // 2
    assert share(pixels[:, :half], LOSS) > 100
    assert share(pixels[:, half:], LOSS) == 0
    assert share(pixels[:, half:], GAP) > 100
    assert share(pixels[:, half:], ACCURACY) > 100
    assert share(pixels[:, :half], GAP) == 0


@pytest.mark.parametrize(
    "lines", [[], [{"epoch": 0, "val_gap": 0.5, "val_accuracy": 0.5}], [{"epoch": 1, "loss": 2.0}]]
)
def test_little_to_draw_is_no_error(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    pixels = drawn(tmp_path / "run", lines)
    assert pixels.shape[0] > 300
    assert len(np.unique(pixels)) > 2
