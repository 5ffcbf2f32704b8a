from __future__ import annotations

from pathlib import Path

import pytest

from cairn.demo import DemoOutcome, run_demo
from cairn.errors import CairnError
from cairn.evaluate import evaluate
from cairn.pipeline import Outcome

TRUTH: dict[str, frozenset[str]] = {"a": frozenset({"1"}), "b": frozenset()}


def outcome(root: Path) -> DemoOutcome:
    before = evaluate({"a": ("1", 0.5), "b": ("1", 0.9)}, TRUTH, num_resamples=0)
    after = evaluate(
        {"a": ("1", 0.5), "b": ("1", 0.1)},
        TRUTH,
        before={"a": ("1", 0.5), "b": ("1", 0.9)},
        num_resamples=20,
    )
    (root / "world" / "query").mkdir(parents=True)
    (root / "world" / "query" / "q.jpg").touch()
    seconds = {"world": 1.26, "train": 2.0}
    return DemoOutcome(
        (("trained", before), ("trained + penalty", after)),
        Outcome(after, root / "report.html", root / "gallery", seconds),
        root / "trained",
        root / "world.png",
        seconds,
    )


def test_the_outcome_in_words(tmp_path: Path) -> None:
    text = outcome(tmp_path).text()
    lines = text.splitlines()
    assert lines[1].split() == ["GAP", "GAP-", "accuracy"]
    assert lines[2].split() == ["trained", "0.500", "1.000", "1.000"]
    assert lines[3].split() == ["trained", "+", "penalty", "1.000", "1.000", "1.000"]
    assert "The penalty changed GAP by +0.500" in text
    assert "1 landmark queries among 2" in text
    assert lines[lines.index("") :].count("") > 1
    assert [line.split() for line in lines if line.endswith(" s")] == [
        ["world", "1.3", "s"], ["train", "2.0", "s"], ["all", "3.3", "s"]
    ]  # fmt: skip
    assert f"cairn recognize {tmp_path / 'gallery'} {tmp_path / 'world/query/q.jpg'}" in text


def test_the_outcome_for_programs(tmp_path: Path) -> None:
    value = outcome(tmp_path).to_json()
    assert [row["gap"] for row in value["rows"]] == [0.5, 1.0]
    assert value["penalty_change"]["value"] == 0.5
    assert value["seconds"] == {"world": 1.26, "train": 2.0}
    assert value["report"] == str(tmp_path / "report.html")


def test_a_taken_place_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(CairnError, match="never overwritten"):
        run_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
