"""Stages whose numbers are fitted, not searched, and never on the queries that judge them.

In a row that is tried, :class:`ChanceToFit` holds the place of a ``chance`` without numbers. Each
query is then answered by a fit that saw neither its own fold nor the fold that the search must not
see (``cairn.stack_tuning.trials``); the recipe gets the fit on all validation queries.

Legend of shapes: Q queries of the truth, A of them with hits, V votes of a query.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from cairn.config.value import Value
from cairn.errors import CairnError
from cairn.rerank import Context, GallerySide, QuerySide, Stage
from cairn.rerank.answers import Votes
from cairn.rerank.chance import NUMBERS, TOP, Chance, fit_chance
from cairn.rerank.stage import VOTES, Kind
from cairn.stack_tuning.queries import Bool, Queries

LEAST_FOLDS = 3
"""Folds that a fit needs: the one that judges, the one that the search must not see, the rest."""


class ChanceToFit(Value):
    """The place of a ``chance`` whose numbers validation queries give.

    Args:
        fit: Always true; so it stands in a recipe with choices and in the log of trials.
        top: See ``cairn.rerank.chance.Chance``.
    """

    name: ClassVar[str] = Chance.name
    takes: ClassVar[tuple[Kind, ...]] = VOTES
    gives: ClassVar[tuple[Kind, ...]] = VOTES
    needs: ClassVar[tuple[str, ...]] = Chance.needs
    batch: ClassVar[str] = ""
    reach: ClassVar[dict[str, str]] = Chance.reach

    fit: Literal[True] = True
    top: int = Field(TOP, ge=1)

    def __call__(self, found: Votes, context: Context) -> Votes:
        """Refuse: there are no numbers yet.

        Raises:
            CairnError: Always.
        """
        raise CairnError(
            "the numbers of 'chance' are still to be fitted",
            todo="take the recipe of what was tuned, Tuned.recipe",
        )

    @property
    def unfitted(self) -> Chance:
        """The stage that leaves the ranking as it is, for queries that tell nothing apart."""
        return Chance(top=self.top)


def is_fitted(stages: Collection[Stage]) -> bool:
    """Return whether all numbers of a row are there."""
    return not any(isinstance(stage, ChanceToFit) for stage in stages)


def asks_to_fit(stage: str, values: Mapping[str, Any], *, where: str) -> bool:
    """Return whether a table with choices leaves the stage's numbers to a fit: it names none.

    Args:
        stage: Its name.
        values: Parameter -> choices.
        where: For errors.

    Raises:
        CairnError: Numbers, and ``fit`` besides.
    """
    if stage != Chance.name:
        return False
    given = [name for name in NUMBERS if name in values]
    if given and "fit" in values:
        raise CairnError(
            f"the numbers of 'chance' are fitted or given, not both: fit and {given[0]!r}",
            where=where,
            todo="leave one of the two out",
        )
    return not given


def fit_stage(
    stage: ChanceToFit, votes: Votes, queries: Queries, train: Bool, known_share: float | None
) -> Chance | None:
    """Return a stage with the numbers that some of the queries give.

    Args:
        stage: What is to be fitted.
        votes: (A, V) of all queries, by the stages before it.
        queries: Theirs.
        train: (Q,) which queries it may see.
        known_share: See ``cairn.known_share``.

    Returns:
        None where these queries tell nothing apart: all answers are right, or none is, or there is
        no non-landmark to weigh.
    """
    to_bank = queries.context.queries.to_bank
    assert to_bank is not None, "the pipeline requires it"
    first = votes.landmarks[:, 0] if votes.landmarks.shape[1] else np.full(len(votes.scores), -1)
    rows = np.flatnonzero(train[queries.places] & (first >= 0))
    known = queries.labelled[queries.places[rows]]
    right = (queries.truths[rows] == first[rows, None]).any(axis=1)
    told = right[known] if known_share == 1 else right
    lacks_others = known_share not in (None, 1.0) and known.all()
    if not told.any() or told.all() or lacks_others:
        return None
    return fit_chance(
        Votes(votes.landmarks[rows], votes.scores[rows]),
        Context(
            GallerySide(landmarks=queries.context.gallery.landmarks),
            QuerySide(to_bank=to_bank[rows]),
        ),
        right,
        known,
        known_share=known_share,
        top=stage.top,
    )
