"""``cairn gallery check``: one command to a folder of findings; the gallery stays as it was."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from cairn.checkpoint import model_fingerprint, save_model
from cairn.cli.gallery import app
from cairn.cli.gallery_check import check
from cairn.config import ModelConfig, Preprocess
from cairn.doctor import CheckRule
from cairn.errors import CairnError
from cairn.gallery import Gallery, keep_penalty
from cairn.model import build
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=8,
    preprocess=Preprocess(image_size=32),
)


def call(*arguments: object, ok: bool = True) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if ok and result.exception is not None:
        raise result.exception
    return result


@pytest.fixture
def gallery(tmp_path: Path) -> Path:
    """Two landmarks of five images, one of which bears the wrong label, and a copy of another."""
    torch.manual_seed(0)
    save_model(tmp_path / "model", build(CONFIG), CONFIG)
    rng = np.random.default_rng(0)
    vectors = np.zeros((11, 8), np.float32)
    vectors[:5, 0] = vectors[5:, 1] = 1
    vectors[4] = (0, 1, 0, 0, 0, 0, 0, 0)
    vectors += rng.normal(0, 0.15, vectors.shape).astype(np.float32)
    vectors[10] = vectors[6]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    EmbeddingTable(
        [f"i{row}" for row in range(11)],
        ["a"] * 5 + ["b"] * 6,
        [f"/photographs/{row}.jpg" for row in range(11)],
        vectors,
        model_fingerprint(tmp_path / "model"),
    ).write(tmp_path / "embeddings")
    out = tmp_path / "gallery"
    Gallery.build(tmp_path / "embeddings", tmp_path / "model", out)
    return out


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_it_says_what_to_do_and_changes_nothing(gallery: Path, tmp_path: Path) -> None:
    before = contents(gallery)
    said = call("check", gallery, "-o", tmp_path / "check").stdout
    assert "1 image looks like another landmark throughout" in said
    assert "1 image is a copy of another one" in said
    assert said.splitlines()[-1] == f"open {tmp_path / 'check' / 'checkup.html'}"
    assert contents(gallery) == before


def test_json_has_findings_and_options_reach_the_rule(gallery: Path, tmp_path: Path) -> None:
    options = ["--near", "0.5", "--outlier-neighbors", "2", "--num-neighbors", "6"]
    done = call(
        *("check", gallery, "-o", tmp_path / "check", *options),
        *("--merge", "0.9", "--shown", "3", "--device", "cpu", "--json"),
    )
    report = json.loads(done.stdout)
    assert report["rule"] == {
        "near": 0.5,
        "merge": 0.9,
        "min_votes": 2,
        "outlier_neighbors": 2,
        "outlier_images": 3,
        "num_neighbors": 6,
        "shown": 3,
    }
    (outlier,) = report["lists"]["outliers"]["shown"]
    assert (outlier["image_id"], outlier["other_landmark_id"]) == ("i4", "b")
    assert report["counts"]["redundant_copies"] == 1
    assert Path(report["page"]).is_file()


def test_the_suggested_commands_do_what_they_say(gallery: Path, tmp_path: Path) -> None:
    report = json.loads(call("check", gallery, "-o", tmp_path / "check", "--json").stdout)
    steps = {step["name"]: shlex.split(step["command"]) for step in report["first"]}
    assert steps["outliers"] == ["cairn", "gallery", "remove", str(gallery), "i4"]
    assert steps["redundant"][-1] == str(tmp_path / "check" / "redundant-copies.txt")
    for name in ("outliers", "redundant"):
        call(*steps[name][2:])
    assert Gallery.load(gallery).table.image_ids == [f"i{n}" for n in (0, 1, 2, 3, 5, 6, 7, 8, 9)]
    again = json.loads(call("check", gallery, "-o", tmp_path / "again", "--json").stdout)
    assert (report["gallery"]["version"], again["gallery"]["version"]) == (1, 3)
    assert again["first"] == []


def test_a_landmark_under_two_ids_is_merged_by_the_suggested_command(
    gallery: Path, tmp_path: Path
) -> None:
    table = Gallery.load(gallery).table
    noise = np.random.default_rng(1).normal(0, 0.08, (2, 8)).astype(np.float32)
    twins = table.vectors[5:7] + noise
    twins /= np.linalg.norm(twins, axis=1, keepdims=True)
    added = EmbeddingTable(["-x", "y"], ["-b"] * 2, ["x", "y"], twins, table.fingerprint)
    added.write(tmp_path / "more")
    call("add", gallery, tmp_path / "more")
    options = ("--near", "0.999999", "--merge", "0.5")
    done = call("check", gallery, "-o", tmp_path / "check", *options, "--json")
    (pair, *_) = json.loads(done.stdout)["lists"]["collisions"]["shown"]
    assert (pair["verdict"], pair["landmark_id_a"], pair["landmark_id_b"]) == ("merge", "-b", "b")
    call(*shlex.split(pair["command"])[2:])
    assert set(Gallery.load(gallery).table.landmark_ids) == {"a", "b"}


def test_what_attracts_non_landmarks_is_left_out_where_it_is_not_wanted(
    gallery: Path, tmp_path: Path
) -> None:
    table = Gallery.load(gallery).table
    bank = EmbeddingTable(
        [f"n{n}" for n in range(4)],
        [""] * 4,
        ["n"] * 4,
        np.repeat(table.vectors[[2]], 4, axis=0),
        table.fingerprint,
    )
    keep_penalty(gallery, bank, top=1, min_n=2, max_n=4)
    report = json.loads(call("check", gallery, "-o", tmp_path / "with", "--json").stdout)
    assert [row["image_id"] for row in report["lists"]["attracting"]["shown"]] == ["i2"]
    options = ("--no-penalty", "--json")
    report = json.loads(call("check", gallery, "-o", tmp_path / "without", *options).stdout)
    assert "attracting" not in report["lists"]


def test_the_help_states_the_defaults_of_the_rule() -> None:
    text = " ".join(call("check", "--help").stdout.replace("│", " ").split())
    for name in inspect.signature(check).parameters:
        default = getattr(CheckRule(), name, None)
        if default is not None:
            option = text[text.index("--" + name.replace("_", "-")) :]
            stated = re.search(r"([\d.]+) by default", option)
            assert stated, name
            assert float(stated[1].rstrip(".")) == default, name


def test_bad_input_is_refused_with_what_to_do(gallery: Path, tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="near must lie"):
        call("check", gallery, "-o", tmp_path / "check", "--near", "2")
    with pytest.raises(CairnError, match="no device"):
        call("check", gallery, "-o", tmp_path / "check", "--device", "abacus")
    with pytest.raises(CairnError):
        call("check", tmp_path / "model", "-o", tmp_path / "check")
    assert not list((tmp_path).glob("check/*.html"))
