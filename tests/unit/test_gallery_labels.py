"""What people read of landmarks and photographs, in galleries: kept by every change, or changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Landmark
from cairn.errors import CairnError
from cairn.gallery import (
    Gallery,
    add_embeddings,
    compact,
    describe,
    log,
    merge_landmarks,
    remove_images,
    rename_landmark,
    rollback,
)
from cairn.gallery.entries import Entry
from cairn.gallery.place import Place
from cairn.gallery.rows import LABEL_TYPES, Facts
from cairn.gallery.versions import Version, commit
from cairn.labels import Labels
from cairn.model import build
from cairn.recognize import recognize_table
from cairn.tables import EmbeddingTable, lance_library

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=8,
    preprocess=Preprocess(image_size=32),
)
TOWER = Landmark("t", "Tower", "tower", "human-made", 48.5, 2.25, "https://w.example/T")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    save_model(root / "m", build(CONFIG), CONFIG)
    return root / "m"


def embedded(model: Path, folder: Path, rows: str, seed: int = 0) -> Path:
    """Write rows such as ``t1 t2 c1``: image ids that begin with their landmark's."""
    ids = rows.split()
    vectors = np.random.default_rng(seed).standard_normal((len(ids), 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    marks = [image_id[0] for image_id in ids]
    paths = [f"/p/{image_id}.jpg" for image_id in ids]
    EmbeddingTable(ids, marks, paths, vectors, model_fingerprint(model)).write(folder)
    return folder


def labels(**columns: list[Any]) -> Labels:
    return Labels.of(pa.table(columns))


def full() -> Labels:
    return labels(
        image_id=["t1", "t2", "c1", "other"],
        landmark_id=["t", "t", "c", "o"],
        landmark_name=["Tower", "Tower", "Church", "Other"],
        category=["tower", "tower", None, None],
        natural_or_human_made=["human-made", None, None, None],
        landmark_url=[TOWER.url, None, None, None],
        author=["Ann", None, "Bob", "Eve"],
        license=["CC0", "CC BY 2.0", None, None],
        source_url=["https://p.example/1", None, None, None],
        latitude=[48.5, 48.5, None, None],
        longitude=[2.25, 2.25, None, None],
    )


@pytest.fixture
def gallery(model: Path, tmp_path: Path) -> Path:
    table = embedded(model, tmp_path / "e", "t1 t2 c1 n1")
    Gallery.build(table, model, tmp_path / "g", labels=full())
    return tmp_path / "g"


def old_gallery(gallery: Path) -> None:
    """Make the newest version one as Cairn wrote it before there were columns of labels."""
    base = Version.open(Place(gallery))
    columns = [name for name in base.dataset.schema.names if name not in LABEL_TYPES]
    rows = base.dataset.to_table(columns=columns)
    lance = lance_library()
    uri = Place(gallery).uri("vectors.lance")
    fragments = lance.fragment.write_fragments(
        rows, uri, schema=rows.schema, mode="overwrite", max_rows_per_file=3
    )
    fragments = [replace(one, id=100 + row) for row, one in enumerate(fragments)]
    operation = lance.LanceOperation.Overwrite(rows.schema, fragments)
    entry = Entry(0, "build", {}, model=base.facts.fingerprint, content=base.content_key)
    commit(base.place, base, operation, entry)


def test_what_is_known_is_in_the_gallery_and_in_its_answers(gallery: Path) -> None:
    loaded = Gallery.load(gallery)
    assert loaded.landmark("t") == TOWER
    assert loaded.landmark("c") == Landmark("c", "Church")
    assert loaded.landmark("n") == Landmark("n")
    assert loaded.landmark("unheard of") == Landmark("unheard of")
    assert loaded.landmark_names == {"t": "Tower", "c": "Church"}, "others are dropped"
    place = {"latitude": 48.5, "longitude": 2.25}
    first = {"author": "Ann", "license": "CC0", "source_url": "https://p.example/1", **place}
    assert [loaded.about(row) for row in range(4)] == [
        first,
        {"license": "CC BY 2.0", **place},
        {"author": "Bob"},
        {},
    ]
    answer = recognize_table(loaded.table, loaded, top=1)[0]
    assert answer.landmark == TOWER
    assert answer.evidence[0].author == "Ann"
    assert asdict(answer)["landmark"]["url"] == TOWER.url


def test_a_gallery_without_labels_keeps_nothing_of_them_in_memory(
    model: Path, tmp_path: Path
) -> None:
    table = embedded(model, tmp_path / "e", "t1 c1")
    made = Gallery.build(table, model, tmp_path / "g", landmark_names={"t": "Tower", "c": ""})
    assert made.about_images is Gallery.load(tmp_path / "g").about_images is None
    assert made.landmark("t") == Landmark("t", "Tower")
    assert made.about(0) == {}


def test_labels_of_other_data_are_refused(model: Path, tmp_path: Path) -> None:
    table = embedded(model, tmp_path / "e", "t1 c1")
    other = labels(landmark_id=["x"], landmark_name=["X"])
    with pytest.raises(CairnError, match=r"none of the 2 landmarks, such as 't'.*such as 'x'"):
        Gallery.build(table, model, tmp_path / "g", labels=other)
    assert not (tmp_path / "g").exists()


def test_every_change_keeps_what_is_known(model: Path, gallery: Path, tmp_path: Path) -> None:
    more = embedded(model, tmp_path / "more", "t9 o1", seed=1)
    news = labels(
        image_id=["t9", "o1"],
        landmark_id=["t", "o"],
        landmark_name=["Turm", "Other"],
        category=["mast", "park"],
        author=["Zoe", None],
    )
    add_embeddings(gallery, more, labels=news)
    loaded = Gallery.load(gallery)
    assert loaded.landmark("t") == TOWER, "a landmark that is there keeps what is known of it"
    assert loaded.landmark("o") == Landmark("o", "Other", "park")
    assert loaded.about(4) == {"author": "Zoe"}
    remove_images(gallery, image_ids=["t1"])
    rename_landmark(gallery, "t", "Turm")
    loaded = Gallery.load(gallery)
    assert loaded.landmark("t") == replace(TOWER, name="Turm")
    assert loaded.about(0)["license"] == "CC BY 2.0"
    merge_landmarks(gallery, "t", into="c")
    loaded = Gallery.load(gallery)
    assert loaded.landmark("c") == replace(TOWER, landmark_id="c", name="Church")
    column = Version.open(Place(gallery)).column("landmark_latitude").to_pylist()
    assert column == [48.5, 48.5, None, 48.5, None], "all images of a landmark say the same"
    compact(gallery)
    assert Gallery.load(gallery).landmark("c") == replace(TOWER, landmark_id="c", name="Church")
    rollback(gallery, 1)
    assert Gallery.load(gallery).landmark("t") == TOWER
    assert Gallery.load(gallery).about(0)["author"] == "Ann"


def test_a_gallery_made_before_labels_opens_and_learns_them(
    model: Path, gallery: Path, tmp_path: Path
) -> None:
    old_gallery(gallery)
    loaded = Gallery.load(gallery)
    assert loaded.version == 2
    assert "category" not in Version.open(Place(gallery)).dataset.schema.names
    assert loaded.landmark("t") == Landmark("t", "Tower")
    assert loaded.about_images is None
    compact(gallery)
    assert "category" not in Version.open(Place(gallery)).dataset.schema.names
    changes: tuple[Callable[[], Entry], ...] = (
        lambda: rename_landmark(gallery, "n", "N"),
        lambda: merge_landmarks(gallery, "n", into="c"),
        lambda: remove_images(gallery, image_ids=["t2"]),
        lambda: add_embeddings(gallery, embedded(model, tmp_path / "m", "o1", 3), labels=full()),
        lambda: describe(gallery, full()),
    )
    for change in changes:
        before = Gallery.load(gallery)
        change()
        after = Gallery.load(gallery)
        assert after.version <= before.version + 2, "describe adds the columns first"
        assert after.landmark("t").name == "Tower"
        rollback(gallery, before.version)
        assert Gallery.load(gallery).landmarks == before.landmarks
    describe(gallery, full())
    assert Gallery.load(gallery).landmark("t") == TOWER
    assert Gallery.load(gallery).about(0)["author"] == "Ann"
    rename_landmark(gallery, "t", "Turm")
    assert Gallery.load(gallery).landmark("t") == replace(TOWER, name="Turm")
    schema = Version.open(Place(gallery)).dataset.schema
    assert schema.names == Facts(model_fingerprint(model), 8).schema().names


def test_describe_says_what_is_new_and_leaves_the_rest(gallery: Path) -> None:
    key = Gallery.load(gallery).content_key
    news = labels(
        landmark_id=["t", "n", "unknown"],
        landmark_name=["Turm", "", "U"],
        category=[None, "square", None],
        latitude=[None, -33.0, 1.0],
        longitude=[None, 151.0, 2.0],
    )
    entry = describe(gallery, news, origin="facts.csv")
    assert (entry.operation, entry.version) == ("describe", 2)
    assert entry.arguments == {"from": "facts.csv", "images": 3, "landmarks": 2}
    loaded = Gallery.load(gallery)
    assert loaded.landmark("t") == replace(TOWER, name="Turm")
    square = Landmark("n", category="square", latitude=-33.0, longitude=151.0)
    assert loaded.landmark("n") == square
    assert loaded.landmark("c") == Landmark("c", "Church")
    assert loaded.content_key == key, "the penalty and indexes stay good"
    assert loaded.about(0)["author"] == "Ann"
    with pytest.raises(CairnError, match="says all of this already"):
        describe(gallery, news)
    with pytest.raises(CairnError, match="none of the gallery's 3 landmarks and 4 images"):
        describe(gallery, labels(landmark_id=["x"], landmark_name=["X"]))
    assert [line.operation for line in log(gallery)] == ["describe", "build"]


def test_describe_reaches_images(gallery: Path) -> None:
    describe(gallery, labels(image_id=["n1"], landmark_id=["?"], author=["Nan"]))
    loaded = Gallery.load(gallery)
    assert loaded.about(3) == {"author": "Nan"}
    assert "?" not in loaded.landmarks
