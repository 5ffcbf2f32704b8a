"""What holds of every way of searching."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn.domain import Float32
from cairn.search import by_products, by_tiles, cross, exact, merge, quickest, search, top_k
from cairn.search.tiles import HAS_TILES

WAYS = ("rows", "float32", "bfloat16", *(("tiles",) if HAS_TILES else ()))


@st.composite
def rows(draw: st.DrawFn, most: int, dimension: int) -> Float32:
    """Unit rows on a coarse grid, so that equal and nearly equal similarities abound."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(-2, 3, size=(draw(st.integers(1, most)), dimension)).astype(np.float64)
    values[:, 0] += 0.5
    if draw(st.booleans()):  # tight clusters
        values = values[rng.integers(min(3, len(values)), size=len(values))]
    values += draw(st.sampled_from([0.0, 1e-7, 1e-3])) * rng.normal(size=values.shape)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(unit, dtype=np.float32)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Float32, Float32, int, Float32 | None]:
    dimension = draw(st.integers(1, 40))
    queries, gallery = draw(rows(40, dimension)), draw(rows(1200, dimension))
    size = draw(st.sampled_from([0.0, 1e-6, 0.3]))
    offsets = np.random.default_rng(len(gallery)).normal(size=len(gallery)) * size
    k = draw(st.integers(1, 60))
    return queries, gallery, k, offsets.astype(np.float32) if size else None


@contextmanager
def going(way: str, num_bytes: int = 8 << 20, threads: int = 2) -> Iterator[None]:
    """Search in one way, in blocks of so many bytes and by so many threads."""
    with ExitStack() as stack:

        def change(module: Any, **values: Any) -> None:
            stack.enter_context(mock.patch.multiple(module, **values))

        change(exact, SMALL=0, _FEW=10_000 if way == "rows" else 0, _BFLOAT16_FROM=1)
        change(quickest, quickest_way=lambda: way)
        change(by_products, _BLOCK_BYTES=num_bytes, _ROWS_AT_ONCE=max(1, num_bytes // 100))
        change(by_tiles, _SLAB_BYTES=num_bytes, _GROUPS_AT_ONCE=2)
        change(torch, get_num_threads=lambda: threads)
        yield


@settings(max_examples=80, deadline=None)
@given(
    problem=problems(),
    way=st.sampled_from(WAYS),
    num_bytes=st.sampled_from([512, 9000, 8 << 20]),
    threads=st.integers(1, 4),
)
def test_every_way_is_brute_force(
    problem: tuple[Float32, Float32, int, Float32 | None], way: str, num_bytes: int, threads: int
) -> None:
    queries, gallery, k, offsets = problem
    plain = top_k(queries, gallery, k, offsets=offsets)
    with going(way, num_bytes, threads):
        compiled = top_k(queries, gallery, k, offsets=offsets)
    np.testing.assert_array_equal(compiled.rows, plain.rows)
    np.testing.assert_array_equal(compiled.scores, plain.scores)
    scores = (queries[:, None].astype(np.float64) * gallery[None].astype(np.float64)).sum(-1)
    scores += 0 if offsets is None else offsets.astype(np.float64)
    best = -np.sort(-scores, axis=1)[:, :k]
    num = min(k, len(gallery))
    # Which of two rows comes first may hang on the last bit of float64; their scores may not.
    chosen = np.take_along_axis(scores, plain.rows[:, :num], axis=1)
    np.testing.assert_allclose(chosen, best, rtol=0, atol=1e-14)
    np.testing.assert_allclose(plain.scores[:, :num], best, rtol=0, atol=1e-14)
    assert all(len(set(row)) == num for row in plain.rows[:, :num].tolist())
    assert (np.diff(plain.scores[:, :num], axis=1) <= 0).all()
    assert (plain.rows[:, num:] == -1).all()


@settings(max_examples=30, deadline=None)
@given(problem=problems(), way=st.sampled_from(WAYS))
def test_equal_gallery_rows_come_by_lower_row(
    problem: tuple[Float32, Float32, int, Float32 | None], way: str
) -> None:
    queries, gallery, k, _ = problem
    twice = np.concatenate([gallery, gallery])
    with going(way):
        found = search(queries, twice, 2 * k)
    for row in found.indices:
        place = {index: at for at, index in enumerate(row.tolist()) if index >= 0}
        assert all(index - len(gallery) in place for index in place if index >= len(gallery))
        for index, at in place.items():
            assert index < len(gallery) or place[index - len(gallery)] < at


@settings(max_examples=30, deadline=None)
@given(problem=problems(), way=st.sampled_from(WAYS), seed=st.integers(0, 99))
def test_the_order_of_queries_does_not_matter(
    problem: tuple[Float32, Float32, int, Float32 | None], way: str, seed: int
) -> None:
    queries, gallery, k, offsets = problem
    order = np.random.default_rng(seed).permutation(len(queries))
    with going(way):
        found = top_k(queries, gallery, k, offsets=offsets)
        shuffled = top_k(queries[order], gallery, k, offsets=offsets)
    np.testing.assert_array_equal(shuffled.rows, found.rows[order])
    np.testing.assert_array_equal(shuffled.scores, found.scores[order])


@settings(max_examples=30, deadline=None)
@given(problem=problems(), way=st.sampled_from(("plain", *WAYS)), cuts=st.integers(1, 6))
def test_shards_merge_to_the_answer_of_the_whole(
    problem: tuple[Float32, Float32, int, Float32 | None], way: str, cuts: int
) -> None:
    queries, gallery, k, offsets = problem
    whole = top_k(queries, gallery, k, offsets=offsets)
    bounds = sorted({0, len(gallery), *(len(gallery) * cut // cuts for cut in range(cuts))})
    found = []
    for low, high in pairwise(bounds):
        added = None if offsets is None else offsets[low:high]
        with ExitStack() as stack:
            if way != "plain" and low:  # the first shard is searched in another way
                stack.enter_context(going(way))
            found.append(top_k(queries, gallery[low:high], k, offsets=added).moved(low))
    merged = merge(found, k)
    np.testing.assert_array_equal(merged.rows, whole.rows)
    np.testing.assert_array_equal(merged.scores, whole.scores)


@settings(max_examples=40, deadline=None)
@given(
    problem=problems(),
    m=st.integers(1, 9),
    way=st.sampled_from(("plain", *WAYS)),
    threads=st.integers(1, 3),
    num_bytes=st.sampled_from([512, 9000, 8 << 20]),
)
def test_crossing_is_two_searches(
    problem: tuple[Float32, Float32, int, Float32 | None],
    m: int,
    way: str,
    threads: int,
    num_bytes: int,
) -> None:
    queries, gallery, k, _ = problem
    of_queries, of_rows = top_k(queries, gallery, k), top_k(gallery, queries, m)
    with ExitStack() as stack:
        if way != "plain":
            stack.enter_context(going(way, num_bytes, threads))
        found = cross(queries, gallery, k, m)
    for ours, theirs in ((found.of_queries, of_queries), (found.of_rows, of_rows)):
        np.testing.assert_array_equal(ours.rows, theirs.rows)
        np.testing.assert_array_equal(ours.scores, theirs.scores)
