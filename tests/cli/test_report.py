"""``cairn report`` as a person calls it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cairn.cli.app import app
from cairn.errors import CairnError
from cairn.manifest import Manifest

SOLUTION = "id,landmarks,Usage\na,x,Public\nb,x,Public\nc,y,Private\nd,,Public\n"
ONE = "id,landmarks\na,x 0.9\nb,y 0.8\nc,x 0.7\nd,x 0.6\n"
TWO = "id,landmarks\na,x 0.9\nb,x 0.8\nc,y 0.7\nd,x 0.1\n"
THREE = "id,landmarks\na,y 0.9\nb,y 0.8\n"

Run = Callable[..., str]


@pytest.fixture
def cairn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    files = {"solution": SOLUTION, "one": ONE, "two": TWO, "three": THREE}
    for name, text in files.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")

    def call(*words: str) -> str:
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


def test_two_evaluation_folders(cairn: Run, tmp_path: Path) -> None:
    for name in ("one", "two"):
        cairn("evaluate", f"{name}.csv", "solution.csv", "-o", f"runs/{name}/evaluation")
    folders = ("runs/one/evaluation", "runs/two/evaluation")
    value = json.loads(cairn("report", *folders, "-o", "out", "--json"))
    assert [one["name"] for one in value["runs"]] == ["one", "two"]
    (against,) = value["against_first"]
    assert (against["num_gained"], against["num_lost"]) == (2, 0)
    assert against["mcnemar"] == 0.5
    # ONE ranks its one right answer first: 1/3. TWO has its three right answers on top.
    assert against["differences"]["gap"]["change"]["value"] == pytest.approx(1 - 1 / 3)
    assert (tmp_path / "out" / "comparison.html").is_file()
    text = cairn("report", *folders)
    assert "4 queries, 3 with a landmark" in text
    assert "two: 2 right that one gets wrong, 0 the reverse (McNemar p = 0.50)" in text


def test_three_submissions_against_a_solution(cairn: Run) -> None:
    words = ("report", "one.csv", "two.csv", "three.csv", "--solution", "solution.csv")
    value = json.loads(cairn(*words, "--json", "--resamples", "50"))
    assert value["num_tests"] == 8
    assert [one["num_lost"] for one in value["against_first"]] == [0, 1]
    assert value["runs"][2]["top1_accuracy"] == 0
    public = json.loads(cairn(*words, "--usage", "public", "--json", "--resamples", "0"))
    assert public["num_queries"] == 3
    assert public["against_first"][0]["differences"]["gap"]["corrected"] is None


def test_submissions_against_a_manifest_get_scores_by_size(cairn: Run, tmp_path: Path) -> None:
    images = ["a", "b", "c", "d", "g1", "g2", "g3"]
    Manifest.from_columns(
        {
            "image_id": images,
            "path": [f"{image}.jpg" for image in images],
            "landmark_id": ["x", "x", "y", "", "x", "x", "y"],
            "role": ["query"] * 4 + ["gallery"] * 3,
        },
        root=tmp_path,
    ).write(tmp_path / "manifest.parquet")
    words = ("report", "one.csv", "two.csv", "--solution", "manifest.parquet", "--resamples", "20")
    value = json.loads(cairn(*words, "--json"))
    sizes = value["against_first"][0]["by_size"]
    assert sizes["1"]["top1_accuracy"]["value"] == 1.0
    assert sizes["2"]["top1_accuracy"]["value"] == 0.5


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("one.csv",), "needs two runs"),
        (("one.csv", "one.csv", "--solution", "solution.csv"), "given twice"),
        (("one.csv", "two.csv"), "without what is true"),
        (("one.csv", "two.csv", "--usage", "public"), "only a solution has a Usage"),
        (("one.csv", "nothing", "--solution", "solution.csv"), "no such evaluation folder"),
        (("one.csv", "two.csv", "--solution", "nothing.csv"), "file not found|no such|not found"),
        (("one.csv", "two.csv", "--solution", "solution.csv", "-o", "."), "never overwritten"),
    ],
)
def test_faults_are_told(cairn: Run, words: tuple[str, ...], what: str) -> None:
    with pytest.raises(CairnError, match=what):
        cairn("report", *words)


def test_folders_of_other_queries_are_refused(cairn: Run, tmp_path: Path) -> None:
    (tmp_path / "less.csv").write_text("id,landmarks\na,x\nb,x\nc,y\n", encoding="utf-8")
    (tmp_path / "few.csv").write_text("id,landmarks\na,x 0.9\n", encoding="utf-8")
    cairn("evaluate", "one.csv", "solution.csv", "-o", "one")
    cairn("evaluate", "few.csv", "less.csv", "-o", "few")
    with pytest.raises(CairnError, match="different queries: 4 and 3, 3 in common"):
        cairn("report", "one", "few")
