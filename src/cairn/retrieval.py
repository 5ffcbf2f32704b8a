"""Scores of ranked lists of gallery images: ROxford and RParis, easy, medium and hard.

The protocol is that of Radenovic, Iscen, Tolias, Avrithis and Chum, Revisiting Oxford and Paris,
CVPR 2018. Every gallery image is to a query easy, hard or junk, or it shows something else. A setup
says which of them are to be found and which are taken out of the ranking before it is judged. The
module knows ids and orders; nothing of files, vectors or photographs. mAP@100, the score of Google
Landmark Retrieval, is `cairn.metrics.mean_average_precision`.

Legend of shapes: P images to be found, J images taken out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cairn.errors import CairnError

Int64 = NDArray[np.int64]

SETUPS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "easy": (("easy",), ("junk", "hard")),
    "medium": (("easy", "hard"), ("junk",)),
    "hard": (("hard",), ("junk", "easy")),
}
"""Per setup: which images are to be found, and which are taken out of the ranking."""

PRECISION_AT = (1, 5, 10)
"""The k of mP@k that the paper reports."""

BEYOND = np.iinfo(np.int64).max
"""The place of an image that a ranking does not hold."""


@dataclass(frozen=True)
class Relevant:
    """What gallery images are to one query; those in none of the three show something else.

    Args:
        easy: Show the query's landmark clearly.
        hard: Show it, hard to recognize.
        junk: Show too little of it to count for or against a ranking.

    Raises:
        CairnError: An image is in two of the three.
    """

    easy: frozenset[str] = frozenset()
    hard: frozenset[str] = frozenset()
    junk: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        twice = (self.easy & self.hard) | (self.easy & self.junk) | (self.hard & self.junk)
        if twice:
            raise CairnError("an image is two of easy, hard and junk", where=repr(min(twice)))

    def of(self, kinds: Iterable[str]) -> frozenset[str]:
        """Return the images of these kinds."""
        return frozenset().union(*(getattr(self, kind) for kind in kinds))


@dataclass(frozen=True)
class SetupScores:
    """The scores of one setup.

    Args:
        mean_average_precision: Mean of ``average_precisions``, in [0, 1].
        mean_precision_at: k -> mP@k, in [0, 1].
        average_precisions: Query id -> AP, for the queries that have an image to be found.
        num_missing: Images to be found that the rankings do not hold, over all queries. Where it
            is not 0 the rankings are truncated, and the scores are lower bounds of those of the
            whole rankings; mP@k is exact where more than k images are left without the junk.
    """

    mean_average_precision: float
    mean_precision_at: Mapping[int, float]
    average_precisions: Mapping[str, float]
    num_missing: int


def revisited_scores(
    rankings: Mapping[str, Sequence[str]] | Iterable[tuple[str, Sequence[str]]],
    truth: Mapping[str, Relevant],
    *,
    ks: Sequence[int] = PRECISION_AT,
) -> dict[str, SetupScores]:
    """Return the scores of each of `SETUPS`; a setup without any image to be found is left out.

    A query without an image to be found in a setup has no part in its means. An image that a
    ranking does not hold counts as never found.

    Args:
        rankings: Per query, gallery ids, best first; pairs are taken one after the other, so that
            long rankings need not lie in memory together. Ids that the truth does not know, such
            as distractors, show something else.
        truth: Per query, what gallery images are to it.
        ks: The k of mP@k.

    Raises:
        CairnError: Queries of rankings and truth differ, a ranking holds an image twice, a k is
            below 1, or no query has anything to find.
    """
    if any(k < 1 for k in ks):
        raise CairnError("precision needs k of at least 1", where=list(ks))
    pairs = rankings.items() if isinstance(rankings, Mapping) else rankings
    aps: dict[str, dict[str, float]] = {setup: {} for setup in SETUPS}
    at_k: dict[str, list[list[float]]] = {setup: [] for setup in SETUPS}
    missing = dict.fromkeys(SETUPS, 0)
    seen: set[str] = set()
    for query, ranking in pairs:
        if query not in truth:
            raise CairnError(
                "a ranking is for a query that the truth does not have",
                where=f"query {query!r}",
                todo="judge rankings by the truth of the same queries",
            )
        if query in seen:
            raise CairnError("a query is ranked twice", where=f"query {query!r}")
        seen.add(query)
        place_of = _places(query, ranking, truth[query])
        for setup, (found_kinds, ignored_kinds) in SETUPS.items():
            wanted = truth[query].of(found_kinds)
            if not wanted:
                continue
            junk = [place_of[i] for i in truth[query].of(ignored_kinds) if i in place_of]
            places = places_without(
                np.array([place_of.get(i, BEYOND) for i in wanted], dtype=np.int64),
                np.array(junk, dtype=np.int64),
            )
            aps[setup][query] = average_precision(places)
            at_k[setup].append([precision_at(places, k) for k in ks])
            missing[setup] += int((places == BEYOND).sum())
    left = sorted(set(truth) - seen)
    if left:
        raise CairnError(
            f"{len(left)} queries have no ranking",
            where=f"first: {left[0]!r}",
            todo="rank every query of the truth; one that found nothing has an empty ranking",
        )
    if not any(aps.values()):
        raise CairnError("no query has an image to be found, so there is nothing to score")
    return {
        setup: SetupScores(
            float(np.mean(list(values.values()))),
            dict(zip(ks, np.mean(at_k[setup], axis=0).tolist(), strict=True)),
            values,
            missing[setup],
        )
        for setup, values in aps.items()
        if values
    }


def places_without(places_P: Int64, junk_J: Int64) -> Int64:
    """Return the places (P,), ascending from 0, that remain when the junk is taken out.

    `BEYOND` stays beyond: no number of junk images brings an image into the ranking.
    """
    places = np.sort(places_P)
    moved = places - np.searchsorted(np.sort(junk_J), places)
    return np.where(places == BEYOND, BEYOND, moved)


def average_precision(places_P: Int64) -> float:
    """Return AP by the trapezoid rule, in [0, 1]; 0 for an image that was never found.

    With r_j the place, from 0, of the j-th image found (j from 0), AP = sum_j (p_j + q_j) / 2P,
    where p_j = j / r_j, or 1 at r_j = 0, is the precision just before the image and
    q_j = (j + 1) / (r_j + 1) that just after it (Philbin et al. 2007; Radenovic et al. 2018).

    Args:
        places_P: (P,) ascending places, `BEYOND` for images that the ranking does not hold; P >= 1.
    """
    found = places_P[places_P != BEYOND].astype(np.float64)
    hits = np.arange(len(found), dtype=np.float64)
    before = np.divide(hits, found, out=np.ones_like(found), where=found > 0)
    after = (hits + 1) / (found + 1)
    return float((before + after).sum() / (2 * len(places_P)))


def precision_at(places_P: Int64, k: int) -> float:
    """Return the share of images to be found among the first k' = min(k, last place of one).

    A ranking is not blamed for what follows the last image to be found (the authors' evaluation
    code); where one is `BEYOND` the ranking, k' = k.

    Args:
        places_P: (P,) ascending places from 0; P >= 1.
        k: At least 1.
    """
    last = int(places_P[-1])
    first = k if last == BEYOND else min(k, last + 1)
    return float((places_P < first).sum() / first)


def _places(query: str, ranking: Sequence[str], relevant: Relevant) -> dict[str, int]:
    """Return the place, from 0, of each relevant image that the ranking holds."""
    if len(set(ranking)) != len(ranking):
        counted: set[str] = set()
        again = next(i for i in ranking if i in counted or counted.add(i))  # type: ignore[func-returns-value]
        raise CairnError("a ranking holds an image twice", where=f"query {query!r}: {again!r}")
    known = relevant.of(("easy", "hard", "junk"))
    return {image: place for place, image in enumerate(ranking) if image in known}
