"""Everything the doctor finds in one gallery, from one look at each image's neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cairn.doctor.attracting import Attracting, find_attracting
from cairn.doctor.collisions import Collisions, find_collisions
from cairn.doctor.duplicates import Duplicates, find_duplicates
from cairn.doctor.outliers import Outliers, find_outliers
from cairn.doctor.rule import CheckRule
from cairn.doctor.singles import Singles, find_singles
from cairn.doctor.view import View

THRESHOLDS = (0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.99)
"""Similarities at which images with a nearly equal one are counted, to choose a threshold by."""


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found; rows are those of the view's gallery.

    Args:
        view: What was looked at.
        rule: By which thresholds.
        attracting: Images that attract non-landmarks; None without a penalty table.
        collisions: Landmarks whose images are each other's nearest.
        duplicates: Nearly the same pictures, within and across landmarks.
        outliers: Images that look like none of their landmark.
        singles: Landmarks with one image.
    """

    view: View
    rule: CheckRule
    attracting: Attracting | None
    collisions: Collisions
    duplicates: Duplicates
    outliers: Outliers
    singles: Singles

    @classmethod
    def of(cls, view: View, rule: CheckRule) -> Findings:
        """Return all findings in a gallery."""
        return cls(
            view,
            rule,
            find_attracting(view),
            find_collisions(view, rule),
            find_duplicates(view, rule),
            find_outliers(view, rule),
            find_singles(view),
        )

    def near_counts(self) -> list[dict[str, float]]:
        """Return, per threshold, images with a nearly equal one of their landmark, of another."""
        own, other = self.view.best_own, self.view.best_other
        return [
            {
                "threshold": threshold,
                "within_landmarks": int(np.count_nonzero(own >= threshold)),
                "across_landmarks": int(np.count_nonzero(other >= threshold)),
            }
            for threshold in sorted({*THRESHOLDS, self.rule.near})
        ]
