"""What the revisited protocol promises, whatever the rankings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cairn.retrieval import Relevant, revisited_scores

IMAGES = [f"i{number}" for number in range(12)]
KINDS = st.lists(st.sampled_from(["easy", "hard", "junk", "none"]), min_size=12, max_size=12)


def relevant(told: list[str]) -> Relevant:
    def of(kind: str) -> frozenset[str]:
        return frozenset(image for image, k in zip(IMAGES, told, strict=True) if k == kind)

    return Relevant(of("easy"), of("hard"), of("junk"))


@given(st.permutations(IMAGES), KINDS.filter(lambda told: "easy" in told or "hard" in told),
       st.lists(st.integers(0, 12), max_size=5))  # fmt: skip
def test_junk_anywhere_changes_nothing(
    order: list[str], told: list[str], places: list[int]
) -> None:
    truth = relevant(told)
    before = revisited_scores({"q": order}, {"q": truth})
    more = [f"junk{number}" for number in range(len(places))]
    longer = list(order)
    for image, place in zip(more, places, strict=True):
        longer.insert(place, image)
    after = revisited_scores(
        {"q": longer}, {"q": Relevant(truth.easy, truth.hard, truth.junk | frozenset(more))}
    )
    assert after == before


@given(st.permutations(IMAGES), KINDS.filter(lambda told: "easy" in told or "hard" in told),
       st.integers(0, 12))  # fmt: skip
def test_a_distractor_never_helps_ap(order: list[str], told: list[str], place: int) -> None:
    truth = {"q": relevant(told)}
    before = revisited_scores({"q": order}, truth)
    after = revisited_scores({"q": [*order[:place], "far", *order[place:]]}, truth)
    for setup, score in before.items():
        assert after[setup].mean_average_precision <= score.mean_average_precision + 1e-12


@given(st.permutations(IMAGES), KINDS.filter(lambda told: "easy" in told or "hard" in told))
def test_scores_lie_between_none_and_all(order: list[str], told: list[str]) -> None:
    for score in revisited_scores({"q": order}, {"q": relevant(told)}).values():
        assert 0 < score.mean_average_precision <= 1 + 1e-12
        assert all(0 <= value <= 1 for value in score.mean_precision_at.values())
