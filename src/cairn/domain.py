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


def is_place(latitude: float, longitude: float) -> bool:
    """Say whether two numbers of degrees name a place on the globe."""
    return -90.0 <= latitude <= 90.0 and -180.0 <= longitude <= 180.0


@dataclass(frozen=True)
class Landmark:
    """What people are told of a landmark; "" and None where it is not known.

    Args:
        landmark_id: Its id.
        name: What people call it.
        category: Such as church.
        natural_or_human_made: Natural scenery, or what people built.
        latitude: Degrees north, in [-90, 90]; None together with ``longitude``.
        longitude: Degrees east, in [-180, 180].
        url: A page about it.
    """

    landmark_id: str
    name: str = ""
    category: str = ""
    natural_or_human_made: str = ""
    latitude: float | None = None
    longitude: float | None = None
    url: str = ""

    def __post_init__(self) -> None:
        if (self.latitude is None) != (self.longitude is None) or not is_place(
            self.latitude or 0.0, self.longitude or 0.0
        ):
            raise CairnError(
                "a landmark's place needs a latitude in [-90, 90] and a longitude in [-180, 180]",
                where=f"{self.landmark_id}: {self.latitude}, {self.longitude}",
            )


@dataclass(frozen=True)
class Credit:
    """Whose a photograph is, which many licences oblige to say; "" where it is not known.

    Args:
        author: Who took it.
        license: Its name or address.
        source_url: The page it is from.
    """

    author: str = ""
    license: str = ""
    source_url: str = ""


@dataclass(frozen=True)
class Evidence:
    """One gallery image that spoke for a prediction.

    Args:
        image_id: Its id.
        landmark_id: The landmark it shows.
        path: Where the file lies, as the gallery recorded it.
        similarity: Cosine to the query, in [-1, 1].
        penalty: What the non-landmark penalty took off; 0 without one.
        author: Who took the photograph; "" where it is not known, as for the two below.
        license: The licence's name or address.
        source_url: The page the photograph is from.
        latitude: Where it was taken, in degrees; None where it is not known.
        longitude: See ``latitude``.
    """

    image_id: str
    landmark_id: str
    path: str
    similarity: float
    penalty: float = 0.0
    author: str = ""
    license: str = ""
    source_url: str = ""
    latitude: float | None = None
    longitude: float | None = None

    @property
    def score(self) -> float:
        """Similarity less penalty: the value that evidence is ranked by."""
        return self.similarity - self.penalty

    @property
    def credit(self) -> Credit:
        """Whose the photograph is."""
        return Credit(self.author, self.license, self.source_url)


@dataclass(frozen=True)
class Prediction:
    """What Cairn says of one photograph.

    Args:
        image_id: The query's id.
        landmark_id: The landmark answered, or None where there is nothing to answer with.
        confidence: The score that ranks this answer among all; higher is surer.
        evidence: The gallery images behind it, best first.
        landmark: What the gallery knows of the landmark answered; None where nothing was asked.
        probability: The calibrated chance, in [0, 1], that the answer is right; None where the
            gallery has no calibration (``cairn calibrate``).
        is_known: Whether that reaches the calibration's threshold. If not, the photograph is taken
            to show no landmark of the gallery, whatever is answered; None without a calibration.
    """

    image_id: str
    landmark_id: str | None
    confidence: float
    evidence: tuple[Evidence, ...] = field(default=())
    landmark: Landmark | None = None
    probability: float | None = None
    is_known: bool | None = None

    def __post_init__(self) -> None:
        if self.landmark_id is not None and not np.isfinite(self.confidence):
            raise CairnError("a prediction's confidence must be finite", where=self.image_id)
