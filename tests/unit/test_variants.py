"""Variants of GAP: worked out by hand, and scikit-learn as the oracle of its own."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from cairn.metrics import global_average_precision
from cairn.variants import table, variants

TRUTH = {"a": ["0", "12"], "b": ["100"], "c": ["1"], "d": [], "e": [], "f": ["7"]}
# Ranks: c right, then d and a equal at 0.5 (a first by its id, right), e wrong at 0, b right at -1.
# f is a blank.
PREDICTIONS = {
    "c": ("1", 0.9),
    "d": ("3", 0.5),
    "a": ("12", 0.5),
    "e": ("4", 0.0),
    "b": ("100", -1.0),
    "f": None,
}
SUM = 1 + 1 + 3 / 5


def test_by_hand() -> None:
    found = {one.name: one.value for one in variants(PREDICTIONS, TRUTH)}
    assert found == {
        "official": pytest.approx(SUM / 4),
        "over predictions": pytest.approx(SUM / 5),
        "over queries": pytest.approx(SUM / 6),
        "over correct": pytest.approx(SUM / 3),
        "scikit-learn's AP": pytest.approx((1 + 2 / 3 + 3 / 5) / 3),
        "over answered": pytest.approx(SUM / 3),
        "no non-landmarks": pytest.approx(3 / 4),
        "lucky ties": pytest.approx(SUM / 4),
        "unlucky ties": pytest.approx((1 + 2 / 3 + 3 / 5) / 4),
        "ties as filed": pytest.approx((1 + 2 / 3 + 3 / 5) / 4),
        "float32": pytest.approx(SUM / 4),
        "positive only": pytest.approx(2 / 4),
        "blanks as 0": pytest.approx((1 + 1 + 3 / 6) / 4),
        "one landmark each": pytest.approx((1 + 2 / 5) / 4),
    }


def test_float32_makes_ties() -> None:
    low = 0.7
    high = float(np.nextafter(low, 1))
    found = {
        one.name: one.value
        for one in variants({"a": ("2", low), "b": ("1", high)}, {"a": [], "b": ["1"]})
    }
    assert (found["official"], found["float32"]) == (1.0, 0.5)


@pytest.mark.parametrize("digits", [1, 9])
def test_oracles(digits: int) -> None:
    rng = np.random.default_rng(0)
    truth = {f"{i:03d}": (["x"] if rng.random() < 0.5 else []) for i in range(200)}
    predictions = {
        i: ("x" if rng.random() < 0.8 else "y", round(rng.normal(), digits))
        for i in truth
        if rng.random() < 0.9
    }
    found = {one.name: one.value or 0.0 for one in variants(predictions, truth)}
    right = [answer[0] in truth[i] for i, answer in predictions.items()]
    scores = [answer[1] for answer in predictions.values()]
    assert found["official"] == pytest.approx(global_average_precision(predictions, truth))
    assert found["scikit-learn's AP"] == pytest.approx(average_precision_score(right, scores))
    assert found["unlucky ties"] <= found["official"] <= found["lucky ties"]
    minus = global_average_precision(predictions, truth, ignore_unlabelled=True)
    assert found["no non-landmarks"] == pytest.approx(minus)


def test_a_division_by_nothing_has_no_value() -> None:
    found = variants({"a": None}, {"a": ["1"]})
    assert {one.name: one.value for one in found}["over predictions"] is None
    text = table(found)
    assert text.splitlines()[1].split()[:2] == ["official", "0.000000"]
