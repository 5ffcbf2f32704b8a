"""Approximate search: its parameters, what FAISS is given, and when exact search takes over."""

import faiss
import numpy as np
import pytest

from cairn.approximate import MIN_ROWS, ApproximateSearcher, stored
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.index_kinds import ROWS_PER_LIST, Hnsw, IvfPq, Parameters
from cairn.rescoring import best_candidates
from cairn.search import search


def rows(num: int, dimension: int = 16, seed: int = 0) -> Float32:
    made = np.random.default_rng(seed).standard_normal((num, dimension))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Hnsw(m=1), "m must lie"),
        (lambda: Hnsw(m=32, ef_construction=16), "at least m"),
        (lambda: Hnsw(ef_search=0), "ef_search"),
        (lambda: Hnsw(m=2.5), "whole number"),  # type: ignore[arg-type]
        (lambda: IvfPq(nlist=0), "nlist"),
        (lambda: IvfPq(code_dims=17), "code_dims"),
        (lambda: IvfPq(nlist=8, nprobe=9), "nprobe"),
        (lambda: IvfPq(num_rescored=0), "num_rescored"),
    ],
)
def test_parameters_out_of_range_are_refused(make: object, what: str) -> None:
    assert callable(make)
    with pytest.raises(CairnError, match=what):
        make()


@pytest.mark.parametrize("num_rows", [1, 39, 1024, 20_000, 1_000_000, 10_000_000])
def test_the_usual_lists_can_be_taught_by_the_gallery(num_rows: int) -> None:
    usual = IvfPq.for_gallery(num_rows)
    assert usual.nlist == 1 or usual.nlist * ROWS_PER_LIST <= num_rows
    assert 1 <= usual.nprobe <= usual.nlist


def test_more_lists_than_the_gallery_teaches_are_refused() -> None:
    with pytest.raises(CairnError, match="lists need") as fault:
        ApproximateSearcher(rows(2000), IvfPq(nlist=256))
    assert "at most 51 lists" in fault.value.todo


def test_a_small_gallery_has_no_index_and_says_so() -> None:
    small = ApproximateSearcher(rows(MIN_ROWS - 1), Hnsw())
    assert small.index is None
    assert small.num_bytes == 0
    assert "exact" in small.name
    assert ApproximateSearcher(rows(MIN_ROWS), Hnsw(m=8)).index is not None


@pytest.mark.parametrize("parameters", [Hnsw(), IvfPq()])
def test_stored_products_are_similarity_plus_offset(parameters: Parameters) -> None:
    vectors, asked = rows(50), rows(7, seed=1)
    offsets = np.linspace(-0.5, 0.0, 50, dtype=np.float32)
    given = stored(vectors, offsets, parameters)
    with_one = np.zeros((7, given.shape[1]), dtype=np.float32)
    with_one[:, :16], with_one[:, 16] = asked, 1.0
    np.testing.assert_allclose(with_one @ given.T, asked @ vectors.T + offsets, atol=1e-6)


def test_a_graph_stores_rows_of_one_length() -> None:
    # So that the nearest by distance is the one with the largest product.
    offsets = np.linspace(-0.5, 0.0, 50, dtype=np.float32)
    lengths = np.linalg.norm(stored(rows(50), offsets, Hnsw()), axis=1)
    np.testing.assert_allclose(lengths, np.sqrt(1.25), rtol=1e-6)


@pytest.mark.parametrize("code_dims", [1, 3, 4, 16])
def test_codes_come_in_pairs_whatever_the_dimension(code_dims: int) -> None:
    searcher = ApproximateSearcher(
        rows(1500, 21), IvfPq(nlist=4, code_dims=code_dims, nprobe=4, num_rescored=300)
    )
    assert searcher.index.d % (2 * code_dims) == 0
    found = searcher.search(rows(5, 21, seed=1), 3)
    assert (found.indices >= 0).all()


def test_with_search_changes_the_effort_and_shares_the_index() -> None:
    vectors, asked = rows(3000, 32), rows(50, 32, seed=1)
    truth = search(asked, vectors, 10)
    little = ApproximateSearcher(vectors, Hnsw(m=4, ef_construction=8, ef_search=1))
    much = little.with_search(ef_search=1000)
    assert much.index is little.index
    assert "ef=1000" in much.name
    assert "ef=1" in little.name
    shares = [(one.search(asked, 10).indices == truth.indices).mean() for one in (little, much)]
    assert shares[0] < shares[1]
    with pytest.raises(CairnError, match="only ef_search"):
        little.with_search(m=8)
    lists = ApproximateSearcher(vectors, IvfPq(nlist=16, nprobe=1))
    assert lists.with_search(nprobe=16).parameters == IvfPq(nlist=16, nprobe=16)


def test_lists_that_hold_too_little_are_made_up_for() -> None:
    # One list of 75 holds about 20 rows of 1,500, and 60 are asked for.
    vectors, asked = rows(1500), rows(9, seed=1)
    searcher = ApproximateSearcher(vectors, IvfPq(nlist=38, nprobe=1, num_rescored=10))
    found, truth = searcher.search(asked, 200), search(asked, vectors, 200)
    np.testing.assert_array_equal(found.indices, truth.indices)


def test_codes_are_a_fraction_of_a_graph() -> None:
    vectors = rows(2000, 64)
    graph = ApproximateSearcher(vectors, Hnsw(m=16, ef_construction=40))
    lists = ApproximateSearcher(vectors, IvfPq(nlist=32, nprobe=8))
    for searcher in (graph, lists):
        told = searcher.num_bytes
        assert told == pytest.approx(len(faiss.serialize_index(searcher.index)), rel=0.25)
    assert lists.num_bytes < graph.num_bytes / 5


def test_long_vectors_are_found_by_product_not_by_distance() -> None:
    # Rows of any length: the longest has the largest product with everything.
    vectors = rows(1500)
    vectors[700] *= 5
    asked = vectors[700:701] / 5 + 0.1 * rows(1, seed=3)
    for parameters in (Hnsw(m=16), IvfPq(nlist=8, nprobe=8, num_rescored=400)):
        found = ApproximateSearcher(vectors, parameters).search(asked, 3)
        assert found.indices[0, 0] == 700


def test_candidates_are_ordered_by_exact_score_then_row() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], dtype=np.float32)
    offsets = np.array([0, 0, 0, 0.5], dtype=np.float32)
    asked = np.array([[1, 0], [0, 1]], dtype=np.float32)
    rows_QC = np.array([[2, -1, 3, 0], [0, 1, -1, -1]], dtype=np.int64)
    found = best_candidates(asked, vectors, offsets, rows_QC, 3)
    assert found.rows.tolist() == [[3, 0, 2], [1, 0, -1]]
    expected = np.array([[1.1, 1, 1], [1, 0, -np.inf]])
    np.testing.assert_allclose(found.scores, expected, rtol=1e-7)


def test_a_gallery_in_half_precision_is_refused() -> None:
    with pytest.raises(CairnError, match="float32"):
        ApproximateSearcher(rows(1500).astype(np.float16), Hnsw())


def test_a_gallery_coded_in_parts_is_coded_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, offsets = rows(3000), -np.linspace(0, 0.5, 3000, dtype=np.float32)
    whole = ApproximateSearcher(vectors, IvfPq(nlist=16), offsets=offsets)
    monkeypatch.setattr("cairn.approximate._ADDED_AT_ONCE", 700)
    parts = ApproximateSearcher(vectors, IvfPq(nlist=16), offsets=offsets)
    one, other = (faiss.serialize_index(searcher.index) for searcher in (whole, parts))
    np.testing.assert_array_equal(one, other)
