"""The numbers of a report, each against a hand count or scikit-learn."""

import json

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score, roc_curve

from cairn.calibration import threshold_for
from cairn.domain import Landmark, Prediction
from cairn.metrics import rank
from cairn.report.analysis import analyse
from cairn.report.confusions import OTHERS, UNNAMED, confusions, scores_by_category
from cairn.report.decision import decide
from cairn.report.outcomes import Outcomes
from cairn.report.risk import RiskCoverage
from cairn.submission import by_image

TRUTH: dict[str, frozenset[str]] = {
    "a": frozenset({"tower"}),
    "b": frozenset({"tower"}),
    "c": frozenset({"bridge"}),
    "d": frozenset({"lost"}),  # not in the gallery
    "e": frozenset(),
    "f": frozenset({"bridge"}),
}
COUNTS = {"tower": 3, "bridge": 1}


def told(image_id: str, landmark: str | None, score: float, chance: float | None) -> Prediction:
    known = None if chance is None else chance >= 0.5
    return Prediction(image_id, landmark, score, probability=chance, is_known=known)


SAID = [
    told("a", "tower", 0.9, 0.95),
    told("b", "bridge", 0.8, 0.7),
    told("c", "bridge", 0.4, 0.4),
    told("d", "tower", 0.7, 0.6),
    told("e", "tower", 0.2, 0.1),
    Prediction("f", None, 0.0),
]


def made(seed: int, *, chances: bool = True) -> tuple[list[Prediction], dict[str, frozenset[str]]]:
    """Two hundred made answers, some equal, a third of the queries unknown."""
    rng = np.random.default_rng(seed)
    predictions, truth = [], {}
    for row in range(200):
        known = rng.random() < 0.65
        right = known and rng.random() < 0.7
        score = round(float(rng.normal(0.6 if right else 0.4, 0.15)), 2)
        chance = min(max(score, 0.0), 1.0) if chances else None
        truth[f"q{row:03}"] = frozenset({"x"} if known else ())
        predictions.append(told(f"q{row:03}", "x" if right else "y", score, chance))
    return predictions, truth


def test_known_is_what_the_gallery_has() -> None:
    found = Outcomes.of(SAID, TRUTH, COUNTS)
    assert found.known.tolist() == [True, True, True, False, False, True]
    assert found.right.tolist() == [True, False, True, False, False, False]
    assert found.by == "chance"
    assert found.values[-1] == -np.inf
    assert Outcomes.of(SAID, TRUTH).known.tolist() == [True, True, True, True, False, True]


def test_chances_count_only_where_every_answer_has_one() -> None:
    mixed = [*SAID[:-1], told("f", "tower", 0.3, None)]
    found = Outcomes.of(mixed, TRUTH, COUNTS)
    assert found.chances is None
    assert found.accepted is None
    assert found.by == "score"


def test_the_decision_that_verdicts_make_by_hand() -> None:
    decision = decide(Outcomes.of(SAID, TRUTH, COUNTS))
    assert decision is not None
    assert (decision.source, decision.by, decision.threshold) == ("calibration", "chance", 0.6)
    assert (decision.accepted_right, decision.accepted_wrong, decision.accepted_unknown) == (
        1,
        1,
        1,
    )
    assert (decision.refused_right, decision.refused_wrong, decision.refused_unknown) == (1, 1, 1)
    assert (decision.num_known, decision.num_unknown, decision.num_accepted) == (4, 2, 3)
    shares = {name: one.value for name, one in decision.shares().items()}
    assert shares == pytest.approx(
        {"precision": 1 / 3, "coverage": 1 / 2, "recall": 1 / 4, "false_accepts": 1 / 2}
    )
    assert decision.accepts(Outcomes.of(SAID, TRUTH, COUNTS)).tolist() == [
        True,
        True,
        False,
        True,
        False,
        False,
    ]


def test_verdicts_of_several_thresholds_draw_no_line() -> None:
    said = [*SAID[:4], Prediction("e", "tower", 0.2, probability=0.65, is_known=False), SAID[5]]
    decision = decide(Outcomes.of(said, TRUTH, COUNTS))
    assert decision is not None
    assert decision.threshold is None
    assert decision.num_accepted == 3


@pytest.mark.parametrize("seed", [0, 1])
def test_without_verdicts_the_threshold_is_the_conformal_one(seed: int) -> None:
    predictions, truth = made(seed, chances=False)
    found = Outcomes.of(predictions, truth)
    decision = decide(found)
    assert decision is not None
    unknown = found.scores[~found.known]
    assert 19 <= len(unknown) < 99  # enough for 5 %, too few for 1 %
    wanted = threshold_for(unknown, found.scores[found.right], 0.05)
    assert (decision.source, decision.false_accept_rate) == ("queries", 0.05)
    assert decision.threshold == wanted.value
    assert decision.accepted_unknown == (unknown >= wanted.value).sum()
    assert decision.accepted_unknown <= 0.05 * (len(unknown) + 1)
    assert decision.num_queries == len(predictions)


def test_too_few_unknown_queries_can_tell_no_threshold() -> None:
    predictions, truth = made(0, chances=False)
    known = [one for one in predictions if truth[one.image_id]]
    assert decide(Outcomes.of(known, truth)) is None


def test_unknown_queries_without_answers_let_every_answer_pass() -> None:
    truth: dict[str, frozenset[str]] = {f"n{row}": frozenset() for row in range(9)}
    said = [Prediction(one, None, 0.0) for one in truth]
    truth |= {"a": frozenset({"x"}), "b": frozenset({"x"})}
    said += [told("a", "x", 0.2, None), told("b", "y", 0.1, None)]
    decision = decide(Outcomes.of(said, truth))
    assert decision is not None
    assert (decision.accepted_right, decision.accepted_wrong) == (1, 1)
    assert decision.threshold == 0.1
    assert (decision.accepted_unknown, decision.refused_unknown) == (0, 9)


def test_risk_and_coverage_by_a_plain_loop() -> None:
    predictions, truth = made(3)
    found = Outcomes.of(predictions, truth)
    curve = RiskCoverage.of(found)
    points = []
    for threshold in sorted(set(found.values.tolist()), reverse=True):
        given = found.values >= threshold
        points.append((given.mean(), (given & ~found.right).sum() / given.sum()))
    assert curve.coverage == pytest.approx([one for one, _ in points])
    assert curve.risk == pytest.approx([risk for _, risk in points])
    assert curve.coverage[-1] == 1.0
    best = max(coverage for coverage, risk in points if risk <= 0.2)
    assert curve.at(0.2).coverage == pytest.approx(best)
    at = curve.at(0.2).threshold
    assert at is not None
    assert (found.values >= at).mean() == pytest.approx(best)


def test_the_area_of_risk_is_its_mean_where_no_values_are_equal() -> None:
    named = enumerate(("x", "x", "y", "x"))
    said = [told(f"q{row}", landmark, 1 - row / 10, None) for row, landmark in named]
    truth = {one.image_id: frozenset({"x"}) for one in said}
    curve = RiskCoverage.of(Outcomes.of(said, truth))
    assert curve.area == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)


def test_a_run_without_answers_has_no_risk() -> None:
    curve = RiskCoverage.of(Outcomes.of([Prediction("a", None, 0.0)], {"a": {"x"}}))
    assert curve.area is None
    assert (curve.at(0.05).coverage, curve.at(0.05).threshold) == (0.0, None)
    assert curve.to_json()["aurc"] is None


def test_open_set_and_chances_against_scikit_learn() -> None:
    predictions, truth = made(5)
    found = analyse(predictions, truth, rank(by_image(predictions), truth))
    known, scores = found.outcomes.known, found.outcomes.scores
    assert found.open_set is not None
    assert found.reliability is not None
    assert found.open_set.auroc == pytest.approx(roc_auc_score(known, scores))
    rates, hits, _ = roc_curve(known, scores, drop_intermediate=False)
    assert found.open_set.fpr95.value == pytest.approx(rates[np.argmax(hits >= 0.95)])
    assert found.open_set.known_scores.area == pytest.approx(found.open_set.auroc)
    assert found.outcomes.chances is not None
    wanted = brier_score_loss(found.outcomes.right, found.outcomes.chances)
    assert found.reliability.brier == pytest.approx(wanted)
    assert found.reliability.num_answers == 200
    assert json.loads(json.dumps(found.to_json()))["open_set"]["oscr"] <= 1


def answers(*pairs: tuple[str, str, float]) -> tuple[list[Prediction], dict[str, frozenset[str]]]:
    said = [told(f"q{row}", one, score, None) for row, (_, one, score) in enumerate(pairs)]
    return said, {f"q{row}": frozenset({true}) for row, (true, _, _) in enumerate(pairs)}


def test_confusions_by_hand_both_ways() -> None:
    said, truth = answers(
        ("b", "a", 0.5), ("b", "a", 0.9), ("b", "b", 0.8), ("a", "b", 0.95), ("a", "a", 0.1),
        ("c", "a", 0.3), ("d", "d", 0.3),
    )  # fmt: skip
    first, second = confusions(said, truth)
    assert first.landmarks == ("b", "a")
    assert (first.forward, first.backward, first.total) == (2, 1, 3)
    assert first.queries == (3, 2)
    assert (first.example, first.surest) == ("q3", 0.95)
    assert (second.landmarks, second.forward, second.queries) == (("c", "a"), 1, (1, 2))


def test_no_confusion_of_blanks_unknown_queries_and_right_answers() -> None:
    said = [Prediction("a", None, 0.0), told("b", "x", 0.5, None), told("c", "x", 0.5, None)]
    truth: dict[str, frozenset[str]] = {
        "a": frozenset({"y"}),
        "b": frozenset(),
        "c": frozenset("xy"),
    }
    assert confusions(said, truth) == []


def test_categories_add_up_to_gap_and_keep_those_without() -> None:
    said, truth = answers(
        ("a", "a", 0.9), ("b", "a", 0.8), ("c", "c", 0.7), ("d", "d", 0.6), ("e", "a", 0.5)
    )
    kinds = {"a": "church", "b": "church", "c": "tower", "d": "gate"}
    landmarks = {one: Landmark(one, category=kind) for one, kind in kinds.items()}
    ranking = rank(by_image(said), truth)
    found = scores_by_category(ranking, truth, landmarks, limit=2)
    assert [(one.category, one.num_queries) for one in found] == [
        ("church", 2), ("gate", 1), (OTHERS, 1), (UNNAMED, 1)
    ]  # fmt: skip
    assert [one.accuracy.value for one in found] == [0.5, 1.0, 1.0, 0.0]
    assert [one.gap for one in found] == pytest.approx([1 / 2, 3 / 4, 2 / 3, 0])
    assert scores_by_category(ranking, truth, {}) == []


def test_sizes_know_what_is_answered() -> None:
    found = analyse(SAID, TRUTH, rank(by_image(SAID), TRUTH), counts=COUNTS)
    assert dict(found.answered_by_size) == {"0": (1, 1, 0), "1": (2, 0, 0), "3-5": (2, 2, 1)}


def test_every_number_goes_into_json() -> None:
    value = analyse(SAID, TRUTH, rank(by_image(SAID), TRUTH), counts=COUNTS).to_json()
    told_json = json.loads(json.dumps(value))
    assert told_json["decision"]["accepted_right"] == 1
    assert told_json["confusions"][0]["landmarks"] == ["tower", "bridge"]
    assert told_json["answered_by_size"]["3-5"]["num_answered"] == 2
