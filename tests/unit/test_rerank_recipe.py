"""Recipes of stages: read, checked, refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cairn.domain import Neighbors
from cairn.errors import CairnError
from cairn.rerank import (
    STAGES,
    Context,
    GallerySide,
    Picks,
    QuerySide,
    compose,
    read_stages,
    require_online,
)
from cairn.rerank.nonlandmark import penalise_densely
from cairn.rerank.queryside import penalise_queries
from cairn.rerank.voting import SumVotes, best_votes, sum_votes

Asked = tuple[Neighbors, Context]

WINNERS = """
[[stages]]
stage = "dense-penalty"

[[stages]]
stage = "sum-votes"
num_hits = 3

[[stages]]
stage = "query-penalty"
weight = 0.5
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "stages.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_recipe_runs_its_stages_in_order(asked: Asked, tmp_path: Path) -> None:
    found, context = asked
    pipeline = read_stages(written(tmp_path, WINNERS))
    assert [stage.name for stage in pipeline.stages] == [
        "dense-penalty",
        "sum-votes",
        "query-penalty",
    ]
    assert pipeline.gives == "votes"
    assert pipeline.online
    assert pipeline.needs == ("gallery.to_bank", "gallery.landmarks", "queries.to_bank")
    require_online(pipeline)
    gallery, queries = context.gallery, context.queries
    assert gallery.to_bank is not None
    assert gallery.landmarks is not None
    assert queries.to_bank is not None
    votes = sum_votes(penalise_densely(found, gallery.to_bank), gallery.landmarks, num_hits=3)
    votes = penalise_queries(votes, queries.to_bank, weight=0.5)
    answer = pipeline.votes(found, context)
    np.testing.assert_array_equal(answer.landmarks, votes.landmarks)
    np.testing.assert_array_equal(answer.scores, votes.scores)


def test_without_a_vote_the_best_hit_answers(asked: Asked) -> None:
    found, context = asked
    assert context.gallery.landmarks is not None
    pipeline = compose([])
    assert pipeline(found, context) is found
    assert pipeline.gives == "hits"
    wanted = best_votes(found, context.gallery.landmarks)
    np.testing.assert_array_equal(pipeline.votes(found, context).landmarks, wanted.landmarks)


def test_stages_and_tables_compose(tmp_path: Path) -> None:
    assert compose([SumVotes(power=2.0)]) == compose([{"stage": "sum-votes", "power": 2}])
    assert compose([{"stage": "sum-votes"}]).to_json() == [
        {"stage": "sum-votes", "num_hits": 3, "power": 1.0}
    ]


@pytest.mark.parametrize(
    ("tables", "what", "todo"),
    [
        ([{"stage": "sum-vote"}], "unknown stage 'sum-vote'", "did you mean 'sum-votes'?"),
        ([{"num_hits": 3}], "a stage must say which it is", "sum-votes"),
        ([{"stage": "sum-votes", "hits": 3}], "unknown setting 'hits'", "did you mean 'num_hits'?"),
        ([{"stage": "sum-votes", "num_hits": 0}], "setting 'num_hits': ", ""),
        ([{"stage": "penalty", "min_n": 20}], "1 <= min_n <= max_n", ""),
        ([{"stage": "k-reciprocal", "k2": 21}], "k2 must not exceed k1", ""),
        (
            [{"stage": "soft-confidence"}],
            "works on votes and is given hits",
            "put one of best-vote",
        ),
        (
            [{"stage": "best-vote"}, {"stage": "dense-penalty"}],
            "'dense-penalty' works on hits and is given votes",
            "put it before",
        ),
    ],
)
def test_faults_are_told(tables: list[dict[str, Any]], what: str, todo: str) -> None:
    with pytest.raises(CairnError) as caught:
        compose(tables, where="my.toml")
    assert what in caught.value.what
    assert todo in caught.value.todo


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("stages = 3", "a recipe needs [[stages]]"),
        ("", "a recipe needs [[stages]]"),
        ("stage = []", "unknown setting 'stage'"),
        ("[[stages", "not TOML"),
    ],
)
def test_files_that_are_no_recipes(tmp_path: Path, text: str, what: str) -> None:
    with pytest.raises(CairnError) as caught:
        read_stages(written(tmp_path, text))
    assert what in caught.value.what
    with pytest.raises(CairnError, match="file not found"):
        read_stages(tmp_path / "none.toml")


def test_transductive_stages_are_refused_by_name() -> None:
    pipeline = compose([{"stage": "best-vote"}, {"stage": "demote"}])
    assert not pipeline.online
    with pytest.raises(CairnError, match="'demote' cannot answer one photograph: it counts") as one:
        require_online(pipeline)
    assert one.value.where == "stage 2 of 2"
    with pytest.raises(CairnError, match="'demote' cannot answer one photograph"):
        compose(pipeline.to_json(), online=True)


def test_which_stages_are_transductive() -> None:
    assert {name for name, kind in STAGES.items() if kind.batch} == {"quantile", "demote"}


def test_a_missing_head_is_told(asked: Asked) -> None:
    found, context = asked
    bare = Context(context.gallery, QuerySide())
    with pytest.raises(CairnError) as caught:
        compose([{"stage": "head-product"}])(found, bare)
    assert caught.value.what == "stage 'head-product' needs head logits"
    assert "give a model with a head" in caught.value.todo
    assert "or drop the stage" in caught.value.todo


def test_contexts_that_do_not_fit(asked: Asked) -> None:
    found, context = asked
    with pytest.raises(CairnError, match="the context is of 2 queries and the hits of 12"):
        compose([{"stage": "query-penalty"}])(found, context.take(np.asarray([0, 1])))
    beyond = Neighbors(np.where(found.indices == 3, 60, found.indices), found.similarities)
    with pytest.raises(CairnError, match="gallery row 60 and the context has 60 rows"):
        compose([{"stage": "best-vote"}])(beyond, context)
    with pytest.raises(CairnError, match="different gallery"):
        GallerySide(landmarks=np.zeros(3, np.int64), to_bank=np.zeros((4, 2), np.float32))
    with pytest.raises(CairnError, match="different queries"):
        QuerySide(vectors=np.zeros((3, 2), np.float32), to_bank=np.zeros((4, 2), np.float32))
    with pytest.raises(CairnError, match=r"\(G,\) counts"):
        Picks(np.zeros(3, np.int64), np.zeros(2, np.float32))


def test_a_context_of_some_queries(asked: Asked) -> None:
    context = asked[1]
    part = context.take(np.asarray([7, 2])).queries
    whole = context.queries
    assert part.num_queries == 2
    assert part.inliers is not None
    assert whole.inliers is not None
    assert [part.inliers(0, 5), part.inliers(1, 9)] == [whole.inliers(7, 5), whole.inliers(2, 9)]
    assert context.gallery.num_landmarks == 15
