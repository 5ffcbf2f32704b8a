"""A recipe of stages, or an export of the model, behind the server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from cairn.checkpoint import save_model
from cairn.cli.app import app
from cairn.domain import Prediction
from cairn.errors import CairnError
from cairn.export import export_model
from cairn.manifest import Manifest
from cairn.model import build
from cairn.recognize import Recognizer
from cairn.serve.answering import Answer
from cairn.serve.app import create_app
from cairn.serve.server import Server
from cairn.serve.settings import ServeSettings
from cairn.serve.shapes import prediction_out
from measuring.small_gallery import CONFIG, jpeg, make_gallery, serving

ONLINE = """num_hits = 20
[[stages]]
stage = "penalty"
[[stages]]
stage = "sum-votes"
"""
WITHOUT = """num_hits = 20
[[stages]]
stage = "sum-votes"
"""
VERIFY = '[[stages]]\nstage = "verify"\nnum_hits = 5\n'
BATCH = '[[stages]]\nstage = "best-vote"\n[[stages]]\nstage = "demote"\nmost = 2\n'
QUICK = ("--backend", "torch", "--device", "cpu")


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory, pictures: Manifest) -> Path:
    root = tmp_path_factory.mktemp("served")
    for name, text in (("on", ONLINE), ("off", WITHOUT), ("verify", VERIFY), ("batch", BATCH)):
        (root / f"{name}.toml").write_text(text, encoding="utf-8")
    return make_gallery(root, pictures)


def expected(gallery: Path, recipe: str, paths: list[Path]) -> list[Prediction]:
    stages = gallery.parent / f"{recipe}.toml"
    loaded = Recognizer.load(gallery, stages=stages, backend="torch", device="cpu")
    return loaded.batch([path.read_bytes() for path in paths]).predictions


def answers(client: TestClient, paths: list[Path], query: str = "") -> Any:
    files = [("image", (path.name, path.read_bytes())) for path in paths]
    return client.post(f"/v1/recognize{query}", files=files).json()["predictions"]


def assert_same(found: Any, wanted: list[Prediction]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one["landmark"]["landmark_id"] == other.landmark_id
        assert one["confidence"] == pytest.approx(other.confidence, abs=1e-6)
        assert one["probability"] == other.probability
        assert [e["image_id"] for e in one["evidence"]] == [e.image_id for e in other.evidence]
        costs = [e["penalty"] for e in one["evidence"]]
        assert costs == pytest.approx([e.penalty for e in other.evidence])


def test_a_recipe_answers_and_its_calibration_judges(gallery: Path, pictures: Manifest) -> None:
    paths = list(pictures.select("query").paths)[:7]
    recipe = gallery.parent / "on.toml"
    manifest = str(pictures.root / "manifest.parquet")
    wishes = ["--stages", str(recipe), "--false-accept", "0.2", *QUICK]
    words = ["calibrate", str(gallery), manifest, *wishes]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    with serving(gallery, stages=recipe) as client:
        about = client.get("/v1/gallery").json()
        assert about["stages"] == ["penalty", "sum-votes"]
        assert about["calibration"]["false_accept_rate"] == 0.2
        found = answers(client, paths)
        assert_same(found, expected(gallery, "on", paths))
        assert {one["verdict"] for one in found} <= {"known", "unknown"}
        assert all(one["penalty"]["applied"] for one in found)
        plain = answers(client, paths, "?penalty=false")
        assert_same(plain, wanted := expected(gallery, "off", paths))
        assert not any(one["penalty"]["applied"] or one["verdict"] for one in plain)
        for one, other in zip(answers(client, paths, "?explain=true"), wanted, strict=True):
            assert one["penalty"]["landmark_id_without"] == other.landmark_id
            assert one["penalty"]["similarity_without"] == pytest.approx(other.confidence, abs=1e-6)
        snapshot = client.app.state.server.current  # type: ignore[attr-defined]
        nothing = Answer(np.zeros(16, np.float32), Prediction("", None, 0.0))
        told = prediction_out(nothing, "a", snapshot)
        assert (told.landmark, told.verdict, told.evidence) == (None, "unknown", [])


def test_a_recipe_without_a_penalty_takes_none_off(gallery: Path, pictures: Manifest) -> None:
    paths = list(pictures.select("query").paths)[:3]
    with serving(gallery, stages=gallery.parent / "off.toml") as client:
        (one, *_) = answers(client, paths)
        assert one["penalty"]["applied"] is False
        assert one["verdict"] is None


def test_photographs_are_matched(gallery: Path, pictures: Manifest) -> None:
    pytest.importorskip("cv2")
    paths = list(pictures.select("query").paths)[:3]
    with serving(gallery, stages=gallery.parent / "verify.toml") as client:
        assert_same(answers(client, paths), expected(gallery, "verify", paths))
        wide = jpeg(1, side=2200)  # is shrunk before it waits
        ask = client.post("/v1/recognize", content=wide, headers={"content-type": "image/jpeg"})
        assert ask.json()["predictions"][0]["error"] is None


def test_a_recipe_that_needs_a_batch_is_refused_before_anything_is_loaded(gallery: Path) -> None:
    with pytest.raises(CairnError, match="stage 'demote' cannot answer one photograph"):
        Server(gallery, ServeSettings(stages=gallery.parent / "batch.toml"))
    with pytest.raises(CairnError, match="file not found"):
        Server(gallery, ServeSettings(stages=gallery.parent / "none.toml"))


def test_an_export_embeds_in_the_model_s_place(
    gallery: Path, pictures: Manifest, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    export_model(gallery.parent / "model", tmp_path / "export")
    photo = pictures.select("query").paths[0]
    wanted = Recognizer.load(gallery, backend="torch", device="cpu")(photo)
    server = Server(gallery, ServeSettings(model=tmp_path / "export"), device="cpu")
    with TestClient(create_app(server), base_url="http://localhost") as client:
        assert "(export)" in client.get("/v1/gallery").json()["runs_on"]
        (one,) = answers(client, [photo])
        assert one["landmark"]["landmark_id"] == wanted.landmark_id
        assert one["confidence"] == pytest.approx(wanted.confidence, abs=0.01)
        form = {"image": ("a.jpg", jpeg(5))}
        assert client.post("/v1/landmarks/new/images?create=true", files=form).status_code == 200
        # An int8 export has a fingerprint of its own and stands in for queries alone.
        runtime = server.current.recognizer.runtime
        object.__setattr__(runtime, "fingerprint", "another")
        form = {"image": ("a.jpg", jpeg(6))}
        refused = client.post("/v1/landmarks/new/images?create=true", files=form)
        assert (refused.status_code, "int8 export" in refused.json()["what"]) == (409, True)
    server = Server(gallery, ServeSettings(model=_other(tmp_path)), device="cpu")
    with pytest.raises(CairnError, match="made by model"):
        server.living.start()


def _other(root: Path) -> Path:
    """Return a model that is not the gallery's."""
    save_model(root / "other", build(CONFIG), CONFIG)
    return root / "other"
