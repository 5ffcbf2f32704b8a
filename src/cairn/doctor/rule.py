"""From when on the doctor speaks up: one frozen value, shared by function, command and page."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cairn.errors import CairnError


@dataclass(frozen=True)
class CheckRule:
    """The thresholds of a check.

    Args:
        near: Similarity from which two images count as nearly the same picture, above 0 and at
            most 1. What copies of one photograph reach depends on the model, so the checkup counts
            images at other thresholds too.
        merge: Two landmarks are to be merged where the images of the smaller one are nearest to the
            other one's at least this share as often as they would be if both were one landmark.
        min_votes: Two landmarks collide from so many images on that are nearest to the other's.
        outlier_neighbors: An image is an outlier where so many nearest images are all of other
            landmarks.
        outlier_images: Landmarks with fewer images have no outliers.
        num_neighbors: Nearest images of each image that are looked at, at least
            ``outlier_neighbors``.
        shown: Findings of a kind on the page and in the JSON file; tables have all.

    Raises:
        CairnError: A value is out of its range.
    """

    near: float = 0.95
    merge: float = 0.6
    min_votes: int = 2
    outlier_neighbors: int = 5
    outlier_images: int = 3
    num_neighbors: int = 16
    shown: int = 24

    def __post_init__(self) -> None:
        for name in ("near", "merge"):
            share = getattr(self, name)
            if not (math.isfinite(share) and 0 < share <= 1):
                raise CairnError(f"{name} must lie above 0 and not above 1", where=share)
        for name, least in (("min_votes", 1), ("outlier_neighbors", 1), ("outlier_images", 2)):
            if getattr(self, name) < least:
                raise CairnError(f"{name} must be at least {least}", where=getattr(self, name))
        if not self.outlier_neighbors <= self.num_neighbors <= 1000:
            raise CairnError(
                "the nearest images looked at must be as many as tell an outlier, at most 1,000",
                where=f"num_neighbors = {self.num_neighbors}, "
                f"outlier_neighbors = {self.outlier_neighbors}",
            )
        if self.shown < 0:
            raise CairnError("shown cannot be negative", where=self.shown)
