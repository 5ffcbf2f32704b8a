"""A gallery's approximate index: kept under what it was built for, and never used when stale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cairn.approximate import ApproximateSearcher
from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery import (
    Gallery,
    add_embeddings,
    compact,
    keep_penalty,
    merge_landmarks,
    rollback,
)
from cairn.gallery.indexes import keep_index, searcher_of, tune_gallery
from cairn.index_folder import read_card
from cairn.model import build
from cairn.recognize import recognize_table
from cairn.searchers import ExactSearcher
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
)
WISHES: dict[str, Any] = {"target_recall": 0.9, "k": 5}

pytestmark = pytest.mark.usefixtures("slow_exact")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "m"
    save_model(folder, build(CONFIG), CONFIG)
    return folder


def grouped(num: int, seed: int = 0) -> Float32:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((-(-num // 10), 16)).repeat(10, axis=0)[:num]
    made = centres + 0.3 * rng.standard_normal((num, 16))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


def table(model: Path, vectors: Float32, prefix: str = "g", landmark: str = "l") -> EmbeddingTable:
    ids = [f"{prefix}{row}" for row in range(len(vectors))]
    landmarks = [f"{landmark}{row // 10}" if landmark else "" for row in range(len(vectors))]
    paths = [f"/p/{name}.jpg" for name in ids]
    return EmbeddingTable(ids, landmarks, paths, vectors, model_fingerprint(model))


@pytest.fixture
def place(model: Path, tmp_path: Path) -> Path:
    """A gallery of 1,500 images with a penalty."""
    table(model, grouped(1500)).write(tmp_path / "embeddings")
    Gallery.build(tmp_path / "embeddings", model, tmp_path / "gallery")
    keep_penalty(tmp_path / "gallery", table(model, grouped(60, 5), "n", ""), min_n=1)
    return tmp_path / "gallery"


def tuned(place: Path) -> Gallery:
    gallery = Gallery.load(place)
    keep_index(gallery, tune_gallery(gallery, kinds=["ivf-pq"], **WISHES))
    return gallery


def test_the_index_answers_with_exact_scores_and_the_penalty(place: Path, model: Path) -> None:
    gallery = tuned(place)
    assert gallery.penalty is not None
    assert (gallery.penalty.penalty > 0).any()
    searcher = searcher_of(Gallery.load(place), "approximate")
    assert isinstance(searcher, ApproximateSearcher)
    asked = grouped(1500)[::50]
    found = searcher.search(asked, 5)
    exact = searcher_of(gallery)
    assert isinstance(exact, ExactSearcher)
    truth = exact.search(asked, 5)
    is_same = found.indices == truth.indices
    assert is_same.mean() > 0.8
    np.testing.assert_array_equal(found.similarities[is_same], truth.similarities[is_same])
    card = read_card(place / "indexes" / gallery.content_key)
    assert card["fingerprint"] == model_fingerprint(model)
    assert card["content_key"] == gallery.content_key
    assert card["recall"]["at_k"]["value"] >= 0.9


def test_recognition_answers_through_the_index(place: Path, model: Path) -> None:
    gallery = tuned(place)
    queries = table(model, grouped(1500)[::50], "q", "")
    exact = recognize_table(queries, gallery)
    approximate = recognize_table(queries, gallery, search="approximate")
    same = [a for a, b in zip(exact, approximate, strict=True) if a.evidence[0] == b.evidence[0]]
    assert len(same) >= 27  # of 30
    with pytest.raises(CairnError, match="unknown search") as fault:
        recognize_table(queries, gallery, search="aproximate")
    assert "approximate" in fault.value.todo


def test_without_an_index_it_says_what_to_run(place: Path) -> None:
    with pytest.raises(CairnError, match="has no index") as fault:
        searcher_of(Gallery.load(place), "approximate")
    assert f"cairn gallery tune {place}" in fault.value.todo


def test_a_changed_gallery_has_a_stale_index_until_it_is_as_before(
    place: Path, model: Path, tmp_path: Path
) -> None:
    version = tuned(place).version
    table(model, grouped(10, 9), "new").write(tmp_path / "more")
    add_embeddings(place, tmp_path / "more")
    with pytest.raises(CairnError, match="STALE") as fault:
        searcher_of(Gallery.load(place), "approximate")
    assert f"cairn gallery tune {place}" in fault.value.todo
    assert len(searcher_of(Gallery.load(place))) == 1510
    rollback(place, str(version))
    assert len(searcher_of(Gallery.load(place), "approximate")) == 1500


def test_landmarks_and_compaction_leave_the_index_as_it_is(place: Path) -> None:
    tuned(place)
    merge_landmarks(place, "l3", into="l4")
    assert len(searcher_of(Gallery.load(place), "approximate")) == 1500
    compact(place, keep_days=0)
    assert len(searcher_of(Gallery.load(place), "approximate")) == 1500


def test_another_penalty_or_none_makes_the_index_stale(place: Path, model: Path) -> None:
    tuned(place)
    for gallery, use_penalty in (
        (Gallery.load(place), False),
        (Gallery.load(place, penalty=False), True),
    ):
        with pytest.raises(CairnError, match="STALE: it was built for other penalties"):
            searcher_of(gallery, "approximate", use_penalty=use_penalty)
    keep_penalty(place, table(model, grouped(60, 5), "n", ""), min_n=1, strength=0.5)
    with pytest.raises(CairnError, match="STALE: it was built for other penalties"):
        searcher_of(Gallery.load(place), "approximate")
    tuned(place)  # takes the place of the old one
    assert searcher_of(Gallery.load(place), "approximate").name.startswith("ivf-pq")
    assert len(list((place / "indexes").iterdir())) == 1


def test_a_damaged_index_is_refused(place: Path) -> None:
    gallery = tuned(place)
    path = place / "indexes" / gallery.content_key / "index.faiss"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CairnError, match="damaged") as fault:
        searcher_of(gallery, "approximate")
    assert f"cairn gallery tune {place}" in fault.value.todo


def test_queries_of_another_model_are_refused(place: Path, model: Path) -> None:
    other = EmbeddingTable(
        [str(row) for row in range(30)], [""] * 30, [""] * 30, grouped(30), "another"
    )
    with pytest.raises(CairnError, match="model"):
        tune_gallery(Gallery.load(place), other)
    done = tune_gallery(Gallery.load(place), table(model, grouped(30, 3), "q", ""), **WISHES)
    assert (done.is_own, done.num_queries) == (False, 30)


def test_what_did_not_win_is_not_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cairn.tuning.MIN_ROWS", 10_000)
    gallery = Gallery.load(place)
    with pytest.raises(CairnError, match="no index to keep"):
        keep_index(gallery, tune_gallery(gallery, **WISHES))
    assert not (place / "indexes").exists()


def test_exact_search_does_without_faiss() -> None:
    words = "import sys, cairn.recognize, cairn.gallery.stale; print('faiss' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
