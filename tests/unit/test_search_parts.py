"""Galleries in half precision, in blocks and in parts; crossings that grow and shrink."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.search import (
    Crossing,
    TopK,
    by_tiles,
    cross,
    exact,
    merge,
    search,
    search_shards,
    top_k,
)
from cairn.search.candidates import Slab, insert, kth_largest, put_in_order, score
from cairn.search.compiled import BFLOAT16, FLOAT16, FLOAT32, as_float32, compiled
from cairn.search.workers import shares, workers


def unit_rows(num_rows: int, dimension: int, seed: int) -> Float32:
    rows = np.random.default_rng(seed).normal(size=(num_rows, dimension))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def assert_same(ours: TopK, theirs: TopK) -> None:
    np.testing.assert_array_equal(ours.rows, theirs.rows)
    np.testing.assert_array_equal(ours.scores, theirs.scores)


@pytest.mark.parametrize("num_queries", [2, 50])
@pytest.mark.parametrize("small", [0, 1 << 21])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_searched_as_it_is(
    dtype: torch.dtype, small: int, num_queries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "SMALL", small)
    queries = torch.from_numpy(unit_rows(num_queries, 40, 1))
    gallery = torch.from_numpy(unit_rows(2000, 40, 2)).to(dtype)
    gallery[700:900] = gallery[3]
    found = top_k(queries, gallery, 30)
    assert_same(found, top_k(queries, gallery.float(), 30))
    assert_same(
        top_k(queries.to(dtype), gallery, 30), top_k(queries.to(dtype).float(), gallery, 30)
    )


def test_every_number_of_half_precision_is_read_right() -> None:
    @compiled
    def read(bits: Any, kind: int, out: Float32) -> Float32:
        return as_float32(bits, kind, out)

    bits = np.arange(1 << 16, dtype=np.uint16)
    finite = (bits & 0x7C00) != 0x7C00
    halves = bits.view(np.float16).astype(np.float32)
    ours = read(bits, FLOAT16, np.empty(1 << 16, np.float32))
    np.testing.assert_array_equal(ours[finite], halves[finite])
    assert (np.abs(ours[~finite]) >= 65536).all()
    wide = torch.from_numpy(bits).view(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(read(bits, BFLOAT16, np.empty(1 << 16, np.float32)), wide)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 0.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_rows_that_are_no_vectors_are_refused(
    dtype: torch.dtype, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "SMALL", 0)
    gallery = torch.from_numpy(unit_rows(300, 16, 2)).to(dtype)
    gallery[123] = value
    for num_queries in (1, 40):
        with pytest.raises(CairnError, match="gallery hold a row that is zero") as caught:
            search(unit_rows(num_queries, 16, 1), gallery, 3)
        assert caught.value.where == "row 123"


def test_a_memory_map_is_searched_without_a_copy(tmp_path: Path) -> None:
    gallery = unit_rows(500, 24, 2)
    np.save(tmp_path / "g.npy", gallery)
    mapped = np.load(tmp_path / "g.npy", mmap_mode="r")
    queries = unit_rows(20, 24, 1)
    assert_same(top_k(queries, mapped, 9), top_k(queries, gallery, 9))


class InBlocks:
    """A gallery that is read; it tells how many rows were asked for at a time."""

    def __init__(self, rows: Float32, says: int | None = None) -> None:
        self.rows, self.says = rows, len(rows) if says is None else says
        self.asked: list[int] = []

    @property
    def shape(self) -> tuple[int, int]:
        return self.says, self.rows.shape[1]

    def blocks(self, num_rows: int) -> Iterator[Float32]:
        for start in range(0, len(self.rows), num_rows):
            self.asked.append(num_rows)
            yield self.rows[start : start + num_rows]


@pytest.mark.parametrize("k", [1, 30, 400])
def test_a_gallery_in_blocks_gives_the_answer_of_the_whole(
    k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "_BLOCK_BYTES", 4 * 24 * 70)
    queries, gallery = unit_rows(20, 24, 1), unit_rows(300, 24, 2)
    gallery[60:90] = gallery[5]
    offsets = np.linspace(0, 0.3, 300, dtype=np.float32)
    blocks = InBlocks(gallery)
    found = top_k(queries, blocks, k, offsets=offsets)
    assert_same(found, top_k(queries, gallery, k, offsets=offsets))
    assert blocks.asked == [70] * 5


def test_a_gallery_that_gives_fewer_rows_than_it_says_is_refused() -> None:
    with pytest.raises(CairnError, match="has 301 rows and gave 300"):
        search(unit_rows(2, 8, 1), InBlocks(unit_rows(300, 8, 2), 301), 3)
    with pytest.raises(CairnError, match="holds no rows"):
        search(unit_rows(2, 8, 1), InBlocks(unit_rows(0, 8, 2)), 3)


def test_a_gallery_that_gives_more_rows_than_it_says_is_refused() -> None:
    with pytest.raises(CairnError, match="has 299 rows and gave 300"):
        search(unit_rows(2, 8, 1), InBlocks(unit_rows(300, 8, 2), 299), 3)


class WithEmptyBlocks(InBlocks):
    def blocks(self, num_rows: int) -> Iterator[Float32]:
        for block in super().blocks(num_rows):
            yield block[:0]
            yield block


def test_blocks_may_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_BLOCK_BYTES", 4 * 8 * 70)
    queries, gallery = unit_rows(5, 8, 1), unit_rows(300, 8, 2)
    assert_same(top_k(queries, WithEmptyBlocks(gallery), 9), top_k(queries, gallery, 9))


@pytest.mark.parametrize("num_queries", [2, 60])
@pytest.mark.parametrize("small", [0, 1 << 21])
def test_a_bad_row_of_a_later_block_is_named_by_its_own_number(
    small: int, num_queries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "SMALL", small)
    monkeypatch.setattr(exact, "_BLOCK_BYTES", 4 * 8 * 70)
    gallery = unit_rows(300, 8, 2)
    gallery[211] = np.nan
    with pytest.raises(CairnError, match="gallery hold a row") as caught:
        search(unit_rows(num_queries, 8, 1), InBlocks(gallery), 3)
    assert caught.value.where == "row 211"


def test_a_row_that_is_ruled_out_widens_no_other_row_s_bound() -> None:
    queries, gallery = unit_rows(20, 40, 1), unit_rows(700, 40, 2)
    offsets = np.zeros(700, np.float32)
    offsets[300] = -1e30
    with workers() as crew:
        groups = by_tiles.pack_all_queries(queries, 0, crew)
        slab = Slab(gallery.view(np.uint32), FLOAT32, offsets, 0)
        panels = by_tiles.pack_slab(slab, None, crew)
        assert by_tiles.set_bounds(groups, panels, slab).max() < 0.1


def test_a_thousand_neighbours() -> None:
    queries, gallery = unit_rows(12, 600, 1), unit_rows(4000, 600, 2)
    found = search(queries, gallery, 1000)
    scores = queries.astype(np.float64) @ gallery.T.astype(np.float64)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :1000]
    np.testing.assert_array_equal(found.indices, order)


@pytest.mark.parametrize("k", [3, 40])
def test_shards_give_the_answer_of_the_whole(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = unit_rows(20, 24, 1), unit_rows(300, 24, 2)
    gallery[60:90] = gallery[5]
    offsets = np.linspace(0, 0.3, 300, dtype=np.float32)
    offsets[100:120] = 0
    whole = search(queries, gallery, k, offsets=offsets)
    monkeypatch.setattr(exact, "SMALL", 150 * 24)  # some shards are small, others are not
    cuts = (slice(0, 100), slice(100, 120), slice(120, 300))
    shards: list[Any] = [
        gallery[cuts[0]],
        torch.from_numpy(gallery[cuts[1]]),
        InBlocks(gallery[cuts[2]]),
    ]
    found = search_shards(queries, shards, k, offsets=[offsets[cuts[0]], None, offsets[cuts[2]]])
    np.testing.assert_array_equal(found.indices, whole.indices)
    np.testing.assert_array_equal(found.similarities, whole.similarities)


def test_shards_that_do_not_fit_are_refused() -> None:
    queries, gallery = unit_rows(2, 8, 1), unit_rows(30, 8, 2)
    with pytest.raises(CairnError, match="one entry for each shard"):
        search_shards(queries, [], 3)
    with pytest.raises(CairnError, match="one entry for each shard"):
        search_shards(queries, [gallery, gallery], 3, offsets=[None])
    with pytest.raises(CairnError, match="holds no rows"):
        search_shards(queries, [gallery, gallery[:0]], 3)


def test_many_queries_are_answered_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = unit_rows(70, 24, 1), unit_rows(300, 24, 2)
    offsets = np.linspace(0, 0.3, 300, dtype=np.float32)
    whole = search(queries, gallery, 5, offsets=offsets)
    monkeypatch.setattr(exact, "_ANSWERS_AT_ONCE", 16)
    monkeypatch.setattr(exact, "_ANSWER_BYTES", 0)
    found = search(queries, gallery, 5, offsets=offsets)
    np.testing.assert_array_equal(found.indices, whole.indices)
    np.testing.assert_array_equal(found.similarities, whole.similarities)
    assert search(queries, gallery, 400).indices[:, 300:].max() == -1
    queries[60] = 0
    with pytest.raises(CairnError, match="queries hold a row") as caught:
        search(queries, gallery, 5)
    assert caught.value.where == "row 60"
    with pytest.raises(CairnError, match="k must be at least 1"):
        search(queries[:40], gallery, -1)


def test_merging_refuses_what_does_not_belong_together() -> None:
    a, b = (
        top_k(unit_rows(2, 8, 1), unit_rows(9, 8, 2), 3),
        top_k(unit_rows(3, 8, 1), unit_rows(9, 8, 2), 3),
    )
    with pytest.raises(CairnError, match="of the same queries"):
        merge([a, b], 3)
    with pytest.raises(CairnError, match="of the same queries"):
        merge([], 3)
    with pytest.raises(CairnError, match="k must be at least 1"):
        merge([a], 0)
    assert merge([a], 5).rows[:, 3:].tolist() == [[-1, -1]] * 2
    np.testing.assert_array_equal(merge([a], 2).rows, a.rows[:, :2])


def test_a_score_is_the_inner_product() -> None:
    rng = np.random.default_rng(0)
    for num in (1, 15, 16, 17, 130):
        a, b = rng.normal(size=(2, num)).astype(np.float32)
        exactly = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
        assert score(a, b, np.empty(16)) == pytest.approx(exactly, rel=1e-13, abs=1e-15)


def test_no_caller_reorders_a_score() -> None:
    # Where it is not set, numba takes it from the caller, once machine code comes from its cache.
    options: Any = score
    assert options.targetoptions["fastmath"] is False
    rng = np.random.default_rng(0)
    queries, gallery = (rng.normal(size=(num, 64)).astype(np.float32) for num in (11, 200))
    found = top_k(queries, gallery, 200)
    for query, rows, scores in zip(queries, found.rows, found.scores, strict=True):
        assert [score(query, gallery[row], np.empty(16)) for row in rows] == scores.tolist()


def test_a_heap_keeps_the_best_and_the_lower_of_equal_rows() -> None:
    rng = np.random.default_rng(3)
    for k in (1, 2, 7, 20):
        values = rng.integers(0, 12, 200).astype(np.float64)
        rows = rng.permutation(200)
        scores_K, rows_K, size = np.full(k, -np.inf), np.full(k, -1), 0
        for value, row in zip(values, rows, strict=True):
            size = insert(scores_K, rows_K, size, value, int(row))
        best = sorted(zip(-values, rows, strict=True))[:k]
        assert sorted(zip(-scores_K, rows_K, strict=True)) == best
        assert (scores_K[0], rows_K[0]) == (-best[-1][0], best[-1][1])
        put_in_order(scores_K[None], rows_K[None], np.array([size]), 0, 1)
        assert list(zip(-scores_K, rows_K, strict=True)) == best


def test_the_kth_largest_among_equal_ones_too() -> None:
    rng = np.random.default_rng(3)
    for num in (1, 2, 3, 50, 400):
        for values in (rng.integers(0, 5, num), rng.normal(size=num), np.arange(num)):
            some = values.astype(np.float32)
            for k in {1, (num + 1) // 2, num}:
                assert kth_largest(some.copy(), k) == np.sort(some)[-k]


def test_shares_cover_the_range_once() -> None:
    for total in (0, 1, 5, 17):
        for num in (1, 3, 8):
            parts = shares(total, num)
            assert [i for low, high in parts for i in range(low, high)] == list(range(total))
            assert all(low < high for low, high in parts)


class TestCrossing:
    @pytest.fixture(params=[0, 1 << 21], ids=["compiled", "plain"])
    def rows(
        self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> tuple[Float32, Float32]:
        monkeypatch.setattr(exact, "SMALL", request.param)
        bank, gallery = unit_rows(90, 12, 1), unit_rows(400, 12, 2)
        gallery[350:370] = gallery[20]
        bank[80:85] = bank[2]
        return bank, gallery

    def same(self, ours: Crossing, theirs: Crossing) -> None:
        assert_same(ours.of_queries, theirs.of_queries)
        assert_same(ours.of_rows, theirs.of_rows)

    def test_grows_by_gallery_rows(self, rows: tuple[Float32, Float32]) -> None:
        bank, gallery = rows
        grown = cross(bank, gallery[:300], 20, 5).with_rows(bank, gallery[300:])
        self.same(grown, cross(bank, gallery, 20, 5))

    def test_grows_by_bank_rows(self, rows: tuple[Float32, Float32]) -> None:
        bank, gallery = rows
        grown = cross(bank[:3], gallery, 20, 5).with_queries(bank[3:], gallery)
        self.same(grown, cross(bank, gallery, 20, 5))

    def test_shrinks(self, rows: tuple[Float32, Float32]) -> None:
        bank, gallery = rows
        whole = cross(bank, gallery, 20, 5)
        kept = np.random.default_rng(1).random(400) < 0.8
        fewer = whole.without_rows(kept, bank, gallery[kept])
        self.same(fewer, cross(bank, gallery[kept], 20, 5))
        some = np.random.default_rng(2).random(90) < 0.5
        self.same(
            fewer.without_queries(some, bank[some], gallery[kept]),
            cross(bank[some], gallery[kept], 20, 5),
        )

    def test_shrinks_below_its_neighbours(self, rows: tuple[Float32, Float32]) -> None:
        bank, gallery = rows
        kept = np.arange(400) < 7
        fewer = cross(bank, gallery, 20, 5).without_rows(kept, bank, gallery[:7])
        self.same(fewer, cross(bank, gallery[:7], 20, 5))
        assert (fewer.of_queries.rows[:, 7:] == -1).all()

    def test_only_what_lost_a_neighbour_is_searched_again(
        self, rows: tuple[Float32, Float32], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bank, gallery = rows
        whole = cross(bank, gallery, 20, 5)
        gone = int(whole.of_queries.rows[7, 3])
        losers = int((whole.of_queries.rows == gone).any(axis=1).sum())
        asked: list[int] = []

        def spied(queries: Any, *rest: Any) -> TopK:
            asked.append(len(queries))
            return top_k(queries, *rest)

        monkeypatch.setattr(sys.modules["cairn.search.cross"], "top_k", spied)
        kept = np.arange(400) != gone
        whole.without_rows(kept, bank, gallery[kept])
        assert asked == [losers]
        assert losers < 90

    def test_refuses(self, rows: tuple[Float32, Float32]) -> None:
        bank, gallery = rows
        whole = cross(bank, gallery, 20, 5)
        with pytest.raises(CairnError, match="told for each gallery row"):
            whole.without_rows(np.ones(400, bool), bank, gallery[1:])
        with pytest.raises(CairnError, match="at least 1"):
            cross(bank, gallery, 0, 5)
        with pytest.raises(CairnError, match="no queries to cross"):
            cross(bank[:0], gallery, 2, 5)
        with pytest.raises(CairnError, match="differ in dimension"):
            cross(bank[:, :5], gallery, 2, 5)
