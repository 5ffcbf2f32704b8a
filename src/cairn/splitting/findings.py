"""What a check of a split comes to: frozen values, their words and their JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cairn.errors import CairnError

SHOWN = 5
"""Examples that are shown, and that a finding keeps unless more are asked for."""


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Args:
        kind: A short name, such as ``same-sha256``.
        severity: ``leak``: scores flatter, or the truth is wrong; ``note``: good to know.
        text: In one sentence, with the number.
        count: Queries (for notes: images) that it concerns.
        examples: Some of them: the query's id, and the id that it meets or "".
    """

    kind: str
    severity: Literal["leak", "note"]
    text: str
    count: int
    examples: tuple[tuple[str, str], ...] = ()

    def shown(self) -> str:
        """Return the first examples in words."""
        first = self.examples[:SHOWN]
        pairs = (f"{a!r} and {b!r}" if b else repr(a) for a, b in first)
        more = f" and {self.count - len(first):,} more"
        return ", ".join(pairs) + (more if self.count > len(first) else "")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "text": self.text,
            "count": self.count,
            "examples": [list(pair) for pair in self.examples],
        }


@dataclass(frozen=True)
class Verification:
    """What was checked, and what came of it.

    Args:
        findings: Leaks first.
        checked: What was compared, in words.
        not_checked: What was not, and why.
    """

    findings: tuple[Finding, ...] = ()
    checked: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """The findings for which an evaluation is refused."""
        return tuple(one for one in self.findings if one.severity == "leak")

    def joined(self, others: Sequence[Verification]) -> Verification:
        """Return these and other results as one, leaks first."""
        every = [self, *others]
        findings = [finding for one in every for finding in one.findings]
        findings.sort(key=lambda finding: finding.severity != "leak")
        checked = dict.fromkeys(text for one in every for text in one.checked)
        missed = dict.fromkeys(text for one in every for text in one.not_checked)
        return Verification(tuple(findings), tuple(checked), tuple(missed))

    def sentence(self) -> str:
        """Return the result in words."""
        if self.leaks:
            return " ".join(finding.text for finding in self.leaks)
        if not self.checked:
            return "Nothing to compare the queries with was given, so no leak was looked for."
        return f"No leak found. Compared: {', '.join(self.checked)}."

    def refuse_leaks(self, where: object, todo: str) -> None:
        """Refuse what leaks.

        Raises:
            CairnError: Naming the first images of every leak.
        """
        if self.leaks:
            named = "\n         ".join(f"{one.kind}: {one.shown()}" for one in self.leaks)
            raise CairnError(self.sentence(), where=f"{where}\n         {named}", todo=todo)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "leaks": bool(self.leaks),
            "findings": [finding.to_json() for finding in self.findings],
            "checked": list(self.checked),
            "not_checked": list(self.not_checked),
        }
