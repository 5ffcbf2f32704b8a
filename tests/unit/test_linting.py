"""Linting: every kind of problem with its line, and never milder than the strict reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cairn.errors import CairnError
from cairn.linting import Expected, Lint, lint_submission
from cairn.submission import read_submission

HEAD = "id,landmarks\n"
IDS = [f"{number:016x}" for number in range(40)]


def lint(tmp_path: Path, text: str | bytes, **wishes: object) -> Lint:
    path = tmp_path / "s.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return lint_submission(path, **wishes)  # type: ignore[arg-type]


def found(one: Lint) -> set[tuple[str, str, int | None]]:
    return {(problem.severity, problem.rule, problem.line) for problem in one.problems}


def test_a_good_file_has_no_problem(tmp_path: Path) -> None:
    one = lint(tmp_path, f"{HEAD}a,137790 0.2\nb,\nc,7 -1e-3\n", expected=Expected({"a", "b", "c"}))
    assert one.problems == []
    assert (one.num_rows, one.num_answered) == (3, 2)
    assert one.text() == "3 rows, 2 answered: no problem found"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("a,1 0.5\na,2 0.4\n", ("error", "repeated-id", 3)),
        (",1 0.5\n", ("error", "empty-id", 2)),
        ("a,1 0.5\nz,1 0.4\n", ("error", "unknown-id", 3)),
        ("a,1 0.5\nb,1\n", ("error", "answer", 3)),
        ("a,1 0.5 2 0.4\n", ("error", "answer", 2)),
        ("a,1 x\n", ("error", "answer", 2)),
        ("a,1 nan\n", ("error", "answer", 2)),
        ("a,1 -inf\n", ("error", "answer", 2)),
        ("a,1 1_0\n", ("error", "answer", 2)),
        ("a,1 0.5,x\n", ("error", "columns", 2)),
        ("a\n", ("error", "columns", 2)),
        ("a,tower 0.5\n", ("error", "landmark", 2)),
        ("a,007 0.5\n", ("error", "landmark", 2)),
        ("a,0.53 17\n", ("error", "swapped", 2)),
        ('a,1 0.5\nb,"1 0.4"x\n', ("error", "csv", 3)),
        ("a,1 0.5\n\nb,2 0.4\n", ("warning", "blank-line", 3)),
        ('a,"1 0.5"\n', ("warning", "quotes", 2)),
        ("a,1  0.5\n", ("warning", "spaces", 2)),
        ("a,1 0.5 \n", ("warning", "spaces", 2)),
        ("a, \n", ("warning", "spaces", 2)),
        ("a,1 1e-400\n", ("warning", "underflow", 2)),
        ("a,1 1e-320\n", ("warning", "underflow", 2)),
        ("a,1 1e-40\n", ("warning", "underflow", 2)),
        ("a,9 0.5\n", ("warning", "unknown-landmark", 2)),
        ("a,1 0.5\nb,2 0.5\n", ("warning", "constant", None)),
        ("a,1 0.0\nb,2 0.0\nc,3 1.0\n", ("warning", "ties", None)),
        ("a,\nb,\n", ("warning", "blank", None)),
        ("a,1 0.5\nb,2 0.4\n", ("error", "missing-id", None)),
    ],
)
def test_each_problem_has_its_line(
    tmp_path: Path, rows: str, problem: tuple[str, str, int | None]
) -> None:
    expected = Expected({"a", "b", "c"}, landmarks={"1", "2", "3"})
    assert problem in found(lint(tmp_path, HEAD + rows, expected=expected))


def test_all_are_listed_and_many_of_a_kind_are_counted(tmp_path: Path) -> None:
    rows = "".join(f"{image_id},1\n" for image_id in IDS)
    one = lint(tmp_path, f"{HEAD}{rows}x,2 nan\n")
    assert one.counts["error", "answer"] == 41
    assert len([problem for problem in one.problems if problem.rule == "answer"]) == 5
    assert one.num_errors == 41
    text = one.text()
    assert f"{one.path}:2: error: expected '<landmark> <score>'" in text
    assert "... and 36 more of [answer] (error)" in text
    assert text.endswith("41 rows, 0 answered: 41 errors, 2 warnings")


def test_whole_files(tmp_path: Path) -> None:
    assert ("warning", "bom", 1) in found(lint(tmp_path, "\ufeff" + HEAD + "a,1 0.5\n"))
    windows = lint(tmp_path, HEAD.replace("\n", "\r\n") + "a,1 0.5\r\n")
    assert found(windows) == {("warning", "line-ends", None)}
    assert "mixed" in lint(tmp_path, HEAD + "a,1 0.5\r\n").problems[0].text
    assert ("error", "encoding", 3) in found(lint(tmp_path, HEAD.encode() + b"a,\n\xff,\n"))
    assert found(lint(tmp_path, "")) == {("error", "empty", None)}
    assert ("warning", "nul", 2) in found(lint(tmp_path, HEAD + "a\0,1 0.5\n"))
    for other in ("id,images\n", "id;landmarks\n", "image_id,landmarks\n"):
        assert ("error", "header", 1) in found(lint(tmp_path, other + "a,1 0.5\n"))
    lost = lint(tmp_path, f"{IDS[0]},1 0.5\n{IDS[1]},2 0.6\n")
    assert "the first row is taken for it, and lost" in lost.problems[0].text


def test_ids_of_google_landmarks(tmp_path: Path) -> None:
    rows = "".join(f"{image_id},{i} 0.{i + 10}\n" for i, image_id in enumerate(IDS))
    one = lint(tmp_path, f"{HEAD}{rows}{IDS[0][1:]},7 0.5\n{IDS[11].upper()}A,8 0.6\n")
    assert {(rule, line) for _, rule, line in found(one)} == {("odd-id", 42), ("odd-id", 43)}


def test_white_space_around_an_id_says_which_it_is(tmp_path: Path) -> None:
    one = lint(tmp_path, f"{HEAD}a ,1 0.5\n", expected=Expected({"a"}), form="cairn")
    assert "without its white space it is one: 'a'" in one.sorted()[0].text


def test_forms_differ_as_their_readers_do(tmp_path: Path) -> None:
    def errors(rows: str, form: str) -> int:
        return lint(tmp_path, HEAD + rows, form=form).num_errors

    # DELF splits at single spaces and forgives one at the end.
    assert [errors("a,1  0.5\n", form) for form in ("cairn", "kaggle", "delf")] == [0, 0, 1]
    assert [errors("a,1\t0.5\n", form) for form in ("cairn", "kaggle", "delf")] == [0, 0, 1]
    assert [errors("a, \n", form) for form in ("cairn", "kaggle", "delf")] == [0, 0, 1]
    assert [errors("a,1 0.5 \n", form) for form in ("cairn", "kaggle", "delf")] == [0, 0, 0]
    assert [errors("a,tower 0.5\n", form) for form in ("cairn", "kaggle", "delf")] == [0, 1, 1]
    # It skips the header unread.
    assert lint(tmp_path, "x,y\na,1 0.5\n", form="delf").num_errors == 0
    # A query without a row is a blank, but not for Kaggle.
    for form, number in (("cairn", 0), ("kaggle", 1), ("delf", 0)):
        text, expected = HEAD + "a,1 0.5\n", Expected({"a", "b"})
        assert lint(tmp_path, text, form=form, expected=expected).num_errors == number


def test_an_answer_of_another_label_space_is_told(tmp_path: Path) -> None:
    expected = Expected({"a", "b"}, true_landmarks={"1", "2"})
    one = lint(tmp_path, HEAD + "a,100 0.5\nb,200 0.4\n", expected=expected)
    assert found(one) == {("warning", "label-space", None)}
    assert not lint(tmp_path, HEAD + "a,100 0.5\nb,2 0.4\n", expected=expected).problems


def test_retrieval_files(tmp_path: Path) -> None:
    many = " ".join(f"g{number}" for number in range(101))
    text = f"id,images\na,g1 g2\nb,g1 g1\nc,{many}\nd,\ne,g1  g2\nf,g1 nowhere\n"
    images = {f"g{number}" for number in range(200)}
    one = lint(tmp_path, text, task="retrieval", form="delf", expected=Expected(images=images))
    assert found(one) == {
        ("warning", "repeated-image", 3),
        ("warning", "long-list", 4),
        ("error", "spaces", 6),
        ("warning", "unknown-image", 7),
    }
    assert (one.num_rows, one.num_answered) == (6, 5)


def test_unknown_forms_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="unknown 'kagle'") as caught:
        lint(tmp_path, HEAD, form="kagle")
    assert "kaggle" in caught.value.todo
    with pytest.raises(CairnError, match="file not found"):
        lint_submission(tmp_path / "none.csv")
    with pytest.raises(CairnError, match="a folder"):
        lint_submission(tmp_path)


PARTS = st.sampled_from(
    ["a", "b", ",", " ", "1", "0.5", "nan", "\n", "\r\n", "\r", '"', "\t", "%20", "_", "a,1 0.5\n"]
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(PARTS, max_size=12).map("".join))
def test_what_the_reader_refuses_is_an_error_and_what_it_reads_is_none(
    tmp_path: Path, rows: str
) -> None:
    one = lint(tmp_path, HEAD + rows, form="cairn")
    try:
        answers = read_submission(one.path)
    except CairnError:
        answers = None
    assert (answers is None) == bool(one.num_errors), one.text()
    if answers is not None:
        assert one.num_answered == sum(answer is not None for answer in answers.values())
        assert one.num_rows == len(answers)
