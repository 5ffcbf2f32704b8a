"""What every searcher must do, whatever is inside; a new one is one line of ``SEARCHERS``."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import Any

import faiss
import numpy as np
import pytest
import torch

from cairn.approximate import ApproximateSearcher
from cairn.domain import Float32, Neighbors
from cairn.errors import CairnError
from cairn.index_kinds import Hnsw, IvfPq
from cairn.search import Array, merge, search, top_k
from cairn.searchers import ExactSearcher, Searcher

Make = Callable[[Float32, Float32 | None], Searcher]


class Shards:
    """A gallery in three parts, searched apart and merged."""

    name = "three shards"

    def __init__(self, vectors: Float32, offsets: Float32 | None) -> None:
        self.whole = ExactSearcher(vectors, offsets=offsets)  # checks them
        self.vectors, self.offsets = vectors, offsets

    @property
    def dimension(self) -> int:
        return self.whole.dimension

    def __len__(self) -> int:
        return len(self.whole)

    def search(self, queries: Array, k: int) -> Neighbors:
        cuts = sorted({len(self) * part // 3 for part in range(4)})
        parts = []
        for start, end in pairwise(cuts):
            offsets = None if self.offsets is None else self.offsets[start:end]
            found = top_k(queries, self.vectors[start:end], k, offsets=offsets)
            parts.append(found.moved(start))
        return merge(parts, k).neighbors()


SEARCHERS: dict[str, Make] = {
    "exact": lambda vectors, offsets: ExactSearcher(vectors, offsets=offsets),
    "shards": Shards,
    "hnsw": lambda vectors, offsets: ApproximateSearcher(
        vectors, Hnsw(m=16, ef_construction=60), offsets=offsets
    ),
    "ivf-pq": lambda vectors, offsets: ApproximateSearcher(
        vectors, IvfPq(nlist=16, code_dims=2, nprobe=8, num_rescored=100), offsets=offsets
    ),
}
"""From (G, D) vectors and (G,) offsets or none to the searcher of that gallery."""

SIZES = (1, 2, 40, 1500)
"""Of galleries; the last is large enough for every index."""

DIMENSION = 24


@pytest.fixture(params=list(SEARCHERS))
def make(request: pytest.FixtureRequest) -> Make:
    return SEARCHERS[request.param]


@lru_cache
def gallery(num: int) -> Float32:
    """Return unit rows in groups of ten alike."""
    rng = np.random.default_rng(num)
    centres = rng.standard_normal((-(-num // 10), DIMENSION)).repeat(10, axis=0)[:num]
    return unit(centres + 0.3 * rng.standard_normal((num, DIMENSION)))


@lru_cache
def queries(num: int, size: int) -> Float32:
    """Return unit rows near rows of a gallery."""
    rng = np.random.default_rng(num + 1000 * size)
    near = gallery(size)[rng.integers(size, size=num)]
    return unit(near + 0.1 * rng.standard_normal(near.shape))


@lru_cache
def penalties(num: int) -> Float32:
    """Return offsets: a third of the rows lose up to 0.6."""
    rng = np.random.default_rng(num + 7)
    return np.where(rng.random(num) < 0.34, -rng.uniform(0, 0.6, num), 0.0).astype(np.float32)


def unit(rows: object) -> Float32:
    array = np.asarray(rows)
    return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True), dtype=np.float32)


def products(asked: Float32, vectors: Float32, offsets: Float32 | None) -> Float32:
    """Return (Q, G) similarities, summed in float64: the oracle of every answer."""
    whole = asked.astype(np.float64) @ vectors.astype(np.float64).T
    return (whole if offsets is None else whole + offsets.astype(np.float64)).astype(np.float32)


@contextmanager
def threads(num: int) -> Iterator[None]:
    before = torch.get_num_threads(), faiss.omp_get_max_threads()
    torch.set_num_threads(num)
    faiss.omp_set_num_threads(num)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        faiss.omp_set_num_threads(before[1])


def require_same(one: Neighbors, other: Neighbors) -> None:
    np.testing.assert_array_equal(one.indices, other.indices)
    np.testing.assert_array_equal(one.similarities, other.similarities)


@pytest.mark.parametrize("size", SIZES)
def test_it_tells_its_size_and_has_a_name(make: Make, size: int) -> None:
    searcher = make(gallery(size), None)
    assert len(searcher) == size
    assert searcher.dimension == DIMENSION
    assert 0 < len(searcher.name) < 60


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("k", [1, 7, 2000])
@pytest.mark.parametrize("has_offsets", [False, True])
def test_answers_have_the_form_of_exact_ones(
    make: Make, size: int, k: int, has_offsets: bool
) -> None:
    vectors, asked = gallery(size), queries(9, size)
    offsets = penalties(size) if has_offsets else None
    found = make(vectors, offsets).search(asked, k)
    assert found.indices.shape == found.similarities.shape == (9, k)
    assert found.indices.dtype == np.dtype(np.int64)
    assert found.similarities.dtype == np.dtype(np.float32)
    held = min(k, size)  # as many as there are, each once, then padding
    for rows in found.indices:
        assert len(set(rows[:held].tolist())) == held
        assert ((rows[:held] >= 0) & (rows[:held] < size)).all()
    assert (found.indices[:, held:] == -1).all()
    assert (found.similarities[:, held:] == -np.inf).all()
    assert (np.diff(found.similarities[:, :held], axis=1) <= 0).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("has_offsets", [False, True])
def test_similarities_are_those_of_exact_search_to_the_bit(
    make: Make, size: int, has_offsets: bool
) -> None:
    vectors, asked = gallery(size), queries(30, size)
    offsets = penalties(size) if has_offsets else None
    found = make(vectors, offsets).search(asked, min(size, 10))
    every = search(asked, vectors, size, offsets=offsets)
    of_row = np.empty((len(asked), size), dtype=np.float32)
    np.put_along_axis(of_row, every.indices, every.similarities, axis=1)
    np.testing.assert_array_equal(
        found.similarities, np.take_along_axis(of_row, found.indices, axis=1)
    )
    np.testing.assert_allclose(of_row, products(asked, vectors, offsets), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_a_row_finds_itself(make: Make, size: int) -> None:
    found = make(gallery(size), None).search(gallery(size)[:20], 1)
    assert found.indices[:, 0].tolist() == list(range(min(size, 20)))


def test_groups_far_apart_are_found_whole(make: Make) -> None:
    # 150 groups of ten, each about an axis of its own: nothing else comes near.
    rng = np.random.default_rng(4)
    axes = np.eye(160)[:150].repeat(10, axis=0)
    vectors = unit(axes + 0.02 * rng.standard_normal(axes.shape))
    found = make(vectors, None).search(unit(np.eye(160)[:150]), 10)
    wanted = np.arange(1500).reshape(150, 10)
    np.testing.assert_array_equal(np.sort(found.indices, axis=1), wanted)


def test_penalties_decide_which_rows_are_found(make: Make) -> None:
    # A third of the gallery lies nearer to every query than all else, and costs more than it is
    # nearer by. Who subtracts from the nearest afterwards returns these 500 rows only.
    rng = np.random.default_rng(8)
    common = np.zeros(DIMENSION)
    common[0] = 1.0
    hubs = unit(common + 0.05 * rng.standard_normal((500, DIMENSION)))
    others = unit(common + 0.3 * rng.standard_normal((1000, DIMENSION)))
    vectors = np.concatenate([hubs, others])
    offsets = np.concatenate([np.full(500, -0.9), np.zeros(1000)]).astype(np.float32)
    asked = unit(common + 0.05 * rng.standard_normal((40, DIMENSION)))
    assert (search(asked, vectors, 100).indices < 500).all()
    found = make(vectors, offsets).search(asked, 10)
    assert (found.indices >= 500).all()


@pytest.mark.parametrize("size", [40, 1500])
def test_equal_rows_come_by_lower_number(make: Make, size: int) -> None:
    vectors = gallery(size).copy()
    places = np.array([3, 11, 17, 29])
    vectors[places] = vectors[3]
    found = make(vectors, None).search(vectors[3:4], 6)
    assert found.indices[0, :4].tolist() == places.tolist()
    assert len(set(found.similarities[0, :4].tolist())) == 1


def test_a_gallery_of_one_repeated_row(make: Make) -> None:
    vectors = np.repeat(gallery(1), 1500, axis=0)
    found = make(vectors, None).search(gallery(1), 5)
    assert len(set(found.indices[0].tolist())) == 5
    assert len(set(found.similarities[0].tolist())) == 1
    assert (np.diff(found.indices[0]) > 0).all()


@pytest.mark.parametrize("size", SIZES)
def test_no_queries_give_no_answers(make: Make, size: int) -> None:
    found = make(gallery(size), None).search(np.empty((0, DIMENSION), dtype=np.float32), 3)
    assert found.indices.shape == found.similarities.shape == (0, 3)


@pytest.mark.parametrize("size", [40, 1500])
def test_a_query_is_answered_alike_alone_and_among_others(make: Make, size: int) -> None:
    searcher, asked = make(gallery(size), penalties(size)), queries(30, size)
    together = searcher.search(asked, 5)
    backwards = searcher.search(np.ascontiguousarray(asked[::-1]), 5)
    require_same(together, Neighbors(backwards.indices[::-1], backwards.similarities[::-1]))
    for row in range(0, 30, 7):
        alone = searcher.search(asked[row : row + 1], 5)
        np.testing.assert_array_equal(alone.indices[0], together.indices[row])
        np.testing.assert_array_equal(alone.similarities[0], together.similarities[row])


def test_a_tensor_asks_as_an_array_does(make: Make) -> None:
    searcher, asked = make(gallery(1500), None), queries(30, 1500)
    require_same(searcher.search(asked, 5), searcher.search(torch.from_numpy(asked), 5))


def test_queries_in_half_precision_are_the_numbers_that_they_are(make: Make) -> None:
    searcher, asked = make(gallery(1500), None), queries(9, 1500).astype(np.float16)
    require_same(searcher.search(asked, 5), searcher.search(asked.astype(np.float32), 5))


def test_it_is_made_alike_twice_and_by_any_number_of_threads(make: Make) -> None:
    asked = queries(30, 1500)
    answers = []
    for num in (1, 1, 2, 3):
        with threads(num):
            answers.append(make(gallery(1500), penalties(1500)).search(asked, 8))
    for other in answers[1:]:
        require_same(answers[0], other)


def test_several_threads_may_ask_at_once(make: Make) -> None:
    searcher, asked = make(gallery(1500), penalties(1500)), queries(40, 1500)
    alone = searcher.search(asked, 6)
    with ThreadPoolExecutor(4) as pool:
        parts = [asked[start : start + 5] for start in range(0, 40, 5)] * 3
        found = list(pool.map(lambda part: searcher.search(part, 6), parts))
    for at, part in enumerate(found):
        rows = slice(at % 8 * 5, at % 8 * 5 + 5)
        require_same(part, Neighbors(alone.indices[rows], alone.similarities[rows]))


def test_the_gallery_and_the_queries_are_left_as_they_were(make: Make) -> None:
    vectors, asked, offsets = gallery(1500).copy(), queries(5, 1500).copy(), penalties(1500).copy()
    for array in (vectors, asked, offsets):
        array.flags.writeable = False
    found = make(vectors, offsets).search(asked, 3)
    assert (found.indices >= 0).all()


@pytest.mark.parametrize("size", [40, 1500])
@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda asked: asked.astype(np.float64), "float32"),
        (lambda asked: asked[0], "matrix"),
        (lambda asked: asked[:, :-1], "dimension"),
        (lambda asked: np.where(np.arange(len(asked))[:, None] == 2, 0, asked), "row that is zero"),
        (lambda asked: np.where(asked == asked[2, 3], np.nan, asked), "not finite"),
        (lambda asked: np.where(asked == asked[2, 3], np.inf, asked), "not finite"),
    ],
)
def test_queries_that_are_no_vectors_are_refused(
    make: Make, size: int, spoil: Callable[[Float32], Float32], what: str
) -> None:
    searcher = make(gallery(size), None)
    spoiled = spoil(queries(9, size))
    if what in ("row that is zero", "not finite"):
        spoiled = spoiled.astype(np.float32)
    with pytest.raises(CairnError, match=what):
        searcher.search(spoiled, 3)


def test_a_fault_names_the_query(make: Make) -> None:
    asked = queries(9, 1500).copy()
    asked[4] = 0
    with pytest.raises(CairnError) as fault:
        make(gallery(1500), None).search(asked, 3)
    assert "row 4" in fault.value.where


def test_k_below_one_is_refused(make: Make) -> None:
    with pytest.raises(CairnError, match="at least 1"):
        make(gallery(40), None).search(queries(9, 40), 0)


@pytest.mark.parametrize("size", [40, 1500])
def test_galleries_that_are_no_vectors_are_refused(make: Make, size: int) -> None:
    good = gallery(size)
    zero, none = good.copy(), good.copy()
    zero[7], none[7, 0] = 0, np.nan
    spoiled: list[Any] = [good.astype(np.float64), good[0], good[:0], zero, none]
    for vectors in spoiled:
        with pytest.raises(CairnError):
            make(vectors, None)


@pytest.mark.parametrize("size", [40, 1500])
def test_offsets_that_do_not_fit_are_refused(make: Make, size: int) -> None:
    good = penalties(size)
    infinite = good.copy()
    infinite[5] = np.inf
    spoiled: list[Any] = [good[:-1], good[:, None], good.astype(np.float64), infinite]
    for offsets in spoiled:
        with pytest.raises(CairnError, match="offsets"):
            make(gallery(size), offsets)
