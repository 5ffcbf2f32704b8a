"""Calibration at another share of known queries; intervals; ranking by chance.

The oracle of weights is duplication: a query that counts three times is three equal queries.
"""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from cairn.calibration import (
    Basis,
    Calibration,
    Chance,
    Features,
    Judged,
    brier_score,
    calibrate,
    calibration_error,
    figures,
    intervals_of,
    log_loss,
    rank_by_chance,
    reliability_bins,
    report,
    table,
    weights_at,
)
from cairn.calibration.curves import Isotonic, Logistic
from cairn.calibration.doubt import NAMES, _figures
from cairn.calibration.pictures import draw_reliability
from cairn.calibration.reliability import Binning
from cairn.domain import Prediction
from cairn.errors import CairnError

BASIS = Basis("model", "content", "landmarks")


def drawn(num: int, known_share: float, seed: int) -> tuple[Features, np.ndarray, np.ndarray]:
    """Known queries score higher, and 70 % of their answers are right, the high ones sooner."""
    rng = np.random.default_rng(seed)
    known = rng.random(num) < known_share
    scores = 0.4 + 0.2 * known + rng.normal(0, 0.1, num)
    right = known & (rng.random(num) < 1 / (1 + np.exp(-12 * (scores - 0.53))))
    found = Features(
        tuple("l" * num), scores, rng.random(num), rng.random(num), rng.integers(1, 9, num)
    )
    return found, known, right


def shown(known: np.ndarray, right: np.ndarray) -> list[set[str]]:
    rows = zip(known, right, strict=True)
    return [{"l"} if hit else {"other"} if one else set() for one, hit in rows]


def test_weights_are_copies() -> None:
    rng = np.random.default_rng(1)
    inputs = rng.normal(0, 1, (60, 2))
    right = rng.random(60) < 1 / (1 + np.exp(-inputs[:, 0]))
    copies = rng.integers(1, 4, 60)
    weights, every = copies.astype(np.float64), np.repeat(np.arange(60), copies)
    logistic = Logistic.fit(inputs, right, weights=weights)
    scaled = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    other = LogisticRegression(C=1.0, tol=1e-10).fit(scaled, right, sample_weight=weights)
    np.testing.assert_allclose(logistic.coefficients, other.coef_[0], atol=1e-5)
    assert logistic.intercept == pytest.approx(other.intercept_[0], abs=1e-5)
    values = np.round(inputs[:, 0], 1)
    isotonic = Isotonic.fit(values, right, weights=weights)
    assert isotonic == Isotonic.fit(values[every], right[every])
    curve = IsotonicRegression().fit(values, right, sample_weight=weights)
    np.testing.assert_allclose(isotonic(values), curve.predict(values), atol=1e-12)
    chances = rng.random(60)
    for score in (brier_score, log_loss):
        assert score(chances, right, weights) == pytest.approx(score(chances[every], right[every]))
    kinds: tuple[Binning, ...] = ("mass", "width")
    for binning in kinds:
        bins = reliability_bins(chances, right, binning=binning, num_bins=4, weights=weights)
        twin = reliability_bins(chances[every], right[every], binning=binning, num_bins=4)
        assert calibration_error(bins) == pytest.approx(calibration_error(twin))
        assert [one.weight for one in bins] == [one.num_queries for one in twin]
        # Copies are no new photographs: the interval is of fewer trials.
        assert bins[1].right.low is not None
        assert twin[1].right.low is not None
        assert bins[1].right.low <= twin[1].right.low


def test_the_weights_of_a_share_by_hand() -> None:
    known = np.array([True, True, True, False])
    weights = weights_at(known, 0.25)
    assert weights is not None
    # Each known one counts (1/4) / (3/4), the unknown one (3/4) / (1/4).
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3, 3])
    assert weights_at(known, None) is None
    same = weights_at(known, 0.75)
    assert same is not None
    np.testing.assert_allclose(same, np.ones(4))
    for share in (0.0, 1.0, -1.0, 2.0, math.nan):
        with pytest.raises(CairnError, match="between 0 and 1"):
            weights_at(known, share)
    with pytest.raises(CairnError, match="no query is of a landmark"):
        weights_at(~known[:3], 0.5)


def test_chances_come_true_at_the_share_that_was_said() -> None:
    """Fitted at 60 % known with 5 % in view, met on answers of which 5 % are known."""
    found, known, right = drawn(4000, 0.6, 0)
    later, later_known, later_right = drawn(40_000, 0.05, 1)
    wishes = {"basis": BASIS, "seed": 0}
    naive = calibrate(found, shown(known, right), **wishes)  # type: ignore[arg-type]
    made = calibrate(found, shown(known, right), known_share=0.05, **wishes)  # type: ignore[arg-type]
    assert later_known.mean() == pytest.approx(0.05, abs=0.005)
    told, of_naive = made.probability(later), naive.probability(later)
    assert told.mean() == pytest.approx(later_right.mean(), rel=0.15)
    assert of_naive.mean() > 3 * later_right.mean()
    assert calibration_error(reliability_bins(told, later_right)) < 0.01
    # What the calibration says of itself holds later, too; its threshold needs no share.
    promised = figures(made.judged)
    kept = figures(Judged(later.scores, told, later_known, later_right))
    for name in ("brier", "log_loss", "auroc", "oscr"):
        assert promised[name] == pytest.approx(kept[name], rel=0.2), name
    accepted = (told >= made.threshold(0.05).value)[~later_known].mean()
    assert accepted == pytest.approx(0.05, abs=0.02)


def test_the_share_is_kept_and_told() -> None:
    found, known, right = drawn(600, 0.5, 2)
    made = calibrate(found, shown(known, right), basis=BASIS, known_share=0.02)
    value = json.loads(json.dumps(made.to_json()))
    assert value["known_share"] == 0.02
    again = Calibration.from_json(value)
    assert again.judged.known_share == 0.02
    assert again.to_json() == made.to_json()
    assert report(made)["known_share"] == 0.02
    assert "chances are for 2 % known queries in service" in table(made)
    del value["known_share"]  # of an earlier Cairn
    assert Calibration.from_json(value).judged.known_share is None
    plain = calibrate(found, shown(known, right), basis=BASIS)
    assert "in service" not in table(plain)
    assert plain.probability(found).mean() > 3 * made.probability(found).mean()


def test_a_reliability_diagram_of_weighted_answers_is_drawn(tmp_path) -> None:  # type: ignore[no-untyped-def]
    found, known, right = drawn(300, 0.5, 3)
    made = calibrate(found, shown(known, right), basis=BASIS, known_share=0.1)
    draw_reliability(tmp_path / "r.png", made.judged)
    assert (tmp_path / "r.png").stat().st_size > 10_000


@pytest.mark.parametrize("digits", [1, 9])
def test_intervals_are_of_the_figures_themselves(digits: int) -> None:
    found, known, right = drawn(300, 0.6, 4)
    rng = np.random.default_rng(0)
    chances = np.round(rng.random(300), digits)
    judged = Judged(np.round(found.scores, digits), chances, known, right)
    bare = intervals_of(judged, num_resamples=0)
    whole = figures(judged)
    for name in NAMES:
        one = bare[name]
        assert one is not None
        assert one.value == pytest.approx(whole[name])
    # A resample is the figures of the queries drawn, copies and all.
    copies = rng.integers(0, 4, 300)
    every = np.repeat(np.arange(300), copies)
    twin = figures(Judged(judged.scores[every], chances[every], known[every], right[every]))
    levels = [np.unique(one, return_inverse=True)[1] for one in (judged.scores, chances)]
    values = _figures(known, right, levels[0], levels[1], copies.astype(np.float64))
    assert values == pytest.approx([twin[name] for name in NAMES])


def test_intervals_hold_the_value_and_shrink_with_more_queries() -> None:
    wide, narrow = (
        intervals_of(Judged(found.scores, found.agreements, known, right), num_resamples=200)
        for found, known, right in (drawn(100, 0.5, 5), drawn(3000, 0.5, 5))
    )
    for name in NAMES:
        one, other = wide[name], narrow[name]
        assert one is not None
        assert other is not None
        assert one.low is not None
        assert one.high is not None
        assert other.low is not None
        assert other.high is not None
        assert one.low <= one.value <= one.high
        assert other.high - other.low < 0.7 * (one.high - one.low)
    found, known, right = drawn(50, 0.5, 6)
    alone = intervals_of(
        Judged(found.scores[known], found.agreements[known], known[known], right[known]),
        num_resamples=10,
    )
    assert [name for name in NAMES if alone[name] is not None] == ["accuracy"]


def test_a_report_has_intervals() -> None:
    found, known, right = drawn(400, 0.5, 7)
    made = calibrate(found, shown(known, right), basis=BASIS)
    told = report(made)
    low, high = told["intervals"]["auroc"]
    assert low < told["auroc"] < high
    line = next(line for line in table(made).splitlines() if line.startswith("AUROC"))
    assert line.endswith(f"[{low:.4f}, {high:.4f}]")


def test_ranking_by_chance() -> None:
    answers = [
        Prediction("a", "x", 0.9, probability=0.5),
        Prediction("b", "y", 0.1, probability=0.7),
        Prediction("c", "y", 0.2, probability=0.7),
        Prediction("d", None, 0.0),
    ]
    ranked = rank_by_chance(answers)
    assert [one.image_id for one in sorted(ranked, key=lambda one: -one.confidence)] == list("cbad")
    for before, after in zip(answers[:3], ranked[:3], strict=True):
        assert before.probability is not None
        assert after.confidence == pytest.approx(before.probability, abs=1e-6)
        assert replace(after, confidence=before.confidence) == before
    with pytest.raises(CairnError, match="no chance of being right") as caught:
        rank_by_chance([*answers, Prediction("e", "x", 0.5)])
    assert "cairn calibrate" in caught.value.todo


def test_no_more_certainty_than_queries_show() -> None:
    found, known, right = drawn(98, 0.5, 9)
    weights = weights_at(known, 0.2)
    assert weights is not None
    ratio = weights.max() / weights.min()
    far = Features(("l", "l"), np.array([-9.0, 9.0]), np.zeros(2), np.zeros(2), np.ones(2, int))
    plain = Chance.fit(found, right, "score")(far)
    np.testing.assert_allclose(plain, [1 / 100, 99 / 100])
    low, high = Chance.fit(found, right, "score", weights)(far)
    assert low / (1 - low) == pytest.approx(1 / (99 * ratio))
    assert high / (1 - high) == pytest.approx(99 / ratio)
    heavier = weights_at(known, 0.9)  # where known ones count more, nothing moves
    np.testing.assert_allclose(Chance.fit(found, right, "score", heavier)(far), [0.01, 0.99])


def test_every_method_takes_weights() -> None:
    found, known, right = drawn(500, 0.5, 8)
    weights = weights_at(known, 0.1)
    for method in ("score", "logistic", "isotonic", "logistic-isotonic"):
        chances = Chance.fit(found, right, method, weights)(found)
        assert np.average(chances, weights=weights) == pytest.approx(
            np.average(right, weights=weights), rel=0.05
        )
