"""Rankings and their truths as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cairn.errors import CairnError
from cairn.rankings import rank, read_rankings, read_retrieval_solution, write_rankings
from cairn.tables import EmbeddingTable

ROWS = [("q1", ["a", "b c", "100%"]), ("q2", []), ("q3", ['quo"te', "com,ma", "故宫/1"])]


def table(vectors: list[list[float]], prefix: str, model: str = "m") -> EmbeddingTable:
    array = np.array(vectors, np.float32)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    ids = [f"{prefix}{number}" for number in range(len(array))]
    return EmbeddingTable(ids, [""] * len(ids), ids, array, model)


@pytest.mark.parametrize("name", ["r.csv", "r.parquet"])
def test_written_and_read(tmp_path: Path, name: str) -> None:
    assert write_rankings(tmp_path / name, iter(ROWS)) == 3
    assert list(read_rankings(tmp_path / name)) == ROWS


def test_a_ranking_larger_than_csv_s_usual_field(tmp_path: Path) -> None:
    ids = [f"image{number:06d}" for number in range(20_000)]
    write_rankings(tmp_path / "r.csv", [("q", ids)])
    assert list(read_rankings(tmp_path / "r.csv")) == [("q", ids)]


def test_ranked_by_similarity_then_by_row() -> None:
    gallery = table([[1, 0], [0, 1], [1, 1], [1, 0]], "g")
    found = list(rank(table([[1, 0], [0, 1]], "q"), gallery))
    assert found == [("q0", ["g0", "g3", "g2", "g1"]), ("q1", ["g1", "g2", "g0", "g3"])]
    assert list(rank(table([[1, 0]], "q"), gallery, top=2)) == [("q0", ["g0", "g3"])]


def test_many_queries_are_ranked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from cairn import rankings

    rng = np.random.default_rng(0)
    queries, gallery = (
        table(rng.normal(size=(7, 4)).tolist(), "q"),
        table(rng.normal(size=(9, 4)).tolist(), "g"),
    )
    whole = list(rank(queries, gallery))
    monkeypatch.setattr(rankings, "_ANSWERS_AT_ONCE", 20)
    assert list(rank(queries, gallery)) == whole
    similarities = queries.vectors.astype(float) @ gallery.vectors.astype(float).T
    expected = np.argsort(-similarities, axis=1, kind="stable")
    assert [ids for _, ids in whole] == [[f"g{i}" for i in row] for row in expected]


def test_two_models_and_no_images_are_refused() -> None:
    gallery = table([[1, 0]], "g")
    with pytest.raises(CairnError, match="model"):
        list(rank(table([[1, 0]], "q", "other"), gallery))
    with pytest.raises(CairnError, match="at least one"):
        list(rank(table([[1, 0]], "q"), gallery, top=0))


def test_a_solution_of_google_s_retrieval_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text(
        "id,images,Usage\nq1,a b,Public\nq2,c,Private\nq3,None,Ignored\n", encoding="utf-8"
    )
    both = read_retrieval_solution(path)
    assert (both.truth, both.set_aside) == (
        {"q1": frozenset("ab"), "q2": frozenset("c")},
        frozenset({"q3"}),
    )
    # q1: a first, b third: (1/1 + 2/3)/2 = 5/6. q2 found nothing. q3 does not count.
    rankings = [("q1", ["a", "x", "b"]), ("q2", ["x"]), ("q3", ["a"])]
    assert both.score(rankings) == pytest.approx(5 / 12)
    assert read_retrieval_solution(path, usage="public").score(rankings) == pytest.approx(5 / 6)
    assert both.score(rankings[:1]) == pytest.approx(5 / 12)
    with pytest.raises(CairnError, match="does not have"):
        both.score([("other", ["a"])])


@pytest.mark.parametrize(
    ("text", "usage", "told"),
    [
        ("id,images\nq1,a\nq1,b\n", "all", "stands twice"),
        ("id,images,Usage\nq1,a,Secret\n", "all", "unknown Usage"),
        ("id,images\nq1,\n", "all", "no image to be found"),
        ("id,images,Usage\nq1,a,Public\n", "private", "no query"),
        ("id,images\nq1,a\n", "public", "needs a column Usage"),
        ("id,landmarks\nq1,a\n", "all", "no column 'images'"),
        ("id,images\nq1\n", "all", "another number of values"),
        ("id,images\nq1,a\n", "some", "unknown usage"),
    ],
)
def test_solutions_that_are_none(tmp_path: Path, text: str, usage: str, told: str) -> None:
    path = tmp_path / "s.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CairnError, match=told):
        read_retrieval_solution(path, usage=usage)


def test_files_that_hold_no_rankings(tmp_path: Path) -> None:
    (tmp_path / "r.parquet").write_bytes(b"none")
    (tmp_path / "r.csv").write_bytes(b"id,images\nq,\xff\n")
    for name, told in (("r.parquet", "Parquet"), ("r.csv", "UTF-8"), ("none.csv", "not found")):
        with pytest.raises(CairnError, match=told):
            list(read_rankings(tmp_path / name))
    with pytest.raises(CairnError, match="ends in"):
        write_rankings(tmp_path / "r.txt", [])
