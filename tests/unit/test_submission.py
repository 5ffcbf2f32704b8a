"""Files of the competition's formats: what is read back, and every line that is refused."""

from pathlib import Path

import pytest

from cairn.domain import Prediction
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.submission import (
    Solution,
    by_image,
    read_solution,
    read_submission,
    solution_of,
    write_submission,
)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_written_reads_back_to_the_bit(tmp_path: Path) -> None:
    told = [
        Prediction("00084cdf8f600d00", "137790", 0.1 + 0.2),
        Prediction("b", "台北 101", 1e-300),
        Prediction("c", "50%_off\ttower", -0.5),
        Prediction("d,e", None, 0.0),
    ]
    path = tmp_path / "out" / "submission.csv"
    write_submission(path, told)
    assert read_submission(path) == {
        "00084cdf8f600d00": ("137790", 0.1 + 0.2),
        "b": ("台北 101", 1e-300),
        "c": ("50%_off\ttower", -0.5),
        "d,e": None,
    }
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["id,landmarks", "00084cdf8f600d00,137790 0.30000000000000004"]
    assert lines[2] == "b,台北%20101 1e-300"


def test_neighbouring_floats_keep_their_order(tmp_path: Path) -> None:
    import math

    low = 0.7
    write_submission(
        tmp_path / "s.csv",
        [Prediction("a", "1", low), Prediction("b", "1", math.nextafter(low, 1))],
    )
    back = read_submission(tmp_path / "s.csv")
    assert back["a"] is not None
    assert back["b"] is not None
    assert back["a"][1] < back["b"][1]


def test_blanks_bom_and_windows_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "s.csv"
    path.write_bytes("\ufeffid,landmarks\r\na,1 0.5\r\nb,\r\n".encode())
    assert read_submission(path) == {"a": ("1", 0.5), "b": None}


@pytest.mark.parametrize(
    ("text", "message", "where"),
    [
        ("", "empty", ""),
        ("a,1 0.5\n", "header", "line 1"),
        ("id,landmark\n", "header", "line 1"),
        ("id,landmarks\na,1 0.5\na,2 0.5\n", "already on line 2", "line 3"),
        ("id,landmarks\na,1\n", "found 1 words", "line 2"),
        ("id,landmarks\na,1 0.5 2 0.5\n", "found 4 words", "line 2"),
        ("id,landmarks\nb,\na,1 nan\n", "finite", "line 3"),
        ("id,landmarks\na,1 -inf\n", "finite", "line 2"),
        ("id,landmarks\na,1 1e999\n", "finite", "line 2"),
        ("id,landmarks\na,1 1_0\n", "finite", "line 2"),
        ("id,landmarks\na,1 high\n", "not a number", "line 2"),
        ("id,landmarks\na,1 0.5,x\n", "found 3", "line 2"),
        ("id,landmarks\na\n", "found 1", "line 2"),
        ("id,landmarks\n,1 0.5\n", "id is empty", "line 2"),
        ('id,landmarks\na,"1 0.5\n', "not a CSV", ""),
    ],
)
def test_bad_submissions_name_their_line(
    tmp_path: Path, text: str, message: str, where: str
) -> None:
    with pytest.raises(CairnError, match=message) as caught:
        read_submission(written(tmp_path / "s.csv", text))
    assert "s.csv" in caught.value.where
    assert where in caught.value.where


def test_what_is_no_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"id,landmarks\n\xff\xfe,1 0.5\n")
    with pytest.raises(CairnError, match="UTF-8"):
        read_submission(tmp_path / "x.csv")
    with pytest.raises(CairnError, match="not found"):
        read_submission(tmp_path / "nowhere.csv")
    with pytest.raises(CairnError, match="folder"):
        read_submission(tmp_path)


SOLUTION = "id,landmarks,Usage\na,1 2,Public\nb,,Public\nc,3,Private\nd,4,Ignored\n"


def test_usage_selects_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "solution.csv", SOLUTION)
    both = read_solution(path)
    assert both.truth == {"a": {"1", "2"}, "b": frozenset(), "c": {"3"}}
    assert both.set_aside == {"d"}
    private = read_solution(path, usage="private")
    assert private.truth == {"c": {"3"}}
    assert private.set_aside == {"a", "b", "d"}
    assert private.keep({"a": ("1", 1.0), "c": ("9", 0.5)}) == {"c": ("9", 0.5)}


def test_answers_to_images_of_another_set_are_refused(tmp_path: Path) -> None:
    solution = read_solution(written(tmp_path / "solution.csv", SOLUTION))
    with pytest.raises(CairnError, match="does not have") as caught:
        solution.keep({"a": ("1", 1.0), "x": ("1", 1.0)})
    assert "'x'" in caught.value.where


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,landmarks\na,\n", "M = 0"),
        ("id,landmarks,Usage\na,1,Ignored\n", "M = 0"),
        ("id,landmarks,Usage\na,1,Publik\n", "unknown Usage"),
        ("id,landmarks\na,1\na,2\n", "already on line 2"),
    ],
)
def test_bad_solutions_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CairnError, match=message) as caught:
        read_solution(written(tmp_path / "solution.csv", text))
    assert "solution.csv" in caught.value.where


def test_usage_needs_its_column(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="needs a column"):
        read_solution(written(tmp_path / "s.csv", "id,landmarks\na,1\n"), usage="public")


def test_the_truth_of_a_manifest_is_its_queries(tmp_path: Path) -> None:
    manifest = Manifest.from_columns(
        {
            "image_id": ["t", "q", "n", "b"],
            "path": ["t.jpg", "q.jpg", "n.jpg", "b.jpg"],
            "landmark_id": ["1", "1", "", ""],
            "role": ["train", "query", "query", "nonlandmark"],
            "label_space": ["x"] * 4,
        },
        root=tmp_path,
    )
    assert solution_of(manifest) == Solution({"q": frozenset({"1"}), "n": frozenset()})


def test_one_answer_an_image(tmp_path: Path) -> None:
    twice = [Prediction("a", "1", 1.0), Prediction("a", "2", 0.5)]
    with pytest.raises(CairnError, match="one image"):
        by_image(twice)
    with pytest.raises(CairnError, match="one image"):
        write_submission(tmp_path / "s.csv", twice)
    assert not (tmp_path / "s.csv").exists()
    with pytest.raises(CairnError, match="no landmark"):
        write_submission(tmp_path / "s.csv", [Prediction("a", "", 1.0)])
