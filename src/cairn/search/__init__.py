"""Exact top-k by inner product, streaming: the query x gallery matrix is never built.

``search`` is the whole of it for most uses, ``search_shards`` for a gallery in parts. ``top_k``
answers with float64 scores, which ``merge`` joins. ``cross`` makes the tables of both sides in one
pass.
"""

from cairn.search.cross import Crossing, cross
from cairn.search.exact import PRECISIONS, search, top_k
from cairn.search.rows import Array, Blocks
from cairn.search.shards import search_shards
from cairn.search.topk import TopK, merge

__all__ = [
    "PRECISIONS",
    "Array",
    "Blocks",
    "Crossing",
    "TopK",
    "cross",
    "merge",
    "search",
    "search_shards",
    "top_k",
]
