"""What holds of every search."""

from __future__ import annotations

from unittest import mock

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn import search as module
from cairn.domain import Float32
from cairn.search import search


@st.composite
def rows(draw: st.DrawFn, most: int, dimension: int) -> Float32:
    """Unit rows on a coarse grid, so that equal and nearly equal similarities abound."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(-2, 3, size=(draw(st.integers(1, most)), dimension)).astype(np.float64)
    values[:, 0] += 0.5
    values += draw(st.sampled_from([0.0, 1e-7, 1e-3])) * rng.normal(size=values.shape)
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(unit, dtype=np.float32)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Float32, Float32, int, Float32 | None]:
    dimension = draw(st.integers(1, 20))
    queries, gallery = draw(rows(6, dimension)), draw(rows(1200, dimension))
    size = draw(st.sampled_from([0.0, 1e-6, 0.3]))
    offsets = np.random.default_rng(len(gallery)).normal(size=len(gallery)) * size
    k = draw(st.integers(1, 60))
    return queries, gallery, k, offsets.astype(np.float32) if size else None


@settings(max_examples=60, deadline=None)
@given(problem=problems(), rounds=st.booleans(), num_bytes=st.sampled_from([512, 9000, 8 << 20]))
def test_every_way_is_brute_force(
    problem: tuple[Float32, Float32, int, Float32 | None], rounds: bool, num_bytes: int
) -> None:
    queries, gallery, k, offsets = problem
    plain = search(queries, gallery, k, offsets=offsets)
    with mock.patch.multiple(
        module,
        _SMALL=0,
        _BFLOAT16_FROM=1,
        _BLOCK_BYTES=num_bytes,
        _bfloat16_pays=lambda: rounds,
    ):
        compiled = search(queries, gallery, k, offsets=offsets)
    scores = (queries[:, None].astype(np.float64) * gallery[None].astype(np.float64)).sum(-1)
    scores += 0 if offsets is None else offsets.astype(np.float64)
    best = -np.sort(-scores, axis=1)[:, :k]
    num = min(k, len(gallery))
    for found in (plain, compiled):
        # Which of two rows comes first may hang on the last bit of float64; their scores may not.
        chosen = np.take_along_axis(scores, found.indices[:, :num], axis=1)
        np.testing.assert_allclose(chosen, best, rtol=0, atol=1e-14)
        np.testing.assert_allclose(found.similarities[:, :num], best, rtol=1e-6, atol=1e-7)
        assert all(len(set(row)) == num for row in found.indices[:, :num].tolist())
        assert (np.diff(found.similarities[:, :num], axis=1) <= 0).all()
        assert (found.indices[:, num:] == -1).all()


@settings(max_examples=30, deadline=None)
@given(problem=problems())
def test_equal_gallery_rows_come_by_lower_row(
    problem: tuple[Float32, Float32, int, Float32 | None],
) -> None:
    queries, gallery, k, _ = problem
    twice = np.concatenate([gallery, gallery])
    found = search(queries, twice, 2 * k)
    for row in found.indices:
        place = {index: at for at, index in enumerate(row.tolist()) if index >= 0}
        assert all(index - len(gallery) in place for index in place if index >= len(gallery))
        for index, at in place.items():
            assert index < len(gallery) or place[index - len(gallery)] < at
