"""What every stage must do, whatever its idea; a new one is tested by being in ``STAGES``."""

from typing import Any

import numpy as np
import pytest

from cairn.domain import Neighbors
from cairn.errors import CairnError
from cairn.rerank import STAGES, Context, Stage, Votes, compose
from cairn.rerank.answers import Answer
from cairn.rerank.context import NEEDS
from cairn.rerank.voting import best_votes

Asked = tuple[Neighbors, Context]

SETTINGS: dict[str, dict[str, Any]] = {
    "k-reciprocal": {"k1": 8, "k2": 3},
    "super-global": {"num_hits": 12, "num_near": 4},
    "cut-off": {"threshold": 0.45},
    "demote": {"most": 1},
    "penalty": {"min_n": 1, "max_n": 4},
    "head-sum": {"num_hits": 20},
    "chance": {"intercept": -2.0, "margin_weight": 3.0, "size_weight": 0.5, "bank_weight": 2.0},
}
"""Where the defaults would do little to the few made hits."""

ONLINE = [name for name, kind in STAGES.items() if not kind.batch]


def made(name: str) -> Stage:
    stage: Stage = STAGES[name](**SETTINGS.get(name, {}))
    return stage


def given(stage: Stage, asked: Asked) -> Answer:
    """Return hits, or votes where the stage works on votes."""
    found, context = asked
    assert context.gallery.landmarks is not None
    return found if "hits" in stage.takes else best_votes(found, context.gallery.landmarks)


def some(answer: Answer, queries: Any) -> Answer:
    if isinstance(answer, Votes):
        return Votes(answer.landmarks[queries], answer.scores[queries])
    return Neighbors(answer.indices[queries], answer.similarities[queries])


def parts(answer: Answer) -> tuple[Any, Any]:
    if isinstance(answer, Votes):
        return answer.landmarks, answer.scores
    return answer.indices, answer.similarities


@pytest.fixture(params=list(STAGES))
def stage(request: pytest.FixtureRequest) -> Stage:
    return made(request.param)


@pytest.mark.parametrize("name", ONLINE)
def test_one_photograph_is_answered_as_among_others(name: str, asked: Asked) -> None:
    stage, context = made(name), asked[1]
    answer = given(stage, asked)
    rows, scores = parts(stage(answer, context))
    for query in range(answer.num_queries):
        number = np.asarray([query])
        alone = stage(some(answer, number), context.take(number))
        np.testing.assert_array_equal(parts(alone)[0][0], rows[query])
        np.testing.assert_allclose(parts(alone)[1][0], scores[query], rtol=1e-6)


@pytest.mark.parametrize("name", ONLINE)
def test_the_order_of_photographs_does_not_matter(name: str, asked: Asked) -> None:
    stage, context = made(name), asked[1]
    answer = given(stage, asked)
    order = np.random.default_rng(0).permutation(answer.num_queries)
    rows, scores = parts(some(stage(answer, context), order))
    moved = parts(stage(some(answer, order), context.take(order)))
    np.testing.assert_array_equal(moved[0], rows)
    np.testing.assert_allclose(moved[1], scores, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in STAGES if name not in ONLINE])
def test_a_transductive_stage_needs_the_others(name: str, asked: Asked) -> None:
    stage, context = made(name), asked[1]
    answer = given(stage, asked)
    whole = parts(stage(answer, context))[1]
    numbers = [np.asarray([query]) for query in range(answer.num_queries)]
    alone = [parts(stage(some(answer, one), context.take(one)))[1][0] for one in numbers]
    assert not np.array_equal(whole, np.stack(alone))
    with pytest.raises(CairnError, match=f"'{name}' cannot answer one photograph"):
        compose([stage] if "hits" in stage.takes else [{"stage": "best-vote"}, stage], online=True)


def test_answers_are_whole_and_in_order(stage: Stage, asked: Asked) -> None:
    found, context = asked
    answer = stage(given(stage, asked), context)
    assert isinstance(answer, Votes) == (
        stage.gives == ("votes",) or (len(stage.gives) > 1 and "hits" not in stage.takes)
    )
    rows, scores = parts(answer)
    assert len(rows) == found.num_queries
    assert (np.diff(np.where(rows >= 0, scores, -1e9), axis=1) <= 0).all()
    np.testing.assert_array_equal(rows < 0, np.isneginf(scores))
    for one in rows:
        kept = one[one >= 0]
        assert len(set(kept.tolist())) == len(kept)


def test_a_stage_changes_nothing_that_it_is_given(stage: Stage, asked: Asked) -> None:
    answer = given(stage, asked)
    before = [part.copy() for part in parts(answer)]
    first, second = stage(answer, asked[1]), stage(answer, asked[1])
    for old, new in zip(before, parts(answer), strict=True):
        np.testing.assert_array_equal(old, new)
    for one, other in zip(parts(first), parts(second), strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_queries_at_all(stage: Stage, asked: Asked) -> None:
    none = np.empty(0, np.int64)
    answer = stage(some(given(stage, asked), none), asked[1].take(none))
    assert answer.num_queries == 0


def test_what_is_missing_is_named(stage: Stage) -> None:
    before = [] if "hits" in stage.takes else [STAGES["best-vote"]()]
    pipeline = compose([*before, stage])
    if not pipeline.needs:
        return
    none = Neighbors(np.empty((1, 0), np.int64), np.empty((1, 0), np.float32))
    with pytest.raises(CairnError) as caught:
        pipeline(none, Context())
    what, source = NEEDS[pipeline.needs[0]]
    assert what in caught.value.what
    assert source in caught.value.todo


def test_a_recipe_says_all_of_a_stage(stage: Stage) -> None:
    before = [] if "hits" in stage.takes else [STAGES["best-vote"]()]
    pipeline = compose([*before, stage])
    assert compose(pipeline.to_json()) == pipeline
