"""The frozen values that travel between stages; they check themselves once, when made.

Legend of shapes: Q queries, G gallery rows, K neighbours, D embedding dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cairn.errors import CairnError

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

ROLES = ("train", "gallery", "query", "nonlandmark")
"""What a photograph is for: learning, recognizing against, asking about, being no landmark."""


@dataclass(frozen=True)
class Neighbors:
    """Per query: the gallery rows most similar to it, best first.

    Args:
        indices: (Q, K) int64 gallery rows; -1 pads a row with fewer than K neighbours.
        similarities: (Q, K) float32, descending along K; -inf where indices is -1.
    """

    indices: Int64
    similarities: Float32

    def __post_init__(self) -> None:
        if self.indices.shape != self.similarities.shape or self.indices.ndim != 2:
            raise CairnError(
                "neighbours need (Q, K) indices and (Q, K) similarities",
                where=f"{self.indices.shape} and {self.similarities.shape}",
            )

    @property
    def num_queries(self) -> int:
        """Q."""
        return int(self.indices.shape[0])

    @property
    def k(self) -> int:
        """K."""
        return int(self.indices.shape[1])


@dataclass(frozen=True)
class Evidence:
    """One gallery image that spoke for a prediction.

    Args:
        image_id: Its id.
        landmark_id: The landmark it shows.
        path: Where the file lies, as the gallery recorded it.
        similarity: Cosine to the query, in [-1, 1].
        penalty: What the non-landmark penalty took off; 0 without one.
    """

    image_id: str
    landmark_id: str
    path: str
    similarity: float
    penalty: float = 0.0

    @property
    def score(self) -> float:
        """Similarity less penalty: the value that evidence is ranked by."""
        return self.similarity - self.penalty


@dataclass(frozen=True)
class Prediction:
    """What Cairn says of one photograph.

    Args:
        image_id: The query's id.
        landmark_id: The landmark answered, or None where there is nothing to answer with.
        confidence: The score that ranks this answer among all; higher is surer.
        evidence: The gallery images behind it, best first.
    """

    image_id: str
    landmark_id: str | None
    confidence: float
    evidence: tuple[Evidence, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.landmark_id is not None and not np.isfinite(self.confidence):
            raise CairnError("a prediction's confidence must be finite", where=self.image_id)
