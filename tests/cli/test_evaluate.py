"""``cairn evaluate`` as a person calls it, on the known answer of the field."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cairn.cli.evaluate import evaluate
from cairn.domain import Prediction
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.predictions import write_predictions

SUBMISSION = "id,landmarks\na,\nb,0 0.01\nc,1 10.0\nd,150 15.0\n"
SOLUTION = (
    "id,landmarks,Usage\na,0 12,Public\nb,100 200 300,Private\nc,1,Public\nd,,Private\ne,,Private\n"
)

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "submission.csv").write_text(SUBMISSION, encoding="utf-8")
    (tmp_path / "solution.csv").write_text(SOLUTION, encoding="utf-8")
    app = typer.Typer()
    app.command()(evaluate)

    def call(
        *options: str, solution: str = "solution.csv", submission: str = "submission.csv"
    ) -> str:
        files = [str(tmp_path / submission), str(tmp_path / solution)]
        result = CliRunner().invoke(app, [*files, *options])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


def test_the_known_answer(run: Run) -> None:
    value = json.loads(run("--json"))
    assert value["gap"] == pytest.approx(0.166667, abs=1e-6)
    assert value["gap_without_unlabelled"] == pytest.approx(0.333333, abs=1e-6)
    assert value["top1_accuracy"] == pytest.approx(0.333333, abs=1e-6)
    assert (value["num_queries"], value["num_labelled"]) == (5, 3)


def test_ignoring_unlabelled(run: Run) -> None:
    value = json.loads(run("--ignore-unlabelled", "--json", "--resamples", "0"))
    assert value["gap"] == pytest.approx(0.333333, abs=1e-6)
    assert (value["num_queries"], value["num_resamples"]) == (3, 0)


def test_words_for_a_person(run: Run) -> None:
    text = run("--resamples", "0")
    assert "5 queries, 3 with a landmark, 3 answered" in text
    assert "0.166667" in text


def test_usage_selects_rows(run: Run) -> None:
    value = json.loads(run("--usage", "public", "--json"))
    assert (value["num_queries"], value["gap"]) == (2, 0.5)
    with pytest.raises(CairnError, match="unknown usage") as caught:
        run("--usage", "publik")
    assert "public" in caught.value.todo


def test_before_and_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("id,landmarks\nb,100 1\n", encoding="utf-8")
    out = tmp_path / "evaluation"
    value = json.loads(run("--before", str(tmp_path / "old.csv"), "-o", str(out), "--json"))
    assert value["before"]["gap"] == pytest.approx(1 / 3)
    assert value["change"]["gap"]["value"] == pytest.approx(-1 / 6)
    assert json.loads((out / "report.json").read_text(encoding="utf-8"))["gap"] == value["gap"]
    assert (out / "report.html").is_file()


@pytest.mark.parametrize("name", ["manifest.parquet", "manifest.csv"])
def test_a_manifest_is_a_solution_too(run: Run, tmp_path: Path, name: str) -> None:
    images = ["a", "b", "c", "d", "e", "g1", "g2"]
    Manifest.from_columns(
        {
            "image_id": images,
            "path": [f"{image}.jpg" for image in images],
            "landmark_id": ["12", "100", "1", "", "", "1", "1"],
            "role": ["query"] * 5 + ["gallery"] * 2,
            "label_space": ["x"] * 7,
        },
        root=tmp_path,
    ).write(tmp_path / name)
    value = json.loads(run("--json", "--resamples", "10", solution=name))
    assert value["gap"] == pytest.approx(1 / 6)
    assert {entry["size"]: entry["num_queries"] for entry in value["by_size"]} == {"0": 2, "2": 1}
    assert "gallery photographs" in run("--resamples", "0", solution=name)


def test_a_manifest_without_known_queries_is_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    columns = {"image_id": ["a"], "path": ["a"], "landmark_id": [""], "role": ["query"]}
    Manifest.from_columns(columns, root=tmp_path).write(path)
    with pytest.raises(CairnError, match="nothing to score") as caught:
        run(solution=path.name)
    assert caught.value.where == str(path)
    assert "landmark_id" in caught.value.todo


def test_answers_with_verdicts_give_the_calibration_s_decision(run: Run, tmp_path: Path) -> None:
    said = [
        Prediction("b", "0", 0.01, probability=0.1, is_known=False),
        Prediction("c", "1", 10.0, probability=0.8, is_known=True),
        Prediction("d", "150", 15.0, probability=0.6, is_known=True),
        Prediction("a", None, 0.0),
    ]
    write_predictions(tmp_path / "answers.parquet", said)
    out = tmp_path / "evaluation"
    value = json.loads(run("--json", "-o", str(out), submission="answers.parquet"))
    assert value["gap"] == pytest.approx(1 / 6)
    decision = json.loads((out / "report.json").read_text(encoding="utf-8"))["decision"]
    assert (decision["source"], decision["threshold"]) == ("calibration", 0.6)
    assert (decision["accepted_right"], decision["accepted_unknown"]) == (1, 1)


def test_a_taken_folder_is_told_before_the_work(run: Run, tmp_path: Path) -> None:
    (tmp_path / "submission.csv").unlink()  # not even looked for
    with pytest.raises(CairnError, match="never overwritten"):
        run("-o", str(tmp_path))


def test_answers_of_another_set_are_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("id,landmarks\nx,1\n", encoding="utf-8")
    with pytest.raises(CairnError, match="does not have"):
        run(solution="other.csv")


def test_swapped_files_are_told(run: Run, tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="this is a submission, not a solution") as caught:
        run(solution="submission.csv")
    assert "submission first" in caught.value.todo
    manifest = tmp_path / "manifest.csv"
    columns = {"image_id": ["a"], "path": ["a"], "landmark_id": ["1"], "role": ["query"]}
    Manifest.from_columns(columns, root=tmp_path).write(manifest)
    (tmp_path / "submission.csv").write_bytes(manifest.read_bytes())
    with pytest.raises(CairnError, match="expected the header") as caught:
        run(solution="manifest.csv")
    assert "submission comes first" in caught.value.todo


def test_variants_side_by_side(run: Run) -> None:
    value = json.loads(run("--variants", "--json", "--resamples", "0"))
    found = {one["name"]: one["value"] for one in value["variants"]}
    assert found["official"] == value["gap"]
    assert found["over correct"] == pytest.approx(0.5)  # the right one is second
    text = run("--variants", "--resamples", "0")
    assert "no non-landmarks" in text
    assert "+0.333333" in text


def a_leaking_manifest(folder: Path) -> str:
    images = ["a", "b", "c", "d", "e", "g1", "g2", "n"]
    Manifest.from_columns(
        {
            "image_id": images,
            "path": [f"{image}.jpg" for image in images],
            "landmark_id": ["12", "100", "1", "", "", "1", "1", ""],
            "role": ["query"] * 5 + ["gallery"] * 2 + ["nonlandmark"],
            "sha256": ["f", None, None, "e", None, "g", "f", "E"],
        },
        root=folder,
    ).write(folder / "manifest.csv")
    return "manifest.csv"


def test_queries_that_stand_in_gallery_or_bank_are_refused(run: Run, tmp_path: Path) -> None:
    leaking = a_leaking_manifest(tmp_path)
    with pytest.raises(CairnError) as caught:
        run(solution=leaking)
    assert "the gallery or training: 1" in caught.value.what
    assert "the bank: 1" in caught.value.what
    assert "'a' and 'g2'" in caught.value.where
    assert "'d' and 'n'" in caught.value.where
    assert "--allow-leaks" in caught.value.todo


def test_leaks_that_are_allowed_are_told_everywhere(run: Run, tmp_path: Path) -> None:
    leaking = a_leaking_manifest(tmp_path)
    out = tmp_path / "evaluation"
    value = json.loads(run("--allow-leaks", "--json", "-o", str(out), solution=leaking))
    assert value["verification"]["leaks"] is True
    written = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert written["verification"] == value["verification"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert '<p class="warning">These scores flatter.' in page
    assert "LEAKS: Queries with the bytes" in run("--allow-leaks", solution=leaking)


def test_a_bank_beside_a_solution(run: Run, tmp_path: Path) -> None:
    columns = {"image_id": ["x", "d"], "path": ["x", "d"], "landmark_id": ["", ""]}
    bank = Manifest.from_columns({**columns, "role": ["nonlandmark"] * 2}, root=tmp_path)
    bank.write(tmp_path / "bank.csv")
    with pytest.raises(CairnError, match="whose id stands in the bank: 1"):
        run("--bank", str(tmp_path / "bank.csv"))
    bank.take([0]).write(tmp_path / "clean.csv")
    value = json.loads(run("--bank", str(tmp_path / "clean.csv"), "--json"))
    assert value["verification"]["checked"] == ["ids with the bank"]
    assert "No leak found. Compared: ids with the bank." in run(
        "--bank", str(tmp_path / "clean.csv")
    )


def test_a_bank_of_images_that_the_solution_lists_and_nobody_answered(
    run: Run, tmp_path: Path
) -> None:
    columns = {"image_id": ["e"], "path": ["e"], "landmark_id": [""], "role": ["nonlandmark"]}
    Manifest.from_columns(columns, root=tmp_path).write(tmp_path / "bank.csv")
    value = json.loads(run("--bank", str(tmp_path / "bank.csv"), "--json"))
    assert value["verification"]["leaks"] is False


def test_queries_alone_are_scored_and_reported_without_a_gallery(run: Run, tmp_path: Path) -> None:
    manifest = Manifest.from_columns(
        {
            "image_id": ["a", "b"],
            "path": ["a.jpg", "b.jpg"],
            "landmark_id": ["1", ""],
            "role": ["query", "query"],
        },
        root=tmp_path,
    )
    manifest.write(tmp_path / "test.parquet")
    (tmp_path / "submission.csv").write_text("id,landmarks\na,1 0.9\nb,1 0.5\n", encoding="utf-8")
    run("-o", str(tmp_path / "evaluation"), solution="test.parquet")
    report = json.loads((tmp_path / "evaluation/report.json").read_text(encoding="utf-8"))
    assert "gap" in json.dumps(report)
    assert (tmp_path / "evaluation/report.html").is_file()
