"""Gallery rows that non-landmarks resemble lose part of their similarity.

Two rules: the penalty of Cairn's system page (S6), by how often a bank picks a row; and the dense
penalty of the winners of 2020 and 2021, by how alike a row is to the bank. Both re-order the hits
that were found. A row beyond them cannot come up: where the whole gallery must compete, give the
penalty to the search (``offsets`` of ``cairn.search.search``).

Legend of shapes: Q queries, G gallery rows, K hits, M non-landmarks kept of a gallery row.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from cairn.config.value import Value
from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError
from cairn.penalty import PenaltyRule
from cairn.rerank.answers import Float64, query_blocks, ranked
from cairn.rerank.context import Context, Picks
from cairn.rerank.stage import HITS, Kind


def penalise(found: Neighbors, picks: Picks, rule: PenaltyRule) -> Neighbors:
    """Return the hits by similarity less the penalty of S6.

    Args:
        found: (Q, K) hits.
        picks: What the bank picks.
        rule: How picks become penalties; see ``PenaltyRule.penalties`` for the formula.

    Raises:
        CairnError: Picks were counted less far than the rule looks.
    """
    if picks.counted_to is not None and picks.counted_to < rule.max_n:
        raise CairnError(
            f"picks were counted up to {picks.counted_to}, the penalty looks up to {rule.max_n}",
            todo=f"make the table with max_n = {rule.max_n}, or count with Picks.of",
        )
    scores = found.similarities.astype(np.float64)
    for at in query_blocks(found.num_queries, 8 * found.k):
        rows = np.maximum(found.indices[at], 0)
        scores[at] -= rule.penalties(picks.counts[rows], picks.sims[rows])
    return ranked(found.indices, scores)


def penalise_densely(
    found: Neighbors, to_bank: Float32, *, top: int = 5, weight: float = 1.0
) -> Neighbors:
    """Return the hits by a_qt = clip(cos(q, t), 0, 1) - weight * b_t.

    b_t is the mean similarity of gallery row t to its ``top`` nearest non-landmarks (Henkel and
    Singer 2020, arXiv:2010.01650; ``weight`` is 1 there).

    Args:
        found: (Q, K) hits.
        to_bank: (G, M) similarities to non-landmarks, best first; -inf pads. Where M is less than
            ``top``, those that are there count.
        top: At least 1.
        weight: What of b_t is taken off.
    """
    scores = np.clip(found.similarities.astype(np.float64), 0.0, 1.0)
    for at in query_blocks(found.num_queries, found.k * min(top, to_bank.shape[1])):
        near = to_bank[np.maximum(found.indices[at], 0), :top]
        scores[at] -= weight * mean_of_known(near)
    return ranked(found.indices, scores)


def mean_of_known(similarities: Float32) -> Float64:
    """Return the mean over the last axis, -inf left out; 0 where there is nothing."""
    is_there = np.isfinite(similarities)
    sums = np.where(is_there, similarities, 0.0).sum(axis=-1, dtype=np.float64)
    means: Float64 = sums / np.maximum(is_there.sum(axis=-1), 1)
    return means


class Penalty(Value):
    """The non-landmark penalty of S6; see ``penalise`` and ``PenaltyRule``."""

    name: ClassVar[str] = "penalty"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = HITS
    needs: ClassVar[tuple[str, ...]] = ("gallery.picks",)
    batch: ClassVar[str] = ""

    min_n: int = PenaltyRule.min_n
    max_n: int = PenaltyRule.max_n
    min_pro: float = PenaltyRule.min_pro
    max_pro: float = PenaltyRule.max_pro
    ramp: Literal["from-min", "from-zero"] = "from-min"
    strength: float = PenaltyRule.strength

    @property
    def rule(self) -> PenaltyRule:
        """The values, checked together."""
        return PenaltyRule(
            self.min_n, self.max_n, self.min_pro, self.max_pro, self.ramp, self.strength
        )

    @model_validator(mode="after")
    def _fits(self) -> Penalty:
        try:
            _ = self.rule
        except CairnError as error:
            raise ValueError(f"{error.what} ({error.where})") from None
        return self

    def __call__(self, found: Neighbors, context: Context) -> Neighbors:
        """Return the hits by penalised similarity."""
        assert context.gallery.picks is not None
        return penalise(found, context.gallery.picks, self.rule)

    def taken(self, rows: Int64, context: Context) -> Float64:
        """Return (N,) what comes off the similarity of gallery rows (N,) to every query."""
        picks = context.gallery.picks
        assert picks is not None
        return self.rule.penalties(picks.counts[rows], picks.sims[rows]).astype(np.float64)


class DensePenalty(Value):
    """The dense penalty (R1); see ``penalise_densely``."""

    name: ClassVar[str] = "dense-penalty"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = HITS
    needs: ClassVar[tuple[str, ...]] = ("gallery.to_bank",)
    batch: ClassVar[str] = ""
    reach: ClassVar[dict[str, str]] = {"gallery.to_bank": "top"}

    top: int = Field(5, ge=1)
    weight: float = Field(1.0, ge=0)

    def __call__(self, found: Neighbors, context: Context) -> Neighbors:
        """Return the hits by penalised similarity."""
        assert context.gallery.to_bank is not None
        return penalise_densely(found, context.gallery.to_bank, top=self.top, weight=self.weight)

    def taken(self, rows: Int64, context: Context) -> Float64:
        """Return (N,) what comes off the similarity of gallery rows (N,) to every query."""
        assert context.gallery.to_bank is not None
        return self.weight * mean_of_known(context.gallery.to_bank[rows, : self.top])
