"""What a classifier's head says of a landmark, joined with what the nearest images say.

A head's word is the cosine between a photograph and the landmark's centre, as ArcFace and its kin
make it before scale and margin. It is asked for the landmarks among the hits alone: the table of
all queries and all landmarks (GLDv2: 38 GB) need not exist.

Legend of shapes: Q queries, L landmarks, K hits, M non-landmarks kept of a gallery row, D
dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from pydantic import Field

from cairn.config.value import Value
from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError
from cairn.rerank.answers import Float64, Votes, first_hits, query_blocks, tally
from cairn.rerank.context import Context
from cairn.rerank.nonlandmark import mean_of_known
from cairn.rerank.stage import HITS, VOTES, Kind
from cairn.rerank.voting import LEAST, landmarks_of


class Head(Protocol):
    """Answers what the head says of landmarks, for Q queries."""

    def __len__(self) -> int:
        """Q."""
        ...

    def take(self, queries: Int64) -> Head:
        """Return the head of some of the queries, by number."""
        ...

    def scores(self, landmarks: Int64) -> Float64:
        """Return (Q, K) cosines of each query with landmarks (Q, K); any number where -1."""
        ...


@dataclass(frozen=True, eq=False)
class HeadTable:
    """All scores are there already.

    Args:
        table: (Q, L) cosines, one column for each code of a landmark.
    """

    table: Float32

    def __len__(self) -> int:
        return len(self.table)

    def take(self, queries: Int64) -> HeadTable:
        """Return the head of some of the queries."""
        return HeadTable(self.table[queries])

    def scores(self, landmarks: Int64) -> Float64:
        """Return (Q, K) cosines."""
        chosen = np.take_along_axis(self.table, np.maximum(landmarks, 0), axis=1)
        return chosen.astype(np.float64)


@dataclass(frozen=True, eq=False)
class HeadVectors:
    """Scores are products of what was embedded with the landmarks' centres.

    Args:
        queries: (Q, D) unit vectors.
        centres: (L, D) unit vectors, one for each code of a landmark: the rows of an ArcFace head,
            or means of the gallery's vectors (``centres_of``). (L, C, D) for C centres of each, of
            which the nearest counts.
    """

    queries: Float32
    centres: Float32

    def __post_init__(self) -> None:
        if self.queries.shape[1] != self.centres.shape[-1]:
            raise CairnError(
                "queries and centres differ in dimension",
                where=f"{self.queries.shape[1]} and {self.centres.shape[-1]}",
            )

    def __len__(self) -> int:
        return len(self.queries)

    def take(self, queries: Int64) -> HeadVectors:
        """Return the head of some of the queries."""
        return HeadVectors(self.queries[queries], self.centres)

    def scores(self, landmarks: Int64) -> Float64:
        """Return (Q, K) cosines."""
        found = np.empty(landmarks.shape)
        centres = self.centres.reshape(len(self.centres), -1, self.centres.shape[-1])
        for at in query_blocks(len(found), landmarks.shape[1] * centres[:1].size):
            near = centres[np.maximum(landmarks[at], 0)]
            queries = self.queries[at][:, None, :, None]
            found[at] = np.matmul(near, queries)[..., 0].max(axis=2, initial=-np.inf)
        return found


def centres_of(vectors: Float32, landmarks: Int64) -> Float32:
    """Return (L, D) the mean direction of each landmark's vectors: a head where none was trained.

    Args:
        vectors: (G, D) unit vectors.
        landmarks: (G,) codes 0 to L - 1.
    """
    sums = np.zeros((int(landmarks.max()) + 1, vectors.shape[1]))
    np.add.at(sums, landmarks, vectors)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    centres: Float32 = (sums / np.maximum(lengths, LEAST)).astype(np.float32)
    return centres


def multiply_by_head(
    found: Neighbors,
    landmarks: Int64,
    head: Head,
    *,
    num_hits: int = 5,
    power: float = 8.0,
    head_power: float = 12.0,
) -> Votes:
    """Return log S_c, where S_c = (sum over hits of landmark c of cos^power) * head_c^head_power.

    R2, of the third place of 2020 (Ha et al., arXiv:2010.05350; power 8 to 9, head_power 10 to 12,
    five hits). Scores are logarithms: the products themselves become equal zeros in float32.
    Similarities and cosines below ``LEAST`` count as that, so that every score is finite.

    Args:
        found: (Q, K) hits.
        landmarks: (G,) codes of the gallery's landmarks.
        head: What the head says.
        num_hits: Hits of a query that count.
        power: See above, at least 0.
        head_power: See above, at least 0.
    """
    found = first_hits(found, num_hits)
    codes = landmarks_of(found, landmarks)
    _require_all(found, head)
    logs = power * np.log(np.maximum(found.similarities.astype(np.float64), LEAST))
    heads = head_power * np.log(np.maximum(head.scores(codes), LEAST))
    return tally(codes, np.where(codes >= 0, logs + heads, 0.0), "log-sum")


def add_head(
    found: Neighbors,
    landmarks: Int64,
    head: Head,
    to_bank: Float32 | None,
    *,
    num_hits: int = 7,
    top: int = 3,
    head_weight: float = 1.0,
    bank_weight: float = 1.0,
) -> Votes:
    """Return S_c = sum over hits of landmark c of [cos + head_c - mean top-``top`` cos(t, n)].

    R4, of the third place of 2021 (Xu et al., arXiv:2110.02794; seven hits, top 3, weights 1).

    Args:
        found: (Q, K) hits.
        landmarks: (G,) codes of the gallery's landmarks.
        head: What the head says.
        to_bank: (G, M) similarities of gallery rows to non-landmarks, best first; -inf pads.
            None leaves the last term out.
        num_hits: Hits of a query that count.
        top: Non-landmarks of a gallery row that count.
        head_weight: Of the head's term.
        bank_weight: Of the last term.
    """
    found = first_hits(found, num_hits)
    codes = landmarks_of(found, landmarks)
    _require_all(found, head)
    values = found.similarities.astype(np.float64) + head_weight * head.scores(codes)
    if to_bank is not None:
        values -= bank_weight * mean_of_known(to_bank[np.maximum(found.indices, 0), :top])
    return tally(codes, np.where(codes >= 0, values, 0.0), "sum")


def _require_all(found: Neighbors, head: Head) -> None:
    if len(head) != found.num_queries:
        raise CairnError(f"the head is of {len(head)} queries and the hits of {found.num_queries}")


class HeadProduct(Value):
    """Hits times head (R2); see ``multiply_by_head``. Scores are logarithms."""

    name: ClassVar[str] = "head-product"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = VOTES
    needs: ClassVar[tuple[str, ...]] = ("gallery.landmarks", "queries.head")
    batch: ClassVar[str] = ""

    num_hits: int = Field(5, ge=1)
    power: float = Field(8.0, ge=0)
    head_power: float = Field(12.0, ge=0)

    def __call__(self, found: Neighbors, context: Context) -> Votes:
        """Return the votes."""
        assert context.gallery.landmarks is not None
        assert context.queries.head is not None
        return multiply_by_head(
            found,
            context.gallery.landmarks,
            context.queries.head,
            num_hits=self.num_hits,
            power=self.power,
            head_power=self.head_power,
        )


class HeadSum(Value):
    """Hits plus head less non-landmarks (R4); see ``add_head``."""

    name: ClassVar[str] = "head-sum"
    takes: ClassVar[tuple[Kind, ...]] = HITS
    gives: ClassVar[tuple[Kind, ...]] = VOTES
    needs: ClassVar[tuple[str, ...]] = ("gallery.landmarks", "gallery.to_bank", "queries.head")
    batch: ClassVar[str] = ""
    reach: ClassVar[dict[str, str]] = {"gallery.to_bank": "top"}

    num_hits: int = Field(7, ge=1)
    top: int = Field(3, ge=1)
    head_weight: float = 1.0
    bank_weight: float = 1.0

    def __call__(self, found: Neighbors, context: Context) -> Votes:
        """Return the votes."""
        assert context.gallery.landmarks is not None
        assert context.queries.head is not None
        return add_head(
            found,
            context.gallery.landmarks,
            context.queries.head,
            context.gallery.to_bank,
            num_hits=self.num_hits,
            top=self.top,
            head_weight=self.head_weight,
            bank_weight=self.bank_weight,
        )

    def taken(self, rows: Int64, context: Context) -> Float64:
        """Return (N,) what comes off the similarity of gallery rows (N,) to every query."""
        assert context.gallery.to_bank is not None
        return self.bank_weight * mean_of_known(context.gallery.to_bank[rows, : self.top])
