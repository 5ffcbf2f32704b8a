"""``cairn lint`` as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cairn.cli.app import app
from cairn.manifest import Manifest


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["lint", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.fixture
def submission(tmp_path: Path) -> Path:
    path = tmp_path / "s.csv"
    path.write_text("id,landmarks\na,1 0.5\nb,9 0.25\nx,2 0.1\n", encoding="utf-8")
    return path


def test_errors_are_printed_with_lines_and_exit_2(submission: Path, tmp_path: Path) -> None:
    solution = tmp_path / "solution.csv"
    solution.write_text("id,landmarks,Usage\na,1,Public\nb,,Private\nc,,Ignored\n", "utf-8")
    code, text = call(submission, "--solution", solution)
    assert code == 2
    assert f"{submission}:4: error: 'x' is no query [unknown-id]" in text
    assert "query 'c' has no row; Kaggle wants a row for each" in text
    code, out = call(submission, "--solution", solution, "--json")
    value = json.loads(out)
    assert (code, value["num_errors"], value["num_rows"]) == (2, 2, 3)
    assert value["problems"][1]["line"] == 4


def test_a_manifest_says_which_landmarks_there_are(submission: Path, tmp_path: Path) -> None:
    images = ["a", "b", "x", "g"]
    columns = {
        "image_id": images,
        "path": images,
        "landmark_id": ["1", "", "", "1"],
        "role": ["query"] * 3 + ["gallery"],
    }
    Manifest.from_columns(columns, root=tmp_path).write(tmp_path / "m.parquet")
    code, text = call(submission, "--queries", tmp_path / "m.parquet")
    assert code == 0
    assert f"{submission}:3: warning: the gallery has no landmark '9' [unknown-landmark]" in text
    sample = tmp_path / "sample.csv"
    sample.write_text("id,landmarks\na,\nb,\nx,\n", encoding="utf-8")
    assert call(submission, "--queries", sample) == (0, "3 rows, 3 answered: no problem found\n")


def test_retrieval_takes_its_own_solution(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("id,images\na,g1 g2\n", encoding="utf-8")
    (tmp_path / "solution.csv").write_text("id,images,Usage\na,g1,Public\n", encoding="utf-8")
    wishes = ("--task", "retrieval", "--form", "delf", "--solution", tmp_path / "solution.csv")
    assert call(tmp_path / "r.csv", *wishes)[0] == 0
