"""Submission and solution files of landmark recognition: strict readers, order-preserving writer.

A submission has the columns ``id,landmarks``, the value ``"<landmark> <score>"`` or blank; a
solution ``id,landmarks[,Usage]``, the value a space-separated set, Usage one of Public, Private and
Ignored (Google Landmark Recognition). White space and per cent signs inside a landmark id travel as
``%20``, ``%25`` and so on, as in web addresses, since a space separates; ordinary ids stay as they
are. Knows nothing of scores' meaning: :mod:`cairn.metrics` judges.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from cairn.domain import Prediction
from cairn.errors import CairnError, nearest
from cairn.runs import atomic_write

if TYPE_CHECKING:
    from cairn.manifest import Manifest

Answers = Mapping[str, tuple[str, float]]
"""image id -> (landmark id, score); an image without an answer is absent."""

Usage = Literal["all", "public", "private"]
_NONE: frozenset[str] = frozenset()
_SWAPPED = "this looks like a manifest: the submission comes first, then what is true"
USAGES = ("Public", "Private", "Ignored")

SUBMISSION_HEADER = ("id", "landmarks")
SOLUTION_HEADER = ("id", "landmarks", "Usage")


@dataclass(frozen=True)
class Solution:
    """The truth of a query set.

    Args:
        truth: Query id -> its landmarks; empty for a non-landmark.
        set_aside: Ids that belong to the file and do not count here (Ignored, or the other usage).
    """

    truth: Mapping[str, frozenset[str]]
    set_aside: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not any(self.truth.values()):
            raise CairnError(
                "the solution has no query with a landmark, so there is nothing to score (M = 0)",
                todo="check the column 'landmarks', and which Usage is selected",
            )

    def keep(self, answers: Answers) -> dict[str, tuple[str, float]]:
        """Return the answers to queries that count.

        Raises:
            CairnError: An answer is for an id the solution does not have at all.
        """
        if answers.keys() <= self.truth.keys():
            return dict(answers)
        unknown = [i for i in answers if i not in self.truth and i not in self.set_aside]
        if unknown:
            raise CairnError(
                f"{len(unknown)} answers are for images that the solution does not have",
                where=f"first: {unknown[0]!r}",
                todo="score a submission against the solution of the same query set",
            )
        return {image: answer for image, answer in answers.items() if image in self.truth}


def by_image(predictions: Iterable[Prediction]) -> dict[str, tuple[str, float]]:
    """Return the answers of ``predictions`` by image id, blanks left out.

    Raises:
        CairnError: Two predictions are for the same image.
    """
    answers: dict[str, tuple[str, float]] = {}
    seen: set[str] = set()
    for prediction in predictions:
        if prediction.image_id in seen:
            raise CairnError("two predictions are for one image", where=prediction.image_id)
        seen.add(prediction.image_id)
        if prediction.landmark_id is not None:
            answers[prediction.image_id] = (prediction.landmark_id, float(prediction.confidence))
    return answers


def write_submission(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write ``id,landmarks``; scores get the shortest digits that read back to the same float.

    Raises:
        CairnError: An image is predicted twice or a landmark id is empty.
    """
    predictions = list(predictions)
    answers = by_image(predictions)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "landmarks"))
        for prediction in predictions:
            answer = answers.get(prediction.image_id)
            if answer is not None and not answer[0]:
                raise CairnError("an answer names no landmark", where=prediction.image_id)
            value = "" if answer is None else f"{_quote(answer[0])} {answer[1]!r}"
            writer.writerow((prediction.image_id, value))


def read_submission(path: Path) -> dict[str, tuple[str, float] | None]:
    """Return per image id its landmark and score, or None for a blank.

    Raises:
        CairnError: With the line at fault: a missing file or header, a repeated or empty id, not
            exactly ``<landmark> <score>``, a score that is no finite number.
    """
    answers: dict[str, tuple[str, float] | None] = {}
    for line, (image_id, value) in _rows(path, SUBMISSION_HEADER):
        try:
            answers[image_id] = answer_of(value)
        except CairnError as error:
            raise CairnError(error.what, where=f"{path}, line {line}") from None
    return answers


def answer_of(value: str) -> tuple[str, float] | None:
    """Return the landmark and score in the second column of a submission, or None for a blank.

    Raises:
        CairnError: It is not exactly ``<landmark> <score>``, or the score is no finite number.
    """
    tokens = value.split()
    if len(tokens) not in (0, 2):
        raise CairnError(
            f"expected '<landmark> <score>' or a blank, found {len(tokens)} words: {value!r}"
        )
    if not tokens:
        return None
    landmark, score = tokens
    return (unquote(landmark) if "%" in landmark else landmark), _score(score)


def read_solution(path: Path, *, usage: Usage = "all") -> Solution:
    """Return the truth of a solution file; rows with Usage Ignored are set aside.

    Args:
        path: A CSV file ``id,landmarks`` or ``id,landmarks,Usage``.
        usage: Which rows count: all, or the Public or Private ones.

    Raises:
        CairnError: With the line at fault; or no row that counts has a landmark.
    """
    truth: dict[str, frozenset[str]] = {}
    set_aside: set[str] = set()
    answered: list[str] = []  # every second word: in a submission, all of them are scores
    header = _header(path)
    has_usage = header == SOLUTION_HEADER
    if usage != "all" and not has_usage:
        raise CairnError(f"usage {usage!r} needs a column Usage", where=path)
    for line, row in _rows(path, header if has_usage else SUBMISSION_HEADER):
        used = row[2] if has_usage else "Public"
        if used not in USAGES:
            raise CairnError(
                f"unknown Usage {used!r}", where=f"{path}, line {line}", todo=nearest(used, USAGES)
            )
        if used == "Ignored" or (usage != "all" and used.lower() != usage):
            set_aside.add(row[0])
        elif row[1]:
            truth[row[0]] = landmarks_of(row[1])
            answered += row[1].split()[1:2]
        else:
            truth[row[0]] = _NONE
    num_labelled = sum(map(bool, truth.values()))
    if answered and len(answered) == num_labelled and all(map(_is_fraction, answered)):
        raise CairnError(
            "every landmark is followed by a score: this is a submission, not a solution",
            where=path,
            todo="give the submission first, then what is true",
        )
    try:
        return Solution(truth, frozenset(set_aside))
    except CairnError as error:
        raise CairnError(error.what, where=path, todo=error.todo) from None


def landmarks_of(value: str) -> frozenset[str]:
    """Return the landmarks in the second column of a solution."""
    return frozenset(unquote(token) if "%" in token else token for token in value.split())


def solution_of(manifest: Manifest) -> Solution:
    """Return the truth of a manifest's query rows; rows without a landmark are non-landmarks.

    Raises:
        CairnError: No query row has a landmark.
    """
    queries = manifest.select("query")
    return Solution(
        {
            image_id: frozenset({landmark_id} if landmark_id else ())
            for image_id, landmark_id in zip(queries.image_ids, queries.landmark_ids, strict=True)
        }
    )


def _quote(landmark_id: str) -> str:
    def code(found: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in found.group().encode())

    return re.sub(r"[%\s]", code, landmark_id)


def _score(token: str) -> float:
    try:
        score = float(token)
    except ValueError:
        raise CairnError(f"the score is not a number: {token!r}") from None
    if not math.isfinite(score) or "_" in token:
        raise CairnError(f"the score is not a finite number: {token!r}")
    return score


def _is_fraction(token: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?", token) is not None and not token.isdigit()


def _header(path: Path) -> tuple[str, ...]:
    for _, row in _lines(path):
        return tuple(row)
    raise CairnError("the file is empty", where=path, todo="it needs the header 'id,landmarks'")


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield (line number, row) under a checked header, with unique ids that are not empty."""
    if (header := _header(path)) != columns:
        manifest = {"image_id", "role"} <= set(header)
        raise CairnError(
            f"expected the header '{','.join(columns)}', found '{','.join(header)}'",
            where=f"{path}, line 1",
            todo=_SWAPPED if manifest else "",
        )
    seen: dict[str, int] = {}
    lines = _lines(path)
    next(lines)
    width = len(columns)
    for line, row in lines:
        if len(row) != width or not row[0] or row[0] in seen:
            raise CairnError(_fault(row, width, seen), where=f"{path}, line {line}")
        seen[row[0]] = line
        yield line, row


def _fault(row: Sequence[str], width: int, seen: Mapping[str, int]) -> str:
    if len(row) != width:
        return f"expected {width} columns, found {len(row)}"
    return (
        f"the id {row[0]!r} stands already on line {seen[row[0]]}" if row[0] else "the id is empty"
    )


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if row:
                    yield reader.line_num, row
    except FileNotFoundError:
        raise CairnError("file not found", where=path) from None
    except IsADirectoryError:
        raise CairnError("this is a folder, not a CSV file", where=path) from None
    except (UnicodeDecodeError, csv.Error) as error:
        todo = _SWAPPED if path.suffix == ".parquet" else ""
        raise CairnError(f"not a CSV file in UTF-8: {error}", where=path, todo=todo) from None
