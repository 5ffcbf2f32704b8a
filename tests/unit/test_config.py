"""Recipes: built-in ones, files, overrides, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cairn.config import (
    AugmentConfig,
    Preprocess,
    Recipe,
    builtin_recipes,
    parse_value,
    read_recipe,
)
from cairn.errors import CairnError


def fault(source: str | Path, *overrides: str) -> CairnError:
    with pytest.raises(CairnError) as caught:
        read_recipe(source, overrides)
    return caught.value


def test_there_are_built_in_recipes() -> None:
    assert {"demo", "gc-resnext101"} <= set(builtin_recipes())


@pytest.mark.parametrize("name", builtin_recipes())
def test_every_built_in_recipe_is_valid_and_named_after_its_file(name: str) -> None:
    assert read_recipe(name).name == name


def test_the_house_recipe_is_that_of_the_published_system() -> None:
    recipe = read_recipe("gc-resnext101")
    assert (recipe.model.backbone, recipe.model.gc) == ("resnext101_32x4d", True)
    assert (recipe.model.pool, recipe.model.dimension) == ("gem", 512)
    assert recipe.model.preprocess.image_size == 512
    assert recipe.head.kind == "arcface"
    settings = recipe.train
    assert (settings.learning_rate, settings.weight_decay) == (0.05, 1e-4)
    assert (settings.batch_size, settings.epochs) == (64, 10)


def test_a_file_of_a_person_s_own(tmp_path: Path) -> None:
    path = tmp_path / "配方.toml"
    path.write_text('name = "故宫"\n[train]\nepochs = 3\n', encoding="utf-8")
    recipe = read_recipe(path)
    assert (recipe.name, recipe.train.epochs) == ("故宫", 3)
    assert recipe.model == Recipe().model, "what is not said is as by default"


def test_a_recipe_survives_json() -> None:
    recipe = read_recipe("demo", ["train.patience=3", "model.backbone_args={layers=[1,1,1,1]}"])
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("train.epochs=3", "train", "epochs", 3),
        (" train.epochs = 3 ", "train", "epochs", 3),
        ("train.learning_rate=1e-3", "train", "learning_rate", 1e-3),
        ("train.freeze_batchnorm=true", "train", "freeze_batchnorm", True),
        ("train.clip_norm=none", "train", "clip_norm", None),
        ("head.kind=softmax", "head", "kind", "softmax"),
        ("head.kind='softmax'", "head", "kind", "softmax"),
        ("augment.crop_scale=[0.2, 0.9]", "augment", "crop_scale", (0.2, 0.9)),
        ("model.weights=a=b.safetensors", "model", "weights", "a=b.safetensors"),
        ("model.weights=权重.safetensors", "model", "weights", "权重.safetensors"),
        ("model.backbone_args={layers=[1,2]}", "model", "backbone_args", {"layers": [1, 2]}),
        ("model.backbone_args.stem=7", "model", "backbone_args", {"stem": 7}),
    ],
)
def test_overrides_are_toml_and_bare_words_are_text(
    override: str, section: str, key: str, value: Any
) -> None:
    assert getattr(getattr(read_recipe("demo", [override]), section), key) == value


def test_overrides_reach_the_top_and_the_depths_and_the_last_one_wins() -> None:
    recipe = read_recipe(
        "demo", ["seed=5", "name=mine", "model.preprocess.image_size=32", "seed=6"]
    )
    assert (recipe.seed, recipe.name) == (6, "mine")
    assert recipe.model.preprocess.image_size == 32
    assert recipe.model.gc == read_recipe("demo").model.gc


@pytest.mark.parametrize(
    ("override", "what", "todo"),
    [
        ("epochs=1", "unknown setting 'epochs'", "did you mean 'train.epochs'?"),
        ("image_size=64", "unknown setting 'image_size'", "did you mean 'model.preprocess.image_"),
        ("trian.epochs=1", "unknown setting 'trian'", "did you mean 'train'?"),
        ("train.epoch=1", "unknown setting 'train.epoch'", "did you mean 'epochs'?"),
        (
            "model.preprocess.imagesize=64",
            "unknown setting 'model.preprocess.imagesize'",
            "did you mean 'image_size'?",
        ),
        ("head.zzz=1", "unknown setting 'head.zzz'", "known: centers, class_weights"),
    ],
)
def test_unknown_settings_name_the_nearest(override: str, what: str, todo: str) -> None:
    error = fault("demo", override)
    assert error.what == what
    assert error.todo.startswith(todo)


@pytest.mark.parametrize(
    "override",
    [
        "train.batch_size=1",
        "train.epochs=-1",
        "train.epochs=many",
        "train.learning_rate=0",
        "train.momentum=1",
        "train.precision=fp8",
        "head.kind=arkface",
        "head.margin=4",
        "model.dimension=1",
        "model.pool=max",
        "model.preprocess.image_size=8",
        "model.preprocess.crop_pct=0",
        "model.preprocess.std=[0.2, 0.2]",
        "augment.flip=1.5",
        "augment.crop_scale=[0.9, 0.2]",
        "augment.crop_scale=[0.0, 1.0]",
        "augment.crop_ratio=[0.0, 1.0]",
        "augment.crop_ratio=[1.2, 0.8]",
        "model.preprocess.std=[0.2, 0.0, 0.2]",
        "validation.share=1.0",
        "validation.min_images=1",
        "seed=-1",
        "model=5",
    ],
)
def test_values_out_of_range_name_the_setting(override: str) -> None:
    error = fault("demo", override)
    *_, section, key = ("", *override.partition("=")[0].split("."))
    assert error.what.startswith("setting '")
    assert section in error.what
    assert key in error.what
    assert "\n" not in error.what


@pytest.mark.parametrize("override", ["train.epochs", "=3", " =3"])
def test_what_is_no_override(override: str) -> None:
    error = fault("demo", override)
    assert error.what == f"not an override: {override!r}"
    assert (error.where, error.todo) == ("--set", "write it as section.key=value")


def test_a_value_is_no_section() -> None:
    assert fault("demo", "name.x=3").what == "'name' is not a section"
    assert "train.epochs" in fault("demo", "train.epochs.x=3").where


def test_a_recipe_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    error = fault("dmeo")
    assert error.what == "no recipe 'dmeo'"
    assert "did you mean 'demo'?" in error.todo
    assert "give a TOML file" in fault(tmp_path).todo, "a folder is no recipe"


@pytest.mark.parametrize("content", [b"train = [", b"\xff\xfe\x00", b"\x89PNG\r\n"])
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(content)
    error = fault(path)
    assert error.what.startswith("not TOML")
    assert error.where == str(path)


def test_values_are_frozen() -> None:
    recipe = Recipe()
    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 1  # type: ignore[misc]
    with pytest.raises(ValidationError, match="crop_scale"):
        AugmentConfig(crop_scale=(0.5, 1.5))


def test_a_value_is_parsed_with_its_place() -> None:
    with pytest.raises(CairnError) as caught:
        parse_value(Preprocess, {"image_size": "big"}, where="config.json")
    assert caught.value.where == "config.json"
    assert "'image_size'" in caught.value.what


def test_the_shape_of_an_input() -> None:
    assert Preprocess(image_size=32).input_shape == (3, 32, 32)
    assert Preprocess(image_size=32, resize="both").input_shape == (2, 3, 32, 32)


@pytest.mark.parametrize("name", ["a/b", "..\\x", "", " "])
def test_a_name_must_suit_a_folder(name: str) -> None:
    with pytest.raises(CairnError, match="a folder will bear the name"):
        parse_value(Recipe, {"name": name}, where="r.toml")
    assert Recipe(name="故宫 2").name == "故宫 2"


def test_a_stage_is_the_recipe_with_its_changes() -> None:
    recipe = Recipe.model_validate(
        {
            "train": {"epochs": 3, "batch_size": 8},
            "stages": [
                {
                    "name": "warm",
                    "train": {"epochs": 1, "freeze": ["backbone"]},
                    "model": {"preprocess": {"image_size": 64}},
                    "head": {"margin": 0.1},
                },
                {},
            ],
        }
    )
    warm, whole = recipe.resolved()
    assert (warm.train.epochs, warm.train.batch_size, warm.train.freeze) == (1, 8, ("backbone",))
    assert (warm.model.preprocess.image_size, warm.head.margin) == (64, 0.1)
    assert (whole.train, whole.model, whole.head) == (recipe.train, recipe.model, recipe.head)
    assert Recipe().resolved() == (Recipe(),)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


@pytest.mark.parametrize(
    ("stage", "what"),
    [
        ({"model": {"gc": False}}, "cannot change model.gc"),
        ({"model": {"preprocess": {"mean": [0, 0, 0]}}}, "cannot change model.preprocess.mean"),
        ({"head": {"centers": 3}}, "cannot change head.centers"),
        ({"train": {"epoch": 1}}, "in a stage, train.epoch"),
        ({"train": {"epochs": -1}}, "in a stage, train.epochs"),
        ({"sampler": {}}, "stages.0.sampler"),
    ],
)
def test_what_a_stage_cannot_do(stage: dict[str, Any], what: str) -> None:
    with pytest.raises(CairnError, match=what):
        parse_value(Recipe, {"stages": [stage]}, where="recipe")


def test_a_recipe_builds_on_another(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nbase = "gc-resnext101"\n[train]\nepochs = 2\n', encoding="utf-8"
    )
    (tmp_path / "again.toml").write_text(
        'name = "again"\nbase = "mine.toml"\n[head]\nmargin = 0.1\n', encoding="utf-8"
    )
    recipe = read_recipe(tmp_path / "again.toml", ["train.batch_size=7"])
    assert (recipe.name, recipe.train.epochs, recipe.train.batch_size) == ("again", 2, 7)
    assert (recipe.head.margin, recipe.model) == (0.1, read_recipe("gc-resnext101").model)
    (tmp_path / "a.toml").write_text('base = "b.toml"\n', encoding="utf-8")
    (tmp_path / "b.toml").write_text('base = "a.toml"\n', encoding="utf-8")
    assert "its own base" in fault(tmp_path / "a.toml").what


@pytest.mark.parametrize(
    "override",
    [
        "head.label_smoothing=0.1",
        "head.size_margin=[0.5, 0.1]",
        "head={kind='softmax', size_margin=[0.1, 0.5]}",
        "head.scale_warmup_epochs=2",
        "head={kind='softmax', centers=3}",
        "head={kind='softmax', label_smoothing=0.1, sampled=0.5}",
    ],
)
def test_heads_that_contradict_themselves(override: str) -> None:
    assert "head" in fault("demo", override).what
