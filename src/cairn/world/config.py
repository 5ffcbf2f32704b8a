"""How large a world is, and how its photographs spread over its landmarks."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from cairn.errors import CairnError


@dataclass(frozen=True)
class WorldConfig:
    """The size of a procedural world; equal configurations give equal bytes.

    Args:
        seed: Names the world; another seed is another world.
        num_landmarks: Landmarks with training photographs.
        num_queries: Query photographs that show a landmark.
        nonlandmark_share: Share of all queries that show none, in [0, 1).
        num_bank: Non-landmark photographs for the penalty.
        size: The longer side of a photograph, pixels.
        min_photos: Training photographs of the rarest landmarks.
        max_photos: Training photographs of the most popular one.
        variety: Share of photographs taken anyhow: from any side, near or far, at any hour and in
            any weather. The others are postcards: the whole structure from about the front on a
            bright day.

    Raises:
        CairnError: A number makes no world.
    """

    seed: int = 0
    num_landmarks: int = 150
    num_queries: int = 300
    nonlandmark_share: float = 0.65
    num_bank: int = 600
    size: int = 128
    min_photos: int = 2
    max_photos: int = 100
    variety: float = 1.0

    def __post_init__(self) -> None:
        wanted = (
            ("seed", self.seed >= 0, "0 or more"),
            ("num_landmarks", self.num_landmarks >= 1, "1 or more"),
            ("num_queries", self.num_queries >= 0, "0 or more"),
            ("nonlandmark_share", 0.0 <= self.nonlandmark_share < 1.0, "in [0, 1)"),
            ("num_bank", self.num_bank >= 0, "0 or more"),
            ("size", 16 <= self.size <= 4096, "between 16 and 4096 pixels"),
            ("min_photos", self.min_photos >= 1, "1 or more"),
            ("variety", 0.0 <= self.variety <= 1.0, "in [0, 1]"),
            ("max_photos", self.max_photos >= self.min_photos, "min_photos or more"),
        )
        for name, fine, rule in wanted:
            if not fine:
                raise CairnError(
                    f"a world cannot have {name} = {getattr(self, name)}",
                    where=f"WorldConfig.{name}",
                    todo=f"choose a value {rule}",
                )

    @property
    def num_unknown_queries(self) -> int:
        """Query photographs that show no landmark."""
        share = self.nonlandmark_share
        return round(self.num_queries * share / (1.0 - share))


def photo_counts(config: WorldConfig) -> NDArray[np.int64]:
    """Return (num_landmarks,) numbers of training photographs, most popular first.

    A power of the rank that also bends down towards the end, floored, through ``max_photos`` at
    rank one and five at the middle rank: so half of the landmarks have at most five, a few have
    many and the last have ``min_photos``, as in GLDv2.
    """
    num, top, least = config.num_landmarks, config.max_photos, config.min_photos
    rank = np.arange(1, num + 1, dtype=np.float64)
    middle = max(num / 2, 1.5)
    steep = max(log(max(0.625 * top, 5.5) / 5.5) / log(middle), 0.0)
    counts = np.floor(top * rank**-steep * (1.0 - 0.75 * (rank - 1) / num)).astype(np.int64)
    return np.clip(counts, least, top)
