"""Unsorted photographs, grouped by place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cairn.errors import CairnError
from cairn.sources.photos import EARTH_RADIUS_M, places, read_photos

METRE = 360 / (2 * np.pi * EARTH_RADIUS_M)
"""Degrees along a meridian."""


def distance_m(a: tuple[float, float], b: tuple[float, float]) -> float:
    """The haversine formula, as a plain second opinion."""
    (p, q), (r, s) = np.deg2rad(a), np.deg2rad(b)
    h = np.sin((r - p) / 2) ** 2 + np.cos(p) * np.cos(r) * np.sin((s - q) / 2) ** 2
    return float(2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(h)))


def groups(positions: list[tuple[float, float]], reach: float) -> list[int]:
    latitudes, longitudes = np.array(positions).T
    return [int(row) for row in places(latitudes, longitudes, reach)]


def test_the_most_crowded_position_is_the_middle() -> None:
    line = [(48 + metres * METRE, 2.0) for metres in (0, 60, 120, 180, 240)]
    # Within 70 m the inner three have two neighbours each; the first of them takes its two, what
    # is left of the chain is a place of its own.
    assert groups(line, 70) == [1, 1, 1, 3, 3]
    assert groups(line, 1) == [0, 1, 2, 3, 4]
    assert groups(line, 1000) == [0] * 5


def test_degrees_of_longitude_shrink_towards_the_poles_and_meet_at_the_date_line() -> None:
    far_north = [(60.0, 10.0), (60.0, 10.0 + 150 * METRE)]  # 75 m there
    assert groups(far_north, 80) == [0, 0]
    assert groups(far_north, 70) == [0, 1]
    assert groups([(0.0, 180 - 20 * METRE), (0.0, -180 + 20 * METRE)], 50) == [0, 0]
    assert groups([(90.0, 0.0), (90.0, 120.0)], 1) == [0, 0]


def test_against_distances_worked_out_one_by_one() -> None:
    rng = np.random.default_rng(3)
    positions = [(48 + a * METRE, 2 + b * METRE) for a, b in rng.uniform(0, 900, (120, 2))]
    distances = np.array([[distance_m(a, b) for b in positions] for a in positions])
    near = distances <= 80
    expected = np.full(len(positions), -1)
    for row in np.argsort(-near.sum(axis=1), kind="stable"):
        if expected[row] < 0:
            expected[near[row] & (expected < 0)] = row
    assert groups(positions, 80) == expected.tolist()


def photo(path: Path, place: tuple[float, float] | None) -> None:
    exif = Image.Exif()
    if place:
        gps: dict[int, Any] = {1: "N", 2: (place[0], 0.0, 0.0), 3: "E", 4: (place[1], 0.0, 0.0)}
        exif.get_ifd(0x8825).update(gps)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6)).save(path, exif=exif)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    photo(tmp_path / "album/2020/a.jpg", (48.85, 2.29))
    photo(tmp_path / "album/2021/b.jpg", (48.85, 2.29))
    photo(tmp_path / "album/c.jpg", (51.5, 0.1))
    photo(tmp_path / "album/d.jpg", None)
    (tmp_path / "album/notes.txt").touch()
    return tmp_path / "album"


def test_an_album_as_it_is(album: Path) -> None:
    found = read_photos(album)
    table = found.manifest.table
    assert found.manifest.image_ids == [f"album/{n}" for n in ("2020/a.jpg", "2021/b.jpg",
                                                               "c.jpg", "d.jpg")]  # fmt: skip
    assert found.manifest.roles == ["query"] * 4
    assert table["latitude"].to_pylist() == [48.85, 48.85, 51.5, None]
    assert table["height"].to_pylist() == [6] * 4
    assert all(path.is_file() for path in found.manifest.paths)
    assert found.notes[0] == "3 of 4 photographs carry a position"
    assert "1 files were skipped (.txt 1)" in found.notes[-1]


def test_a_telephone_s_heic_files_are_told(album: Path) -> None:
    (album / "IMG_1.HEIC").touch()
    assert "HEIC is not read, convert it to JPEG first" in read_photos(album).notes[-1]


def test_an_album_by_place(album: Path) -> None:
    found = read_photos(album, place_m=100)
    assert found.manifest.landmark_ids == ["place_48.85000_2.29000"] * 2 + ["", ""]
    assert found.manifest.roles == ["train", "train", "query", "query"]
    assert "1 places of 2 photographs or more within 100 m" in found.notes
    assert "2 photographs belong to no place: they are queries to ask about" in found.notes
    singles = read_photos(album, place_m=100, min_photos=1).manifest
    assert singles.landmark_ids[2:] == ["place_51.50000_0.10000", ""]


def test_an_album_without_positions(album: Path) -> None:
    for path in album.rglob("*.jpg"):
        photo(path, None)
    assert read_photos(album, place_m=100).manifest.roles == ["query"] * 4


def test_numbers_and_folders_that_are_none(album: Path, tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="above 0 metres"):
        read_photos(album, place_m=0.0)
    with pytest.raises(CairnError, match="at least one"):
        read_photos(album, min_photos=0)
    with pytest.raises(CairnError, match="folder not found"):
        read_photos(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CairnError, match="no photograph"):
        read_photos(tmp_path / "empty")
