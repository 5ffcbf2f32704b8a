"""Long curves thinned for a plot without changing what is seen (M4: Jugel et al., VLDB 2014)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

COLUMNS = 600
"""Columns of pixels that a curve is kept true to."""


def thinned(x: Float64, y: Float64, *, columns: int = COLUMNS, log: bool = False) -> Int64:
    """Return ascending positions of the points that draw the same line.

    Of the points that share a column of pixels only the first, the last, the lowest and the highest
    reach pixels that the others do not.

    Args:
        x: (N,) ascending; above 0 where ``log``.
        y: (N,) any finite numbers.
        columns: How many columns the plot has.
        log: Whether the plot's x axis is logarithmic.
    """
    if len(x) <= 4 * columns:
        return np.arange(len(x), dtype=np.int64)
    place = np.log(x) if log else np.asarray(x, dtype=np.float64)
    width = (place[-1] - place[0]) or 1.0
    column = np.minimum((columns * (place - place[0]) / width).astype(np.int64), columns - 1)
    first = np.flatnonzero(np.diff(column, prepend=-1))
    last = np.append(first[1:], len(x)) - 1
    order = np.lexsort((y, column))  # columns are blocks of it, each from its lowest value up
    return np.unique(np.concatenate([first, last, order[first], order[last]])).astype(np.int64)
