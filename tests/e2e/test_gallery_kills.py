"""Galleries under kill -9, in a folder and in an object store, and with readers beside a writer.

Whenever a writer is killed, the gallery afterwards is what it was or what it was to become, with
the penalty that belongs to it, and the operation can be given again.
"""

from __future__ import annotations

import shutil
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cairn.checkpoint import save_model
from cairn.config import ModelConfig, Preprocess
from cairn.embed import embed
from cairn.errors import CairnError
from cairn.gallery import Gallery, add_embeddings, keep_penalty, log, tag
from cairn.manifest import Manifest
from cairn.model import build
from cairn.tables import EmbeddingTable

MOMENTS = 6
CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={
        "layers": (1, 1, 1, 1),
        "channels": (8, 16, 32, 64),
        "cardinality": 2,
        "base_width": 16,
    },
    dimension=8,
    preprocess=Preprocess(image_size=32),
)


@dataclass(frozen=True)
class Material:
    """A gallery of twelve photographs at version 4, and what its operations need."""

    root: Path

    @property
    def gallery(self) -> Path:
        return self.root / "gallery"

    def arguments(self, operation: str) -> list[Any]:
        root = self.root
        all_of_them: dict[str, list[Any]] = {
            "build": [str(root / "first"), str(root / "model0")],
            "penalize": [str(root / "more")],
            "add": [str(root / "added")],
            "remove": [["0.jpg", "3.jpg", "10.jpg"]],
            "merge": ["b", "a"],
            "rename": ["a", "Ein Turm"],
            "describe": [str(root / "facts.csv")],
            "reembed": [str(root / "model1")],
            "rollback": [2],
            "tag": ["later"],
            "compact": [],
        }
        return all_of_them[operation]


OPERATIONS = (
    *("build", "penalize", "add", "remove", "merge"),
    *("rename", "describe", "reembed", "rollback", "tag", "compact"),
)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    root = tmp_path_factory.mktemp("material")
    rng = np.random.default_rng(5)
    for number in range(24):
        pixels = rng.integers(0, 255, (24, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{number}.jpg")
    for seed in range(2):
        torch.manual_seed(seed)
        save_model(root / f"model{seed}", build(CONFIG), CONFIG)

    def table(name: str, numbers: range, marks: str) -> Path:
        landmarks = [marks[i % len(marks)] for i in range(len(numbers))] if marks else None
        columns = {
            "image_id": [f"{number}.jpg" for number in numbers],
            "path": [f"{number}.jpg" for number in numbers],
            "landmark_id": landmarks or [""] * len(numbers),
            "role": ["gallery" if marks else "nonlandmark"] * len(numbers),
        }
        manifest = Manifest.from_columns(columns, root=root)
        embed(root / "model0", manifest, root / name, backend="torch")
        return root / name

    facts = "landmark_id,category,latitude,longitude\na,tower,48.5,2.25\nc,church,,\n"
    (root / "facts.csv").write_text(facts)
    folder = root / "gallery"
    names = {"a": "A tower", "b": "The B"}
    Gallery.build(table("first", range(9), "ab"), root / "model0", folder, landmark_names=names)
    bank = EmbeddingTable.read(table("bank", range(12, 18), ""))
    keep_penalty(folder, bank, top=2, min_n=1)
    add_embeddings(folder, table("second", range(9, 12), "bc"))
    tag(folder, "now")
    table("added", range(18, 21), "cd")
    table("more", range(12, 24), "")
    return Material(root)


def assert_old_or_new(
    works: Any, location: str, operation: str, material: Material, states: Any
) -> str:
    """Check what a kill has left, give the operation again, and return which of the two it was."""
    old, new = states
    try:
        found = works.state(location)
    except CairnError:
        found = None
    assert found in (old, new)
    assert found is None or found["content"] == found["computed"]
    try:
        works.WORK[operation](location, *material.arguments(operation))
    except CairnError:
        assert found == new != old, "what was not done can be done"
    assert works.state(location) == new
    return "old" if found == old else "new"


def states_of(works: Any, location: str, done: str, operation: str) -> tuple[Any, Any]:
    """Return what a gallery is before and after an operation."""
    return None if operation == "build" else works.state(location), works.state(done)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_any_moment_a_folder_has_the_old_version_or_the_new(
    operation: str, material: Material, works: Any, writer: Any, tmp_path: Path
) -> None:
    arguments = material.arguments(operation)

    def run(name: str, **how: Any) -> tuple[str, dict[str, Any]]:
        copy = tmp_path / name
        if operation != "build":
            shutil.copytree(material.gallery, copy)
        return str(copy), writer.do(operation, str(copy), *arguments, **how)

    done, told = run("done")
    assert told["code"] == 0, told
    assert not {"error", "fault"} & set(told), told
    states = states_of(works, str(material.gallery), done, operation)
    seconds, seen, num_steps = told["seconds"], [], 0
    while True:
        num_steps += 1
        copy, told = run(f"step-{num_steps}", step=num_steps)
        if told["code"] == 0:
            break
        assert told["code"] == -signal.SIGKILL
        seen.append(assert_old_or_new(works, copy, operation, material, states))
    assert {"old", "new"} >= set(seen)
    assert seen == sorted(seen, reverse=True), "once it is new it stays so"
    for moment in range(MOMENTS):
        copy, _ = run(f"moment-{moment}", after=seconds * (moment + 0.5) / MOMENTS)
        assert_old_or_new(works, copy, operation, material, states)


def copied(works: Any, source: Path, location: str) -> None:
    """Copy a gallery into the store."""
    from pyarrow import fs

    store = works.Place(location)._store
    target = location.removeprefix("s3://")
    fs.copy_files(
        str(source), target, source_filesystem=fs.LocalFileSystem(), destination_filesystem=store
    )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_killed_at_any_request_an_object_store_has_the_old_version_or_the_new(
    operation: str, material: Material, works: Any, store: Any, writer: Any
) -> None:
    arguments = material.arguments(operation)

    def run(name: str, kill_at: int) -> tuple[str, dict[str, Any]]:
        location = f"s3://galleries/{operation}/{name}"
        if operation != "build":
            copied(works, material.gallery, location)
        store.watch(writer.start(operation, location, *arguments), kill_at=kill_at)
        told = writer.finish()
        num_writes = store.num_writes
        store.watch(None)
        return location, {**told, "num_writes": num_writes}

    done, told = run("done", 0)
    assert told["code"] == 0, told
    assert not {"error", "fault"} & set(told), told
    states = states_of(works, str(material.gallery), done, operation)
    assert told["num_writes"] >= 1
    seen = []
    for number in range(1, told["num_writes"] + 1):
        location, told = run(f"request-{number}", number)
        assert told["code"] == -signal.SIGKILL, told
        seen.append(assert_old_or_new(works, location, operation, material, states))
    assert "old" in seen or operation == "compact"


def gallery_in(where: str, material: Material, works: Any, tmp_path: Path) -> str:
    """Return the location of a copy of the gallery, in a folder or in the store."""
    if where == "folder":
        return str(shutil.copytree(material.gallery, tmp_path / "g"))
    location = f"s3://galleries/{tmp_path.name}"
    copied(works, material.gallery, location)
    return location


@pytest.mark.parametrize("where", ["folder", "store"])
def test_readers_see_whole_versions_while_a_writer_changes_them(
    where: str, material: Material, works: Any, store: Any, writer: Any, reader: Any, tmp_path: Path
) -> None:
    location = gallery_in(where, material, works, tmp_path)
    changes = [
        ("add", str(material.root / "added")),
        ("remove", ["18.jpg", "0.jpg"]),
        ("merge", "c", "a"),
        ("rename", "a", "Name"),
        ("penalize", str(material.root / "more")),
        ("rollback", 3),
    ]
    first = Gallery.load(location).version
    last = first + len(changes)
    reads: list[dict[str, Any]] = []
    readers = [writer, reader]
    threads = []
    for one in readers:
        one.start("read", location, last)
        threads.append(threading.Thread(target=lambda one=one: reads.append(one.finish())))
    for thread in threads:
        thread.start()
    for name, *arguments in changes:
        works.WORK[name](location, *arguments)
    for thread in threads:
        thread.join()
    assert log(location)[0].version == last
    for told in reads:
        assert told.get("value"), told
        for number, found in told["value"].items():
            loaded = Gallery.load(location, version=int(number))
            assert loaded.penalty is not None
            penalties = loaded.penalty.penalty.tolist()
            parts = (loaded.table.image_ids, loaded.table.landmark_ids, penalties)
            assert found == [loaded.content_key, *parts]


@pytest.mark.parametrize("where", ["folder", "store"])
def test_of_two_writers_at_once_each_is_done_whole_or_refused(
    where: str, material: Material, works: Any, store: Any, writer: Any, reader: Any, tmp_path: Path
) -> None:
    location = gallery_in(where, material, works, tmp_path)
    told: list[dict[str, Any]] = []
    threads = []
    for one in (writer, reader):  # the same images: twice would be a mixture
        one.start("add", location, str(material.root / "added"))
        threads.append(threading.Thread(target=lambda one=one: told.append(one.finish())))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refused = [one["error"] for one in told if "error" in one]
    assert len(refused) == 1, told
    assert any(text in refused[0] for text in ("another", "already"))
    loaded = Gallery.load(location)
    assert loaded.version == 4
    assert loaded.table.image_ids[-3:] == ["18.jpg", "19.jpg", "20.jpg"]
    assert len(loaded.table) == 15
