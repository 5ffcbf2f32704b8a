"""Numbers that are fitted within trials: against a plain loop, and where a peek would show."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cairn.domain import Neighbors
from cairn.errors import CairnError
from cairn.metrics import global_average_precision
from cairn.rerank import Context, GallerySide, QuerySide, compose, read_stages
from cairn.rerank.chance import Chance, fit_chance
from cairn.stack_tuning import (
    Measured,
    Parts,
    Queries,
    Trials,
    ablation,
    portfolio,
    said,
    select,
    space_of,
    tune,
)
from cairn.stack_tuning.fitting import ChanceToFit
from cairn.stack_tuning.gains import rows_of
from cairn.stack_tuning.recipe import recipe_toml

NAMES = ("arch", "bridge", "castle", "dome", "tower")
Made = tuple[Neighbors, Context, list[str], dict[str, set[str]]]
HEADS: list[Any] = [{"stage": "sum-votes", "num_hits": 3}, {"stage": "best-vote"}]


def world(num: int = 80, seed: int = 0, *, tells: bool = True) -> Made:
    """Return hits, context, ids and truth; ``tells``: what makes an answer right can be seen."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(5), [2, 3, 5, 8, 12])
    rows = np.asarray([rng.permutation(30)[:6] for _ in range(num)])
    scores = -np.sort(-rng.uniform(0.3, 0.9, (num, 6)), axis=1).astype(np.float32)
    near = -np.sort(-rng.uniform(0.1, 0.6, (num, 12)), axis=1).astype(np.float32)
    first = codes[rows[:, 0]]
    sizes = np.bincount(codes)[first]
    hope = 8 * (scores[:, 0] - 0.8) - 10 * (near.mean(axis=1) - 0.35) - 2 * np.log(sizes / 5)
    chance = 1 / (1 + np.exp(-hope)) if tells else np.full(num, 0.5)
    right = rng.random(num) < chance
    known = right | (rng.random(num) < 0.3)
    shown = np.where(right, first, (first + 1) % 5)
    ids = [f"q{number:03}" for number in rng.permutation(num)]
    truth = {
        one: {NAMES[code]} if is_known else set[str]()
        for one, code, is_known in zip(ids, shown.tolist(), known.tolist(), strict=True)
    }
    context = Context(GallerySide(landmarks=codes.astype(np.int64)), QuerySide(to_bank=near))
    return Neighbors(rows.astype(np.int64), scores), context, ids, truth


def queries_of(num: int = 80, seed: int = 0, *, tells: bool = True) -> Queries:
    return Queries.of(*world(num, seed, tells=tells), NAMES)


def trials_of(queries: Queries, folds: int = 4, share: float | None = None) -> Trials:
    return Trials(queries, Parts.of(queries, folds=folds, known_share=share))


def by_loop(
    head: Any, made: Made, train: set[str], judge: set[str], share: float | None
) -> dict[str, tuple[str, float]]:
    """Return what a fit on some queries says of others."""
    found, context, ids, truth = made

    def votes(some: set[str]) -> tuple[Any, Context, list[int]]:
        rows = [row for row, one in enumerate(ids) if one in some]
        hits = Neighbors(found.indices[rows], found.similarities[rows])
        side = context.take(np.asarray(rows))
        return compose([head]).votes(hits, side), side, rows

    seen, side, rows = votes(train)
    right = [NAMES[seen.landmarks[at, 0]] in truth[ids[row]] for at, row in enumerate(rows)]
    known = [bool(truth[ids[row]]) for row in rows]
    stage = fit_chance(seen, side, np.asarray(right), np.asarray(known), known_share=share)
    others, other_side, rows = votes(judge)
    told = stage(others, other_side)
    return {
        ids[row]: (NAMES[told.landmarks[at, 0]], float(told.scores[at, 0]))
        for at, row in enumerate(rows)
    }


@pytest.mark.parametrize("share", [None, 0.1])
def test_every_query_is_answered_by_a_fit_without_its_fold(share: float | None) -> None:
    made = world()
    truth = made[3]
    queries = Queries.of(*made, NAMES)
    trials = trials_of(queries, share=share)
    ids = np.asarray(sorted(truth))
    folds = [set(ids[mask].tolist()) for mask in trials.parts.folds]
    for head in HEADS:
        gaps = trials.gaps((*compose([head]).stages, ChanceToFit()))

        def gap(answers: dict[str, tuple[str, float]], share: float | None = share) -> float:
            return global_average_precision(
                answers, {one: truth[one] for one in answers}, known_share=share
            )

        every: dict[str, tuple[str, float]] = {}
        for number, fold in enumerate(folds):
            alone = by_loop(head, made, set(truth) - fold, fold, share)
            assert gaps[trials.parts.within(number)] == pytest.approx(gap(alone), abs=1e-12)
            every |= alone
            rest: dict[str, tuple[str, float]] = {}
            for other in folds:
                if other is not fold:
                    rest |= by_loop(head, made, set(truth) - fold - other, other, share)
            assert gaps[trials.parts.without(number)] == pytest.approx(gap(rest), abs=1e-12)
        assert gaps[0] == pytest.approx(gap(every), abs=1e-12)


def test_a_fit_that_saw_its_judges_would_gain_where_there_is_nothing_to_gain() -> None:
    """Nothing tells right from wrong, so a fit can only learn accidents of the queries it sees."""
    row = (*compose([{"stage": "best-vote"}]).stages, ChanceToFit())
    peeks, honest, tests = [], [], []
    for seed in range(20):
        queries, others = queries_of(40, seed, tells=False), queries_of(40, 100 + seed, tells=False)
        trials = trials_of(queries, folds=5)
        recipe = trials.fitted(row)
        before = trials.gaps(())[0]
        peeks.append(Trials(queries, trials.parts).gaps(recipe)[0] - before)
        measured = Measured.of(queries, [(), row], fitted_by=trials, num_resamples=2)
        gain = measured.gain(row, ()).value
        assert gain == pytest.approx(trials.gaps(row)[0] - before, abs=1e-12)
        honest.append(gain)
        test = Measured.of(others, [(), row], fitted_by=trials, num_resamples=2)
        expected = trials_of(others, folds=0).gaps(recipe)[0]
        assert test.gap(row).value == pytest.approx(expected, abs=1e-12)
        tests.append(test.gain(row, ()).value)
    assert np.mean(peeks) > 0.04
    assert abs(np.mean(tests)) < 0.02
    assert np.mean(honest) < np.mean(peeks) - 0.04


def test_the_recipe_has_the_numbers_that_all_queries_give(tmp_path: Path) -> None:
    made = world(200)
    queries = Queries.of(*made, NAMES)
    found, context, ids, truth = made
    trials = trials_of(queries, share=0.2)
    space = space_of(
        [
            {"stage": "sum-votes", "num_hits": [1, 2]},
            {"stage": "chance", "top": [3, 10], "optional": True},
        ]
    )
    tuned = tune(trials, space)
    assert isinstance(tuned.stages[-1], ChanceToFit)
    votes = compose([tuned.stages[0]]).votes(found, context)
    right = [NAMES[votes.landmarks[row, 0]] in truth[one] for row, one in enumerate(ids)]
    known = [bool(truth[one]) for one in ids]
    expected = fit_chance(
        votes,
        context,
        np.asarray(right),
        np.asarray(known),
        known_share=0.2,
        top=tuned.stages[-1].top,
    )
    chance = tuned.recipe[-1]
    assert isinstance(chance, Chance)
    for name, value in expected.model_dump().items():
        assert getattr(chance, name) == pytest.approx(value, rel=1e-6)
    other = tune(trials_of(queries), space).recipe[-1]
    assert isinstance(other, Chance)
    assert other.intercept > chance.intercept + 0.3  # more of the queries show a landmark
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_toml(tuned.recipe), "utf-8")
    assert read_stages(path, online=True).stages == tuned.recipe
    assert tuned.to_json()["stages"] == compose(list(tuned.recipe)).to_json()


def test_what_tells_right_from_wrong_is_found_by_the_portfolio() -> None:
    queries = queries_of(300)
    tuned = select(trials_of(queries, folds=5), portfolio(queries.context), limit=600)
    assert tuned.stages[-1].name == "chance"
    assert tuned.held_out_gain is not None
    assert tuned.held_out_gain > 0.02
    assert queries.context.given >= set(tuned.recipe[-1].needs)


def test_the_lines_of_the_ablation_are_fitted_apart_too() -> None:
    queries, others = queries_of(), queries_of(seed=9)
    trials = trials_of(queries)
    space = space_of([{"stage": "sum-votes", "num_hits": [2, 3]}, {"stage": "chance"}])
    chosen = space.full([0, 0])
    lines = ablation(chosen, space.slots, trials)
    told = [(line.kind, line.name, said(line.row)) for line in lines]
    assert ("alone", "chance", "best-vote; chance") in told
    assert ("in sequence", "chance", said(chosen)) in told
    assert ("left out", "sum-votes", said(chosen)) in told
    both = [
        Measured.of(one, rows_of(lines, chosen), fitted_by=trials, num_resamples=5)
        for one in (queries, others)
    ]
    for row in rows_of(lines, chosen):
        assert both[0].gap(row).value == pytest.approx(trials.gaps(row)[0], abs=1e-12)
        expected = trials_of(others, folds=0).gaps(trials.fitted(row))[0]
        assert both[1].gap(row).value == pytest.approx(expected, abs=1e-12)


def test_few_folds_fit_nothing() -> None:
    queries = queries_of()
    trials = trials_of(queries, folds=2)
    row = space_of([{"stage": "best-vote"}, {"stage": "chance"}]).full([0, 0])
    with pytest.raises(CairnError, match="3 folds"):
        trials.gaps(row)
    names = {stage.name for stage in select(trials, portfolio(queries.context)).stages}
    assert "chance" not in names
    with pytest.raises(CairnError, match="still to be fitted"):
        Measured.of(queries, [row])


def test_where_nothing_can_be_told_apart_the_ranking_stays() -> None:
    found, context, ids, truth = world(30)
    wrong = {one: {"nowhere"} if shown else set[str]() for one, shown in truth.items()}
    queries = Queries.of(found, context, ids, wrong, NAMES)
    trials = trials_of(queries)
    space = space_of([{"stage": "best-vote"}, {"stage": "chance"}])
    row = space.full([0, 0])
    assert trials.fitted(row)[-1] == Chance()
    assert (trials.gaps(row) == 0.0).all()
    with pytest.raises(CairnError, match="cannot be fitted"):
        trials.recipe(row)
    assert tune(trials, space).recipe == ()


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ({"fit": True, "score_weight": [1.0]}, "fitted or given, not both"),
        ({"fit": False}, "fit"),
        ({"fit": "yes"}, "fit"),
        ({"top": [0]}, "greater than or equal to 1"),
        ({"tpo": [3]}, "unknown setting 'tpo'"),
    ],
)
def test_wrong_wishes_are_refused(table: dict[str, Any], match: str) -> None:
    with pytest.raises(CairnError, match=match):
        space_of([{"stage": "best-vote"}, {"stage": "chance", **table}])


def test_numbers_that_are_given_stay() -> None:
    values = {"intercept": -1.0, "score_weight": [2.0, 3.0], "bank_weight": 4.0}
    space = space_of([{"stage": "best-vote"}, {"stage": "chance", **values}])
    assert [option[-1] for option in space.slots[1].options] == [
        Chance(intercept=-1.0, score_weight=weight, bank_weight=4.0) for weight in (2.0, 3.0)
    ]
    assert space_of([{"stage": "best-vote"}, {"stage": "chance", "fit": True}]).slots[
        1
    ].options == ((ChanceToFit(),),)
