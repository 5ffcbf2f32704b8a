"""Weighted similarity: the mean of the models' similarities to each gallery image, then the best.

Each model proposes its nearest gallery images; all that any of them proposed are scored by every
model exactly, penalties included. A gallery image that none proposed cannot be the answer, which is
certain wherever the best score reaches what such an image could have at most: the weighted sum of
the models' last proposals. ``is_certain`` says where; there the answer is that of the concatenated
embeddings (`cairn.ensemble.concatenation`).

Legend of shapes: Q queries, M models, C candidates of a query (gallery rows), G gallery rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cairn.domain import Int64
from cairn.ensemble.alignment import aligned, require_same_queries
from cairn.ensemble.fusion import Float64, shares
from cairn.ensemble.votes import exact_scores
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.rerank.answers import code_landmarks
from cairn.search import search
from cairn.tables import EmbeddingTable

NUM_HITS = 100
"""Gallery images that each model proposes."""

_SLACK = 1e-5  # proposals are known in float32


class WeightedSimilarity:
    """A fusion: the landmark of the image of most weighted similarity less penalty answers.

    Args:
        queries: For each model, its embeddings of the same photographs in the same order.
        galleries: For each model, its gallery of the same images; penalties come off.
        num_hits: Images that each model proposes.

    Raises:
        CairnError: Galleries or queries differ, or a number is less than 1.
    """

    def __init__(
        self,
        queries: Sequence[EmbeddingTable],
        galleries: Sequence[Gallery],
        *,
        num_hits: int = NUM_HITS,
    ) -> None:
        if num_hits < 1:
            raise CairnError("each model proposes one gallery image at least", where=num_hits)
        require_same_queries(queries, galleries)
        self.galleries = aligned(galleries)
        self.queries = tuple(queries)
        self.image_ids = tuple(queries[0].image_ids)
        self.num_members = len(queries)
        self._codes_G, self.landmark_ids = code_landmarks(self.galleries[0].table.landmark_ids)
        found = []
        last = []
        for table, gallery in zip(self.queries, self.galleries, strict=True):
            offsets = None if gallery.penalty is None else gallery.penalty.offsets
            k = min(num_hits, len(gallery.table))
            hits = search(table.vectors, gallery.table.vectors, k, offsets=offsets)
            found.append(hits.indices)
            none_left = k == len(gallery.table)
            last.append(np.full(len(table), -np.inf) if none_left else hits.similarities[:, -1])
        rows_QC = np.sort(np.concatenate(found, axis=1), axis=1)
        rows_QC[:, 1:][rows_QC[:, 1:] == rows_QC[:, :-1]] = -1
        self.rows_QC: Int64 = rows_QC
        self._last_MQ = np.stack(last).astype(np.float64)
        self.scores_MQC: Float64 = np.stack(
            [
                exact_scores(
                    table.vectors,
                    gallery.table.vectors,
                    rows_QC,
                    None if gallery.penalty is None else gallery.penalty.offsets,
                )
                for table, gallery in zip(self.queries, self.galleries, strict=True)
            ]
        )

    def count(self, weights: Sequence[float]) -> tuple[Int64, Float64]:
        """Return the landmarks of the best images and their scores; see ``Fusion``.

        Equal scores go to the gallery image that stands first.
        """
        totals_QC = self._totals(weights)
        best_Q = np.argmax(totals_QC, axis=1)[:, None]  # rows ascend: the first of equals
        rows_Q = np.take_along_axis(self.rows_QC, best_Q, axis=1)[:, 0]
        return self._codes_G[rows_Q], np.take_along_axis(totals_QC, best_Q, axis=1)[:, 0]

    def is_certain(self, weights: Sequence[float]) -> NDArray[np.bool_]:
        """Return (Q,) whether no gallery image that was not proposed can be a better answer."""
        used = shares(weights, self.num_members)
        heard = used > 0
        most_Q = np.tensordot(used[heard], self._last_MQ[heard], axes=1)
        certain: NDArray[np.bool_] = self._totals(weights).max(axis=1) >= most_Q + _SLACK
        return certain

    def _totals(self, weights: Sequence[float]) -> Float64:
        used = shares(weights, self.num_members)
        known_MQC = np.where(self.rows_QC >= 0, self.scores_MQC, 0.0)
        totals = np.tensordot(used, known_MQC, axes=1)
        return np.where(self.rows_QC >= 0, totals, -np.inf)
