"""predictions.parquet: what is written reads back, and older files still open."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cairn.domain import Evidence, Landmark, Prediction
from cairn.errors import CairnError
from cairn.predictions import (
    SCHEMA,
    PredictionTable,
    predictions_table,
    read_answers,
    write_answers,
    write_predictions,
)

TOWER = Landmark("tower", "The Tower", "tower", "", 48.85, 2.29, "https://w.example/t")
SAID = [
    Prediction(
        "q1",
        "tower",
        0.8,
        (Evidence("g", "tower", "g.jpg", 0.9, 0.1, "A", "CC0", "", 1.0, 2.0),),
        TOWER,
        0.7,
        True,
    ),
    Prediction("q2", None, 0.0),
    Prediction("q3", "台北", 0.25, (), Landmark("台北"), 0.1, False),
]


def test_answers_read_back_with_all_they_carry(tmp_path: Path) -> None:
    write_predictions(tmp_path / "a.parquet", SAID)
    assert read_answers(tmp_path / "a.parquet") == SAID
    table = PredictionTable.read(tmp_path / "a.parquet")
    assert not table.has_truth
    assert table.truth == {}
    assert table.gallery_counts is None
    assert table.predictions([2]) == SAID[2:]
    light = table.light_predictions()
    assert [one.probability for one in light] == [0.7, None, 0.1]
    assert light[0].evidence == ()


def test_the_ending_decides_between_table_and_submission(tmp_path: Path) -> None:
    write_answers(tmp_path / "a.csv", SAID)
    write_answers(tmp_path / "a.parquet", SAID)
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").startswith("id,landmarks\nq1,tower 0.8")
    plain = read_answers(tmp_path / "a.csv")
    assert plain == [Prediction(one.image_id, one.landmark_id, one.confidence) for one in SAID]
    assert read_answers(tmp_path / "a.parquet")[0].evidence == SAID[0].evidence


def test_truth_counts_and_paths_are_kept(tmp_path: Path) -> None:
    table = predictions_table(
        SAID,
        truth={"q1": {"tower", "mast"}, "q2": set(), "q3": {"mast"}},
        query_paths={"q1": "q/1.jpg"},
        photo_root=tmp_path,
        gallery_counts={"tower": 4},
        names={"tower": "Another name"},
    )
    pq.write_table(table, tmp_path / "a.parquet")
    back = PredictionTable.read(tmp_path / "a.parquet")
    assert back.truth == {"q1": {"mast", "tower"}, "q2": frozenset(), "q3": {"mast"}}
    assert back.gallery_counts == {"tower": 4, "mast": 0}
    assert back.paths == {"q1": "q/1.jpg"}
    assert back.photo_root == tmp_path
    assert back.names == {"tower": "Another name"}
    assert table["is_right"].to_pylist() == [True, None, False]


def test_a_table_of_an_earlier_version_still_opens(tmp_path: Path) -> None:
    old = predictions_table(SAID, truth={"q1": {"tower"}, "q2": set(), "q3": {"x"}})
    new = ("path", "probability", "is_known", "truth_images")
    pq.write_table(old.drop_columns(list(new)), tmp_path / "old.parquet")
    back = PredictionTable.read(tmp_path / "old.parquet")
    assert back.table.schema.names == SCHEMA.names
    assert back.truth["q1"] == {"tower"}
    assert back.gallery_counts is None
    assert back.predictions()[0].probability is None


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (None, "file not found"),
        (b"no table", "not a Parquet file"),
        ({"image_id": ["a"]}, "has the column landmark_id"),
        ({"image_id": ["a", "a"], "landmark_id": ["x", "x"], "confidence": [1.0, 1.0]}, "twice"),
        (
            {"image_id": ["a"], "landmark_id": ["x"], "confidence": ["sure"]},
            "column confidence holds string, where double belongs",
        ),
    ],
)
def test_what_is_no_table_of_predictions_is_told(
    tmp_path: Path, content: object, what: str
) -> None:
    path = tmp_path / "a.parquet"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        pq.write_table(pa.table(content), path)
    with pytest.raises(CairnError, match=what) as caught:
        PredictionTable.read(path)
    assert str(path) in str(caught.value)
