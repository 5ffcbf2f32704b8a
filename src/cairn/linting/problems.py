"""What a linter found: problems with their lines, counted by rule."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Severity = Literal["error", "warning"]

SHOWN = 5
"""Problems of one rule that are kept; all are counted."""


@dataclass(frozen=True)
class Problem:
    """One problem.

    Args:
        line: Where, from 1; None where it is of the whole file.
        severity: An error makes a reader refuse the file or an answer worthless; a warning does
            not, and is seldom meant.
        rule: A short name, the same for the same kind of problem.
        text: What is wrong.
    """

    line: int | None
    severity: Severity
    rule: str
    text: str


@dataclass
class Lint:
    """The problems of one file, gathered.

    Args:
        path: The file.
        num_rows: Rows below the header.
        num_answered: Rows that are not blank.
        problems: Of each rule the first :data:`SHOWN`, in order of their finding.
        counts: (severity, rule) -> how many there are.
    """

    path: Path
    num_rows: int = 0
    num_answered: int = 0
    problems: list[Problem] = field(default_factory=list)
    counts: Counter[tuple[Severity, str]] = field(default_factory=Counter)

    def add(self, line: int | None, severity: Severity, rule: str, text: str) -> None:
        """Note a problem."""
        self.counts[severity, rule] += 1
        if self.counts[severity, rule] <= SHOWN:
            self.problems.append(Problem(line, severity, rule, text))

    def error(self, line: int | None, rule: str, text: str) -> None:
        """Note an error."""
        self.add(line, "error", rule, text)

    def warn(self, line: int | None, rule: str, text: str) -> None:
        """Note a warning."""
        self.add(line, "warning", rule, text)

    @property
    def num_errors(self) -> int:
        """All errors, shown or not."""
        return sum(number for (severity, _), number in self.counts.items() if severity == "error")

    @property
    def num_warnings(self) -> int:
        """All warnings, shown or not."""
        return self.counts.total() - self.num_errors

    def sorted(self) -> list[Problem]:
        """Return the problems kept, errors first, then by line, those of the whole file ahead."""
        return sorted(self.problems, key=lambda one: (one.severity != "error", one.line or 0))

    def to_json(self) -> dict[str, Any]:
        """Return a value for JSON."""
        return {
            "path": str(self.path),
            "num_rows": self.num_rows,
            "num_answered": self.num_answered,
            "num_errors": self.num_errors,
            "num_warnings": self.num_warnings,
            "counts": {
                severity: {rule: n for (kind, rule), n in self.counts.items() if kind == severity}
                for severity in ("error", "warning")
            },
            "problems": [vars(one) for one in self.sorted()],
        }

    def text(self) -> str:
        """Return the problems as lines, ``file:line: severity: what [rule]``."""
        lines = []
        for one in self.sorted():
            where = f"{self.path}:{one.line}" if one.line else f"{self.path}"
            lines.append(f"{where}: {one.severity}: {one.text} [{one.rule}]")
        hidden = {key: n - SHOWN for key, n in self.counts.items() if n > SHOWN}
        lines += [f"... and {n} more of [{rule}] ({kind})" for (kind, rule), n in hidden.items()]
        told = f"{self.num_rows} rows, {self.num_answered} answered: "
        found = f"{_many(self.num_errors, 'error')}, {_many(self.num_warnings, 'warning')}"
        return "\n".join([*lines, told + (found if self.counts else "no problem found")])


def _many(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
