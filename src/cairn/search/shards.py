"""Search over a gallery in several parts, wherever each lies, to the answer of the whole.

A cluster calls ``cairn.search.top_k`` where a shard lies, sends the answer, and calls ``merge``.
Within one process ``search_shards`` does both; shards on different GPUs are searched at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from torch import Tensor

from cairn.domain import Neighbors
from cairn.errors import CairnError
from cairn.search.exact import top_k
from cairn.search.rows import Array, Gallery
from cairn.search.topk import merge


def search_shards(
    queries: Array,
    shards: Sequence[Gallery],
    k: int,
    *,
    offsets: Sequence[Array | None] | None = None,
) -> Neighbors:
    """Return what ``search`` returns for the shards one after the other, in every bit.

    Args:
        queries: (Q, D), as ``cairn.search.search`` takes them.
        shards: At least one gallery (G_i, D), likewise, in memory, on a GPU, mapped or in blocks.
        k: How many neighbours a query gets, at least 1.
        offsets: One entry a shard, (G_i,) float32 or None; as for ``search``.

    Returns:
        Rows are numbered through all shards.

    Raises:
        CairnError: There are no shards, not one entry of offsets for each, or as ``search``.
    """
    added = [None] * len(shards) if offsets is None else list(offsets)
    if not shards or len(added) != len(shards):
        raise CairnError(
            "offsets need one entry for each shard, and there must be a shard",
            where=f"{len(shards)} shards, {len(added)} entries",
        )
    tasks = [
        partial(top_k, queries, shard, k, offsets=own)
        for shard, own in zip(shards, added, strict=True)
    ]
    devices = {shard.device for shard in shards if isinstance(shard, Tensor) and shard.is_cuda}
    if len(devices) > 1:  # on the host each search uses all processors already
        with ThreadPoolExecutor(len(tasks), thread_name_prefix="shard") as pool:
            found = list(pool.map(lambda task: task(), tasks))
    else:
        found = [task() for task in tasks]
    starts = [0]
    for shard in shards:
        starts.append(starts[-1] + shard.shape[0])
    moved = [part.moved(start) for part, start in zip(found, starts, strict=False)]
    return merge(moved, k).neighbors()
