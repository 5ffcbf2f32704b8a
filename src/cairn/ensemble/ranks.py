"""Rank fusion: what place landmarks have in each model's list, whatever their similarities.

Needs no curve and no common scale, so it suits models whose similarities mean different things. It
forgets how sure a model is, which is what ranks answers by: of answers with equal sums of places
the one of more similarity less penalty counts as surer.

Legend of shapes: Q queries, C places on all models' lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from cairn.domain import Int64
from cairn.ensemble.fusion import Float64
from cairn.ensemble.votes import SideBySide, Votes
from cairn.errors import CairnError

How = Literal["reciprocal", "borda"]

NUM_RANKED = 10
"""Landmarks on a model's list."""

DEPTH = 100
"""Gallery images among which a model looks for its landmarks."""

DAMPING = 60
"""k of reciprocal rank fusion, as its authors set it."""

_TIE = 1e-6  # of a similarity: less than places differ by, so that it only parts equal ones


class Ranks(SideBySide):
    """A fusion: each landmark's places on the models' lists, weighted and summed.

    ``reciprocal``: 1 / (k + rank), k = 60 (Cormack, Clarke and Büttcher 2009, "Reciprocal rank
    fusion outperforms Condorcet and individual rank learning methods"). ``borda``: (L + 1 - rank) /
    L on a list of L places (Borda 1781). A landmark that is not on a list gets nothing from it.

    Args:
        votes: Each model's list, as ``cast_votes`` makes it; its gallery's penalty is in the order.
        how: See above.
        damping: k.

    Raises:
        CairnError: As ``SideBySide``, or the damping is below 0.
    """

    def __init__(
        self, votes: Sequence[Votes], *, how: How = "reciprocal", damping: float = DAMPING
    ) -> None:
        super().__init__(votes)
        if not damping >= 0:
            raise CairnError("the damping of ranks is at least 0", where=damping)
        lengths_C = np.asarray([one.codes.shape[1] for one in votes])[self.model_C]
        if how == "reciprocal":
            points_C = 1.0 / (damping + self.rank_C)
        else:
            points_C = (lengths_C + 1.0 - self.rank_C) / lengths_C
        self.worth_QC: Float64 = points_C + _TIE * self.confidences_QC

    def count(self, weights: Sequence[float]) -> tuple[Int64, Float64]:
        """Return winners and their sums; see ``Fusion``."""
        return self.largest_sums(weights, self.worth_QC)
