"""Labels that people read: which text wins, where a landmark lies, whose a photograph is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn.domain import Credit, Landmark
from cairn.errors import CairnError
from cairn.labels import Labels, credits_by_path, median_places, read_labels
from cairn.manifest import Manifest


def made(**columns: list[Any]) -> Labels:
    count = len(next(iter(columns.values())))
    rows = {
        "image_id": [f"i{row}" for row in range(count)],
        "path": ["x.jpg"] * count,
        "role": ["gallery" if one else "query" for one in columns["landmark_id"]],
        **columns,
    }
    return Labels.of(Manifest.from_columns(rows, root=Path()).table)


def test_most_photographs_decide_and_contradictions_are_told() -> None:
    labels = made(
        landmark_id=["t", "t", "t", "c", "c", "", "t", "n"],
        landmark_name=["Tower", "Turm", "Tower", "Z", "A", "nobody", "", None],
        category=["tower", "tower", None, "church", "church", None, None, None],
        landmark_url=[None, "https://w.example/T", None, None, None, None, None, None],
    )
    assert labels.by_id == {
        "t": Landmark("t", "Tower", "tower", url="https://w.example/T"),
        "c": Landmark("c", "A", "church"),
        "n": Landmark("n"),
    }
    assert labels.names == {"t": "Tower", "c": "A"}
    assert labels.contradictions == {"landmark_name": ("t", "c")}
    assert labels.notes == [
        "the photographs of 2 landmarks differ in landmark_name, such as those of 't': what most "
        "of them say is taken"
    ]


def test_a_landmark_lies_at_the_median_of_its_photographs() -> None:
    labels = made(
        landmark_id=["t", "t", "t", "even", "even", "half", "nowhere"],
        latitude=[48.0, 10.0, 49.0, 1.0, 2.0, 5.0, None],
        longitude=[2.0, 3.0, -100.0, 10.0, 20.0, None, None],
    )
    place = {name: (one.latitude, one.longitude) for name, one in labels.by_id.items()}
    assert place == {"t": (48.0, 2.0), "even": (1.5, 15.0), "half": (None, None),
                     "nowhere": (None, None)}  # fmt: skip
    assert labels.num_half_places == 1
    assert "1 rows have only one of latitude and longitude" in labels.notes[0]
    assert labels.images["latitude"].to_pylist() == [48.0, 10.0, 49.0, 1.0, 2.0, None, None]


@pytest.mark.parametrize(
    ("longitudes", "median"),
    [
        ([179.0, -179.0, 178.0], 179.0),
        ([179.0, -178.0], -179.5),
        ([180.0], 180.0),
        ([-180.0, 180.0], 180.0),
        ([170.0, -170.0, -175.0, 2.0], 177.5),
        ([0.0, 180.0, 90.0], 90.0),
    ],
)
def test_longitudes_meet_at_180_degrees(longitudes: list[float], median: float) -> None:
    count = len(longitudes)
    found = median_places(
        np.zeros(count, np.int64), np.zeros(count), np.array(longitudes), num_landmarks=1
    )
    difference = (found[1][0] - median + 180) % 360 - 180
    assert difference == pytest.approx(0, abs=1e-9)
    assert -180 <= found[1][0] <= 180


DEGREES = st.floats(-180, 180, width=32)


@given(
    center=DEGREES,
    spread=st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=9),
    seed=st.integers(0, 99),
)
def test_places_follow_a_turn_of_the_globe(center: float, spread: list[float], seed: int) -> None:
    """Wherever the photographs lie, the median is as far from them as beside Greenwich."""
    turned = np.array([(center + one + 180) % 360 - 180 for one in spread])
    order = np.random.default_rng(seed).permutation(len(spread))
    codes, zeros = np.zeros(len(spread), np.int64), np.zeros(len(spread))
    found = median_places(codes, zeros, turned[order], num_landmarks=1)[1][0]
    expected = center + float(np.median(spread))
    assert (found - expected + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 3), DEGREES, DEGREES), max_size=30), st.integers(0, 9))
def test_many_landmarks_are_as_each_alone(rows: list[tuple[int, float, float]], seed: int) -> None:
    codes = np.array([code for code, _, _ in rows], np.int64)
    places = np.array([(lat / 2, lon) for _, lat, lon in rows]).reshape(-1, 2)
    whole = median_places(codes, places[:, 0], places[:, 1], num_landmarks=4)
    for code in range(4):
        own = places[codes == code]
        alone = median_places(np.zeros(len(own), np.int64), own[:, 0], own[:, 1], num_landmarks=1)
        np.testing.assert_allclose([whole[0][code], whole[1][code]], [alone[0][0], alone[1][0]])
        if not len(own):
            assert np.isnan(whole[0][code])
        else:
            assert own[:, 0].min() <= whole[0][code] <= own[:, 0].max()


def test_an_outlier_moves_a_landmark_little() -> None:
    lon = np.array([179.99, -179.99, 180.0, 179.98, -179.98, 2.35])
    lat = np.array([-17.0, -17.01, -17.0, -16.99, -17.02, 48.85])
    found = median_places(np.zeros(6, np.int64), lat, lon, num_landmarks=1)
    assert abs(found[0][0] + 17) < 0.02
    assert abs(abs(found[1][0]) - 180) < 0.03


@pytest.mark.parametrize(
    ("column", "value"),
    [("latitude", 90.5), ("latitude", float("nan")), ("longitude", -181.0),
     ("longitude", float("inf"))],
)  # fmt: skip
def test_wrong_coordinates_are_refused_with_their_rows(column: str, value: float) -> None:
    columns = {"latitude": [1.0, 2.0, None], "longitude": [1.0, 180.0, None]}
    columns[column][1] = value
    with pytest.raises(CairnError, match=f"{column}.* no number of degrees") as caught:
        made(landmark_id=["a", "b", "c"], **columns)
    assert "row 2 " in caught.value.where


def test_a_landmark_has_a_whole_place() -> None:
    with pytest.raises(CairnError, match="needs a latitude"):
        Landmark("a", latitude=1.0)
    with pytest.raises(CairnError, match="needs a latitude"):
        Landmark("a", latitude=1.0, longitude=float("nan"))


def test_credits_by_path_are_those_that_are_known() -> None:
    table = pa.table({"author": ["A", None], "license": [None, None], "x": [1, 2]})
    assert credits_by_path(table, [Path("/a.jpg"), Path("/b.jpg")]) == {"/a.jpg": Credit("A")}


def test_a_table_of_landmarks_is_read(tmp_path: Path) -> None:
    path = tmp_path / "landmarks.csv"
    path.write_text("landmark_id,landmark_name,latitude,longitude\n007,Tower,48.5,2.25\n8, ,,\n")
    labels = read_labels(path)
    assert labels.by_id == {"007": Landmark("007", "Tower", latitude=48.5, longitude=2.25),
                            "8": Landmark("8")}  # fmt: skip
    assert len(labels.images) == 0
    for text, words in {
        "name\nx\n": "no column landmark_id",
        "landmark_id,x\n1,2\n": "says nothing",
        "landmark_id,category\n1,a\n1,b\n": "1 landmark id stands twice or more: '1'",
        "landmark_id,latitude,longitude\n1,95,0\n": "no number of degrees",
        "landmark_id,latitude\n1,north\n": "must hold numbers",
    }.items():
        path.write_text(text)
        with pytest.raises(CairnError, match=words) as caught:
            read_labels(path)
        assert str(path) in caught.value.where
