"""Plain folders as manifests: names, splits, strays, and what is told about them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from pathlib import Path

import pytest

from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.sources.folder import from_folder, read_folder


def plant(root: Path, *names: str) -> Path:
    """Make files that are photographs by name alone: listing opens none."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_a_landmark_is_named_after_its_folder(tmp_path: Path) -> None:
    root = plant(
        tmp_path / "photos", "故宫/1.jpg", "Paris/Tour Eiffel/b.JPG", "Paris/Tour Eiffel/a.png"
    )
    manifest = from_folder(root)
    assert manifest.image_ids == [
        "photos/Paris/Tour Eiffel/a.png",
        "photos/Paris/Tour Eiffel/b.JPG",
        "photos/故宫/1.jpg",
    ]
    assert manifest.landmark_ids == ["Paris/Tour_Eiffel", "Paris/Tour_Eiffel", "故宫"]
    assert manifest.table["landmark_name"].to_pylist() == ["Tour Eiffel", "Tour Eiffel", "故宫"]
    assert manifest.roles == ["train"] * 3
    assert all(path.is_file() for path in manifest.paths)


def test_written_and_read_with_chinese_names(tmp_path: Path) -> None:
    root = plant(tmp_path / "照片", "故宫/太和殿 1.jpg", "天坛/1.jpg")
    for name in ("名单.csv", "名单.parquet"):
        from_folder(root).write(tmp_path / name)
        read = Manifest.read(tmp_path / name)
        assert read.landmark_ids == ["天坛", "故宫"]
        assert all(path.is_file() for path in read.paths)


def test_every_part_gets_its_role(tmp_path: Path) -> None:
    root = plant(tmp_path / "t", "a/1.jpg", "b/1.jpg")
    bank = plant(tmp_path / "bank", "animals/cat.jpg", "dog.jpg")
    asked = plant(tmp_path / "q", "a/9.jpg", "nonlandmark/x/1.jpg", "loose.jpg")
    others = plant(tmp_path / "o", "food/1.jpg")
    manifest = from_folder(root, nonlandmarks=bank, queries=asked, query_nonlandmarks=others)
    rows = dict(
        zip(
            manifest.image_ids, zip(manifest.roles, manifest.landmark_ids, strict=True), strict=True
        )
    )
    assert rows == {
        "t/a/1.jpg": ("train", "a"),
        "t/b/1.jpg": ("train", "b"),
        "bank/animals/cat.jpg": ("nonlandmark", ""),
        "bank/dog.jpg": ("nonlandmark", ""),
        "q/a/9.jpg": ("query", "a"),
        "q/nonlandmark/x/1.jpg": ("query", ""),
        "q/loose.jpg": ("query", ""),
        "o/food/1.jpg": ("query", ""),
    }


def test_folders_within_the_root_are_not_landmarks(tmp_path: Path) -> None:
    root = plant(tmp_path, "a/1.jpg", "bank/1.jpg", "nonlandmark/2.jpg")
    manifest = from_folder(root, nonlandmarks=root / "bank")
    assert Counter(zip(manifest.roles, manifest.landmark_ids, strict=True)) == {
        ("train", "a"): 1,
        ("nonlandmark", ""): 2,
    }


def test_trees_of_one_name_keep_their_ids_apart(tmp_path: Path) -> None:
    first, second = plant(tmp_path / "x/photos", "a/1.jpg"), plant(tmp_path / "y/photos", "a/1.jpg")
    assert from_folder(first, queries=second).image_ids == ["photos/a/1.jpg", "photos:2/a/1.jpg"]


def test_other_files_are_skipped_and_told(tmp_path: Path) -> None:
    root = plant(
        tmp_path, "a/1.jpg", "a/notes.txt", "a/Thumbs.db", "stray.jpg", ".git/x.jpg", "a/._1.jpg"
    )
    found = read_folder(root)
    assert len(found.manifest) == 1
    assert sorted(path.name for path in found.skipped) == ["Thumbs.db", "notes.txt", "stray.jpg"]
    assert "3 files were skipped" in found.notes[0]


def test_links_that_lead_back_are_followed_once(tmp_path: Path) -> None:
    root = plant(tmp_path, "a/1.jpg")
    (root / "a" / "loop").symlink_to(root)
    assert len(from_folder(root)) == 1


def test_composed_and_decomposed_names_are_one_landmark(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFC", "Église")
    root = plant(tmp_path / "t", f"{name}/1.jpg")
    asked = plant(tmp_path / "q", f"{unicodedata.normalize('NFD', name)}/2.jpg")
    found = read_folder(root, queries=asked)
    assert set(found.manifest.landmark_ids) == {name}
    assert not any("no training photograph" in note for note in found.notes)


def test_two_names_for_one_id_are_refused(tmp_path: Path) -> None:
    root = plant(tmp_path, "Eiffel Tower/1.jpg", "Eiffel_Tower/2.jpg")
    with pytest.raises(CairnError, match="the same id"):
        from_folder(root)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_holdout_keeps_one_and_meets_its_share(tmp_path: Path, share: float) -> None:
    sizes = {f"place {index}": 1 + index % 7 for index in range(140)}
    names = [f"{place}/{photo}.jpg" for place, size in sizes.items() for photo in range(size)]
    root = plant(tmp_path / "t", *names)
    bank = plant(tmp_path / "n", *(f"{index}.jpg" for index in range(200)))
    manifest = from_folder(root, nonlandmarks=bank, holdout=share, seed=3)
    train = Counter(manifest.select("train").landmark_ids)
    assert len(train) == 140, "every landmark keeps a photograph to be recognized by"
    asked = Counter(manifest.select("query").landmark_ids)
    for index, place in enumerate(sizes):
        key = place.replace(" ", "_")
        assert asked[key] <= min(index % 7, int(sizes[place] * share) + 1)
    if share <= 0.3:  # beyond it, the photograph that stays weighs
        assert sum(asked.values()) - asked[""] == pytest.approx(560 * share, rel=0.25)
        assert any(asked[place.replace(" ", "_")] for place, size in sizes.items() if size == 2)
    assert asked[""] == pytest.approx(200 * share, abs=1)


def test_holdout_follows_its_seed_and_nothing_else(tmp_path: Path) -> None:
    root = plant(tmp_path / "t", *(f"{place}/{n}.jpg" for place in "abcdef" for n in range(9)))
    first = from_folder(root, holdout=0.3, seed=1)
    assert from_folder(root, holdout=0.3, seed=1).fingerprint == first.fingerprint
    assert from_folder(root, holdout=0.3, seed=2).fingerprint != first.fingerprint
    plant(root, "aa/1.jpg", "aa/2.jpg")
    wider = from_folder(root, holdout=0.3, seed=1)
    queries = [name for name in wider.select("query").image_ids if "/aa/" not in name]
    assert queries == first.select("query").image_ids


def test_separate_query_nonlandmarks_leave_the_bank_whole(tmp_path: Path) -> None:
    root = plant(tmp_path / "t", "a/1.jpg", "a/2.jpg")
    bank = plant(tmp_path / "n", *(f"{index}.jpg" for index in range(20)))
    asked = plant(tmp_path / "o", "1.jpg")
    manifest = from_folder(root, nonlandmarks=bank, query_nonlandmarks=asked, holdout=0.5)
    assert manifest.summary()["roles"] == {"train": 1, "query": 2, "nonlandmark": 20}


def test_queries_of_unknown_landmarks_are_told(tmp_path: Path) -> None:
    root, asked = plant(tmp_path / "t", "a/1.jpg"), plant(tmp_path / "q", "b/1.jpg", "b/2.jpg")
    notes = read_folder(root, queries=asked).notes
    assert "2 queries show 1 landmarks that have no training photograph" in notes[0]
    assert "every query shows a landmark" in notes[1]


def test_faults(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="folder not found"):
        from_folder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CairnError, match="no photograph"):
        from_folder(tmp_path / "empty")
    flat = plant(tmp_path / "flat", "1.jpg")
    with pytest.raises(CairnError) as caught:
        from_folder(flat)
    assert "into a folder of its name" in caught.value.todo
    with pytest.raises(CairnError, match=r"\[0, 1\)"):
        from_folder(flat, holdout=1.0)


def test_one_folder_for_two_purposes_is_refused(tmp_path: Path) -> None:
    root = plant(tmp_path / "photos", "a/1.jpg")
    (tmp_path / "link").symlink_to(root, target_is_directory=True)
    for again in (root, tmp_path / "link"):
        with pytest.raises(CairnError, match="two purposes"):
            from_folder(root, nonlandmarks=again)


def test_parts_of_the_data_are_no_landmarks(tmp_path: Path) -> None:
    root = plant(tmp_path / "data", "train/tower/1.jpg", "train/bridge/1.jpg", "val/tower/2.jpg")
    with pytest.raises(CairnError, match="parts of the data") as caught:
        read_folder(root)
    assert f"{root}/train --queries {root}/val" in caught.value.todo
    read_folder(root / "train", queries=root / "val")
    # Places that happen to be called so have no folders in common.
    read_folder(plant(tmp_path / "rail", "Train/museum/1.jpg", "Test/valley/1.jpg"))


def test_an_archive_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").touch()
    with pytest.raises(CairnError, match="a file, not a folder"):
        read_folder(tmp_path / "photos.zip")
