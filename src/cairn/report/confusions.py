"""Which landmarks are taken for which, and how often, by category too."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cairn.bootstrap import Interval
from cairn.domain import Landmark, Prediction
from cairn.metrics import Ranking, gap_terms
from cairn.proportions import wilson

OTHERS, UNNAMED = "other categories", "category not known"


@dataclass(frozen=True)
class Confusion:
    """Two landmarks that are taken for one another.

    Args:
        landmarks: The two ids; queries of the first are answered as the second at least as often as
            the reverse.
        forward: Queries of the first one answered as the second.
        backward: Queries of the second one answered as the first.
        queries: How many queries each has.
        example: The surest of these wrong answers: its query.
        surest: Its confidence.
    """

    landmarks: tuple[str, str]
    forward: int
    backward: int
    queries: tuple[int, int]
    example: str
    surest: float

    @property
    def total(self) -> int:
        """Wrong answers either way."""
        return self.forward + self.backward

    def to_json(self) -> dict[str, Any]:
        """Return the counts by name."""
        return asdict(self)


def confusions(
    predictions: Sequence[Prediction],
    truth: Mapping[str, Collection[str]],
) -> list[Confusion]:
    """Return pairs of landmarks taken for one another, most often first, then surest first.

    A query that shows several landmarks counts for the first in the order of ids.

    Args:
        predictions: What was said.
        truth: Query id -> landmark ids.
    """
    sizes: Counter[str] = Counter()
    ways: Counter[tuple[str, str]] = Counter()
    surest: dict[frozenset[str], tuple[float, str]] = {}
    for one in predictions:
        shown = truth[one.image_id]
        if not shown:
            continue
        true = min(shown)
        sizes[true] += 1
        if one.landmark_id is None or one.landmark_id in shown:
            continue
        ways[true, one.landmark_id] += 1
        pair = frozenset((true, one.landmark_id))
        best = surest.get(pair)
        if best is None or (-one.confidence, one.image_id) < (-best[0], best[1]):
            surest[pair] = (float(one.confidence), one.image_id)
    found = []
    for pair, (confidence, example) in surest.items():
        a, b = sorted(pair)
        if ways[b, a] > ways[a, b]:
            a, b = b, a
        counts = ways[a, b], ways[b, a]
        found.append(Confusion((a, b), *counts, (sizes[a], sizes[b]), example, confidence))
    found.sort(key=lambda one: (-one.total, -one.surest, one.landmarks))
    return found


@dataclass(frozen=True)
class CategoryScores:
    """Scores over the queries whose landmark is of a category.

    Args:
        category: Its name, :data:`OTHERS` or :data:`UNNAMED`.
        num_landmarks: Landmarks asked about.
        num_queries: Queries that show them.
        accuracy: The share answered rightly, with Wilson's 95 % interval.
        gap: The category's share of the one ranking, as for sizes of landmarks.
    """

    category: str
    num_landmarks: int
    num_queries: int
    accuracy: Interval
    gap: float

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return asdict(self)


def scores_by_category(
    ranking: Ranking,
    truth: Mapping[str, Collection[str]],
    landmarks: Mapping[str, Landmark],
    *,
    limit: int = 12,
) -> list[CategoryScores]:
    """Return the scores of each category, most queries first; empty where none is known.

    Args:
        ranking: Of :func:`cairn.metrics.rank`.
        truth: Query id -> landmark ids; the first in the order of ids says the category.
        landmarks: Landmark id -> what is known of it.
        limit: How many categories; the rest are one more entry, landmarks without one another.
    """
    rows: defaultdict[str, list[int]] = defaultdict(list)
    shown: defaultdict[str, set[str]] = defaultdict(set)
    for row, image_id in enumerate(ranking.image_ids):
        ids = truth[image_id]  # type: ignore[index]
        if ids:
            landmark = landmarks.get(min(ids))
            category = landmark.category if landmark is not None else ""
            rows[category].append(row)
            shown[category].add(min(ids))
    named = sorted((one for one in rows if one), key=lambda one: (-len(rows[one]), one))
    if not named:
        return []
    for one, name in [*((one, OTHERS) for one in named[limit:]), ("", UNNAMED)]:
        if one in rows:
            rows[name] += rows[one]
            shown[name] |= shown[one]
    terms = gap_terms(ranking)
    kept = [*named[:limit], *(one for one in (OTHERS, UNNAMED) if one in rows)]
    entries = []
    for one in kept:
        mine = np.asarray(rows[one])
        accuracy = wilson(float(ranking.correct[mine].mean()), len(mine))
        entries.append(
            CategoryScores(one, len(shown[one]), len(mine), accuracy, float(terms[mine].mean()))
        )
    return entries
