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

from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError
from cairn.search import Array, search
from cairn.search.packed import Packed
from cairn.search.rows import as_matrix, as_offsets, require_vectors

_FEW = 4096  # queries at most that are asked of a packed gallery; more repay packing it


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
            queries: (Q, D) rows of unit length, as :func:`cairn.search.search` takes them.
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
        vectors: (G, D) gallery in memory, G >= 1 unit rows of any type that search takes.
        offsets: (G,) finite float32 added to the similarities of each row; minus a penalty, say.
        is_checked: The vectors are known to be unit rows, as those of an embedding table are; they
            are not read for a check.

    Raises:
        CairnError: Shapes or types do not fit, or a row is zero or not finite.
    """

    name = "exact"

    def __init__(
        self, vectors: Array, *, offsets: Array | None = None, is_checked: bool = False
    ) -> None:
        if is_checked:
            as_offsets(offsets, len(vectors))
        else:
            check_gallery(vectors, offsets)
        self.vectors, self.offsets = vectors, offsets
        self._packed: Packed | None = None

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def is_packed(self) -> bool:
        """Whether searches find the gallery packed, so that many small ones cost no more."""
        return self._packed is not None

    def search(self, queries: Array, k: int) -> Neighbors:
        """Return the ``k`` most similar rows; see :class:`Searcher`."""
        if self._packed is not None and k >= 1 and 0 < len(queries) <= _FEW:
            return self._packed.search(as_queries(queries, self.dimension), k).neighbors()
        return search(queries, self.vectors, k, offsets=self.offsets)

    def keep_packed(
        self,
        before: Searcher | None = None,
        source: Int64 | None = None,
        *,
        num_threads: int | None = None,
    ) -> None:
        """Pack the gallery for searches to come, where searches would pack it each time.

        Args:
            before: Another searcher, of an earlier version or with other offsets, of which packed
                rows are taken over.
            source: (G,) the row that each was there, rising, -1 for new ones; by default they are
                the same where they lie in the same memory.
            num_threads: So many pack; by default as many as search.
        """
        if not isinstance(self.vectors, np.ndarray) or not Packed.suits(self.vectors):
            return
        known = before._packed if isinstance(before, ExactSearcher) else None
        offsets_G = as_offsets(self.offsets, len(self))
        self._packed = Packed(
            self.vectors, offsets_G, before=known, source_G=source, num_threads=num_threads
        )


def check_gallery(vectors: Array, offsets: Array | None) -> None:
    """Refuse a gallery that exact search would refuse.

    Raises:
        CairnError: As :func:`cairn.search.search`.
    """
    gallery_GD = as_matrix(vectors, "gallery")
    search(gallery_GD[:1], gallery_GD, 1, offsets=offsets)


def as_queries(queries: Array, dimension: int) -> Float32:
    """Return queries as float32 on the host, checked as exact search checks them.

    Raises:
        CairnError: They are no (Q, ``dimension``) matrix of a type that search takes, or a row is
            zero or not finite.
    """
    rows_QD: Float32 = as_matrix(queries, "queries").cpu().float().numpy()
    if rows_QD.shape[1] != dimension:
        raise CairnError(
            "queries and gallery differ in dimension",
            where=f"{rows_QD.shape[1]} and {dimension}",
            todo="embed both with the same model",
        )
    require_vectors(np.sqrt(np.einsum("qd,qd->q", rows_QD, rows_QD)), 0, "queries")
    return rows_QD
