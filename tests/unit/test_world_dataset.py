"""A world: its tail, its disjoint sides, the same bytes again, and errors that help."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.world import WorldConfig, contact_sheet, make_world, photo_counts
from cairn.world.dataset import BANK, LANDMARK, UNKNOWN, plan

SMALL = WorldConfig(seed=5, num_landmarks=4, num_queries=5, num_bank=6, max_photos=5, size=48)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_world(tmp_path_factory.mktemp("world") / "w", SMALL)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.jpg"))
    }


@pytest.mark.parametrize("num", [40, 150, 2000, 81_313])
def test_half_of_the_landmarks_have_at_most_five_photographs(num: int) -> None:
    counts = photo_counts(WorldConfig(num_landmarks=num))
    assert counts[0] == 100
    assert counts.min() == 2
    assert 0.48 <= (counts <= 5).mean() <= 0.65
    assert (np.diff(counts) <= 0).all()


@pytest.mark.parametrize("num", [1, 2, 3])
def test_tiny_worlds_keep_the_bounds(num: int) -> None:
    counts = photo_counts(WorldConfig(num_landmarks=num, max_photos=9))
    assert len(counts) == num
    assert counts.min() >= 2
    assert counts.max() <= 9


def test_a_plan_has_what_was_asked_for() -> None:
    config = WorldConfig(num_landmarks=30, num_queries=50, num_bank=70, nonlandmark_share=0.6)
    roles = Counter(shot.role for sitting in plan(config) for shot in sitting.shots)
    assert roles["query"] == 50 + 75
    assert roles["nonlandmark"] == 70
    assert roles["train"] == photo_counts(config).sum()


def test_no_structure_stands_on_two_sides() -> None:
    sittings = plan(SMALL)
    assert len({(s.side, s.structure) for s in sittings}) == len(sittings)
    assert {s.side for s in sittings} == {LANDMARK, BANK, UNKNOWN}
    for sitting in sittings:
        roles = {shot.role for shot in sitting.shots}
        assert (
            roles
            <= {LANDMARK: {"train", "query"}, BANK: {"nonlandmark"}, UNKNOWN: {"query"}}[
                sitting.side
            ]
        )
        assert (sitting.landmark_id != "") == (sitting.side == LANDMARK)


def test_the_manifest_lists_photographs_that_open(world: Path) -> None:
    manifest = Manifest.read(world)
    table = manifest.table
    for path, width, height in zip(
        manifest.paths, table["width"].to_pylist(), table["height"].to_pylist(), strict=True
    ):
        with Image.open(path) as image:
            assert image.format == "JPEG"
            assert image.size == (width, height)
            assert max(image.size) == SMALL.size
    assert set(table["label_space"].to_pylist()) == {"world"}
    named = zip(manifest.landmark_ids, manifest.roles, strict=True)
    assert all(landmark for landmark, role in named if role == "train")


def test_landmarks_are_natural_or_human_made_and_others_neither(world: Path) -> None:
    for row in Manifest.read(world).table.to_pylist():
        kind = row["natural_or_human_made"]
        if row["landmark_id"]:
            assert kind == ("natural" if row["category"] == "rock" else "human-made")
        else:
            assert kind is None


def test_query_ids_and_paths_do_not_tell_the_answer(world: Path) -> None:
    query = Manifest.read(world).select("query")
    assert all("landmark" not in path.name for path in query.paths)


def test_the_same_seed_gives_the_same_bytes_on_any_number_of_processes(
    world: Path, tmp_path: Path
) -> None:
    again = make_world(tmp_path / "again", SMALL, workers=2)
    assert digests(again.parent) == digests(world.parent)
    assert Manifest.read(again).table.equals(Manifest.read(world).table)


def test_a_larger_world_keeps_the_photographs_of_the_smaller(world: Path, tmp_path: Path) -> None:
    larger = WorldConfig(**{**vars(SMALL), "num_bank": 8, "nonlandmark_share": 0.7})
    grown = digests(make_world(tmp_path / "grown", larger).parent)
    assert digests(world.parent).items() <= grown.items()


def test_another_seed_is_another_world(world: Path, tmp_path: Path) -> None:
    other = WorldConfig(**{**vars(SMALL), "seed": 6, "num_bank": 1, "num_queries": 1})
    there = digests(make_world(tmp_path / "other", other).parent)
    assert not set(there.values()) & set(digests(world.parent).values())


def test_results_are_never_overwritten(world: Path) -> None:
    with pytest.raises(CairnError, match="never overwritten"):
        make_world(world.parent, SMALL)


def test_a_failure_leaves_no_half_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("cairn.manifest.Manifest.write", fail)
    with pytest.raises(OSError, match="disk full"):
        make_world(
            tmp_path / "w",
            WorldConfig(num_landmarks=1, num_queries=0, num_bank=0, max_photos=2, size=16),
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_landmarks", 0),
        ("nonlandmark_share", 1.0),
        ("size", 8),
        ("min_photos", 0),
        ("seed", -1),
        ("num_bank", -1),
        ("num_queries", -3),
        ("max_photos", 1),
    ],
)
def test_a_world_that_cannot_be_says_which_number_is_at_fault(name: str, value: float) -> None:
    with pytest.raises(CairnError) as caught:
        WorldConfig(**{name: value})  # type: ignore[arg-type]
    assert name in caught.value.where


def test_contact_sheets_show_rows_of_places_and_a_sheet_of_strangers(
    world: Path, tmp_path: Path
) -> None:
    places = contact_sheet(world, tmp_path / "a.png", rows=3, columns=4, cell=32)
    with Image.open(places) as sheet:
        assert sheet.size == (128, 96)
    strangers = contact_sheet(world, tmp_path / "b.png", role="nonlandmark", columns=4, cell=32)
    with Image.open(strangers) as sheet:
        assert sheet.size == (128, 64)
    with pytest.raises(CairnError, match="role"):
        contact_sheet(world, tmp_path / "c.png", role="gallery")
