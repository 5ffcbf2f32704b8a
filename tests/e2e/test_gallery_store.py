"""A gallery in an object store lives as one in a folder: the same versions, the same answers."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cairn import Recognizer
from cairn.checkpoint import model_fingerprint, save_model
from cairn.cli.app import app
from cairn.config import ModelConfig, Preprocess
from cairn.embed import embed
from cairn.errors import CairnError
from cairn.gallery import Gallery, log
from cairn.gallery.place import Place
from cairn.manifest import Manifest
from cairn.model import build

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=8,
    preprocess=Preprocess(image_size=32),
)


def call(*words: object) -> dict[str, Any]:
    arguments = [*map(str, words), "--json"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    value: dict[str, Any] = json.loads(result.stdout)
    return value


def assert_same(one: Any, two: Any) -> None:
    ours, theirs = Gallery.load(one), Gallery.load(two)
    for name in ("image_ids", "landmark_ids", "paths", "fingerprint"):
        assert getattr(ours.table, name) == getattr(theirs.table, name)
    np.testing.assert_array_equal(ours.table.vectors, theirs.table.vectors)
    assert ours.landmark_names == theirs.landmark_names
    assert (ours.version, ours.content_key) == (theirs.version, theirs.content_key)
    assert (ours.penalty is None) == (theirs.penalty is None)
    if ours.penalty is not None and theirs.penalty is not None:
        np.testing.assert_array_equal(ours.penalty.penalty, theirs.penalty.penalty)


def test_a_whole_life_in_the_store(store: Any, pictures: Manifest, tmp_path: Path) -> None:
    for seed in range(2):
        torch.manual_seed(seed)
        save_model(tmp_path / f"model{seed}", build(CONFIG), CONFIG)
    first = pictures.select("train").take(range(0, 20))
    more = pictures.select("train").take(range(20, 30))
    more.write(tmp_path / "more.parquet")
    embed(tmp_path / "model0", first, tmp_path / "e", backend="torch")
    embed(tmp_path / "model0", pictures.select("nonlandmark"), tmp_path / "b", backend="torch")
    remote = f"s3://galleries/{tmp_path.name}/画廊"
    places = (str(tmp_path / "g"), remote)
    steps: tuple[tuple[object, ...], ...] = (
        ("penalize", "*", tmp_path / "b", "--max-n", 4),
        ("gallery", "add", "*", tmp_path / "more.parquet", "--backend", "torch"),
        ("gallery", "tag", "*", "whole"),
        ("gallery", "remove", "*", first.image_ids[3], "--landmark", "landmark4"),
        ("gallery", "merge", "*", "landmark1", "--into", "landmark0"),
        ("gallery", "rename", "*", "landmark0", "Alpha and Beta"),
        ("gallery", "reembed", "*", tmp_path / "model1", "--backend", "torch"),
        ("gallery", "rollback", "*", "whole"),
        ("gallery", "remove", "*", first.image_ids[0]),
        ("gallery", "compact", "*", "--keep-days", 0),
    )
    for place in places:
        call("gallery", "build", tmp_path / "e", tmp_path / "model0", "-o", place)
    for words in steps:
        for place in places:
            call(*(place if word == "*" else word for word in words))
        assert_same(*places)
    ours, theirs = (log(place) for place in places)
    assert [line.operation for line in ours] == [line.operation for line in theirs]
    assert [line.tags for line in ours] == [line.tags for line in theirs]
    loaded = Gallery.load(remote)
    assert loaded.model_dir.is_relative_to(tmp_path / "cache")
    assert model_fingerprint(loaded.model_dir) == loaded.table.fingerprint
    assert [item.name for item in loaded.place.items("models")] == [
        f"models/{loaded.table.fingerprint}"
    ], "the compaction left the model of no version"
    photo = pictures.select("query").paths[0]
    here, there = (Recognizer.load(place, backend="torch", device="cpu")(photo) for place in places)
    assert here == there
    value = call("recognize", remote, photo, "--backend", "torch")
    assert value["predictions"][0]["landmark_id"] == here.landmark_id
    shutil.rmtree(tmp_path / "cache")
    assert Recognizer.load(remote, backend="torch", device="cpu")(photo) == here


def test_a_store_that_cannot_be_used_says_so(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    save_model(tmp_path / "model", build(CONFIG), CONFIG)
    nowhere = "s3://galleries/nothing/here"
    with pytest.raises(CairnError, match="not a gallery"):
        Gallery.load(nowhere)
    with pytest.raises(CairnError, match="not a gallery"):
        call("gallery", "log", nowhere)
    place = Place("s3://no-such-bucket/x")
    with pytest.raises(CairnError, match="object store cannot be used") as caught:
        place.write_folder("models/0", tmp_path / "model")
    assert "AWS_ENDPOINT_URL" in caught.value.todo


def test_the_store_lets_one_commit_of_two_through(store: Any, tmp_path: Path) -> None:
    """What the galleries rely on, asked of the store itself."""
    import lance
    import pyarrow as pa

    place = Place(f"s3://galleries/{tmp_path.name}")
    uri, options = place.uri("t.lance"), place.options
    data = pa.table({"a": [1, 2, 3]})
    lance.write_dataset(data, uri, storage_options=options)
    outcomes: list[str] = []
    barrier = threading.Barrier(4)

    def write() -> None:
        fragments = lance.fragment.write_fragments(data, uri, storage_options=options)
        operation = lance.LanceOperation.Overwrite(data.schema, fragments)
        barrier.wait()
        try:
            lance.LanceDataset.commit(
                uri, operation, read_version=1, storage_options=options, max_retries=0
            )
            outcomes.append("done")
        except OSError:
            outcomes.append("refused")

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", *["refused"] * 3]
    assert lance.dataset(uri, storage_options=options).version == 2
