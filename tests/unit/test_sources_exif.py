"""Position, size and time as cameras write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from cairn.manifest import Manifest
from cairn.sources.exif import PhotoFacts, position, read_facts, time_taken, with_exif


def photo(path: Path, *, gps: dict[int, Any] | None = None, taken: str = "", turn: int = 1) -> Path:
    exif = Image.Exif()
    exif[0x0112] = turn
    if taken:
        exif.get_ifd(0x8769)[0x9003] = taken
    if gps:
        exif.get_ifd(0x8825).update(gps)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6)).save(path, exif=exif)
    return path


def dms(north: str, latitude: Any, east: str, longitude: Any) -> dict[int, Any]:
    return {1: north, 2: latitude, 3: east, 4: longitude}


@pytest.mark.parametrize(
    ("gps", "place"),
    [
        # 48 degrees 51' 30.24" north, 2 degrees 17' 40.2" east: the Eiffel Tower.
        (dms("N", (48, 51, 30.24), "E", (2, 17, 40.2)), (48.8584, 2.2945)),
        (dms("S", (33, 51, 24), "W", (58, 22, 54)), (-33.85666667, -58.38166667)),
        (dms("N", (48, 51.5), "E", (2, 30)), (48.85833333, 2.5)),
        (dms("n ", (48.5,), "e\0", (2.5,)), (48.5, 2.5)),
        (dms("N", 48.5, "W", 2), (48.5, -2.0)),
        ({1: b"N\0", 2: (1, 0, 0), 3: b"E\0", 4: (0, 0, 0)}, (1.0, 0.0)),
        (dms("N", (IFDRational(97, 2), 0, 0), "E", (180, 0, 0)), (48.5, 180.0)),
        ({}, None),
        ({1: "N", 29: "2020:01:01"}, None),
    ],
)
def test_forms_of_positions(gps: dict[int, Any], place: tuple[float, float] | None) -> None:
    assert position(gps) == place


@pytest.mark.parametrize(
    ("gps", "fault"),
    [
        ({2: (48, 51, 30), 4: (2, 17, 40)}, "no hemisphere"),
        (dms("E", (48, 0, 0), "N", (2, 0, 0)), "no hemisphere"),
        (dms("", (48, 0, 0), "E", (2, 0, 0)), "no hemisphere"),
        ({1: "N", 2: (48, 0, 0)}, "half a position"),
        (dms("N", (IFDRational(48, 0), 0, 0), "E", (2, 0, 0)), "zero denominator"),
        (dms("N", (48, 0, IFDRational(0, 0)), "E", (2, 0, 0)), "zero denominator"),
        (dms("N", (91, 0, 0), "E", (2, 0, 0)), "out of range"),
        (dms("N", (90, 0, 1), "E", (2, 0, 0)), "out of range"),
        (dms("N", (48, 0, 0), "E", (181, 0, 0)), "out of range"),
        (dms("N", (48, 61, 0), "E", (2, 0, 0)), "out of range"),
        (dms("N", (-48, 0, 0), "E", (2, 0, 0)), "out of range"),
        (dms("N", (0, 0, 0), "E", (0, 0, 0)), "position 0, 0"),
        (dms("N", ("x", 0, 0), "E", (2, 0, 0)), "no numbers"),
        (dms("N", (), "E", (2, 0, 0)), "no numbers"),
        (dms("N", (1, 2, 3, 4), "E", (2, 0, 0)), "no numbers"),
    ],
)
def test_what_is_no_certain_position(gps: dict[int, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        position(gps)


@pytest.mark.parametrize(
    ("exif", "taken"),
    [
        ({0x9003: "2021:05:03 12:30:59"}, "2021-05-03T12:30:59"),
        ({0x9003: "2021:05:03 12:30:59\0", 0x9011: "+02:00"}, "2021-05-03T12:30:59+02:00"),
        ({0x9003: b"2021:05:03 12:30:59", 0x9011: "   :  "}, "2021-05-03T12:30:59"),
        ({0x9003: "0000:00:00 00:00:00"}, None),
        ({0x9003: "2021:13:03 12:30:59"}, None),
        ({0x9003: "2021:05:03 25:30:59"}, None),
        ({0x9003: "yesterday"}, None),
        ({0x9003: 7}, None),
        ({}, None),
    ],
)
def test_times(exif: dict[int, Any], taken: str | None) -> None:
    assert time_taken(exif) == taken


def test_of_a_file(tmp_path: Path) -> None:
    gps = dms("N", (48.0, 51.0, 30.24), "E", (2.0, 17.0, 40.2))
    path = photo(tmp_path / "a.jpg", gps=gps, taken="2021:05:03 12:30:59", turn=6)
    assert read_facts(path) == PhotoFacts(6, 8, 48.8584, 2.2945, "2021-05-03T12:30:59")
    for name in ("b.png", "c.webp"):
        assert read_facts(photo(tmp_path / name, gps=gps)).latitude == 48.8584
    Image.new("RGB", (8, 6)).save(tmp_path / "e.gif")
    assert read_facts(tmp_path / "e.gif") == PhotoFacts(8, 6)
    (tmp_path / "f.jpg").write_bytes(b"no image")
    assert read_facts(tmp_path / "f.jpg").fault == "unreadable: not an image"
    assert read_facts(tmp_path / "g.jpg").fault == "unreadable: missing file"


def test_broken_metadata_leave_a_photograph(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", gps=dms("N", (48, 0, 0), "E", (2, 0, 0)))
    data = path.read_bytes()
    start = data.index(b"Exif\0\0") + 6
    path.write_bytes(data[: start + 4] + b"\xff\xff\xff\x7f" + data[start + 8 :])
    assert read_facts(path).width == 8


def test_columns_are_filled_where_a_table_says_nothing(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg", gps=dms("N", (48, 0, 0), "E", (2, 0, 0)))
    photo(tmp_path / "b.jpg", gps=dms("N", (10, 0, 0), "E", (3, 0, 0)))
    photo(tmp_path / "c.jpg", gps={2: (48, 0, 0), 4: (2, 0, 0)})
    manifest = Manifest.from_columns(
        {
            "image_id": list("abcd"),
            "path": [f"{name}.jpg" for name in "abcd"],
            "landmark_id": ["x"] * 4,
            "role": ["train"] * 4,
            "latitude": [None, 5.0, None, None],
            "width": [None, None, None, 99],
        },
        root=tmp_path,
    )
    found, notes = with_exif(manifest, workers=2)
    assert found.table["latitude"].to_pylist() == [48.0, 5.0, None, None]
    assert found.table["longitude"].to_pylist() == [2.0, 3.0, None, None]
    assert found.table["width"].to_pylist() == [8, 8, 8, 99]
    assert found.table["taken"].to_pylist() == [None] * 4
    assert found.fingerprint == manifest.fingerprint
    assert notes == [
        "2 of 4 photographs carry a position",
        "not taken: no hemisphere 1, unreadable: missing file 1",
    ]
