from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from cairn import conversion, execution
from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Recipe
from cairn.domain import Float32
from cairn.embed import embed
from cairn.errors import CairnError
from cairn.export import LEAST_COSINE, export_model
from cairn.export.parity import measure_parity
from cairn.exported import Exported, read_export, write_export
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.model import build
from cairn.recognize import Recognizer, recognize_manifest
from cairn.runtime import load_runtime, sample_input


@pytest.fixture(scope="module")
def model_dir(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tiny_recipe.model, tmp_path_factory.mktemp("model") / "m")


def save(config: ModelConfig, folder: Path) -> Path:
    torch.manual_seed(0)
    save_model(folder, build(config), config)
    return folder


@pytest.fixture(scope="module")
def gallery(
    model_dir: Path, pictures: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> Gallery:
    folder = tmp_path_factory.mktemp("gallery")
    embed(model_dir, pictures.gallery(), folder / "table", backend="torch")
    return Gallery.build(folder / "table", model_dir, folder / "gallery")


@pytest.fixture(scope="module")
def float32(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "onnx"
    export_model(model_dir, folder)
    return folder


@pytest.fixture(scope="module")
def int8(
    model_dir: Path,
    pictures: Manifest,
    gallery: Gallery,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("export") / "int8"
    export_model(
        model_dir, folder, int8=True, manifest=pictures, gallery=gallery, max_loss=1, tolerance=0.5
    )
    return folder


def cosines(ours: Path, theirs: Path, backend: str = "auto") -> Float32:
    run, plain = load_runtime(ours, backend=backend), load_runtime(theirs, backend="torch")
    images = sample_input(run.preprocess)
    found: Float32 = (run(images) * plain(images)).sum(axis=1)
    return found


def test_an_onnx_file_says_what_it_is_and_takes_any_batch(model_dir: Path, float32: Path) -> None:
    network = onnx.load(float32 / "model.onnx")
    onnx.checker.check_model(network)
    (entry,) = network.graph.input
    assert entry.name == "images"
    assert [d.dim_param or d.dim_value for d in entry.type.tensor_type.shape.dim][1:] == [3, 32, 32]
    assert entry.type.tensor_type.shape.dim[0].dim_param
    assert {one.domain: one.version for one in network.opset_import}[""] == 18
    exported = read_export(float32)
    told = {one.key: one.value for one in network.metadata_props}
    assert told["cairn_model"] == exported.source == model_fingerprint(model_dir)
    assert json.loads(told["cairn_preprocess"])["image_size"] == 32


@pytest.mark.parametrize("backend", ["auto", "onnx", "openvino"])
def test_an_onnx_export_runs_on_either_engine(model_dir: Path, float32: Path, backend: str) -> None:
    assert cosines(float32, model_dir, backend).min() > 0.999
    run = load_runtime(float32, backend=backend)
    assert run.fingerprint == model_fingerprint(model_dir)
    assert ("OpenVINO" if backend == "openvino" else "ONNX Runtime") in run.description
    assert "export" in run.description


def test_an_openvino_export_runs_and_is_whole_in_float32(model_dir: Path, tmp_path: Path) -> None:
    made = export_model(model_dir, tmp_path / "ov", form="openvino")
    assert set(made.files) == {"model.xml", "model.bin", "probes.safetensors"}
    assert made.parity["min_cosine"] > 0.9999
    assert cosines(tmp_path / "ov", model_dir).min() > 0.999
    with pytest.raises(CairnError, match="is for OpenVINO"):
        load_runtime(tmp_path / "ov", backend="onnx")
    weights = (tmp_path / "ov" / "model.bin").stat().st_size
    assert weights > 0.8 * (model_dir / "model.safetensors").stat().st_size  # not halved


def test_parity_is_of_every_batch_and_stated(float32: Path) -> None:
    told = read_export(float32)
    assert told.parity["batches"] == [1, 2, 7]
    assert told.parity["num_probes"] >= 7
    assert 0.9999 < told.parity["min_cosine"] <= 1.000001
    assert told.parity["max_difference"] < 1e-4
    card = (float32 / "README.md").read_text("utf-8")
    for word in (told.source, "opset 18", "1, 2, 7", "(batch, 3, 32, 32)"):
        assert word in card


def test_a_network_that_is_not_the_model_is_refused_and_leaves_nothing(
    model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cairn.export import export

    honest = execution.onnx_forward

    def spoiled(path: Path) -> Callable[[Float32], Float32]:
        forward = honest(path)
        return lambda images: np.roll(forward(images), 1, axis=1)

    monkeypatch.setattr(export, "onnx_forward", spoiled)
    with pytest.raises(CairnError, match="not the model's: least cosine"):
        export_model(model_dir, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_parity_sees_a_fault_in_one_size_of_batch() -> None:
    vectors = np.eye(8, dtype=np.float32)[:7]

    def only_small(images: Float32) -> Float32:
        found = vectors[images[:, 0].astype(int)]
        return np.roll(found, 1, axis=1) if len(images) == 7 else found

    images = np.arange(7, dtype=np.float32)[:, None]
    with pytest.raises(CairnError, match="not the model's"):
        measure_parity(only_small, images, vectors, tolerance=0.9)

    def of_one(images: Float32) -> Float32:
        found: Float32 = vectors[images[:1, 0].astype(int)]
        return found

    with pytest.raises(CairnError, match="a batch of 2 gives"):
        measure_parity(of_one, images, vectors, tolerance=0.9)
    right = measure_parity(lambda x: vectors[x[:, 0].astype(int)], images, vectors, tolerance=0.9)
    assert (right.min_cosine, right.max_difference, right.num_probes) == (1.0, 0.0, 7)


def test_a_gallery_takes_queries_by_a_float32_export(
    gallery: Gallery, float32: Path, pictures: Manifest, tmp_path: Path
) -> None:
    own = Recognizer.load(gallery.location, backend="torch")
    exported = Recognizer.load(gallery.location, model_dir=float32)
    paths = list(pictures.select("query").paths)
    for one, two in zip(
        own.batch(paths).predictions, exported.batch(paths).predictions, strict=True
    ):
        assert one.landmark_id == two.landmark_id
        assert one.confidence == pytest.approx(two.confidence, abs=1e-4)
    answers = recognize_manifest(pictures, gallery, tmp_path / "e", model_dir=float32)
    assert len(answers.predictions) == len(paths)


def test_a_gallery_may_be_built_by_an_export_and_lives_with_it(
    float32: Path, pictures: Manifest, tmp_path: Path
) -> None:
    embed(float32, pictures.gallery(), tmp_path / "table")
    made = Gallery.build(tmp_path / "table", float32, tmp_path / "gallery")
    assert (made.model_dir / "model.onnx").is_file()
    answer = Recognizer.load(tmp_path / "gallery")(pictures.gallery().paths[0])
    assert answer.evidence[0].similarity == pytest.approx(1, abs=1e-4)


def test_int8_is_another_model_with_its_loss_of_gap(
    model_dir: Path, int8: Path, gallery: Gallery, pictures: Manifest
) -> None:
    told = read_export(int8)
    assert told.fingerprint != told.source == model_fingerprint(model_dir)
    assert model_fingerprint(int8) == told.fingerprint
    assert told.facts["num_calibration"] == len(pictures.select("train")) < 200
    assert told.loss is not None
    assert told.loss["lost"] == pytest.approx(told.loss["gap_before"] - told.loss["gap_after"])
    assert told.loss["low"] <= told.loss["lost"] <= told.loss["high"]
    assert told.loss["num_queries"] == len(pictures.select("query"))
    assert told.loss["gallery"] == gallery.content_key
    ops = {node.op_type for node in onnx.load(int8 / "model.onnx").graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= ops
    found = cosines(int8, model_dir)
    assert 0.5 < found.min() < 0.999999  # near, and no longer the same
    assert "lost" in (int8 / "README.md").read_text("utf-8")


def test_int8_runs_on_openvino_too(int8: Path, model_dir: Path, tmp_path: Path) -> None:
    assert cosines(int8, model_dir, "openvino").min() > 0.5
    assert "int8" in load_runtime(int8).description


def change_loss(folder: Path, out: Path, loss: dict[str, object] | None) -> Path:
    out.mkdir()
    for path in folder.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    exported = read_export(out)
    merged = None if loss is None else {**(exported.loss or {}), **loss}
    write_export(out, replace(exported, loss=merged))
    return out


def test_a_float32_gallery_takes_int8_only_where_the_loss_was_measured_and_allowed(
    int8: Path, gallery: Gallery, pictures: Manifest, tmp_path: Path
) -> None:
    allowed = Recognizer.load(gallery.location, model_dir=int8)
    assert allowed(pictures.gallery().paths[0]).landmark_id == pictures.gallery().landmark_ids[0]
    never = change_loss(int8, tmp_path / "never", None)
    with pytest.raises(CairnError, match="was not measured") as caught:
        Recognizer.load(gallery.location, model_dir=never)
    assert "--gallery" in caught.value.todo
    much = change_loss(int8, tmp_path / "much", {"lost": 0.03, "allowed": 0.01})
    with pytest.raises(CairnError, match=r"is 0\.0300, above 0\.01"):
        recognize_manifest(pictures, gallery, tmp_path / "e", model_dir=much)
    assert not (tmp_path / "e").exists()
    with pytest.raises(CairnError, match="the gallery was made by model"):
        Recognizer(gallery, load_runtime(never))


def test_an_export_of_another_model_is_refused(
    gallery: Gallery, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    config = tiny_recipe.model.model_copy(update={"gc": False})
    export_model(save(config, tmp_path / "other"), tmp_path / "out")
    with pytest.raises(CairnError, match="the gallery was made by model"):
        Recognizer.load(gallery.location, model_dir=tmp_path / "out")


def test_a_changed_file_is_refused(float32: Path, tmp_path: Path) -> None:
    copy = change_loss(float32, tmp_path / "copy", None)
    with (copy / "model.onnx").open("ab") as handle:
        handle.write(b" ")
    with pytest.raises(CairnError, match=r"model\.onnx .* not the one it was written with"):
        load_runtime(copy)
    (copy / "model.onnx").unlink()
    with pytest.raises(CairnError, match=r"model\.onnx of this export is missing"):
        load_runtime(copy)
    (copy / "export.json").write_text('{"format": 9}')
    with pytest.raises(CairnError, match="not what an export of format 1 says"):
        load_runtime(copy)


def test_an_export_that_gives_something_else_here_is_refused(
    float32: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cairn import runtime

    honest = execution.onnx_forward
    monkeypatch.setattr(
        runtime, "onnx_forward", lambda path: lambda images: np.roll(honest(path)(images), 1, 1)
    )
    with pytest.raises(CairnError, match="does not give here what it gave"):
        load_runtime(float32)


def test_an_export_has_no_pytorch_and_no_gpu(float32: Path) -> None:
    for wish in ({"backend": "torch"}, {"device": "cuda"}):
        with pytest.raises(CairnError, match="an export runs on the CPU") as caught:
            load_runtime(float32, **wish)
        assert "model folder" in caught.value.todo


def test_wrong_wishes_are_refused_before_work(
    model_dir: Path,
    float32: Path,
    gallery: Gallery,
    pictures: Manifest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(match: str, *args: Path, **wishes: object) -> CairnError:
        with pytest.raises(CairnError, match=match) as caught:
            export_model(*args, **wishes)  # type: ignore[arg-type]
        return caught.value

    out = tmp_path / "out"
    assert "onnx" in refuse("unknown format 'onxn'", model_dir, out, form="onxn").todo
    refuse("place is taken", model_dir, float32)
    refuse("export already", float32, out)
    refuse("not a model folder", tmp_path, out)
    assert "--data" in refuse("int8 needs photographs", model_dir, out, int8=True).todo
    refuse("no GAP is lost", model_dir, out, gallery=gallery)
    queries = pictures.select("query")
    refuse("at least 8 readable", model_dir, out, int8=True, manifest=queries)
    refuse("num_calibration", model_dir, out, int8=True, manifest=pictures, num_calibration=2)
    monkeypatch.setattr(conversion, "find_spec", lambda name: None)
    missing = refuse("onnx and onnxscript and onnxruntime are not installed", model_dir, out)
    assert missing.todo == "pip install 'cairn-landmarks[export]'"
    with pytest.raises(CairnError, match="not installed"):
        load_runtime(model_dir, backend="onnx")
    assert not out.exists()


def test_what_an_export_may_stand_for() -> None:
    parts = {"form": "onnx", "source": "a", "files": {}, "parity": {}, "facts": {}}
    whole = Exported(precision="float32", fingerprint="a", **parts)  # type: ignore[arg-type]
    assert whole.stands_for == "a"
    small = replace(whole, precision="int8", fingerprint="b")
    assert small.stands_for == ""
    assert replace(small, loss={"lost": 0.01, "allowed": 0.01}).stands_for == "a"
    assert replace(small, loss={"lost": 0.011, "allowed": 0.01}).stands_for == ""
    assert replace(small, loss={"lost": -0.1, "allowed": 0}).stands_for == "a"


def test_bounds_are_stated() -> None:
    assert LEAST_COSINE == {"float32": 0.9999, "int8": 0.9}
