"""What a check finds: beside galleries and banks, on the disk, in pixels; and how it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cairn.errors import CairnError
from cairn.inspection.look import look_at
from cairn.manifest import Manifest
from cairn.splitting import Finding, SplitSettings, Verification, leak_groups, split_manifest
from cairn.splitting.evaluation import verify_evaluation
from cairn.splitting.verify import verify_split
from cairn.tables import EmbeddingTable


def manifest_of(root: Path, *rows: tuple[str, str, str], **columns: Any) -> Manifest:
    """Rows of id, landmark and role; a path is the id."""
    made = {
        "image_id": [row[0] for row in rows],
        "path": [f"{row[0]}.png" for row in rows],
        "landmark_id": [row[1] for row in rows],
        "role": [row[2] for row in rows],
        **columns,
    }
    return Manifest.from_columns(made, root=root)


def table_of(*images: str, landmark: str = "", root: str = "/photos") -> EmbeddingTable:
    vectors = np.eye(len(images), 8, dtype=np.float32)
    landmarks = [landmark] * len(images)
    return EmbeddingTable(
        list(images), landmarks, [f"{root}/{one}.png" for one in images], vectors, "model"
    )


PLAIN = (("q", "a", "query"), ("n", "", "query"), ("t", "a", "train"), ("b", "", "nonlandmark"))


def test_a_clean_split_says_what_was_compared_and_what_not(tmp_path: Path) -> None:
    found = verify_split(manifest_of(tmp_path, *PLAIN))
    assert found.findings == ()
    assert found.checked == ("paths",)
    assert [text.partition(":")[0] for text in found.not_checked] == [
        "sha256",
        "copies in other bytes",
    ]
    assert "No leak found" in found.sentence()
    assert not found.to_json()["leaks"]


def test_a_bank_and_a_gallery_of_their_own_are_compared_with_the_queries(tmp_path: Path) -> None:
    queries = manifest_of(Path("/photos"), *PLAIN[:2])
    table_of("x", "n").write(tmp_path / "bank")
    table_of("q", "y", landmark="a", root="/elsewhere").write(tmp_path / "gallery")
    found, counts = verify_evaluation(
        queries.image_ids, queries, gallery=tmp_path / "gallery", bank=tmp_path / "bank"
    )
    assert counts == {"a": 2}
    assert {(one.kind, one.examples) for one in found.leaks} == {
        ("same-id", (("q", ""),)),
        ("same-id", (("n", ""),)),
        ("same-path", (("n", ""),)),
    }
    with pytest.raises(CairnError, match="whose id stands in the bank: 1") as caught:
        found.refuse_leaks("here", "mend it")
    assert "same-id: 'n'" in caught.value.where
    # A solution knows ids alone.
    found, _ = verify_evaluation(["q", "n"], bank=tmp_path / "bank")
    assert [(one.kind, one.count) for one in found.leaks] == [("same-id", 1)]
    assert found.checked == ("ids with the bank",)
    nothing, counts = verify_evaluation(["q", "n"])
    assert (nothing.leaks, counts) == ((), None)
    assert "Nothing to compare" in nothing.sentence()


def test_manifests_of_a_bank_and_of_another_label_space(tmp_path: Path) -> None:
    queries = manifest_of(tmp_path, *PLAIN[:2], sha256=["AA", "bb"], label_space=["one"] * 2)
    bank = manifest_of(tmp_path, ("w", "", "nonlandmark"), ("v", "", "query"), sha256=["aa", "bb"])
    bank.write(tmp_path / "bank.csv")
    found, _ = verify_evaluation(queries.image_ids, queries, bank=tmp_path / "bank.csv")
    assert [(one.kind, one.examples) for one in found.leaks] == [("same-sha256", (("q", "w"),))]
    gallery = manifest_of(tmp_path, ("g", "a", "gallery"), label_space=["two"])
    gallery.write(tmp_path / "gallery.parquet")
    found, _ = verify_evaluation(queries.image_ids, queries, gallery=tmp_path / "gallery.parquet")
    assert [one.kind for one in found.leaks] == ["label-space"]
    assert "'one', those of the gallery to 'two'" in found.leaks[0].text
    with pytest.raises(CairnError, match="no image of role nonlandmark"):
        verify_evaluation(["q"], bank=tmp_path / "gallery.parquet")
    with pytest.raises(CairnError, match="no such embedding folder"):
        verify_evaluation(["q"], bank=tmp_path / "none")


def test_links_are_one_file_and_missing_files_are_counted(tmp_path: Path) -> None:
    for name in ("q", "t"):
        (tmp_path / f"{name}.png").write_text(name)
    (tmp_path / "n.png").symlink_to(tmp_path / "t.png")
    manifest = manifest_of(tmp_path, *PLAIN)
    assert not verify_split(manifest).findings
    found = verify_split(manifest, files=True, shown=2)
    assert [(one.kind, one.examples) for one in found.leaks] == [("same-file", (("n", "t"),))]
    assert "links of 1 files that are not there" in found.not_checked


def test_pictures_in_other_bytes_are_found_and_kept_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    names = [f"{landmark}{number}" for landmark in "ab" for number in range(10)]
    for name in names:
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((160, 120), Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
    for copy, original in (("a1", "a0"), ("a3", "a2"), ("b1", "a9")):
        with Image.open(tmp_path / f"{original}.png") as image:
            image.resize((96, 72)).save(tmp_path / f"{copy}.jpg", quality=60)
            (tmp_path / f"{copy}.png").write_bytes((tmp_path / f"{copy}.jpg").read_bytes())
    manifest = manifest_of(tmp_path, *((name, name[0], "query") for name in names))
    looks = look_at(manifest.paths, workers=1)
    groups = leak_groups(manifest, looks=looks)
    assert groups.bonds["the same picture"] == 6
    for seed in range(6):
        settings = SplitSettings(unseen=0, query_share=0.5, seed=seed)
        made = split_manifest(manifest, settings, groups=groups)
        table = made.manifest.table
        part = dict(zip(table["image_id"].to_pylist(), table["part"].to_pylist(), strict=True))
        assert part["a0"] == part["a1"]
        assert part["a2"] == part["a3"]
        assert not {"b1", "a9"} & set(part)
        assert not verify_split(
            made.manifest, looks=looks.take(np.flatnonzero(made.parts >= 0))
        ).leaks
    roles = ["query" if name in ("a1", "b1") else "train" for name in names]
    parted = manifest_of(
        tmp_path, *((name, name[0], role) for name, role in zip(names, roles, strict=True))
    )
    found = verify_split(parted, looks=looks)
    assert [one.kind for one in found.leaks] == ["same-picture"]
    assert set(found.leaks[0].examples) == {("a1", "a0"), ("b1", "a9")}


def test_notes_do_not_refuse(tmp_path: Path) -> None:
    rows = (("q", "z", "query"), ("t", "a", "train"), ("g", "a", "gallery"))
    found = verify_split(manifest_of(tmp_path, *rows, sha256=[None, "s", "s"]))
    assert [(one.kind, one.severity) for one in found.findings] == [
        ("trained-on", "note"),
        ("unanswerable", "note"),
    ]
    found.refuse_leaks("here", "nothing")  # passes
    assert "No leak found" in found.sentence()


def test_leaks_come_first_and_counts_are_told() -> None:
    note = Finding("n", "note", "N.", 1)
    leak = Finding("l", "leak", "L.", 7, (("a", "b"), ("c", "")))
    joined = Verification((note,), ("x",)).joined([Verification((leak,), ("x", "y"))])
    assert joined.findings == (leak, note)
    assert joined.checked == ("x", "y")
    assert leak.shown() == "'a' and 'b', 'c' and 5 more"
