"""``cairn gallery`` as typed: words, JSON, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.main import get_command
from typer.testing import CliRunner, Result

from cairn.checkpoint import model_fingerprint, save_model
from cairn.cli.app import app
from cairn.config import ModelConfig, Preprocess
from cairn.embed import embed
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.gallery.compaction import KEEP_DAYS
from cairn.manifest import Manifest
from cairn.model import build
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=4,
    preprocess=Preprocess(image_size=32),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models, embeddings of five images of three landmarks, a bank, and a gallery of them."""
    root = tmp_path_factory.mktemp("cli")
    for seed in range(2):
        torch.manual_seed(seed)
        save_model(root / f"model{seed}", build(CONFIG), CONFIG)
    rng = np.random.default_rng(3)

    def table(folder: str, names: str, landmarks: str) -> None:
        ids = names.split()
        marks = ["" if mark == "-" else mark for mark in landmarks.split()]
        vectors = rng.standard_normal((len(ids), 4)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        paths = [f"/photos/{name}.jpg" for name in ids]
        fingerprint = model_fingerprint(root / "model0")
        EmbeddingTable(ids, marks, paths, vectors, fingerprint).write(root / folder)

    table("e", "a1 a2 b1 b2 塔1", "a a b b 塔")
    table("more", "c1 a3", "c a")
    table("bank", "n1 n2 n3", "- - -")
    Gallery.build(root / "e", root / "model0", root / "g")
    manifest = Manifest.from_columns(
        {
            "image_id": ["c1", "a3"],
            "path": ["c1.jpg", "a3.jpg"],
            "landmark_id": ["c", "a"],
            "role": ["gallery"] * 2,
            "landmark_name": ["The C", None],
        },
        root=root,
    )
    manifest.write(root / "names.csv")
    return root


@pytest.fixture
def gallery(place: Path, tmp_path: Path) -> Path:
    shutil.copytree(place / "g", tmp_path / "g")
    return tmp_path / "g"


def call(*words: object) -> Result:
    return CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)


def as_json(*words: object) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(call(*words, "--json").stdout)
    return value


def test_a_gallery_s_life_in_words(place: Path, gallery: Path, tmp_path: Path) -> None:
    assert "3 gallery images" not in call("penalize", gallery, place / "bank").stdout
    out = call("gallery", "add", gallery, place / "more", "--names", place / "names.csv").stdout
    assert "is at version 3: 7 images of 4 landmarks; before, 5 of 3" in out
    (tmp_path / "ids.txt").write_text("a1\n\nb1\n", encoding="utf-8")
    out = call("gallery", "remove", gallery, "塔1", "--ids", tmp_path / "ids.txt").stdout
    assert "is at version 4: 4 images of 3 landmarks" in out
    assert "into: a" in call("gallery", "merge", gallery, "b", "--into", "a").stdout
    assert "Big Tower" in call("gallery", "rename", gallery, "a", "Big Tower").stdout
    assert "is version 6" in call("gallery", "tag", gallery, "good").stdout
    call("gallery", "remove", gallery, "--landmark", "c")
    log = call("gallery", "log", gallery).stdout.splitlines()
    assert log[0].split() == ["version", "time", "images", "landmarks", "tags", "what"]
    assert [line.split()[0] for line in log[1:]] == ["7", "6", "5", "4", "3", "2", "1"]
    assert "good" in log[2]
    assert "rename (landmark: a, name: Big Tower" in log[2]
    out = call("gallery", "rollback", gallery, "good").stdout
    assert "is at version 8: 4 images of 2 landmarks; before, 3 of 1" in out
    loaded = Gallery.load(gallery)
    assert loaded.landmark_names == {"a": "Big Tower", "c": "The C"}
    assert loaded.penalty is not None
    assert "old versions let go" in call("gallery", "compact", gallery, "--keep-days", "0").stdout
    assert "a name no more" in call("gallery", "tag", gallery, "good", "--delete").stdout


def test_every_command_has_its_json(place: Path, gallery: Path, tmp_path: Path) -> None:
    built = as_json("gallery", "build", place / "e", place / "model0", "-o", tmp_path / "new")
    assert (built["version"], built["num_images"], built["num_landmarks"]) == (1, 5, 3)
    assert as_json("penalize", gallery, place / "bank")["version"] == 2
    value = as_json("gallery", "add", gallery, place / "more")
    assert (value["version"], value["operation"], value["num_images"]) == (3, "add", 7)
    assert value["images_before"] == 5
    value = as_json("gallery", "remove", gallery, "--landmark", "塔", "--landmark", "c")
    assert value["arguments"] == {"images": 2, "of landmarks": ["c", "塔"]}
    assert as_json("gallery", "merge", gallery, "b", "--into", "a")["num_landmarks"] == 1
    assert as_json("gallery", "rename", gallery, "a", "A")["operation"] == "rename"
    assert as_json("gallery", "tag", gallery, "t", "--version", "3")["version"] == 3
    assert as_json("gallery", "tag", gallery, "t", "--move")["version"] == 6
    assert as_json("gallery", "rollback", gallery, "2")["arguments"] == {"to": 2}
    versions = as_json("gallery", "log", gallery)["versions"]
    assert [line["version"] for line in versions] == [7, 6, 5, 4, 3, 2, 1]
    assert versions[1]["tags"] == ["t"]
    done = as_json("gallery", "compact", gallery)
    assert (done["version"], done["removed_versions"], done["removed"]) == (7, 0, [])
    assert as_json("gallery", "tag", gallery, "t", "--delete")["deleted"] is True


def test_photographs_are_added_and_embedded_again(
    place: Path, tmp_path: Path, pictures: Manifest
) -> None:
    embed(place / "model0", pictures.select("train"), tmp_path / "e", backend="torch")
    target = tmp_path / "g"
    call("gallery", "build", tmp_path / "e", place / "model0", "-o", target)
    columns = {
        "image_id": ["new"],
        "path": [str(pictures.select("query").paths[0])],
        "landmark_id": ["landmark0"],
        "role": ["gallery"],
        "landmark_name": ["Zero"],
    }
    Manifest.from_columns(columns, root=tmp_path).write(tmp_path / "new.parquet")
    value = as_json("gallery", "add", target, tmp_path / "new.parquet", "--backend", "torch")
    assert (value["num_images"], value["arguments"]["images"]) == (31, 1)
    value = as_json("gallery", "reembed", target, place / "model1", "--backend", "torch")
    assert (value["num_images"], value["model"]) == (31, model_fingerprint(place / "model1"))
    assert value["arguments"]["from"] == model_fingerprint(place / "model0")
    with pytest.raises(CairnError, match="names its landmarks itself"):
        call("gallery", "add", target, tmp_path / "new.parquet", "--names", tmp_path / "x.csv")


def test_what_is_wrong_is_said(place: Path, gallery: Path, tmp_path: Path) -> None:
    for words, text in (
        (("add", gallery, place / "e"), "5 of these 5 images are in the gallery already"),
        (("add", gallery, place / "bank"), "3 of 3 images have no landmark"),
        (("add", place / "e", place / "more"), "embeddings, not a gallery"),
        (("add", tmp_path / "none", place / "more"), "not a gallery"),
        (("add", gallery, place / "model0"), "neither embeddings nor a manifest"),
        (("add", gallery, place / "none"), "no such embedding folder"),
        (("log", place / "model0" / "config.json"), "this is a file, and a gallery is a folder"),
        (("tag", gallery, "two words"), "letters, digits, dots"),
        (("remove", gallery), "nothing is named"),
        (("remove", gallery, "--ids", tmp_path / "none.txt"), "No such file"),
        (("merge", gallery, "a", "--into", "A"), "no landmark 'A'"),
        (("rollback", gallery, "9"), "no version 9"),
        (("rollback", gallery, "good"), "no tag 'good'"),
        (("tag", gallery, "x", "--delete"), "no tag 'x'"),
        (("tag", gallery, "x", "--delete", "--move"), "goes with no other option"),
        (("compact", gallery, "--keep-days", "-1"), "cannot be negative"),
        (("reembed", gallery, place / "model0"), "of this model already"),
        (("reembed", gallery, place / "model1"), "5 of 5 photographs are missing"),
        (("build", place / "e", place / "model0", "-o", gallery), "never overwritten"),
    ):
        with pytest.raises(CairnError, match=text):
            call("gallery", *words)
    assert Gallery.load(gallery).version == 1


def test_a_landmark_called_by_its_name_is_told_by_its_id(gallery: Path) -> None:
    call("gallery", "rename", gallery, "塔", "The tower")
    with pytest.raises(CairnError, match="did you mean '塔'"):
        call("gallery", "merge", gallery, "The tower", "--into", "a")


def test_looking_back_and_naming_load_no_pytorch(gallery: Path) -> None:
    """PyTorch and timm take seconds to load; the commands that need none answer at once."""
    lines = [
        "import sys",
        "from cairn.gallery import log, merge_landmarks, rename_landmark, rollback, tag",
        f"gallery = {str(gallery)!r}",
        "rename_landmark(gallery, 'a', 'Arch')",
        "merge_landmarks(gallery, 'b', into='a')",
        "tag(gallery, 'merged')",
        "rollback(gallery, 1)",
        "assert [line.version for line in log(gallery)] == [4, 3, 2, 1]",
        "heavy = {'torch', 'timm', 'torchvision', 'numba', 'openvino', 'faiss'}",
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True, timeout=120)


def test_loading_a_gallery_needs_no_timm(gallery: Path) -> None:
    code = (
        f"import sys; from cairn.gallery import Gallery; Gallery.load({str(gallery)!r})\n"
        "assert not {'timm', 'torchvision', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_help_of_the_group_is_not_cut_off() -> None:
    listed = call("gallery", "--help").stdout.partition("Commands:")[2]
    assert "rollback" in listed
    assert "..." not in listed


def test_no_command_has_more_than_ten_options() -> None:
    command: Any = get_command(app)
    for name, one in command.commands["gallery"].commands.items():
        options = [parameter for parameter in one.params if parameter.name != "help"]
        assert len(options) <= 10, name
    words = " ".join(call("gallery", "compact", "--help").stdout.split())
    assert f"{KEEP_DAYS:g} by default" in words


def test_describe_refuses_what_says_nothing_of_this_gallery(gallery: Path, tmp_path: Path) -> None:
    facts = tmp_path / "facts.csv"
    for text, words in {
        "landmark_id,landmark_name\nx,X\n": "none of the gallery's 3 landmarks",
        "landmark_id,latitude,longitude\na,91,0\n": "no number of degrees",
        "name\nx\n": "no column landmark_id",
    }.items():
        facts.write_text(text, encoding="utf-8")
        with pytest.raises(CairnError, match=words):
            call("gallery", "describe", gallery, facts)
    facts.write_text("landmark_id,category\na,tower\n", encoding="utf-8")
    assert "describe (from: " in call("gallery", "describe", gallery, facts).stdout
    assert Gallery.load(gallery).landmark("a").category == "tower"
    with pytest.raises(CairnError, match="says all of this already"):
        call("gallery", "describe", gallery, facts)
