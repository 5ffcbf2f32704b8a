"""Votes ranked by the chance that the first of them is right: a small logistic model.

GAP wants sure answers before unsure ones, over all queries. How sure an answer is hangs on more
than its score: on how far the next landmark is behind, on how many photographs the landmark has
(many have more chances to be near by luck), and on how much the query looks like a non-landmark.
The model has five numbers, which stand in the recipe; ``fit_chance`` finds them on validation
queries.

Unlike ``cairn.calibration``, which says how likely answers are right whatever made them, this is a
stage: it changes the ranking, and what comes after it sees logits.

Legend of shapes: Q queries, G gallery rows, V votes of a query, M non-landmarks kept of a query.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cairn.calibration.curves import RIDGE, Logistic
from cairn.config.value import Value
from cairn.domain import Float32, Int64
from cairn.errors import CairnError
from cairn.known_share import unknown_weight
from cairn.rerank.answers import Float64, Votes
from cairn.rerank.context import Context
from cairn.rerank.nonlandmark import mean_of_known
from cairn.rerank.stage import VOTES, Kind

Bool = NDArray[np.bool_]

TOP = 10
"""Non-landmarks of a query that are looked at, as R1 does."""

NUMBERS = (
    "intercept",
    "score_weight",
    "margin_weight",
    "size_weight",
    "bank_weight",
    "most_margin",
)
"""Values of the stage that ``fit_chance`` gives."""


class Chance(Value):
    """Every query's first vote gets the logit of its chance of being right.

    With s the score of the first vote, m its lead over the second, n the gallery images of its
    landmark and b the query's mean similarity to its ``top`` nearest non-landmarks it is

        z = intercept + score_weight s + margin_weight min(m, most_margin)
            + size_weight log(n) - bank_weight b

    and 1 / (1 + exp(-z)) the chance. Where one landmark alone has votes its lead counts as
    ``most_margin``. The query's other votes keep their distance from the first. Logits, not
    chances, because near 1 those have no room left to tell sure answers apart.

    Args:
        intercept: See above.
        score_weight: At least 0: a higher score is never less likely right.
        margin_weight: At least 0.
        size_weight: Of either sign.
        bank_weight: At least 0: a query more like non-landmarks is never surer.
        most_margin: Leads beyond this say no more.
        top: Where fewer non-landmarks are kept, those that are there count.
    """

    name: ClassVar[str] = "chance"
    takes: ClassVar[tuple[Kind, ...]] = VOTES
    gives: ClassVar[tuple[Kind, ...]] = VOTES
    needs: ClassVar[tuple[str, ...]] = ("gallery.landmarks", "queries.to_bank")
    batch: ClassVar[str] = ""
    reach: ClassVar[dict[str, str]] = {"queries.to_bank": "top"}

    intercept: float = Field(0.0, allow_inf_nan=False)
    score_weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    margin_weight: float = Field(0.0, ge=0, allow_inf_nan=False)
    size_weight: float = Field(0.0, allow_inf_nan=False)
    bank_weight: float = Field(0.0, ge=0, allow_inf_nan=False)
    most_margin: float = Field(1.0, ge=0, allow_inf_nan=False)
    top: int = Field(TOP, ge=1)

    def __call__(self, found: Votes, context: Context) -> Votes:
        """Return the votes with logits for scores."""
        assert context.gallery.landmarks is not None
        assert context.queries.to_bank is not None
        if not found.landmarks.shape[1]:
            return found
        inputs = inputs_of(
            found,
            context.gallery.landmarks,
            context.queries.to_bank,
            most_margin=self.most_margin,
            top=self.top,
        )
        weights = (self.score_weight, self.margin_weight, self.size_weight, self.bank_weight)
        logits = self.intercept + inputs @ np.asarray(weights)
        cast = found.landmarks >= 0
        scores = np.where(cast, found.scores, 0.0)
        moved = logits[:, None] - (scores[:, :1] - scores)
        return Votes(found.landmarks, np.where(cast, moved, -np.inf))


def require_numbers(tables: Sequence[Mapping[str, Any]], *, where: object) -> None:
    """Refuse a chance that is still to be fitted: it would leave the ranking as it is.

    Args:
        tables: Of the recipe's stages.
        where: The file.

    Raises:
        CairnError: It says what fits it.
    """
    for number, table in enumerate(tables, start=1):
        if table.get("stage") != Chance.name:
            continue
        if "fit" in table or not any(name in table for name in NUMBERS):
            raise CairnError(
                "the numbers of 'chance' are still to be fitted",
                where=f"{where}: stage {number}",
                todo=f"`cairn tune GALLERY VALIDATION --recipe {where} -o FOLDER` writes the "
                "recipe with them",
            )


def inputs_of(
    votes: Votes, landmarks: Int64, to_bank: Float32, *, most_margin: float, top: int
) -> Float64:
    """Return (Q, 4) score, lead, log size and minus the bank's similarity; zeros without a vote.

    Args:
        votes: (Q, V), V at least 1.
        landmarks: (G,) codes of the gallery's landmarks.
        to_bank: (Q, M) similarities to non-landmarks, best first; -inf pads.
        most_margin: See ``Chance``.
        top: See ``Chance``.

    Raises:
        CairnError: The bank's similarities are of other queries.
    """
    if to_bank.ndim != 2 or len(to_bank) != votes.num_queries:
        raise CairnError(
            "similarities to non-landmarks must be (Q, M), one row a query",
            where=f"{to_bank.shape} for {votes.num_queries} queries",
        )
    answered = votes.landmarks[:, 0] >= 0
    first = np.where(answered, votes.scores[:, 0], 0.0)
    leads = np.full(len(first), most_margin)
    if votes.landmarks.shape[1] > 1:
        has_second = votes.landmarks[:, 1] >= 0
        second = np.where(has_second, votes.scores[:, 1], 0.0)
        leads = np.where(has_second, np.minimum(first - second, most_margin), most_margin)
    sizes = np.bincount(landmarks)[np.maximum(votes.landmarks[:, 0], 0)]
    near = mean_of_known(to_bank[:, :top])
    columns = np.stack([first, leads, np.log(np.maximum(sizes, 1)), -near], axis=1)
    return np.where(answered[:, None], columns, 0.0)


def fit_chance(
    votes: Votes,
    context: Context,
    right: Bool,
    known: Bool,
    *,
    known_share: float | None = None,
    top: int = TOP,
    ridge: float = RIDGE,
) -> Chance:
    """Return the stage whose chances fit validation queries best.

    Logistic regression (``cairn.calibration.curves.Logistic``): maximum likelihood with a ridge on
    standardised features. The fit is on these queries alone, so the stage is to be judged on
    others.

    Args:
        votes: (Q, V) of validation queries, by the stages that will come before this one.
        context: Theirs; the gallery's landmarks and the queries' similarities to the bank are used.
        right: (Q,) whether the first vote is right.
        known: (Q,) whether the gallery has the query's landmark.
        known_share: The share of such queries where the stage will work, in (0, 1]: the others
            count so much more or less, at 1 not at all. None takes the validation's own.
        top: See ``Chance``.
        ridge: See ``Logistic.fit``.

    Raises:
        CairnError: No vote is right, or all are; the context lacks something; a share out of range.
    """
    probe = Chance(top=top)
    for need in probe.needs:
        if need not in context.given:
            raise CairnError(f"a chance cannot be fitted without {need}")
    assert context.gallery.landmarks is not None
    assert context.queries.to_bank is not None
    answered = votes.landmarks[:, 0] >= 0
    rows = np.flatnonzero(answered & known if known_share == 1 else answered)
    votes = Votes(votes.landmarks[rows], votes.scores[rows])
    landmarks, to_bank = context.gallery.landmarks, context.queries.to_bank[rows]
    leads = inputs_of(votes, landmarks, to_bank, most_margin=np.inf, top=top)[:, 1]
    seen = leads[np.isfinite(leads)]
    most_margin = float(seen.max()) if len(seen) else 0.0
    inputs = inputs_of(votes, landmarks, to_bank, most_margin=most_margin, top=top)
    weight = unknown_weight(known[rows], known_share)
    weights = np.where(known[rows], 1.0, weight)
    fitted = Logistic.fit(
        inputs, right[rows], rising=(0, 1, 3), ridge=ridge, weights=weights / weights.mean()
    )
    coefficients = np.asarray(fitted.coefficients) / np.asarray(fitted.scales)
    score, margin, size, bank = coefficients.tolist()
    return Chance(
        intercept=fitted.intercept - float(coefficients @ np.asarray(fitted.means)),
        score_weight=score,
        margin_weight=margin,
        size_weight=size,
        bank_weight=bank,
        most_margin=most_margin,
        top=top,
    )
