"""Scores on rankings small enough to work out by hand, and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cairn import metrics
from cairn.errors import CairnError
from cairn.metrics import global_average_precision as gap_of
from cairn.metrics import mean_average_precision, rank, top1_accuracy


def test_gap_by_hand_with_a_distractor_between_two_hits() -> None:
    predictions = {"a": ("x", 0.9), "n": ("x", 0.8), "b": ("y", 0.7)}
    truth: dict[str, set[str]] = {"a": {"x"}, "b": {"y"}, "n": set(), "c": {"z"}}
    assert gap_of(predictions, truth) == pytest.approx((1 + 2 / 3) / 3)
    assert gap_of(predictions, truth, ignore_unlabelled=True) == pytest.approx(2 / 3)
    assert top1_accuracy(predictions, truth) == pytest.approx(2 / 3)


def test_ties_stand_in_the_order_of_string_ids() -> None:
    # "10" comes before "9" as text, so the wrong answer takes the first rank
    predictions = {"9": ("x", 0.5), "10": ("x", 0.5)}
    assert gap_of(predictions, {"9": {"x"}, "10": {"y"}}) == pytest.approx((1 / 2) / 2)


def test_ties_stand_in_the_order_of_numbers() -> None:
    predictions = {10: (1, 0.5), 9: (1, 0.5)}
    assert gap_of(predictions, {9: {1}, 10: {2}}) == pytest.approx(1 / 2)


def test_none_is_a_blank() -> None:
    assert gap_of({"a": ("x", 1.0), "b": None}, {"a": {"x"}, "b": {"y"}}) == 0.5


def test_gap_equals_average_precision_times_recall_without_ties() -> None:
    rng = np.random.default_rng(3)
    truth = {f"q{i:03}": ({str(i % 7)} if i < 120 else set[str]()) for i in range(400)}
    scores = rng.permutation(400) / 400
    predictions = {
        query: (str(rng.integers(0, 7)), float(score))
        for query, score in zip(truth, scores, strict=True)
        if rng.random() < 0.8
    }
    right = np.array([landmark in truth[query] for query, (landmark, _) in predictions.items()])
    values = np.array([score for _, score in predictions.values()])
    expected = average_precision_score(right, values) * right.sum() / 120
    assert gap_of(predictions, truth) == pytest.approx(expected, abs=1e-12)


def test_scores_beyond_float32_keep_their_order() -> None:
    predictions = {"b": ("x", 2e-300), "a": ("y", 1e-300)}
    assert gap_of(predictions, {"a": {"x"}, "b": {"x"}}) == pytest.approx(0.5)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf")])
def test_scores_must_be_finite(score: float) -> None:
    with pytest.raises(CairnError, match="finite"):
        gap_of({"a": ("x", score)}, {"a": {"x"}})


def test_unknown_queries_are_refused() -> None:
    with pytest.raises(CairnError, match="not among the queries") as caught:
        gap_of({"zz": ("x", 1.0)}, {"a": {"x"}})
    assert "zz" in caught.value.where


@pytest.mark.parametrize("truth", [{}, {"a": set[str]()}])
def test_nothing_labelled_is_refused(truth: dict[str, set[str]]) -> None:
    with pytest.raises(CairnError, match="M = 0"):
        gap_of({}, truth)


def test_a_string_is_no_set_of_landmarks() -> None:
    with pytest.raises(CairnError, match="collection"):
        gap_of({"a": ("12", 1.0)}, {"a": "123"})


def test_numbers_against_strings_are_refused() -> None:
    with pytest.raises(CairnError, match="mix numbers and strings"):
        gap_of({"a": ("12", 1.0)}, {"a": {12}})  # type: ignore[type-var]


def test_mean_average_precision_divides_by_what_fits() -> None:
    truth = {"q": {str(i) for i in range(150)}}
    assert mean_average_precision({"q": [str(i) for i in range(100)]}, truth) == pytest.approx(1.0)
    assert mean_average_precision({"q": ["0"]}, truth) == pytest.approx(1 / 100)
    ranked = {"q": ["n", "0", "1"]}
    assert mean_average_precision(ranked, truth, max_predictions=2) == pytest.approx((1 / 2) / 2)


def test_mean_average_precision_refuses_what_has_no_answer() -> None:
    with pytest.raises(CairnError, match="without relevant images"):
        mean_average_precision({}, {"q": set[str](), "p": {"a"}})
    with pytest.raises(CairnError, match="unknown query"):
        mean_average_precision({"x": ["a"]}, {"q": {"a"}})
    with pytest.raises(CairnError, match="at least 1"):
        mean_average_precision({}, {"q": {"a"}}, max_predictions=0)


def test_auroc_equals_scikit_learn_with_ties_and_weights() -> None:
    rng = np.random.default_rng(5)
    positive = rng.random(300) < 0.3
    scores = rng.integers(0, 12, 300).astype(np.float64)
    weights = rng.integers(0, 4, 300)
    assert metrics.auroc(positive, scores) == pytest.approx(roc_auc_score(positive, scores))
    expected = roc_auc_score(positive, scores, sample_weight=weights)
    assert metrics.auroc(positive, scores, weights) == pytest.approx(expected)


def test_auroc_needs_both_kinds() -> None:
    assert metrics.auroc(np.array([True, True]), np.array([0.1, 0.2])) is None


def test_weights_equal_copies_of_the_queries() -> None:
    rng = np.random.default_rng(7)
    truth = {f"q{i:02}": ({"x"} if i % 3 else set[str]()) for i in range(30)}
    predictions = {query: (str(rng.choice(["x", "y"])), float(rng.random())) for query in truth}
    weights = rng.integers(0, 4, 30)
    copied_truth, copied = {}, {}
    for (query, landmarks), times in zip(truth.items(), weights, strict=True):
        for copy in range(times):
            copied_truth[f"{query}-{copy}"] = landmarks
            copied[f"{query}-{copy}"] = predictions[query]
    ranking = rank(predictions, truth)
    assert metrics.gap(ranking, weights) == pytest.approx(gap_of(copied, copied_truth))
    expected = top1_accuracy(copied, copied_truth)
    assert metrics.accuracy(ranking, weights) == pytest.approx(expected)


def test_terms_add_up_to_gap() -> None:
    ranking = rank({"a": ("x", 0.9), "b": ("y", 0.1)}, {"a": {"x"}, "b": {"y"}, "c": {"z"}})
    assert metrics.gap_terms(ranking).tolist() == [1.0, 1.0, 0.0]
    assert metrics.gap(ranking) == pytest.approx(2 / 3)
