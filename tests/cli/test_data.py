"""``cairn data`` and ``cairn inspect``: one JSON object on stdout, everything else on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from cairn.cli.data import data
from cairn.cli.inspect import inspect
from cairn.errors import CairnError
from cairn.manifest import Manifest

app = typer.Typer()
app.add_typer(data, name="data")
app.command("inspect")(inspect)


def call(*words: object) -> tuple[str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for place, tone in (("故宫", 40), ("Big Ben", 200)):
        for index in range(4):
            path = tmp_path / "photos" / place / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.linear_gradient("L").rotate(tone + index * 20).save(path)
    (tmp_path / "photos/Big Ben/notes.txt").touch()
    return tmp_path / "photos"


def test_folder_to_manifest_to_inspection(photos: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.parquet"
    out, err = call("data", "folder", photos, "-o", manifest, "--holdout", "0.5", "--json")
    value = json.loads(out)
    assert value["roles"] == {"train": 4, "query": 4}
    assert (value["num_skipped"], value["num_landmarks"]) == (1, 2)
    assert value["fingerprint"] == Manifest.read(manifest).fingerprint
    assert "1 files were skipped (.txt 1)" in err
    out, _ = call("inspect", manifest, "-o", tmp_path / "i", "--workers", "1", "--json")
    assert json.loads(out)["num_unreadable"] == 0
    assert (tmp_path / "i" / "index.html").is_file()


def test_words_for_a_person(photos: Path, tmp_path: Path) -> None:
    out, _ = call("data", "folder", photos, "-o", tmp_path / "m.csv")
    assert "8 images of 2 landmarks: train 8" in out
    assert f"cairn inspect {tmp_path / 'm.csv'}" in out


def test_csv_shows_what_it_took_for_what(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,label,part\na.jpg,1,x\nb.jpg,,y\n", encoding="utf-8")
    out, err = call(
        *("data", "csv", tmp_path / "t.csv", "-o", tmp_path / "m.csv", "--json"),
        *("--column", "role=part", "--role-map", "x=train,y=nonlandmark"),
    )
    value = json.loads(out)
    assert value["columns"] == {"role": "part", "path": "file", "landmark_id": "label"}
    assert value["roles"] == {"train": 1, "nonlandmark": 1}
    assert "landmark_id is the column 'label'" in err


@pytest.mark.parametrize("word", ["role", "=x", "a=x,a=y"])
def test_pairs_that_are_none(tmp_path: Path, word: str) -> None:
    (tmp_path / "t.csv").write_text("path,label\na.jpg,1\n", encoding="utf-8")
    words = [
        "data",
        "csv",
        str(tmp_path / "t.csv"),
        "-o",
        str(tmp_path / "m.csv"),
        "--column",
        word,
    ]
    with pytest.raises(CairnError, match="--column"):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_a_manifest_is_never_overwritten(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.parquet"
    call("data", "folder", photos, "-o", out)
    before = out.read_bytes()
    with pytest.raises(CairnError, match="never overwritten"):
        CliRunner().invoke(
            app,
            ["data", "folder", str(photos), "--holdout", "0.5", "-o", str(out)],
            catch_exceptions=False,
        )
    assert out.read_bytes() == before
