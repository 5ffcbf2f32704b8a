"""What must hold of GAP and its kin whatever the predictions."""

import math

from hypothesis import given
from hypothesis import strategies as st

from cairn.metrics import global_average_precision, mean_average_precision, top1_accuracy

Truth = dict[str, set[str]]
Predictions = dict[str, tuple[str, float]]

_LANDMARKS = st.sampled_from(["u", "v", "w"])
_SCORES = st.integers(-50, 50).map(lambda value: value / 8)


@st.composite
def _cases(draw: st.DrawFn) -> tuple[Predictions, Truth]:
    queries = [f"q{number}" for number in range(draw(st.integers(1, 12)))]
    truth = {query: draw(st.sets(_LANDMARKS, max_size=2)) for query in queries}
    truth["q0"] = truth["q0"] or {"u"}
    answered = draw(st.sets(st.sampled_from(queries)))
    return {query: (draw(_LANDMARKS), draw(_SCORES)) for query in sorted(answered)}, truth


@given(_cases())
def test_scores_lie_between_0_and_1(case: tuple[Predictions, Truth]) -> None:
    predictions, truth = case
    gap = global_average_precision(predictions, truth)
    without = global_average_precision(predictions, truth, ignore_unlabelled=True)
    assert 0 <= gap <= without + 1e-12
    assert without <= top1_accuracy(predictions, truth) + 1e-12 <= 1 + 1e-12


@given(_cases())
def test_a_wrong_answer_below_every_other_costs_nothing(case: tuple[Predictions, Truth]) -> None:
    predictions, truth = case
    low = min((score for _, score in predictions.values()), default=0.0) - 1
    more = {**predictions, "zz": ("u", low)}
    wider = {**truth, "zz": set[str]()}
    gap = global_average_precision(predictions, truth)
    assert global_average_precision(more, wider) == gap


@given(_cases(), st.randoms(use_true_random=False))
def test_the_order_of_the_mappings_is_nothing(case: tuple[Predictions, Truth], random) -> None:  # type: ignore[no-untyped-def]
    predictions, truth = case
    shuffled, also = list(predictions.items()), list(truth.items())
    random.shuffle(shuffled)
    random.shuffle(also)
    expected = global_average_precision(predictions, truth)
    assert global_average_precision(dict(shuffled), dict(also)) == expected


@given(_cases())
def test_only_the_order_of_scores_counts(case: tuple[Predictions, Truth]) -> None:
    predictions, truth = case
    moved = {query: (name, math.exp(score / 4) - 3) for query, (name, score) in predictions.items()}
    expected = global_average_precision(predictions, truth)
    assert global_average_precision(moved, truth) == expected


@given(_cases())
def test_a_better_score_for_a_right_answer_never_hurts(case: tuple[Predictions, Truth]) -> None:
    predictions, truth = case
    for query, (name, _) in predictions.items():
        if name in truth[query]:
            raised = {**predictions, query: (name, 100.0)}
            assert (
                global_average_precision(raised, truth)
                >= global_average_precision(predictions, truth) - 1e-12
            )


@given(st.lists(st.sampled_from("abcdefgh"), max_size=12), st.sets(st.sampled_from("abcd")))
def test_average_precision_lies_between_0_and_1(ranked: list[str], relevant: set[str]) -> None:
    truth = {"q": relevant | {"a"}}
    value = mean_average_precision({"q": ranked}, truth, max_predictions=5)
    assert 0 <= value <= 1
    best = sorted(truth["q"])
    assert mean_average_precision({"q": [*best, *ranked]}, truth, max_predictions=5) == 1
