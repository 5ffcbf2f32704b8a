"""Runs compared: pairing, correction, what changed, and runs that cannot be compared."""

import json
import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.stats import binomtest

from cairn.domain import Evidence, Prediction
from cairn.errors import CairnError
from cairn.evaluate import evaluate, resample
from cairn.predictions import predictions_table
from cairn.report.compare import write_comparison
from cairn.report.comparison import TESTED, Comparison, compare
from cairn.report.evaluated import EvaluatedRun, names_of, read_run, require_same_queries
from cairn.submission import Solution, by_image

require_sound = runpy.run_path(str(Path(__file__).with_name("test_report.py")))["require_sound"]
COUNTS = {"x": 2, "y": 20, "z": 1}


def answers(seed: int, share_right: float, num: int = 120) -> list[Prediction]:
    """Answers to the same queries, of which so many are right; a third show no landmark."""
    rng = np.random.default_rng(seed)
    said = []
    for row in range(num):
        right = row % 3 != 0 and rng.random() < share_right
        score = float(rng.normal(0.7 if right else 0.4, 0.1))
        landmark = ("x" if row % 2 else "y") if right else "z"
        evidence = (Evidence(f"g{landmark}", landmark, f"{landmark}.jpg", score),)
        said.append(Prediction(f"q{row:03}", landmark, score, evidence))
    return said


TRUTH: dict[str, frozenset[str]] = {
    f"q{row:03}": frozenset() if row % 3 == 0 else frozenset({"x" if row % 2 else "y"})
    for row in range(120)
}


def run_of(predictions: list[Prediction], name: str = "a") -> EvaluatedRun:
    return EvaluatedRun(Path(name), predictions, TRUTH, COUNTS)


@pytest.fixture(scope="module")
def found() -> Comparison:
    runs = [
        run_of(answers(0, 0.5), "a"),
        run_of(answers(1, 0.9), "b"),
        run_of(answers(2, 0.5), "c"),
    ]
    return compare(runs, ["a", "b", "c"], num_resamples=400)


def test_scores_and_intervals_are_those_of_an_evaluation_alone(found: Comparison) -> None:
    alone = evaluate(by_image(answers(1, 0.9)), TRUTH, gallery_counts=COUNTS, num_resamples=0)
    ours = found.measured.reports[1]
    assert {name: one.value for name, one in ours.scores.items()} == {
        name: one.value for name, one in alone.scores.items()
    }
    assert [one.num_queries for one in ours.by_size] == [one.num_queries for one in alone.by_size]


def test_two_runs_get_the_differences_of_evaluate() -> None:
    one, two = by_image(answers(0, 0.5)), by_image(answers(1, 0.9))
    wanted = evaluate(two, TRUTH, before=one, gallery_counts=COUNTS, num_resamples=50, seed=3)
    measured = resample([two, one], TRUTH, gallery_counts=COUNTS, num_resamples=50, seed=3)
    moved = measured.samples[:, 0] - measured.samples[:, 1]
    column = measured.names.index("gap")
    change = wanted.change["gap"]
    assert np.quantile(moved[:, column], [0.025, 0.975]) == pytest.approx([change.low, change.high])


def test_a_real_gain_is_significant_and_another_draw_is_not(found: Comparison) -> None:
    better, same = found.against
    assert better.differences["gap"].is_significant
    assert better.differences["gap"].change.value > 0
    assert not same.differences["gap"].is_significant
    assert set(better.differences) == set(TESTED)
    assert found.num_tests == 8
    for one in (*better.differences.values(), *same.differences.values()):
        assert one.chance is not None
        assert one.corrected is not None
        assert one.chance <= one.corrected <= min(1.0, 8 * one.chance)


def test_a_run_against_its_equal_differs_in_nothing() -> None:
    same = compare([run_of(answers(0, 0.5)), run_of(answers(0, 0.5))], ["a", "b"], num_resamples=99)
    (one,) = same.against
    assert (one.gained, one.lost, one.chance) == ((), (), 1.0)
    assert all(d.change.value == 0 and d.corrected == 1 for d in one.differences.values())


def test_what_changed_is_counted_and_tested(found: Comparison) -> None:
    one = found.against[0]
    old = {p.image_id: p.landmark_id in TRUTH[p.image_id] for p in answers(0, 0.5)}
    new = {p.image_id: p.landmark_id in TRUTH[p.image_id] for p in answers(1, 0.9)}
    assert set(one.gained) == {i for i in TRUTH if new[i] and not old[i]}
    assert set(one.lost) == {i for i in TRUTH if old[i] and not new[i]}
    assert one.num_both_right == sum(new[i] and old[i] for i in TRUTH)
    total = one.num_both_right + one.num_both_wrong + len(one.gained) + len(one.lost)
    assert total == sum(map(bool, TRUTH.values()))
    wanted = binomtest(len(one.gained), len(one.gained) + len(one.lost)).pvalue
    assert one.chance == pytest.approx(wanted)
    scores = {p.image_id: p.confidence for p in answers(1, 0.9)}
    assert [scores[i] for i in one.gained] == sorted((scores[i] for i in one.gained), reverse=True)


def test_many_runs_get_resamples_enough_for_their_correction() -> None:
    small = [Prediction(i, "x", 0.5) for i in TRUTH]
    many = compare([run_of(small)] * 3, ["a", "b", "c"])
    assert many.num_resamples == 200 * 8
    none = compare([run_of(small)] * 2, ["a", "b"], num_resamples=0)
    assert none.against[0].differences["gap"].corrected is None
    assert none.against[0].differences["gap"].change.low is None


def test_resamples_too_few_to_tell_anything_are_told() -> None:
    runs = [run_of(answers(0, 0.5), "a"), run_of(answers(1, 0.9), "b")]
    few = compare(runs, ["a", "b"], num_resamples=100)
    assert few.too_few_resamples
    assert not any(one.is_significant for one in few.against[0].differences.values())
    assert not compare(runs, ["a", "b"], num_resamples=200).too_few_resamples


def test_the_sizes_differ_as_their_scores_do(found: Comparison) -> None:
    for number, entry in enumerate(found.measured.reports[0].by_size):
        now = found.measured.reports[1].by_size[number].scores["top1_accuracy"].value
        change = found.against[0].by_size[entry.size]["top1_accuracy"].value
        assert change == pytest.approx(now - entry.scores["top1_accuracy"].value)


def folder_of(root: Path, name: str, predictions: list[Prediction]) -> Path:
    folder = root / name / "evaluation"
    folder.mkdir(parents=True)
    paths = {one.image_id: "q.jpg" for one in predictions}
    table = predictions_table(
        predictions,
        truth=TRUTH,
        gallery_counts=COUNTS,
        photo_root=root,
        query_paths=paths,
        names={"x": "The <X>"},
    )
    pq.write_table(table, folder / "predictions.parquet")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    for name in ("q", "x", "y", "z"):
        Image.new("RGB", (60, 40), "#336699").save(tmp_path / f"{name}.jpg")
    told = (("one", answers(0, 0.5)), ("two", answers(1, 0.9)))
    return [folder_of(tmp_path, name, said) for name, said in told]


def test_the_folder_of_a_comparison(folders: list[Path], tmp_path: Path) -> None:
    names = names_of(folders)
    assert names == ["one", "two"]
    found = compare([read_run(one) for one in folders], names, num_resamples=400)
    assert found.runs[0].counts == {"x": 2, "y": 20}
    page = write_comparison(tmp_path / "out", found, title="A & B", provenance={"seed": 1})
    written = {path.name for path in page.parent.iterdir()}
    assert written == {
        "comparison.html", "comparison.json", "changes.csv", "tables.md", "tables.tex", "plots"
    }  # fmt: skip
    value = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    assert value["against_first"][0]["num_gained"] == len(found.against[0].gained)
    assert value["provenance"] == {"seed": 1}
    html = page.read_text(encoding="utf-8")
    require_sound(html)
    assert "A &amp; B" in html
    assert "The &lt;X&gt;" in html
    assert "two is better than one in GAP" in html
    assert "file not found" not in html
    assert html.count('alt="query photograph') == html.count('class="case"') > 4
    lines = (tmp_path / "out" / "changes.csv").read_text(encoding="utf-8").splitlines()
    one = found.against[0]
    assert len(lines) == 1 + len(one.gained) + len(one.lost)
    assert lines[0].endswith("landmark_id_2,confidence_2,is_right_2")


def test_runs_of_other_queries_are_refused() -> None:
    fewer = {i: shown for i, shown in TRUTH.items() if i != "q007"}
    other = EvaluatedRun(Path("b"), [], fewer)
    with pytest.raises(CairnError, match="120 and 119, 119 in common") as caught:
        require_same_queries([run_of([]), other])
    assert "only the first has 'q007'" in caught.value.where
    with pytest.raises(CairnError) as caught:
        require_same_queries([other, run_of([])])
    assert "only it has 'q007'" in caught.value.where


def test_runs_of_other_truths_are_refused() -> None:
    other = EvaluatedRun(Path("b"), [], {**TRUTH, "q001": frozenset({"w"})})
    with pytest.raises(CairnError, match="different truths: 1 queries differ") as caught:
        require_same_queries([run_of([]), other])
    assert "'q001' shows ['w'] and ['x']" in caught.value.where


def test_one_run_is_no_comparison() -> None:
    with pytest.raises(CairnError, match="two runs or more"):
        compare([run_of([])], ["a"])


Change = Callable[[Path], Path]


@pytest.mark.parametrize(
    ("change", "what", "todo"),
    [
        (lambda folder: folder / "nowhere", "no such", "check the path"),
        (lambda folder: folder.parent, "has no predictions.parquet", "evaluation"),
        (lambda folder: folder.parent.parent, "has no predictions.parquet", "evaluate -o"),
    ],
)
def test_a_missing_run_is_told(folders: list[Path], change: Change, what: str, todo: str) -> None:
    with pytest.raises(CairnError, match=what) as caught:
        read_run(change(folders[0]))
    assert todo in caught.value.todo


def test_a_submission_needs_what_is_true(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_text("id,landmarks\na,x 0.5\n", encoding="utf-8")
    with pytest.raises(CairnError, match="without what is true") as caught:
        read_run(path)
    assert "--solution" in caught.value.todo
    truth = Solution({"a": frozenset({"x"}), "b": frozenset()})
    found = read_run(path, truth)
    assert [(one.image_id, one.landmark_id) for one in found.predictions] == [
        ("a", "x"),
        ("b", None),
    ]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (("runs/a", "runs/b"), ["a", "b"]),
        (("runs/a/evaluation", "runs/b/evaluation"), ["a", "b"]),
        (("a/one/e", "b/one/e"), ["a", "b"]),
        (("a/x", "b/x/y"), ["x", "y"]),
        (("a/p/s", "a/q/s", "b/p/s"), ["a/p", "a/q", "b/p"]),
    ],
)
def test_names_are_what_tells_paths_apart(paths: tuple[str, ...], names: list[str]) -> None:
    assert names_of([Path(one) for one in paths]) == names


def test_a_run_given_twice_is_told() -> None:
    with pytest.raises(CairnError, match="given twice"):
        names_of([Path("a"), Path("b"), Path("a")])
