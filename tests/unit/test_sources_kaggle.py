"""Kaggle's layout of Google Landmark Recognition."""

from __future__ import annotations

from pathlib import Path

import pytest

from cairn.errors import CairnError
from cairn.sources.kaggle import read_kaggle

TRAIN = {"17660ef415d37059": "1", "92b6290d571448f6": "1", "cd41bf948edc0340": "7"}
TEST = ["00084cdf8f600d00", "e7f70e9c61e66af3", "4142fa8ec8a9e4d5"]


def place(root: Path, split: str, name: str) -> Path:
    path = root / split / name[0] / name[1] / name[2] / f"{name}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def glr(tmp_path: Path) -> Path:
    rows = "".join(f"{name},{landmark}\n" for name, landmark in TRAIN.items())
    (tmp_path / "train.csv").write_text(f"id,landmark_id\n{rows}", encoding="utf-8")
    rows = "".join(f"{name},7 0.1\n" for name in TEST)
    (tmp_path / "sample_submission.csv").write_text(f"id,landmarks\n{rows}", encoding="utf-8")
    for name in TRAIN:
        place(tmp_path, "train", name)
    for name in TEST:
        place(tmp_path, "test", name)
    return tmp_path


def test_training_and_test_images(glr: Path) -> None:
    found = read_kaggle(glr)
    manifest = found.manifest
    assert manifest.image_ids == [*TRAIN, *TEST]
    assert manifest.landmark_ids == ["1", "1", "7", "", "", ""]
    assert manifest.roles == ["train"] * 3 + ["query"] * 3
    assert manifest.paths[0] == glr / "train/1/7/6/17660ef415d37059.jpg"
    assert all(path.is_file() for path in manifest.paths)
    assert found.notes == ("what the test images show is not known: scores of them say nothing",)


def test_2019_has_addresses_too_and_test_images_may_be_listed(glr: Path) -> None:
    (glr / "train.csv").write_text(
        'id,url,landmark_id\n17660ef415d37059,"http://x/a,b.jpg",1\n', encoding="utf-8"
    )
    (glr / "sample_submission.csv").unlink()
    manifest = read_kaggle(glr).manifest
    assert manifest.image_ids == ["17660ef415d37059", *sorted(TEST)]
    (glr / "test.csv").write_text(f"id\n{TEST[0]}\n", encoding="utf-8")
    assert read_kaggle(glr).manifest.image_ids[1:] == TEST[:1]


def test_a_solution_tells_what_test_images_show(glr: Path) -> None:
    solution = glr / "solution.csv"
    solution.write_text(
        f"id,landmarks,Usage\n{TEST[0]},7 1,Public\n{TEST[1]},,Private\n{TEST[2]},,Ignored\n",
        encoding="utf-8",
    )
    found = read_kaggle(glr, solution=solution)
    assert found.manifest.image_ids[3:] == TEST[:2]
    assert found.manifest.landmark_ids[3:] == ["7", ""]
    assert "1 test images are left out" in found.notes[0]
    assert "1 test images show several landmarks" in found.notes[1]
    solution.write_text("id,landmarks\nother,1\n", encoding="utf-8")
    with pytest.raises(CairnError, match="none of the test images"):
        read_kaggle(glr, solution=solution)


def test_missing_files_are_counted_and_told(glr: Path) -> None:
    place(glr, "train", "92b6290d571448f6").unlink()
    place(glr, "test", TEST[0]).unlink()
    found = read_kaggle(glr)
    assert found.num_missing == 2
    assert found.manifest.image_ids == ["17660ef415d37059", "cd41bf948edc0340", *TEST]
    assert "1 of 3 training images are not on disk and are left out" in found.notes[0]
    assert "train/9/2/b/92b6290d571448f6.jpg" in found.notes[0]
    assert len(read_kaggle(glr, check=False).manifest) == 6


def test_without_test_images_or_any(glr: Path) -> None:
    (glr / "sample_submission.csv").unlink()
    for path in (glr / "test").rglob("*.jpg"):
        path.unlink()
    assert read_kaggle(glr).manifest.roles == ["train"] * 3
    for path in glr.rglob("*.jpg"):
        path.unlink()
    with pytest.raises(CairnError, match="none of the 3 training images"):
        read_kaggle(glr)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,label\na,1\n", "no column 'landmark_id'"),
        ("id,landmark_id\nab,1\n", "no id of an image"),
        ("id,landmark_id\n../../etc,1\n", "no id of an image"),
        ("id,landmark_id\nabc0,\n", "must name their landmark"),
    ],
)
def test_tables_that_are_no_competition_s(glr: Path, text: str, told: str) -> None:
    (glr / "train.csv").write_text(text, encoding="utf-8")
    place(glr, "train", "abc0")
    with pytest.raises(CairnError, match=told):
        read_kaggle(glr)
