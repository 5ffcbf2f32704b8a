"""What an evaluation comes to: frozen values, and the JSON that others read.

Knows names, numbers and their intervals; :mod:`cairn.evaluate` computes them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cairn.bootstrap import Interval
from cairn.errors import CairnError

SCORES = ("gap", "gap_without_unlabelled", "top1_accuracy", "auroc", "mean_average_precision")
BIN_SCORES = ("gap", "gap_without_unlabelled", "top1_accuracy", "mean_average_precision")


@dataclass(frozen=True)
class Retrieval:
    """Ranked gallery lists, for mAP@100.

    Args:
        lists: Query id -> gallery image ids, best first.
        relevant: Query id -> the gallery images that show its landmark; none of them empty.
    """

    lists: Mapping[str, Sequence[str]]
    relevant: Mapping[str, Collection[str]]

    @classmethod
    def of(
        cls,
        lists: Mapping[str, Sequence[str]],
        truth: Mapping[str, Collection[str]],
        gallery: Mapping[str, str],
    ) -> Retrieval:
        """Return the lists with what they should find.

        Queries without a landmark, or whose landmark the gallery lacks, have nothing to find and
        are left out.

        Args:
            lists: Query id -> gallery image ids, best first.
            truth: Query id -> landmark ids.
            gallery: Gallery image id -> its landmark id.
        """
        images: defaultdict[str, list[str]] = defaultdict(list)
        for image_id, landmark_id in gallery.items():
            images[landmark_id].append(image_id)
        found = {
            query: frozenset(i for one in landmarks for i in images.get(one, ()))
            for query, landmarks in truth.items()
        }
        relevant = {query: some for query, some in found.items() if some}
        return cls({query: lists[query] for query in relevant if query in lists}, relevant)


@dataclass(frozen=True)
class SizeBin:
    """Scores over the queries whose landmark has a number of gallery photographs.

    Args:
        size: The bin's name, such as ``3-5``.
        num_landmarks: Landmarks asked about.
        num_queries: Queries that show them.
        scores: Name of :data:`BIN_SCORES` -> value and interval.
        auroc: Of the bin's queries against all non-landmark queries; None without those.
    """

    size: str
    num_landmarks: int
    num_queries: int
    scores: Mapping[str, Interval]
    auroc: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the bin with its scores as plain numbers and their intervals beside them."""
        return {
            "size": self.size,
            "num_landmarks": self.num_landmarks,
            "num_queries": self.num_queries,
            **{name: score.value for name, score in self.scores.items()},
            "auroc": self.auroc,
            "intervals": {name: [score.low, score.high] for name, score in self.scores.items()},
        }


@dataclass(frozen=True)
class Report:
    """The scores of one prediction set.

    Args:
        scores: Name of :data:`SCORES` -> value and interval; absent where undefined.
        num_queries: All queries, non-landmarks included.
        num_labelled: M, the queries that show a landmark.
        num_answered: Queries with a prediction that is not blank.
        by_size: One entry per size bin that has queries; empty without gallery counts.
        before: The scores of the prediction set compared with.
        change: Name -> these scores less those before, paired over the same resamples.
        num_resamples: B behind the intervals; 0 where there are none.
    """

    scores: Mapping[str, Interval]
    num_queries: int
    num_labelled: int
    num_answered: int
    by_size: tuple[SizeBin, ...] = ()
    before: Report | None = None
    change: Mapping[str, Interval] = field(default_factory=dict)
    num_resamples: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.num_labelled <= self.num_queries:
            raise CairnError(
                "a report needs 0 < labelled <= queries",
                where=f"{self.num_labelled} labelled of {self.num_queries}",
            )

    @property
    def gap(self) -> float:
        """GAP over all queries."""
        return self.scores["gap"].value

    @property
    def gap_without_unlabelled(self) -> float:
        """GAP-: with the non-landmark queries dropped first."""
        return self.scores["gap_without_unlabelled"].value

    @property
    def top1_accuracy(self) -> float:
        """The share of landmark queries answered rightly."""
        return self.scores["top1_accuracy"].value

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values; a score that is undefined is null."""
        value: dict[str, Any] = {
            **{name: self.scores[name].value if name in self.scores else None for name in SCORES},
            "num_queries": self.num_queries,
            "num_labelled": self.num_labelled,
            "num_answered": self.num_answered,
            "num_resamples": self.num_resamples,
            "intervals": {name: [score.low, score.high] for name, score in self.scores.items()},
            "by_size": [entry.to_json() for entry in self.by_size],
        }
        if self.before is not None:
            value["before"] = self.before.to_json()
            value["change"] = {name: score.to_json() for name, score in self.change.items()}
        return value
