"""Labels that people read, from a manifest through the commands to answers and pages."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from cairn.checkpoint import save_model
from cairn.cli.app import app
from cairn.config import ModelConfig, Preprocess
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.model import build
from cairn.pipeline import score_model

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
)
URL = "https://w.example/wiki/Zero_%26"
LICENSE = "https://creativecommons.org/licenses/by/4.0/"


def call(*words: object) -> str:
    done = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, pictures: Manifest) -> Path:
    """A manifest that says all of landmark0, and a model."""
    root = tmp_path_factory.mktemp("travel")
    marks = pictures.landmark_ids
    is_zero = [mark == "landmark0" for mark in marks]
    columns: dict[str, list[Any]] = {
        "image_id": pictures.image_ids,
        "path": [str(path) for path in pictures.paths],
        "landmark_id": marks,
        "role": pictures.roles,
        "landmark_name": ["Null & <Co>" if zero else None for zero in is_zero],
        "category": ["tower" if zero else None for zero in is_zero],
        "landmark_url": [URL if zero else None for zero in is_zero],
        "latitude": [-17.5 if zero else None for zero in is_zero],
        "longitude": [(179.75, -179.75)[row % 2] if zero else None
                      for row, zero in enumerate(is_zero)],
        "author": [f"Photographer {row}" for row in range(len(marks))],
        "license": [LICENSE] * len(marks),
        "source_url": [f"https://p.example/{row}" for row in range(len(marks))],
    }  # fmt: skip
    Manifest.from_columns(columns, root=root).write(root / "manifest.parquet")
    torch.manual_seed(0)
    save_model(root / "model", build(CONFIG), CONFIG)
    return root


def test_from_the_manifest_to_the_answer(place: Path, pictures: Manifest, tmp_path: Path) -> None:
    model, manifest = place / "model", place / "manifest.parquet"
    call("embed", model, manifest, "--role", "train", "--backend", "torch", "-o", tmp_path / "e")
    target = tmp_path / "g"
    out = call("gallery", "build", tmp_path / "e", model, "-o", target, "--names", manifest)
    assert f"{Gallery.load(target).num_landmarks - 1} of the landmarks have no name" in out
    rows = [row for row, mark in enumerate(pictures.landmark_ids) if mark == "landmark0"]
    row = next(row for row in rows if pictures.roles[row] == "train")
    words = ("recognize", target, pictures.paths[row], "--top", "1", "--json")
    answer = json.loads(call(*words))["predictions"][0]
    assert answer["landmark_name"] == answer["landmark"]["name"] == "Null & <Co>"
    landmark = answer["landmark"]
    assert (landmark["category"], landmark["url"]) == ("tower", URL)
    assert landmark["latitude"] == -17.5
    assert 179.7 < abs(landmark["longitude"]) <= 180
    evidence = answer["evidence"][0]
    assert evidence["author"] == f"Photographer {row}"
    assert (evidence["license"], evidence["source_url"]) == (LICENSE, f"https://p.example/{row}")
    facts = tmp_path / "facts.csv"
    facts.write_text("landmark_id,landmark_name,category\nlandmark0,Zero,\nlandmark1,One,park\n")
    told = json.loads(call("gallery", "describe", target, facts, "--json"))
    assert (told["operation"], told["version"], told["arguments"]["landmarks"]) == (
        "describe",
        2,
        2,
    )
    landmark = json.loads(call(*words))["predictions"][0]["landmark"]
    assert (landmark["name"], landmark["category"]) == ("Zero", "tower")


def test_to_the_report_and_the_doctor_s_page(place: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(place / "manifest.parquet")
    done = score_model(place / "model", manifest, tmp_path, title="Travel", backend="torch")
    html = done.page.read_text(encoding="utf-8")
    rows = pq.read_table(tmp_path / "evaluation" / "predictions.parquet").to_pylist()
    assert all(one["author"].startswith("Photographer") for row in rows for one in row["evidence"])
    named = [row for row in rows if row["landmark_id"] == "landmark0"]
    assert all(row["landmark_name"] == "Null & <Co>" and row["latitude"] == -17.5 for row in named)
    figures = html.split("<figure")[1:]
    shown = [figure for figure in figures if 'class="photo"' in figure]
    assert shown
    assert all('<span class="credit"><a href="https://p.example/' in figure for figure in shown)
    assert ">CC BY 4.0</a>" in html
    assert '<img src="http' not in html
    if any(row["landmark_id"] == "landmark0" for row in rows):
        assert escape("Null & <Co>") in html
    call("gallery", "check", tmp_path / "gallery", "-o", tmp_path / "check")
    page = (tmp_path / "check" / "checkup.html").read_text(encoding="utf-8")
    assert "<figure" in page
    assert 'class="credit"' in page


def test_names_of_other_data_are_refused(place: Path, tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("image_id,path,landmark_id,role,category\n1,a.jpg,x,train,y\n")
    manifest = place / "manifest.parquet"
    model = place / "model"
    call("embed", model, manifest, "--role", "train", "--backend", "torch", "-o", tmp_path / "e")
    words = ["gallery", "build", tmp_path / "e", model, "-o", tmp_path / "g", "--names"]
    done = CliRunner().invoke(app, list(map(str, [*words, tmp_path / "n.csv"])))
    assert done.exit_code == 2 or "none of the" in str(done.exception)
    assert not (tmp_path / "g").exists()
