"""What stages may look at: the side of the gallery, and the side of the queries.

Plain arrays, from Cairn or from any other store of vectors. Nobody needs all of them: each stage
names what it needs, and a pipeline that lacks it says so before it runs.

Legend of shapes: Q queries, G gallery rows, K hits, M non-landmarks kept of a row, D dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError

if TYPE_CHECKING:
    from cairn.penalty import PenaltyTable
    from cairn.rerank.head import Head

Search: TypeAlias = Callable[[Float32, int], Neighbors]
"""(Q, D) unit vectors and k -> the k most similar gallery rows, as ``Searcher.search``."""

Inliers: TypeAlias = Callable[[int, int], int]
"""Number of a query and a gallery row -> local features of both that agree."""


class Rows(Protocol):
    """Vectors by row: an array, a memory map, or what reads rows of another store."""

    def __getitem__(self, rows: Int64, /) -> NDArray[Any]:
        """Return (..., D) float vectors of an integer array of rows."""
        ...


@dataclass(frozen=True, eq=False)
class Picks:
    """How a bank of non-landmarks picks gallery rows (Cairn's system page, S6).

    Args:
        counts: (G,) int64 picks of each row.
        sims: (G,) float32 mean similarity of its picks; 0 without any.
        counted_to: Picks beyond this were not counted; None where all were.
    """

    counts: Int64
    sims: Float32
    counted_to: int | None = None

    def __post_init__(self) -> None:
        if self.counts.ndim != 1 or self.counts.shape != self.sims.shape:
            raise CairnError(
                "picks need (G,) counts and (G,) similarities",
                where=f"{self.counts.shape} and {self.sims.shape}",
            )

    @classmethod
    def of(cls, found: Neighbors, num_gallery: int) -> Picks:
        """Return the picks of a bank.

        Args:
            found: (B, K) the gallery rows that each non-landmark picks: its K most similar.
            num_gallery: G.
        """
        is_pick = found.indices >= 0
        rows = found.indices[is_pick]
        counts = np.bincount(rows, minlength=num_gallery)
        sums = np.bincount(rows, weights=found.similarities[is_pick], minlength=num_gallery)
        return cls(counts.astype(np.int64), (sums / np.maximum(counts, 1)).astype(np.float32))

    @classmethod
    def of_table(cls, table: PenaltyTable) -> Picks:
        """Return those of a penalty table, which counts up to its ``max_n``."""
        return cls(table.n_picked, table.sims, table.rule.max_n)


@dataclass(frozen=True, eq=False)
class GallerySide:
    """What is known of the gallery before any query comes.

    Args:
        landmarks: (G,) int64 codes of the landmarks (``code_landmarks``).
        picks: What a bank of non-landmarks picks.
        to_bank: (G, M) float32 similarities of each row to its M nearest non-landmarks, best
            first; -inf where the bank is smaller (``Attraction.crossing.of_rows.scores``).
        vectors: (G, D) unit vectors.
        neighbors: (G, M) each row's most similar *other* rows, best first.
        search: Finds rows for vectors that a stage made.
    """

    landmarks: Int64 | None = None
    picks: Picks | None = None
    to_bank: Float32 | None = None
    vectors: Rows | None = None
    neighbors: Neighbors | None = None
    search: Search | None = None

    def __post_init__(self) -> None:
        _require_one_length("gallery", self._sizes())

    def _sizes(self) -> dict[str, int | None]:
        return {
            "landmarks": None if self.landmarks is None else len(self.landmarks),
            "picks": None if self.picks is None else len(self.picks.counts),
            "to_bank": None if self.to_bank is None else len(self.to_bank),
            "neighbors": None if self.neighbors is None else self.neighbors.num_queries,
        }

    @property
    def num_rows(self) -> int | None:
        """G, or None where nothing says it."""
        return next((size for size in self._sizes().values() if size is not None), None)

    @cached_property
    def num_landmarks(self) -> int:
        """How many different landmarks the gallery has."""
        return 0 if self.landmarks is None else len(np.unique(self.landmarks))


@dataclass(frozen=True, eq=False)
class QuerySide:
    """What is known of the queries beside their hits.

    Args:
        vectors: (Q, D) float32 unit vectors.
        to_bank: (Q, M) float32 similarities to the M nearest non-landmarks, best first; -inf
            where the bank is smaller.
        head: What a classifier says of landmarks; see ``Head``.
        inliers: Counts local features that agree.
    """

    vectors: Float32 | None = None
    to_bank: Float32 | None = None
    head: Head | None = None
    inliers: Inliers | None = None

    def __post_init__(self) -> None:
        _require_one_length("queries", self._sizes())

    def _sizes(self) -> dict[str, int | None]:
        named = {"vectors": self.vectors, "to_bank": self.to_bank, "head": self.head}
        return {name: None if value is None else len(value) for name, value in named.items()}

    @property
    def num_queries(self) -> int | None:
        """Q, or None where nothing says it."""
        return next((size for size in self._sizes().values() if size is not None), None)

    def take(self, queries: Int64) -> QuerySide:
        """Return the side of some of the queries, by number."""
        return QuerySide(
            None if self.vectors is None else self.vectors[queries],
            None if self.to_bank is None else self.to_bank[queries],
            None if self.head is None else self.head.take(queries),
            None if self.inliers is None else _renumbered(self.inliers, queries),
        )


@dataclass(frozen=True, eq=False)
class Context:
    """Both sides, as stages are given them.

    Args:
        gallery: See ``GallerySide``.
        queries: See ``QuerySide``.
    """

    gallery: GallerySide = field(default_factory=GallerySide)
    queries: QuerySide = field(default_factory=QuerySide)

    @property
    def given(self) -> frozenset[str]:
        """The names of what is there, as ``gallery.landmarks``."""
        sides: dict[str, GallerySide | QuerySide] = {
            "gallery": self.gallery,
            "queries": self.queries,
        }
        return frozenset(
            f"{side}.{part.name}"
            for side, value in sides.items()
            for part in fields(value)
            if getattr(value, part.name) is not None
        )

    def take(self, queries: Int64) -> Context:
        """Return the context of some of the queries, by number."""
        return replace(self, queries=self.queries.take(queries))


NEEDS = {
    "gallery.landmarks": ("the landmark of each gallery row", "code_landmarks(labels)"),
    "gallery.picks": ("what a bank picks in the gallery", "Picks.of(found by the bank, G)"),
    "gallery.to_bank": (
        "similarities of gallery rows to their nearest non-landmarks",
        "search the bank for the gallery's vectors, or take cairn.attraction's",
    ),
    "gallery.vectors": ("the gallery's vectors", "an array or a memory map"),
    "gallery.neighbors": ("each gallery row's neighbours", "search the gallery for its vectors"),
    "gallery.search": ("a way to search the gallery", "ExactSearcher(vectors).search, say"),
    "queries.vectors": ("the queries' vectors", "the embeddings that were searched for"),
    "queries.to_bank": (
        "similarities of queries to their nearest non-landmarks",
        "search the bank for the queries' vectors",
    ),
    "queries.head": ("head logits", "give a model with a head: HeadVectors or HeadTable"),
    "queries.inliers": ("a matcher of local features", "inliers_between(matcher, ...)"),
}
"""What a stage may need: in words, and where it comes from."""


def require(names: Collection[str], given: Collection[str], *, stage: str) -> None:
    """Refuse a context that lacks something a stage needs.

    Raises:
        CairnError: It says what is missing, and where it comes from.
    """
    for name in names:
        if name not in given:
            what, source = NEEDS[name]
            raise CairnError(
                f"stage {stage!r} needs {what}",
                where=f"{name} is not in the context",
                todo=f"{source}; or drop the stage",
            )


def _require_one_length(side: str, sizes: dict[str, int | None]) -> None:
    known = {name: size for name, size in sizes.items() if size is not None}
    if len(set(known.values())) > 1:
        raise CairnError(f"the parts of the context are of different {side}", where=known)


def _renumbered(inliers: Inliers, queries: Int64) -> Inliers:
    return lambda query, row: inliers(int(queries[query]), row)
