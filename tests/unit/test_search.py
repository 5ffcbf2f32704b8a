from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cairn.domain import Float32, Int64
from cairn.errors import CairnError
from cairn.search import by_products, by_tiles, by_torch, exact, quickest, search
from cairn.search.tiles import HAS_TILES


def unit_rows(num_rows: int, dimension: int, seed: int) -> Float32:
    rows = np.random.default_rng(seed).normal(size=(num_rows, dimension))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def brute_force(
    queries: Float32, gallery: Float32, k: int, offsets: Float32 | None = None
) -> tuple[Int64, Float32]:
    scores = (queries[:, None].astype(np.float64) * gallery[None].astype(np.float64)).sum(-1)
    scores += 0 if offsets is None else offsets.astype(np.float64)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1).astype(np.float32)


WAYS = [
    "plain",
    "rows",
    "float32",
    "bfloat16",
    pytest.param(
        "tiles", marks=pytest.mark.skipif(not HAS_TILES, reason="a processor without VNNI")
    ),
]


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way of searching in turn, whatever the size asks for."""
    if request.param != "plain":
        monkeypatch.setattr(exact, "SMALL", 0)
    monkeypatch.setattr(exact, "_FEW", 1000 if request.param == "rows" else 0)
    monkeypatch.setattr(exact, "_BFLOAT16_FROM", 1)
    monkeypatch.setattr(quickest, "quickest_way", lambda: request.param)
    return str(request.param)


@pytest.mark.usefixtures("way")
class TestEveryWay:
    @pytest.mark.parametrize("num_queries", [1, 3, 60])
    @pytest.mark.parametrize("k", [1, 20])
    def test_agrees_with_brute_force(self, num_queries: int, k: int) -> None:
        queries, gallery = unit_rows(num_queries, 40, 1), unit_rows(700, 40, 2)
        found = search(queries, gallery, k)
        indices, similarities = brute_force(queries, gallery, k)
        np.testing.assert_array_equal(found.indices, indices)
        np.testing.assert_allclose(found.similarities, similarities, rtol=3e-7)
        assert found.indices.dtype == np.int64
        assert found.similarities.dtype == np.float32

    @pytest.mark.parametrize("size", [0.01, 0.5, -0.5, 100.0])
    def test_offsets_count_before_the_best_are_chosen(self, size: float) -> None:
        queries, gallery = unit_rows(9, 16, 1), unit_rows(900, 16, 2)
        offsets = (size * np.random.default_rng(3).random(900)).astype(np.float32)
        found = search(queries, gallery, 15, offsets=offsets)
        indices, similarities = brute_force(queries, gallery, 15, offsets)
        np.testing.assert_array_equal(found.indices, indices)
        np.testing.assert_allclose(found.similarities, similarities, rtol=3e-7)

    def test_equal_rows_come_in_their_order(self) -> None:
        gallery = unit_rows(3000, 24, 1)
        gallery[500:2900] = gallery[7]  # far more than are kept as candidates
        found = search(gallery[[7, 8]], gallery, 30)
        assert found.indices[0].tolist() == [7, *range(500, 529)]
        np.testing.assert_array_equal(found.indices, brute_force(gallery[[7, 8]], gallery, 30)[0])

    def test_tells_apart_what_float32_cannot(self) -> None:
        # Similarities to the query differ by 1e-9 of a unit, in no particular order.
        rng = np.random.default_rng(0)
        gallery = np.zeros((2000, 3), dtype=np.float32)
        gallery[:, 0] = 1
        gallery[:, 1] = 1e-9 * rng.permutation(2000)
        query = np.array([[1, 1, 0]], dtype=np.float32) * np.float32(np.sqrt(0.5))
        found = search(query, gallery, 50)
        assert found.indices[0].tolist() == np.argsort(-gallery[:, 1])[:50].tolist()

    def test_block_sizes_do_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        queries, gallery = unit_rows(50, 32, 1), unit_rows(1500, 32, 2)
        gallery[100:140] = gallery[3]
        whole = search(queries, gallery, 25)
        for at_once, num_bytes in ((1, 1 << 10), (7, 1 << 12), (33, 70_000)):
            for module in (exact, by_torch, by_products):
                monkeypatch.setattr(module, "_QUERIES_AT_ONCE", at_once)
            monkeypatch.setattr(by_products, "_BLOCK_BYTES", num_bytes)
            monkeypatch.setattr(by_products, "_ROWS_AT_ONCE", num_bytes // 32)
            monkeypatch.setattr(by_tiles, "_SLAB_BYTES", num_bytes)
            monkeypatch.setattr(by_tiles, "_GROUPS_AT_ONCE", at_once)
            monkeypatch.setitem(by_torch._PAIRS_AT_ONCE, "cpu", num_bytes)
            monkeypatch.setitem(by_torch._PAIR_BYTES_AT_ONCE, "cpu", num_bytes)
            parts = search(queries, gallery, 25)
            np.testing.assert_array_equal(parts.indices, whole.indices)
            np.testing.assert_array_equal(parts.similarities, whole.similarities)

    def test_threads_do_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        queries, gallery = unit_rows(5, 32, 1), unit_rows(1500, 32, 2)
        one = search(queries, gallery, 25)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
        np.testing.assert_array_equal(search(queries, gallery, 25).indices, one.indices)

    def test_pads_where_the_gallery_is_smaller(self) -> None:
        found = search(unit_rows(2, 8, 1), unit_rows(3, 8, 2), 5)
        assert sorted(found.indices[0, :3].tolist()) == [0, 1, 2]
        assert (found.indices[:, 3:] == -1).all()
        assert np.isneginf(found.similarities[:, 3:]).all()
        assert np.isfinite(found.similarities[:, :3]).all()

    def test_no_queries(self) -> None:
        found = search(unit_rows(0, 8, 1), unit_rows(3, 8, 2), 2)
        assert found.indices.shape == (0, 2)

    @pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
    def test_refuses_rows_that_are_no_vectors(self, value: float) -> None:
        rows, bad = unit_rows(40, 8, 1), unit_rows(40, 8, 2)
        bad[31] = value
        with pytest.raises(CairnError, match="queries hold a row that is zero") as caught:
            search(bad, rows, 3)
        assert caught.value.where == "row 31"
        with pytest.raises(CairnError, match="gallery hold a row that is zero"):
            search(rows, bad, 3)

    @pytest.mark.parametrize("length", [1e-20, 1e-12, 1e12])
    def test_refuses_rows_far_from_unit_length(self, length: float) -> None:
        rows, bad = unit_rows(40, 8, 1), unit_rows(40, 8, 2)
        bad[31] *= np.float32(length)
        with pytest.raises(CairnError, match="queries hold a row that is far from") as caught:
            search(bad, rows, 3)
        assert caught.value.where == "row 31"
        with pytest.raises(CairnError, match="gallery hold a row that is far from unit length"):
            search(rows, bad, 3)

    @pytest.mark.parametrize("lengths", [(2e-9, 2e-9), (9e8, 9e8), (2e-9, 9e8)])
    def test_lengths_do_not_matter(self, lengths: tuple[float, float]) -> None:
        queries, gallery = unit_rows(20, 40, 1), unit_rows(700, 40, 2)
        queries *= np.float32(lengths[0])
        gallery *= np.float32(lengths[1])
        found = search(queries, gallery, 9)
        np.testing.assert_array_equal(found.indices, brute_force(queries, gallery, 9)[0])

    @pytest.mark.parametrize("offset", [-1e30, float(np.finfo(np.float32).min)])
    def test_rows_that_offsets_rule_out_come_last(self, offset: float) -> None:
        queries, gallery = unit_rows(20, 40, 1), unit_rows(700, 40, 2)
        offsets = np.zeros(700, np.float32)
        offsets[::2] = offset
        found = search(queries, gallery, 355, offsets=offsets)
        first = brute_force(queries, gallery[1::2], 350)[0] * 2 + 1
        np.testing.assert_array_equal(found.indices[:, :350], first)
        # The others are equal: their products are lost in such a number.
        assert found.indices[:, 350:].tolist() == [[0, 2, 4, 6, 8]] * 20

    def test_more_dimensions_than_sums_of_codes_hold(self) -> None:
        gallery = np.full((12, 140_000), 140_000**-0.5, dtype=np.float32)
        gallery *= np.linspace(0.9, 1.1, 12, dtype=np.float32)[:, None]
        found = search(gallery[:10], gallery, 4)
        assert found.indices.tolist() == [[11, 10, 9, 8]] * 10

    def test_long_rows_are_not_normalised(self) -> None:
        queries, gallery = unit_rows(4, 8, 1), unit_rows(500, 8, 2)
        gallery *= np.linspace(0.5, 3, 500, dtype=np.float32)[:, None]
        np.testing.assert_array_equal(
            search(queries, gallery, 9).indices, brute_force(queries, gallery, 9)[0]
        )


@pytest.mark.parametrize(
    "change",
    [
        torch.from_numpy,
        lambda rows: torch.from_numpy(rows).requires_grad_(),
        np.asfortranarray,
        lambda rows: np.repeat(rows, 2, axis=0)[::2],
    ],
)
def test_takes_any_layout(change: Callable[[Float32], Any]) -> None:
    queries, gallery = unit_rows(4, 8, 1), unit_rows(50, 8, 2)
    expected = search(queries, gallery, 5).indices
    np.testing.assert_array_equal(search(change(queries), change(gallery), 5).indices, expected)


def test_takes_arrays_that_must_not_be_written() -> None:
    queries, gallery = unit_rows(4, 8, 1), unit_rows(50, 8, 2)
    for rows in (queries, gallery):
        rows.flags.writeable = False
    assert search(queries, gallery, 5).k == 5


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((unit_rows(2, 8, 1), unit_rows(3, 7, 1), 1), {}, "differ in dimension"),
        ((unit_rows(2, 8, 1)[0], unit_rows(3, 8, 1), 1), {}, "queries must be a matrix"),
        ((unit_rows(2, 8, 1), unit_rows(3, 8, 1).astype(np.float64), 1), {}, "must be float32"),
        ((unit_rows(2, 8, 1), unit_rows(0, 8, 1), 1), {}, "gallery holds no rows"),
        ((unit_rows(2, 8, 1), unit_rows(3, 8, 1), 0), {}, "k must be at least 1"),
        (
            (unit_rows(2, 8, 1), unit_rows(3, 8, 1), 1),
            {"offsets": np.zeros(2, dtype=np.float32)},
            "one float32 for each gallery row",
        ),
        (
            (unit_rows(2, 8, 1), unit_rows(3, 8, 1), 1),
            {"offsets": np.array([0, np.nan, 0], dtype=np.float32)},
            "offsets must be finite",
        ),
        (
            (unit_rows(2, 8, 1), unit_rows(3, 8, 1), 1),
            {"offsets": np.array([0, 2e30, 0], dtype=np.float32)},
            "offsets must be at most 1e",
        ),
        ((unit_rows(2, 8, 1), unit_rows(3, 8, 1).tolist(), 1), {}, "must be float32"),
        ((unit_rows(2, 8, 1), unit_rows(3, 8, 1).astype(">f4"), 1), {}, "cannot be searched"),
    ],
)
def test_refuses(arguments: tuple[Any, Any, int], options: dict[str, Any], message: str) -> None:
    with pytest.raises(CairnError, match=message):
        search(*arguments, **options)


def test_names_the_nearest_precision() -> None:
    with pytest.raises(CairnError) as caught:
        search(unit_rows(2, 8, 1), unit_rows(3, 8, 1), 1, precision="exakt")
    assert "did you mean 'exact'?" in str(caught.value)


def test_lower_product_precision_widens_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = by_torch.summing_error(512)
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    assert by_torch.summing_error(512) > narrow + 2 * 2.0**-8


def test_sums_stay_in_float32_until_the_last_search_is_over() -> None:
    matmul = torch.backends.cuda.matmul
    assert matmul.allow_bf16_reduced_precision_reduction  # as PyTorch sets it
    first, second = by_torch._sums_in_float32(), by_torch._sums_in_float32()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not matmul.allow_bf16_reduced_precision_reduction
    second.__exit__(None, None, None)
    assert matmul.allow_bf16_reduced_precision_reduction


def test_so_it_does_where_onednn_was_told_to_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_DEFAULT_FPMATH_MODE", raising=False)
    monkeypatch.setenv("DNNL_DEFAULT_FPMATH_MODE", "STRICT")
    narrow = by_torch.summing_error(512)
    monkeypatch.setenv("DNNL_DEFAULT_FPMATH_MODE", "BF16")
    assert by_torch.summing_error(512) > narrow + 2 * 2.0**-8


def test_so_it_does_where_the_precision_was_set_by_newer_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    narrow = by_torch.summing_error(512)

    def mixed() -> str:
        raise RuntimeError("mix of the legacy and new APIs to set the matmul precision")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", mixed)
    assert by_torch.summing_error(512) > narrow + 2 * 2.0**-8
    found = search(unit_rows(4, 8, 1), unit_rows(50, 8, 2), 5)
    np.testing.assert_array_equal(
        found.indices, brute_force(unit_rows(4, 8, 1), unit_rows(50, 8, 2), 5)[0]
    )


@pytest.mark.skipif(not HAS_TILES, reason="a processor without VNNI")
@pytest.mark.parametrize("kind", ["sorted", "drawn first", "shuffled"])
def test_a_wrong_guess_is_mended(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "SMALL", 0)
    monkeypatch.setattr(by_tiles, "_SAMPLE_ROWS", 256)
    queries, gallery = unit_rows(60, 16, 1), unit_rows(6000, 16, 2)
    near = unit_rows(1, 16, 3)
    nearness = (gallery @ near.T)[:, 0]
    gallery = gallery[np.argsort(-nearness)]
    if kind == "shuffled":
        gallery = gallery[np.random.default_rng(4).permutation(6000)]
    if kind == "drawn first":  # the rows that are drawn are the best ones
        order = np.argsort(np.arange(6000) % (6000 // 256) != 0, kind="stable")
        mixed = np.empty_like(gallery)
        mixed[order] = gallery
        gallery = mixed
    queries = np.concatenate([near, near, queries])
    again: list[int] = []
    search_again = by_tiles.by_tiles

    def counting(rows: Float32, *given: Any, **options: Any) -> Any:
        if not options.get("guess", True):
            again.append(len(rows))
        return search_again(rows, *given, **options)

    monkeypatch.setattr(by_tiles, "by_tiles", counting)
    found = search(queries, gallery, 40)
    np.testing.assert_array_equal(found.indices, brute_force(queries, gallery, 40)[0])
    assert bool(again) == (kind == "drawn first")


def test_a_bad_row_that_was_drawn_is_named_by_its_own_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exact, "SMALL", 0)
    monkeypatch.setattr(by_tiles, "_SAMPLE_ROWS", 256)
    gallery = unit_rows(6000, 16, 2)
    gallery[23 * 100] = np.nan
    with pytest.raises(CairnError, match="gallery hold a row") as caught:
        search(unit_rows(60, 16, 1), gallery, 10)
    assert caught.value.where == "row 2300"


def test_half_a_last_place_of_bfloat16() -> None:
    half = torch.finfo(torch.bfloat16).eps / 2
    assert by_torch._BFLOAT16 == by_products._BFLOAT16 == half
