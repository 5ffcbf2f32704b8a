"""Reports worked out by hand: bins that add up, changes that are paired, lists that are found."""

import json

import numpy as np
import pytest

from cairn.bootstrap import Interval
from cairn.errors import CairnError
from cairn.evaluate import Report, Retrieval, evaluate

TRUTH: dict[str, frozenset[str]] = {
    "q1": frozenset({"rare"}),
    "q2": frozenset({"common"}),
    "q3": frozenset({"common"}),
    "n1": frozenset(),
    "n2": frozenset(),
}
COUNTS = {"rare": 2, "common": 30}
# ranks: q2 right, n1, q1 right, q3 wrong; n2 blank
ANSWERS = {"q2": ("common", 0.9), "n1": ("rare", 0.8), "q1": ("rare", 0.7), "q3": ("rare", 0.1)}


def test_scores_by_hand() -> None:
    report = evaluate(ANSWERS, TRUTH, num_resamples=0)
    assert report.gap == pytest.approx((1 + 2 / 3) / 3)
    assert report.gap_without_unlabelled == pytest.approx(2 / 3)
    assert report.top1_accuracy == pytest.approx(2 / 3)
    # pairs (landmark, not): q2 beats both, q1 and q3 beat the blank n2 alone
    assert report.scores["auroc"].value == pytest.approx(4 / 6)
    assert (report.num_queries, report.num_labelled, report.num_answered) == (5, 3, 4)
    assert report.by_size == ()


def test_bins_hold_their_share_of_the_one_ranking() -> None:
    report = evaluate(ANSWERS, TRUTH, gallery_counts=COUNTS, num_resamples=0)
    small, large = report.by_size
    assert (small.size, small.num_landmarks, small.num_queries) == ("2", 1, 1)
    assert (large.size, large.num_landmarks, large.num_queries) == ("11-50", 1, 2)
    assert small.scores["gap"].value == pytest.approx(2 / 3)
    assert large.scores["gap"].value == pytest.approx(1 / 2)
    assert small.auroc == pytest.approx(1 / 2)
    total = sum(one.scores["gap"].value * one.num_queries for one in report.by_size)
    assert total / report.num_labelled == pytest.approx(report.gap)


@pytest.mark.parametrize(
    ("count", "size"),
    [(0, "0"), (1, "1"), (2, "2"), (3, "3-5"), (5, "3-5"), (6, "6-10"), (10, "6-10"), (11, "11-50"),
     (50, "11-50"), (51, ">50")],
)  # fmt: skip
def test_edges_of_the_bins(count: int, size: str) -> None:
    report = evaluate({}, {"q": {"x"}}, gallery_counts={"x": count}, num_resamples=0)
    assert [one.size for one in report.by_size] == [size]


def test_a_query_of_two_landmarks_has_the_size_of_the_larger() -> None:
    report = evaluate({}, {"q": {"rare", "common"}}, gallery_counts=COUNTS, num_resamples=0)
    assert [one.size for one in report.by_size] == ["11-50"]


def test_ignoring_unlabelled_drops_their_predictions() -> None:
    report = evaluate(ANSWERS, TRUTH, before=ANSWERS, ignore_unlabelled=True, num_resamples=0)
    assert report.gap == report.gap_without_unlabelled == pytest.approx(2 / 3)
    assert (report.num_queries, report.num_labelled) == (3, 3)
    assert "auroc" not in report.scores
    assert report.to_json()["auroc"] is None


def test_mean_average_precision_of_ranked_lists() -> None:
    gallery = {"g1": "rare", "g2": "common", "g3": "common", "g4": "other"}
    lists = {"q1": ["g4", "g1"], "q2": ["g2", "g3"], "n1": ["g1"]}
    retrieval = Retrieval.of(lists, TRUTH, gallery)
    assert set(retrieval.relevant) == {"q1", "q2", "q3"}
    report = evaluate(ANSWERS, TRUTH, gallery_counts=COUNTS, retrieval=retrieval, num_resamples=0)
    value = report.scores["mean_average_precision"].value
    assert value == pytest.approx((0.5 + 1 + 0) / 3)
    bins = [one.scores["mean_average_precision"].value for one in report.by_size]
    assert bins == [pytest.approx(0.5), pytest.approx(0.5)]


def test_queries_whose_landmark_the_gallery_lacks_have_nothing_to_find() -> None:
    retrieval = Retrieval.of({"q1": ["g"]}, TRUTH, {"g": "common"})
    assert set(retrieval.relevant) == {"q2", "q3"}
    report = evaluate(ANSWERS, TRUTH, gallery_counts=COUNTS, retrieval=retrieval, num_resamples=0)
    assert "mean_average_precision" not in report.by_size[0].scores


def _many(rng: np.random.Generator) -> tuple[dict[str, tuple[str, float]], dict[str, set[str]]]:
    truth = {f"q{i:03}": ({str(i % 9)} if i < 90 else set[str]()) for i in range(200)}
    answers = {
        query: (
            next(iter(shown)) if shown and rng.random() < 0.6 else "8",
            float(rng.normal(loc=bool(shown))),
        )
        for query, shown in truth.items()
    }
    return answers, truth


def test_a_change_is_paired_and_its_value_is_the_difference() -> None:
    answers, truth = _many(np.random.default_rng(0))
    lower = {
        query: (name, score - (0.2 if not truth[query] else 0.0))
        for query, (name, score) in answers.items()
    }
    report = evaluate(lower, truth, before=answers, num_resamples=300, seed=1)
    assert report.before is not None
    change, own = report.change["gap"], report.scores["gap"]
    assert change.value == pytest.approx(report.gap - report.before.gap)
    assert change.low is not None
    assert change.high is not None
    assert own.low is not None
    assert own.high is not None
    assert change.low >= 0  # pushing non-landmarks down can only help, in every resample
    assert change.high - change.low < (own.high - own.low) / 2
    assert own.low < own.value < own.high


def test_the_same_predictions_change_nothing() -> None:
    answers, truth = _many(np.random.default_rng(0))
    report = evaluate(answers, truth, before=answers, num_resamples=20)
    assert all(one == Interval(0.0, 0.0, 0.0) for one in report.change.values())


def test_the_seed_decides_the_intervals() -> None:
    answers, truth = _many(np.random.default_rng(0))
    first, again, other = (
        evaluate(answers, truth, num_resamples=50, seed=seed).to_json() for seed in (1, 1, 2)
    )
    assert first == again
    assert first["intervals"] != other["intervals"]


def test_json_has_the_fixed_names_and_is_json() -> None:
    report = evaluate(ANSWERS, TRUTH, before={}, gallery_counts=COUNTS, num_resamples=10)
    value = json.loads(json.dumps(report.to_json(), allow_nan=False))
    names = {"gap", "gap_without_unlabelled", "top1_accuracy", "num_queries", "num_labelled"}
    assert names <= value.keys()
    assert value["before"]["gap"] == 0
    assert value["change"]["gap"]["value"] == pytest.approx(value["gap"])
    assert value["by_size"][0]["intervals"]["gap"][0] is not None


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(CairnError, match="not among the queries"):
        evaluate({"zz": ("x", 1.0)}, TRUTH)
    with pytest.raises(CairnError, match="unknown query"):
        evaluate(ANSWERS, TRUTH, retrieval=Retrieval({}, {"zz": ["g"]}))
    with pytest.raises(CairnError, match="labelled"):
        Report({}, num_queries=2, num_labelled=0, num_answered=0)


@pytest.mark.parametrize("with_before", [False, True])
@pytest.mark.parametrize("digits", [1, 9])  # with many equal scores, and without
def test_merged_non_landmarks_measure_what_single_ones_do(with_before: bool, digits: int) -> None:
    from cairn import metrics
    from cairn.evaluate import _alike, _bins, _Measured, _precisions

    rng = np.random.default_rng(2)
    ids = [f"{number:04d}" for number in rng.permutation(2000)[:400].tolist()]
    truth = {i: frozenset({"a"} if rng.random() < 0.1 else ()) for i in ids}

    def told() -> _Measured:
        chosen = [i for i in ids if rng.random() < 0.9]
        answers = {i: ("a" if rng.random() < 0.7 else "b", round(rng.random(), digits))
                   for i in chosen}  # fmt: skip
        ranking = metrics.rank(answers, truth)
        bins = _bins(ranking.image_ids, truth, {"a": 4})
        return _Measured(ranking, bins, _precisions(ranking, None))

    sets = [told(), told()] if with_before else [told()]
    first, sizes = _alike(sets)
    assert len(first) < (350 if with_before else 250)
    assert sizes.sum() == 400
    kinds = {row: kind for kind, row in enumerate(first.tolist())}
    place = sets[0].places()
    for one in sets[1:]:
        place = place * 10_000 + one.places()
    labelled = sets[0].ranking.labelled
    kind_of = np.asarray(
        [
            kinds[row] if labelled[row] else next(k for r, k in kinds.items()
                                                  if not labelled[r] and place[r] == place[row])
            for row in range(400)
        ]
    )  # fmt: skip
    for _ in range(5):
        counts = np.bincount(rng.integers(0, 400, 400), minlength=400)
        few = np.bincount(kind_of, weights=counts, minlength=len(first)).astype(np.int64)
        for one in sets:
            whole, merged = one.measure(counts), one.few(first).measure(few)
            assert merged == pytest.approx(whole, nan_ok=True, abs=1e-12)
