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


SPARSE, CROWDED = (0x44, 0x01, 0x54), (0xB0, 0xDD, 0x2F)  # viridis at 0 and 0.88


def by_size(epoch: int, *names: str) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "val_gap": 0.3,
        "val_accuracy": 0.4,
        "val_by_size": {
            name: {"queries": 9, "accuracy": 0.5 + 0.1 * place, "gap": 0.2 - 0.1 * place}
            for place, name in enumerate(names)
        },
    }


def test_landmarks_by_size_are_drawn_below(tmp_path: Path) -> None:
    pixels = drawn(tmp_path / "run", [by_size(e, "1", ">50") for e in (1, 2)])
    middle = pixels.shape[0] // 2
    for colour in (SPARSE, CROWDED):
        assert share(pixels[:middle], colour) == 0
        for part in np.array_split(pixels[middle:], 2, axis=1):
            assert share(part, colour) > 30
    alone = drawn(tmp_path / "alone", [by_size(e, "1") for e in (1, 2)])
    assert share(alone, CROWDED) == 0


def test_runs_without_sizes_have_one_row(tmp_path: Path) -> None:
    plain = drawn(tmp_path / "plain", [{"epoch": e, "val_gap": 0.3} for e in (1, 2)])
    sized = drawn(tmp_path / "sized", [by_size(e, "1") for e in (1, 2)])
    assert plain.shape[1] == sized.shape[1]
    assert plain.shape[0] < 0.6 * sized.shape[0]


def test_the_epoch_that_is_kept_is_circled(tmp_path: Path) -> None:
    """GAP is as good as level; the circle adds its colour at the left or at the right end."""
    found = {}
    for kept in (0, 3):
        gaps = [0.5001 if epoch == kept else 0.5 for epoch in range(4)]
        pixels = drawn(
            tmp_path / str(kept),
            [{"epoch": e, "val_gap": gap, "val_accuracy": 1.0} for e, gap in enumerate(gaps)],
        )
        rows = slice(pixels.shape[0] * 2 // 5, pixels.shape[0] * 3 // 5)  # about a score of 0.5
        panel = pixels[rows, pixels.shape[1] // 2 :]
        found[kept] = [share(part, GAP) for part in np.array_split(panel, 2, axis=1)]
    assert found[0][0] > found[3][0] + 20
    assert found[3][1] > found[0][1] + 20


def test_stages_are_parted_and_named(tmp_path: Path) -> None:
    """The dotted lines and the names are dark grey, as are only the edges of letters else."""
    grey = (0x55, 0x55, 0x55)
    lines: list[dict[str, Any]] = [
        {"epoch": e, "loss": 1.0, "stage": 1 + e // 3, "stage_name": ""} for e in range(1, 6)
    ]
    parted = drawn(tmp_path / "two", lines)
    single = drawn(tmp_path / "one", [{**line, "stage": 1} for line in lines])
    assert share(parted, grey) > share(single, grey) + 40


def test_many_stages_of_long_names_find_room(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"epoch": e, "loss": 1.0, "learning_rate": 0.1, "stage": e, "stage_name": "name " * 20}
        for e in range(1, 31)
    ]
    shape = drawn(tmp_path / "long", lines).shape
    assert shape == drawn(tmp_path / "short", [{**line, "stage_name": "x"} for line in lines]).shape
