"""Rows as data, recipes from them, evidence and sentences; what runs is in test_ablation_run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cairn.ablation.evidence import Evidence, Findings, Question, weigh
from cairn.ablation.folder import Place
from cairn.ablation.plan import make_plan
from cairn.ablation.table import builtin_tables, read_table, recipe_of
from cairn.ablation.verdict import verdict
from cairn.bootstrap import Interval
from cairn.config import read_recipe
from cairn.errors import CairnError
from cairn.metrics import global_average_precision, top1_accuracy
from cairn.model import build

ROWS = """
recipe = "demo"
[rows.a]
title = "a"
question = "?"
changes.head = { kind = "softmax" }
[rows.b]
title = "b"
question = "?"
reference = "a"
changes = { model.pool = "avg", head.margin = 0.4 }
[rows.c]
title = "c"
question = "?"
reference = "b"
changes.head.kind = "arcface"
[rows.p]
title = "p"
question = "?"
kind = "penalty"
reference = "c"
"""


def table_file(folder: Path, text: str = ROWS) -> Path:
    path = folder / "rows.toml"
    path.write_text(text)
    return path


# -- rows ------------------------------------------------------------------------------------------


def test_a_row_changes_the_recipe_of_its_reference(tmp_path: Path) -> None:
    rows = read_table(table_file(tmp_path)).rows
    base = read_recipe("demo", ["seed=7", "head.scale=12"])
    a, b, c = (recipe_of(rows, name, base) for name in "abc")
    assert a is not None
    assert b is not None
    assert c is not None
    assert (a.head.kind, a.head.scale, a.head.margin, a.model.pool) == ("softmax", 12, 0.15, "gem")
    assert (b.head.kind, b.head.scale, b.head.margin, b.model.pool) == ("softmax", 12, 0.4, "avg")
    assert (c.head.kind, c.head.margin, c.model.pool, c.name) == ("arcface", 0.4, "avg", "c")
    assert recipe_of(rows, "p", base) is None
    assert c.seed == 7


@pytest.mark.parametrize("name", builtin_tables())
def test_built_in_rows_make_recipes_of_one_budget_and_one_change(name: str) -> None:
    table = read_table(name)
    base = read_recipe(table.recipe)
    recipes = {row: recipe_of(table.rows, row, base) for row in table.rows}
    for row, recipe in recipes.items():
        if recipe is None:
            assert table.rows[row].kind != "train"
            continue
        assert recipe.train.epochs == base.train.epochs
        assert recipe.model.preprocess == base.model.preprocess
        assert (recipe.augment, recipe.validation) == (base.augment, base.validation)
        reference = table.rows[row].reference
        before = recipes[reference] if reference else base
        assert (recipe.model, recipe.head, recipe.sampling, recipe.train) != (
            None if before is None else (before.model, before.head, before.sampling, before.train)
        ) or row == "softmax"
    expected = {"softmax", "arcface", "gc", "gem", "penalty", "size-margin", "balanced", "sqrt"}
    assert expected | {"vote"} <= set(table.rows)
    assert [one.public for one in table.published][-4:] == [0.217, 0.224, 0.230, 0.244]
    house = recipes["gem"]
    assert house is not None
    assert (house.model.gc, house.model.pool, house.head.kind) == (True, "gem", "arcface")


@pytest.mark.parametrize("row", ["focalnet", "swin", "nfnet"])
def test_small_backbones_are_about_as_large_as_the_house_models_sibling(row: str) -> None:
    table = read_table("ablation")
    recipe = recipe_of(table.rows, row, read_recipe(table.recipe))
    assert recipe is not None
    with torch.device("meta"):
        model = build(recipe.model)
    size = sum(parameter.numel() for parameter in model.parameters())
    assert 1e6 < size < 6e6
    assert table.rows[row].reference == "arcface"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('[rows.d]\ntitle="d"\nquestion="?"\nreference="e"', "refers to 'e'"),
        ('[rows.d]\ntitle="d"\nquestion="?"\nreference="d"', "go round"),
        ('[rows.d]\ntitle="d"\nquestion="?"\nchanges.train.epochs=3', "equal budgets"),
        ('[rows.d]\ntitle="d"\nquestion="?"\nchanges.model.preprocess.image_size=64', "budgets"),
        ('[rows.d]\ntitle="d"\nquestion="?"\nchanges.seed=3', "no row may change seed"),
        ('[rows.d]\ntitle="d"\nquestion="?"\nkind="penalty"', "needs the reference"),
        ('[rows.d]\ntitle="d"\nquestion="?"\nkind="ensemble"\nreference="a"', "best member"),
        ('[rows.d]\ntitle="d"\nquestion="?"\nkind="penalty"\nreference="a"\nchanges.head.margin=1',
         "trains nothing"),
        ('[rows.d]\ntitle="d"', "question"),
        ('[rows.d]\ntitle="d"\nquestion="?"\ntitel="x"', "unknown setting"),
        ('[rows."d/e"]\ntitle="d"\nquestion="?"', "does not suit"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_is_refused(text: str, match: str, tmp_path: Path) -> None:
    with pytest.raises(CairnError, match=match):
        read_table(table_file(tmp_path, ROWS + text))


def test_a_change_that_no_recipe_knows_is_refused_before_anything_runs(tmp_path: Path) -> None:
    text = ROWS + '[rows.d]\ntitle="d"\nquestion="?"\nchanges.head.margni=0.1'
    with pytest.raises(CairnError, match="margni") as caught:
        make_plan(tmp_path, table=table_file(tmp_path, text), num_seeds=1)
    assert "margin" in str(caught.value)
    assert "row 'd'" in str(caught.value)


def test_a_table_builds_on_another_and_adds_a_row(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('base="ablation"\n[rows.new]\ntitle="n"\nquestion="?"\nreference="gem"\n')
    plan = make_plan(tmp_path, table=own, num_seeds=2, rows=["new"])
    assert plan.chosen == ("new",)
    assert "softmax" in plan.rows
    assert list(plan.seeds) == [0, 1]
    assert list(plan.rows)[-1] == "vote", "votes come when all others are there"
    loop = tmp_path / "loop.toml"
    loop.write_text('base="loop.toml"')
    with pytest.raises(CairnError, match="own base"):
        read_table(loop)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"PAR1\xff\xfe", "not TOML.*\\n.*\\n.*give a table of rows in TOML"),
        (b"base = 3", "base must be the name or path of a table of rows"),
        (b'recipe = "demo"\nrows = 3', "setting 'rows'"),
        (b'recipe = "demo"\n[rows]\na = 3', "setting 'rows.a'"),
    ],
)
def test_what_is_no_table_is_refused_in_words(content: bytes, match: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.toml"
    path.write_bytes(content)
    with pytest.raises(CairnError, match=match):
        read_table(path)


def test_chosen_rows_bring_what_they_cannot_do_without(tmp_path: Path) -> None:
    path = table_file(tmp_path)
    assert make_plan(tmp_path, table=path, num_seeds=1, rows=["p"]).chosen == ("c", "p")
    assert make_plan(tmp_path, table=path, num_seeds=1, rows=["c"]).chosen == ("c",)
    with pytest.raises(CairnError, match="did you mean"):
        make_plan(tmp_path, num_seeds=1, rows=["arcfase"])
    with pytest.raises(CairnError, match="no table of rows"):
        make_plan(tmp_path, num_seeds=1, table="ablatoin")


def test_the_recipes_name_chooses_the_table(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, recipe="ablation-gldv2", num_seeds=1)
    swin = plan.recipe("swin", 0)
    assert swin is not None
    assert swin.model.backbone.startswith("swin_base")
    assert (swin.model.preprocess.image_size, swin.train.epochs) == (512, 10)
    other = make_plan(tmp_path, recipe="demo", num_seeds=1, overrides=["train.epochs=3"])
    small = other.recipe("softmax", 4)
    assert small is not None
    assert (small.train.epochs, small.model.gc, small.seed) == (3, False, 4)


def test_a_recipe_may_change_until_its_row_is_trained(tmp_path: Path) -> None:
    first, second = read_recipe("demo"), read_recipe("demo", ["head.margin=0.4"])
    place = Place(tmp_path, "a", 0)
    place.begin(first)
    place.begin(second)
    place.run.mkdir()
    place.begin(second)
    with pytest.raises(CairnError, match=r"head\.margin was 0\.4, is 0\.15"):
        place.begin(first)


# -- transfer --------------------------------------------------------------------------------------


def test_whatever_weights_lie_there_become_rows(tmp_path: Path) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    plan = make_plan(tmp_path, num_seeds=1, weights=weights)
    assert len(plan.missing) == 4
    assert "EfficientNet-B7" in plan.missing[0]
    assert "tf_efficientnet_b7*.safetensors" in plan.missing[0]
    for name in ("mobilenetv2_100.imagenet", "tf_efficientnet_b3"):
        save_file({"x": torch.zeros(1)}, weights / f"{name}.safetensors")
    (weights / "mobilenetv2_100.imagenet.toml").write_text(
        "[model]\nbackbone_args = { pad_type = 'same' }\npreprocess.mean = [0.5, 0.5, 0.5]\n"
    )
    plan = make_plan(tmp_path, num_seeds=1, weights=weights)
    assert len(plan.missing) == 3
    frozen = plan.recipe("mobilenetv2_100-frozen", 0)
    tuned = plan.recipe("mobilenetv2_100-tuned", 0)
    assert frozen is not None
    assert tuned is not None
    for recipe in (frozen, tuned):
        assert recipe.model.weights == str(weights / "mobilenetv2_100.imagenet.safetensors")
        assert recipe.model.backbone_args == {"pad_type": "same"}
        assert recipe.model.preprocess.mean == (0.5, 0.5, 0.5)
        assert recipe.model.neck == "whitened"
        assert recipe.validation == plan.base.validation, "scored on the same split"
    assert "backbone" in frozen.train.freeze
    assert not tuned.train.freeze
    assert plan.has_own_budget("mobilenetv2_100-frozen")
    assert plan.rows["mobilenetv2_100-tuned"].reference == "mobilenetv2_100-frozen"
    assert "tf_efficientnet_b3-frozen" in plan.rows
    save_file({"x": torch.zeros(1)}, weights / "unheard_of.safetensors")
    with pytest.raises(CairnError, match="named after no timm model"):
        make_plan(tmp_path, num_seeds=1, weights=weights)
    with pytest.raises(CairnError, match="no folder of weights"):
        make_plan(tmp_path, num_seeds=1, weights=tmp_path / "nowhere")


# -- evidence --------------------------------------------------------------------------------------


def asked(sparse: int = 40, crowded: int = 40, none: int = 60) -> Question:
    truth = {f"s{n}": frozenset({"few"}) for n in range(sparse)}
    truth |= {f"c{n}": frozenset({"many"}) for n in range(crowded)}
    return Question(truth | {f"n{n}": frozenset() for n in range(none)}, {"few": 3, "many": 40})


def answered(
    question: Question, seed: int, *, few: float, many: float
) -> dict[str, tuple[str, float]]:
    """Answers of which a share is right, with the same hard photographs for every seed."""
    hard = np.random.default_rng(0).random(len(question.truth))
    luck = np.random.default_rng(seed).normal(0, 0.02, len(question.truth))
    found = {}
    for (query, landmarks), ease in zip(question.truth.items(), hard + luck, strict=True):
        share = {"few": few, "many": many}.get(next(iter(landmarks), ""), 0.0)
        right = bool(landmarks) and ease < share
        found[query] = (next(iter(landmarks)) if right else "other", 1.0 - float(ease) / 2)
    return found


def test_scores_are_means_over_seeds_and_parts_add_up() -> None:
    question = asked(30, 50)
    answers = {seed: answered(question, seed, few=0.4, many=0.8) for seed in range(3)}
    found = weigh({"row": answers}, {}, question, num_resamples=50)
    scores = found.scores["row"]
    gaps = [global_average_precision(one, question.truth) for one in answers.values()]
    minus = [
        global_average_precision(one, question.truth, ignore_unlabelled=True)
        for one in answers.values()
    ]
    right = [top1_accuracy(one, question.truth) for one in answers.values()]
    assert scores.overall["gap"].value == pytest.approx(np.mean(gaps))
    assert scores.overall["gap_without_unlabelled"].value == pytest.approx(np.mean(minus))
    assert scores.overall["top1_accuracy"].value == pytest.approx(np.mean(right))
    assert found.num_queries == {"sparse": 30, "crowded": 50, "3-5": 30, "11-50": 50}
    parts = 30 * scores.gap["sparse"].value + 50 * scores.gap["crowded"].value
    assert parts / 80 == pytest.approx(scores.overall["gap"].value)
    assert scores.gap["3-5"] == scores.gap["sparse"]
    assert scores.accuracy["11-50"].value > scores.accuracy["3-5"].value
    assert scores.seeds == 3


def test_a_difference_is_taken_within_seeds_that_both_have() -> None:
    question = asked()
    base = {seed: answered(question, seed, few=0.3 + 0.2 * seed, many=0.5) for seed in range(3)}
    other = {seed: answered(question, seed, few=0.3 + 0.2 * seed, many=0.5) for seed in (1, 2)}
    found = weigh({"a": base, "b": other}, {"b": "a"}, question, num_resamples=200)
    change = found.changes["b"]
    assert change.overall["gap"].value == 0, "seed 0, which b lacks, has no part in it"
    assert (change.overall["gap"].low, change.overall["gap"].high) == (0, 0)
    assert change.seeds == 2
    assert found.scores["b"].overall["gap"].value > found.scores["a"].overall["gap"].value


def test_seeds_that_disagree_widen_the_interval() -> None:
    question = asked()

    def width(shares: tuple[float, ...]) -> float:
        base = {s: answered(question, 1, few=0.4, many=0.4) for s in range(3)}
        row = {s: answered(question, 1, few=share, many=share) for s, share in enumerate(shares)}
        found = weigh({"a": base, "b": row}, {"b": "a"}, question).changes["b"].overall["gap"]
        assert found.low is not None
        assert found.high is not None
        return found.high - found.low

    assert width((0.3, 0.5, 0.7)) > 1.5 * width((0.5, 0.5, 0.5))


def evidence(
    gap: tuple[float, float, float],
    sparse: tuple[float, ...],
    crowded: tuple[float, ...],
    seeds: int = 3,
) -> Findings:
    parts = {"sparse": Interval(*sparse), "crowded": Interval(*crowded)}
    change = Evidence({"gap": Interval(*gap)}, parts, {}, seeds)
    return Findings({}, {"row": change}, {"sparse": 200, "crowded": 100})


def test_sentences_say_what_the_interval_allows() -> None:
    helps = evidence((0.031, 0.008, 0.054), (0.04, 0.01, 0.07), (0.01, -0.02, 0.03))
    said = verdict("row", "before", helps)
    assert said.startswith("+0.031 GAP (95 % +0.008 to +0.054, 3 seeds): helps here")
    assert "shown at sparse landmarks, not at crowded ones" in said
    hurts = evidence((-0.03, -0.05, -0.01), (-0.03, -0.05, -0.01), (-0.02, -0.04, -0.01))
    said = verdict("row", "before", hurts)
    assert "): hurts here; the loss is at sparse and crowded landmarks alike, most of it sp" in said
    unclear = evidence((0.01, -0.01, 0.03), (0.01, -0.02, 0.04), (0.0, -0.02, 0.02))
    said = verdict("row", "before", unclear)
    assert said == (
        "+0.010 GAP (95 % -0.010 to +0.030): no evidence either way with 3 seeds and 300 landmark "
        "queries"
    )
    bought = evidence((0.02, 0.01, 0.03), (-0.02, -0.04, -0.01), (0.1, 0.05, 0.15))
    assert "; sparse landmarks go the other way" in verdict("row", "before", bought)
    hidden = evidence((0.0, -0.01, 0.01), (-0.02, -0.04, -0.01), (0.04, 0.01, 0.07))
    said = verdict("row", "before", hidden)
    assert "; yet sparse landmarks lose (-0.040 to -0.010) and crowded landmarks gain" in said
    once = evidence((0.02, 0.01, 0.03), (0.02, 0.01, 0.03), (0.02, 0.01, 0.03), seeds=1)
    assert verdict("row", "before", once).endswith("one seed says nothing of another training")
    assert "nothing to compare with" in verdict("row", None, helps)
    edge = evidence((0.02, 0.0, 0.03), (0.02, 0.0, 0.03), (0.02, 0.0, 0.03))
    assert "no evidence" in verdict("row", "before", edge), "an interval that ends at 0 holds it"
