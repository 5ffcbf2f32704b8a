"""``cairn reproduce ablation`` on a few pictures: everything it promises, small."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from cairn.ablation import reproduce_ablation
from cairn.ablation.report import Outcome
from cairn.cli.app import app
from cairn.config import Recipe
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.metrics import global_average_precision
from cairn.submission import solution_of
from cairn.train import train

RECIPE = """
name = "tiny"
[model]
backbone = "resnext_small"
dimension = 16
[model.backbone_args]
layers = [1, 1, 1, 1]
channels = [8, 8, 16, 16]
cardinality = 2
base_width = 16
[model.preprocess]
image_size = 16
[train]
epochs = 1
batch_size = 8
learning_rate = 0.01
precision = "float32"
workers = 1
[validation]
share = 0.2
"""
ROWS = """
recipe = "tiny.toml"
[rows.softmax]
title = "softmax"
question = "Where it starts?"
changes.head.kind = "softmax"
[rows.arcface]
title = "ArcFace"
reference = "softmax"
question = "Does a margin help?"
changes.head.kind = "arcface"
[rows.broken]
title = "no such backbone"
reference = "arcface"
question = "What a failure looks like?"
changes.model.backbone = "resnxt"
[rows.penalty]
title = "+ penalty"
kind = "penalty"
reference = "arcface"
question = "Does the penalty help?"
[rows.vote]
title = "vote"
kind = "ensemble"
question = "Does a vote help?"
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table")
    (folder / "tiny.toml").write_text(RECIPE)
    (folder / "rows.toml").write_text(ROWS)
    return folder / "rows.toml"


@pytest.fixture(scope="module")
def done(table: Path, pictures: Manifest) -> tuple[Path, dict[str, Any]]:
    """A whole ablation of two seeds, whose third training was interrupted."""
    out = table.parent / "out"
    trained = 0

    def interrupted(*args: Any, **kwargs: Any) -> Path:
        nonlocal trained
        trained += 1
        if trained == 3:
            raise KeyboardInterrupt
        return train(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cairn.ablation.run.train", interrupted)
        result = CliRunner().invoke(app, words(pictures, table, out))
        assert result.exit_code == 130 or isinstance(result.exception, KeyboardInterrupt)
    assert (out / "rows/arcface/seed-0/result.json").is_file()
    assert not (out / "ablation.json").exists()
    before = stamps(out)
    result = CliRunner().invoke(app, [*words(pictures, table, out), "--json"])
    assert result.exit_code == 0, result.output
    after = stamps(out)
    assert before.items() <= after.items(), "what was finished was not trained again"
    return out, json.loads(result.stdout)


def words(pictures: Manifest, table: Path, out: Path) -> list[str]:
    data = pictures.root / "manifest.parquet"
    named = {"--data": data, "--table": table, "--seeds": 2, "-o": out}
    return ["reproduce", "ablation", *(str(word) for pair in named.items() for word in pair)]


def stamps(out: Path) -> dict[Path, int]:
    return {p: p.stat().st_mtime_ns for p in out.glob("rows/*/seed-*/result.json")}


def reproduce(pictures: Manifest, table: Path, out: Path, **changes: Any) -> Outcome:
    return reproduce_ablation(
        pictures, out, **{"table": table, "num_seeds": 2, "device": "cpu", **changes}
    )


def by_name(value: Mapping[str, Any]) -> dict[str, Any]:
    return {row["name"]: row for row in value["rows"]}


def test_the_table_has_every_row_with_scores_intervals_and_a_sentence(
    done: tuple[Path, dict[str, Any]], pictures: Manifest
) -> None:
    _, value = done
    rows = by_name(value)
    assert list(rows) == ["softmax", "arcface", "broken", "penalty", "vote"]
    assert (value["num_queries"], value["num_labelled"], value["num_seeds"]) == (27, 15, 2)
    for name in ("softmax", "arcface", "penalty", "vote"):
        gap = rows[name]["scores"]["gap"]
        assert 0 <= gap["low"] <= gap["value"] <= gap["high"] <= 1
        assert rows[name]["status"] == "finished"
        assert rows[name]["scores"]["seeds"] == 2
        assert rows[name]["parameters"] > 1000
    assert rows["softmax"]["change"] is None
    assert rows["softmax"]["train_seconds"] > 0
    for name, reference in (("arcface", "softmax"), ("penalty", "arcface")):
        change = rows[name]["change"]["gap"]
        difference = (
            rows[name]["scores"]["gap"]["value"] - rows[reference]["scores"]["gap"]["value"]
        )
        assert change["value"] == pytest.approx(difference)
        assert change["low"] <= change["value"] <= change["high"]
        assert f"{change['value']:+.3f} GAP" in rows[name]["says"]
    assert rows["penalty"]["train_seconds"] == 0
    assert rows["penalty"]["parameters"] == rows["arcface"]["parameters"]


def test_a_failed_row_has_its_reason_and_the_others_went_on(
    done: tuple[Path, dict[str, Any]],
) -> None:
    out, value = done
    broken = by_name(value)["broken"]
    assert (broken["status"], broken["scores"]) == ("failed", None)
    assert "resnxt" in broken["failure"]
    failed = json.loads((out / "rows/broken/seed-1/failed.json").read_text())
    assert "resnxt" in failed["traceback"]


def test_the_vote_is_of_the_best_on_the_validation(done: tuple[Path, dict[str, Any]]) -> None:
    _, value = done
    rows = by_name(value)
    members, weights = rows["vote"]["facts"]["members"], rows["vote"]["facts"]["weights"]
    assert set(members) == {"softmax", "arcface"}
    assert sum(weights) == pytest.approx(1)
    assert rows["vote"]["reference"] == members[0]
    assert rows[members[0]]["validation_gap"] >= rows[members[1]]["validation_gap"]
    assert rows["vote"]["parameters"] == 2 * rows["arcface"]["parameters"]


def test_what_is_in_the_folder(done: tuple[Path, dict[str, Any]], pictures: Manifest) -> None:
    out, value = done
    assert json.loads((out / "ablation.json").read_text()) == value
    for name in ("gap", "sizes"):
        with Image.open(out / "plots" / f"{name}.png") as image:
            assert min(image.size) > 200
    lines = list(csv.DictReader((out / "ablation.csv").read_text("utf-8").splitlines()))
    page = (out / "ablation.md").read_text(encoding="utf-8")
    for line, row in zip(lines, value["rows"], strict=True):
        assert (line["row"], line["says"]) == (row["name"], row["says"])
        assert f"- **{row['title']}**: {row['says']}" in page
        if row["scores"]:
            assert float(line["gap"]) == row["scores"]["gap"]["value"]
            assert f"{row['scores']['gap']['value']:.3f} (" in page
    gaps = []
    for seed in range(2):
        answers = pq.read_table(out / f"rows/arcface/seed-{seed}/answers.parquet").to_pydict()
        pairs = zip(answers["landmark_id"], answers["confidence"], strict=True)
        found = dict(zip(answers["image_id"], pairs, strict=True))
        gaps.append(global_average_precision(found, solution_of(pictures).truth))
    assert by_name(value)["arcface"]["scores"]["gap"]["value"] == pytest.approx(sum(gaps) / 2)


def test_again_nothing_is_trained_but_what_failed(
    done: tuple[Path, dict[str, Any]], table: Path, pictures: Manifest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    out, value = done
    tried: list[str] = []

    def only_what_failed(recipe: Recipe, *_: Any, **__: Any) -> Path:
        tried.append(f"{recipe.name} {recipe.seed}")
        raise CairnError("still not there")

    monkeypatch.setattr("cairn.ablation.run.train", only_what_failed)
    again = reproduce(pictures, table, out)
    assert tried == ["broken 0", "broken 1"]
    for now, then in zip(again.to_json()["rows"], value["rows"], strict=True):
        assert now["scores"] == then["scores"]
        assert now["change"] == then["change"]
    assert [line.name for line in again.failed] == ["broken"]
    assert "still not there" in again.text()
    tried.clear()
    part = reproduce(pictures, table, out, rows=["penalty"])
    assert tried == [], "only chosen rows are run"
    assert len(part.lines) == 5, "the table keeps the others"


def test_a_penalty_is_taken_anew_where_its_reference_was_trained_anew(
    done: tuple[Path, dict[str, Any]], table: Path, pictures: Manifest, tmp_path: Path
) -> None:
    out = shutil.copytree(done[0], tmp_path / "out")
    result, other = (out / f"rows/penalty/seed-{seed}/result.json" for seed in (0, 1))
    whole = json.loads(result.read_text())
    result.write_text(json.dumps({**whole, "facts": {"model": "trained before"}}))
    stamp = other.stat().st_mtime_ns
    reproduce(pictures, table, out, rows=["penalty"])
    assert json.loads(result.read_text())["facts"] == whole["facts"]
    assert other.stat().st_mtime_ns == stamp, "that of the other seed stays"


def test_a_row_whose_reference_is_not_there_says_so(
    done: tuple[Path, dict[str, Any]], table: Path, pictures: Manifest, tmp_path: Path
) -> None:
    out = shutil.copytree(done[0], tmp_path / "out")
    shutil.rmtree(out / "rows/arcface")
    found = reproduce(pictures, table, out, rows=["softmax"])
    says = {line.name: found.says(line) for line in found.lines}
    assert says["penalty"] == "not compared: its reference 'arcface' is not finished"
    assert says["softmax"] == "nothing to compare with: where the comparison starts"


def test_a_mended_row_is_trained(
    done: tuple[Path, dict[str, Any]], table: Path, pictures: Manifest, tmp_path: Path
) -> None:
    out = shutil.copytree(done[0], tmp_path / "out")
    mended = table.with_name("mended.toml")
    mended.write_text(ROWS.replace('"resnxt"', '"resnext_small"'))
    found = reproduce(pictures, mended, out, rows=["broken"], num_seeds=1)
    line = next(line for line in found.lines if line.name == "broken")
    assert line.failure is None
    assert line.scores is not None
    assert line.reference == "arcface"
    assert "one seed says nothing of another training" in found.says(line)
    assert not (out / "rows/broken/seed-0/failed.json").exists()


def test_another_recipe_or_other_data_are_refused(
    done: tuple[Path, dict[str, Any]], table: Path, pictures: Manifest
) -> None:
    out, _ = done
    with pytest.raises(CairnError, match=r"train\.epochs was 1, is 2"):
        reproduce(pictures, table, out, overrides=["train.epochs=2"])
    other = table.with_name("other.toml")
    other.write_text(ROWS.replace('kind = "arcface"', 'kind = "cosface"'))
    with pytest.raises(CairnError, match=r"'arcface' was made with another recipe: head\.kind was"):
        reproduce(pictures, other, out)
    with pytest.raises(CairnError, match="begun with other data"):
        reproduce(pictures.take(range(len(pictures) - 1)), table, out)
    with pytest.raises(CairnError, match="not by an ablation"):
        reproduce(pictures, table, table.parent)
    with pytest.raises(CairnError, match="no image of role query"):
        reproduce(pictures.select("train", "nonlandmark"), table, table.parent / "new")
    with pytest.raises(CairnError, match="no row 'arcfase'"):
        reproduce(pictures, table, table.parent / "new", rows=["arcfase"])
    assert not (table.parent / "new").exists()


def test_where_nothing_can_be_finished_the_reasons_are_told(
    table: Path, pictures: Manifest, tmp_path: Path
) -> None:
    with pytest.raises(CairnError, match="no row could be finished") as caught:
        reproduce(pictures, table, tmp_path / "out", rows=["broken", "vote"], num_seeds=1)
    assert "no backbone 'resnxt'" in str(caught.value)
    assert "an ensemble needs two rows" in str(caught.value)
