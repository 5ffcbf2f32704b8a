"""A plain map: how many photographs each cell of degrees has, over lines of latitude and longitude.

It fits what there is: a city fills it as the world does. There are no coasts: no map is fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cairn.pages.drawing import NOW, RULE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CELLS_ACROSS = 90
_LEAST_DEGREES = 0.02
_WIDTH_IN, _HEIGHTS_IN = 9.0, (3.2, 6.0)
_KILOMETRES_A_DEGREE = 111.2


def draw_map(places_M2: NDArray[np.float64]) -> Figure:
    """Return photographs by cell: the larger and the darker a point, the more there are.

    The projection is equirectangular, its standard parallel in the middle of what is shown.

    Args:
        places_M2: Latitudes and longitudes in degrees, at least one.
    """
    south, north, west, east = _bounds(places_M2)
    squeeze = max(np.cos(np.radians((south + north) / 2)), 0.2)
    across, up = (east - west) * squeeze, north - south
    height = float(np.clip(_WIDTH_IN * up / across, *_HEIGHTS_IN))
    figure, (axes,) = new_figure(_WIDTH_IN, height)
    cell = across / _CELLS_ACROSS
    at = np.stack([places_M2[:, 1] * squeeze, places_M2[:, 0]], axis=1)
    cells, counts = np.unique(np.floor(at / cell).astype(np.int64), axis=0, return_counts=True)
    order = np.argsort(counts)
    middles, counts = (cells[order] + 0.5) * cell, counts[order]
    share = np.log1p(counts) / np.log1p(counts.max())
    bands = np.digitize(share, (0.25, 0.5, 0.75))
    for band, alpha in enumerate((0.35, 0.5, 0.7, 0.95)):  # few styles: a small file
        chosen = bands == band
        axes.scatter(
            middles[chosen, 0] / squeeze,
            middles[chosen, 1],
            s=5 + 26 * share[chosen] ** 2,
            color=NOW,
            alpha=alpha,
            linewidths=0,
        )
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    axes.set_aspect(1 / squeeze, adjustable="box")
    axes.xaxis.set_major_formatter(lambda value, _: _degrees(value, "E", "W"))
    axes.yaxis.set_major_formatter(lambda value, _: _degrees(value, "N", "S"))
    if south < 0 < north:
        axes.axhline(0, color=RULE, linewidth=1.2)
    kilometres = cell * _KILOMETRES_A_DEGREE
    side = f"{kilometres:,.0f}" if kilometres >= 10 else f"{kilometres:.1f}"
    longitude, latitude = middles[-1, 0] / squeeze, middles[-1, 1]
    axes.set_xlabel(
        f"a point is a cell of about {side} km, the largest has {counts[-1]:,} images: "
        f"near {_degrees(round(latitude, 1), 'N', 'S')} {_degrees(round(longitude, 1), 'E', 'W')}"
    )
    return figure


def _bounds(places: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return south, north, west and east with a margin; the world where they span most of it."""
    (south, west), (north, east) = places.min(axis=0), places.max(axis=0)
    if east - west > 200:
        west, east = -180.0, 180.0
    margin = max(0.06 * max(east - west, north - south), _LEAST_DEGREES)
    return (
        max(south - margin, -90.0),
        min(north + margin, 90.0),
        max(west - margin, -180.0),
        min(east + margin, 180.0),
    )


def _degrees(value: float, positive: str, negative: str) -> str:
    letter = "" if abs(value) < 1e-9 else (positive if value > 0 else negative)
    return f"{abs(value):.6g}°{letter}"
