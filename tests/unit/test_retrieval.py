"""The revisited protocol: answers worked out by hand, and the paper's definition, plainly."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cairn.errors import CairnError
from cairn.retrieval import (
    BEYOND,
    SETUPS,
    Relevant,
    average_precision,
    precision_at,
    revisited_scores,
)


def kinds(easy: str = "", hard: str = "", junk: str = "") -> Relevant:
    return Relevant(frozenset(easy), frozenset(hard), frozenset(junk))


def plain(ranking: list[str], wanted: set[str], ignored: set[str]) -> tuple[float, list[float]]:
    """AP and P@1, 5, 10 as the paper defines them, one image after the other.

    Area under the curve of precision over recall, straight lines between the points; junk is struck
    from the list first.
    """
    kept = [image for image in ranking if image not in ignored]
    area, right = 0.0, 0
    for number, image in enumerate(kept):
        if image in wanted:
            before = right / number if number else 1.0
            right += 1
            area += (before + right / (number + 1)) / 2 / len(wanted)
    last = max((kept.index(i) + 1 if i in kept else len(kept) + 10) for i in wanted)
    at = []
    for k in (1, 5, 10):
        first = min(k, last)
        at.append(len(wanted & set(kept[:first])) / first)
    return area, at


def test_average_precision_by_hand() -> None:
    # Found first: a trapezoid from precision 1 to 1. Found second of two: (0/1 + 1/2) / 2 / 1.
    assert average_precision(np.array([0])) == 1.0
    assert average_precision(np.array([1])) == 0.25
    # Places 1 and 3 (second and fourth): (0/1 + 1/2)/2/2 + (1/3 + 2/4)/2/2 = 1/8 + 5/24 = 1/3.
    assert average_precision(np.array([1, 3])) == pytest.approx(1 / 3, abs=1e-15)
    # One of two never found: (1 + 1)/2/2.
    assert average_precision(np.array([0, BEYOND])) == 0.5
    assert average_precision(np.array([BEYOND])) == 0.0


def test_precision_is_not_blamed_for_what_follows_the_last_image() -> None:
    assert precision_at(np.array([0, 1]), 10) == 1.0  # of 2, not of 10
    assert precision_at(np.array([0, 3]), 10) == 0.5  # of 4
    assert precision_at(np.array([0, 3]), 1) == 1.0
    assert precision_at(np.array([0, BEYOND]), 10) == 0.1  # the last one lies beyond ten


def test_the_three_setups_by_hand() -> None:
    # Ranking: j x h e, with j junk, x something else, h hard, e easy.
    scores = revisited_scores({"q": ["j", "x", "h", "e"]}, {"q": kinds("e", "h", "j")})
    # Easy: j and h are struck: x e. (0/1 + 1/2)/2 = 1/4; P@1 = 0, P@5 = P@10 = 1/2.
    assert scores["easy"].mean_average_precision == 0.25
    assert scores["easy"].mean_precision_at == {1: 0.0, 5: 0.5, 10: 0.5}
    # Medium: x h e. ((0/1 + 1/2) + (1/2 + 2/3)) / 2 / 2 = 5/12; P@5 = 2/3.
    assert scores["medium"].mean_average_precision == pytest.approx(5 / 12)
    assert scores["medium"].mean_precision_at[5] == pytest.approx(2 / 3)
    # Hard: j and e are struck: x h.
    assert scores["hard"].mean_average_precision == 0.25
    assert [scores[setup].num_missing for setup in SETUPS] == [0, 0, 0]


def test_a_query_without_images_to_be_found_has_no_part_in_a_mean() -> None:
    truth = {"a": kinds("e", "h"), "b": kinds("", "h")}
    scores = revisited_scores({"a": ["e", "h"], "b": ["x", "h"]}, truth)
    assert scores["easy"].average_precisions == {"a": 1.0}
    assert scores["hard"].mean_average_precision == pytest.approx((1.0 + 0.25) / 2)
    assert "easy" not in revisited_scores({"b": ["h"]}, {"b": kinds("", "h")})


def test_a_truncated_ranking_bounds_the_scores_from_below() -> None:
    whole, truth = list("exhyzwj"), {"q": kinds("ez", "hw", "j")}
    full = revisited_scores({"q": whole}, truth)
    assert full["medium"].num_missing == 0
    for length in range(len(whole)):
        cut = revisited_scores({"q": whole[:length]}, truth)
        for setup in SETUPS:
            assert cut[setup].mean_average_precision <= full[setup].mean_average_precision
            for k in (1, 5, 10):
                assert cut[setup].mean_precision_at[k] <= full[setup].mean_precision_at[k]
        assert cut["medium"].num_missing == len(set("ezhw") - set(whole[:length]))


def test_an_image_beyond_the_ranking_stays_there_whatever_the_junk_before_it() -> None:
    scores = revisited_scores({"q": ["j", "x"]}, {"q": kinds("e", "", "j")})
    assert scores["easy"].num_missing == 1
    assert scores["easy"].mean_average_precision == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_those_of_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [f"i{number}" for number in range(40)]
    rankings, truth = {}, {}
    for query in "abcd":
        order = rng.permutation(images).tolist()
        cuts = np.sort(rng.integers(0, 25, 3))
        parts = np.split(rng.permutation(images), cuts)[:3]
        truth[query] = Relevant(*(frozenset(part.tolist()) for part in parts))
        rankings[query] = order[: 25 if seed % 2 else None]
    scores = revisited_scores(rankings, truth)
    for setup, (wanted, ignored) in SETUPS.items():
        pairs = [
            plain(rankings[query], set(truth[query].of(wanted)), set(truth[query].of(ignored)))
            for query in truth
            if truth[query].of(wanted)
        ]
        if not pairs:
            assert setup not in scores
            continue
        assert scores[setup].mean_average_precision == pytest.approx(np.mean([p[0] for p in pairs]))
        expected = np.mean([p[1] for p in pairs], axis=0)
        assert list(scores[setup].mean_precision_at.values()) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rankings", "truth", "told"),
    [
        ({"b": []}, {"a": kinds("e")}, "truth does not have"),
        ({}, {"a": kinds("e")}, "no ranking"),
        ({"a": ["x", "e", "x"]}, {"a": kinds("e")}, "twice"),
        ({"a": ["x"]}, {"a": kinds(junk="j")}, "nothing to score"),
        ([("a", ["e"]), ("a", ["e"])], {"a": kinds("e")}, "ranked twice"),
    ],
)
def test_what_does_not_fit_is_refused(
    rankings: dict[str, list[str]], truth: dict[str, Relevant], told: str
) -> None:
    with pytest.raises(CairnError, match=told):
        revisited_scores(rankings, truth)


def test_kinds_exclude_each_other_and_k_counts_from_one() -> None:
    with pytest.raises(CairnError, match="two of"):
        kinds("e", "e")
    with pytest.raises(CairnError, match="at least 1"):
        revisited_scores({"a": ["e"]}, {"a": kinds("e")}, ks=(0,))


def test_a_perfect_ranking_scores_one() -> None:
    scores = revisited_scores({"q": list("jeh")}, {"q": kinds("e", "h", "j")})
    assert all(math.isclose(score.mean_average_precision, 1.0) for score in scores.values())
