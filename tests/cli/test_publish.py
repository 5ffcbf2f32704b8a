"""``cairn push`` and ``cairn pull`` as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cairn.checkpoint import model_fingerprint, save_model
from cairn.cli.app import app
from cairn.config import ModelConfig, Preprocess
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.model import build
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=4,
    preprocess=Preprocess(image_size=32),
)


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(tmp_path / "model", build(CONFIG), CONFIG)
    ids = ["a1", "a2", "b1"]
    table = EmbeddingTable(
        ids,
        ["a", "a", "b"],
        [f"{one}.jpg" for one in ids],
        np.eye(4, dtype=np.float32)[:3],
        model_fingerprint(tmp_path / "model"),
    )
    table.write(tmp_path / "embeddings")
    Gallery.build(tmp_path / "embeddings", tmp_path / "model", tmp_path / "gallery")
    return tmp_path / "gallery"


def test_push_then_pull(gallery: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    pushed = json.loads(call("push", gallery, out, "--title", "Two", "--json"))
    assert (pushed["num_images"], pushed["num_landmarks"], pushed["title"]) == (3, 2, "Two")
    assert pushed["destination"] == str(out)
    text = call("pull", out, "-o", tmp_path / "mine")
    assert text.startswith("Two: 3 images of 2 landmarks: ")
    assert Gallery.load(tmp_path / "mine").table.landmark_ids == ["a", "a", "b"]
    card = (out / "README.md").read_text("utf-8")
    assert "license" not in card
    assert "Not stated: the gallery has no calibration" in card


def test_faults_are_told(gallery: Path, tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="no version 7"):
        call("push", gallery, tmp_path / "out", "--version", "7")
    assert not (tmp_path / "out").exists()
    with pytest.raises(CairnError, match="not a published gallery"):
        call("pull", gallery, "-o", tmp_path / "mine")
    with pytest.raises(CairnError, match="not an address of a repository"):
        call("push", gallery, "hf://paris")
