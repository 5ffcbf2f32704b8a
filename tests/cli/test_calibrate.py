"""``cairn calibrate`` as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from cairn.calibration import Calibration
from cairn.checkpoint import save_model
from cairn.cli.app import app
from cairn.config import ModelConfig, Preprocess
from cairn.embed import embed
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.gallery.calibrations import calibration_of
from cairn.manifest import Manifest
from cairn.model import build
from cairn.submission import read_submission

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
)


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


@pytest.fixture
def gallery(pictures: Manifest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(tmp_path / "model", build(CONFIG), CONFIG)
    embed(tmp_path / "model", pictures.gallery(), tmp_path / "embeddings", backend="torch")
    Gallery.build(tmp_path / "embeddings", tmp_path / "model", tmp_path / "gallery")
    return tmp_path / "gallery"


def test_it_prints_keeps_and_draws(gallery: Path, pictures: Manifest, tmp_path: Path) -> None:
    manifest = pictures.root / "manifest.parquet"
    wishes = ("--false-accept", "0.2", "--backend", "torch")
    text = call("calibrate", gallery, manifest, *wishes, "-o", tmp_path / "figures")
    assert "27 queries, 12 of them unknown to the gallery" in text
    for name in ("ECE", "Brier", "AUROC", "FPR at 95 % TPR", "OSCR", "threshold on chance"):
        assert name in text
    kept = calibration_of(Gallery.load(gallery))
    assert (len(kept.judged), kept.false_accept_rate) == (27, 0.2)
    assert kept.facts["manifest"] == pictures.select("query").fingerprint
    written = Calibration.read(tmp_path / "figures" / "calibration.json")
    assert written.to_json() == kept.to_json()
    report = json.loads((tmp_path / "figures" / "report.json").read_text(encoding="utf-8"))
    assert report["num_unknown"] == 12
    assert (tmp_path / "figures" / "reliability.png").is_file()
    assert (tmp_path / "figures" / "oscr.png").is_file()
    assert not list((gallery / "work").iterdir())
    value = json.loads(call("calibrate", gallery, manifest, *wishes, "--json"))
    assert value["threshold"]["value"] == kept.threshold().value
    assert Path(value["calibration"]).is_file()
    query = next(str(path) for path in pictures.select("query").paths)
    text = call("recognize", gallery, query, "--backend", "torch", "--top", "1")
    assert text.split()[:3] == ["photograph", "verdict", "chance"]
    assert "known" in text.splitlines()[1]
    value = json.loads(call("recognize", gallery, query, "--backend", "torch", "--json"))
    assert 0.0 <= value["predictions"][0]["probability"] <= 1.0
    assert value["predictions"][0]["is_known"] in (True, False)
    answers = ("recognize", gallery, manifest, "-o", tmp_path / "s.csv", "--backend", "torch")
    assert 0 <= json.loads(call(*answers, "--json"))["num_known"] <= 27


def test_a_changed_gallery_has_chances_again_without_the_photographs(
    gallery: Path, pictures: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CairnError, match="keeps no validation") as caught:
        call("gallery", "recalibrate", gallery)
    assert f"cairn calibrate {gallery} MANIFEST" in caught.value.todo
    manifest = pictures.root / "manifest.parquet"
    wishes = ("--false-accept", "0.2", "--backend", "torch")
    call("calibrate", gallery, manifest, *wishes)
    first = calibration_of(Gallery.load(gallery))
    assert "nearest image, with the penalty: fresh" in call("gallery", "recalibrate", gallery)
    photo = Gallery.load(gallery).table.image_ids[0]
    call("gallery", "remove", gallery, photo)
    with pytest.raises(CairnError, match="STALE") as caught:
        calibration_of(Gallery.load(gallery))
    assert caught.value.todo == f"make it anew: cairn gallery recalibrate {gallery}"
    with monkeypatch.context() as patched:
        patched.setattr("cairn.runtime.load_runtime", None)
        text = call("gallery", "recalibrate", gallery)
    assert "made anew by 27 queries, 12 of them unknown" in text
    renewed = calibration_of(Gallery.load(gallery))
    assert renewed.basis.content != first.basis.content
    call("calibrate", gallery, manifest, *wishes)
    anew = calibration_of(Gallery.load(gallery))
    texts = [json.dumps({**one.to_json(), "facts": 0}) for one in (renewed, anew)]
    assert texts[0] == texts[1]
    call("gallery", "add", gallery, manifest_of(pictures, tmp_path), "--backend", "torch")
    value = json.loads(call("gallery", "recalibrate", gallery, "--json"))
    (one,) = value["calibrations"]
    assert (one["state"], one["num_left_out"], one["report"]["num_queries"]) == ("renewed", 1, 26)
    for file in gallery.rglob("validations/*/*.json"):
        file.write_text("{", encoding="utf-8")
    with pytest.raises(CairnError, match="the validation that this gallery keeps cannot be used"):
        call("gallery", "recalibrate", gallery)


def manifest_of(pictures: Manifest, folder: Path) -> Path:
    """A manifest that adds one of the validation's photographs to the gallery."""
    query = pictures.select("query")
    row = query.landmark_ids.index("landmark0")
    columns = {
        "image_id": ["another name"],
        "path": [str(query.paths[row])],
        "landmark_id": ["landmark0"],
        "role": ["gallery"],
        "label_space": ["patterns"],
    }
    Manifest.from_columns(columns, root=folder).write(folder / "one.parquet")
    return folder / "one.parquet"


def test_chances_for_another_share_and_a_submission_ranked_by_them(
    gallery: Path, pictures: Manifest, tmp_path: Path
) -> None:
    manifest = pictures.root / "manifest.parquet"
    ranked = ("recognize", gallery, manifest, "--rank-by", "chance", "--backend", "torch")
    with pytest.raises(CairnError, match="has no calibration"):
        call(*ranked, "-o", tmp_path / "early.csv")
    with pytest.raises(CairnError, match="one number"):
        call("recognize", gallery, pictures.select("query").paths[0], "--rank-by", "chance")
    assert not list(tmp_path.glob("early*"))
    wishes = ("--false-accept", "0.2", "--backend", "torch")
    with pytest.raises(CairnError, match="between 0 and 1"):
        call("calibrate", gallery, manifest, *wishes, "--known-share", "2")
    assert not (gallery / "work").exists()
    text = call("calibrate", gallery, manifest, *wishes, "--known-share", "0.02")
    assert "chances are for 2 % known queries in service" in text
    kept = calibration_of(Gallery.load(gallery))
    assert kept.judged.known_share == 0.02
    call(*ranked, "-o", tmp_path / "chances.csv")
    call(*ranked[:3], "-o", tmp_path / "plain.csv", "--backend", "torch")
    chances, plain = (read_submission(tmp_path / name) for name in ("chances.csv", "plain.csv"))
    assert chances.keys() == plain.keys()
    told = [one[1] for one in chances.values() if one is not None]
    assert all(0 < one < 1 for one in told)
    assert [one and one[0] for one in chances.values()] == [
        one and one[0] for one in plain.values()
    ]
    photo = next(str(path) for path in pictures.select("query").paths)
    call("recognize", gallery, photo, "--rank-by", "chance", "-o", tmp_path / "one.csv")
    value = json.loads(call("recognize", gallery, photo, "--backend", "torch", "--json"))
    (alone,) = read_submission(tmp_path / "one.csv").values()
    assert alone is not None
    assert alone[1] == pytest.approx(value["predictions"][0]["probability"], abs=1e-5)
    photos = next(iter(Gallery.load(gallery).table.image_ids))
    said = CliRunner().invoke(app, ["gallery", "remove", str(gallery), photos]).stderr
    assert f"make it anew: cairn gallery recalibrate {gallery}\n" in said


def test_what_cannot_be_told_is_refused_before_any_photograph_is_read(
    gallery: Path, pictures: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(
        CairnError, match=r"1 % cannot be told from 12 unknown queries; at least 99"
    ):
        call("calibrate", gallery, pictures.root / "manifest.parquet")
    columns = {"image_id": ["a"], "path": ["a"], "landmark_id": ["landmark1"], "role": ["query"]}
    Manifest.from_columns(columns, root=tmp_path).write(tmp_path / "known.csv")
    with pytest.raises(CairnError, match="misleads"):
        call("calibrate", gallery, tmp_path / "known.csv")
    columns["role"] = ["train"]
    Manifest.from_columns(columns, root=tmp_path).write(tmp_path / "none.csv")
    with pytest.raises(CairnError, match="no image of role query"):
        call("calibrate", gallery, tmp_path / "none.csv")
    seen = pictures.gallery()
    leaking: dict[str, list[object]] = {
        "image_id": [seen.image_ids[0], "u"],
        "path": [seen.paths[0], "u.jpg"],
        "landmark_id": [seen.landmark_ids[0], ""],
        "role": ["query", "query"],
    }
    columns = {name: [str(value) for value in values] for name, values in leaking.items()}
    Manifest.from_columns(columns, root=tmp_path).write(tmp_path / "leaking.csv")
    with pytest.raises(CairnError, match="gallery") as caught:
        call("calibrate", gallery, tmp_path / "leaking.csv", "--false-accept", "0.5")
    assert "cairn data verify" in caught.value.todo
    assert not (gallery / "work").exists()
