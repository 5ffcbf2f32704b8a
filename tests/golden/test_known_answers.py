"""The published known answer of the field, and small ones worked out by hand."""

import pytest

from cairn.metrics import global_average_precision, mean_average_precision, top1_accuracy

TRUTH: dict[str, list[int]] = {"a": [0, 12], "b": [100, 200, 300], "c": [1], "d": [], "e": []}
PREDICTIONS = {"b": (0, 0.01), "c": (1, 10.0), "d": (150, 15.0)}


def test_gap_of_the_known_answer() -> None:
    assert global_average_precision(PREDICTIONS, TRUTH) == pytest.approx(1 / 6, abs=1e-12)


def test_gap_without_unlabelled_of_the_known_answer() -> None:
    value = global_average_precision(PREDICTIONS, TRUTH, ignore_unlabelled=True)
    assert value == pytest.approx(1 / 3, abs=1e-12)


def test_accuracy_of_the_known_answer() -> None:
    assert top1_accuracy(PREDICTIONS, TRUTH) == pytest.approx(1 / 3, abs=1e-12)


def test_mean_average_precision_by_hand() -> None:
    # q1: hits at places 1 and 4 (the repeat at 2 takes a place): (1/1 + 2/4) / 2
    # q2: one hit at place 2 of 3 relevant: (1/2) / 3; q3 is never predicted: 0
    predictions = {"q1": ["x", "x", "n", "y"], "q2": ["n", "u"]}
    truth = {"q1": {"x", "y"}, "q2": {"u", "v", "w"}, "q3": {"z"}}
    expected = (0.75 + 1 / 6 + 0.0) / 3
    assert mean_average_precision(predictions, truth) == pytest.approx(expected, abs=1e-12)
