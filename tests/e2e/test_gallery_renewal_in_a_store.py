"""A gallery in an object store keeps its validation there, and makes its chances anew by it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery import Gallery, compact, remove_images
from cairn.gallery.calibrating import calibrate_gallery
from cairn.gallery.calibrations import calibration_of, keep_calibration
from cairn.gallery.kept_validation import Validation, keep_validation, kept_ways
from cairn.model import build
from cairn.renewal import recalibrate
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
)


def table(model: str, prefix: str, each: int, none: int, seed: int) -> EmbeddingTable:
    centres = np.random.default_rng(0).standard_normal((20, 16)).repeat(each, axis=0)
    rng = np.random.default_rng(seed)
    known = centres + 0.5 * rng.standard_normal(centres.shape)
    made = np.concatenate([known, rng.standard_normal((none, 16))])
    vectors: Float32 = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    ids = [f"{prefix}{row}" for row in range(len(vectors))]
    landmarks = [f"l{row // each}" for row in range(len(known))] + [""] * none
    return EmbeddingTable(ids, landmarks, [f"/p/{one}.jpg" for one in ids], vectors, model)


@pytest.mark.usefixtures("store")
def test_chances_come_back_in_a_store(tmp_path: Path) -> None:
    place = "s3://galleries/renewed"
    torch.manual_seed(0)
    save_model(tmp_path / "model", build(CONFIG), CONFIG)
    model = model_fingerprint(tmp_path / "model")
    table(model, "g", 4, 0, 1).write(tmp_path / "embeddings")
    gallery = Gallery.build(tmp_path / "embeddings", tmp_path / "model", place)
    queries = table(model, "q", 3, 40, 2)
    pairs = zip(queries.image_ids, queries.landmark_ids, strict=True)
    truth = {name: frozenset({landmark} - {""}) for name, landmark in pairs}
    for num in (90, 100):  # the second takes the place of the first
        some = queries.take(range(num))
        keep_validation(gallery.place, Validation(some, truth, false_accept_rate=0.1))
    keep_calibration(gallery, calibrate_gallery(gallery, some, truth, false_accept_rate=0.1))
    assert len(gallery.place.items(f"validations/{model}")) == 2
    remove_images(place, image_ids=["g7"])
    with pytest.raises(CairnError, match="STALE") as fault:
        calibration_of(Gallery.load(place))
    assert fault.value.todo == f"make it anew: cairn gallery recalibrate {place}"
    (done,) = recalibrate(place)
    assert done.state == "renewed"
    found = calibration_of(Gallery.load(place))
    assert (len(found.judged), found.judged.num_unknown) == (100, 40)
    compact(place, keep_days=0)
    assert kept_ways(gallery.place, model)
    assert [one.state for one in recalibrate(place)] == ["fresh"]
