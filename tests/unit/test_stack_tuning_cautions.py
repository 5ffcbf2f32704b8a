"""What a person is told before believing a tuned recipe."""

from dataclasses import replace

import numpy as np
import pytest

from cairn.domain import Neighbors
from cairn.rerank import Context, GallerySide, compose
from cairn.stack_tuning import Measured, Queries, Tuned, cautions

ROW = compose([{"stage": "sum-votes"}]).stages


def queries_of(known: int, unknown: int, *, lost: int = 0, blank: int = 0) -> Queries:
    """Return queries of two landmarks; of ``lost`` the gallery lacks the landmark."""
    num = known + unknown
    names = [f"q{number:03}" for number in range(num)]
    truth = {
        name: [] if number >= known else ["nowhere" if number < lost else "arch"]
        for number, name in enumerate(names)
    }
    num -= blank
    found = Neighbors(np.zeros((num, 1), np.int64), np.ones((num, 1), np.float32))
    context = Context(GallerySide(landmarks=np.array([0, 1])))
    return Queries.of(found, context, names[:num], truth, ["arch", "tower"])


def kinds(validation: Queries, test: Queries | None = None, share: float | None = None) -> set[str]:
    return {one.kind for one in cautions.of_queries(validation, test, known_share=share)}


def test_enough_of_both_kinds_are_no_matter() -> None:
    assert kinds(queries_of(100, 100), queries_of(120, 110)) == set()


def test_no_non_landmarks() -> None:
    assert kinds(queries_of(100, 0)) == {"no-non-landmarks"}


def test_few_of_a_kind() -> None:
    assert kinds(queries_of(99, 100)) == {"few-landmarks"}
    assert kinds(queries_of(100, 99)) == {"few-non-landmarks"}


def test_another_share_than_the_tests() -> None:
    half, third = queries_of(100, 100), queries_of(100, 200)
    assert kinds(half, third) == {"other-share"}
    assert kinds(third, half) == {"other-share"}
    told = cautions.of_queries(half, third, known_share=None)[0]
    assert "--known-share 0.333" in told.todo
    assert kinds(half, third, 0.3) == set()  # both are scored at that share


def test_non_landmarks_that_stand_for_many() -> None:
    assert kinds(queries_of(100, 100), share=0.06) == set()
    assert kinds(queries_of(100, 100), share=0.04) == {"heavy-non-landmarks"}
    told = cautions.of_queries(queries_of(100, 100), None, known_share=0.02)[0]
    assert "stands for 49 queries" in told.text


def test_what_no_stage_can_answer() -> None:
    found = cautions.of_lost(queries_of(10, 10, lost=3, blank=2), "test")
    assert [one.kind for one in found] == ["unreadable", "not-in-gallery"]
    assert "2 test queries cannot be read" in found[0].text
    assert "3 test queries show landmarks that the gallery lacks" in found[1].text
    assert cautions.of_lost(queries_of(10, 10), "test") == []


def test_copies_by_their_embeddings() -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((12, 16)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    mine, theirs = rows[:6], rows[6:].copy()
    ids, others = [f"a{n}" for n in range(6)], [f"b{n}" for n in range(6)]
    assert cautions.of_copies(mine, ids, theirs, others, "bank") == []
    theirs[4] = mine[2]
    (found,) = cautions.of_copies(mine, ids, theirs, others, "bank")
    assert found.kind == "copies-bank"
    assert "1 validation queries" in found.text
    assert "'a2' and 'b4'" in found.text


def measured_of(*gaps: float) -> Measured:
    """Return the plain row, the chosen row and today's answers, without resamples."""
    return Measured(((), ROW, "today"), np.asarray(gaps), np.empty((0, 3)), np.ones(3))


TUNED = Tuned(ROW, "every row", 0.6, 0.5, np.array([0.1, 0.12, 0.08]), 10, is_spent=False)


@pytest.mark.parametrize(
    ("tuned", "smallest", "gaps", "expected"),
    [
        (TUNED, 0.05, (0.5, 0.6, 0.55), set[str]()),
        (replace(TUNED, stages=(), gap=0.5), 0.05, (0.5, 0.5, 0.4), {"nothing-gains"}),
        (TUNED, 0.2, (0.5, 0.6, 0.5), {"too-few-to-tell"}),
        (
            replace(TUNED, held_out=np.array([0.1, -0.12, 0.03])),
            0.05,
            (0.5, 0.6, 0.5),
            {"not-held-out"},
        ),
        (TUNED, 0.05, (0.5, 0.6, 0.65), {"worse-than-today"}),
        (replace(TUNED, is_spent=True), None, (0.5, 0.6, 0.5), {"limit"}),
    ],
)
def test_what_the_figures_say(
    tuned: Tuned, smallest: float | None, gaps: tuple[float, ...], expected: set[str]
) -> None:
    found = cautions.of_result(tuned, measured_of(*gaps), smallest, "today")
    assert {one.kind for one in found} == expected


def test_without_resamples_gains_have_no_bounds() -> None:
    gain = measured_of(0.5, 0.6, 0.5).gain(ROW, ())
    assert gain.value == pytest.approx(0.1)
    assert (gain.low, gain.high) == (None, None)
