"""What proposes quickest on this machine; the answers are the same whichever it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
import torch

from cairn.search.by_products import by_products
from cairn.search.by_tiles import by_tiles
from cairn.search.candidates import Slab
from cairn.search.compiled import FLOAT32
from cairn.search.tiles import HAS_MATRIX_UNITS, HAS_TILES
from cairn.search.workers import workers

_QUERIES, _ROWS, _DIMENSION = 448, 8192, 512
_PAYS = 1.3  # rounding the gallery costs something too


@lru_cache(maxsize=1)
def quickest_way() -> str:
    """Return ``tiles``, or what PyTorch's products are best made in: ``bfloat16`` or ``float32``.

    Tiles beat PyTorch wherever there are any, unless the processor has matrix units for bfloat16:
    there both ways are timed.
    """
    if HAS_TILES and not HAS_MATRIX_UNITS:
        return "tiles"
    if bfloat16_rate() < _PAYS:
        return "tiles" if HAS_TILES else "float32"
    if not HAS_TILES:
        return "bfloat16"
    draw = np.random.default_rng(0).standard_normal
    queries, rows = (draw((num, _DIMENSION), dtype=np.float32) for num in (_QUERIES, _ROWS))
    slab = Slab(rows.view(np.uint32), FLOAT32, np.zeros(_ROWS, np.float32), 0)
    with workers() as crew:
        tiles = _seconds(partial(by_tiles, queries, 0, [slab], 20, crew))
        products = _seconds(partial(by_products, queries, [slab], 20, crew, dtype=torch.bfloat16))
    return "tiles" if tiles < products else "bfloat16"


def bfloat16_rate() -> float:
    """Return how many times quicker than in float32 PyTorch's products are in bfloat16."""
    left, right = torch.ones(256, _DIMENSION), torch.ones(1024, _DIMENSION)
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        a, b = left.to(dtype), right.to(dtype).T
        seconds.append(_seconds(partial(torch.mm, a, b)))
    return seconds[0] / seconds[1]


def _seconds(run: Callable[[], object]) -> float:
    times = []
    for _ in range(4):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return min(times[1:])
