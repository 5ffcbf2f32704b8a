"""``cairn data split`` and ``cairn data verify`` as a person calls them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cairn.cli.app import app
from cairn.errors import CairnError
from cairn.manifest import Manifest


def call(*words: object, code: int = 0) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["data", *map(str, words)])
    if isinstance(result.exception, CairnError):
        raise result.exception
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout, result.stderr


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Four landmarks of eight pictures, two of them one picture, and twelve distractors."""
    rng = np.random.default_rng(5)
    names = [f"{landmark}{k}" for landmark in "abcd" for k in range(8)]
    names += [f"none{k}" for k in range(12)]
    for name in names:
        pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((120, 90), Image.Resampling.BICUBIC)
        image.save(tmp_path / f"{name}.png")
    with Image.open(tmp_path / "a0.png") as image:
        image.resize((100, 75)).save(tmp_path / "a1.png")
    (tmp_path / "none11.png").write_bytes(b"no picture")
    columns = {
        "image_id": names,
        "path": [f"{name}.png" for name in names],
        "landmark_id": [name[0] if name[1:].isdecimal() else "" for name in names],
        "role": ["train" if name[1:].isdecimal() else "nonlandmark" for name in names],
        "author": [f"author {number % 9}" for number in range(len(names))],
    }
    path = tmp_path / "manifest.csv"
    Manifest.from_columns(columns, root=tmp_path).write(path)
    return path


def test_a_name_that_no_manifest_has_is_refused_before_any_file_is_written(manifest: Path) -> None:
    before = sorted(manifest.parent.iterdir())
    for name, what in (("bench", "ends in"), ("manifest.csv/bench.parquet", "no folder")):
        with pytest.raises(CairnError, match=what):
            call("split", manifest, "-o", manifest.parent / name, "--no-look")
    assert sorted(manifest.parent.iterdir()) == before


def test_a_manifest_without_queries_is_not_called_free_of_leaks(manifest: Path) -> None:
    with pytest.raises(CairnError, match="no queries"):
        call("verify", manifest)


def test_ctrl_c_says_that_the_same_command_goes_on(
    manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cairn.inspection.look.look_at", interrupted)
    _, said = call("split", manifest, "-o", manifest.with_name("bench.parquet"), code=130)
    assert "the same command goes on" in said


def test_split_and_verify(manifest: Path) -> None:
    out = manifest.with_name("bench.parquet")
    options = ("--unseen", 1, "--distractor-rate", 0.5, "--set", "bank_share=0.4", "--seed", 2)
    text, err = call("split", manifest, "-o", out, *options, "--json")
    value = json.loads(text)
    assert "unreadable" in err
    assert value["num_landmarks"]["known"] == 3
    assert value["groups"]["bonds"]["the same picture"] == 2
    assert value["verification"]["checked"] == ["paths", "recorded groups", "pictures"]
    assert value["settings"]["seed"] == 2
    rows = Manifest.read(out)
    queries = rows.select("query")
    without = queries.landmark_ids.count("")
    assert abs(2 * without - len(queries)) <= 1
    assert (manifest.parent / "bench-card.md").read_text(encoding="utf-8").startswith("# bench")
    words, _ = call("verify", out, "--look")
    assert "No leak found." in words
    assert "pictures" in words
    inspect = CliRunner().invoke(app, ["inspect", str(out), "-o", str(out.with_name("i"))])
    assert inspect.exit_code == 0
    words, err = call("verify", out, "--earlier", out.with_name("i"))
    assert "pictures" in words
    assert "were looked at before" in err
    assert not out.with_name("bench.parquet.partial").exists()
    words, _ = call("verify", out)
    assert "not checked: copies in other bytes" in words
    assert "checked: files" in words
    with pytest.raises(CairnError, match="never overwritten"):
        call("split", manifest, "-o", out)


def test_a_leak_has_exit_code_2_and_names_its_images(manifest: Path) -> None:
    out = manifest.with_name("bench.parquet")
    text, _ = call("split", manifest, "-o", out, "--no-look", "--unseen", 0)
    assert "no leak found by paths, recorded groups" in text
    assert "not looked at" in (manifest.parent / "bench-card.md").read_text(encoding="utf-8")
    made = Manifest.read(out)
    query = made.paths[made.roles.index("query")]
    known = made.paths[made.roles.index("train")]
    query.unlink()
    os.link(known, query)
    ids = [made.image_ids[made.roles.index(role)] for role in ("query", "train")]
    words, _ = call("verify", out, code=2)
    assert f"{ids[0]!r} and {ids[1]!r}" in words
    assert "It leaks" in words
    value = json.loads(call("verify", out, "--look", "--json", code=2)[0])
    assert [one["kind"] for one in value["findings"]] == ["same-file", "same-picture"]
    assert all(ids in one["examples"] for one in value["findings"])
    value = json.loads(call("verify", out, "--group", "author", "--json", code=2)[0])
    assert {one["kind"] for one in value["findings"]} == {"same-file", "same-group"}


def test_groups_and_wrong_words(manifest: Path) -> None:
    out = manifest.with_name("bench.csv")
    call("split", manifest, "-o", out, "--group", "author", "--no-look", "--unseen", 0, "--seed", 1)
    call("verify", out, "--group", "author")
    for words, message in (
        (("--group", "autor", "--no-look"), "no column 'autor'"),
        (("--tail", "long"), "unknown tail"),
        (("--set", "bank=1"), "no setting 'bank'"),
        (("--set", "query_share=2"), "query_share = 2"),
        (("--distractor-rate", 0.99, "--unseen", 0, "--no-look"), "cannot be reached"),
    ):
        with pytest.raises(CairnError, match=message):
            call("split", manifest, "-o", manifest.with_name("other.csv"), *words)
    assert not manifest.with_name("other.csv").exists()


def test_queries_are_parted_into_validation_and_test(manifest: Path) -> None:
    folder = manifest.parent
    call("split", manifest, "-o", folder / "bench.parquet", "--set", "query_share=0.5")
    files = [folder / "validation.parquet", folder / "test.parquet"]
    words = ("queries", folder / "bench.parquet", "--validation", files[0], "--test", files[1])
    out, _ = call(*words, "--json")
    parts = [Manifest.read(file) for file in files]
    queries = Manifest.read(folder / "bench.parquet").select("query")
    assert sorted(parts[0].image_ids + parts[1].image_ids) == sorted(queries.image_ids)
    assert json.loads(out)["validation"]["num_queries"] == len(parts[0]) > 0
    with pytest.raises(CairnError, match="taken"):
        call(*words)
    same = folder / "one.parquet"
    with pytest.raises(CairnError, match="one file"):
        call("queries", folder / "bench.parquet", "--validation", same, "--test", same)
    assert not same.exists()
