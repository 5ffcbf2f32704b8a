"""Versions that only add are read in their new part; all others are loaded anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cairn.errors import CairnError
from cairn.gallery import Gallery, merge_landmarks, remove_images, rollback
from cairn.gallery.add import add_table
from cairn.gallery.appending import Follower
from cairn.gallery.versions import Version
from cairn.labels import Labels
from cairn.manifest import Manifest
from cairn.search.packed import Packed
from cairn.searchers import ExactSearcher
from cairn.tables import EmbeddingTable
from measuring.small_gallery import make_gallery


@pytest.fixture
def place(tmp_path: Path, pictures: Manifest) -> Path:
    return make_gallery(tmp_path, pictures)


def add(place: Path, seed: int, *, landmark: str = "landmark0", author: str | None = None) -> None:
    table = Gallery.load(place).table
    rows = np.random.default_rng(seed).standard_normal((2, table.dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    ids = [f"new{seed}a", f"new{seed}b"]
    made = EmbeddingTable(ids, [landmark] * 2, ids, rows, table.fingerprint)
    known = {"image_id": ids, "landmark_id": [landmark] * 2, "landmark_name": ["Name"] * 2}
    if author is not None:
        known["author"] = [author] * 2
    add_table(place, made, Labels.of(pa.table(known)), origin="a test")


def assert_equal(one: Gallery, other: Gallery) -> None:
    assert one.table.image_ids == other.table.image_ids
    assert one.table.landmark_ids == other.table.landmark_ids
    assert one.table.paths == other.table.paths
    np.testing.assert_array_equal(one.table.vectors, other.table.vectors)
    assert (one.version, one.content_key) == (other.version, other.content_key)
    assert dict(one.landmark_names) == dict(other.landmark_names)
    assert dict(one.landmarks) == dict(other.landmarks)
    assert one.penalty is not None
    assert other.penalty is not None
    np.testing.assert_array_equal(one.penalty.penalty, other.penalty.penalty)
    assert one.penalty_path == other.penalty_path
    rows = range(len(one.table))
    assert [one.about(row) for row in rows] == [other.about(row) for row in rows]


def test_appended_rows_give_what_loading_gives(place: Path) -> None:
    follower, first = Follower(), Gallery.load(place)
    held, kept = first, first.table.vectors.copy()
    for seed, landmark, author in ((1, "landmark0", None), (2, "fresh", "Ann"), (3, "fresh", None)):
        add(place, seed, landmark=landmark, author=author)
        found = follower.follow(held, Version.open(held.place))
        assert found is not None
        assert_equal(found, Gallery.load(place))
        if held is not first:  # in the memory of the one before
            assert np.shares_memory(found.table.vectors, held.table.vectors)
        held = found
    np.testing.assert_array_equal(first.table.vectors, kept)
    # Two that follow the same one do not write over each other.
    before = Gallery.load(place)
    add(place, 4)
    one = follower.follow(held, Version.open(held.place))
    assert one is not None
    rows = one.table.vectors.copy()
    other = follower.follow(held, Version.open(held.place))
    assert other is not None
    np.testing.assert_array_equal(one.table.vectors, rows)
    assert not np.shares_memory(one.table.vectors, other.table.vectors)
    np.testing.assert_array_equal(held.table.vectors, before.table.vectors)


def test_other_changes_are_loaded_anew(place: Path) -> None:
    follower = Follower()
    changes: tuple[Callable[[], object], ...] = (
        lambda: merge_landmarks(place, "landmark1", into="landmark2"),
        lambda: remove_images(place, landmark_ids=["landmark3"]),
        lambda: rollback(place, 2),
    )
    for change in changes:
        held = Gallery.load(place)
        assert follower.follow(held, Version.open(held.place)) is None, "nothing new"
        change()
        assert follower.follow(held, Version.open(held.place)) is None
    with pytest.raises(CairnError, match="different"):
        held.table.followed_by(held.table, np.concatenate([held.table.vectors] * 2))


def test_a_packed_gallery_answers_as_an_unpacked_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from cairn.search import by_tiles, search
    from cairn.search.tiles import HAS_TILES

    if not HAS_TILES:
        pytest.skip("this processor has no instructions for tiles")
    monkeypatch.setattr("cairn.search.quickest.quickest_way", lambda: "tiles")
    monkeypatch.setattr("cairn.search.packed.SMALL", 100)
    monkeypatch.setattr(by_tiles, "slab_rows", lambda dimension: 64)
    random = np.random.default_rng(0)
    buffer = random.standard_normal((300, 24)).astype(np.float32)
    buffer /= np.linalg.norm(buffer, axis=1, keepdims=True)
    offsets = -random.random(300).astype(np.float32)
    queries = buffer[::11] + np.float32(0.01)
    first = ExactSearcher(buffer[:250], offsets=offsets[:250])
    first.keep_packed()
    second = ExactSearcher(buffer, offsets=offsets)
    second.keep_packed(first)
    packed = second._packed
    assert isinstance(packed, Packed)
    assert (packed.num_taken_over, len(packed.panels)) == (3, 5)
    for searcher, num in ((first, 250), (second, 300)):
        for k in (1, 7, 310):
            wanted = search(queries, buffer[:num], k, offsets=offsets[:num])
            found = searcher.search(queries, k)
            np.testing.assert_array_equal(found.indices, wanted.indices)
            np.testing.assert_array_equal(found.similarities, wanted.similarities)
    moved = ExactSearcher(buffer, offsets=offsets * 2)
    moved.keep_packed(second)
    assert moved._packed is not None
    assert moved._packed.num_taken_over == 0
