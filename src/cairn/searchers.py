"""What answers searches over a gallery: the protocol, and exact search behind it.

A searcher is made once for a gallery and its offsets and then asked many times. Whatever it does
inside, it answers as :func:`cairn.search.search` does: same shapes, same similarities for the rows
it returns, best first, equal ones by lower row. Only which rows it finds may differ, and only for
searchers that call themselves approximate.

Legend of shapes: Q queries, G gallery rows, K neighbours, D dimensions.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from torch import Tensor

from cairn.domain import Float32, Neighbors
from cairn.errors import CairnError
from cairn.search import Array, search


class Searcher(Protocol):
    """Finds the gallery rows most similar to queries."""

    @property
    def name(self) -> str:
        """A short name, for tables."""
        ...

    @property
    def dimension(self) -> int:
        """D."""
        ...

    def __len__(self) -> int:
        """G."""
        ...

    def search(self, queries: Array, k: int) -> Neighbors:
        """Return the ``k`` rows found for each query, best first.

        Args:
            queries: (Q, D) float32, rows of unit length; a NumPy array or a tensor.
            k: How many neighbours a query gets, at least 1; row -1 and similarity -inf pad what
                exceeds G.

        Returns:
            (Q, k) int64 rows and (Q, k) float32 similarities, the offsets included.

        Raises:
            CairnError: The queries or ``k`` do not fit.
        """
        ...


class ExactSearcher:
    """Every row compared, by :func:`cairn.search.search`: the answer of a float64 brute force.

    Args:
        vectors: (G, D) float32 gallery, rows of unit length, G >= 1.
        offsets: (G,) finite float32 added to the similarities of each row; minus a penalty, say.

    Raises:
        CairnError: Shapes or types do not fit, or a row is zero or not finite.
    """

    name = "exact"

    def __init__(self, vectors: Array, *, offsets: Array | None = None) -> None:
        check_gallery(vectors, offsets)
        self.vectors, self.offsets = vectors, offsets

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    def __len__(self) -> int:
        return len(self.vectors)

    def search(self, queries: Array, k: int) -> Neighbors:
        """Return the ``k`` most similar rows; see :class:`Searcher`."""
        return search(queries, self.vectors, k, offsets=self.offsets)


def check_gallery(vectors: Array, offsets: Array | None) -> None:
    """Refuse a gallery that exact search would refuse.

    Raises:
        CairnError: As :func:`cairn.search.search`.
    """
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise CairnError("gallery must be a matrix, one vector a row", where=tuple(vectors.shape))
    search(vectors[:1], vectors, 1, offsets=offsets)


def as_queries(queries: Array, dimension: int) -> Float32:
    """Return queries as a contiguous NumPy array, checked as exact search checks them.

    Raises:
        CairnError: They are no (Q, ``dimension``) float32 matrix, or a row is zero or not finite.
    """
    rows = queries.detach().cpu().numpy() if isinstance(queries, Tensor) else np.asarray(queries)
    if rows.ndim != 2:
        raise CairnError("queries must be a matrix, one vector a row", where=rows.shape)
    if rows.dtype != np.float32:
        raise CairnError("queries must be float32", where=rows.dtype)
    if rows.shape[1] != dimension:
        raise CairnError(
            "queries and gallery differ in dimension",
            where=f"{rows.shape[1]} and {dimension}",
            todo="embed both with the same model",
        )
    squares_Q = np.einsum("qd,qd->q", rows, rows)
    bad = np.flatnonzero(~(np.isfinite(squares_Q) & (squares_Q > 0)))
    if len(bad):
        raise CairnError(
            "queries hold a row that is zero or not finite",
            where=f"row {int(bad[0])}",
            todo="embed that image again; unit rows are what the model makes",
        )
    return np.ascontiguousarray(rows)
