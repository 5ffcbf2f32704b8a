"""``cairn tune`` as a person calls it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from typer.testing import CliRunner

from cairn.checkpoint import save_model
from cairn.cli.app import app
from cairn.config import ModelConfig, Preprocess
from cairn.embed import embed
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.model import build
from cairn.rerank import read_stages
from cairn.stack_tuning import stratified

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
)
CHOICES = """
num_hits = 12

[[stages]]
stage = "dense-penalty"
weight = [0.25, 0.5]

[[stages]]
stage = "query-penalty"
weight = [0.5, 1.0]
optional = true
"""
FAST = ("--backend", "torch", "--workers", "1")


def call(*arguments: object) -> tuple[str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


@pytest.fixture(scope="module")
def made(pictures: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a penalized gallery, one without, and two halves of the queries."""
    folder = tmp_path_factory.mktemp("tune")
    torch.manual_seed(0)
    save_model(folder / "model", build(CONFIG), CONFIG)
    embed(folder / "model", pictures.gallery(), folder / "embeddings", backend="torch")
    bank = pictures.select("nonlandmark")
    embed(folder / "model", bank, folder / "bank", backend="torch")
    for name in ("gallery", "plain"):
        Gallery.build(folder / "embeddings", folder / "model", folder / name)
    call("penalize", folder / "gallery", folder / "bank")
    queries = pictures.select("query")
    known = np.asarray([bool(one) for one in queries.landmark_ids])
    for name, rows in zip(
        ("validation", "test"), stratified(known, 2, np.random.default_rng(0)), strict=True
    ):
        written(queries, rows, folder / f"{name}.parquet")
    written(queries, np.flatnonzero(known), folder / "known.parquet")
    (folder / "choices.toml").write_text(CHOICES, "utf-8")
    return folder


def written(queries: Manifest, rows: object, path: Path) -> None:
    table = queries.table.take(pa.array(rows))
    table = table.set_column(
        table.column_names.index("path"),
        "path",
        pa.array([str(queries.paths[i]) for i in rows]),  # type: ignore[attr-defined]
    )
    Manifest(table, path.parent).write(path)


def test_a_recipe_with_choices_is_tuned_and_judged(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    arguments = (
        *("tune", made / "gallery", made / "validation.parquet", made / "test.parquet"),
        *("--recipe", made / "choices.toml", "-o", out, *FAST),
    )
    text, told = call(*arguments)
    assert "validation" in text
    assert "test" in text
    assert "Optimism" in text
    assert "its own penalty" in text
    assert "validation queries are landmarks" in told  # so few of them
    assert {path.name for path in out.iterdir()} == {
        "embeddings", "trials.jsonl", "recipe.toml", "ablation.md", "report.html", "tuning.json",
    }  # fmt: skip
    value = json.loads((out / "tuning.json").read_text("utf-8"))
    assert value["num_tried"] >= 7
    assert value["num_hits"] == 12
    assert value["gap"] >= value["plain"]
    for name in ("validation", "test"):
        figures = value["figures"][name]
        gain = figures["gain"]
        assert gain["value"] == pytest.approx(figures["tuned"]["value"] - figures["plain"]["value"])
        assert gain["low"] <= gain["value"] <= gain["high"]
        assert "without_a_recipe" in figures
    kinds = {line["kind"] for line in value["ablation"]}
    assert "alone" in kinds
    assert value["provenance"]["gallery_version"] == 2
    pipeline = read_stages(out / "recipe.toml", online=True)
    assert pipeline.to_json() == value["stages"]
    assert pipeline.num_hits == 12
    answers = tmp_path / "answers.csv"
    call(
        *("recognize", made / "gallery", made / "test.parquet", "-o", answers, *FAST[:2]),
        *("--stages", out / "recipe.toml"),
    )
    score, _ = call("evaluate", answers, made / "test.parquet", "--resamples", "0", "--json")
    assert json.loads(score)["gap"] == pytest.approx(value["figures"]["test"]["tuned"]["value"])
    page = (out / "report.html").read_text("utf-8")
    assert "http" not in page
    with pytest.raises(CairnError, match="never overwritten"):
        call(*arguments)
    (out / "tuning.json").unlink()  # as if it had been stopped before the end
    trials = (out / "trials.jsonl").read_text("utf-8")
    again, _ = call(*arguments, "--json")
    assert json.loads(again)["stages"] == value["stages"]
    assert (out / "trials.jsonl").read_text("utf-8") == trials


FITTED = """
num_hits = 12

[[stages]]
stage = "best-vote"

[[stages]]
stage = "chance"
top = [1, 3]
"""


def test_a_chance_is_fitted_on_validation_and_used_as_it_was_judged(
    made: Path, pictures: Manifest, tmp_path: Path
) -> None:
    """Landmarks of many photographs are called unknown, so that size tells right from wrong."""
    whole = pictures.gallery()
    large, seen, rows = {"landmark0", "landmark1"}, Counter[str](), []
    for row, one in enumerate(whole.landmark_ids):
        seen[one] += 1
        if one in large or seen[one] <= 2:
            rows.append(row)
    few = Manifest(whole.table.take(pa.array(rows)), whole.root)
    embed(made / "model", few, tmp_path / "embeddings", backend="torch")
    gallery = tmp_path / "gallery"
    Gallery.build(tmp_path / "embeddings", made / "model", gallery)
    call("penalize", gallery, made / "bank")
    for name in ("validation", "test"):
        asked = Manifest.read(made / f"{name}.parquet")
        shown = [None if one in large else one or None for one in asked.landmark_ids]
        column = asked.table.column_names.index("landmark_id")
        table = asked.table.set_column(column, "landmark_id", pa.array(shown, pa.string()))
        Manifest(table, asked.root).write(tmp_path / f"{name}.parquet")
    (tmp_path / "choices.toml").write_text(FITTED, "utf-8")
    out = tmp_path / "tuned"
    text, _ = call(
        *("tune", gallery, tmp_path / "validation.parquet", tmp_path / "test.parquet"),
        *("--recipe", tmp_path / "choices.toml", "-o", out, "--json", *FAST),
    )
    value = json.loads(text)
    pipeline = read_stages(out / "recipe.toml", online=True)
    assert pipeline.to_json() == value["stages"]
    assert [stage.name for stage in pipeline.stages] == ["best-vote", "chance"]
    assert value["stages"][-1]["size_weight"] < 0
    assert "fit" not in (out / "recipe.toml").read_text("utf-8").split("[[stages]]", 1)[1]
    answers = tmp_path / "answers.csv"
    call(
        *("recognize", gallery, tmp_path / "test.parquet", "-o", answers, *FAST[:2]),
        *("--stages", out / "recipe.toml"),
    )
    score, _ = call("evaluate", answers, tmp_path / "test.parquet", "--resamples", "0", "--json")
    figures = value["figures"]["test"]
    assert json.loads(score)["gap"] == pytest.approx(figures["tuned"]["value"])
    assert figures["tuned"]["value"] != pytest.approx(figures["plain"]["value"])


def test_stages_are_chosen_where_no_recipe_says_which(made: Path, tmp_path: Path) -> None:
    text, told = call(
        *("tune", made / "plain", made / "validation.parquet", "-o", tmp_path / "out"),
        *("--trials", "60", "--json", *FAST),
    )
    value = json.loads(text)
    assert "keeps no bank" in told
    names = {slot["stage"] for slot in value["space"]}
    assert "sum-votes" in names
    assert "head-best" in names
    assert not names & {"penalty", "dense-penalty", "query-penalty", "verify", "chance"}
    assert set(value["figures"]) == {"validation"}
    assert value["optimism"] is None
    assert value["method"] == "stage after stage"
    assert value["path"][0]["stages"] == []


def test_a_share_is_scored_at(made: Path, tmp_path: Path) -> None:
    values = [
        json.loads(
            call(
                *("tune", made / "gallery", made / "validation.parquet", "--json", *FAST),
                *("--recipe", made / "choices.toml", "-o", tmp_path / f"at-{share}"),
                *(() if share is None else ("--known-share", share)),
            )[0]
        )
        for share in (None, 0.02)
    ]
    assert values[1]["known_share"] == 0.02
    assert values[1]["figures"]["validation"]["num_nonlandmarks"] == 6
    assert any(one["kind"] == "heavy-non-landmarks" for one in values[1]["cautions"])


def test_no_non_landmarks_are_warned_of(made: Path, tmp_path: Path) -> None:
    _, told = call(
        *("tune", made / "gallery", made / "known.parquet", "-o", tmp_path / "out", *FAST),
        *("--recipe", made / "choices.toml"),
    )
    assert "No validation query is without a landmark" in told
    with pytest.raises(CairnError, match="no query is a non-landmark"):
        call(
            *("tune", made / "gallery", made / "known.parquet", "-o", tmp_path / "other", *FAST),
            *("--recipe", made / "choices.toml", "--known-share", "0.02"),
        )


def test_photographs_that_were_seen_before_are_refused(
    made: Path, pictures: Manifest, tmp_path: Path
) -> None:
    def tried(validation: Path, *test: Path) -> None:
        call("tune", made / "gallery", validation, *test, "-o", tmp_path / "out", *FAST)

    with pytest.raises(CairnError, match="the test"):
        tried(made / "validation.parquet", made / "known.parquet")
    for role, what in (("gallery", "the gallery"), ("nonlandmark", "the gallery's bank")):
        seen = pictures.gallery() if role == "gallery" else pictures.select("nonlandmark")
        roles = pa.array(["query"] * 2)
        few = seen.table.slice(0, 2)
        few = few.set_column(few.column_names.index("role"), "role", roles)
        ask = pictures.select("query").table
        Manifest(pa.concat_tables([ask, few]), pictures.root).write(tmp_path / f"{role}.parquet")
        with pytest.raises(CairnError, match=what):
            tried(tmp_path / f"{role}.parquet")
    assert not (tmp_path / "out").exists()


def test_what_is_wrong_is_said_before_the_work(made: Path, tmp_path: Path) -> None:
    start = ("tune", made / "gallery", made / "validation.parquet")
    with pytest.raises(CairnError, match="no place for the recipe"):
        call(*start)
    out = ("-o", tmp_path / "out")
    with pytest.raises(CairnError, match="above 0 and up to 1"):
        call(*start, *out, "--known-share", "2")
    with pytest.raises(CairnError, match="at least 1"):
        call(*start, *out, "--trials", "0")
    with pytest.raises(CairnError, match="file not found"):
        call(*start, *out, "--recipe", tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text('[[stages]]\nstage = "dense-penalti"\n', "utf-8")
    with pytest.raises(CairnError, match="dense-penalti"):
        call(*start, *out, "--recipe", tmp_path / "bad.toml")
    with pytest.raises(CairnError, match="keeps no bank"):
        call(
            *("tune", made / "plain", made / "validation.parquet", *out),
            *("--recipe", made / "choices.toml"),
        )
    assert not (tmp_path / "out").exists()
