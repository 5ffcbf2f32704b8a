"""Approximate search for serving: FAISS proposes rows, exact scores choose among them.

Two kinds. ``hnsw`` walks a graph of neighbours (Malkov and Yashunin, 2018); ``ivf-pq`` scans the
nearest of many lists of 4-bit codes (Jegou et al., 2011; the fast scan of Andre et al., 2015).
What either finds is scored again from the true vectors (:mod:`cairn.rescoring`), so similarities
are those of exact search, to the bit; only rows may be missing.

**Offsets take part in the finding.** A gallery image with a penalty must neither crowd out better
rows nor be found in their place. Taking more candidates and subtracting afterwards fails where many
penalized rows resemble every query, which is what the penalty is for. So the offset becomes one
more dimension of the stored vectors, and 1 that of the query: the inner product is then similarity
plus offset. Codes take it so. A graph needs a metric: one further dimension makes all stored
vectors equally long, and the nearest by distance is the one with the largest product (Bachrach et
al., 2014); with products alone the graph falls apart when offsets make lengths differ.

A build depends on vectors, offsets and parameters alone, not on threads or the clock. FAISS's
threads are its own setting (``faiss.omp_set_num_threads``).

Legend of shapes: Q queries, G gallery rows, K neighbours, C candidates, D dimensions of the
vectors, E of what FAISS stores.
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError
from cairn.index_kinds import ROWS_PER_LIST, Hnsw, IvfPq, Parameters
from cairn.progress import say, track
from cairn.search import Array
from cairn.search.rows import as_matrix, as_offsets
from cairn.searchers import ExactSearcher, as_queries

MIN_ROWS = 1024
"""Smaller galleries are searched exactly: that is quicker, and they teach no codes."""

_TRAINED_PER_LIST = 64
_TRAINED_AT_LEAST = 20_000
_SPARE = 16  # candidates beyond k, for float32 distances that err and for equal rows
_QUERIES_AT_ONCE = 4096
_ADDED_AT_ONCE = 1 << 16
_LONG_BUILD = 50_000  # rows; from here on a build is announced


class ApproximateSearcher:
    """Searches a gallery through a FAISS index.

    A gallery of fewer than ``MIN_ROWS`` rows gets no index and is searched exactly, and so is any
    query that wants about as many rows as there are, or for which FAISS finds fewer than ``k``.

    Beside the gallery a graph holds its rows once more (FAISS's own copy), and while it is built
    twice; lists hold codes (``num_bytes``).

    Args:
        vectors: (G, D) float32 gallery, rows of unit length, G >= 1; kept, for they score.
        parameters: ``Hnsw`` or ``IvfPq``; those of ``for_gallery`` suit most.
        offsets: (G,) finite float32 added to the similarities of each row; minus a penalty, say.

    Raises:
        CairnError: As :class:`cairn.searchers.ExactSearcher`; or more lists are asked for than
            the gallery can teach.
    """

    def __init__(
        self, vectors: Array, parameters: Parameters, *, offsets: Array | None = None
    ) -> None:
        self._take(vectors, parameters, offsets)
        self._index: Any = None
        self._storage: Any = None
        self.build_s = 0.0
        num_rows = len(self)
        if num_rows < MIN_ROWS:
            return
        if isinstance(parameters, IvfPq) and parameters.nlist * ROWS_PER_LIST > num_rows:
            raise CairnError(
                f"{parameters.nlist} lists need {parameters.nlist * ROWS_PER_LIST} rows, "
                f"the gallery has {num_rows}",
                where=f"nlist = {parameters.nlist}",
                todo=f"ask for at most {num_rows // ROWS_PER_LIST} lists, or use hnsw",
            )
        if num_rows >= _LONG_BUILD:
            say(f"building {parameters.name} over {num_rows} rows; this can take minutes")
        begin = time.perf_counter()
        self._index = _build(self.vectors, self.offsets, parameters)
        self.build_s = time.perf_counter() - begin

    @classmethod
    def of_index(
        cls,
        index: Any,
        vectors: Array,
        parameters: Parameters,
        *,
        offsets: Array | None = None,
    ) -> ApproximateSearcher:
        """Return the searcher of a FAISS index that was built of just these values.

        Args:
            index: What ``index`` of another searcher was; a graph may come without its vectors.
            vectors: See the class.
            parameters: See the class.
            offsets: See the class.

        Raises:
            CairnError: The index has other rows or dimensions, or is of another kind.
        """
        made = cls.__new__(cls)
        made._take(vectors, parameters, offsets)
        made.build_s = 0.0
        is_graph = isinstance(parameters, Hnsw)
        wanted: Any = faiss.IndexHNSWFlat if is_graph else faiss.IndexIVFPQFastScan
        shape = (
            len(made),
            stored(made.vectors[:1], _some(made.offsets, slice(1)), parameters).shape[1],
        )
        if not isinstance(index, wanted) or (index.ntotal, index.d) != shape:
            raise CairnError(
                "this FAISS index is not of these vectors",
                where=f"{type(index).__name__} of {index.ntotal} x {index.d}, "
                f"wanted {wanted.__name__} of {shape[0]} x {shape[1]}",
            )
        made._index, made._storage = index, None
        if is_graph and index.storage is None:
            made._storage = faiss.IndexFlatL2(index.d)  # kept here: the graph does not own it
            most = float(_squares(made.vectors, made.offsets).max())
            for part in _parts(len(made)):  # so that it is not held twice
                offsets_N = _some(made.offsets, part)
                made._storage.add(stored(made.vectors[part], offsets_N, parameters, most=most))
            index.storage, index.own_fields = made._storage, False
        return made

    def _take(self, vectors: Array, parameters: Parameters, offsets: Array | None) -> None:
        gallery_GD = as_matrix(vectors, "gallery").cpu()
        if gallery_GD.dtype != torch.float32:
            raise CairnError(
                "a gallery for approximate search must be float32",
                where=gallery_GD.dtype,
                todo="convert it first, for example with .astype(np.float32)",
            )
        self._added_G = as_offsets(offsets, len(gallery_GD))
        self.vectors: Float32 = gallery_GD.numpy()
        self.offsets: Float32 | None = None if offsets is None else self._added_G
        self.exact = ExactSearcher(self.vectors, offsets=self.offsets)
        self.parameters = parameters

    @property
    def name(self) -> str:
        """Kind and parameters; said to be exact where there is no index."""
        return self.parameters.name if self._index is not None else "exact (few rows)"

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def index(self) -> Any:
        """The FAISS index, or None where the gallery is searched exactly."""
        return self._index

    @property
    def num_bytes(self) -> int:
        """What the index takes in memory beside the gallery's own vectors, about."""
        if self._index is None:
            return 0
        if isinstance(self.parameters, Hnsw):
            links = faiss.vector_to_array(self._index.hnsw.offsets)[-1] * 4
            return int(len(self) * (4 * self._index.d + 8) + links)
        ids_and_codes = len(self) * (8 + self._index.code_size)
        return int(ids_and_codes + 4 * self._index.d * (self._index.nlist + 16))

    def with_search(self, **changes: int) -> ApproximateSearcher:
        """Return this searcher with other settings of the search; the index is shared.

        Args:
            changes: ``ef_search`` of a graph; ``nprobe`` and ``num_rescored`` of lists.

        Raises:
            CairnError: A setting of the build was to change, or a value is out of its range.
        """
        allowed = {"ef_search"} if isinstance(self.parameters, Hnsw) else {"nprobe", "num_rescored"}
        if not set(changes) <= allowed:
            raise CairnError(
                f"only {' and '.join(sorted(allowed))} can change without building anew",
                where=sorted(set(changes) - allowed),
            )
        parameters = type(self.parameters)(**{**asdict(self.parameters), **changes})
        made = ApproximateSearcher.__new__(ApproximateSearcher)
        made.__dict__.update(self.__dict__)
        made.parameters = parameters
        return made

    def search(self, queries: Array, k: int) -> Neighbors:
        """Return ``k`` rows for each query; see :class:`cairn.searchers.Searcher`.

        Every query gets as many rows as exact search would give it.
        """
        if k < 1:
            raise CairnError("k must be at least 1", where=f"k = {k}")
        queries_QD = as_queries(queries, self.dimension)
        num_candidates, parameters = self._effort(k)
        if self._index is None or num_candidates >= len(self):
            return self.exact.search(queries_QD, k)
        indices_QK = np.empty((len(queries_QD), k), dtype=np.int64)
        similarities_QK = np.empty((len(queries_QD), k), dtype=np.float32)
        for start in range(0, len(queries_QD), _QUERIES_AT_ONCE):
            part = slice(start, start + _QUERIES_AT_ONCE)
            found = self._search_part(queries_QD[part], k, num_candidates, parameters)
            indices_QK[part], similarities_QK[part] = found.indices, found.similarities
        return Neighbors(indices_QK, similarities_QK)

    def _search_part(
        self, queries_QD: Float32, k: int, num_candidates: int, parameters: Any
    ) -> Neighbors:
        from cairn.rescoring import best_candidates

        asked_QE = _asked(queries_QD, self._index.d, has_offsets=self.offsets is not None)
        rows_QC: Int64 = self._index.search(asked_QE, num_candidates, params=parameters)[1]
        found = best_candidates(queries_QD, self.vectors, self._added_G, rows_QC, k).neighbors()
        short = np.flatnonzero(found.indices[:, -1] < 0)
        if len(short):
            exact = self.exact.search(queries_QD[short], k)
            found.indices[short], found.similarities[short] = exact.indices, exact.similarities
        return found

    def _effort(self, k: int) -> tuple[int, Any]:
        """Return how many candidates to ask for, and FAISS's settings of the search."""
        own = self.parameters
        if isinstance(own, Hnsw):
            num = k + _SPARE
            walk = faiss.SearchParametersHNSW(  # type: ignore[attr-defined]
                efSearch=max(own.ef_search, num)
            )
            return num, walk
        scan = faiss.SearchParametersIVF(nprobe=own.nprobe)  # type: ignore[call-arg]
        return max(own.num_rescored, k + _SPARE), scan


def stored(
    vectors_GD: Float32,
    offsets_G: Float32 | None,
    parameters: Parameters,
    *,
    most: float | None = None,
) -> Float32:
    """Return the (G, E) rows that FAISS is given for a gallery: see the module's first lines.

    Args:
        vectors_GD: The gallery, or a part of it.
        offsets_G: Its offsets.
        parameters: What they are for.
        most: For a part, the largest squared length of the gallery, offsets included: all rows of
            a graph are made as long.
    """
    columns = [vectors_GD]
    if offsets_G is not None:
        columns.append(offsets_G[:, None])
    if isinstance(parameters, Hnsw):
        squares_G = _squares(vectors_GD, offsets_G)
        most = float(squares_G.max()) if most is None else most
        missing_G = np.sqrt(np.maximum(most - squares_G, 0.0))
        columns.append(missing_G.astype(np.float32)[:, None])
    else:
        width = sum(column.shape[1] for column in columns)
        spare = -width % (2 * parameters.code_dims)  # fast scans take codes in pairs
        columns.append(np.zeros((len(vectors_GD), spare), dtype=np.float32))
    return np.ascontiguousarray(np.concatenate(columns, axis=1), dtype=np.float32)


def _squares(vectors_GD: Float32, offsets_G: Float32 | None) -> NDArray[np.float64]:
    """Return (G,) squared lengths of rows with their offsets."""
    squares_G: NDArray[np.float64] = np.einsum("gd,gd->g", vectors_GD, vectors_GD, dtype=np.float64)
    return squares_G if offsets_G is None else squares_G + np.square(offsets_G, dtype=np.float64)


def _asked(queries_QD: Float32, width: int, *, has_offsets: bool) -> Float32:
    """Return the (Q, E) rows that FAISS is asked with."""
    asked_QE = np.zeros((len(queries_QD), width), dtype=np.float32)
    asked_QE[:, : queries_QD.shape[1]] = queries_QD
    if has_offsets:
        asked_QE[:, queries_QD.shape[1]] = 1.0
    return asked_QE


def _build(vectors_GD: Float32, offsets_G: Float32 | None, parameters: Parameters) -> Any:
    if isinstance(parameters, Hnsw):
        rows_GE = stored(vectors_GD, offsets_G, parameters)
        graph = faiss.IndexHNSWFlat(rows_GE.shape[1], parameters.m, faiss.METRIC_L2)
        graph.hnsw.efConstruction = parameters.ef_construction
        graph.add(rows_GE)  # at once: FAISS 1.15 may orphan what earlier calls added
        return graph
    num_rows = len(vectors_GD)
    num_taught = min(num_rows, max(_TRAINED_PER_LIST * parameters.nlist, _TRAINED_AT_LEAST))
    drawn = np.sort(np.random.default_rng(0).choice(num_rows, num_taught, replace=False))
    taught_NE = stored(vectors_GD[drawn], _some(offsets_G, drawn), parameters)
    width = taught_NE.shape[1]
    index = faiss.IndexIVFPQFastScan(
        faiss.IndexFlatIP(width),
        width,
        parameters.nlist,
        width // parameters.code_dims,
        4,
        faiss.METRIC_INNER_PRODUCT,
    )
    index.train(taught_NE)
    parts = _parts(num_rows)
    for part in track(parts, "coding the gallery") if len(parts) > 1 else parts:
        index.add(stored(vectors_GD[part], _some(offsets_G, part), parameters))
    return index


def _parts(num_rows: int) -> list[slice]:
    starts = range(0, num_rows, _ADDED_AT_ONCE)
    return [slice(start, start + _ADDED_AT_ONCE) for start in starts]


def _some(offsets_G: Float32 | None, rows: slice | Int64) -> Float32 | None:
    return None if offsets_G is None else offsets_G[rows]
