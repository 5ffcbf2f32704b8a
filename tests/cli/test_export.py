"""``cairn export``, ``cairn attention`` and ``cairn recognize --model`` as a person calls them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from cairn import conversion
from cairn.checkpoint import model_fingerprint, save_model
from cairn.cli.app import app
from cairn.config import Recipe
from cairn.embed import embed, encode_all
from cairn.errors import CairnError
from cairn.exported import read_export
from cairn.gallery import Gallery
from cairn.joint import Joint, write_joint
from cairn.manifest import Manifest
from cairn.model import build
from cairn.runtime import load_runtime


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def refused(*arguments: object) -> CairnError:
    """Return the fault that the command tells."""
    with pytest.raises(CairnError) as caught:
        call(*arguments)
    return caught.value


@pytest.fixture(scope="module")
def place(
    pictures: Manifest, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a model, another one, the first one's gallery, and the manifest."""
    folder = tmp_path_factory.mktemp("export")
    for name, seed in (("model", 0), ("other", 1)):
        torch.manual_seed(seed)
        save_model(folder / name, build(tiny_recipe.model), tiny_recipe.model)
    embed(folder / "model", pictures.gallery(), folder / "table", backend="torch")
    Gallery.build(folder / "table", folder / "model", folder / "gallery")
    pictures.write(folder / "manifest.parquet")
    call("export", folder / "model", "-o", folder / "onnx")
    write_joint(
        folder / "joint", Joint(("a", "b"), (0.5, 0.5)), [folder / "model", folder / "other"]
    )
    return folder


def int8_words(place: Path, out: Path, *more: object) -> list[object]:
    data = place / "manifest.parquet"
    words = ["export", place / "model", "-o", out, "--int8", "--data", data, "--tolerance", 0.5]
    return [*words, *more]


@pytest.fixture(scope="module")
def unmeasured(place: Path) -> Path:
    call(*int8_words(place, place / "unmeasured"))
    return place / "unmeasured"


def query(pictures: Manifest) -> Path:
    return pictures.select("query").paths[0]


def landmark(place: Path, photograph: Path, *more: object) -> tuple[str, float]:
    told = json.loads(call("recognize", place / "gallery", photograph, *more, "--json"))
    (answer,) = told["predictions"]
    return answer["landmark_id"], answer["confidence"]


def test_an_export_answers_in_place_of_the_gallery_s_model(place: Path, pictures: Manifest) -> None:
    assert onnx.load(place / "onnx" / "model.onnx").graph.input[0].name == "images"
    own = landmark(place, query(pictures))
    exported = landmark(place, query(pictures), "--model", place / "onnx")
    assert exported[0] == own[0]
    assert exported[1] == pytest.approx(own[1], abs=1e-4)


def test_openvino_says_what_it_wrote(place: Path, pictures: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "ov"
    told = json.loads(call("export", place / "model", "-o", out, "--format", "openvino", "--json"))
    fingerprint = model_fingerprint(place / "model")
    assert told["export"] == str(out)
    assert told["source"] == told["fingerprint"] == told["stands_for"] == fingerprint
    assert told["parity"]["min_cosine"] > 0.9999
    assert sorted(told["files"]) == ["model.bin", "model.xml", "probes.safetensors"]
    assert landmark(place, query(pictures), "--model", out)[0]
    fault = refused(
        "recognize", place / "gallery", query(pictures), "--model", out, "--backend", "onnx"
    )
    assert fault.what == "this export is for OpenVINO"


def test_a_person_reads_parity_and_what_comes_next(place: Path, tmp_path: Path) -> None:
    lines = call("export", place / "model", "-o", tmp_path / "out").splitlines()
    assert lines[0] == f"onnx float32: {tmp_path / 'out' / 'model.onnx'}"
    assert lines[1].startswith("beside float32 PyTorch: least cosine 1.000000, largest difference ")
    assert lines[2] == f"next: cairn recognize gallery photo.jpg --model {tmp_path / 'out'}"


@pytest.mark.parametrize(
    ("words", "what", "todo"),
    [
        (["model", "-o", "onnx"], "place is taken", ""),
        (["model", "-o", "new", "--format", "onxn"], "unknown format 'onxn'", "onnx"),
        (["model", "-o", "new", "--int8"], "int8 needs photographs", "--data"),
        (["model", "-o", "new", "--max-loss", "1"], "are for --int8", "--int8"),
        (["model", "-o", "new", "--data", "manifest.parquet"], "are for --int8", "--int8"),
        (["model", "-o", "new", "--gallery", "gallery"], "no GAP is lost", "--int8"),
        (["onnx", "-o", "new"], "this is an export already", "model folder"),
        (["table", "-o", "new"], "not a model folder", ""),
        (["joint", "-o", "new"], "several networks, and an export is one", "members/"),
        (
            [
                *("other", "-o", "new", "--int8", "--data", "manifest.parquet"),
                *("--gallery", "gallery"),
            ],
            "the gallery was made by model",
            "own model",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(
    place: Path, words: list[str], what: str, todo: str
) -> None:
    fault = refused(
        "export",
        *(place / word if (place / word).exists() or word == "new" else word for word in words),
    )
    assert what in fault.what
    assert todo in fault.todo
    assert not (place / "new").exists()


def test_without_the_extra_it_says_how_to_install_it(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "find_spec", lambda name: None)
    for form in ("onnx", "openvino"):
        fault = refused("export", place / "model", "-o", tmp_path / "out", "--format", form)
        assert "not installed" in fault.what
        assert fault.todo == "pip install 'cairn-landmarks[export]'"
    assert list(tmp_path.iterdir()) == []


def test_a_gallery_refuses_int8_that_was_not_measured(
    place: Path, unmeasured: Path, pictures: Manifest
) -> None:
    fault = refused("recognize", place / "gallery", query(pictures), "--model", unmeasured)
    assert "its loss of GAP was not measured" in fault.what
    assert "--gallery" in fault.todo


def test_a_gallery_takes_int8_within_the_loss_that_was_allowed(
    place: Path, pictures: Manifest, tmp_path: Path
) -> None:
    out, words = tmp_path / "measured", ("--gallery", place / "gallery", "--max-loss")
    told = call(*int8_words(place, out, *words, 1))
    assert "queries: " in told
    assert f"next: cairn recognize gallery photo.jpg --model {out}" in told
    assert landmark(place, query(pictures), "--model", out)[0]
    loss = read_export(out).loss
    assert loss is not None
    assert loss["allowed"] == 1
    assert loss["num_queries"] == len(pictures.select("query"))


def test_int8_for_openvino_is_int8_and_near(place: Path, unmeasured: Path, tmp_path: Path) -> None:
    out = tmp_path / "ov8"
    told = json.loads(call(*int8_words(place, out, "--format", "openvino", "--json")))
    assert (told["form"], told["precision"], told["stands_for"]) == ("openvino", "int8", "")
    assert told["parity"]["min_cosine"] > 0.5
    assert told["facts"]["num_calibration"] == read_export(unmeasured).facts["num_calibration"]
    assert 'type="FakeQuantize"' in (out / "model.xml").read_text("utf-8")
    plain = tmp_path / "plain"
    call("export", place / "model", "-o", plain, "--format", "openvino")
    assert (out / "model.bin").stat().st_size < (plain / "model.bin").stat().st_size


def test_an_export_of_another_model_is_refused(
    place: Path, pictures: Manifest, tmp_path: Path
) -> None:
    call("export", place / "other", "-o", tmp_path / "out")
    gone = tmp_path / "answers.csv"
    words: tuple[Any, ...] = ("recognize", place / "gallery", place / "manifest.parquet")
    for wrong in (tmp_path / "out", place / "other"):
        fault = refused(*words, "--model", wrong, "-o", gone)
        assert "the gallery was made by model" in fault.what
    assert not gone.exists()


def test_attention_draws_a_gallery_s_match(place: Path, pictures: Manifest, tmp_path: Path) -> None:
    out = tmp_path / "looked"
    told = json.loads(call("attention", place / "gallery", query(pictures), "-o", out, "--json"))
    assert Path(told["match"]) in pictures.gallery().paths
    assert {*told["files"], "attention.json"} == {path.name for path in out.iterdir()}
    assert {"sheet.png", "stage1.png", "similarity.png", "match.png"} <= set(told["files"])
    written = json.loads((out / "attention.json").read_text("utf-8"))
    assert written["similarity"] == told["similarity"]
    _, confidence = landmark(place, query(pictures))
    assert told["similarity"] == pytest.approx(confidence, abs=1e-3)


def test_attention_of_a_model_with_views_is_of_them_all(
    place: Path, pictures: Manifest, tmp_path: Path
) -> None:
    call("model", "views", place / "model", "-o", tmp_path / "views", "--flip", "--scales", "1,1.5")
    other = pictures.gallery().paths[0]
    words = ("--match", other, "--json")
    found = {
        name: json.loads(call("attention", model, query(pictures), "-o", tmp_path / name, *words))[
            "similarity"
        ]
        for name, model in (("one", place / "model"), ("several", tmp_path / "views"))
    }
    runtime = load_runtime(tmp_path / "views", backend="torch", device="cpu")
    one, two = encode_all(runtime, [query(pictures), other]).vectors
    assert found["several"] == pytest.approx(float(one @ two), abs=1e-4)
    assert found["one"] != pytest.approx(found["several"], abs=1e-4)


def test_attention_refuses_what_it_cannot_show(
    place: Path, pictures: Manifest, tmp_path: Path
) -> None:
    def fault(*words: object) -> CairnError:
        return refused("attention", *words, "-o", tmp_path / "out")

    photograph = query(pictures)
    assert "an export shows no maps" in fault(place / "onnx", photograph).what
    assert "a joint model is several networks" in fault(place / "joint", photograph).what
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    assert "cannot be read" in fault(place / "model", broken).what
    assert "cannot be read" in fault(place / "gallery", broken).what
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "out" / "kept.png")
    assert "place is taken" in fault(place / "model", photograph).what


def test_attention_asks_for_a_match_that_has_moved(
    place: Path, pictures: Manifest, tmp_path: Path
) -> None:
    away = tmp_path / "photographs"
    shutil.copytree(pictures.root, away)
    moved = Manifest(pictures.table, away)
    embed(place / "model", moved.gallery(), tmp_path / "table", backend="torch")
    Gallery.build(tmp_path / "table", place / "model", tmp_path / "gallery")
    shutil.rmtree(away)
    words = ("attention", tmp_path / "gallery", query(pictures), "-o", tmp_path / "out")
    fault = refused(*words)
    assert "not where the gallery says" in fault.what
    assert "--match" in fault.todo
    assert call(*words, "--match", pictures.gallery().paths[0])
