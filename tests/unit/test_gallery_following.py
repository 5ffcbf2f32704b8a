"""Later versions are read in what is new; what is better loaded anew is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cairn.errors import CairnError
from cairn.gallery import Gallery, remove_images, rollback
from cairn.gallery.add import add_table
from cairn.gallery.differences import sources
from cairn.gallery.following import Follower
from cairn.gallery.versions import Version
from cairn.labels import Labels
from cairn.manifest import Manifest
from cairn.search.packed import Packed
from cairn.searchers import ExactSearcher
from cairn.tables import EmbeddingTable
from measuring.followed import assert_equal
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


def test_appended_rows_give_what_loading_gives(place: Path) -> None:
    follower, first = Follower(), Gallery.load(place)
    held, kept = first, first.table.vectors.copy()
    for seed, landmark, author in ((1, "landmark0", None), (2, "fresh", "Ann"), (3, "fresh", None)):
        add(place, seed, landmark=landmark, author=author)
        found = follower.follow(held, Version.open(held.place))
        assert found is not None
        assert_equal(found.gallery, Gallery.load(place))
        if held is not first:  # in the memory of the one before
            assert np.shares_memory(found.gallery.table.vectors, held.table.vectors)
        held = found.gallery
    np.testing.assert_array_equal(first.table.vectors, kept)
    # Two that follow the same one do not write over each other; one that is asked for again is it.
    before = Gallery.load(place)
    add(place, 4)
    one = follower.follow(held, Version.open(held.place))
    assert one is not None
    assert follower.follow(held, Version.open(held.place)) is one
    rows = one.gallery.table.vectors.copy()
    add(place, 5)
    other = follower.follow(held, Version.open(held.place))
    assert other is not None
    assert_equal(other.gallery, Gallery.load(place))
    np.testing.assert_array_equal(one.gallery.table.vectors, rows)
    assert not np.shares_memory(one.gallery.table.vectors, other.gallery.table.vectors)
    np.testing.assert_array_equal(held.table.vectors, before.table.vectors)


def test_what_is_better_loaded_is_not_followed(place: Path) -> None:
    follower, held = Follower(), Gallery.load(place)
    same = follower.follow(held, Version.open(held.place))
    assert same is not None
    assert same.gallery is held
    landmarks = sorted(set(held.table.landmark_ids))
    remove_images(place, landmark_ids=landmarks[1:])
    few = Gallery.load(place)
    rollback(place, held.version)
    assert follower.follow(few, Version.open(held.place)) is None, "most rows are new"
    assert sources(np.array([1, 2, 3], np.uint64), np.array([2, 1, 3], np.uint64)) is None
    table = held.table
    columns = (table.image_ids, table.landmark_ids, table.paths, table.vectors)
    with pytest.raises(CairnError, match="different"):
        table.changed(*columns, new=["other"])


def test_a_packed_gallery_answers_as_an_unpacked_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from cairn.search import by_tiles, search
    from cairn.search.tiles import HAS_TILES

    if not HAS_TILES:
        pytest.skip("this processor has no instructions for tiles")
    monkeypatch.setattr("cairn.search.quickest.quickest_way", lambda: "tiles")
    monkeypatch.setattr("cairn.search.packed._LEAST", 100)
    monkeypatch.setattr(by_tiles, "slab_rows", lambda dimension: 64)
    random = np.random.default_rng(0)
    buffer = random.standard_normal((300, 24)).astype(np.float32)
    buffer /= np.linalg.norm(buffer, axis=1, keepdims=True)
    offsets = -random.random(300).astype(np.float32)
    queries = buffer[::11] + np.float32(0.01)
    first = ExactSearcher(buffer[:250], offsets=offsets[:250])
    first.keep_packed()
    more = ExactSearcher(buffer, offsets=offsets)
    grown = np.concatenate([np.arange(250), np.full(50, -1)])
    more.keep_packed(first, grown)
    other = ExactSearcher(buffer, offsets=offsets * 2)
    other.keep_packed(more)
    plain = ExactSearcher(buffer)
    plain.keep_packed(more)
    kept = np.delete(np.arange(300), [70, 71, 299])
    kept = np.insert(kept, 200, -1)  # as a rollback brings a row back
    rows = np.where(kept[:, None] >= 0, buffer[kept], buffer[0] * np.float32(-1))
    fewer = ExactSearcher(rows, offsets=offsets[kept] * 3)
    fewer.keep_packed(more, kept)
    anew = ExactSearcher(buffer[:250].copy())
    anew.keep_packed(first)
    for searcher, taken_over in (
        *((first, 0), (more, 4), (other, 5), (plain, 5), (fewer, 2), (anew, 0)),
    ):
        packed = searcher._packed
        assert isinstance(packed, Packed)
        assert packed.num_taken_over == taken_over
        for k in (1, 7, 310):
            wanted = search(queries, searcher.vectors, k, offsets=searcher.offsets)
            found = searcher.search(queries, k)
            np.testing.assert_array_equal(found.indices, wanted.indices)
            np.testing.assert_array_equal(found.similarities, wanted.similarities)
    assert other._packed is not None
    assert more._packed is not None
    assert other._packed.panels[0].codes is more._packed.panels[0].codes
