"""Known or unknown: what the calibration that a gallery keeps says of its answers.

Legend of shapes: Q queries, K neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from cairn.calibration import (
    NUM_NEIGHBORS,
    Calibration,
    Features,
    Verdict,
    verdicts,
    verdicts_on,
)
from cairn.domain import Neighbors
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.gallery.calibrations import calibration_of, has_calibrations
from cairn.progress import say


class Judge:
    """Says how likely answers are right, and whether their photographs count as known.

    Args:
        calibration: Of the gallery as it is and is searched.
        landmark_ids: One a gallery row.
    """

    def __init__(self, calibration: Calibration, landmark_ids: Sequence[str]) -> None:
        self.calibration = calibration
        self.num_neighbors = min(NUM_NEIGHBORS, len(landmark_ids))
        self._landmark_ids = landmark_ids
        self._sizes = Counter(landmark_ids)

    @classmethod
    def of(
        cls,
        gallery: Gallery,
        *,
        use_penalty: bool = True,
        search: str = "exact",
        stages: Mapping[str, Any] | None = None,
    ) -> Judge | None:
        """Return the judge that the gallery's calibration makes; None where it has no fresh one.

        A calibration that is stale, or was made for other settings, is said and not used.

        Args:
            gallery: What recognizes.
            use_penalty: Whether its penalty comes off the similarities.
            search: ``"exact"`` or ``"approximate"``.
            stages: What happens after the search, as ``Stack.basis`` says it.
        """
        if not has_calibrations(gallery):
            return None
        try:
            found = calibration_of(gallery, use_penalty=use_penalty, search=search, stages=stages)
        except CairnError as error:
            say(f"warning: no verdict known or unknown: {error.what}; {error.todo}")
            return None
        return cls(found, gallery.table.landmark_ids)

    def verdicts(self, neighbors: Neighbors) -> list[Verdict]:
        """Return one verdict a query.

        Args:
            neighbors: (Q, K) with the penalty in the similarities, K at least ``num_neighbors``;
                what comes after these is not looked at.
        """
        first = slice(self.num_neighbors)
        seen = Neighbors(neighbors.indices[:, first], neighbors.similarities[:, first])
        return verdicts(self.calibration, seen, self._landmark_ids, sizes=self._sizes)

    def verdicts_on(self, features: Features) -> list[Verdict]:
        """Return one verdict a query, of what is known of answers that stages gave."""
        return verdicts_on(self.calibration, features)
