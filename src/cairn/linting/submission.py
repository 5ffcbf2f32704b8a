"""A submission checked row by row: all that is wrong, not the first thing only.

What the strict reader refuses is an error here, always (a test holds the two together); what it
reads, and a person did not mean, is a warning.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from cairn.errors import CairnError, nearest
from cairn.linting.answers import read_answer, read_list
from cairn.linting.problems import Lint
from cairn.submission import SUBMISSION_HEADER

FORMS = ("cairn", "kaggle", "delf")
"""Who will read it: Cairn; Kaggle's landmark competitions; the DELF project's evaluation."""

TASKS = ("recognition", "retrieval")

_HEADERS = {"recognition": SUBMISSION_HEADER, "retrieval": ("id", "images")}
_GLDV2_ID = re.compile(r"[0-9a-f]{16}")
_MOSTLY = 0.9
_MANY_TIES = 0.01


@dataclass(frozen=True)
class Expected:
    """What the file should be about; None where it is not known.

    Args:
        queries: The ids of all queries.
        landmarks: The landmarks that can be answered.
        images: The images that a retrieval list may name.
        true_landmarks: Landmarks of the solution: an answer may name others, but hardly all.
    """

    queries: Collection[str] | None = None
    landmarks: Collection[str] | None = None
    images: Collection[str] | None = None
    true_landmarks: Collection[str] | None = None


def lint_submission(
    path: Path,
    *,
    form: str = "kaggle",
    task: str = "recognition",
    expected: Expected | None = None,
) -> Lint:
    """Return every problem of a submission file.

    Args:
        path: A CSV file.
        form: One of :data:`FORMS`.
        task: One of :data:`TASKS`; retrieval files have the columns ``id,images``.
        expected: What is known of queries and gallery.

    Raises:
        CairnError: There is no such file, or form or task is unknown.
    """
    for word, known in ((form, FORMS), (task, TASKS)):
        if word not in known:
            raise CairnError(f"unknown {word!r}", todo=nearest(word, known))
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise CairnError("file not found", where=path) from None
    except IsADirectoryError:
        raise CairnError("this is a folder, not a CSV file", where=path) from None
    lint, expected = Lint(path), expected or Expected()
    text = _decoded(lint, raw)
    if text is None:
        return lint
    rows = _rows(lint, text)
    first = next(rows, None)
    if first is None:
        lint.error(None, "empty", "the file has no header")
        return lint
    _check_header(lint, *first, header=_HEADERS[task], form=form, expected=expected)
    lines: dict[str, int] = {}
    answers: list[tuple[str, float]] = []
    for line, row in rows:
        lint.num_rows += 1
        if len(row) != 2:
            lint.error(line, "columns", f"expected 2 columns, found {len(row)}")
            continue
        _check_id(lint, line, row[0], lines, expected)
        lines.setdefault(row[0], line)
        if task == "retrieval":
            lint.num_answered += bool(
                read_list(lint, line, row[1], form=form, images=expected.images)
            )
        elif (answer := read_answer(lint, line, row[1], form=form)) is not None:
            answers.append(answer)
            lint.num_answered += 1
            if expected.landmarks is not None and answer[0] not in expected.landmarks:
                lint.warn(line, "unknown-landmark", f"the gallery has no landmark {answer[0]!r}")
    _check_ids(lint, lines, expected, form=form)
    _check_scores(lint, answers, expected)
    if lint.num_rows and not lint.num_answered:
        lint.warn(None, "blank", "every row is blank, which scores 0")
    return lint


def _decoded(lint: Lint, raw: bytes) -> str | None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        lint.error(line, "encoding", f"not UTF-8: byte 0x{raw[error.start]:02x}")
        return None
    if text.startswith("\ufeff"):
        lint.warn(1, "bom", "a byte order mark comes first; some readers take it for the id's name")
        text = text[1:]
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        lint.warn(line, "nul", "a zero byte; many readers stop there")
    ends = {"\r\n": text.count("\r\n")}
    ends["\n"], ends["\r"] = (text.count(one) - ends["\r\n"] for one in ("\n", "\r"))
    if ends["\r\n"] or ends["\r"]:
        mixed = sum(map(bool, ends.values())) > 1
        kind = "line ends are mixed" if mixed else "line ends are those of Windows"
        lint.warn(None, "line-ends", kind if mixed or ends["\r\n"] else "lines end in \\r alone")
    return text


def _rows(lint: Lint, text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, row) as Cairn's own reader does, blank lines noted and left out."""
    file = io.StringIO(text, newline="")
    quoted = '"' in text
    reader = csv.reader(file, strict=True)
    before = 0
    try:
        for row in reader:
            if not row:
                lint.warn(reader.line_num, "blank-line", "a line with nothing in it")
            else:
                if reader.line_num - before > 1:
                    lint.warn(before + 1, "quotes", "a quoted value runs over several lines")
                yield reader.line_num, row
            before = reader.line_num
    except csv.Error as error:
        lint.error(reader.line_num, "csv", f"not CSV, and nothing below was read: {error}")
    if quoted:
        line = text[: text.index('"')].count("\n") + 1
        lint.warn(line, "quotes", "values in quotes: not every reader takes them off")


def _check_header(
    lint: Lint,
    line: int,
    row: list[str],
    *,
    header: tuple[str, ...],
    form: str,
    expected: Expected,
) -> None:
    if tuple(row) == header:
        return
    found, wanted = ",".join(row), ",".join(header)
    is_row = bool(row) and (
        row[0] in (expected.queries or ()) or _GLDV2_ID.fullmatch(row[0]) is not None
    )
    if is_row:
        lint.error(line, "header", f"no header {wanted!r}: the first row is taken for it, and lost")
    elif form == "delf" and len(row) == 2:
        lint.warn(line, "header", f"the header is {found!r}; DELF skips it unread, others do not")
    else:
        lint.error(line, "header", f"expected the header {wanted!r}, found {found!r}")


def _check_id(
    lint: Lint, line: int, image_id: str, lines: dict[str, int], expected: Expected
) -> None:
    if not image_id:
        lint.error(line, "empty-id", "the id is empty")
    elif image_id in lines:
        lint.error(line, "repeated-id", f"{image_id!r} stands already on line {lines[image_id]}")
    elif expected.queries is not None and image_id not in expected.queries:
        bare = image_id.strip()
        hint = f"; without its white space it is one: {bare!r}" if bare in expected.queries else ""
        lint.error(line, "unknown-id", f"{image_id!r} is no query{hint}")
    elif image_id != image_id.strip():
        lint.warn(line, "id-spaces", f"white space around the id {image_id!r}")


def _check_ids(lint: Lint, lines: dict[str, int], expected: Expected, *, form: str) -> None:
    if expected.queries is not None:
        told = "Kaggle wants a row for each" if form == "kaggle" else "each counts as a blank"
        for image_id in sorted(set(expected.queries) - lines.keys()):
            severity = lint.error if form == "kaggle" else lint.warn
            severity(None, "missing-id", f"query {image_id!r} has no row; {told}")
        return
    usual = sum(_GLDV2_ID.fullmatch(image_id) is not None for image_id in lines)
    if usual < len(lines) and usual >= _MOSTLY * len(lines):
        for image_id, line in lines.items():
            if image_id and not _GLDV2_ID.fullmatch(image_id):
                lint.warn(
                    line,
                    "odd-id",
                    f"{image_id!r} is not 16 hexadecimal digits, as the other ids are",
                )


def _check_scores(lint: Lint, answers: list[tuple[str, float]], expected: Expected) -> None:
    counted = Counter(score for _, score in answers)
    tied = sum(number for number in counted.values() if number > 1)
    if len(answers) > 1 and len(counted) == 1:
        lint.warn(None, "constant", "all answers have one score: their ranking is that of the ids")
    elif tied > _MANY_TIES * len(answers) and tied > 1:
        score, most = counted.most_common(1)[0]
        why = " (underflow?)" if score == 0 else ""
        lint.warn(
            None,
            "ties",
            f"{tied} of {len(answers)} answers share their score with another, {most} of them "
            f"{score!r}{why}: among equals the ids decide",
        )
    true = expected.true_landmarks
    if true is not None and len(answers) > 1 and not any(one in true for one, _ in answers):
        lint.warn(
            None,
            "label-space",
            "no answer names any landmark of the solution: are the ids of another label space?",
        )
