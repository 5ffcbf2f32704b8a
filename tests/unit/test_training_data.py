"""What a run learns from: stages' manifests, what validation holds out, the non-landmark class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cairn.config import Recipe
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.training.data import read_photographs, stage_manifests


def _manifest(root: Path, prefix: str, landmarks: dict[str, int], *, none: int = 0) -> Manifest:
    """Photographs ``prefix-landmark-number``, each with a sum of its landmark and number alone."""
    rows = [(f"{mark}-{i}", mark, "train") for mark, n in landmarks.items() for i in range(n)]
    rows += [(f"none-{i}", "", "nonlandmark") for i in range(none)]
    names = [f"{prefix}-{name}" for name, _, _ in rows]
    return Manifest.from_columns(
        {
            "image_id": names,
            "path": [f"{name}.jpg" for name in names],
            "landmark_id": [mark for _, mark, _ in rows],
            "role": [role for _, _, role in rows],
            "sha256": [name for name, _, _ in rows],
        },
        root=root,
    )


def _recipe(*stages: dict[str, object], **sections: dict[str, object]) -> Recipe:
    values = {"validation": {"share": 0.25, "min_images": 4}, **sections, "stages": list(stages)}
    return Recipe.model_validate(values)


def test_one_stage_learns_from_what_is_not_held_out(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, "a", {"x": 4, "y": 8, "z": 1}, none=4)
    found = read_photographs(_recipe(), manifest, {})
    assert found.landmarks == ["x", "y", "z"]
    assert found.counts.tolist() == [3, 6, 1]
    assert found.shown[0].tolist() == list(found.split.train)
    assert [found.landmarks[i] for i in found.labels[:12]] == ["x"] * 4 + ["y"] * 8
    assert found.labels[13:].tolist() == [-1] * 4
    assert np.array_equal(found.labels, found.targets)


def test_landmarks_of_all_stages_have_their_place_and_leaks_are_left_out(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, "a", {"x": 4, "y": 8})
    other = _manifest(tmp_path, "b", {"y": 8, "new": 2})
    recipe = _recipe({}, {"data": "other.parquet"}, {"data": "other.parquet"})
    found = read_photographs(recipe, manifest, {"other.parquet": other})
    assert found.landmarks == ["new", "x", "y"]
    assert len(found.split.queries) == 3
    held = {manifest.table["sha256"][row].as_py() for row in found.split.queries}
    held = {name for name in held if name.startswith("y")}
    assert found.left_out == {"other.parquet": len(held)} == {"other.parquet": 2}
    assert [found.paths[row].name for row in found.shown[1]] == [
        path.name
        for path, name in zip(other.paths, other.table["sha256"].to_pylist(), strict=True)
        if name not in held
    ]
    assert np.array_equal(found.shown[1], found.shown[2])
    assert {found.marks[row] for row in found.shown[1]} == {"y", "new"}
    assert found.counts.tolist() == [2, 3, 6 + 6], "image ids count once, and these differ"


def test_an_image_in_two_manifests_counts_once(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, "a", {"x": 4, "y": 8})
    recipe = _recipe({}, {"data": "same"})
    found = read_photographs(recipe, manifest, {"same": manifest})
    assert found.counts.tolist() == [3, 6]
    assert found.left_out == {"same": 3}


def test_spare_nonlandmarks_are_one_more_class(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, "a", {"x": 4, "y": 8}, none=6)
    recipe = _recipe(head={"nonlandmark": True})
    found = read_photographs(recipe, manifest, {})
    assert len(found.split.spare) == 3
    assert found.counts.tolist() == [3, 6, 3]
    assert set(found.split.spare) < set(found.shown[0].tolist())
    assert found.targets[list(found.split.spare)].tolist() == [2, 2, 2]
    assert found.labels[list(found.split.spare)].tolist() == [-1, -1, -1]
    assert found.targets[list(found.split.nonlandmarks)].tolist() == [-1] * 3


def test_what_cannot_be_learned_from_is_said(tmp_path: Path) -> None:
    manifest = _manifest(tmp_path, "a", {"x": 4, "y": 8})
    with pytest.raises(CairnError, match="leaves no nonlandmark rows"):
        read_photographs(_recipe(head={"nonlandmark": True}), manifest, {})
    columns = {n: manifest.table[n].to_pylist() for n in manifest.table.column_names}
    elsewhere = {**columns, "label_space": ["gldv2"] * len(manifest)}
    other = Manifest.from_columns(elsewhere, root=tmp_path)
    with pytest.raises(CairnError, match=r"of \['gldv2'\], those of the run of \['local'\]"):
        read_photographs(_recipe({"data": "other"}), manifest, {"other": other})
    queries = Manifest.from_columns({**columns, "role": ["query"] * len(manifest)}, root=tmp_path)
    with pytest.raises(CairnError, match="no train row is left") as caught:
        read_photographs(_recipe({"data": "other"}), manifest, {"other": queries})
    assert caught.value.where == "other"
    with pytest.raises(CairnError):
        stage_manifests(_recipe({"data": str(tmp_path / "absent.parquet")}))
