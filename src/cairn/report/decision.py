"""The decision that answers come to: which are given, which held back, and how both turn out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cairn.bootstrap import Interval
from cairn.calibration import FALSE_ACCEPT_RATE, num_needed, threshold_for
from cairn.proportions import wilson
from cairn.report.outcomes import Bool, Outcomes

RATES = (FALSE_ACCEPT_RATE, 0.05, 0.1, 0.2)
"""Shares of unknown pictures that a threshold may let pass; the first one that the queries can tell
is taken where no calibration has set a threshold."""


@dataclass(frozen=True)
class Decision:
    """What happens to every query at a threshold.

    Args:
        threshold: Answers at or above it are given. With verdicts: the least value among those that
            count as known, which decides these queries as the calibration's own threshold does;
            None where the verdicts follow no single one.
        by: ``chance`` or ``score``: what it is laid on.
        source: ``calibration``: the verdicts of the gallery; ``queries``: set on these very
            queries, so that its share of unknown pictures let pass is met by construction.
        false_accept_rate: The share asked for, where the threshold was set here.
        accepted_right: Known queries, answered, rightly.
        accepted_wrong: Known queries, answered with another landmark.
        refused_right: Known queries held back although the answer was right.
        refused_wrong: Known queries held back, the answer wrong or blank.
        accepted_unknown: Unknown queries that got an answer all the same.
        refused_unknown: Unknown queries held back.
    """

    threshold: float | None
    by: str
    source: str
    false_accept_rate: float | None
    accepted_right: int
    accepted_wrong: int
    refused_right: int
    refused_wrong: int
    accepted_unknown: int
    refused_unknown: int

    @property
    def num_known(self) -> int:
        """Queries that show a landmark of the gallery."""
        return self.accepted_right + self.accepted_wrong + self.refused_known

    @property
    def num_unknown(self) -> int:
        """The others."""
        return self.accepted_unknown + self.refused_unknown

    @property
    def refused_known(self) -> int:
        """Known queries held back."""
        return self.refused_right + self.refused_wrong

    @property
    def num_accepted(self) -> int:
        """Queries that get an answer."""
        return self.accepted_right + self.accepted_wrong + self.accepted_unknown

    @property
    def num_queries(self) -> int:
        """All queries."""
        return self.num_known + self.num_unknown

    def accepts(self, outcomes: Outcomes) -> Bool:
        """Return (Q,) which of the queries that this decision is of get an answer."""
        if self.source == "calibration":
            assert outcomes.accepted is not None, "a decision by verdicts is of answers with them"
            return outcomes.accepted & outcomes.answered
        return outcomes.answered & (outcomes.values >= (self.threshold or 0.0))

    def shares(self) -> Mapping[str, Interval]:
        """Return the shares that the decision is judged by, with Wilson's 95 % intervals.

        ``precision``: of the answers given, the right ones. ``coverage``: of all queries, those
        answered. ``recall``: of the known queries, those answered rightly. ``false_accepts``: of
        the unknown ones, those answered. A share of nothing is left out.
        """
        pairs = {
            "precision": (self.accepted_right, self.num_accepted),
            "coverage": (self.num_accepted, self.num_queries),
            "recall": (self.accepted_right, self.num_known),
            "false_accepts": (self.accepted_unknown, self.num_unknown),
        }
        return {name: wilson(hits / of, of) for name, (hits, of) in pairs.items() if of}

    def to_json(self) -> dict[str, Any]:
        """Return counts and shares by name."""
        shares = {name: one.to_json() for name, one in self.shares().items()}
        return {**asdict(self), "shares": shares}


def decide(outcomes: Outcomes) -> Decision | None:
    """Return the decision that verdicts make, or one of a threshold set on the queries themselves.

    Where answers carry no verdicts, the threshold is that of
    :func:`cairn.calibration.threshold_for` at the first of :data:`RATES` that so many unknown
    queries can tell. None where they can tell none.
    """
    values = outcomes.values
    if outcomes.accepted is not None:
        accepted = outcomes.accepted
        held = values[outcomes.answered & ~accepted]
        least = float(values[accepted].min()) if accepted.any() else None
        if least is not None and len(held) and held.max() >= least:
            least = None  # several galleries, or verdicts of several calibrations
        return _counted(outcomes, accepted, least, "calibration", None)
    unknown = values[~outcomes.known]
    rate = next((one for one in RATES if len(unknown) >= num_needed(one)), None)
    if rate is None:
        return None
    if not np.isfinite(unknown).any():
        answers = values[outcomes.answered]
        lowest = float(answers.min()) if len(answers) else 0.0
        return _counted(outcomes, outcomes.answered, lowest, "queries", rate)
    floor = np.where(np.isfinite(unknown), unknown, unknown[np.isfinite(unknown)].min() - 1.0)
    found = threshold_for(floor, values[outcomes.right], rate).value
    return _counted(outcomes, values >= found, found, "queries", rate)


def _counted(
    outcomes: Outcomes, accepted: Bool, threshold: float | None, source: str, rate: float | None
) -> Decision:
    known, right = outcomes.known, outcomes.right
    accepted = accepted & outcomes.answered

    def count(mask: Bool) -> int:
        return int(mask.sum())

    return Decision(
        threshold,
        outcomes.by,
        source,
        rate,
        accepted_right=count(accepted & right),
        accepted_wrong=count(accepted & known & ~right),
        refused_right=count(~accepted & right),
        refused_wrong=count(~accepted & known & ~right),
        accepted_unknown=count(accepted & ~known),
        refused_unknown=count(~accepted & ~known),
    )
