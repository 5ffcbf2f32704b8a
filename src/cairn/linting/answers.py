"""The second column: what each form of file allows in it, and what is seldom meant.

``cairn`` is what :func:`cairn.submission.read_submission` reads: any landmark id without white
space. ``kaggle`` and ``delf`` want whole numbers. ``delf`` splits at single spaces, as the reader
of the DELF project does (``dataset_file_io.py``), so that two spaces in a row are too many words.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection

from cairn.errors import CairnError
from cairn.linting.problems import Lint
from cairn.submission import answer_of

MOST_IMAGES = 100
"""Images of a retrieval list that count."""

_PLAIN = re.compile(r"(0|[1-9][0-9]*)")
_FRACTION = re.compile(r"-?[0-9]*\.[0-9]+(e-?[0-9]+)?")
_LEAST_FLOAT32 = 1.1754944e-38


def read_answer(lint: Lint, line: int, value: str, *, form: str) -> tuple[str, float] | None:
    """Return landmark and score of an answer, noting what is wrong; None where there is none."""
    tokens = _tokens(lint, line, value, form=form)
    if not tokens:
        return None
    try:
        answer = answer_of(value)
    except CairnError as error:
        lint.error(line, "answer", error.what)
        return None
    assert answer is not None, "the value has words"
    landmark, score = tokens
    if form != "cairn" and not _PLAIN.fullmatch(landmark):
        is_swapped = _FRACTION.fullmatch(landmark) is not None and _PLAIN.fullmatch(score)
        rule = "swapped" if is_swapped else "landmark"
        what = "score and landmark look swapped" if is_swapped else "no plain whole number"
        lint.error(line, rule, f"{what}: {value!r}")
        return None
    _underflow(lint, line, score, answer[1])
    return answer


def read_list(
    lint: Lint, line: int, value: str, *, form: str, images: Collection[str] | None
) -> list[str]:
    """Return the images of a retrieval list, noting what is wrong."""
    found = _tokens(lint, line, value, form=form)
    if len(found) > MOST_IMAGES:
        lint.warn(line, "long-list", f"{len(found)} images; those past {MOST_IMAGES} do not count")
    if len(set(found)) < len(found):
        again = next(one for place, one in enumerate(found) if one in found[:place])
        lint.warn(line, "repeated-image", f"{again!r} stands twice: it takes a rank for nothing")
    if images is not None:
        for one in found:
            if one not in images:
                lint.warn(line, "unknown-image", f"the gallery has no image {one!r}")
    return found


def _underflow(lint: Lint, line: int, token: str, score: float) -> None:
    digits = token.lower().partition("e")[0]
    if score == 0 and any(digit in digits for digit in "123456789"):
        lint.warn(line, "underflow", f"{token} is read as 0: keep logarithms of such scores")
    elif 0 < abs(score) < sys.float_info.min:
        lint.warn(line, "underflow", f"{token} is so small that digits are lost")
    elif 0 < abs(score) < _LEAST_FLOAT32:
        lint.warn(line, "underflow", f"{token} is 0 to a reader that takes 32-bit floats")


def _tokens(lint: Lint, line: int, value: str, *, form: str) -> list[str]:
    """Return the words of a value; white space that is more than single spaces is noted."""
    tokens = value.split()
    if value == " ".join(tokens):
        return tokens
    as_delf = value.split(" ")
    if not as_delf[-1]:
        as_delf.pop()
    if form == "delf" and as_delf != tokens:
        lint.error(line, "spaces", f"{value!r}: DELF's reader splits at single spaces")
    else:
        lint.warn(line, "spaces", f"stray white space in {value!r}")
    return tokens
