"""Recall: numbers worked out by hand."""

import numpy as np
import pytest

from cairn.domain import Neighbors
from cairn.errors import CairnError
from cairn.proportions import wilson
from cairn.recall import Recall, measure_recall, recall_of
from cairn.searchers import ExactSearcher


def answers(rows: list[list[int]], similarities: list[list[float]]) -> Neighbors:
    return Neighbors(np.array(rows, dtype=np.int64), np.array(similarities, dtype=np.float32))


def test_a_row_as_similar_as_the_kth_counts_as_found() -> None:
    truth = answers([[4, 2], [1, 3]], [[0.9, 0.5], [0.8, 0.7]])
    # The first query has another row that is as similar as the second best; the second query has
    # the second best and something worse.
    found = answers([[4, 9], [3, 8]], [[0.9, 0.5], [0.7, 0.1]])
    recall = recall_of(found, truth)
    assert recall.at_k.value == pytest.approx(3 / 4)
    assert recall.at_1.value == 1 / 2
    assert (recall.k, recall.num_queries) == (2, 2)


def test_padding_is_not_wanted() -> None:
    truth = answers([[0, 1, -1]], [[0.9, 0.5, -np.inf]])
    found = answers([[0, 1, -1]], [[0.9, 0.5, -np.inf]])
    assert recall_of(found, truth).at_k.value == 1.0
    missed = answers([[0, -1, -1]], [[0.9, -np.inf, -np.inf]])
    assert recall_of(missed, truth).at_k.value == 0.5


def test_the_interval_of_parts_is_narrower_than_that_of_whole_queries() -> None:
    # 100 queries that all find 19 of 20 say more than 95 that find all and 5 that find nothing.
    truth = answers([list(range(20))] * 100, [[0.5] * 20] * 100)
    even = answers([list(range(20))] * 100, [[0.5] * 19 + [0.1]] * 100)
    rough = answers([list(range(20))] * 100, [[0.5] * 20] * 95 + [[0.1] * 20] * 5)
    parts, whole = recall_of(even, truth).at_k, recall_of(rough, truth).at_k
    assert parts.value == pytest.approx(0.95)
    assert whole.value == pytest.approx(0.95)
    assert parts.low is not None
    assert whole.low is not None
    assert parts.low > whole.low
    # Never narrower than as if every row had been asked about apart.
    assert parts.low == pytest.approx(wilson(0.95, 100 * 20).low)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    # Queries that find all, three quarters or half of 20 rows; the true mean is 0.9375.
    rng = np.random.default_rng(0)
    held = 0
    truth = answers([list(range(20))] * 60, [[0.5] * 20] * 60)
    for _ in range(400):
        num_found = rng.choice([20, 15, 10], size=60, p=[0.8, 0.15, 0.05])
        found = [[0.5] * num + [0.1] * (20 - num) for num in num_found]
        at_k = recall_of(answers([list(range(20))] * 60, found), truth).at_k
        assert at_k.low is not None
        assert at_k.high is not None
        held += at_k.low <= 0.8 + 0.15 * 0.75 + 0.05 * 0.5 <= at_k.high
    assert held >= 0.92 * 400


def test_exact_against_exact_finds_all_and_is_timed() -> None:
    rows = np.eye(5, dtype=np.float32)
    exact = ExactSearcher(rows)
    recall = measure_recall(exact, exact, rows, 2)
    assert recall.at_k.value == recall.at_1.value == 1.0
    assert recall.qps is not None
    assert recall.qps > 0
    assert Recall.from_json(recall.to_json()) == recall


def test_no_queries_have_no_recall() -> None:
    rows = np.eye(5, dtype=np.float32)
    with pytest.raises(CairnError, match="at least one query"):
        measure_recall(ExactSearcher(rows), ExactSearcher(rows), rows[:0], 2)


def test_answers_of_different_form_are_refused() -> None:
    with pytest.raises(CairnError, match="one shape"):
        recall_of(answers([[0]], [[0.5]]), answers([[0, 1]], [[0.5, 0.4]]))
