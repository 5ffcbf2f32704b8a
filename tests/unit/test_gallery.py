from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery import Gallery, keep_penalty
from cairn.model import build
from cairn.penalty import penalty_table
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=4,
    preprocess=Preprocess(image_size=32),
)


def save_tiny_model(folder: Path, *, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    save_model(folder, build(CONFIG), CONFIG)
    return folder


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "m")


def rows(*vectors: tuple[float, ...]) -> Float32:
    array = np.array(vectors, dtype=np.float32)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    return array


def table(
    model_dir: Path, vectors: Float32, landmarks: list[str], *, prefix: str = "g"
) -> EmbeddingTable:
    ids = [f"{prefix}{i}" for i in range(len(vectors))]
    return EmbeddingTable(
        ids, landmarks, [f"/photos/{i}.jpg" for i in ids], vectors, model_fingerprint(model_dir)
    )


def labelled(model_dir: Path) -> EmbeddingTable:
    return table(
        model_dir, rows((1, 0, 0, 0), (0, 1, 0, 0), (1, 1, 0, 0)), ["tower", "泰山", "tower"]
    )


@pytest.fixture
def gallery(model_dir: Path, tmp_path: Path) -> Gallery:
    labelled(model_dir).write(tmp_path / "embeddings")
    return Gallery.build(
        tmp_path / "embeddings",
        model_dir,
        tmp_path / "画廊",
        landmark_names={"泰山": "Mount Tai", "other": "Elsewhere", "tower": ""},
    )


def test_a_gallery_needs_nothing_outside_its_folder(
    gallery: Gallery, model_dir: Path, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "embeddings")
    moved = tmp_path / "elsewhere" / "g"
    moved.parent.mkdir()
    gallery.folder.rename(moved)
    loaded = Gallery.load(moved)
    assert loaded.table.image_ids == ["g0", "g1", "g2"]
    assert loaded.table.landmark_ids == ["tower", "泰山", "tower"]
    assert loaded.num_landmarks == 2
    assert loaded.landmark_names == {"泰山": "Mount Tai"}
    assert loaded.penalty is None
    assert model_fingerprint(loaded.model_dir) == model_fingerprint(model_dir)
    assert {path.name for path in moved.iterdir()} == {"models", "vectors.lance", "writer.lock"}
    assert loaded.version == 1
    assert loaded.model_dir.name == loaded.table.fingerprint


def test_build_refuses_what_cannot_be_recognized_against(model_dir: Path, tmp_path: Path) -> None:
    labelled(model_dir).write(tmp_path / "e")
    other = save_tiny_model(tmp_path / "other", seed=1)
    with pytest.raises(CairnError, match="these embeddings come from model"):
        Gallery.build(tmp_path / "e", other, tmp_path / "g")
    table(model_dir, rows((1, 0, 0, 0), (0, 1, 0, 0)), ["a", ""]).write(tmp_path / "u")
    with pytest.raises(CairnError, match="1 of 2 images have no landmark, such as 'g1'") as caught:
        Gallery.build(tmp_path / "u", model_dir, tmp_path / "g")
    assert "--role gallery" in caught.value.todo
    with pytest.raises(CairnError, match="no such embedding folder"):
        Gallery.build(tmp_path / "none", model_dir, tmp_path / "g")
    assert not (tmp_path / "g").exists()
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "mine.txt").touch()
    with pytest.raises(CairnError, match="never overwritten"):
        Gallery.build(tmp_path / "e", model_dir, tmp_path / "g")


def test_load_refuses_what_is_no_gallery(gallery: Gallery, tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="not a gallery") as caught:
        Gallery.load(tmp_path / "embeddings")
    assert "cairn gallery build" in caught.value.todo
    with pytest.raises(CairnError, match="not a gallery"):
        Gallery.load(tmp_path / "nowhere")
    shutil.rmtree(gallery.model_dir)
    with pytest.raises(CairnError, match="lacks its model"):
        Gallery.load(gallery.folder)


def test_an_old_gallery_says_how_to_become_a_new_one(model_dir: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    labelled(model_dir).write(old)
    shutil.copytree(model_dir, old / "model")
    (old / "gallery.json").write_text('{"format": 1}')
    with pytest.raises(CairnError, match="format 1") as caught:
        Gallery.load(old)
    assert f"cairn gallery build {old} {old}/model -o GALLERY" in caught.value.todo
    made = Gallery.build(old, old / "model", tmp_path / "new")
    assert made.table.image_ids == ["g0", "g1", "g2"]


def test_a_penalty_is_attached_kept_and_replaced(gallery: Gallery, model_dir: Path) -> None:
    bank = table(model_dir, rows((1, 0.1, 0, 0), (1, -0.1, 0, 0)), ["", ""], prefix="n")
    made = gallery.penalize(bank, top=1, min_n=1, max_n=2)
    np.testing.assert_array_equal(made.n_picked, [2, 0, 0])
    assert Gallery.load(gallery.location).penalty is None, "nothing was written"
    entry = keep_penalty(gallery.location, bank, top=1, min_n=1, max_n=2)
    assert (entry.version, entry.operation) == (2, "penalize")
    assert entry.arguments["max_n"] == 2
    loaded = Gallery.load(gallery.location)
    assert loaded.penalty is not None
    np.testing.assert_array_equal(loaded.penalty.penalty, made.penalty)
    assert Path(loaded.penalty_path).is_file()
    assert Gallery.load(gallery.location, penalty=False).penalty is None
    assert Gallery.load(gallery.location, version=1).penalty is None
    assert loaded.without_penalty().penalty is None
    assert keep_penalty(gallery.location, bank, top=1, min_n=1, max_n=2).version == 2
    assert keep_penalty(gallery.location, bank, top=1, min_n=1, max_n=2, strength=0.5).version == 3
    weaker = Gallery.load(gallery.location).penalty
    assert weaker is not None
    np.testing.assert_allclose(weaker.penalty, made.penalty / 2, rtol=1e-6)
    earlier = Gallery.load(gallery.location, version=2).penalty
    assert earlier is not None
    np.testing.assert_array_equal(earlier.penalty, made.penalty)


def test_a_penalty_of_other_images_or_another_model_is_refused(
    gallery: Gallery, model_dir: Path, tmp_path: Path
) -> None:
    bank = table(model_dir, rows((1, 0, 0, 0)), [""], prefix="n")
    made = gallery.penalize(bank, top=1)
    fewer = penalty_table(gallery.table.vectors[:2], bank.vectors, top=1)
    fewer.write(tmp_path / "fewer.parquet", gallery.table.paths[:2], gallery.table.image_ids[:2])
    with pytest.raises(CairnError, match="2 images and the gallery 3"):
        gallery.with_penalty(tmp_path / "fewer.parquet")
    with pytest.raises(CairnError):
        gallery.write_penalty(fewer, tmp_path / "never.parquet")
    same = gallery.table
    stranger = Gallery(
        gallery.location,
        EmbeddingTable(same.image_ids, same.landmark_ids, same.paths, same.vectors, "another"),
    )
    stranger.write_penalty(made, tmp_path / "stranger.parquet")
    with pytest.raises(CairnError, match="made with model another"):
        gallery.with_penalty(tmp_path / "stranger.parquet")
    gallery.write_penalty(made, tmp_path / "own.parquet")
    own = gallery.with_penalty(tmp_path / "own.parquet").penalty
    assert own is not None
    np.testing.assert_array_equal(own.penalty, made.penalty)


def test_a_bank_of_another_model_or_of_landmarks_is_refused(
    gallery: Gallery, model_dir: Path
) -> None:
    strange = EmbeddingTable(["n"], [""], ["n.jpg"], rows((1, 0, 0, 0)), "another")
    with pytest.raises(CairnError, match="different models"):
        gallery.penalize(strange)
    with pytest.raises(CairnError, match="different models"):
        keep_penalty(gallery.location, strange)
    assert not (gallery.folder / "banks").exists()
    bank = table(model_dir, rows((1, 0, 0, 0), (0, 0, 1, 0)), ["", "tower"], prefix="n")
    with pytest.raises(CairnError, match="1 landmarks of the gallery, such as 'tower'"):
        gallery.penalize(bank)


def test_one_image_makes_a_gallery(model_dir: Path, tmp_path: Path) -> None:
    table(model_dir, rows((1, 0, 0, 0)), ["only"]).write(tmp_path / "e")
    gallery = Gallery.build(tmp_path / "e", model_dir, tmp_path / "g")
    bank = table(model_dir, rows((1, 1, 0, 0), (1, 0, 1, 0)), ["", ""], prefix="n")
    keep_penalty(gallery.location, bank, top=20, min_n=2, max_n=2)
    loaded = Gallery.load(tmp_path / "g")
    assert loaded.penalty is not None
    np.testing.assert_allclose(loaded.penalty.penalty, [np.sqrt(0.5)], rtol=1e-6)
