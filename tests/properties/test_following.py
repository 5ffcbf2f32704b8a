"""However a gallery changes, what a server has of it after following is what loading gives."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cairn.errors import CairnError
from cairn.gallery import (
    Gallery,
    compact,
    describe,
    merge_landmarks,
    remove_images,
    rename_landmark,
    rollback,
)
from cairn.gallery.add import add_table
from cairn.gallery.following import Follower
from cairn.gallery.penalties import bank_of
from cairn.gallery.versions import Version
from cairn.labels import Labels
from cairn.manifest import Manifest
from cairn.serve.lookups import Lookups
from cairn.tables import EmbeddingTable
from measuring.followed import assert_equal, assert_same_lookups
from measuring.small_gallery import make_gallery

NAMES = ("add", "extend", "remove", "remove landmark", "merge", "rename", "describe", "rollback")


@pytest.fixture(scope="module", params=[True, False], ids=["penalty", "no penalty"])
def source(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, pictures: Manifest
) -> Path:
    return make_gallery(tmp_path_factory.mktemp("source"), pictures, bank=request.param)


def change(place: Path, name: str, draw: np.random.Generator) -> None:
    """Change the gallery in one way, drawn."""
    table = Gallery.load(place, penalty=False).table
    number = Version.open(Gallery.load(place, penalty=False).place).number
    landmarks = sorted(set(table.landmark_ids))
    one = str(draw.choice(landmarks))
    if name in ("add", "extend"):
        landmark = one if name == "extend" else f"New {number}"
        num = int(draw.integers(1, 4))
        rows = draw.standard_normal((num, table.dimension)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        ids = [f"new{number}-{i}-{draw.integers(1 << 30)}" for i in range(num)]
        known = {"image_id": ids, "landmark_id": [landmark] * num}
        if draw.random() < 0.5:
            known |= {"landmark_name": [f"name {number}"] * num, "author": ["Ann"] * num}
        made = EmbeddingTable(ids, [landmark] * num, ids, rows, table.fingerprint)
        add_table(place, made, Labels.of(pa.table(known)), origin="a test")
    elif name == "remove":
        num = int(draw.integers(1, 4))
        remove_images(place, image_ids=draw.choice(table.image_ids, num).tolist())
    elif name == "remove landmark":
        remove_images(place, landmark_ids=[one])
    elif name == "merge":
        merge_landmarks(place, one, into=str(draw.choice(landmarks)))
    elif name == "rename":
        rename_landmark(place, one, "" if draw.random() < 0.3 else f"Name {draw.integers(5)}")
    elif name == "describe":
        known = {"image_id": table.image_ids[:3], "landmark_id": table.landmark_ids[:3]}
        known |= {"license": [f"license {number}"] * 3}
        describe(place, Labels.of(pa.table(known)))
    elif name == "rollback":
        rollback(place, int(draw.integers(1, max(2, number))))
    else:
        compact(place)


@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    names=st.lists(st.sampled_from(NAMES), min_size=3, max_size=8),
    skips=st.sets(st.integers(0, 7), max_size=3),
    seed=st.integers(0, 1000),
)
def test_a_followed_gallery_is_the_loaded_one(
    source: Path, tmp_path: Path, names: list[str], skips: set[int], seed: int
) -> None:
    place = tmp_path / "gallery"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(source, place)
    draw, follower = np.random.default_rng(seed), Follower()
    held = follower.load(place)
    lookups = Lookups.of(held)
    kept = held.table.vectors.copy()
    for step, name in enumerate(names):
        try:
            change(place, name, draw)
        except CairnError:  # such as a merge with itself
            continue
        if step in skips:  # two changes are then followed at once
            continue
        held, lookups, kept = followed(follower, held, lookups, kept)


def followed(
    follower: Follower, held: Gallery, lookups: Lookups, kept: np.ndarray
) -> tuple[Gallery, Lookups, np.ndarray]:
    opened = Version.open(held.place)
    found = follower.follow(held, opened)
    wanted = Gallery.load(held.place.location)
    np.testing.assert_array_equal(held.table.vectors, kept)  # nobody wrote over what is served
    if found is None:
        fresh = follower.load(held.place.location)
        return fresh, Lookups.of(fresh), fresh.table.vectors.copy()
    assert_equal(found.gallery, wanted)
    if wanted.penalty is not None:
        bank = bank_of(opened)
        assert bank is not None
        anew = wanted.penalize(bank, top=2, min_n=1)
        np.testing.assert_array_equal(wanted.penalty.penalty, anew.penalty)
    lookups = lookups.following(found)
    assert_same_lookups(lookups, Lookups.of(wanted))
    return found.gallery, lookups, wanted.table.vectors


@pytest.mark.parametrize("name", [*NAMES[:7], "rollback", "compact"])
def test_each_change_is_followed(source: Path, tmp_path: Path, name: str) -> None:
    place = tmp_path / "gallery"
    shutil.copytree(source, place)
    draw = np.random.default_rng(3)
    change(place, "extend", draw)
    held = Gallery.load(place)
    lookups = Lookups.of(held)
    sure: dict[str, Callable[[], object]] = {
        "merge": lambda: merge_landmarks(place, "landmark0", into="landmark1"),
        "rename": lambda: rename_landmark(place, "landmark0", "another name"),
        "rollback": lambda: rollback(place, held.version - 1),
    }
    sure.get(name, lambda: change(place, name, draw))()
    found = Follower().follow(held, Version.open(held.place))
    assert found is not None
    wanted = Gallery.load(place)
    assert_equal(found.gallery, wanted)
    assert_same_lookups(lookups.following(found), Lookups.of(wanted))
    if name in ("merge", "rename", "describe", "compact"):  # not a vector was moved
        assert found.gallery.table.vectors is held.table.vectors
