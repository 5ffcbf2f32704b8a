"""Approximate search against exact search and plain FAISS, on one machine in one run.

For each gallery: Cairn's exact search, then each kind of approximate search with ever more effort:
its recall of the 20 nearest and of the nearest, seconds to build, size beside the gallery, and for
one query and for many at once the seconds a query takes, how many times faster that is than exact
search and than the same FAISS index asked alone. FAISS alone knows no penalties and its codes give
rough similarities, so ``alone`` stands for its recall: what re-scoring adds. Ways take turns; the
best round counts.

A third of the gallery has a penalty, so that offsets are part of what is measured. ``--tune``
prints what ``cairn gallery tune`` would find, too.

    python benchmarks/approximate.py                     # 20,000 and 50,000 rows, minutes
    python benchmarks/approximate.py --gallery 1000000 --data strong
    python benchmarks/approximate.py --gallery 2000 --dimension 32 --queries 40 --repeats 1
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import faiss
import numpy as np
import torch

from cairn.approximate import ApproximateSearcher
from cairn.domain import Float32, Int64, Neighbors
from cairn.index_kinds import Hnsw, IvfPq, Parameters
from cairn.recall import recall_of
from cairn.searchers import ExactSearcher
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
    print(f"\n{'data':10}{'G':>9}  {'search':46}{f'rec@{k}':>7}{'rec@1':>7}{'alone':>7}", end="")
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
    exact_s = timed(exact, asked_QD, options)
    print(f"{'':22}{exact_s[0]:9.6f}s{'':14}{exact_s[1]:9.6f}s", flush=True)
    for kind in options.kinds:
        for parameters in builds(kind, num_gallery):
            searcher = ApproximateSearcher(gallery_GD, parameters, offsets=offsets_G)
            for changes in efforts(parameters):
                one = searcher.with_search(**changes)
                print(f"{data:10}{num_gallery:9}  {one.name:46}", end="", flush=True)
                compare(one, asked_QD, truth, exact_s, options)
    if options.tune:
        tuned = tune(gallery_GD, asked_QD, offsets=offsets_G, k=options.k)
        print(f"{tuned.table()}\n{tuned.verdict}")


def compare(
    searcher: ApproximateSearcher,
    asked_QD: Float32,
    truth: Neighbors,
    exact_s: tuple[float, float],
    options: argparse.Namespace,
) -> None:
    """Measure one setting and end its line."""
    alone = Alone(searcher)
    recall = recall_of(searcher.search(asked_QD, options.k), truth)
    theirs = shared(alone.search(asked_QD, options.k), truth)
    print(f"{recall.at_k.value:7.3f}{recall.at_1.value:7.3f}{theirs:7.3f}", end="")
    print(f"{searcher.build_s:7.1f}s{searcher.num_bytes / 1e6:7.0f}", end="", flush=True)
    own_s, faiss_s = (timed(one, asked_QD, options) for one in (searcher, alone))
    for mine, exacts, others in zip(own_s, exact_s, faiss_s, strict=True):
        print(f"{mine:9.6f}s{exacts / mine:6.1f}x{others / mine:6.2f}x", end="")
    print(flush=True)


class Alone:
    """The same FAISS index, asked for k rows with the same effort, its order taken as it is."""

    def __init__(self, searcher: ApproximateSearcher) -> None:
        self.index, self.parameters = searcher.index, searcher.parameters

    def search(self, asked_QD: Float32, k: int) -> Int64:
        """Return (Q, k) rows."""
        asked_QE = np.zeros((len(asked_QD), self.index.d), dtype=np.float32)
        asked_QE[:, : asked_QD.shape[1]] = asked_QD
        asked_QE[:, asked_QD.shape[1]] = 1.0
        found = self.index.search(asked_QE, k, params=faiss_settings(self.parameters))
        return np.asarray(found[1])


def faiss_settings(parameters: Parameters) -> Any:
    if isinstance(parameters, Hnsw):
        return faiss.SearchParametersHNSW(efSearch=parameters.ef_search)  # type: ignore[attr-defined]
    return faiss.SearchParametersIVF(nprobe=parameters.nprobe)  # type: ignore[call-arg]


def timed(searcher: Any, asked_QD: Float32, options: argparse.Namespace) -> tuple[float, float]:
    """Return the seconds a query takes: one after the other, and all at once."""
    ones = asked_QD[:_ALONE]

    def one_by_one() -> None:
        for row in range(len(ones)):
            searcher.search(ones[row : row + 1], options.k)

    ways: dict[str, Callable[[], object]] = {
        "one": one_by_one,
        "many": partial(searcher.search, asked_QD, options.k),
    }
    one_by_one()
    best_s = taking_turns(ways, options.repeats)
    return best_s["one"] / len(ones), best_s["many"] / len(asked_QD)


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
