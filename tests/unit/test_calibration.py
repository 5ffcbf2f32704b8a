"""Calibration: features and figures worked out by hand, brute force and scikit-learn as oracles."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve
from sklearn.metrics import log_loss as sklearn_log_loss

from cairn.calibration import (
    METHODS,
    Basis,
    Calibration,
    Chance,
    Features,
    Judged,
    OpenSetCurve,
    brier_score,
    calibrate,
    calibration_error,
    false_positive_rate,
    features_of,
    figures,
    fit,
    log_loss,
    num_needed,
    reliability_bins,
    report,
    table,
    threshold_for,
    verdicts,
)
from cairn.calibration.features import NAMES
from cairn.calibration.pictures import draw_open_set, draw_reliability
from cairn.domain import Neighbors
from cairn.errors import CairnError

BASIS = Basis("model", "content", "landmarks", "penalty")


def neighbors(rows: list[list[int]], similarities: list[list[float]]) -> Neighbors:
    return Neighbors(np.array(rows, dtype=np.int64), np.array(similarities, dtype=np.float32))


def made(num: int = 600, seed: int = 0) -> tuple[Features, np.ndarray, np.ndarray]:
    """Answers whose chance of being right rises with score and margin; half of them unknown."""
    rng = np.random.default_rng(seed)
    known = rng.random(num) < 0.5
    margins = rng.random(num) * 0.2
    scores = 0.5 + 0.2 * known + rng.normal(0, 0.08, num)
    right = known & (rng.random(num) < 0.4 + 3 * margins)
    sizes = rng.integers(1, 30, num)
    found = Features(tuple("l" * num), scores, margins, rng.random(num), sizes)
    return found, known, right


def calibration(**changes: object) -> Calibration:
    found, known, right = made()
    shown = [
        {"l"} if hit else {"other"} if one else set() for one, hit in zip(known, right, strict=True)
    ]
    wishes: dict[str, object] = {"basis": BASIS, **changes}
    return calibrate(found, shown, **wishes)  # type: ignore[arg-type]


def test_features_by_hand() -> None:
    landmarks = ["a", "a", "b", "c", "a"]
    found = features_of(
        neighbors(
            [[0, 1, 2, 3], [3, 2, 0, 1], [0, 4, 1, -1]],
            [[0.9, 0.8, 0.5, 0.1], [0.7, 0.75 - 0.25, 0.25, 0.0], [0.5, 0.25, 0.125, -np.inf]],
        ),
        landmarks,
    )
    assert found.landmark_ids == ("a", "c", "a")
    assert found.scores == pytest.approx([0.9, 0.7, 0.5], abs=1e-7)
    # The third has no other landmark: the least that its margin can be.
    assert found.margins == pytest.approx([0.4, 0.2, 0.375], abs=1e-7)
    # Two of a's three images among four; c's only one; all three neighbours of the third.
    assert found.agreements.tolist() == [2 / 3, 1.0, 1.0]
    assert found.sizes.tolist() == [3, 1, 3]
    assert found.matrix[:, NAMES.index("log size")] == pytest.approx(np.log([3, 1, 3]))
    counted = features_of(neighbors([[0]], [[0.9]]), ["a"], {"a": 7, "elsewhere": 9})
    assert (counted.sizes.tolist(), counted.margins.tolist()) == ([7], [0.0])
    with pytest.raises(CairnError, match="every query needs a neighbour"):
        features_of(neighbors([[-1]], [[-np.inf]]), ["a"])


def test_agreement_looks_at_ten_neighbours_and_at_what_could_agree() -> None:
    rows = list(range(12))
    similarities = [[0.9 - 0.05 * row for row in rows]]
    found = features_of(neighbors([rows], similarities), list("aababbbbbbaa"), {"a": 40, "b": 40})
    assert found.agreements.tolist() == [3 / 10]
    found = features_of(neighbors([rows], similarities), list("aababbbbbbaa"))
    assert found.agreements.tolist() == [3 / 5]  # a has five images


def test_reliability_by_hand() -> None:
    chances = np.array([0.1, 0.2, 0.2, 0.6, 0.7, 0.9])
    right = np.array([False, False, True, True, False, True])
    mass = reliability_bins(chances, right, num_bins=2)
    assert [(one.num_queries, one.low, one.high) for one in mass] == [(3, 0.1, 0.2), (3, 0.6, 0.9)]
    assert [one.right.value for one in mass] == pytest.approx([1 / 3, 2 / 3])
    assert [one.probability for one in mass] == pytest.approx([0.5 / 3, 2.2 / 3])
    # |1/3 - 1/6| and |2/3 - 11/15|, half of the queries each.
    assert calibration_error(mass) == pytest.approx((1 / 6 + 1 / 15) / 2)
    width = reliability_bins(chances, right, num_bins=4, binning="width")
    assert [one.num_queries for one in width] == [3, 2, 1]  # nothing in [0.25, 0.5)
    assert calibration_error(width) == pytest.approx((3 / 6 + 2 * abs(0.65 - 0.5) + 0.1) / 6)
    assert brier_score(chances, right) == pytest.approx(
        (0.01 + 0.04 + 0.64 + 0.16 + 0.49 + 0.01) / 6
    )
    assert log_loss(np.array([0.5, 0.25]), np.array([True, False])) == pytest.approx(
        (math.log(2) + math.log(4 / 3)) / 2
    )
    assert log_loss(np.array([1.0]), np.array([False])) == math.inf


def test_equal_chances_stay_in_one_bin() -> None:
    chances = np.array([0.2] * 7 + [0.8] * 3)
    bins = reliability_bins(chances, np.ones(10, dtype=bool), num_bins=5)
    assert [(one.num_queries, one.low, one.high) for one in bins] == [(7, 0.2, 0.2), (3, 0.8, 0.8)]


def test_figures_of_chances_are_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    chances = rng.random(500)
    right = rng.random(500) < chances**1.3
    assert brier_score(chances, right) == pytest.approx(brier_score_loss(right, chances))
    assert log_loss(chances, right) == pytest.approx(sklearn_log_loss(right, chances))
    for binning, strategy in (("mass", "quantile"), ("width", "uniform")):
        bins = reliability_bins(chances, right, num_bins=10, binning=binning)  # type: ignore[arg-type]
        came, said = calibration_curve(right, chances, n_bins=10, strategy=strategy)
        assert [one.right.value for one in bins] == pytest.approx(came.tolist())
        assert [one.probability for one in bins] == pytest.approx(said.tolist())


def test_chances_outside_0_to_1_are_refused() -> None:
    with pytest.raises(CairnError, match="between 0 and 1"):
        brier_score(np.array([1.5]), np.array([True]))
    with pytest.raises(CairnError, match="chances need queries"):
        log_loss(np.array([]), np.array([], dtype=bool))


def test_fpr_at_tpr_by_hand() -> None:
    known = np.array([True] * 4 + [False] * 4)
    scores = np.array([0.9, 0.8, 0.7, 0.2, 0.85, 0.7, 0.3, 0.1])
    # 3 of 4 known ones lie at or above 0.7, and so do 2 of 4 unknown ones, one of them equal.
    assert false_positive_rate(known, scores, tpr=0.75) == 0.5
    assert false_positive_rate(known, scores, tpr=0.95) == 0.75
    assert false_positive_rate(known[:4], scores[:4]) is None
    with pytest.raises(CairnError, match="true positive rate"):
        false_positive_rate(known, scores, tpr=0.0)


@pytest.mark.parametrize("seed", range(3))
def test_fpr_at_tpr_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = rng.random(300) < 0.4
    scores = np.round(rng.normal(0.3 * known, 0.3), 1 if seed else 9)
    fpr, tpr, _ = roc_curve(known, scores, drop_intermediate=False)
    assert false_positive_rate(known, scores) == pytest.approx(fpr[tpr >= 0.95].min())


def test_oscr_by_hand() -> None:
    known = np.array([True, True, True, False, False])
    right = np.array([True, False, True, False, False])
    scores = np.array([0.9, 0.8, 0.4, 0.6, 0.3])
    curve = OpenSetCurve.of(known, right, scores)
    assert curve is not None
    assert curve.false_positives.tolist() == [0, 0, 0, 0.5, 0.5, 1.0]
    assert curve.correct == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3, 2 / 3, 2 / 3])
    # Right answers above unknown ones: 0.9 beats both, 0.4 beats one; 3 of 6 pairs.
    assert curve.area == pytest.approx(3 / 6)
    assert OpenSetCurve.of(known[:3], right[:3], scores[:3]) is None


@pytest.mark.parametrize("digits", [1, 9])
def test_oscr_is_the_brute_force_over_pairs_and_auroc_where_all_are_right(digits: int) -> None:
    rng = np.random.default_rng(5)
    known = rng.random(120) < 0.6
    right = known & (rng.random(120) < 0.7)
    scores = np.asarray(np.round(rng.random(120) + 0.3 * right, digits), np.float64)
    pairs = [
        (1.0 if s > u else 0.5 if s == u else 0.0) * r
        for s, r in zip(scores[known], right[known], strict=True)
        for u in scores[~known]
    ]
    curve = OpenSetCurve.of(known, right, scores)
    assert curve is not None
    assert curve.area == pytest.approx(np.mean(pairs))
    every = OpenSetCurve.of(known, known, scores)
    assert every is not None
    assert every.area == pytest.approx(roc_auc_score(known, scores))


def test_a_threshold_by_hand() -> None:
    unknown = np.arange(1, 100) / 100  # 0.01 ... 0.99
    found = threshold_for(unknown, np.array([0.5, 0.995, 1.0, 0.99]), 0.05)
    # floor(0.05 * 100) = 5: the fifth highest, 0.95, is just rejected; four pass.
    assert found.value == math.nextafter(0.95, 1)
    assert found.accepted_unknown.value == pytest.approx(4 / 99)
    assert found.accepted_right.value == 0.75
    assert found.accepted_unknown.low is not None
    assert found.accepted_unknown.high is not None
    assert found.accepted_unknown.low < 0.05 < found.accepted_unknown.high
    assert threshold_for(unknown, unknown, 0.01).accepted_unknown.value == 0.0


def test_equal_scores_are_rejected_together() -> None:
    unknown = np.array([0.9] * 10 + [0.1] * 89)
    assert threshold_for(unknown, unknown, 0.05).accepted_unknown.value == 0.0


def test_the_stated_rate_is_met_on_new_pictures_on_average() -> None:
    rng = np.random.default_rng(0)
    met = []
    for _ in range(600):
        score = threshold_for(rng.normal(size=59), np.array([]), 0.05).value
        met.append((1 + math.erf(-score / math.sqrt(2))) / 2)  # chance that a further one passes
    assert np.mean(met) == pytest.approx(0.05, abs=0.005)  # j / (U + 1) = 3 / 60


def test_a_rate_that_cannot_be_told_is_refused_with_what_is_needed() -> None:
    with pytest.raises(CairnError) as caught:
        threshold_for(np.zeros(200), np.array([]), 0.001)
    assert caught.value.what == (
        "a false-accept rate of 0.1 % cannot be told from 200 unknown queries; "
        "at least 999 are needed"
    )
    assert "0.5 %" in caught.value.todo
    assert (num_needed(0.001), num_needed(0.5), num_needed(0.05)) == (999, 1, 19)
    threshold_for(np.zeros(199), np.array([]), 0.005)
    with pytest.raises(CairnError, match="lies between 0 and 1"):
        threshold_for(np.zeros(200), np.array([]), 0.0)


@pytest.mark.parametrize("method", METHODS)
def test_a_chance_rises_with_the_score_and_stays_within_what_was_seen(method: str) -> None:
    found, _, right = made(400)
    chance = Chance.fit(found, right, method)
    one = replace_scores(found, np.linspace(-1, 2, 400))
    told = chance(one)
    assert (np.diff(told) >= 0).all()
    assert told.min() >= 1 / 402
    assert told.max() <= 401 / 402
    assert Chance.from_json(json.loads(json.dumps(chance.to_json()))) == chance
    if method in ("score", "isotonic"):  # they know the score alone
        other = replace(one, margins=one.margins[::-1], sizes=one.sizes + 5)
        assert np.array_equal(chance(other), told)


def replace_scores(found: Features, scores: np.ndarray) -> Features:
    """The same answer at many scores."""
    num = len(found)
    return replace(
        found,
        scores=scores,
        margins=np.full(num, 0.1),
        agreements=np.full(num, 0.5),
        sizes=np.full(num, 4),
    )


def test_the_method_of_least_loss_is_taken_and_its_figures_are_out_of_sample() -> None:
    found, _, right = made(600)
    first = fit(found, right)
    assert first.chance.method == min(first.losses, key=lambda one: first.losses[one])
    assert set(first.losses) == set(METHODS)
    # Margin matters here, so what knows the score alone loses.
    assert first.losses["logistic"] < first.losses["score"]
    again = fit(found, right)
    assert np.array_equal(first.out_of_sample, again.out_of_sample)
    # Where nothing can be learned, chances say so: no better than the share itself.
    noise = np.random.default_rng(1).random(600) < 0.3
    told = fit(found, noise).out_of_sample
    assert log_loss(told, noise) > 0.99 * log_loss(np.full(600, noise.mean()), noise)


def test_too_few_answers_are_refused() -> None:
    found, _, right = made(100)
    right = np.zeros(100, dtype=bool)
    right[:3] = True
    with pytest.raises(CairnError, match="3 right, 97 wrong or unknown"):
        fit(found, right)


def test_a_calibration_reads_back_to_the_bit(tmp_path: Path) -> None:
    one = calibration(facts={"manifest": "abc"}, false_accept_rate=0.02)
    one.write(tmp_path / "c.json")
    back = Calibration.read(tmp_path / "c.json")
    assert back.to_json() == one.to_json()
    found, _, _ = made(50, seed=9)
    assert np.array_equal(back.probability(found), one.probability(found))
    assert back.threshold() == one.threshold(0.02)
    assert back.basis.differences(BASIS) == []


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    value = calibration().to_json()
    for text, match in (
        ("[1]", "not a calibration of format 1"),
        (json.dumps({**value, "format": 9}), "format 1, but 9"),
        (json.dumps({**value, "chance": {"method": "score"}}), "damaged: KeyError"),
        (json.dumps({**value, "losses": []}), "damaged: AttributeError"),
        ("{", "not a JSON file"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(CairnError, match=match):
            Calibration.read(path)


def test_a_rate_that_the_validation_cannot_tell_is_refused_when_made() -> None:
    with pytest.raises(CairnError, match="cannot be told"):
        calibration(false_accept_rate=0.0001)


def test_what_differs_is_named() -> None:
    other = replace(BASIS, penalty="", content="other", stages={"expand": 3})
    assert BASIS.differences(other) == ["the gallery's images", "the penalty", "the re-ranking"]


def test_figures_and_table() -> None:
    one = calibration()
    found = figures(one.judged)
    judged = one.judged
    assert found["auroc"] == pytest.approx(roc_auc_score(judged.known, judged.scores))
    assert found["accuracy"] == pytest.approx(judged.right.sum() / judged.known.sum())
    told = report(one)
    assert sum(row["num_queries"] for row in told["reliability"]) == len(judged)
    json.dumps(told)
    text = table(one)
    assert f"{judged.num_unknown} of them unknown" in text
    assert f"{one.threshold().value:.4f}" in text
    alone = Judged(judged.scores[:2], judged.probabilities[:2], np.ones(2, bool), np.ones(2, bool))
    assert figures(alone)["auroc"] is None
    assert figures(alone)["oscr"] is None


def test_an_unknown_query_cannot_be_answered_rightly() -> None:
    with pytest.raises(CairnError, match="cannot be right"):
        Judged(np.ones(1), np.ones(1), np.zeros(1, bool), np.ones(1, bool))


def test_verdicts() -> None:
    one = calibration()
    found = neighbors([[0, 1], [1, 0]], [[0.95, 0.2], [0.3, 0.25]])
    first, second = verdicts(one, found, ["a", "b"])
    assert (first.landmark_id, first.is_known) == ("a", True)
    assert (second.landmark_id, second.is_known) == ("b", False)
    assert first.score == pytest.approx(0.95)
    assert second.probability < one.threshold().value <= first.probability
    chances = one.probability(features_of(found, ["a", "b"]))
    assert [first.probability, second.probability] == chances.tolist()
    lenient = verdicts(one, found, ["a", "b"], false_accept_rate=0.999)
    assert [verdict.is_known for verdict in lenient] == [True, True]


def test_a_threshold_on_the_score_is_there_too() -> None:
    one = calibration(false_accept_rate=0.05)
    judged = one.judged
    for at, values in (
        (one.threshold(by="score"), judged.scores),
        (one.threshold(), judged.probabilities),
    ):
        accepted = values >= at.value
        assert at.accepted_unknown.value == accepted[~judged.known].mean() <= 0.05
        assert at.accepted_right.value == accepted[judged.right].mean()


def test_pictures_are_drawn(tmp_path: Path) -> None:
    from PIL import Image

    one = calibration()
    draw_reliability(tmp_path / "r.png", one.judged)
    draw_open_set(tmp_path / "o.png", one)
    for name in ("r.png", "o.png"):
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 400
