"""Photographs nobody has sorted, grouped by where they were taken into candidate landmarks.

A place is not a landmark: two towers share a square, and a tower is seen from a mile. But people
stand in the same spots for the same thing, so places are a first sorting for a person to go over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.sources.exif import with_exif
from cairn.sources.folder import list_photographs, skipped_note

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the earth (IUGG)."""

LABEL_SPACE = "places"
_PAIRS_AT_ONCE = 1 << 21

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class PhotoContents:
    """Unsorted photographs as a manifest.

    Args:
        manifest: The photographs.
        num_skipped: Files that are no photographs by their names.
        notes: Remarks for the person who asked, one sentence each.
    """

    manifest: Manifest
    num_skipped: int
    notes: tuple[str, ...]


def read_photos(
    root: Path, *, place_m: float | None = None, min_photos: int = 2, workers: int = 0
) -> PhotoContents:
    """Return the photographs below ``root``, with position, size and time as their files say.

    All are queries, to be asked about; with ``place_m`` those of one place are training images of
    one candidate landmark, named after its latitude and longitude.

    Args:
        root: Photographs at any depth.
        place_m: Metres from the middle of a place within which a photograph belongs to it.
        min_photos: Photographs that make a place.
        workers: Threads; 0 for as many as processors.

    Raises:
        CairnError: The folder is missing or has no photograph, or a number is below what it may be.
    """
    if place_m is not None and not place_m > 0:
        raise CairnError("a place needs a reach above 0 metres", where=place_m)
    if min_photos < 1:
        raise CairnError("a place needs at least one photograph", where=min_photos)
    paths, skipped = list_photographs(Path(root))
    if not paths:
        raise CairnError("the folder holds no photograph", where=root)
    count = len(paths)
    base = Path(root).absolute()
    manifest = Manifest.from_columns(
        {
            "image_id": [f"{base.name}/{path.relative_to(root).as_posix()}" for path in paths],
            "path": [str(path.absolute()) for path in paths],
            "landmark_id": [""] * count,
            "role": ["query"] * count,
            "label_space": [LABEL_SPACE] * count,
        },
        root=root,
    )
    manifest, notes = with_exif(manifest, workers=workers)
    if place_m is not None:
        manifest, more = _by_place(manifest, place_m, min_photos)
        notes += more
    else:
        notes.append("what they show is not known: scores of these queries say nothing")
    notes += skipped_note(skipped)
    return PhotoContents(manifest, len(skipped), tuple(notes))


def _by_place(manifest: Manifest, place_m: float, min_photos: int) -> tuple[Manifest, list[str]]:
    table = manifest.table
    known = np.flatnonzero(np.asarray(pc.is_valid(table["latitude"])))
    names = np.full(len(manifest), "", dtype=object)
    placed = table.take(pa.array(known))
    latitudes = np.asarray(placed["latitude"], dtype=np.float64)
    longitudes = np.asarray(placed["longitude"], dtype=np.float64)
    if len(known):
        centers = places(latitudes, longitudes, place_m)
        sizes = np.bincount(centers, minlength=len(known))
        for row, center in zip(known, centers, strict=True):
            if sizes[center] >= min_photos:
                names[row] = f"place_{latitudes[center]:.5f}_{longitudes[center]:.5f}"
    columns = table.column_names
    roles = np.where(names == "", "query", "train")
    table = table.set_column(columns.index("landmark_id"), "landmark_id", pa.array(names.tolist()))
    table = table.set_column(columns.index("role"), "role", pa.array(roles.tolist()))
    found = len(set(names) - {""})
    left = int((names == "").sum())
    notes = [f"{found:,} places of {min_photos} photographs or more within {place_m:g} m"]
    if left:
        notes.append(f"{left:,} photographs belong to no place: they are queries to ask about")
    return Manifest(table, manifest.root), notes


def places(latitudes_N: Float64, longitudes_N: Float64, place_m: float) -> Int64:
    """Return per position (N,) the row of the position that is the middle of its place.

    The position with most others within ``place_m`` becomes the middle of a place and takes all of
    them that have none yet; so on until all have one. So no two positions of a place are further
    apart than twice the reach: single links would chain whole cities together. Of equally crowded
    positions the earlier one goes first.

    Args:
        latitudes_N: Degrees in [-90, 90].
        longitudes_N: Degrees in [-180, 180]; places reach across the date line.
        place_m: The reach in metres along the surface of a sphere.
    """
    points_N3 = _on_sphere(latitudes_N, longitudes_N)
    reach = 2 * np.sin(min(place_m / EARTH_RADIUS_M, np.pi) / 2)  # of the chord
    cells = _Cells(points_N3, max(reach, 1e-9))
    crowds = np.empty(len(points_N3), dtype=np.int64)
    for rows, near in cells.blocks():
        crowds[rows] = _within(points_N3[rows], points_N3[near], reach).sum(axis=1)
    middle_of = np.full(len(points_N3), -1, dtype=np.int64)
    for row in np.argsort(-crowds, kind="stable"):
        if middle_of[row] < 0:
            near = cells.near(row)
            near = near[middle_of[near] < 0]
            middle_of[near[_within(points_N3[[row]], points_N3[near], reach)[0]]] = row
    return middle_of


def _on_sphere(latitudes_N: Float64, longitudes_N: Float64) -> Float64:
    up, around = np.deg2rad(latitudes_N), np.deg2rad(longitudes_N)
    return np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], axis=1)


def _within(a_A3: Float64, b_B3: Float64, reach: float) -> NDArray[np.bool_]:
    squares = ((a_A3[:, None, :] - b_B3[None, :, :]) ** 2).sum(axis=2)
    return np.asarray(squares <= (reach * (1 + 1e-9)) ** 2 + 1e-30)


class _Cells:
    """Points by cells as wide as the reach: those within it lie in a cell or beside it."""

    def __init__(self, points_N3: Float64, width: float) -> None:
        self.cell_N3 = np.floor(points_N3 / width).astype(np.int64)
        order = np.lexsort(self.cell_N3.T)
        steps = np.flatnonzero((np.diff(self.cell_N3[order], axis=0) != 0).any(axis=1)) + 1
        groups = [np.sort(group) for group in np.split(order, steps)]
        self.rows = {tuple(self.cell_N3[group[0]].tolist()): group for group in groups}

    def near(self, row: int) -> Int64:
        """Return the rows in the cell of this one and beside it, ascending."""
        return self._around(tuple(self.cell_N3[row].tolist()))

    def blocks(self) -> Iterator[tuple[Int64, Int64]]:
        """Yield rows of one cell and the rows near them, a bounded number of pairs at a time."""
        for cell, rows in self.rows.items():
            near = self._around(cell)
            at_once = max(1, _PAIRS_AT_ONCE // len(near))
            for start in range(0, len(rows), at_once):
                yield rows[start : start + at_once], near

    def _around(self, cell: tuple[int, ...]) -> Int64:
        x, y, z = cell
        found = [
            self.rows[key]
            for key in ((x + i, y + j, z + k) for i in _BESIDE for j in _BESIDE for k in _BESIDE)
            if key in self.rows
        ]
        return np.sort(np.concatenate(found))


_BESIDE = (-1, 0, 1)
