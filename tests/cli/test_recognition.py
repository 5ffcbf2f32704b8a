from __future__ import annotations

import inspect
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from cairn.checkpoint import save_model
from cairn.cli.embed import embed
from cairn.cli.evaluate import evaluate
from cairn.cli.gallery import app as gallery
from cairn.cli.penalize import penalize
from cairn.cli.recognize import recognize
from cairn.config import ModelConfig, Preprocess
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.model import build
from cairn.penalty import penalty_table
from cairn.submission import read_submission
from cairn.tables import EmbeddingTable

app = typer.Typer()
app.command("embed")(embed)
app.command("evaluate")(evaluate)
app.command("penalize")(penalize)
app.command("recognize")(recognize)
app.add_typer(gallery, name="gallery")

COLOURS = {"红塔": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


def call(*arguments: object, ok: bool = True) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if ok and result.exception is not None:
        raise result.exception
    return result


def as_json(*arguments: object) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(call(*arguments, "--json").stdout)
    return value


def photo(path: Path, colour: tuple[int, int, int], seed: int) -> None:
    noise = np.random.default_rng(seed).integers(-25, 25, (30, 40, 3))
    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=95)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of three colours as landmarks, grey ones as non-landmarks, and a model."""
    root = tmp_path_factory.mktemp("world")
    columns: dict[str, list[str]] = {
        name: [] for name in ("image_id", "path", "landmark_id", "role", "landmark_name")
    }

    def add(name: str, landmark: str, role: str, colour: tuple[int, int, int]) -> None:
        photo(root / "photos" / f"{name}.jpg", colour, len(columns["image_id"]))
        values = (name, f"photos/{name}.jpg", landmark, role, landmark and f"The {landmark} [one]")
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)

    for landmark, colour in COLOURS.items():
        for number in range(3):
            add(f"{landmark}-{number}", landmark, "train", colour)
        add(f"{landmark}-q", landmark, "query", colour)
    for number in range(4):
        add(f"grey-{number}", "", "nonlandmark", (40, 60 + number, 180))
    add("grey-q", "", "query", (90, 90, 90))
    broken = root / "photos" / "broken.jpg"
    broken.write_bytes(b"not a photograph")
    for column, value in zip(
        columns.values(), ("broken", "photos/broken.jpg", "", "query", ""), strict=True
    ):
        column.append(value)
    Manifest.from_columns(columns, root=root).write(root / "manifest.parquet")
    config = ModelConfig(
        backbone="resnext_small",
        backbone_args={"layers": (1, 1, 1, 1)},
        dimension=64,
        preprocess=Preprocess(image_size=32),
    )
    torch.manual_seed(0)
    save_model(root / "model", build(config), config)
    options = ("--backend", "torch", "--device", "cpu", "--workers", "1")
    manifest = root / "manifest.parquet"
    call("embed", root / "model", manifest, "-o", root / "gallery-e", *options)
    bank = ("--role", "nonlandmark", "-o", root / "bank")
    call("embed", root / "model", manifest, *bank, *options)
    names = ("--names", manifest)
    call("gallery", "build", root / "gallery-e", root / "model", "-o", root / "gallery", *names)
    return root


def test_embed_takes_training_images_where_there_is_no_gallery_and_says_so(
    world: Path, tmp_path: Path
) -> None:
    manifest = world / "manifest.parquet"
    arguments = ("embed", world / "model", manifest, "-o", tmp_path / "e", "--backend", "torch")
    result = call(*arguments, "--json")
    assert "its training images serve as the gallery" in result.stderr
    value = json.loads(result.stdout)
    assert value["num_embedded"] == 9
    assert value["num_unreadable"] == 0
    table = EmbeddingTable.read(tmp_path / "e")
    assert set(table.landmark_ids) == set(COLOURS)
    assert as_json(*arguments)["num_resumed"] == 9


def test_embed_refuses_roles_that_do_not_exist_or_have_no_images(
    world: Path, tmp_path: Path
) -> None:
    arguments = ("embed", world / "model", world / "manifest.parquet", "-o", tmp_path / "e")
    result = call(*arguments, "--role", "queries", ok=False)
    assert isinstance(result.exception, CairnError)
    assert "query" in result.exception.todo


def test_gallery_build_reports_what_it_made(world: Path, tmp_path: Path) -> None:
    value = as_json(
        "gallery", "build", world / "gallery-e", world / "model", "-o", tmp_path / "gallery"
    )
    assert (value["num_images"], value["num_landmarks"]) == (9, 3)
    result = call(
        "gallery", "build", world / "bank", world / "model", "-o", tmp_path / "b", ok=False
    )
    assert isinstance(result.exception, CairnError)
    assert "have no landmark" in result.exception.what


def test_recognize_answers_photographs_with_evidence(world: Path) -> None:
    photos = [world / "photos" / f"{name}-q.jpg" for name in COLOURS]
    value = as_json("recognize", world / "gallery", *photos, world / "photos" / "broken.jpg")
    answers = value["predictions"]
    assert [answer["landmark_id"] for answer in answers] == list(COLOURS)
    assert [answer["image_id"] for answer in answers] == [str(path) for path in photos]
    assert answers[0]["landmark_name"] == "The 红塔 [one]"
    for answer in answers:
        assert len(answer["evidence"]) == 5
        assert answer["confidence"] == answer["evidence"][0]["score"]
        scores = [row["score"] for row in answer["evidence"]]
        assert scores == sorted(scores, reverse=True)
    assert value["unreadable"] == {str(world / "photos" / "broken.jpg"): "not an image"}


def test_recognize_prints_a_table_for_people(world: Path) -> None:
    result = call("recognize", world / "gallery", world / "photos" / "红塔-q.jpg", "--top", "2")
    assert "The 红塔 [one]" in result.stdout
    assert re.search(r"0\.\d{4} +0\.\d{4} +0\.0000", result.stdout)
    header, *lines = result.stdout.splitlines()
    assert header.split() == [
        "photograph", "landmark", "confidence", "similarity", "penalty", "evidence"
    ]  # fmt: skip
    assert len(lines) == 2
    for line in lines:
        assert re.search(r"/photos/红塔-\d\.jpg$", line)


def test_recognize_takes_folders_and_fails_only_where_nothing_can_be_read(
    world: Path, tmp_path: Path
) -> None:
    value = as_json("recognize", world / "gallery", world / "photos", "--top", "1")
    assert len(value["predictions"]) == 17
    assert len(value["unreadable"]) == 1
    broken = world / "photos" / "broken.jpg"
    result = call("recognize", world / "gallery", broken, tmp_path / "no.jpg", ok=False)
    assert isinstance(result.exception, CairnError)
    assert "none of the 2 photographs can be read" in result.exception.what
    assert "broken.jpg: not an image" in result.exception.where
    assert "missing file" in result.stderr
    out = tmp_path / "answers" / "s.csv"
    result = call("recognize", world / "gallery", broken, "-o", out, "--json", ok=False)
    assert isinstance(result.exception, CairnError)
    assert json.loads(result.stdout) == {
        "predictions": [],
        "unreadable": {str(broken): "not an image"},
        "stages": None,
    }
    assert not out.exists()
    result = call("recognize", world / "gallery", tmp_path, ok=False)
    assert isinstance(result.exception, CairnError)
    assert "no photographs" in result.exception.what


def test_a_submission_of_photographs_has_a_row_for_each(world: Path, tmp_path: Path) -> None:
    photos = [world / "photos" / name for name in ("broken.jpg", "blue-q.jpg")]
    as_json("recognize", world / "gallery", *photos, "-o", tmp_path / "s.csv")
    answers = read_submission(tmp_path / "s.csv")
    assert list(answers) == [str(path) for path in photos]
    blank, answer = answers.values()
    assert blank is None
    assert answer is not None
    assert answer[0] == "blue"


def test_a_manifest_with_top_0_is_refused_before_it_is_embedded(
    world: Path, tmp_path: Path
) -> None:
    out = tmp_path / "s.csv"
    arguments = ("recognize", world / "gallery", world / "manifest.parquet", "-o", out)
    result = call(*arguments, "--top", "0", ok=False)
    assert isinstance(result.exception, CairnError)
    assert "top must be at least 1" in result.exception.what
    assert list(tmp_path.iterdir()) == []


def test_recognize_writes_a_submission_for_a_manifest(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "submission.csv"
    arguments = ("recognize", world / "gallery", world / "manifest.parquet", "--backend", "torch")
    value = as_json(*arguments, "-o", out)
    assert (value["num_queries"], value["num_unreadable"]) == (5, 1)
    assert value["penalized"] is False
    answers = read_submission(out)
    assert list(answers) == [f"{name}-q" for name in COLOURS] + ["grey-q", "broken"]
    for name in COLOURS:
        answer = answers[f"{name}-q"]
        assert answer is not None
        assert answer[0] == name
    assert answers["broken"] is None
    result = call(*arguments, "-o", out, ok=False)
    assert isinstance(result.exception, CairnError)
    assert "never overwritten" in result.exception.what
    result = call(*arguments, ok=False)
    assert isinstance(result.exception, CairnError)
    assert "-o" in result.exception.todo
    result = call(*arguments, world / "photos" / "blue-q.jpg", "-o", tmp_path / "x", ok=False)
    assert isinstance(result.exception, CairnError)
    assert "not both" in result.exception.what


def test_penalize_attaches_the_penalty_that_recognize_takes_off(
    world: Path, tmp_path: Path
) -> None:
    target = tmp_path / "gallery"
    call("gallery", "build", world / "gallery-e", world / "model", "-o", target)
    query = world / "photos" / "blue-q.jpg"
    before = as_json("recognize", target, query)["predictions"][0]
    settings = ("--top", "3", "--min-n", "1", "--max-n", "2", "--strength", "0.5")
    aside = as_json("penalize", target, world / "bank", *settings, "-o", tmp_path / "p.parquet")
    assert aside["path"] == str(tmp_path / "p.parquet")
    result = call(
        "penalize", target, world / "bank", *settings, "-o", tmp_path / "p.parquet", ok=False
    )
    assert isinstance(result.exception, CairnError)
    assert "never overwritten" in result.exception.what
    assert as_json("recognize", target, query)["predictions"][0] == before
    value = as_json("penalize", target, world / "bank", *settings)
    assert Path(value["path"]).parent == target / "penalties"
    assert Path(value["path"]).is_file()
    assert (value["version"], aside["version"]) == (2, 1)
    assert (value["num_picks"], value["bank_size"]) == (12, 4)
    assert value["num_penalized"] >= 3
    after = as_json("recognize", target, query)["predictions"][0]
    assert after["confidence"] < before["confidence"]
    best = after["evidence"][0]
    assert after["confidence"] == pytest.approx(best["similarity"] - best["penalty"], abs=1e-12)
    assert as_json("recognize", target, query, "--no-penalty")["predictions"][0] == before
    result = call("penalize", target, world / "bank", "--top", "many", ok=False)
    assert isinstance(result.exception, CairnError)
    assert as_json("penalize", target, world / "bank")["num_picks"] == 13


def test_the_defaults_that_penalize_s_help_names_are_those_of_the_function() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(penalty_table).parameters.items()
    }
    options = {
        name: parameter.annotation
        for name, parameter in inspect.signature(penalize).parameters.items()
    }
    for name in ("min_n", "max_n", "min_pro", "max_pro", "strength"):
        assert f"{defaults[name]} by default" in str(options[name])
    assert f"{defaults['ramp']} (the default)" in str(options["ramp"])


def test_photographs_before_the_gallery_are_told(world: Path) -> None:
    with pytest.raises(CairnError, match="not a gallery"):
        CliRunner().invoke(
            app, ["recognize", str(world / "gallery.jpg"), str(world)], catch_exceptions=False
        )


def test_queries_that_the_gallery_or_its_bank_holds_are_warned_of_and_not_scored(
    world: Path, tmp_path: Path
) -> None:
    gallery_dir = tmp_path / "gallery"
    shutil.copytree(world / "gallery", gallery_dir)
    call("penalize", gallery_dir, world / "bank")
    rows = Manifest.read(world / "manifest.parquet")
    chosen = [rows.image_ids.index(name) for name in ("green-q", "grey-1", "blue-2")]
    columns = {
        name: rows.take(chosen).table[name].to_pylist()
        for name in ("image_id", "path", "landmark_id")
    }
    asked = Manifest.from_columns({**columns, "role": ["query"] * 3}, root=rows.root)
    asked.write(tmp_path / "asked.csv")
    result = call("recognize", gallery_dir, tmp_path / "asked.csv", "-o", tmp_path / "s.csv")
    assert "warning: Queries whose id stands in the gallery: 1. ('blue-2')" in result.stderr
    assert "warning: Queries that are files of the gallery's bank: 1. ('grey-1')" in result.stderr
    answers = ("evaluate", tmp_path / "s.csv", tmp_path / "asked.csv", "--gallery", gallery_dir)
    refused = call(*answers, ok=False).exception
    assert isinstance(refused, CairnError)
    assert "whose id stands in the gallery's bank: 1" in refused.what
    value = as_json(*answers, "--allow-leaks", "--resamples", 0)
    assert {entry["size"] for entry in value["by_size"]} == {"3-5"}
    bank = ("--bank", gallery_dir)
    refused = call(*answers[:3], *bank, ok=False).exception
    assert isinstance(refused, CairnError)
    refused = call(*answers[:3], "--bank", world / "gallery", ok=False).exception
    assert isinstance(refused, CairnError)
    assert "keeps no bank" in refused.what
