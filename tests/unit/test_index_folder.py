"""Approximate indexes on disk: they come back the same, or are refused."""

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from cairn.approximate import ApproximateSearcher
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.index_folder import digest, load_index, read_card, save_index
from cairn.index_kinds import Hnsw, IvfPq, Parameters
from cairn.proportions import wilson
from cairn.recall import Recall

GRAPH = Hnsw(m=8, ef_construction=40)
LISTS = IvfPq(nlist=16, nprobe=8)


def rows(num: int, seed: int = 0) -> Float32:
    made = np.random.default_rng(seed).standard_normal((num, 16))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


def offsets(num: int) -> Float32:
    return -np.random.default_rng(9).uniform(0, 0.5, num).astype(np.float32)


@pytest.mark.parametrize("parameters", [GRAPH, LISTS])
@pytest.mark.parametrize("has_offsets", [False, True])
def test_an_index_comes_back_the_same(
    tmp_path: Path, parameters: Parameters, has_offsets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, added = rows(1500), offsets(1500) if has_offsets else None
    made = ApproximateSearcher(vectors, parameters, offsets=added)
    recall = Recall(5, 100, wilson(0.99, 100), wilson(0.98, 400), 1000.0, 100.0)
    save_index(made, tmp_path / "a", fingerprint="model", content_key="gallery", recall=recall)
    monkeypatch.setattr("cairn.approximate._ADDED_AT_ONCE", 400)  # rows are put back in parts
    loaded = load_index(tmp_path / "a", vectors.copy(), offsets=added)
    ours, theirs = (faiss.serialize_index(one.index) for one in (made, loaded))
    np.testing.assert_array_equal(ours, theirs)
    assert loaded.parameters == parameters
    assert loaded.build_s == pytest.approx(made.build_s, abs=1e-3)
    one, other = made.search(rows(30, 1), 7), loaded.search(rows(30, 1), 7)
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_array_equal(one.similarities, other.similarities)
    card = read_card(tmp_path / "a")
    assert card["kind"] == parameters.kind
    assert (card["fingerprint"], card["content_key"]) == ("model", "gallery")
    assert (card["num_rows"], card["dimension"]) == (1500, 16)
    assert Recall.from_json(card["recall"]) == recall


def test_a_graph_is_written_without_the_vectors(tmp_path: Path) -> None:
    vectors = rows(1500).repeat(8, axis=1)
    save_index(ApproximateSearcher(vectors, GRAPH), tmp_path / "a")
    assert (tmp_path / "a" / "index.faiss").stat().st_size < vectors.nbytes / 2


@pytest.mark.parametrize("parameters", [GRAPH, LISTS])
def test_an_index_of_other_vectors_or_penalties_is_stale(
    tmp_path: Path, parameters: Parameters
) -> None:
    vectors, added = rows(1500), offsets(1500)
    save_index(ApproximateSearcher(vectors, parameters, offsets=added), tmp_path / "a")
    moved, costlier = vectors.copy(), added.copy()
    moved[3, 3] = np.nextafter(moved[3, 3], np.float32(2))
    costlier[0] -= 0.1
    others: list[tuple[Float32, Float32 | None, str]] = [
        (moved, added, "vectors"),
        (vectors[::-1], added, "vectors"),
        (vectors[:-1], added[:-1], "vectors"),
        (vectors, costlier, "penalties"),
        (vectors, None, "penalties"),
    ]
    for others_vectors, others_offsets, what in others:
        with pytest.raises(CairnError, match=f"STALE: it was built for other {what}") as fault:
            load_index(tmp_path / "a", others_vectors, offsets=others_offsets, mend="do this")
        assert "do this" in fault.value.todo


def test_damage_is_found_before_faiss_reads(tmp_path: Path) -> None:
    vectors = rows(1500)
    save_index(ApproximateSearcher(vectors, LISTS), tmp_path / "a")
    path = tmp_path / "a" / "index.faiss"
    whole = path.read_bytes()
    for spoiled in (whole[: len(whole) // 2], b"", whole[:100] + b"\xff" * 50 + whole[150:]):
        path.write_bytes(spoiled)
        with pytest.raises(CairnError, match="damaged"):
            load_index(tmp_path / "a", vectors)
    path.unlink()
    with pytest.raises(CairnError, match="damaged"):
        load_index(tmp_path / "a", vectors)


@pytest.mark.parametrize(
    ("name", "value"),
    [("kind", "flat"), ("parameters", {"m": 8}), ("parameters", {"nlist": 0}), ("kind", "hnsw")],
)
def test_a_card_that_does_not_fit_its_index_is_refused(
    tmp_path: Path, name: str, value: object
) -> None:
    vectors = rows(1500)
    save_index(ApproximateSearcher(vectors, LISTS), tmp_path / "a")
    path = tmp_path / "a" / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(CairnError):
        load_index(tmp_path / "a", vectors)


def test_no_index_and_another_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="no index here") as fault:
        load_index(tmp_path, rows(40), mend="do this")
    assert "do this" in fault.value.todo
    (tmp_path / "index.json").write_text('{"format": 2}')
    with pytest.raises(CairnError, match="format 1"):
        load_index(tmp_path, rows(40))
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(CairnError, match="JSON"):
        load_index(tmp_path, rows(40))


def test_an_index_replaces_another_only_when_told(tmp_path: Path) -> None:
    vectors = rows(1500)
    made = ApproximateSearcher(vectors, LISTS)
    save_index(made, tmp_path / "a")
    with pytest.raises(CairnError, match="never overwritten"):
        save_index(made, tmp_path / "a")
    save_index(ApproximateSearcher(vectors, GRAPH), tmp_path / "a", replace=True)
    assert load_index(tmp_path / "a", vectors).parameters == GRAPH
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_small_gallery_has_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="searched exactly"):
        save_index(ApproximateSearcher(rows(50), GRAPH), tmp_path / "a")
    assert not (tmp_path / "a").exists()


def test_a_digest_tells_type_shape_and_numbers_apart() -> None:
    a = np.zeros((2, 3), dtype=np.float32)
    others: list[NDArray[Any]] = [
        a.reshape(3, 2),
        a.astype(np.float64),
        a.view(np.int32),
        a + 1,
        a[:0],
    ]
    assert len({digest(one) for one in (a, *others)}) == 6
    assert digest(a) == digest(np.asfortranarray(a))
