"""``cairn ensemble`` and ``cairn model views`` as a person calls them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cairn.checkpoint import model_fingerprint, save_model
from cairn.cli.app import app
from cairn.config import ModelConfig
from cairn.embed import embed
from cairn.ensemble import WAYS, Ensemble
from cairn.errors import CairnError
from cairn.gallery import Gallery, keep_penalty, remove_images
from cairn.manifest import Manifest
from cairn.model import assemble
from cairn.submission import read_submission
from cairn.tables import EmbeddingTable

MODELS = {
    "a": {"backbone": "resnext_small", "dimension": 8, "preprocess": {"image_size": 32}},
    "b": {
        "backbone": "focalnet_small",
        "gc": False,
        "pool": "avg",
        "dimension": 12,
        "preprocess": {"image_size": 48, "resize": "crop"},
    },
}
TORCH = ("--backend", "torch", "--device", "cpu")


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def told_by(*arguments: object) -> str:
    """What a command says on stderr while it works."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None
    return result.stderr


def value(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call(*arguments, "--json"))
    return found


@pytest.fixture(scope="module")
def made(pictures: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two galleries of the same photographs by two models, each with its penalty."""
    root = tmp_path_factory.mktemp("ensemble")
    for name, settings in MODELS.items():
        config = ModelConfig.model_validate(settings)
        torch.manual_seed(1)
        model = root / f"model-{name}"
        save_model(model, assemble(config), config)
        embed(model, pictures.gallery(), root / f"table-{name}", backend="torch")
        embed(model, pictures.select("nonlandmark"), root / f"bank-{name}", backend="torch")
        Gallery.build(root / f"table-{name}", model, root / name)
        keep_penalty(root / name, EmbeddingTable.read(root / f"bank-{name}"), strength=0.3)
    return root


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    for name in MODELS:
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def halves(pictures: Manifest, tmp_path: Path) -> tuple[Path, Path]:
    """Validation and test queries, with nothing in common."""
    queries = pictures.select("query")
    paths = []
    for start in (0, 1):
        part = queries.take(range(start, len(queries), 2))
        paths.append(tmp_path / f"half{start}.parquet")
        part.write(paths[-1])
    return paths[0], paths[1]


@pytest.mark.parametrize("by", WAYS)
def test_fit_and_recognize(by: str, place: Path, halves: tuple[Path, Path]) -> None:
    validation, test = halves
    out = place / "ensemble.json"
    told = value(
        "ensemble", "fit", place / "a", place / "b", "--validation", validation,
        "--by", by, "-o", out, *TORCH,
    )  # fmt: skip
    assert told["by"] == by
    assert told["weights_are"] == "fitted"
    assert sum(told["weights"]) == pytest.approx(1)
    assert told["gap"] >= max(*told["gap_alone"], told["gap_even"]) - 1e-12
    read = Ensemble.read(out)
    assert read.members[0].gallery == str(place / "a")
    assert (read.members[0].curve is not None) == (by == "votes")
    assert json.loads(out.read_text())["members"][1]["gallery"] == "b", "named from where it lies"
    answers = place / "answers.csv"
    told = value("ensemble", "recognize", out, test, "-o", answers, *TORCH)
    assert (told["num_queries"], told["num_unreadable"]) == (13, 0)
    rows = read_submission(answers)
    assert list(rows) == Manifest.read(test).image_ids
    one = Manifest.read(test).take([4])
    one.write(place / "one.parquet")
    call("ensemble", "recognize", out, place / "one.parquet", "-o", place / "one.csv", *TORCH)
    ((image, alone),) = read_submission(place / "one.csv").items()
    together = rows[image]
    assert alone is not None
    assert together is not None
    assert alone[0] == together[0], "a photograph alone is answered as among others"
    assert alone[1] == pytest.approx(together[1], abs=1e-5)


def test_a_joint_gallery_answers_as_the_concatenation_and_lives_on(
    place: Path, halves: tuple[Path, Path], pictures: Manifest
) -> None:
    _, test = halves
    out = place / "ensemble.json"
    call(
        "ensemble", "fit", place / "a", place / "b", "--by", "concatenation", "--weights", "1,3",
        "--no-penalty", "-o", out,
    )  # fmt: skip
    assert Ensemble.read(out).validation is None
    call("ensemble", "recognize", out, test, "-o", place / "s.csv", *TORCH)
    told = value("ensemble", "gallery", out, "-o", place / "joint")
    assert (told["num_images"], told["dimension"], told["penalized"]) == (30, 20, True)
    joint = Gallery.load(place / "joint")
    assert joint.table.fingerprint == model_fingerprint(joint.model_dir)
    call("recognize", place / "joint", test, "-o", place / "t.csv", "--no-penalty", *TORCH)
    one, two = read_submission(place / "s.csv"), read_submission(place / "t.csv")
    assert one.keys() == two.keys()
    for image, answer in one.items():
        other = two[image]
        assert answer is not None
        assert other is not None
        assert answer[0] == other[0]
        assert answer[1] == pytest.approx(other[1], abs=1e-5)
    bank = [EmbeddingTable.read(place_of) for place_of in banks(place)]
    assert joint.penalty is not None
    vectors = np.concatenate([0.5 * bank[0].vectors, 0.75**0.5 * bank[1].vectors], axis=1)
    own = EmbeddingTable(
        bank[0].image_ids, bank[0].landmark_ids, bank[0].paths, vectors, joint.table.fingerprint
    )
    again = joint.penalize(own, strength=0.3)
    np.testing.assert_allclose(joint.penalty.penalty, again.penalty, atol=1e-6)
    photograph = next(str(path) for path in pictures.select("query").paths)
    assert "landmark" in call("recognize", place / "joint", photograph, *TORCH)
    asked = pictures.select("query").take(range(2))
    asked.write(place / "new.csv")
    call(
        "calibrate",
        place / "joint",
        pictures.root / "manifest.parquet",
        "--false-accept",
        "0.2",
        *TORCH,
    )
    assert value("gallery", "log", place / "joint")


def banks(place: Path) -> list[Path]:
    return [next((place / name / "banks").iterdir()) for name in MODELS]


def test_galleries_without_penalties_make_a_joint_one_without(place: Path, made: Path) -> None:
    shutil.rmtree(place / "b")
    Gallery.build(made / "table-b", made / "model-b", place / "b")
    out = place / "ensemble.json"
    call(
        "ensemble", "fit", place / "a", place / "b", "--by", "similarity", "--weights", "1,1",
        "-o", out,
    )  # fmt: skip
    assert not value("ensemble", "gallery", out, "-o", place / "joint")["penalized"]


def fault(*arguments: object) -> str:
    with pytest.raises(CairnError) as found:
        call(*arguments)
    return str(found.value)


def test_what_cannot_be_fitted_is_refused_before_any_work(
    place: Path, halves: tuple[Path, Path], pictures: Manifest
) -> None:
    out, both = place / "e.json", (place / "a", place / "b")
    fit = ("ensemble", "fit", *both, "-o", out)
    assert "--validation MANIFEST or --weights" in fault(*fit)
    assert "unknown way 'vote'" in fault(*fit, "--by", "vote", "--weights", "1,1")
    assert "votes need validation" in fault(*fit, "--weights", "1,1")
    assert "2 models need as many weights" in fault(*fit, "--weights", "1", "--by", "ranks")
    assert "numbers with commas" in fault(*fit, "--weights", "1;2", "--by", "ranks")
    assert "two galleries" in fault(
        "ensemble", "fit", place / "a", "-o", out, "--weights", "1", "--by", "ranks"
    )
    leaking = pictures.gallery()
    columns = {name: leaking.table[name].to_pylist() for name in leaking.table.column_names}
    columns["role"] = ["query"] * len(leaking)
    Manifest.from_columns(columns, root=leaking.root).write(place / "leak.parquet")
    assert "leak" in fault(*fit, "--validation", place / "leak.parquet").lower()
    pictures.gallery().write(place / "none.parquet")
    assert "no image of role query" in fault(*fit, "--validation", place / "none.parquet")
    assert not out.exists()
    assert not (place / "e-validation-embeddings").exists()
    remove_images(place / "b", image_ids=[Gallery.load(place / "b").table.image_ids[0]])
    told = fault(*fit, "--by", "similarity", "--weights", "1,1")
    assert "different images: 1 that" in told
    out.write_text("{}")
    assert "taken" in fault(*fit, "--weights", "1,1")
    assert "no ensemble" in fault("ensemble", "recognize", out, halves[0], "-o", place / "x.csv")


def test_a_changed_gallery_makes_what_was_fitted_stale_and_leaves_what_was_given(
    place: Path, halves: tuple[Path, Path]
) -> None:
    validation, test = halves
    fitted, given = place / "fitted.json", place / "given.json"
    fit = ("ensemble", "fit", place / "a", place / "b")
    call(*fit, "--validation", validation, "-o", fitted, *TORCH)
    call(*fit, "--by", "ranks", "--weights", "1,1", "-o", given)
    removed = Gallery.load(place / "b").table.image_ids[0]
    remove_images(place / "b", image_ids=[removed])
    told = fault("ensemble", "recognize", fitted, test, "-o", place / "f.csv", *TORCH)
    assert "STALE" in told
    assert "the gallery's images" in told
    call("ensemble", "recognize", given, test, "-o", place / "g.csv", *TORCH)
    assert len(read_submission(place / "g.csv")) == 13


def test_queries_that_it_was_fitted_on_are_told_and_unreadable_ones_listed(
    place: Path, halves: tuple[Path, Path], pictures: Manifest
) -> None:
    validation, test = halves
    out = place / "e.json"
    fit = ("ensemble", "fit", place / "a", place / "b", "--validation", validation, "-o", out)
    call(*fit, *TORCH)
    said = told_by("ensemble", "recognize", out, validation, "-o", place / "v.csv", *TORCH)
    assert "14 of 14 queries are photographs that the ensemble was fitted on" in said
    said = told_by("ensemble", "recognize", out, test, "-o", place / "t.csv", *TORCH)
    assert "fitted on" not in said
    queries = Manifest.read(test)
    columns = {name: queries.table[name].to_pylist() for name in queries.table.column_names}
    columns["path"][0] = str(place / "none.jpg")
    Manifest.from_columns(columns, root=queries.root).write(place / "broken.parquet")
    told = value(
        "ensemble", "recognize", out, place / "broken.parquet", "-o", place / "b.csv", *TORCH
    )
    assert told["num_unreadable"] == 1
    assert read_submission(place / "b.csv")[queries.image_ids[0]] is None


def test_votes_have_no_joint_gallery(place: Path, halves: tuple[Path, Path]) -> None:
    out = place / "e.json"
    call("ensemble", "fit", place / "a", place / "b", "--validation", halves[0], "-o", out, *TORCH)
    assert "--by concatenation" in fault("ensemble", "gallery", out, "-o", place / "joint")


def test_model_views(made: Path, tmp_path: Path, pictures: Manifest) -> None:
    out = tmp_path / "views"
    told = value("model", "views", made / "model-b", "-o", out, "--flip", "--scales", "0.6667,1")
    assert told["sides"] == [32, 48]
    assert told["cost"] == pytest.approx(2 * (1 + (32 / 48) ** 2))
    assert told["fingerprint"] == model_fingerprint(out)
    pictures.select("query").take(range(3)).write(tmp_path / "q.parquet")
    call("embed", out, tmp_path / "q.parquet", "--role", "query", "-o", tmp_path / "t", *TORCH)
    assert EmbeddingTable.read(tmp_path / "t").fingerprint == told["fingerprint"]
    assert "taken" in fault("model", "views", made / "model-a", "-o", out, "--flip")
    assert "numbers with commas" in fault(
        "model", "views", made / "model-a", "-o", tmp_path / "x", "--scales", "1-2"
    )
    assert "--flip" in fault("model", "views", made / "model-a", "-o", tmp_path / "x")
