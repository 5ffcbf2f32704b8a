"""All that a report says of one run beyond its scores; the numbers behind page, tables and JSON."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from cairn.bootstrap import Interval
from cairn.calibration import (
    Bin,
    OpenSetCurve,
    brier_score,
    calibration_error,
    false_positive_rate,
    reliability_bins,
)
from cairn.domain import Landmark, Prediction
from cairn.metrics import SIZE_BINS, Ranking, auroc, size_bins
from cairn.proportions import wilson
from cairn.report.confusions import CategoryScores, Confusion, confusions, scores_by_category
from cairn.report.decision import Decision, decide
from cairn.report.outcomes import Outcomes
from cairn.report.risk import RiskCoverage

PAIRS_KEPT = 50


@dataclass(frozen=True)
class Reliability:
    """Whether stated chances come true, over the queries that were answered.

    Args:
        bins: Of equal mass.
        wide: Of equal width.
        ece: Over them; ``ece_width`` over bins of equal width.
        ece_width: See ``ece``.
        brier: The mean squared difference of chance and outcome.
        num_answers: How many answers.
    """

    bins: tuple[Bin, ...]
    wide: tuple[Bin, ...]
    ece: float
    ece_width: float
    brier: float
    num_answers: int

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class OpenSet:
    """How well confidences part known from unknown queries.

    Args:
        scores: OSCR by confidence.
        chances: OSCR by chance, where there are chances.
        known_scores: The ROC curve by confidence: OSCR as if every known query were right.
        auroc: Its area.
        fpr95: The share of unknown queries accepted where 95 % of the known ones are, by
            confidence, with Wilson's interval at that threshold.
    """

    scores: OpenSetCurve
    chances: OpenSetCurve | None
    known_scores: OpenSetCurve
    auroc: float
    fpr95: Interval

    def to_json(self) -> dict[str, Any]:
        """Return the areas, not the curves."""
        return {
            "auroc": self.auroc,
            "fpr95": self.fpr95.to_json(),
            "oscr": self.scores.area,
            "oscr_chance": None if self.chances is None else self.chances.area,
        }


@dataclass(frozen=True, eq=False)
class Analysis:
    """See the module.

    Args:
        outcomes: How every answer turned out.
        decision: What is answered and what is held back; None where no threshold can be told.
        open_set: None where all queries are known, or none.
        reliability: None without chances.
        risk: Coverage against risk.
        pairs: Landmarks taken for one another, the :data:`PAIRS_KEPT` most frequent pairs.
        num_pairs: How many pairs there are in all.
        num_confused: Wrong answers that make them up.
        num_mutual: Pairs that go both ways.
        categories: Scores by category; empty where none is known.
        answered_by_size: Name of a size of landmark -> its queries, those that the decision lets
            be answered, and those of them that are right.
    """

    outcomes: Outcomes
    decision: Decision | None
    open_set: OpenSet | None
    reliability: Reliability | None
    risk: RiskCoverage
    pairs: tuple[Confusion, ...]
    num_pairs: int
    num_confused: int
    num_mutual: int
    categories: tuple[CategoryScores, ...]
    answered_by_size: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers for report.json; what could not be told is null."""
        return {
            "decision": None if self.decision is None else self.decision.to_json(),
            "open_set": None if self.open_set is None else self.open_set.to_json(),
            "reliability": None if self.reliability is None else self.reliability.to_json(),
            "risk": self.risk.to_json(),
            "num_confused_pairs": self.num_pairs,
            "confusions": [one.to_json() for one in self.pairs],
            "by_category": [one.to_json() for one in self.categories],
            "answered_by_size": {
                name: dict(zip(("num_queries", "num_answered", "num_right"), some, strict=True))
                for name, some in self.answered_by_size.items()
            },
        }


def analyse(
    predictions: Sequence[Prediction],
    truth: Mapping[str, Collection[str]],
    ranking: Ranking,
    *,
    counts: Mapping[str, int] | None = None,
    landmarks: Mapping[str, Landmark] | None = None,
) -> Analysis:
    """Return what a report says of predictions beyond their scores.

    Args:
        predictions: What was said.
        truth: Query id -> landmark ids; empty for a non-landmark.
        ranking: Of the same two.
        counts: Landmark id -> gallery photographs.
        landmarks: Landmark id -> what is known of it, of all landmarks that queries show.
    """
    outcomes = Outcomes.of(predictions, truth, counts)
    decision = decide(outcomes)
    pairs = confusions(predictions, truth)
    return Analysis(
        outcomes,
        decision,
        _open_set(outcomes),
        _reliability(outcomes),
        RiskCoverage.of(outcomes),
        tuple(pairs[:PAIRS_KEPT]),
        len(pairs),
        sum(one.total for one in pairs),
        sum(one.backward > 0 for one in pairs),
        tuple(scores_by_category(ranking, truth, landmarks or {})),
        _by_size(outcomes, decision, truth, counts) if counts and decision else {},
    )


def _by_size(
    outcomes: Outcomes,
    decision: Decision,
    truth: Mapping[str, Collection[str]],
    counts: Mapping[str, int],
) -> dict[str, tuple[int, int, int]]:
    shown = [truth[one] for one in outcomes.image_ids]
    sizes = [max((counts.get(one, 0) for one in ids), default=-1) for ids in shown]
    bins = np.where(np.asarray(sizes) < 0, -1, size_bins(sizes))
    accepted = decision.accepts(outcomes)
    found = {}
    for number, (name, _) in enumerate(SIZE_BINS):
        mine = bins == number
        if mine.any():
            given = mine & accepted
            right = given & outcomes.right
            found[name] = (int(mine.sum()), int(given.sum()), int(right.sum()))
    return found


def _reliability(outcomes: Outcomes) -> Reliability | None:
    if outcomes.chances is None:
        return None
    chances = outcomes.chances[outcomes.answered]
    right = outcomes.right[outcomes.answered]
    bins = reliability_bins(chances, right)
    wide = reliability_bins(chances, right, binning="width")
    return Reliability(
        tuple(bins),
        tuple(wide),
        calibration_error(bins),
        calibration_error(wide),
        brier_score(chances, right),
        len(chances),
    )


def _open_set(outcomes: Outcomes) -> OpenSet | None:
    known, right, scores = outcomes.known, outcomes.right, outcomes.scores
    by_score = OpenSetCurve.of(known, right, scores)
    roc = OpenSetCurve.of(known, known, scores)
    fpr = false_positive_rate(known, scores)
    area = auroc(known, scores)
    if by_score is None or roc is None or fpr is None or area is None:
        return None
    by_chance = None if outcomes.chances is None else OpenSetCurve.of(known, right, outcomes.values)
    return OpenSet(by_score, by_chance, roc, area, wilson(fpr, int((~known).sum())))
