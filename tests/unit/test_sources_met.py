"""The Met dataset in its own layout, and its scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cairn.errors import CairnError
from cairn.metrics import global_average_precision, top1_accuracy
from cairn.sources.met import read_met

DATABASE: list[dict[str, Any]] = [
    {"id": 7, "path": "MET/7/0.jpg"},
    {"id": 7, "path": "MET/7/1.jpg"},
    {"id": 9, "path": "MET/9/0.jpg"},
]
TEST: list[dict[str, Any]] = [
    {"MET_id": 9, "path": "test_met/a.jpg"},
    {"path": "test_other/b.jpg"},
    {"path": "test_noart/c.jpg"},
]
VAL: list[dict[str, Any]] = [{"MET_id": 7, "path": "test_met/v.jpg"}]


def plant(root: Path, truth: str = "ground_truth", images: str = "images") -> Path:
    for name, value in {
        "MET_database": DATABASE,
        "mini_MET_database": DATABASE[1:],
        "testset": TEST,
        "valset": VAL,
    }.items():
        (root / truth).mkdir(parents=True, exist_ok=True)
        (root / truth / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
        for entry in value:
            path = root / images / str(entry["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return root


@pytest.mark.parametrize(("truth", "images"), [("ground_truth", "images"), (".", "images"),
                                               (".", ".")])  # fmt: skip
def test_exhibits_queries_and_distractors(tmp_path: Path, truth: str, images: str) -> None:
    found = read_met(plant(tmp_path / "met", truth, images))
    manifest = found.manifest
    assert manifest.landmark_ids == ["7", "7", "9", "9", "", ""]
    assert manifest.roles == ["train"] * 3 + ["query"] * 3
    assert manifest.table["collection"].to_pylist()[2:] == [
        *("MET", "test_met", "test_other", "test_noart")
    ]
    assert all(path.is_file() for path in manifest.paths)
    assert (found.num_missing, found.notes) == (0, ())


def test_the_small_database_and_the_other_queries(tmp_path: Path) -> None:
    root = plant(tmp_path)
    mini = read_met(root, mini=True, queries="val").manifest
    assert mini.image_ids == ["MET/7/1.jpg", "MET/9/0.jpg", "test_met/v.jpg"]
    assert len(read_met(root, queries="none").manifest) == 3


def test_missing_images_are_counted(tmp_path: Path) -> None:
    root = plant(tmp_path)
    (root / "images/MET/9/0.jpg").unlink()
    (root / "images/test_other/b.jpg").unlink()
    found = read_met(root)
    assert found.num_missing == 2
    assert found.manifest.landmark_ids == ["7", "7", "9", "", ""]
    assert "1 of 3 exhibits' images are not on disk and are left out" in found.notes[0]
    assert "1 of 3 queries are not on disk and stay" in found.notes[1]
    assert len(read_met(root, check=False).manifest) == 6


@pytest.mark.parametrize(
    ("database", "told"),
    [
        ([], "list of images"),
        ([{"path": "MET/7/0.jpg"}], "path and id"),
        ([{"id": 7}], "path and id"),
        (["MET/7/0.jpg"], "path and id"),
    ],
)
def test_what_is_no_ground_truth(tmp_path: Path, database: Any, told: str) -> None:
    root = plant(tmp_path)
    (root / "ground_truth/MET_database.json").write_text(json.dumps(database), encoding="utf-8")
    with pytest.raises(CairnError, match=told):
        read_met(root)


def test_wrong_words_and_places(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="unknown queries"):
        read_met(tmp_path, queries="tests")
    with pytest.raises(CairnError, match="file not found"):
        read_met(tmp_path)


def test_our_scores_are_those_of_the_met_by_hand() -> None:
    # Five queries, three of exhibits (M = 3). By confidence: right, distractor, wrong, right, blank
    # distractor. GAP = (1/1 + 2/4)/3; GAP-, without distractors: (1/1 + 2/3)/3; ACC = 2/3.
    truth = {"a": {"7"}, "b": set[str](), "c": {"9"}, "d": {"7"}, "e": set[str]()}
    answers = {"a": ("7", 0.9), "b": ("9", 0.8), "c": ("7", 0.7), "d": ("7", 0.6), "e": ("7", 0.1)}
    assert global_average_precision(answers, truth) == pytest.approx((1 + 2 / 4) / 3)
    without = global_average_precision(answers, truth, ignore_unlabelled=True)
    assert without == pytest.approx((1 + 2 / 3) / 3)
    assert top1_accuracy(answers, truth) == pytest.approx(2 / 3)
