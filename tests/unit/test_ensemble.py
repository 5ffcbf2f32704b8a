"""Votes of several models, on cases small enough to count by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cairn.calibration import Logistic
from cairn.domain import Prediction
from cairn.ensemble import Votes, WeightedVotes, cast_votes, fit_weights, predictions
from cairn.ensemble.fusion import Float64
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.metrics import global_average_precision
from cairn.penalty import PenaltyRule, PenaltyTable
from cairn.recognize import recognize_table
from cairn.submission import by_image
from cairn.tables import EmbeddingTable

NAMES = ("a", "b", "c")


def votes(*photographs: dict[str, float]) -> Votes:
    """One model's votes: per photograph its landmarks, best first, with confidences."""
    codes = np.full((len(photographs), 2), -1, dtype=np.int64)
    confidences = np.full(codes.shape, -np.inf)
    for row, given in enumerate(photographs):
        for place, (landmark, confidence) in enumerate(given.items()):
            codes[row, place], confidences[row, place] = NAMES.index(landmark), confidence
    return Votes(tuple(f"q{row}" for row in range(len(photographs))), NAMES, codes, confidences)


def count_votes(models: Sequence[Votes], weights: Sequence[float]) -> list[Prediction]:
    return predictions(WeightedVotes(models), weights)


def table(vectors: Float64, prefix: str, landmarks: list[str]) -> EmbeddingTable:
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    ids = [f"{prefix}{row}" for row in range(len(unit))]
    return EmbeddingTable(ids, landmarks, ids, unit, "model")


@pytest.fixture
def world() -> tuple[EmbeddingTable, Gallery]:
    rng = np.random.default_rng(3)
    queries = table(rng.normal(size=(40, 8)), "q", [""] * 40)
    marks = [f"landmark {row % 7}" for row in range(60)]
    return queries, Gallery(Path("gallery"), table(rng.normal(size=(60, 8)), "g", marks))


def test_two_weak_votes_beat_one_strong_one() -> None:
    one, two, three = votes({"a": 0.6, "b": 0.5}), votes({"c": 0.55, "b": 0.4}), votes({"b": 0.2})
    (found,) = count_votes([one, two, three], [1, 1, 1])
    assert found.landmark_id == "b"
    assert found.confidence == pytest.approx((0.5 + 0.4 + 0.2) / 3)
    (found,) = count_votes([one, two, three], [8, 1, 1])
    assert found.landmark_id == "a"
    assert found.confidence == pytest.approx(0.48)
    (found,) = count_votes([one, two, three], [1, 0, 0])
    assert (found.landmark_id, found.confidence) == ("a", 0.6)


def test_equal_sums_go_to_the_first_landmark_whatever_the_order_of_models() -> None:
    one, two = votes({"c": 0.5}, {}), votes({"b": 0.5}, {"a": 0.1})
    for models in ([one, two], [two, one]):
        first, second = count_votes(models, [1, 1])
        assert (first.image_id, first.landmark_id, first.confidence) == ("q0", "b", 0.25)
        assert second.landmark_id == "a"
    (_, silent) = count_votes([one], [1])
    assert (silent.landmark_id, silent.confidence) == (None, 0.0)


def test_a_model_without_weight_is_not_heard_even_where_it_alone_speaks() -> None:
    (found,) = count_votes([votes({"a": 0.3}), votes({"b": 0.0})], [0, 1])
    assert found.landmark_id == "b"


def test_one_model_answers_and_ranks_as_it_does_without_a_vote(
    world: tuple[EmbeddingTable, Gallery],
) -> None:
    queries, gallery = world
    rng = np.random.default_rng(0)
    cost = rng.uniform(0, 0.5, len(gallery.table)).astype(np.float32)
    rule = PenaltyRule(3, 12, 0.3, 1.0, "from-min", 1.0)
    penalty = PenaltyTable(np.zeros(60, np.int64), cost, cost, rule, 1, 1, 1)
    for one in (gallery, Gallery(gallery.folder, gallery.table, penalty)):
        alone = recognize_table(queries, one, top=1)
        voted = count_votes([cast_votes(queries, one)], [1])
        assert [p.landmark_id for p in voted] == [p.landmark_id for p in alone]
        assert [p.confidence for p in voted] == pytest.approx([p.confidence for p in alone])


def test_votes_are_for_the_best_image_of_each_landmark(
    world: tuple[EmbeddingTable, Gallery],
) -> None:
    queries, gallery = world
    cast = cast_votes(queries, gallery, num_votes=3, num_neighbors=60)
    similar = queries.vectors.astype(np.float64) @ gallery.table.vectors.astype(np.float64).T
    for row in range(len(queries)):
        best: dict[str, float] = {}
        for image in np.argsort(-similar[row], kind="stable"):
            best.setdefault(gallery.table.landmark_ids[image], similar[row, image])
        expected = list(best.items())[:3]
        assert [cast.landmark_ids[code] for code in cast.codes[row]] == [n for n, _ in expected]
        assert cast.confidences[row] == pytest.approx([value for _, value in expected])


def test_a_photograph_gets_the_answer_it_gets_among_others(
    world: tuple[EmbeddingTable, Gallery],
) -> None:
    queries, gallery = world
    all_at_once = count_votes([cast_votes(queries, gallery)] * 2, [1, 3])
    single = EmbeddingTable(["q5"], [""], ["q5"], queries.vectors[5:6], "model")
    (alone,) = count_votes([cast_votes(single, gallery)] * 2, [1, 3])
    assert alone.landmark_id == all_at_once[5].landmark_id
    assert alone.confidence == pytest.approx(all_at_once[5].confidence, abs=1e-14)


def test_calibration_is_logistic_regression_on_softened_targets() -> None:
    rng = np.random.default_rng(1)
    scores = rng.uniform(0, 1, 300)
    right = rng.random(300) < 1 / (1 + np.exp(-(6 * scores - 3)))
    found = Logistic.platt(scores, right)
    hits, misses = int(right.sum()), int((~right).sum())
    share = np.where(right, (hits + 1) / (hits + 2), 1 / (misses + 2))
    oracle = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(
        np.concatenate([scores, scores])[:, None],
        np.repeat([1, 0], 300),
        sample_weight=np.concatenate([share, 1 - share]),
    )
    wanted = oracle.predict_proba(scores[:, None])[:, 1]
    np.testing.assert_allclose(found(scores[:, None]), wanted, rtol=1e-4)
    assert Logistic.from_json(found.to_json()) == found


def test_calibration_where_there_is_little_to_learn() -> None:
    parted = Logistic.platt(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True]))
    assert np.isfinite(parted.coefficients[0])
    low, high = parted(np.array([[0.1], [0.9]]))
    assert 0 < low < 0.35 < 0.65 < high < 1
    against = Logistic.platt(np.array([0.1, 0.9]), np.array([True, False]))
    assert against.coefficients == (0.0,)
    same = Logistic.platt(np.array([0.5, 0.5, 0.5]), np.array([True, True, True]))
    assert same(np.array([[0.5]]))[0] == pytest.approx(4 / 5)
    flat = votes({"a": 0.5}, {}).calibrated(same)  # a slope of 0 times a blank's -inf is no number
    assert flat.confidences[0, 0] == pytest.approx(4 / 5)
    assert (flat.confidences[1] == -np.inf).all()
    with pytest.raises(CairnError, match="verdicts"):
        Logistic.platt(np.array([]), np.array([], dtype=bool))


def test_weights_are_the_best_of_the_grid_and_never_below_a_model_alone() -> None:
    rng = np.random.default_rng(5)
    truth = {f"q{row}": {NAMES[row % 3]} if row % 4 else set() for row in range(40)}
    models = []
    for skill in (0.4, 0.6, 0.5):
        cast = []
        for landmarks in truth.values():
            mine = next(iter(landmarks), "a")
            first = mine if rng.random() < skill else NAMES[int(rng.integers(3))]
            second = NAMES[(NAMES.index(first) + 1) % 3]
            top = float(rng.random())
            cast.append({first: top, second: top / 2})
        models.append(votes(*cast))

    def gap(weights: tuple[float, ...]) -> float:
        return global_average_precision(by_image(count_votes(models, weights)), truth)

    weights, found = fit_weights([WeightedVotes(models)], [truth], num_steps=5)
    assert sum(weights) == pytest.approx(1)
    assert found == pytest.approx(gap(weights))
    grid = [(i, j, 5 - i - j) for i in range(6) for j in range(6 - i)]
    assert found == pytest.approx(max(gap(one) for one in grid))
    assert found >= max(gap(one) for one in ((1, 0, 0), (0, 1, 0), (0, 0, 1)))


def test_equals_are_weighted_evenly_then_by_their_order() -> None:
    one = votes({"a": 0.9}, {"b": 0.1})
    truth = {"q0": {"a"}, "q1": set[str]()}
    assert fit_weights([WeightedVotes([one, one])], [truth])[0] == (0.5, 0.5)
    assert fit_weights([WeightedVotes([one, one])], [truth], num_steps=1)[0] == (1.0, 0.0)


def test_what_cannot_be_counted_is_refused() -> None:
    one = votes({"a": 0.5})
    with pytest.raises(CairnError, match="different photographs"):
        count_votes([one, votes({"a": 0.5}, {"b": 0.5})], [1, 1])
    with pytest.raises(CairnError, match="2 models need as many weights"):
        count_votes([one, one], [1, 1, 1])
    with pytest.raises(CairnError, match="weights >= 0"):
        count_votes([one, one], [1, -1])
    with pytest.raises(CairnError, match="can be 0"):
        count_votes([one], [0])
    with pytest.raises(CairnError, match="no model"):
        count_votes([], [])
