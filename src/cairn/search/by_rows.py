"""Search row by row, for so few queries that reading the gallery is what takes the time.

Legend of shapes: Q queries, S rows of a slab, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np

from cairn.domain import Float32
from cairn.search.candidates import Slab
from cairn.search.heaps import Heaps
from cairn.search.packing import norm_of
from cairn.search.rows import require_vectors
from cairn.search.scans import scan_rows
from cairn.search.topk import TopK
from cairn.search.workers import Workers, shares


def by_rows(queries_QD: Float32, slabs: Iterable[Slab], k: int, crew: Workers) -> TopK:
    """Return the top k of all slabs; queries and slabs as ``cairn.search.exact`` prepares them."""
    norms_Q = np.array([norm_of(query_D, 0) for query_D in queries_QD], np.float32)
    require_vectors(norms_Q, 0, "queries")
    heaps = Heaps(crew.num, len(queries_QD), k)
    for slab in slabs:
        norms_S = np.empty(len(slab.bits_SD), np.float32)
        lists = [heaps.lists(part, slice(None)) for part in range(crew.num)]
        spans = shares(len(slab.bits_SD), crew.num)
        crew.each(
            [
                partial(scan_rows, queries_QD, norms_Q, slab, lists[part], norms_S, *span)
                for part, span in enumerate(spans)
            ]
        )
        require_vectors(norms_S, slab.first, "gallery")
    return heaps.top_k(crew)
