"""GAP at another share of landmarks: against photographs that are really there so often."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cairn.bootstrap import bootstrap
from cairn.errors import CairnError
from cairn.known_share import unknown_weight
from cairn.metrics import gap, global_average_precision, rank

Answers = Mapping[str, tuple[str, float] | None]


def duplicated(
    predictions: Answers, truth: Mapping[str, set[str]], times: int
) -> tuple[dict[str, tuple[str, float] | None], dict[str, set[str]]]:
    """Return both with every non-landmark there so many times, at its place among ties."""
    answers: dict[str, tuple[str, float] | None] = {}
    wanted: dict[str, set[str]] = {}
    for image_id, landmarks in truth.items():
        for copy in range(1 if landmarks else times):
            answers[f"{image_id}#{copy:03}"] = predictions.get(image_id)
            wanted[f"{image_id}#{copy:03}"] = landmarks
    return answers, wanted


@given(
    queries=st.lists(
        st.tuples(st.booleans(), st.booleans(), st.integers(0, 6), st.booleans()),
        min_size=1,
        max_size=30,
    ),
    times=st.integers(1, 7),
)
def test_weighing_a_non_landmark_is_having_it_so_many_times(
    queries: list[tuple[bool, bool, int, bool]], times: int
) -> None:
    truth: dict[str, set[str]] = {"q-known": {"x"}, "q-unknown": set()}
    predictions: dict[str, tuple[str, float] | None] = {"q-unknown": ("x", 3.0)}
    for number, (is_known, is_right, score, is_blank) in enumerate(queries):
        truth[f"q{number:02}"] = {"x"} if is_known else set()
        answer = None if is_blank else ("x" if is_right else "y", float(score))
        predictions[f"q{number:02}"] = answer
    known = sum(map(bool, truth.values()))
    unknown = times * (len(truth) - known)
    answers, wanted = duplicated(predictions, truth, times)
    share = known / (known + unknown)
    expected = global_average_precision(answers, wanted)
    assert global_average_precision(predictions, truth, known_share=share) == pytest.approx(
        expected, abs=1e-12
    )
    ranking = rank(predictions, truth)
    assert unknown_weight(ranking.labelled, share) == pytest.approx(times)
    assert gap(ranking, unknown_weight=float(times)) == pytest.approx(expected, abs=1e-12)


def test_by_hand() -> None:
    # n is wrong and first of all; at a share of 1/4 it takes three ranks: precisions 1/4 and 2/5
    truth: dict[str, set[str]] = {"a": {"x"}, "b": {"y"}, "n": set(), "m": set()}
    predictions = {"n": ("x", 0.9), "a": ("x", 0.8), "b": ("y", 0.7), "m": ("x", 0.1)}
    gap_at = global_average_precision(predictions, truth, known_share=1 / 4)
    assert gap_at == pytest.approx((1 / 4 + 2 / 5) / 2)


def test_share_one_is_gap_without_non_landmarks() -> None:
    truth: dict[str, set[str]] = {"a": {"x"}, "b": {"y"}, "n": set()}
    predictions = {"n": ("x", 0.9), "a": ("x", 0.8), "b": ("x", 0.7)}
    assert global_average_precision(
        predictions, truth, known_share=1.0
    ) == global_average_precision(predictions, truth, ignore_unlabelled=True)


def test_the_share_at_hand_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    truth = {f"{i:03}": ({"x"} if i % 3 else set[str]()) for i in range(90)}
    predictions = {i: (str(rng.choice(["x", "y"])), float(rng.random())) for i in truth}
    assert global_average_precision(predictions, truth, known_share=60 / 90) == pytest.approx(
        global_average_precision(predictions, truth), abs=1e-12
    )


def test_resamples_count_their_own_queries() -> None:
    labelled = np.array([True, True, False])
    counts = np.array([1, 3, 2])
    assert unknown_weight(labelled, 0.5, counts) == pytest.approx(2.0)
    truth: dict[str, set[str]] = {"a": {"x"}, "b": {"y"}, "n": set()}
    ranking = rank({"n": ("x", 0.9), "a": ("x", 0.8), "b": ("y", 0.7)}, truth)

    def statistic(counts: NDArray[np.int64] | None) -> NDArray[np.float64]:
        weight = unknown_weight(ranking.labelled, 0.2, counts)
        return np.array([gap(ranking, counts, unknown_weight=weight)])

    strata = np.array([0, 0, 1])
    samples = bootstrap(statistic, strata, rng=np.random.default_rng(0), num_resamples=20)
    # both landmarks come after the non-landmark, which counts 8: whatever is drawn, 1/9 and 2/10
    assert samples == pytest.approx((1 / 9 + 2 / 10) / 2)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused(share: float) -> None:
    with pytest.raises(CairnError, match="above 0 and up to 1"):
        unknown_weight(np.array([True, False]), share)


def test_a_share_needs_a_non_landmark() -> None:
    with pytest.raises(CairnError, match="no query is a non-landmark"):
        global_average_precision({"a": ("x", 1.0)}, {"a": {"x"}}, known_share=0.5)
