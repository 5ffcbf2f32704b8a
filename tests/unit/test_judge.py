"""The verdict of a gallery's calibration, on its way into predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.gallery import Gallery, remove_images
from cairn.gallery.calibrating import calibrate_gallery
from cairn.gallery.calibrations import calibration_of, keep_calibration
from cairn.judge import Judge
from cairn.model import build
from cairn.recognize import Recognizer, recognize_table
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
)
CENTERS = np.random.default_rng(0).standard_normal((12, 16))


def table(model: Path, prefix: str, rows: np.ndarray, landmarks: list[str]) -> EmbeddingTable:
    vectors: Float32 = np.asarray(
        rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32
    )
    ids = [f"{prefix}{row}" for row in range(len(vectors))]
    paths = [f"/p/{one}.jpg" for one in ids]
    return EmbeddingTable(ids, landmarks, paths, vectors, model_fingerprint(model))


def views(model: Path, prefix: str, each: int, seed: int) -> EmbeddingTable:
    rng = np.random.default_rng(seed)
    rows = CENTERS.repeat(each, axis=0)
    rows = rows + 0.15 * rng.standard_normal(rows.shape)
    return table(model, prefix, rows, [f"l{row // each}" for row in range(len(rows))])


def strangers(model: Path, prefix: str, num: int, seed: int) -> EmbeddingTable:
    rows = np.random.default_rng(seed).standard_normal((num, 16))
    return table(model, prefix, rows, [""] * num)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(tmp_path / "model", build(CONFIG), CONFIG)
    return tmp_path / "model"


@pytest.fixture
def gallery(model: Path, tmp_path: Path) -> Gallery:
    views(model, "g", 4, 1).write(tmp_path / "table")
    return Gallery.build(tmp_path / "table", model, tmp_path / "gallery")


def calibrated(gallery: Gallery, model: Path) -> Gallery:
    known, unknown = views(model, "q", 5, 2), strangers(model, "n", 60, 3)
    both = EmbeddingTable(
        [*known.image_ids, *unknown.image_ids],
        [*known.landmark_ids, *unknown.landmark_ids],
        [*known.paths, *unknown.paths],
        np.concatenate([known.vectors, unknown.vectors]),
        known.fingerprint,
    )
    truth = dict(zip(both.image_ids, ({one} - {""} for one in both.landmark_ids), strict=True))
    keep_calibration(gallery, calibrate_gallery(gallery, both, truth, false_accept_rate=0.05))
    return gallery


def test_without_a_calibration_nothing_is_judged(gallery: Gallery, model: Path) -> None:
    (answer, *_) = recognize_table(views(model, "x", 1, 5), gallery)
    assert (answer.probability, answer.is_known) == (None, None)
    assert answer.landmark_id is not None


def test_strangers_are_unknown_and_views_are_known(
    gallery: Gallery, model: Path, tmp_path: Path
) -> None:
    plain = recognize_table(views(model, "x", 2, 5), gallery, top=3)
    calibrated(gallery, model)
    threshold = calibration_of(gallery).threshold().value
    seen = recognize_table(views(model, "x", 2, 5), gallery, top=3)
    odd = recognize_table(strangers(model, "y", 100, 6), gallery, top=3)
    assert all(one.is_known for one in seen)
    assert sum(bool(one.is_known) for one in odd) <= 15  # asked: 5 of 100
    for one in (*seen, *odd):
        assert one.probability is not None
        assert one.is_known == (one.probability >= threshold)
    # the verdict changes neither answers nor evidence, though it looks at more neighbours
    assert [one.evidence for one in seen] == [one.evidence for one in plain]
    assert [one.confidence for one in seen] == [one.confidence for one in plain]
    one = recognize_table(views(model, "x", 2, 5), gallery, top=1)[0]
    assert (len(one.evidence), one.probability) == (1, seen[0].probability)
    assert Recognizer.load(tmp_path / "gallery", backend="torch").judge is not None


def test_a_stale_calibration_is_said_and_not_used(
    gallery: Gallery, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrated(gallery, model)
    remove_images(tmp_path / "gallery", image_ids=["g0"])
    changed = Gallery.load(tmp_path / "gallery")
    assert Judge.of(changed) is None
    told = " ".join(capsys.readouterr().err.split())
    assert "no verdict known or unknown" in told
    assert "STALE" in told
    assert "cairn calibrate" in told
    assert recognize_table(views(model, "x", 1, 5), changed)[0].is_known is None
