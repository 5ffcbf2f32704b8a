"""Approximate search against exact search and plain FAISS, on one machine in one run.

For each gallery: Cairn's exact search, then each kind of approximate search with ever more effort:
its recall of the 20 nearest and of the nearest, seconds to build, size beside the gallery, and for
one query and for many at once the seconds a query takes, and how many times those exact search and
FAISS take. FAISS is the same index asked alone with the same effort, its lists with FAISS's own
re-ranking of as many candidates (``IndexRefine``, which holds the rows once more); ``theirs`` is
its recall. Its rows have the penalties too. Ways take turns; the best round counts.

A third of the gallery has a penalty, so that offsets are part of what is measured. ``--tune``
prints what ``cairn gallery tune`` would find, too.

    python benchmarks/approximate.py                     # 20,000 and 50,000 rows, minutes
    python benchmarks/approximate.py --gallery 1000000 --data strong
    python benchmarks/approximate.py --gallery 2000 --dimension 32 --queries 40 --repeats 1
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import faiss
import numpy as np
import torch

from cairn.approximate import ApproximateSearcher, stored
from cairn.domain import Float32, Int64, Neighbors
from cairn.index_kinds import Hnsw, IvfPq, Parameters
from cairn.recall import recall_of
from cairn.search import Array
from cairn.searchers import ExactSearcher, Searcher
from cairn.tuning import tune
from measuring.machine import describe, taking_turns
from measuring.vectors import ALIKE, QUERY_ALIKE, fill, queries

_KNOWN = 0.5
_ALONE = 32  # queries that are asked one after the other
_EFFORTS = (32, 128, 512)
_SCANS = ((8, 100), (32, 200), (128, 400))  # lists, and candidates scored again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--gallery", type=int, nargs="+", default=[20_000, 50_000])
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--k", type=int, default=20)
    parser.add_argument("--data", nargs="+", choices=ALIKE, default=["clustered", "strong"])
    parser.add_argument(
        "--kinds", nargs="+", choices=["hnsw", "ivf-pq"], default=["hnsw", "ivf-pq"]
    )
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--tune", action="store_true", help="print what tuning finds, too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    faiss.omp_set_num_threads(options.threads)
    print(describe(options.threads))
    print_head(options.k)
    for num_gallery in options.gallery:
        for data in options.data:
            compare_all(data, num_gallery, options)


def print_head(k: int) -> None:
    print(f"\n{'data':10}{'G':>9}  {'search':46}{f'rec@{k}':>7}{'rec@1':>7}{'theirs':>7}", end="")
    print(f"{'build':>8}{'MB':>7}{'one':>10}{'exact':>7}{'FAISS':>7}", end="")
    print(f"{'many':>10}{'exact':>7}{'FAISS':>7}")


def compare_all(data: str, num_gallery: int, options: argparse.Namespace) -> None:
    """Make a gallery with penalties and print a line for every search of it."""
    gallery_GD = np.empty((num_gallery, options.dimension), dtype=np.float32)
    fill(gallery_GD, data, seed=0)
    alike = QUERY_ALIKE[data]
    asked_QD = queries(gallery_GD, options.queries, known=_KNOWN, alike=alike, seed=1)
    offsets_G = penalties(num_gallery)
    exact = ExactSearcher(gallery_GD, offsets=offsets_G)
    truth = exact.search(asked_QD, options.k)
    print(f"{data:10}{num_gallery:9}  {'exact':46}{1:7.3f}{1:7.3f}", end="")
    print(flush=True)
    for kind in options.kinds:
        for parameters in builds(kind, num_gallery):
            searcher = ApproximateSearcher(gallery_GD, parameters, offsets=offsets_G)
            alone = Alone(searcher)
            for changes in efforts(parameters):
                one = searcher.with_search(**changes)
                alone.parameters = one.parameters
                print(f"{data:10}{num_gallery:9}  {one.name:46}", end="", flush=True)
                compare({"own": one, "exact": exact, "FAISS": alone}, asked_QD, truth, options)
    if options.tune:
        tuned = tune(gallery_GD, asked_QD, offsets=offsets_G, k=options.k)
        print(f"{tuned.table()}\n{tuned.verdict}")


class Alone:
    """FAISS by itself, on the index of a searcher."""

    name = "FAISS"

    def __init__(self, searcher: ApproximateSearcher) -> None:
        self.index, self.parameters = searcher.index, searcher.parameters
        self.dimension, self._num = searcher.dimension, len(searcher)
        if isinstance(self.parameters, IvfPq):
            self._flat = faiss.IndexFlatIP(self.index.d)
            self._flat.add(stored(searcher.vectors, searcher.offsets, self.parameters))
            self._base = self.index
            self.index = faiss.IndexRefine(self._base, self._flat)

    def __len__(self) -> int:
        return self._num

    def search(self, queries: Array, k: int) -> Neighbors:
        """Return FAISS's answer, with what it calls similarities: for a graph minus distances."""
        asked_QD = np.asarray(queries)
        asked_QE = np.zeros((len(asked_QD), self.index.d), dtype=np.float32)
        asked_QE[:, : self.dimension] = asked_QD
        asked_QE[:, self.dimension] = 1.0
        scores, rows = self.index.search(asked_QE, k, params=faiss_settings(self.parameters, k))
        return Neighbors(rows, -scores if isinstance(self.parameters, Hnsw) else scores)


def faiss_settings(parameters: Parameters, k: int) -> Any:
    library: Any = faiss  # whose own types do not know these arguments
    if isinstance(parameters, Hnsw):
        return library.SearchParametersHNSW(efSearch=parameters.ef_search)
    return library.IndexRefineSearchParameters(
        k_factor=parameters.num_rescored / k,
        base_index_params=library.SearchParametersIVF(nprobe=parameters.nprobe),
    )


def compare(
    ways: dict[str, Searcher], asked_QD: Float32, truth: Neighbors, options: argparse.Namespace
) -> None:
    """Measure one setting and end its line."""
    own = ways["own"]
    assert isinstance(own, ApproximateSearcher)
    recall = recall_of(own.search(asked_QD, options.k), truth)
    theirs = shared(ways["FAISS"].search(asked_QD, options.k).indices, truth)
    print(f"{recall.at_k.value:7.3f}{recall.at_1.value:7.3f}{theirs:7.3f}", end="")
    print(f"{own.build_s:7.1f}s{own.num_bytes / 1e6:7.0f}", end="", flush=True)
    ones = {name: partial(one_by_one, way, asked_QD, options.k) for name, way in ways.items()}
    many = {name: partial(way.search, asked_QD, options.k) for name, way in ways.items()}
    for runs, num in ((ones, _ALONE), (many, len(asked_QD))):
        best_s = taking_turns(runs, options.repeats)
        own_s = best_s["own"]
        print(f"{own_s / num:9.6f}s{best_s['exact'] / own_s:6.1f}x", end="")
        print(f"{best_s['FAISS'] / own_s:6.2f}x", end="", flush=True)
    print()


def one_by_one(searcher: Searcher, asked_QD: Float32, k: int) -> None:
    for row in range(_ALONE):
        at = row % len(asked_QD)
        searcher.search(asked_QD[at : at + 1], k)


def shared(rows_QK: Int64, truth: Neighbors) -> float:
    """Return the share of the exact rows among some."""
    pairs = zip(rows_QK, truth.indices, strict=True)
    return float(np.mean([np.isin(wanted, found).mean() for found, wanted in pairs]))


def penalties(num: int) -> Float32:
    """Return offsets: a third of the rows lose up to 0.3."""
    rng = np.random.default_rng(2)
    return np.where(rng.random(num) < 1 / 3, -rng.uniform(0, 0.3, num), 0).astype(np.float32)


def builds(kind: str, num_gallery: int) -> Sequence[Parameters]:
    if kind == "hnsw":
        return [Hnsw.for_gallery(num_gallery)]
    usual = IvfPq.for_gallery(num_gallery)
    return [IvfPq(nlist=usual.nlist, code_dims=dims, nprobe=usual.nprobe) for dims in (4, 2)]


def efforts(parameters: Parameters) -> list[dict[str, int]]:
    if isinstance(parameters, Hnsw):
        return [{"ef_search": effort} for effort in _EFFORTS]
    most = parameters.nlist
    return [{"nprobe": min(most, probes), "num_rescored": width} for probes, width in _SCANS]


if __name__ == "__main__":
    main()
