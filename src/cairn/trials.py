"""What tuning a search comes to: settings that were tried, the winner, and a table of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cairn.approximate import ApproximateSearcher
from cairn.bootstrap import Interval
from cairn.index_kinds import Parameters
from cairn.recall import Recall

GOALS = ("single", "batch")
"""What is to be quick: one query at a time, or many at once."""


@dataclass(frozen=True)
class Trial:
    """One setting that was tried.

    Args:
        name: Kind and parameters.
        parameters: The same; None for exact search.
        build_s: Seconds that building took.
        num_bytes: What the index takes in memory, beside the gallery.
        recall: On the half of the queries that chooses.
        held_out: On the other half; None where the first missed the target.
        single_ms: Milliseconds that one query takes, the median.
        qps: Queries a second, half of them at once.
    """

    name: str
    parameters: Parameters | None
    build_s: float
    num_bytes: int
    recall: Recall
    held_out: Recall | None
    single_ms: float
    qps: float

    def cost(self, goal: str) -> float:
        """Return the milliseconds that a query takes."""
        return self.single_ms if goal == "single" else 1000.0 / self.qps

    def pace(self, goal: str) -> str:
        """Return how quick it is, as the table has it."""
        return f"{self.single_ms:.3f} ms/query" if goal == "single" else f"{self.qps:.0f} queries/s"

    def reaches(self, target: float) -> bool:
        """Return whether both halves show the recall."""
        return self.held_out is not None and self.held_out.at_k.value >= target

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {
            "name": self.name,
            "build_s": round(self.build_s, 3),
            "num_bytes": self.num_bytes,
            "recall": self.recall.to_json(),
            "held_out": None if self.held_out is None else self.held_out.to_json(),
            "single_ms": self.single_ms,
            "qps": self.qps,
        }


@dataclass(frozen=True, eq=False)
class Tuning:
    """What was tried, and what came of it.

    Args:
        trials: Exact search first.
        winner: The quickest that reaches the target and beats exact search, or None.
        verdict: The outcome in words.
        target_recall: What was asked for.
        k: Of recall@k.
        goal: One of ``GOALS``.
        num_queries: Queries tried.
        is_own: Whether photographs of the gallery were asked about, each without itself.
        searcher: The winner, built.
    """

    trials: tuple[Trial, ...]
    winner: Trial | None
    verdict: str
    target_recall: float
    k: int
    goal: str
    num_queries: int
    is_own: bool
    searcher: ApproximateSearcher | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return everything but the searcher."""
        return {
            "target_recall": self.target_recall,
            "k": self.k,
            "goal": self.goal,
            "num_queries": self.num_queries,
            "queries": "gallery, each without itself" if self.is_own else "given",
            "trials": [trial.to_json() for trial in self.trials],
            "winner": None if self.winner is None else self.winner.name,
            "verdict": self.verdict,
        }

    def table(self) -> str:
        """Return the trials as lines of text; the winner has a star."""
        at_k = f"recall@{self.k}"
        head = ("", "search", at_k, "95 % interval", "recall@1", "held out", "ms/query")
        rows = [(*head, "queries/s", "build s", "MB")]
        for trial in self.trials:
            held_out = "" if trial.held_out is None else f"{trial.held_out.at_k.value:.4f}"
            rows.append(
                (
                    "*" if trial is self.winner else "",
                    trial.name,
                    f"{trial.recall.at_k.value:.4f}",
                    bounds(trial.recall.at_k),
                    f"{trial.recall.at_1.value:.4f}",
                    held_out,
                    f"{trial.single_ms:.3f}",
                    f"{trial.qps:.0f}",
                    f"{trial.build_s:.1f}",
                    f"{trial.num_bytes / 1e6:.1f}",
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if at < 2 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )


def bounds(value: Interval) -> str:
    """Return the bounds of an interval, short."""
    return f"{value.low:.4f}-{value.high:.4f}"
