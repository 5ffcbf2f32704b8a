"""Recipes of stages as a person calls them, and folders of photographs that are continued."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from cairn.checkpoint import save_model
from cairn.cli.app import app
from cairn.config import ModelConfig, Preprocess
from cairn.embed import embed
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.model import build
from cairn.submission import read_submission

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
)
QUICK = ("--backend", "torch", "--device", "cpu")
ONLINE = """
num_hits = 20
[[stages]]
stage = "dense-penalty"
weight = 0.25
[[stages]]
stage = "sum-votes"
[[stages]]
stage = "query-penalty"
"""
BATCH = '[[stages]]\nstage = "best-vote"\n[[stages]]\nstage = "demote"\nmost = 2\n'


def call(*arguments: object, ok: bool = True) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if ok and result.exception is not None:
        raise result.exception
    return result


def as_json(*arguments: object) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(call(*arguments, "--json").stdout)
    return value


@pytest.fixture(scope="module")
def place(pictures: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery with a penalty, recipes, and a folder of 70 photographs, one of them broken."""
    root = tmp_path_factory.mktemp("stages")
    torch.manual_seed(0)
    save_model(root / "model", build(CONFIG), CONFIG)
    embed(root / "model", pictures.gallery(), root / "e", backend="torch")
    embed(root / "model", pictures.select("nonlandmark"), root / "bank", backend="torch")
    Gallery.build(root / "e", root / "model", root / "gallery")
    call("penalize", root / "gallery", root / "bank")
    (root / "online.toml").write_text(ONLINE, encoding="utf-8")
    (root / "batch.toml").write_text(BATCH, encoding="utf-8")
    shutil.copytree(pictures.root, root / "photos")
    (root / "photos" / "manifest.parquet").unlink()
    (root / "photos" / "broken.jpg").write_bytes(b"not a photograph")
    return root


def test_photographs_are_answered_by_stages_with_evidence(place: Path, pictures: Manifest) -> None:
    photos = [str(path) for path in pictures.select("query").paths][:3]
    words = ("recognize", place / "gallery", *photos, "--stages", place / "online.toml", *QUICK)
    value = as_json(*words)
    assert value["num_hits"] == 20
    assert value["stages"] == [
        {"stage": "dense-penalty", "top": 5, "weight": 0.25},
        {"stage": "sum-votes", "num_hits": 3, "power": 1.0},
        {"stage": "query-penalty", "top": 10, "weight": 1.0},
    ]
    for answer in value["predictions"]:
        assert 1 <= len(answer["evidence"]) <= 5
        assert {one["landmark_id"] for one in answer["evidence"]} == {answer["landmark_id"]}
        assert all(one["penalty"] > 0 for one in answer["evidence"])
    text = call(*words).stdout
    assert f"{value['predictions'][0]['confidence']:.4f}" in text
    assert f"{value['predictions'][0]['evidence'][0]['penalty']:.4f}" in text


def test_a_batch_is_for_manifests_and_says_so(
    place: Path, pictures: Manifest, tmp_path: Path
) -> None:
    manifest = pictures.root / "manifest.parquet"
    photo = str(pictures.select("query").paths[0])
    stages = ("--stages", place / "batch.toml")
    refused = call("recognize", place / "gallery", photo, *stages, *QUICK, ok=False)
    assert isinstance(refused.exception, CairnError)
    assert "stage 'demote' cannot answer one photograph" in refused.exception.what
    assert refused.exception.where == "stage 2 of 2"
    out = tmp_path / "s.csv"
    done = call("recognize", place / "gallery", manifest, "-o", out, *stages, *QUICK, "--json")
    assert "stage 'demote' looks at all 27 queries together" in done.stderr
    value = json.loads(done.stdout)
    assert value["penalized"] is False
    assert [stage["stage"] for stage in value["stages"]] == ["best-vote", "demote"]
    assert len(read_submission(out)) == 27
    call("evaluate", out, manifest, "-o", tmp_path / "evaluation")
    assert (tmp_path / "evaluation" / "report.html").is_file()


def test_stages_are_calibrated_and_judge(place: Path, pictures: Manifest, tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    shutil.copytree(place / "gallery", gallery)
    manifest, photo = pictures.root / "manifest.parquet", pictures.select("query").paths[0]
    stages = ("--stages", place / "online.toml")
    value = as_json("calibrate", gallery, manifest, "--false-accept", "0.2", *stages, *QUICK)
    assert value["num_hits"] == 20
    assert value["stages"][1] == {"stage": "sum-votes", "num_hits": 3, "power": 1.0}
    assert Path(value["calibration"]).is_file()
    text = call("recognize", gallery, photo, *stages, *QUICK).stdout
    assert text.split()[:3] == ["photograph", "verdict", "chance"]
    plain = call("recognize", gallery, photo, *QUICK)
    assert "verdict" not in plain.stdout
    assert "another setting of the penalty and the re-ranking" in " ".join(plain.stderr.split())
    refused = call("calibrate", gallery, manifest, "--stages", place / "batch.toml", ok=False)
    assert isinstance(refused.exception, CairnError)
    assert "'demote' cannot answer one photograph" in refused.exception.what


@pytest.mark.parametrize(
    ("text", "what", "where", "todo"),
    [
        ('[[stages]]\nstage = "sum-vote"\n', "unknown stage 'sum-vote'", "stage 1", "sum-votes"),
        ("[[stages]]\nnum_hits = 3\n", "a stage must say which it is", "stage 1", "sum-votes"),
        ("num_hit = 3\nstages = []\n", "unknown setting 'num_hit'", "recipe.toml", "num_hits"),
        ("num_hits = 0\nstages = []\n", "num_hits must be a whole number", "recipe.toml", ""),
        ('num_hits = "all"\nstages = []\n', "num_hits must be a whole number", "", ""),
        ("num_hits = 3\n", "a recipe needs [[stages]]", "recipe.toml", "one such table"),
        ("[[stages]\n", "not TOML", "recipe.toml", ""),
    ],
)
def test_faults_of_a_recipe_are_told_before_any_work(
    place: Path, tmp_path: Path, text: str, what: str, where: str, todo: str
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text, encoding="utf-8")
    for words in (("photos/train/landmark0/0.jpg",), ("photos", "-o", tmp_path / "s.csv")):
        photos = (place / words[0], *words[1:])
        result = call("recognize", place / "gallery", *photos, "--stages", recipe, ok=False)
        assert isinstance(result.exception, CairnError)
        assert what in result.exception.what
        assert where in result.exception.where
        assert todo in result.exception.todo
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.toml"]


def test_what_a_gallery_lacks_and_what_contradicts_is_told_before_any_work(
    place: Path, tmp_path: Path
) -> None:
    Gallery.build(place / "e", place / "model", tmp_path / "gallery")
    stages = ("--stages", place / "online.toml")
    out = ("-o", tmp_path / "s.csv")
    result = call("recognize", tmp_path / "gallery", place / "photos", *out, *stages, ok=False)
    assert isinstance(result.exception, CairnError)
    assert result.exception.what.startswith("stage 'dense-penalty' needs similarities")
    assert f"cairn penalize {tmp_path / 'gallery'} BANK" in result.exception.todo
    asked = ("recognize", place / "gallery", place / "photos", *out, *stages, "--no-penalty")
    result = call(*asked, ok=False)
    assert isinstance(result.exception, CairnError)
    assert "leave --no-penalty out" in result.exception.todo
    none = ("--stages", tmp_path / "none.toml")
    result = call("recognize", place / "gallery", place / "photos", *none, ok=False)
    assert isinstance(result.exception, CairnError)
    assert "file not found" in result.exception.what
    assert [path.name for path in tmp_path.iterdir()] == ["gallery"]


def test_a_folder_with_a_place_for_its_answers(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    done = call("recognize", place / "gallery", place / "photos", "-o", out, *QUICK)
    listed = tmp_path / "s-embeddings" / "unreadable.csv"
    assert f"70 queries answered, 1 of them unreadable ({listed}): {out}" in done.stdout
    assert "next:" not in done.stdout  # nobody knows what is true of them
    assert "broken.jpg,not an image" in listed.read_text(encoding="utf-8").replace(
        f",{place / 'photos' / 'broken.jpg'},", ","
    )
    answers = read_submission(out)
    assert len(answers) == 70
    assert answers[str(place / "photos" / "broken.jpg")] is None
    photo = place / "photos" / "query" / "landmark1" / "7.jpg"
    alone = as_json("recognize", place / "gallery", photo, *QUICK)["predictions"][0]
    told = answers[str(photo)]
    assert told is not None
    assert told[0] == alone["landmark_id"]
    assert told[1] == pytest.approx(alone["confidence"], abs=1e-5)
    value = as_json(
        "recognize", place / "gallery", place / "photos", "-o", tmp_path / "t.csv", *QUICK
    )
    assert value["unreadable"] == {str(place / "photos" / "broken.jpg"): "not an image"}
    assert (tmp_path / "t.csv").read_bytes() == out.read_bytes()


KILLED = """
import os, signal, sys
from cairn import recognize, table_writer
from cairn.cli import main

embed, append = recognize.embed, table_writer.TableWriter.append
recognize.embed = lambda *a, **k: embed(*a, **k, commit_every=1)

def once(self, *values):
    append(self, *values)
    os.kill(os.getpid(), signal.SIGKILL)

table_writer.TableWriter.append = once
sys.argv = ["cairn", *sys.argv[1:]]
main()
"""


def test_a_folder_goes_on_after_a_kill_to_the_very_answers(place: Path, tmp_path: Path) -> None:
    stages = ("--stages", place / "online.toml")
    words = ("recognize", place / "gallery", place / "photos", *stages, *QUICK)
    whole, out = tmp_path / "whole.csv", tmp_path / "s.csv"
    call(*words, "-o", whole)
    arguments = [sys.executable, "-c", KILLED, *map(str, words), "-o", str(out)]
    killed = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not out.exists()
    done = call(*words, "-o", out)
    assert "continuing: 32 of 70 images are embedded already" in done.stderr
    assert out.read_bytes() == whole.read_bytes()


def test_ctrl_c_says_that_the_same_command_goes_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cairn import recognize

    def stopped(*values: object, **wishes: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recognize, "embed", stopped)
    done = call(
        "recognize", place / "gallery", place / "photos", "-o", tmp_path / "s.csv", ok=False
    )
    assert done.exit_code == 130
    assert "the same command goes on from here" in done.stderr
    assert not (tmp_path / "s.csv").exists()
