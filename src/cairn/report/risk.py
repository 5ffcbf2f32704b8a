"""Coverage against risk: how many queries can be answered at how large a share of errors.

Legend of shapes: Q queries, T distinct values.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cairn.report.outcomes import Float64, Outcomes

RISKS = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Shares of errors that the table asks for."""


@dataclass(frozen=True)
class Operating:
    """The most that can be answered with a share of errors of at most ``risk``.

    Args:
        risk: The share of errors asked for.
        coverage: The share of all queries that is answered; 0 where no threshold reaches the risk.
        threshold: The value from which on; None with a coverage of 0.
    """

    risk: float
    coverage: float
    threshold: float | None


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """The curve of El-Yaniv and Wiener (2010), over all thresholds, unknown queries included.

    An answer to an unknown query is an error. Equal values are answered together.

    Args:
        coverage: (T,) share of all queries answered at or above each value, ascending.
        risk: (T,) share of those answers that is wrong.
        thresholds: (T,) the values, descending.
    """

    coverage: Float64
    risk: Float64
    thresholds: Float64

    @classmethod
    def of(cls, outcomes: Outcomes) -> RiskCoverage:
        """Return the curve of a run, by chance where it has chances, else by confidence."""
        answered = outcomes.answered
        levels, level = np.unique(outcomes.values[answered], return_inverse=True)
        counts = np.bincount(level, minlength=len(levels))[::-1].cumsum()
        wrong = np.bincount(level, weights=~outcomes.right[answered], minlength=len(levels))
        risk = wrong[::-1].cumsum() / np.maximum(counts, 1)
        return cls(counts / max(len(outcomes), 1), risk, levels[::-1])

    @property
    def area(self) -> float | None:
        """AURC: the mean risk over the answers, surest first (Geifman et al. 2019)."""
        if not len(self.coverage):
            return None
        steps = np.diff(self.coverage, prepend=0.0)
        return float((steps * self.risk).sum() / self.coverage[-1])

    def at(self, risk: float) -> Operating:
        """Return the largest coverage whose risk is at most ``risk``."""
        found = np.flatnonzero(self.risk <= risk + 1e-12)
        if not len(found):
            return Operating(risk, 0.0, None)
        return Operating(risk, float(self.coverage[found[-1]]), float(self.thresholds[found[-1]]))

    def to_json(self) -> dict[str, Any]:
        """Return area and operating points, not the curve."""
        points = [self.at(risk) for risk in RISKS]
        return {
            "aurc": self.area,
            "coverage_at_risk": [
                {"risk": one.risk, "coverage": one.coverage, "threshold": one.threshold}
                for one in points
            ],
        }
