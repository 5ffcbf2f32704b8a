"""Applying suggestions: only what is told, of the manifest they were made for, with a ledger."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from cairn.cleaning import apply_suggestions
from cairn.errors import CairnError
from cairn.manifest import Manifest

COLUMNS = ("image_id", "kind", "confidence", "landmark_id", "to_landmark_id", "apply", "reason")
ROWS = (
    ("a1", "relabel", "0.97", "a", "b", "", "why, and \"why\""),
    ("a2", "relabel", "0.60", "a", "b", "", "x"),
    ("b1", "drop", "0.95", "b", "", "", "x"),
    ("n1", "leave bank", "0.99", "", "a", "", "x"),
    ("b2", "look", "0.10", "b", "a", "", "x"),
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    ids = ["a1", "a2", "a3", "b1", "b2", "b3", "n1", "n2", "q1"]
    manifest = Manifest.from_columns(
        {
            "image_id": ids,
            "path": [f"photos/{one}.jpg" for one in ids],
            "landmark_id": ["a", "a", "a", "b", "b", "b", "", "", "b"],
            "role": ["train"] * 5 + ["gallery"] + ["nonlandmark"] * 2 + ["query"],
            "landmark_name": ["Arch"] * 3 + ["Bridge"] * 3 + ["", "", "Bridge"],
            "colour": list(range(9)),
        },
        root=tmp_path,
    )
    manifest.write(tmp_path / "manifest.parquet")
    (tmp_path / "out").mkdir()
    report = {"manifest": manifest.fingerprint}
    (tmp_path / "out" / "report.json").write_text(json.dumps(report))
    edit(tmp_path)
    return tmp_path


def edit(place: Path, **changes: dict[str, str]) -> None:
    """Write the suggestions as someone edited them: columns by image."""
    with (place / "out" / "suggestions.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for row in ROWS:
            found = {**dict(zip(COLUMNS, row, strict=True)), **changes.get(row[0], {})}
            rows.writerow([found[name] for name in COLUMNS])


def applied(place: Path, **options: Any) -> tuple[dict[str, tuple[str, str]], list[dict[str, str]]]:
    """The new manifest's landmark and role by image, and the ledger."""
    out = place / "cleaned.parquet"
    done = apply_suggestions(place / "out", place / "manifest.parquet", out, **options)
    new = Manifest.read(out)
    assert done.num_images == len(new)
    with done.ledger.open(encoding="utf-8", newline="") as file:
        ledger = list(csv.DictReader(file))
    columns = zip(new.image_ids, new.landmark_ids, new.roles, strict=True)
    return {image: (landmark, role) for image, landmark, role in columns}, ledger


def test_nothing_is_applied_that_is_not_told(place: Path) -> None:
    with pytest.raises(CairnError, match="nothing is told"):
        applied(place)
    assert not (place / "cleaned.parquet").exists()


def test_kinds_and_a_least_confidence(place: Path) -> None:
    before = (place / "manifest.parquet").read_bytes()
    found, ledger = applied(place, kinds=["relabel", "drop"], min_confidence=0.9)
    assert found["a1"] == ("b", "train")
    assert found["a2"] == ("a", "train"), "0.6 is not sure enough"
    assert "b1" not in found
    assert found["n1"] == ("", "nonlandmark"), "not one of the kinds"
    assert [(line["image_id"], line["kind"], line["told_by"]) for line in ledger] == [
        ("a1", "relabel", "confidence"),
        ("b1", "drop", "confidence"),
    ]
    assert (ledger[0]["landmark_id"], ledger[0]["new_landmark_id"]) == ("a", "b")
    assert (place / "manifest.parquet").read_bytes() == before
    new = Manifest.read(place / "cleaned.parquet")
    assert new.landmark_names == {"a": "Arch", "b": "Bridge"}
    assert new.table["colour"].to_pylist() == [0, 1, 2, 4, 5, 6, 7, 8]
    assert new.table["path"][0].as_py() == "photos/a1.jpg"
    facts = json.loads((place / "cleaned.changes.json").read_text())
    assert facts["counts"] == {"relabel": 1, "drop": 1}
    assert facts["cleaned"] == new.fingerprint
    assert facts["manifest"] == Manifest.read(place / "manifest.parquet").fingerprint


def test_an_edited_table_is_carried_out(place: Path) -> None:
    edit(
        place,
        a1={"apply": "no"},
        a2={"apply": "Yes ", "to_landmark_id": "c"},
        b1={"apply": "yes", "kind": "nonlandmark"},
        n1={"apply": "1", "kind": "relabel"},
        b2={"apply": "x", "kind": "drop", "to_landmark_id": ""},
    )
    found, ledger = applied(place, kinds=["relabel"])
    assert found["a1"] == ("a", "train"), "a no stands against --kinds"
    assert found["a2"] == ("c", "train")
    assert found["b1"] == ("", "nonlandmark")
    assert found["n1"] == ("a", "train"), "an image of the bank becomes a training image"
    assert "b2" not in found
    assert {line["told_by"] for line in ledger} == {"yes"}


def test_leave_bank_takes_it_out(place: Path) -> None:
    found, ledger = applied(place, kinds=["leave bank"])
    assert "n1" not in found
    assert "n2" in found
    assert (ledger[0]["role"], ledger[0]["new_role"]) == ("nonlandmark", "")


def test_suggestions_for_another_manifest_are_refused(place: Path) -> None:
    manifest = Manifest.read(place / "manifest.parquet")
    manifest.take([0, 1, 2, 3, 4, 5, 6, 7]).write(place / "fewer.parquet")
    with pytest.raises(CairnError, match="another manifest"):
        apply_suggestions(
            place / "out", place / "fewer.parquet", place / "new.parquet", kinds=["relabel"]
        )
    (place / "out" / "report.json").write_text("[]")
    with pytest.raises(CairnError, match="another manifest"):
        applied(place, kinds=["relabel"])


def test_results_are_never_overwritten(place: Path) -> None:
    (place / "cleaned.changes.csv").write_text("mine")
    with pytest.raises(CairnError, match="never overwritten"):
        applied(place, kinds=["relabel"])
    with pytest.raises(CairnError, match="never overwritten"):
        apply_suggestions(
            place / "out", place / "manifest.parquet", place / "manifest.parquet", kinds=["drop"]
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"a1": {"apply": "maybe"}}, "yes, no or nothing"),
        ({"b2": {"apply": "yes"}}, "cannot be applied"),
        ({"a1": {"apply": "yes", "kind": "relable"}}, "cannot be applied"),
        ({"a1": {"apply": "yes", "to_landmark_id": ""}}, "names a landmark"),
        ({"a1": {"apply": "yes", "landmark_id": "b"}}, "no such image"),
        ({"a1": {"apply": "yes", "image_id": "zz"}}, "no such image"),
        ({"a1": {"apply": "yes", "image_id": "q1", "landmark_id": "b"}}, "no such image"),
        ({"a1": {"apply": "yes"}, "a2": {"apply": "yes", "image_id": "a1"}}, "changed twice"),
        ({"a1": {"confidence": "high"}}, "no confidence"),
    ],
)
def test_edits_without_sense_are_refused(
    place: Path, changes: dict[str, dict[str, str]], message: str
) -> None:
    edit(place, **changes)
    with pytest.raises(CairnError, match=message):
        applied(place, kinds=["relabel"])
    assert not (place / "cleaned.parquet").exists()


def test_choices_without_sense_are_refused(place: Path) -> None:
    with pytest.raises(CairnError, match="unknown kind 'relable'") as caught:
        applied(place, kinds=["relable"])
    assert "relabel" in caught.value.todo
    with pytest.raises(CairnError, match="unknown kind 'look'"):
        applied(place, kinds=["look"])
    with pytest.raises(CairnError, match="needs kinds"):
        applied(place, min_confidence=0.9)
    with pytest.raises(CairnError, match="between 0 and 1"):
        applied(place, kinds=["drop"], min_confidence=90)


def test_a_table_without_its_columns_is_refused(place: Path) -> None:
    (place / "out" / "suggestions.csv").write_text("image_id,kind\na1,drop\n")
    with pytest.raises(CairnError, match="lack the columns confidence"):
        applied(place, kinds=["drop"])
