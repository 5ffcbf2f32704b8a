"""Ways to find the top k of a gallery: Cairn's search and its peers, behind one signature.

A way is prepared once for a gallery and a number of threads and then answers queries: (Q, D)
float32 and k to (Q, k) int64 rows, best first. What each peer does with memory and threads:

- FAISS IndexFlatIP copies the gallery. OpenMP threads share the queries, or the rows where there is
  one query; from 250 queries of 512 dimensions on, OpenBLAS multiplies (FAISS 1.15).
- ScaNN brute force copies the gallery. ``search_batched_parallel`` hands the queries out to a pool
  of the said threads, while the caller works too; one query alone is answered by the caller.
- scikit-learn reads the gallery in place, through Euclidean distances (unit rows: same order), in
  OpenMP threads.
- PyTorch multiplies blocks of queries and gallery, ``topk``, and merges; one query alone is one
  thread's work in float32. bfloat16 halves a copy of the gallery and is inexact: how much of its
  answer is right is measured, not required.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

import numpy as np
import torch

from cairn.domain import Float32, Int64
from cairn.search import search

Searcher: TypeAlias = Callable[[Float32, int], Int64]

_QUERIES, _ROWS = 1024, 1 << 16  # of a block of PyTorch's: the quickest of those tried


@dataclass(frozen=True)
class Way:
    """A way to search.

    Args:
        prepare: (gallery, threads) -> a searcher.
        module: What must be importable.
        install: How to get it.
        is_exact: Whether the answers are those of float32 products.
    """

    prepare: Callable[[Float32, int], Searcher]
    module: str
    install: str = ""
    is_exact: bool = True

    @property
    def is_installed(self) -> bool:
        """Whether it can run here."""
        return find_spec(self.module) is not None


def cairn(gallery_GD: Float32, threads: int) -> Searcher:
    torch.set_num_threads(threads)
    return lambda queries_QD, k: search(queries_QD, gallery_GD, k).indices


def faiss_flat(gallery_GD: Float32, threads: int) -> Searcher:
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(gallery_GD.shape[1])
    index.add(gallery_GD)
    return lambda queries_QD, k: np.asarray(index.search(queries_QD, k)[1])


def faiss_in_place(gallery_GD: Float32, threads: int) -> Searcher:
    """Search as IndexFlatIP does, by the same function, without its copy of the gallery."""
    import faiss

    faiss.omp_set_num_threads(threads)
    kind = faiss.METRIC_INNER_PRODUCT
    return lambda queries_QD, k: np.asarray(faiss.knn(queries_QD, gallery_GD, k, metric=kind)[1])


def scann_brute(gallery_GD: Float32, threads: int) -> Searcher:
    from scann import scann_ops_pybind

    builder = scann_ops_pybind.builder(gallery_GD, 20, "dot_product")
    index = builder.score_brute_force().set_n_training_threads(threads).build()
    index.set_num_threads(threads)
    return lambda queries_QD, k: index.search_batched_parallel(queries_QD, k)[0].astype(np.int64)


def sklearn_brute(gallery_GD: Float32, threads: int) -> Searcher:
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    index = NearestNeighbors(algorithm="brute", metric="euclidean").fit(gallery_GD)

    def answer(queries_QD: Float32, k: int) -> Int64:
        with threadpool_limits(threads):
            return np.asarray(index.kneighbors(queries_QD, k, return_distance=False))

    return answer


def torch_float32(gallery_GD: Float32, threads: int) -> Searcher:
    torch.set_num_threads(threads)
    gallery = torch.from_numpy(gallery_GD)
    return lambda queries_QD, k: in_blocks(torch.from_numpy(queries_QD), gallery, k).numpy()


def torch_bfloat16(gallery_GD: Float32, threads: int) -> Searcher:
    torch.set_num_threads(threads)
    gallery = torch.from_numpy(gallery_GD).bfloat16()
    return lambda queries_QD, k: in_blocks(
        torch.from_numpy(queries_QD).bfloat16(), gallery, k
    ).numpy()


def in_blocks(queries_QD: torch.Tensor, gallery_GD: torch.Tensor, k: int) -> torch.Tensor:
    """Return the rows (Q, k) that plain PyTorch finds: products in blocks, topk, merge."""
    found = []
    for part_QD in torch.split(queries_QD, _QUERIES):
        best_QK = part_QD.new_empty(len(part_QD), 0)
        rows_QK = torch.empty(len(part_QD), 0, dtype=torch.int64, device=part_QD.device)
        for start in range(0, len(gallery_GD), _ROWS):
            scores = part_QD @ gallery_GD[start : start + _ROWS].T
            top, at = scores.topk(min(k, scores.shape[1]), dim=1)
            best_QK, rows_QK = torch.cat([best_QK, top], 1), torch.cat([rows_QK, at + start], 1)
            best_QK, at = best_QK.topk(min(k, best_QK.shape[1]), dim=1)
            rows_QK = rows_QK.gather(1, at)
        found.append(rows_QK)
    return torch.cat(found)


WAYS = {
    "Cairn": Way(cairn, "cairn"),
    "FAISS flat": Way(faiss_flat, "faiss", "pip install faiss-cpu"),
    "ScaNN": Way(scann_brute, "scann", "pip install 'cairn-landmarks[bench]'"),
    "PyTorch": Way(torch_float32, "torch"),
    "scikit-learn": Way(sklearn_brute, "sklearn", "pip install scikit-learn"),
    "PyTorch bf16": Way(torch_bfloat16, "torch", is_exact=False),
    "FAISS in place": Way(faiss_in_place, "faiss", "pip install faiss-cpu"),
}
"""Cairn, its peers in the order of the tables, and FAISS without a copy for large galleries."""
