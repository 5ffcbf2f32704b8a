"""GAP beside what is often computed in its place: the same predictions, other formulas.

Published figures differ by these more often than by their models. Each variant says what it does
and what comes out; only the first is the official one (Google Landmark Recognition; DELF's
``metrics.py``).

Legend of shapes: Q queries, P predictions that are not blank, R correct ones, M queries with a
landmark.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cairn.metrics import gap, rank

Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class Variant:
    """One way to compute a GAP.

    Args:
        name: A short name.
        formula: What it does, in a sentence.
        value: What comes out; None where it divides by nothing.
    """

    name: str
    formula: str
    value: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the parts by name."""
        return {"name": self.name, "formula": self.formula, "value": self.value}


def variants(
    predictions: Mapping[str, tuple[str, float] | None],
    truth: Mapping[str, Collection[str]],
) -> list[Variant]:
    """Return the official GAP and the variants, all of the same predictions.

    Args:
        predictions: Query id -> (landmark id, score), in the order of the file; missing or None is
            a blank.
        truth: Query id -> landmark ids; empty for a non-landmark.

    Raises:
        CairnError: As :func:`cairn.metrics.rank`.
    """
    ranking = rank(predictions, truth)
    order, scores, correct = ranking.order, ranking.scores, ranking.correct
    num_labelled, num_answered = ranking.num_labelled, len(order)
    total = _sum(correct[order])
    num_right = int(correct.sum())
    answered = np.isfinite(scores)
    place = {image_id: row for row, image_id in enumerate(ranking.image_ids)}
    listed = np.asarray([place[i] for i in predictions if predictions[i] is not None], np.int64)
    by_file = listed[np.argsort(-scores[listed], kind="stable")]
    halved = scores.astype(np.float32)[order]
    in_float32 = order[np.lexsort((order, -halved))]
    filled = np.where(answered, scores, 0.0)
    with_blanks = np.argsort(-filled, kind="stable")
    first = {
        i: [next(iter(sorted(some, key=_number)))] if some else [] for i, some in truth.items()
    }
    cut = {i: answer for i, answer in predictions.items() if answer is not None}
    rows: list[tuple[str, str, float, float]] = [
        ("official", "sum of P(i) rel(i) / M, by score, then image id; M counts every query with "
         "a landmark", total, num_labelled),
        ("over predictions", "the same sum / P, the number of predictions", total, num_answered),
        ("over queries", "the same sum / Q, the number of queries", total, len(scores)),
        ("over correct", "the same sum / R, the number of right predictions: an average precision "
         "that lacks the factor R / M", total, num_right),
        ("scikit-learn's AP", "average_precision_score over the predictions: / R, and equal scores "
         "share one precision", _by_levels(correct[order], scores[order]), num_right),
        ("over answered", "the same sum / the queries with a landmark that were answered: blanks "
         "are dropped", total, int((ranking.labelled & answered).sum())),
        ("no non-landmarks", "predictions on queries without a landmark are dropped first (GAP-)",
         _sum(correct[order][ranking.labelled[order]]), num_labelled),
        ("lucky ties", "among equal scores the right ones come first",
         _sum(correct[order[np.lexsort((~correct[order], -scores[order]))]]), num_labelled),
        ("unlucky ties", "among equal scores the right ones come last",
         _sum(correct[order[np.lexsort((correct[order], -scores[order]))]]), num_labelled),
        ("ties as filed", "equal scores stay in the order of the file", _sum(correct[by_file]),
         num_labelled),
        ("float32", "scores are rounded to float32 first, which makes new ties",
         _sum(correct[in_float32]), num_labelled),
        ("positive only", "rel(i) is 0 where the score is not above 0, as torchmetrics' retrieval "
         "scores do since 1.7.4; a penalty makes such scores",
         _sum(correct[order] & (scores[order] > 0)), num_labelled),
        ("blanks as 0", "blanks take a rank as wrong predictions of score 0",
         _sum(correct[with_blanks]), num_labelled),
        ("one landmark each", "only the first landmark of every query's truth counts",
         gap(rank(cut, first)), 1),
    ]  # fmt: skip
    return [
        Variant(name, formula, float(above / below) if below else None)
        for name, formula, above, below in rows
    ]


def table(found: list[Variant]) -> str:
    """Return the variants as aligned lines, each with its difference from the official one."""
    official = found[0].value or 0.0
    lines = [f"{'GAP, official and otherwise':<28}{'value':>10}{'off by':>10}"]
    for one in found:
        value = "" if one.value is None else f"{one.value:.6f}"
        off = "" if one.value is None or one is found[0] else f"{one.value - official:+.6f}"
        lines.append(f"{one.name:<28}{value:>10}{off:>10}  {one.formula}")
    return "\n".join(lines)


def _sum(right: Bool) -> float:
    """Return the sum of precisions at the right ones of a ranked list."""
    hits = np.cumsum(right)
    return float((hits[right] / (np.flatnonzero(right) + 1)).sum())


def _by_levels(right: Bool, scores: Float64) -> float:
    """Return the sum over right ones of the precision at the last of the scores equal to theirs."""
    last = np.searchsorted(-scores, -scores, side="right")
    hits = np.cumsum(right)
    return float((hits[last - 1] / last)[right].sum())


def _number(landmark_id: str) -> tuple[int, str]:
    return (int(landmark_id), "") if landmark_id.isdecimal() else (1 << 62, landmark_id)
