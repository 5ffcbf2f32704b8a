"""A gallery in an object store keeps its approximate index there, and refuses it when stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.errors import CairnError
from cairn.gallery import Gallery, remove_images
from cairn.gallery.indexes import keep_index, searcher_of, tune_gallery
from cairn.model import build
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
)


@pytest.mark.usefixtures("store", "slow_exact")
@pytest.mark.parametrize("kind", ["hnsw", "ivf-pq"])
def test_an_index_lives_in_the_store_beside_its_gallery(tmp_path: Path, kind: str) -> None:
    place = f"s3://galleries/indexed-{kind}"
    torch.manual_seed(0)
    save_model(tmp_path / "model", build(CONFIG), CONFIG)
    rng = np.random.default_rng(0)
    made = rng.standard_normal((130, 16)).repeat(10, axis=0) + 0.3 * rng.standard_normal((1300, 16))
    vectors = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    ids = [f"g{row}" for row in range(1300)]
    marks = [f"l{row // 10}" for row in range(1300)]
    fingerprint = model_fingerprint(tmp_path / "model")
    EmbeddingTable(ids, marks, ids, vectors, fingerprint).write(tmp_path / "embeddings")
    gallery = Gallery.build(tmp_path / "embeddings", tmp_path / "model", place)
    with pytest.raises(CairnError, match="no index"):
        searcher_of(gallery, "approximate")
    wishes: dict[str, Any] = {"target_recall": 0.8, "k": 5, "kinds": [kind]}
    kept = keep_index(gallery, tune_gallery(gallery, **wishes))
    assert kept == f"{place}/indexes/{gallery.content_key}"
    keep_index(gallery, tune_gallery(gallery, **wishes))  # takes the place of the first
    searcher = searcher_of(Gallery.load(place), "approximate")
    assert searcher.name.startswith(kind)
    found, truth = (one.search(vectors[::13], 5) for one in (searcher, searcher_of(gallery)))
    assert (found.similarities >= truth.similarities[:, -1:]).mean() > 0.75
    remove_images(place, image_ids=["g7"])
    with pytest.raises(CairnError, match="STALE") as fault:
        searcher_of(Gallery.load(place), "approximate")
    assert f"cairn gallery tune {place}" in fault.value.todo
