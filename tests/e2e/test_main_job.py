"""The whole job on a tiny procedural world: files, figures and answers agree with each other."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cairn import Recognizer
from cairn.checkpoint import model_fingerprint
from cairn.cli.app import app
from cairn.config import Recipe
from cairn.demo import DemoOutcome, run_demo
from cairn.domain import Prediction
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.metrics import global_average_precision, top1_accuracy
from cairn.penalty import PenaltyTable
from cairn.pipeline import score_model
from cairn.recognize import recognize_table
from cairn.submission import by_image, read_submission, solution_of
from cairn.tables import EmbeddingTable
from cairn.world import WorldConfig

WORLD = WorldConfig(
    seed=5, num_landmarks=6, num_queries=8, nonlandmark_share=0.6, num_bank=14, size=48,
    max_photos=9,
)  # fmt: skip


@dataclass(frozen=True)
class Demo:
    """A finished demo and where its parts lie."""

    out: Path
    outcome: DemoOutcome

    @property
    def result(self) -> Path:
        return self.out / "result"

    @property
    def manifest(self) -> Manifest:
        return Manifest.read(self.out / "world" / "manifest.parquet")


@pytest.fixture(scope="module")
def demo(tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    out = tmp_path_factory.mktemp("演示") / "demo"
    train = tiny_recipe.train.model_copy(update={"epochs": 8, "learning_rate": 0.02, "ema": 0.0})
    recipe = tiny_recipe.model_copy(update={"train": train})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cairn.demo.os.cpu_count", lambda: 1)  # one process: no time to start more
        return Demo(out, run_demo(out, world=WORLD, recipe=recipe))


def call(*words: object) -> dict[str, Any]:
    """Return what a command prints with --json, which must be one JSON object and nothing else."""
    result = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    value = json.loads(result.stdout)
    assert isinstance(value, dict)
    return value


def test_everything_that_is_promised_is_there(demo: Demo) -> None:
    for name in (
        "world/manifest.parquet",
        "world.png",
        "untrained/model/model.safetensors",
        "trained/model/model.safetensors",
        "trained/metrics.jsonl",
        "trained/provenance.json",
        "trained/plots/training.png",
        "result/embeddings/query/unreadable.csv",
        "result/evaluation/report.html",
        "result/evaluation/report.json",
        "result/evaluation/predictions.parquet",
        "result/evaluation/submission.csv",
    ):
        assert (demo.out / name).is_file(), name
    for name in ("penalties/*.parquet", "models/*/model.safetensors"):
        assert len(list((demo.result / "gallery").glob(name))) == 1, name
    assert not list(demo.out.rglob("*.tmp")), "temporary files are left"


def test_the_table_for_people_and_the_one_for_programs(demo: Demo) -> None:
    value = json.loads(json.dumps(demo.outcome.to_json()))
    assert [row["name"] for row in value["rows"]] == ["untrained", "trained", "trained + penalty"]
    for row in value["rows"]:
        assert 0 <= row["gap"] <= row["gap_without_unlabelled"] <= 1
        assert 0 <= row["top1_accuracy"] <= 1
    assert (value["num_queries"], value["num_labelled"]) == (20, 8)
    change = value["rows"][2]["gap"] - value["rows"][1]["gap"]
    assert value["penalty_change"]["value"] == pytest.approx(change)
    text = demo.outcome.text()
    assert "8 landmark queries among 20" in text
    assert str(demo.result / "evaluation" / "report.html") in text
    for stage in ("world", "untrained baseline", "train", "embed", "recognize", "report"):
        assert demo.outcome.seconds[stage] > 0
        assert stage in text
    for line in (line.split() for line in text.splitlines() if line.startswith("  cairn")):
        assert line[1] in ("recognize", "inspect", "data")
        named = [Path(word) for word in line[2:] if str(demo.out) in word]
        assert all(path.exists() for path in named if path.name != "inspect"), "a command to try"


def test_the_demo_does_not_write_over_another(demo: Demo, tiny_recipe: Recipe) -> None:
    with pytest.raises(CairnError, match="never overwritten"):
        run_demo(demo.out, world=WORLD, recipe=tiny_recipe)


def test_the_report_is_what_evaluate_says_of_the_submission(demo: Demo) -> None:
    report = json.loads((demo.result / "evaluation" / "report.json").read_text("utf-8"))
    submission = demo.result / "evaluation" / "submission.csv"
    manifest = demo.out / "world" / "manifest.parquet"
    value = call("evaluate", submission, manifest, "--resamples", "0")
    names = ("gap", "gap_without_unlabelled", "top1_accuracy", "num_queries", "num_labelled")
    for name in names:
        assert value[name] == pytest.approx(report[name], abs=1e-12), name
    assert value["gap"] == pytest.approx(demo.outcome.rows[2][1].gap)
    for ours, theirs in zip(value["by_size"], report["by_size"], strict=True):
        assert ours["size"] == theirs["size"]
        assert ours["gap"] == pytest.approx(theirs["gap"])
    answers = {k: v for k, v in read_submission(submission).items() if v is not None}
    truth = solution_of(demo.manifest).truth
    assert set(read_submission(submission)) == set(truth)
    assert global_average_precision(answers, truth) == pytest.approx(value["gap"], abs=1e-12)
    assert top1_accuracy(answers, truth) == pytest.approx(value["top1_accuracy"], abs=1e-12)


def test_leaving_nonlandmarks_out_is_the_companion_figure(demo: Demo) -> None:
    submission = demo.result / "evaluation" / "submission.csv"
    manifest = demo.out / "world" / "manifest.parquet"
    value = call("evaluate", submission, manifest, "--ignore-unlabelled", "--resamples", "0")
    assert value["gap"] == pytest.approx(demo.outcome.outcome.report.gap_without_unlabelled)
    assert value["num_queries"] == 8


def test_predictions_and_submission_are_the_same_answers(demo: Demo) -> None:
    rows = pq.read_table(demo.result / "evaluation" / "predictions.parquet").to_pylist()
    answers = read_submission(demo.result / "evaluation" / "submission.csv")
    assert {row["image_id"] for row in rows} == set(answers)
    told = {row["image_id"]: (row["landmark_id"], row["confidence"]) for row in rows}
    assert told == answers


def test_embeddings_belong_to_the_model_and_have_unit_length(demo: Demo) -> None:
    fingerprint = model_fingerprint(demo.out / "trained" / "model")
    roles = {"gallery": "train", "bank": "nonlandmark", "query": "query"}
    for name, role in roles.items():
        table = EmbeddingTable.read(demo.result / "embeddings" / name)
        assert table.fingerprint == fingerprint
        assert table.image_ids == demo.manifest.select(role).image_ids
        np.testing.assert_allclose(np.linalg.norm(table.vectors, axis=1), 1, atol=2e-3)
    untrained = EmbeddingTable.read(demo.out / "untrained" / "scores" / "embeddings" / "query")
    assert untrained.fingerprint == model_fingerprint(demo.out / "untrained" / "model")
    assert untrained.fingerprint != fingerprint


def test_the_penalty_table_by_brute_force(demo: Demo, tmp_path: Path) -> None:
    path = Path(Gallery.load(demo.result / "gallery").penalty_path)
    table = pq.read_table(path)
    assert table.column_names == ["image_id", "img_path", "sims", "n_picked", "penalty"]
    gallery = EmbeddingTable.read(demo.result / "embeddings" / "gallery")
    bank = EmbeddingTable.read(demo.result / "embeddings" / "bank")
    assert table["image_id"].to_pylist() == gallery.image_ids
    paths = [Path(name) for name in table["img_path"].to_pylist()]
    assert paths == demo.manifest.gallery().paths
    assert all(photo.is_file() for photo in paths)
    automatic, _ = PenaltyTable.read(path)
    assert automatic.num_picks == round(110_000 * 20 / 1_580_470 * len(gallery))
    assert automatic.bank_size == len(bank) == WORLD.num_bank
    other = tmp_path / "p.parquet"
    call("penalize", demo.result / "gallery", demo.result / "embeddings" / "bank", "-o", other,
         "--top", "3", "--min-n", "2", "--max-n", "5")  # fmt: skip
    made, _ = PenaltyTable.read(other)
    similarities = bank.vectors.astype(np.float64) @ gallery.vectors.astype(np.float64).T
    picks = np.argsort(-similarities, axis=1, kind="stable")[:, :3]
    counts = np.bincount(picks.ravel(), minlength=len(gallery))
    chosen = np.take_along_axis(similarities, picks, axis=1).ravel()
    sums = np.bincount(picks.ravel(), weights=chosen, minlength=len(gallery))
    sims = sums / np.maximum(counts, 1)
    np.testing.assert_array_equal(made.n_picked, np.minimum(counts, 5))
    np.testing.assert_allclose(made.sims, sims, atol=1e-5)
    share = np.where(counts < 2, 0, np.where(counts >= 5, 1, 0.3 + 0.7 / 4 * (counts - 1)))
    np.testing.assert_allclose(made.penalty, share * np.maximum(sims, 0), atol=1e-5)
    assert made.penalty.max() > 0


def test_the_report_s_answers_come_from_gallery_and_penalty(demo: Demo) -> None:
    gallery = Gallery.load(demo.result / "gallery")
    queries = EmbeddingTable.read(demo.result / "embeddings" / "query")
    made = by_image(recognize_table(queries, gallery))
    assert made == read_submission(demo.result / "evaluation" / "submission.csv")
    plain = by_image(recognize_table(queries, gallery.without_penalty()))
    truth = solution_of(demo.manifest).truth
    before = demo.outcome.outcome.report.before
    assert before is not None
    answers = {name: answer for name, answer in plain.items() if answer is not None}
    assert global_average_precision(answers, truth) == pytest.approx(before.gap)
    for name, answer in made.items():
        unpunished = plain[name]
        assert answer is not None
        assert unpunished is not None
        assert answer[1] <= unpunished[1] + 1e-12, "a penalty is never a bonus"


def test_a_training_photograph_is_recognized_as_itself(demo: Demo) -> None:
    recognizer = Recognizer.load(
        demo.result / "gallery", backend="torch", device="cpu", use_penalty=False
    )
    train = demo.manifest.select("train")
    for row in (0, len(train) // 2, len(train) - 1):
        prediction: Prediction = recognizer(train.paths[row])
        assert prediction.landmark_id == train.landmark_ids[row]
        assert prediction.confidence == pytest.approx(1, abs=2e-2)
        assert prediction.evidence[0].image_id == train.image_ids[row]
        assert Path(prediction.evidence[0].path) == train.paths[row]


def test_recognize_on_the_command_line_writes_the_same_submission(
    demo: Demo, tmp_path: Path
) -> None:
    out = tmp_path / "submission.csv"
    manifest = demo.out / "world" / "manifest.parquet"
    value = call("recognize", demo.result / "gallery", manifest, "-o", out)
    assert (value["num_queries"], value["num_unreadable"], value["penalized"]) == (20, 0, True)
    ours, theirs = (
        read_submission(path) for path in (out, demo.result / "evaluation" / "submission.csv")
    )
    assert list(ours) == list(theirs)
    for name, answer in ours.items():
        other = theirs[name]
        assert answer is not None
        assert other is not None
        assert answer[1] == pytest.approx(other[1], abs=2e-3)


def test_scoring_again_embeds_nothing_again(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "embeddings").symlink_to(demo.result / "embeddings")

    def no_model(*_: object, **__: object) -> None:
        raise AssertionError("the model ran again")

    monkeypatch.setattr("cairn.embed.load_runtime", no_model)
    outcome = score_model(
        demo.out / "trained" / "model", demo.manifest, tmp_path / "again", title="Again"
    )
    assert outcome.report.gap == demo.outcome.outcome.report.gap
    submissions = [
        (folder / "evaluation" / "submission.csv").read_bytes()
        for folder in (tmp_path / "again", demo.result)
    ]
    assert submissions[0] == submissions[1]


def test_embed_on_the_command_line_continues(demo: Demo) -> None:
    folder = demo.result / "embeddings" / "query"
    manifest = demo.out / "world" / "manifest.parquet"
    model = demo.out / "trained" / "model"
    value = call("embed", model, manifest, "--role", "query", "-o", folder)
    assert (value["num_embedded"], value["num_resumed"]) == (20, 20)


def test_the_page_needs_nothing_but_itself(demo: Demo) -> None:
    page = (demo.result / "evaluation" / "report.html").read_text(encoding="utf-8")
    assert "Cairn on the procedural world" in page
    assert "@import" not in page
    linked = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", page)
    assert len(linked) > 5
    assert [link[:40] for link in linked if not link.startswith(("data:", "#"))] == []
    assert f"{demo.outcome.outcome.report.gap:.3f}" in page
