"""Searches over stages: against loops that recompute everything."""

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cairn.domain import Float32, Neighbors
from cairn.errors import CairnError
from cairn.metrics import gap, global_average_precision
from cairn.rerank import (
    STAGES,
    Context,
    GallerySide,
    HeadVectors,
    Picks,
    QuerySide,
    compose,
    read_stages,
)
from cairn.rerank.head import centres_of
from cairn.searchers import ExactSearcher
from cairn.stack_tuning import (
    CHOICES,
    Measured,
    Parts,
    Queries,
    Runs,
    Slot,
    Space,
    TrialLog,
    Trials,
    ablation,
    choices_of,
    optimism,
    portfolio,
    read_space,
    said,
    select,
    space_of,
    stratified,
    tune,
)
from cairn.stack_tuning.gains import rows_of, smallest_gain
from cairn.stack_tuning.search import Looking, descend, every, forward
from cairn.stack_tuning.space import Stages, key_of
from cairn.stack_tuning.trials import subject_of

NAMES = tuple(f"landmark {number:02}" for number in range(12))


def made(seed: int = 0, num: int = 60) -> tuple[Neighbors, Context, list[str], dict[str, set[str]]]:
    """Return hits, context, ids and truth: noisy landmarks, and queries of none near a bank."""
    rng = np.random.default_rng(seed)

    def units(rows: NDArray[Any]) -> Float32:
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    codes = np.sort(np.concatenate([np.arange(12), rng.integers(12, size=48)]))
    centres, crowd = rng.standard_normal((12, 16)), rng.standard_normal((3, 16))
    gallery = units(centres[codes] + 0.9 * rng.standard_normal((60, 16)))
    gallery[::7] = units(gallery[::7] + crowd[rng.integers(3, size=len(gallery[::7]))])
    bank = units(crowd[rng.integers(3, size=50)] + 0.7 * rng.standard_normal((50, 16)))
    shown = rng.integers(12, size=num)
    known = rng.random(num) < 0.5
    wild = crowd[rng.integers(3, size=num)] + 0.7 * rng.standard_normal((num, 16))
    tame = centres[shown] + 1.1 * rng.standard_normal((num, 16))
    vectors = units(np.where(known[:, None], tame, wild))
    exact = ExactSearcher(gallery).search

    def to(rows: Float32, others: Float32, k: int) -> Float32:
        return -np.sort(-(rows @ others.T), axis=1)[:, :k]

    near = exact(gallery, 21)
    context = Context(
        GallerySide(
            landmarks=codes.astype(np.int64),
            picks=Picks.of(exact(bank, 4), 60),
            to_bank=to(gallery, bank, 10),
            vectors=gallery,
            neighbors=Neighbors(near.indices[:, 1:], near.similarities[:, 1:]),
            search=exact,
        ),
        QuerySide(
            vectors=vectors,
            to_bank=to(vectors, bank, 20),
            head=HeadVectors(vectors, centres_of(gallery, codes.astype(np.int64))),
        ),
    )
    ids = [f"q{number:03}" for number in rng.permutation(num)]
    truth = {
        one: {NAMES[landmark]} if is_known else set[str]()
        for one, landmark, is_known in zip(ids, shown, known, strict=True)
    }
    return exact(vectors, 20), context, ids, truth


def queries_of(seed: int = 0, num: int = 60) -> Queries:
    return Queries.of(*made(seed, num), NAMES)


def naive(
    stages: Any, seed: int = 0, num: int = 60, known_share: float | None = None
) -> tuple[float, dict[str, tuple[str, float]]]:
    """Return GAP and answers as anyone would compute them."""
    found, context, ids, truth = made(seed, num)
    votes = compose(list(stages)).votes(found, context)
    answers = {
        one: (NAMES[code], score)
        for one, code, score in zip(
            ids, votes.landmarks[:, 0].tolist(), votes.scores[:, 0].tolist(), strict=True
        )
        if code >= 0
    }
    return global_average_precision(answers, truth, known_share=known_share), answers


def trials_of(
    queries: Queries, folds: int = 4, log: TrialLog | None = None, share: float | None = None
) -> Trials:
    return Trials(queries, Parts.of(queries, folds=folds, known_share=share), log)


SMALL: list[dict[str, Any]] = [
    {"stage": "dense-penalty", "weight": [0.25, 0.5, 1.0], "top": [3, 5]},
    {"stage": "sum-votes", "num_hits": [2, 5], "power": [1.0, 4.0], "optional": True},
    {"stage": "query-penalty", "top": 3, "weight": [0.25, 0.5, 1.0, 2.0], "optional": True},
]


def tables() -> list[list[dict[str, Any]]]:
    """Return every row of SMALL, by loops."""
    rows = []
    for weight, top in product([0.25, 0.5, 1.0], [3, 5]):
        for votes in [None, *product([2, 5], [1.0, 4.0])]:
            for query in [None, 0.25, 0.5, 1.0, 2.0]:
                row: list[dict[str, Any]] = [
                    {"stage": "dense-penalty", "weight": weight, "top": top}
                ]
                if votes is not None:
                    row += [{"stage": "sum-votes", "num_hits": votes[0], "power": votes[1]}]
                if query is not None:
                    row += [{"stage": "query-penalty", "top": 3, "weight": query}]
                rows.append(row)
    return rows


@pytest.mark.parametrize("name", sorted(CHOICES))
def test_a_trial_is_the_pipeline_and_the_metric(name: str) -> None:
    if "queries.inliers" in STAGES[name].needs:
        pytest.skip("needs photographs")
    if name == "chance":
        pytest.skip("its numbers are fitted: test_stack_tuning_fitting")
    lead = [{"stage": "best-vote"}] if STAGES[name].takes == ("votes",) else []
    queries = queries_of()
    trials = trials_of(queries, folds=3)
    for option in choices_of(name).options[:6]:
        stages = (*compose(lead).stages, *option)
        expected, answers = naive(stages)
        assert trials.gaps(stages)[0] == pytest.approx(expected, abs=1e-12)
        truth = made()[3]
        for part, mask in enumerate(trials.parts.masks):
            few = {one: truth[one] for one, is_in in zip(sorted(truth), mask, strict=True) if is_in}
            mine = {one: answers[one] for one in few}
            assert trials.gaps(stages)[part] == pytest.approx(
                global_average_precision(mine, few), abs=1e-12
            )


def test_parts_are_weighed_to_the_share_each() -> None:
    queries = queries_of()
    trials = trials_of(queries, folds=3, share=0.1)
    _, answers = naive([{"stage": "dense-penalty"}])
    truth = made()[3]
    gaps = trials.gaps(compose([{"stage": "dense-penalty"}]).stages)
    for part, mask in enumerate(trials.parts.masks):
        few = {one: truth[one] for one, is_in in zip(sorted(truth), mask, strict=True) if is_in}
        mine = {one: answers[one] for one in few}
        expected = global_average_precision(mine, few, known_share=0.1)
        assert gaps[part] == pytest.approx(expected, abs=1e-12)


def test_the_kept_prefixes_change_nothing() -> None:
    queries = queries_of()
    rows = [compose(row).stages for row in tables()]
    kept, none = Runs(queries), Runs(queries, cache_bytes=0)
    for row in [*rows, *reversed(rows)]:
        one, two = kept.ranking(row), none.ranking(row)
        assert (one.order == two.order).all()
        assert (one.scores == two.scores).all()


def test_blanks_count_and_gain_nothing() -> None:
    found, context, ids, truth = made()
    known = next(one for one in ids if truth[one])
    rows = np.asarray([row for row, one in enumerate(ids) if one != known])
    few = Neighbors(found.indices[rows], found.similarities[rows])
    queries = Queries.of(few, context.take(rows), [ids[row] for row in rows], truth, NAMES)
    _, answers = naive(())
    expected = global_average_precision(
        {one: answer for one, answer in answers.items() if one != known}, truth
    )
    assert gap(Runs(queries).ranking(())) == pytest.approx(expected, abs=1e-12)


def test_every_row_is_the_loop() -> None:
    expected = max(naive(row)[0] for row in tables())
    space = space_of(SMALL)
    assert space.size == 6 * 5 * 5 == len(tables())
    tuned = tune(trials_of(queries_of()), space)
    assert tuned.method == "every row"
    assert tuned.gap == pytest.approx(max(expected, naive(())[0]), abs=1e-12)
    assert tuned.num_tried == space.size + 1
    assert not tuned.is_spent


def test_held_out_gains_are_those_of_searches_that_did_not_see_the_fold() -> None:
    queries = queries_of()
    trials = trials_of(queries, folds=3)
    tuned = tune(trials, space_of(SMALL))
    truth = made()[3]
    rows = [(), *tables()]
    answers = [naive(row)[1] for row in rows]
    for fold in range(3):
        held = {
            one
            for one, is_in in zip(
                sorted(truth), trials.parts.masks[trials.parts.within(fold)], strict=True
            )
            if is_in
        }

        def score(number: int, ids: set[str]) -> float:
            mine = {one: answer for one, answer in answers[number].items() if one in ids}
            return global_average_precision(mine, {one: truth[one] for one in ids})

        rest = set(truth) - held
        scores = [score(number, rest) for number in range(len(rows))]
        best = scores.index(max(scores))
        expected = score(best, held) - score(0, held)
        assert tuned.held_out[fold] == pytest.approx(expected, abs=1e-12)
    assert tuned.held_out_gain == pytest.approx(tuned.held_out.mean())


@pytest.mark.parametrize("seed", range(3))
def test_never_below_the_nearest_image_where_it_was_searched(seed: int) -> None:
    queries = queries_of(seed, num=24)
    space = space_of([{"stage": "cut-off", "threshold": [-1.0, 0.0]}, *SMALL])
    for limit in (1, 7, 60, 5000):
        tuned = tune(trials_of(queries, folds=2), space, limit=limit, seed=seed)
        assert tuned.gap >= tuned.plain
        chosen = select(trials_of(queries, folds=2), portfolio(queries.context), limit=limit)
        assert chosen.gap >= chosen.plain


def test_a_large_space_is_searched_place_by_place_within_its_limit() -> None:
    queries = queries_of()
    space = space_of(SMALL)
    tuned = tune(trials_of(queries), space, limit=60)
    assert tuned.method == "one place at a time"
    assert tuned.num_tried <= 60 * 5
    whole = tune(trials_of(queries), space)
    assert tuned.gap <= whole.gap + 1e-12
    assert tuned.gap > tuned.plain


def test_where_places_do_not_hang_on_one_another_descent_is_exact() -> None:
    space = space_of(SMALL)
    goal = [0.5, 5, 4.0]

    def score(stages: Stages) -> float:
        tables = [json.loads(key_of([stage]))[0] for stage in stages]
        values = {(t["stage"], name): v for t in tables for name, v in t.items()}
        places = (("dense-penalty", "weight"), ("dense-penalty", "top"), ("sum-votes", "power"))
        pairs = zip(places, goal, strict=True)
        return -float(sum(abs(values.get(at, 99) - wanted) for at, wanted in pairs))

    one, two = Looking(score, limit=10_000), Looking(score, limit=10_000)
    assert score(descend(space, one, starts=1)) == score(every(space, two)) == 0
    assert one.num_seen < two.num_seen


def test_many_options_of_one_place_are_searched_value_by_value() -> None:
    slot = Slot.of(
        "head-product",
        {
            "num_hits": [1, 2, 3, 5, 10],
            "power": [float(one) for one in range(1, 9)],
            "head_power": [0.5, 1.0, 2.0, 4.0, 8.0, 12.0],
        },
    )

    def score(stages: Stages) -> float:
        if not stages:
            return -1e9
        table = json.loads(key_of(stages))[0]
        wanted = {"num_hits": 5, "power": 6, "head_power": 4}
        return -float(sum(abs(table[name] - value) for name, value in wanted.items()))

    looking = Looking(score, limit=10_000)
    assert score(descend(Space((slot,)), looking, starts=1)) == 0
    assert looking.num_seen < len(slot.options) // 3


def test_the_same_twice_and_whatever_was_tried_before() -> None:
    queries = queries_of()
    candidates = portfolio(queries.context)
    one = select(trials_of(queries), candidates, limit=400)
    trials = trials_of(queries)
    tune(trials, space_of(SMALL))
    two = select(trials, candidates, limit=400)
    assert one.stages == two.stages
    assert one.path == two.path
    assert (one.held_out == two.held_out).all()


def test_selection_adds_the_stage_that_gains_most() -> None:
    queries = queries_of()
    trials = trials_of(queries, folds=0)
    candidates = portfolio(queries.context)
    names = [one.slot.name for one in candidates]
    assert "verify" not in names  # nobody gave a matcher
    assert len(names) == 14
    assert "head-best" in names
    assert names[-1] == "chance"
    candidates = candidates[:-1]  # without folds nothing is fitted
    path = forward(candidates, Looking(lambda row: float(trials.gaps(row)[0]), limit=9999), most=1)
    best = max(float(trials.gaps(option)[0]) for one in candidates for option in one.slot.options)
    assert len(path) == 2
    assert path[1].score == pytest.approx(best)
    assert path[1].score > path[0].score


def test_selection_keeps_one_of_a_kind_and_the_order_they_run_in() -> None:
    queries = queries_of()
    candidates = portfolio(queries.context)
    rank = {one.slot.name: (one.rank, one.kind) for one in candidates}
    for seed in range(2):
        tuned = select(trials_of(queries_of(seed)), candidates, limit=900, most=3)
        for step in tuned.path:
            places = [rank[one.name] for one in step.stages if one.name != "best-vote"]
            assert places == sorted(places)
            assert len({kind for _, kind in places}) == len(places)
            compose(list(step.stages), online=True)


def test_the_shortest_row_within_one_standard_error_is_taken() -> None:
    for seed in range(2):
        tuned = select(trials_of(queries_of(seed), folds=5), portfolio(made(seed)[1]), limit=800)
        means = [step.held_out for step in tuned.path]
        assert all(mean is not None for mean in means)
        best = max(mean for mean in means if mean is not None)
        allowed = [
            number
            for number, step in enumerate(tuned.path)
            if (step.held_out or 0.0) >= best - (step.error or 0.0)
        ]
        assert tuned.stages == tuned.path[allowed[0]].stages


def test_folds_have_their_share_of_both_kinds() -> None:
    labelled = np.arange(23) % 4 == 0
    parts = stratified(labelled, 3, np.random.default_rng(1))
    assert sorted(np.concatenate(parts).tolist()) == list(range(23))
    assert [int(labelled[part].sum()) for part in parts] == [2, 2, 2]


def test_few_queries_have_fewer_folds_or_none() -> None:
    found, context, ids, truth = made(num=8)
    known = [one for one in ids if truth[one]]
    for num, expected in ((1, 0), (2, 2), (3, 3)):
        shown = {one: truth[one] if one in known[:num] else set[str]() for one in ids}
        queries = Queries.of(found, context, ids, shown, NAMES)
        assert Parts.of(queries, folds=5).num_folds == expected
        tuned = select(Trials(queries, Parts.of(queries, folds=5)), portfolio(context), limit=50)
        assert (tuned.held_out_gain is None) == (expected == 0)


def test_a_log_is_taken_up(tmp_path: Path) -> None:
    queries = queries_of()
    parts = Parts.of(queries, folds=3)
    path = tmp_path / "trials.jsonl"
    subject = subject_of(queries, parts)
    candidates = portfolio(queries.context)
    whole = select(Trials(queries, parts, TrialLog(path, subject)), candidates, limit=150)
    lines = path.read_text("utf-8").splitlines()
    path.write_text("\n".join(lines[:60]) + "\n" + lines[60][:40], "utf-8")  # killed while writing
    trials = Trials(queries, parts, TrialLog(path, subject))
    again = select(trials, candidates, limit=150)
    assert again.path == whole.path
    assert trials.num_run == whole.num_tried - 59
    assert path.read_text("utf-8").splitlines() == lines


def test_a_log_of_other_queries_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    one, two = queries_of(0), queries_of(1)
    TrialLog(path, subject_of(one, Parts.of(one, folds=3)))
    for queries, share in ((two, None), (one, 0.1)):
        parts = Parts.of(queries, folds=3, known_share=share)
        with pytest.raises(CairnError, match="of something else"):
            TrialLog(path, subject_of(queries, parts))
    path.write_text("image_id,landmark\n", "utf-8")
    with pytest.raises(CairnError, match="no log of trials"):
        TrialLog(path, {})


CHOICE_RECIPE = """
[[stages]]
stage = "dense-penalty"
weight = [0.25, 0.5]

[[stages]]
stage = "query-penalty"
top = 3
optional = true
"""


def test_a_recipe_with_choices(tmp_path: Path) -> None:
    path = tmp_path / "choices.toml"
    path.write_text(CHOICE_RECIPE, "utf-8")
    space = read_space(path)
    assert [len(slot.options) for slot in space.slots] == [2, 1]
    assert space.size == 4
    assert [said(space.full(one)) for one in space.choices()] == [
        "dense-penalty weight 0.25",
        "dense-penalty weight 0.25; query-penalty top 3",
        "dense-penalty weight 0.5",
        "dense-penalty weight 0.5; query-penalty top 3",
    ]


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ({"stage": "dense-penalti"}, "unknown stage"),
        ({"stage": "dense-penalty", "wieght": [1.0]}, "unknown setting"),
        ({"stage": "dense-penalty", "weight": [0.5, -1.0]}, "greater than or equal to 0"),
        ({"stage": "dense-penalty", "weight": []}, "no choices"),
        ({"stage": "k-reciprocal", "k1": [3], "k2": [4, 5]}, "k2 must not exceed k1"),
        ({"weight": 1.0}, "must say which"),
        ({"stage": "best-vote", "optional": "yes"}, "true or false"),
    ],
)
def test_wrong_choices_are_refused(table: Mapping[str, Any], match: str) -> None:
    with pytest.raises(CairnError, match=match):
        space_of([table])


def test_values_that_do_not_go_together_are_left_out() -> None:
    slot = Slot.of("k-reciprocal", {"k1": [2, 5], "k2": [1, 4]})
    assert len(slot.options) == 3


def test_stages_that_do_not_follow_one_another_are_refused() -> None:
    with pytest.raises(CairnError, match="works on hits"):
        space_of([{"stage": "best-vote"}, {"stage": "dense-penalty"}])


def test_all_default_choices_are_valid() -> None:
    assert set(CHOICES) == set(STAGES)
    for name in CHOICES:
        assert choices_of(name).options
    ranks = [one.rank for one in portfolio(made()[1])]
    assert ranks == sorted(ranks)


def test_gains_are_paired_over_the_same_resamples() -> None:
    queries = queries_of()
    row = compose([{"stage": "dense-penalty"}]).stages
    measured = Measured.of(queries, [(), row, row], num_resamples=200, seed=3)
    assert len(measured.rows) == 2
    assert measured.gap(row).value == pytest.approx(naive(row)[0])
    gain = measured.gain(row, ())
    assert gain.value == pytest.approx(naive(row)[0] - naive(())[0])
    expected = np.quantile(measured.samples[:, 1] - measured.samples[:, 0], [0.025, 0.975])
    assert (gain.low, gain.high) == pytest.approx(tuple(expected))
    nothing = measured.gain(row, row)
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)
    same = optimism(measured, measured, row)
    assert same.value == 0.0


def test_the_share_reaches_the_intervals() -> None:
    queries = queries_of()
    row = compose([{"stage": "query-penalty"}]).stages
    measured = Measured.of(queries, [(), row], known_share=0.05, num_resamples=50)
    assert measured.gap(row).value == pytest.approx(naive(row, known_share=0.05)[0])
    assert measured.gap(row).value < naive(row)[0]


def test_the_ablation_of_a_row() -> None:
    queries = queries_of()
    trials = trials_of(queries)
    space = space_of(SMALL)
    chosen = compose(
        [
            {"stage": "dense-penalty", "weight": 0.5},
            {"stage": "best-vote"},
            {"stage": "soft-confidence"},
            {"stage": "query-penalty", "top": 3},
        ]
    ).stages
    lines = ablation(chosen, space.slots, trials)
    told = [(line.kind, line.name, said(line.row), said(line.over)) for line in lines]
    whole = said(chosen)
    assert told[3:] == [
        ("in sequence", "dense-penalty", "dense-penalty weight 0.5", "the nearest image"),
        (
            "in sequence",
            "soft-confidence",
            "dense-penalty weight 0.5; best-vote; soft-confidence",
            "dense-penalty weight 0.5",
        ),
        (
            "in sequence",
            "query-penalty",
            whole,
            "dense-penalty weight 0.5; best-vote; soft-confidence",
        ),
        ("left out", "dense-penalty", whole, "best-vote; soft-confidence; query-penalty top 3"),
        (
            "left out",
            "soft-confidence",
            whole,
            "dense-penalty weight 0.5; best-vote; query-penalty top 3",
        ),
        (
            "left out",
            "query-penalty",
            whole,
            "dense-penalty weight 0.5; best-vote; soft-confidence",
        ),
    ]
    for line, slot in zip(lines[:3], space.slots, strict=True):
        assert line.kind == "alone"
        assert line.name == slot.name
        best = max(naive(option)[0] for option in slot.options)
        assert trials.gaps(line.row)[0] == pytest.approx(best)
    measured = Measured.of(queries, rows_of(lines, chosen), num_resamples=50)
    sequence = [line for line in lines if line.kind == "in sequence"]
    total = sum(measured.gain(line.row, line.over).value for line in sequence)
    assert total == pytest.approx(measured.gain(chosen, ()).value)
    value = lines[0].to_json(validation=measured, test=None)
    assert set(value) >= {"validation", "stage", "kind"}
    assert "test" not in value
    assert smallest_gain(measured, lines, chosen) == pytest.approx(2.8 * measured.error(chosen, ()))


def test_what_queries_must_be() -> None:
    found, context, ids, truth = made()
    with pytest.raises(CairnError, match="an id of its own"):
        Queries.of(found, context, ids[:-1], truth, NAMES)
    with pytest.raises(CairnError, match="no truth"):
        Queries.of(found, context, ids, {one: truth[one] for one in ids[1:]}, NAMES)
    with pytest.raises(CairnError, match="no query shows a landmark"):
        Queries.of(found, context, ids, {one: set() for one in ids}, NAMES)
    bare = replace(context, gallery=GallerySide())
    with pytest.raises(CairnError, match="lacks gallery"):
        Queries.of(found, bare, ids, truth, NAMES)


def test_what_a_stage_needs_is_asked_for() -> None:
    found, context, ids, truth = made()
    bare = Context(GallerySide(landmarks=context.gallery.landmarks))
    queries = Queries.of(found, bare, ids, truth, NAMES)
    assert {one.slot.name for one in portfolio(bare)} == {"sum-votes", "soft-confidence"}
    with pytest.raises(CairnError, match="needs similarities of gallery rows"):
        tune(trials_of(queries), space_of(SMALL))


def test_the_choice_is_a_recipe(tmp_path: Path) -> None:
    from cairn.stack_tuning.recipe import recipe_toml

    tuned = tune(trials_of(queries_of()), space_of(SMALL))
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_toml(tuned.stages, head=["what it is"]), "utf-8")
    assert read_stages(path).stages == tuned.stages
    path.write_text(recipe_toml((), head=[]), "utf-8")
    assert read_stages(path).stages == ()
