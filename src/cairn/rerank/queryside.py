"""Queries that look like non-landmarks themselves lose confidence.

They touch the confidence of a query, never the order of its hits. Each needs the query's nearest
non-landmarks: one more search, in the bank.

Legend of shapes: Q queries, M non-landmarks kept of a query.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
from pydantic import Field

from cairn.config.value import Value
from cairn.domain import Float32, Neighbors
from cairn.errors import CairnError
from cairn.rerank.answers import Answer, Float64, Votes
from cairn.rerank.context import Context
from cairn.rerank.nonlandmark import mean_of_known
from cairn.rerank.stage import BOTH, HITS, Kind

A = TypeVar("A", Neighbors, Votes)


def penalise_queries(found: A, to_bank: Float32, *, top: int = 10, weight: float = 1.0) -> A:
    """Return every score less weight * (mean of the top ``top`` cos(q, n)).

    Henkel and Singer (2020, arXiv:2010.01650) take it off the confidence, with ``top`` 10 and
    weight 1.

    Args:
        found: Hits or votes of Q queries.
        to_bank: (Q, M) similarities to non-landmarks, best first; -inf pads.
        top: At least 1; where M is less, those that are there count.
        weight: What of the mean is taken off.
    """
    _require_all(found, to_bank)
    lower: A = _less(found, weight * mean_of_known(to_bank[:, :top]))
    return lower


def penalise_distracted(
    found: A, to_bank: Float32, *, rank: int = 3, threshold: float = 0.3, amount: float = 1.0
) -> A:
    """Return every score less ``amount`` where the ``rank``-th best cos(q, n) >= ``threshold``.

    Of the second place of 2020 (third best, 0.3). How much is taken off is not in our source; 1,
    the default, puts such queries below all others whose scores lie between 0 and 1.

    Args:
        found: Hits or votes of Q queries.
        to_bank: (Q, M) similarities to non-landmarks, best first; -inf pads. A query with fewer
            than ``rank`` keeps its score.
        rank: At least 1.
        threshold: See above.
        amount: See above.

    Raises:
        CairnError: Fewer non-landmarks are kept than ``rank``.
    """
    _require_all(found, to_bank)
    if to_bank.shape[1] < rank:
        raise CairnError(
            f"{rank} non-landmarks a query are looked at and {to_bank.shape[1]} are kept",
            todo="search the bank for more, or lower the rank",
        )
    lower: A = _less(found, np.where(to_bank[:, rank - 1] >= threshold, amount, 0.0))
    return lower


def cut_off(
    found: Neighbors,
    to_bank: Float32,
    *,
    top: int = 5,
    threshold: float = 0.5,
    of: Literal["mean", "last"] = "mean",
) -> Neighbors:
    """Return hits with similarity 0 where a query is too much of a non-landmark (R5).

    Its similarity to the ``top`` nearest non-landmarks exceeds ``threshold``: their mean, or that
    of the last of them (the write-up can be read both ways). The order of hits stays. Similarities
    below 0 stay too: nothing is raised.

    Args:
        found: Hits of Q queries.
        to_bank: (Q, M) similarities to non-landmarks, best first; -inf pads.
        top: At least 1; where M is less, those that are there count.
        threshold: See above.
        of: See above.
    """
    _require_all(found, to_bank)
    near = to_bank[:, :top]
    alike = mean_of_known(near) if of == "mean" else near[:, -1].astype(np.float64)
    ceiling = np.where(alike > threshold, np.float32(0), np.float32(np.inf))
    return Neighbors(found.indices, np.minimum(found.similarities, ceiling[:, None]))


def _less(found: Any, amounts_Q: Float64) -> Any:
    if isinstance(found, Votes):
        return replace(found, scores=found.scores - amounts_Q[:, None])
    lower = found.similarities - amounts_Q[:, None].astype(np.float32)
    return replace(found, similarities=lower)


def _require_all(found: Answer, to_bank: Float32) -> None:
    if to_bank.ndim != 2 or len(to_bank) != found.num_queries or not to_bank.shape[1]:
        raise CairnError(
            "similarities to non-landmarks must be (Q, M), one row a query, M at least 1",
            where=f"{to_bank.shape} for {found.num_queries} queries",
        )


class QueryPenalty(Value):
    """The query-side penalty of R1; see ``penalise_queries``."""

    name: ClassVar[str] = "query-penalty"
    takes: ClassVar[tuple[Kind, ...]] = BOTH
    gives: ClassVar[tuple[Kind, ...]] = BOTH
    needs: ClassVar[tuple[str, ...]] = ("queries.to_bank",)
    batch: ClassVar[str] = ""
    reach: ClassVar[dict[str, str]] = {"queries.to_bank": "top"}

    top: int = Field(10, ge=1)
    weight: float = Field(1.0, ge=0)

    def __call__(self, found: A, context: Context) -> A:
        """Return hits or votes with lower scores."""
        assert context.queries.to_bank is not None
        return penalise_queries(found, context.queries.to_bank, top=self.top, weight=self.weight)


class DistractorPenalty(Value):
    """The query-side penalty of R3; see ``penalise_distracted``."""

    name: ClassVar[str] = "distractor-penalty"
    takes: ClassVar[tuple[Kind, ...]] = BOTH
    gives: ClassVar[tuple[Kind, ...]] = BOTH
    needs: ClassVar[tuple[str, ...]] = ("queries.to_bank",)
    batch: ClassVar[str] = ""
    reach: ClassVar[dict[str, str]] = {"queries.to_bank": "rank"}

    rank: int = Field(3, ge=1)
    threshold: float = 0.3
    amount: float = Field(1.0, ge=0)

    def __call__(self, found: A, context: Context) -> A:
        """Return hits or votes, those of distracted queries with lower scores."""
        assert context.queries.to_bank is not None
        return penalise_distracted(
            found,
            context.queries.to_bank,
            rank=self.rank,
            threshold=self.threshold,
            amount=self.amount,
        )


class CutOff(Value):
    """The cut-off R5; see ``cut_off``."""

    name: ClassVar[str] = "cut-off"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = HITS
    needs: ClassVar[tuple[str, ...]] = ("queries.to_bank",)
    batch: ClassVar[str] = ""
    reach: ClassVar[dict[str, str]] = {"queries.to_bank": "top"}

    top: int = Field(5, ge=1)
    threshold: float = 0.5
    of: Literal["mean", "last"] = "mean"

    def __call__(self, found: Neighbors, context: Context) -> Neighbors:
        """Return the hits, those of non-landmarks at 0."""
        assert context.queries.to_bank is not None
        return cut_off(
            found, context.queries.to_bank, top=self.top, threshold=self.threshold, of=self.of
        )
