"""Recall of an approximate search: how much of what exact search finds it finds too.

A row counts as found where it is as similar as exact search's k-th, so that equal rows, of which
either may be answered, decide nothing. Intervals are Wilson's (1927), which do not collapse where
all was found. For recall@1 a query is a trial; for recall@k it is as many as the spread of the
queries' shares says (the effective size of a clustered sample; Korn and Graubard, 1998).

Legend of shapes: Q queries, K neighbours.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cairn.bootstrap import Interval
from cairn.domain import Neighbors
from cairn.errors import CairnError
from cairn.proportions import wilson
from cairn.search import Array
from cairn.searchers import Searcher

_LONG_S = 2.0


@dataclass(frozen=True)
class Recall:
    """What was found of what exact search finds.

    Args:
        k: Neighbours asked for.
        num_queries: Queries asked.
        at_1: Share of queries whose best row was found, with its 95 % interval.
        at_k: Mean share of the k best rows found, likewise.
        qps: Queries a second, all at once; None where it was not timed.
        exact_qps: The same of exact search.
    """

    k: int
    num_queries: int
    at_1: Interval
    at_k: Interval
    qps: float | None = None
    exact_qps: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {
            "k": self.k,
            "num_queries": self.num_queries,
            "at_1": self.at_1.to_json(),
            "at_k": self.at_k.to_json(),
            "qps": self.qps,
            "exact_qps": self.exact_qps,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recall:
        """Return what ``to_json`` gave."""
        at_1, at_k = Interval(**value["at_1"]), Interval(**value["at_k"])
        rest = {name: value[name] for name in ("k", "num_queries", "qps", "exact_qps")}
        return cls(at_1=at_1, at_k=at_k, **rest)


def measure_recall(searcher: Searcher, exact: Searcher, queries: Array, k: int) -> Recall:
    """Return the recall of ``searcher`` against ``exact`` on (Q, D) queries, and both rates.

    Raises:
        CairnError: No queries, or they do not fit.
    """
    seconds, answers = [], []
    for one in (searcher, exact):
        found, took = timed(partial(one.search, queries, k))
        answers.append(found)
        seconds.append(took)
    qps, exact_qps = (len(queries) / one for one in seconds)
    return recall_of(*answers, qps=qps, exact_qps=exact_qps)


def timed(ask: Callable[[], Neighbors]) -> tuple[Neighbors, float]:
    """Return answers and the seconds they took: the least of three times, or of one that is long.

    The first time may load compiled loops, or find out which way is quickest.
    """
    least = math.inf
    for _ in range(3):
        begin = time.perf_counter()
        found = ask()
        least = min(least, time.perf_counter() - begin)
        if least > _LONG_S:
            break
    return found, least


def recall_of(
    found: Neighbors,
    truth: Neighbors,
    *,
    qps: float | None = None,
    exact_qps: float | None = None,
) -> Recall:
    """Return the recall of answers against exact ones to the same queries.

    Args:
        found: (Q, K).
        truth: (Q, K); padded where the gallery has fewer rows.
        qps: See ``Recall``.
        exact_qps: See ``Recall``.

    Raises:
        CairnError: The answers differ in shape, or there are none.
    """
    if found.indices.shape != truth.indices.shape or not truth.indices.size:
        raise CairnError(
            "recall needs answers of one shape to at least one query",
            where=f"{found.indices.shape} and {truth.indices.shape}",
        )
    is_wanted = truth.indices >= 0
    num_wanted_Q = is_wanted.sum(axis=1)
    last_Q = np.where(is_wanted, truth.similarities, np.inf).min(axis=1)
    num_found_Q = ((found.similarities >= last_Q[:, None]) & (found.indices >= 0)).sum(axis=1)
    shares_Q = np.minimum(num_found_Q, num_wanted_Q) / num_wanted_Q
    firsts_Q = found.similarities[:, 0] >= truth.similarities[:, 0]
    num = len(shares_Q)
    at_1 = wilson(float(firsts_Q.mean()), num)
    at_k = wilson(float(shares_Q.mean()), _effective(shares_Q, truth.k))
    return Recall(truth.k, num, at_1, at_k, qps, exact_qps)


def _effective(shares_Q: NDArray[np.float64], k: int) -> float:
    """Return how many trials the queries are worth, at least Q and at most Q times K."""
    # One more query that missed half of its rows keeps the spread from being told too small where
    # nearly all was found.
    shares = np.append(shares_Q, 0.5)
    mean, variance = float(shares.mean()), float(shares.var())
    return len(shares_Q) * min(max(1.0, mean * (1 - mean) / max(variance, 1e-12)), k)
