"""Logistic and isotonic curves: scikit-learn is the oracle."""

import json

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from cairn.calibration.curves import Isotonic, Logistic
from cairn.errors import CairnError


def examples(num: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num, 3)) * [0.1, 5.0, 1.0] + [0.6, -3.0, 0.0]
    logits = 20 * (features[:, 0] - 0.6) + 0.2 * (features[:, 1] + 3)
    return features, rng.random(num) < 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("ridge", [1.0, 0.01])
def test_logistic_is_scikit_learns_on_standardised_features(ridge: float) -> None:
    features, right = examples()
    ours = Logistic.fit(features, right, ridge=ridge)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    theirs = LogisticRegression(C=1 / ridge, tol=1e-12, max_iter=10_000).fit(scaled, right)
    assert ours.coefficients == pytest.approx(theirs.coef_[0].tolist(), abs=1e-5)
    assert ours.intercept == pytest.approx(theirs.intercept_[0], abs=1e-5)
    assert ours(features) == pytest.approx(theirs.predict_proba(scaled)[:, 1], abs=1e-6)


def test_what_is_cleanly_parted_keeps_finite_coefficients() -> None:
    values = np.array([[0.1], [0.2], [0.8], [0.9]])
    curve = Logistic.fit(values, values[:, 0] > 0.5)
    assert 1 < curve.coefficients[0] < 3
    assert curve.intercept == pytest.approx(0.0, abs=1e-9)  # symmetric
    assert curve(values)[[0, 3]].sum() == pytest.approx(1.0)


def test_a_constant_feature_changes_nothing() -> None:
    features, right = examples()
    more = np.column_stack([features, np.full(len(features), 0.3)])
    assert Logistic.fit(more, right)(more) == pytest.approx(Logistic.fit(features, right)(features))


def test_a_feature_held_to_rise_is_left_out_where_it_would_fall() -> None:
    features, right = examples()
    features[:, 1] *= -1
    assert Logistic.fit(features, right).coefficients[1] < -0.2
    held = Logistic.fit(features, right, rising=(0, 1))
    assert held.coefficients[1] == 0.0
    alone = Logistic.fit(features[:, [0, 2]], right)
    assert [held.coefficients[i] for i in (0, 2)] == pytest.approx(list(alone.coefficients))


@pytest.mark.parametrize("right", [[True, True], [False, False]])
def test_one_kind_alone_is_refused(right: list[bool]) -> None:
    with pytest.raises(CairnError, match="nothing to tell apart"):
        Logistic.fit(np.array([[0.0], [1.0]]), np.array(right))


def test_isotonic_by_hand() -> None:
    # 2 and 3 violate the order and are pooled: 1/2; the two at 4 are one level: 1/2 too; 5: 1.
    values = np.array([1.0, 2.0, 3.0, 4.0, 4.0, 5.0])
    curve = Isotonic.fit(values, np.array([False, True, False, True, False, True]))
    assert (curve.inputs, curve.chances) == ((1.0, 2.0, 4.0, 5.0), (0.0, 0.5, 0.5, 1.0))
    asked = np.array([-9.0, 1.5, 3.3, 4.5, 9.0])
    assert curve(asked).tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("seed", range(4))
def test_isotonic_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 60, 200) / 60 if seed % 2 else rng.random(200)
    right = rng.random(200) < values
    ours = Isotonic.fit(values, right)
    theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(values, right)
    asked = np.linspace(-0.1, 1.1, 500)
    assert ours(asked) == pytest.approx(theirs.predict(asked), abs=1e-12)
    assert (np.diff(ours(asked)) >= 0).all()


def test_curves_read_back_to_the_bit() -> None:
    features, right = examples()
    logistic = Logistic.fit(features, right)
    isotonic = Isotonic.fit(features[:, 0], right)
    assert Logistic.from_json(json.loads(json.dumps(logistic.to_json()))) == logistic
    assert Isotonic.from_json(json.loads(json.dumps(isotonic.to_json()))) == isotonic
