"""The way from model to score where a manifest lacks a part, or a photograph cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from cairn.checkpoint import save_model
from cairn.config import Recipe
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.model import build
from cairn.pipeline import Clock, score_model
from cairn.submission import read_submission


@pytest.fixture(scope="module")
def model_dir(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "m"
    save_model(folder, build(tiny_recipe.model), tiny_recipe.model)
    return folder


def changed(manifest: Manifest, **columns: list[str | None]) -> Manifest:
    old = {name: manifest.table[name].to_pylist() for name in manifest.table.column_names}
    return Manifest.from_columns({**old, **columns}, root=manifest.root)


def test_a_clock_adds_up_what_a_stage_took(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 5.0, 7.0, 10.0, 14.0])
    monkeypatch.setattr("cairn.pipeline.time.perf_counter", lambda: next(times))
    clock = Clock()
    with clock.stage("a"):
        pass
    with pytest.raises(ValueError, match="stop"), clock.stage("b"):
        raise ValueError("stop")
    with clock.stage("a"):
        pass
    assert clock.seconds == {"a": 5.0, "b": 2.0}


def test_without_nonlandmarks_there_is_no_penalty(
    pictures: Manifest, model_dir: Path, tmp_path: Path
) -> None:
    manifest = pictures.select("train", "query")
    outcome = score_model(model_dir, manifest, tmp_path, title="T", backend="torch")
    assert outcome.report.before is None
    assert outcome.plain is outcome.report
    assert not (tmp_path / "gallery" / "penalties").exists()
    assert not (tmp_path / "embeddings" / "bank").exists()
    assert "penalize" not in outcome.seconds
    assert outcome.page == tmp_path / "evaluation" / "report.html"
    value = json.loads((tmp_path / "evaluation" / "report.json").read_text("utf-8"))
    assert value["gap"] == pytest.approx(outcome.report.gap)
    assert value["mean_average_precision"] == pytest.approx(
        outcome.report.scores["mean_average_precision"].value
    )


def test_unreadable_queries_are_blank_and_count(
    pictures: Manifest, model_dir: Path, tmp_path: Path
) -> None:
    paths = [str(path) for path in pictures.paths]
    rows = [row for row, role in enumerate(pictures.roles) if role == "query"]
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    paths[rows[0]] = str(tmp_path / "broken.jpg")
    bank = [row for row, role in enumerate(pictures.roles) if role == "nonlandmark"]
    paths[bank[0]] = str(tmp_path / "missing.jpg")
    manifest = changed(
        pictures,
        path=list(paths),
        landmark_name=[f"The {mark} <b>" if mark else None for mark in pictures.landmark_ids],
    )
    outcome = score_model(
        model_dir, manifest, tmp_path / "out", title="T", backend="torch", rule={"min_n": 1}
    )
    assert outcome.report.num_queries == len(rows)
    assert outcome.report.num_answered == len(rows) - 1
    assert outcome.report.before is not None
    answers = read_submission(tmp_path / "out" / "evaluation" / "submission.csv")
    assert answers[pictures.image_ids[rows[0]]] is None
    assert sum(answer is None for answer in answers.values()) == 1
    unreadable = (tmp_path / "out/embeddings/bank/unreadable.csv").read_text(encoding="utf-8")
    assert unreadable.count("\n") == 2
    page = outcome.page.read_text(encoding="utf-8")
    assert "The landmark0 <b>" not in page
    assert "The landmark0 &lt;b&gt;" in page


def test_without_queries_there_is_nothing_to_score(
    pictures: Manifest, model_dir: Path, tmp_path: Path
) -> None:
    with pytest.raises(CairnError, match="no image of role query") as caught:
        score_model(model_dir, pictures.select("train"), tmp_path / "out", title="T")
    assert "query" in caught.value.what
    assert not (tmp_path / "out").exists(), "told before an hour of embedding, not after"


def test_queries_without_landmarks_are_told_before_the_work(
    pictures: Manifest, model_dir: Path, tmp_path: Path
) -> None:
    marks: list[str | None] = [
        "" if role == "query" else mark
        for role, mark in zip(pictures.roles, pictures.landmark_ids, strict=True)
    ]
    with pytest.raises(CairnError, match="nothing to score") as caught:
        score_model(model_dir, changed(pictures, landmark_id=marks), tmp_path / "out", title="T")
    assert caught.value.where == str(pictures.root)
    assert "landmark_id" in caught.value.todo
    assert not (tmp_path / "out").exists()


def test_an_interrupted_call_goes_on_and_a_finished_one_is_kept(
    pictures: Manifest, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cairn.pipeline.evaluate", stop)
        with pytest.raises(KeyboardInterrupt):
            score_model(model_dir, pictures, tmp_path, title="T", backend="torch")
    resumed = score_model(model_dir, pictures, tmp_path, title="T", backend="torch")
    assert resumed.report.before is not None
    with pytest.raises(CairnError, match="never overwritten") as caught:
        score_model(model_dir, pictures, tmp_path, title="T", backend="torch")
    assert caught.value.where == str(tmp_path / "evaluation")
