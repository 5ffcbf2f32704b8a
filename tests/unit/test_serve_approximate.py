"""A server with approximate search: changes are seen at once, exactly where the index is stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from cairn.approximate import ApproximateSearcher
from cairn.checkpoint import model_fingerprint
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.index_folder import save_index
from cairn.index_kinds import Hnsw
from cairn.tables import EmbeddingTable
from measuring.small_gallery import CONFIG, jpeg, make_model, serving, until

WISHES: dict[str, Any] = {"search": "approximate", "gallery": {"watch_s": 0.05}}


def keep(place: Path) -> None:
    """Keep an index of the gallery as it is now, as `cairn gallery tune` does with its winner."""
    gallery = Gallery.load(place)
    searcher = ApproximateSearcher(gallery.table.vectors, Hnsw())
    save_index(searcher, place / "indexes" / gallery.content_key, replace=True)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A gallery of 1,200 images, enough for an index."""
    model = make_model(tmp_path / "model")
    vectors = np.random.default_rng(0).standard_normal((1200, CONFIG.dimension), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = [f"g{row}" for row in range(1200)]
    landmarks = [f"l{row // 10}" for row in range(1200)]
    table = EmbeddingTable(ids, landmarks, ids, vectors, model_fingerprint(model))
    table.write(tmp_path / "e")
    Gallery.build(tmp_path / "e", model, tmp_path / "gallery")
    return tmp_path / "gallery"


def about(client: TestClient) -> tuple[str, int, str]:
    found = client.get("/v1/gallery").json()
    return found["search"], found["version"], found["trouble"]


def test_a_change_is_served_exactly_until_there_is_an_index_of_it(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(place)
    with serving(place, **WISHES) as client:
        assert about(client) == ("approximate", 1, "")
        added = client.post("/v1/landmarks/l7/images", files={"image": ("a", jpeg(1))}).json()
        assert (added["num_added"], added["visible"]) == (1, True)
        assert about(client) == ("exact", 2, "")
        assert "STALE" in capsys.readouterr().err
        found = client.post("/v1/recognize", files={"image": ("a", jpeg(1))}).json()
        assert found["predictions"][0]["evidence"][0]["image_id"] == added["image_ids"][0]
        keep(place)
        until(lambda: about(client) == ("approximate", 2, ""))
        found = client.post("/v1/recognize", files={"image": ("a", jpeg(1))}).json()
        assert found["predictions"][0]["evidence"][0]["image_id"] == added["image_ids"][0]
        assert client.delete("/v1/images/g3").json()["visible"] is True
        assert about(client) == ("exact", 3, "")
    with serving(place, **WISHES) as client:  # started with a stale index
        assert about(client) == ("exact", 3, "")


def test_without_any_index_it_does_not_start(place: Path) -> None:
    with pytest.raises(CairnError, match="has no index"), serving(place, **WISHES):
        pass
    keep(place)
    [index] = (place / "indexes").iterdir()
    (index / "index.faiss").write_bytes(b"damaged")
    with pytest.raises(CairnError, match="is damaged"), serving(place, **WISHES):
        pass
