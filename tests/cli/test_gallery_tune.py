"""``cairn gallery tune``, and ``cairn recognize --search approximate`` after it."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cairn.checkpoint import model_fingerprint, save_model
from cairn.cli.app import app
from cairn.cli.gallery_tune import tune
from cairn.cli.recognize import recognize
from cairn.config import ModelConfig, Preprocess
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.index_kinds import CARD_NAME
from cairn.model import build
from cairn.recognize import Recognizer
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
)
FAST = ("--kind", "ivf-pq", "--recall", "0.8", "--k", "5")


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(tmp_path / "model", build(CONFIG), CONFIG)
    fingerprint = model_fingerprint(tmp_path / "model")
    rng = np.random.default_rng(0)

    def write(name: str, num: int, landmark: str) -> None:
        # In groups of ten, close to one another.
        centres = np.random.default_rng(1).standard_normal((150, 16)).repeat(10, axis=0)
        made = centres[rng.permutation(1500)[:num]] + 0.3 * rng.standard_normal((num, 16))
        vectors = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
        ids = [f"{name}{row}" for row in range(num)]
        EmbeddingTable(ids, [landmark] * num, ids, vectors, fingerprint).write(tmp_path / name)

    write("embeddings", 1500, "tower")
    write("queries", 40, "")
    Gallery.build(tmp_path / "embeddings", tmp_path / "model", tmp_path / "gallery")
    return tmp_path / "gallery"


@pytest.mark.usefixtures("slow_exact")
def test_it_prints_what_it_tried_and_keeps_the_winner(gallery: Path, tmp_path: Path) -> None:
    out = call("gallery", "tune", gallery, *FAST)
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["search", "recall@5"]
    assert lines[1].split()[:2] == ["exact", "1.0000"]
    assert sum(line.startswith("*") for line in lines) == 1
    assert "each without itself" in out
    (folder,) = (gallery / "indexes").iterdir()
    assert f"kept: {folder}" in out
    assert (folder / CARD_NAME).is_file()
    photo = tmp_path / "photo.png"
    Image.new("RGB", (40, 40), (200, 30, 30)).save(photo)
    wishes = ("--json", "--backend", "torch", "--device", "cpu")
    exact = json.loads(call("recognize", gallery, photo, *wishes))
    found = json.loads(call("recognize", gallery, photo, *wishes, "--search", "approximate"))
    answers = [value["predictions"][0]["landmark_id"] for value in (exact, found)]
    assert answers == ["tower", "tower"]
    recognizer = Recognizer.load(gallery, search="approximate", backend="torch", device="cpu")
    assert recognizer.searcher.name.startswith("ivf-pq")
    assert recognizer(photo).landmark_id == "tower"


@pytest.mark.usefixtures("slow_exact")
def test_a_dry_run_with_queries_keeps_nothing(gallery: Path, tmp_path: Path) -> None:
    wishes = ("--queries", tmp_path / "queries", "--dry-run", "--json", "--goal", "batch")
    value = json.loads(call("gallery", "tune", gallery, *FAST, *wishes))
    assert value["num_queries"] == 40
    assert value["queries"] == "given"
    assert value["goal"] == "batch"
    assert value["index"] is None
    assert value["winner"] in [trial["name"] for trial in value["trials"]]
    assert not (gallery / "indexes").exists()


@pytest.mark.usefixtures("slow_exact")
def test_a_change_says_that_the_index_is_stale_now(gallery: Path, tmp_path: Path) -> None:
    def told(*arguments: object) -> str:
        return CliRunner().invoke(app, [str(argument) for argument in arguments]).stderr

    stale = f"cairn gallery tune {gallery}"
    assert stale not in told("gallery", "remove", gallery, "embeddings3")
    call("gallery", "tune", gallery, *FAST)
    assert stale not in told("gallery", "rename", gallery, "tower", "The tower")
    assert stale in told("gallery", "remove", gallery, "embeddings7", "--json")
    assert stale not in told("gallery", "rollback", gallery, "3")
    assert stale in told("penalize", gallery, tmp_path / "queries", "--min-n", "1")
    call("gallery", "tune", gallery, *FAST)
    assert stale not in told("penalize", gallery, tmp_path / "queries", "--min-n", "1")


def test_recognition_without_an_index_says_what_to_run(gallery: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (40, 40), (200, 30, 30)).save(photo)
    with pytest.raises(CairnError, match="no index") as fault:
        call("recognize", gallery, photo, "--search", "approximate", "--backend", "torch")
    assert f"cairn gallery tune {gallery}" in fault.value.todo


def test_wishes_are_checked(gallery: Path) -> None:
    with pytest.raises(CairnError, match="recall"):
        call("gallery", "tune", gallery, "--recall", "99")
    with pytest.raises(CairnError, match="k must be"):
        call("gallery", "tune", gallery, "--k", "1500")


def test_no_command_has_more_than_ten_options() -> None:
    for command, arguments in ((tune, 1), (recognize, 2)):
        assert len(inspect.signature(command).parameters) - arguments <= 10
