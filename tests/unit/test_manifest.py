"""Manifests: what is kept, what is refused, and in which words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cairn import columns as columns_module
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.paths import Paths, relocated

HEADER = "image_id,path,landmark_id,role,label_space\n"


def columns(**changes: list[Any]) -> dict[str, list[Any]]:
    return {
        "image_id": ["00012", "b", "c", "d"],
        "path": ["t/1.jpg", "t/2.jpg", "q/3.jpg", "n/4.jpg"],
        "landmark_id": ["007", "故宫", "", None],
        "role": ["train", "train", "query", "nonlandmark"],
        "label_space": ["mine"] * 4,
        **changes,
    }


def made(root: Path = Path("/data"), **changes: list[Any]) -> Manifest:
    return Manifest.from_columns(columns(**changes), root=root)


def fault(**changes: list[Any]) -> CairnError:
    with pytest.raises(CairnError) as caught:
        Manifest.from_columns(columns(**changes), root=Path())
    return caught.value


def read_fault(path: Path, content: str | bytes) -> CairnError:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CairnError) as caught:
        Manifest.read(path)
    return caught.value


@pytest.mark.parametrize("name", ["m.parquet", "m.csv", "名单.csv"])
def test_written_and_read_it_is_the_same(tmp_path: Path, name: str) -> None:
    before = made(tmp_path, category=["church", None, None, "food"], width=[1, None, 3, 4])
    before.write(tmp_path / name)
    after = Manifest.read(tmp_path / name)
    assert after.image_ids == ["00012", "b", "c", "d"]
    assert after.landmark_ids == ["007", "故宫", "", ""]
    assert after.paths == [tmp_path / path for path in columns()["path"]]
    assert after.table["width"].to_pylist() == [1, None, 3, 4]
    assert after.table["category"].to_pylist() == ["church", None, None, "food"]
    assert after.fingerprint == before.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == [name], "temporary files are left"


def test_unknown_columns_are_kept_as_text_from_csv(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        "image_id,path,landmark_id,role,plate\n1,a.jpg,2,train,0042\n", encoding="utf-8"
    )
    manifest = Manifest.read(tmp_path / "m.csv")
    assert manifest.table["plate"].to_pylist() == ["0042"]
    assert manifest.table["label_space"].to_pylist() == ["local"]


def test_byte_order_mark_quotes_and_newlines(tmp_path: Path) -> None:
    text = '\ufeffimage_id,path,landmark_id,role\n"a,1","x ""y"".jpg","two\nlines",train\n'
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    manifest = Manifest.read(tmp_path / "m.csv")
    assert (manifest.image_ids, manifest.landmark_ids) == (["a,1"], ["two\nlines"])
    assert manifest.paths == [tmp_path / 'x "y".jpg']


def test_numbers_become_text_and_null_landmarks_empty(tmp_path: Path) -> None:
    table = pa.table(
        {"image_id": [1, 2], "path": ["a", "b"], "landmark_id": [3.0, None],
         "role": pa.array(["train", "query"]).dictionary_encode()}
    )  # fmt: skip
    pa.parquet.write_table(table, tmp_path / "m.parquet")
    manifest = Manifest.read(tmp_path / "m.parquet")
    assert manifest.image_ids == ["1", "2"]
    assert manifest.landmark_ids == ["3", ""]
    assert manifest.roles == ["train", "query"]


def test_paths_follow_the_file_not_the_photographs(tmp_path: Path) -> None:
    manifest = made(tmp_path / "photos")
    for folder in (
        tmp_path,
        tmp_path / "photos",
        tmp_path / "elsewhere",
        tmp_path / "photos" / "t",
    ):
        manifest.write(folder / "m.csv")
        assert Manifest.read(folder / "m.csv").paths == manifest.paths
    assert "photos/t/1.jpg" in (tmp_path / "m.csv").read_text(encoding="utf-8")
    assert "\n" + '"b","2.jpg"' in (tmp_path / "photos/t/m.csv").read_text(encoding="utf-8")
    assert str(tmp_path) in (tmp_path / "elsewhere/m.csv").read_text(encoding="utf-8")


def test_fingerprint_follows_content_not_place() -> None:
    assert made(Path("/a")).fingerprint == made(Path("/b")).fingerprint
    seen = {
        made().fingerprint,
        made(image_id=["x", "b", "c", "d"]).fingerprint,
        made(landmark_id=["8", "故宫", "", ""]).fingerprint,
        made(role=["train", "gallery", "query", "nonlandmark"]).fingerprint,
        made(image_id=["0001", "2b", "c", "d"]).fingerprint,
        made(sha256=["0", None, None, None]).fingerprint,
    }
    assert len(seen) == 6


def test_the_fingerprint_stays_what_it_was_in_every_release() -> None:
    expected = "b1bc3b9fbb59b8eba94aaff438991c1f55d4b2ab183e43ed329ebef36815c528"
    manifest = made(sha256=["0" * 64, None, "ab", None])
    assert manifest.fingerprint == expected
    table = pa.concat_tables([manifest.table.slice(0, 1), manifest.table.slice(1)])
    assert Manifest(table, Path()).fingerprint == expected, "pieces of a column do not matter"
    wider = pa.concat_tables([manifest.table, manifest.table])
    assert Manifest(wider.slice(4), Path()).fingerprint == expected
    assert manifest.take([1, 0]).take([1, 0]).select("train").fingerprint == (
        manifest.select("train").fingerprint
    )


def test_paths_are_a_sequence_made_row_by_row() -> None:
    manifest = made(path=["a.jpg", "/far/b.jpg", "c/../d.jpg", "e"])
    paths = manifest.paths
    expected = [Path("/data/a.jpg"), Path("/far/b.jpg"), Path("/data/c/../d.jpg"), Path("/data/e")]
    assert list(paths) == expected == paths
    assert paths != expected[:3]
    assert (paths[1], paths[-1], paths[np.int64(0)]) == (expected[1], expected[3], expected[0])
    assert paths[1:3] == expected[1:3] == paths.take([1, 2])
    assert expected[2] in paths
    other = made(Path("/"), path=["x", "y", "z", "w"]).paths
    both = Paths.joined([paths, other.take([3])])
    assert both == [*expected, Path("/w")]
    assert "5 in all" in repr(both)
    with pytest.raises(IndexError):
        paths[4]


PARTS = st.sampled_from(["a", "b", "..", ".", "", ".x", "data", "é"])
PATHS = st.tuples(st.sampled_from(["", "/", "/data/", "//"]), st.lists(PARTS, min_size=1)).map(
    lambda pair: pair[0] + "/".join(pair[1])
)


@given(st.lists(PATHS.filter(str.strip), min_size=1), st.sampled_from(["/data", "/", "/data/a"]))
def test_paths_are_stored_as_one_by_one(texts: list[str], folder: str) -> None:
    """The whole column is moved as each path by itself would be."""
    root = Path("/data")
    plain = not any(text.startswith("/") or ".." in text for text in texts)
    normal = [os.path.normpath(os.path.join(root, text)) for text in texts]  # noqa: PTH118
    prefix = os.path.join(folder, "")  # noqa: PTH118
    moved = [one[len(prefix) :] if one.startswith(prefix) else one for one in normal]
    found = relocated(pa.chunked_array([texts[:1], texts[1:]]), root, Path(folder))
    assert found.to_pylist() == (texts if plain and folder == "/data" else moved)


def test_columns_beyond_what_one_piece_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offsets of 32 bits end at 2 GB; the limit is made small here."""
    monkeypatch.setattr(columns_module, "_MOST_BYTES", 40)
    manifest = made(landmark_name=["a" * 20, "b" * 20, None, "c" * 20])
    assert manifest.take([3, 0]).table["landmark_name"].to_pylist() == ["c" * 20, "a" * 20]
    assert manifest.take([3, 0]).table["landmark_name"].type == pa.string()
    large = manifest.table.set_column(
        0, "image_id", manifest.table["image_id"].cast(pa.large_string())
    )
    again = Manifest(large, Path("/data"))
    assert again.table["image_id"].type == pa.string()
    assert again.fingerprint == manifest.fingerprint


def test_equal_texts_are_one_object() -> None:
    manifest = made(landmark_id=["tower of babel", "tower of babel", "", ""])
    first, second = manifest.landmark_ids[:2]
    assert first is second
    assert made().select("gallery").roles == []


def test_a_row_taken_twice_is_refused() -> None:
    with pytest.raises(CairnError, match="stands twice or more: 'b'"):
        made().take([1, 0, 1])


def test_a_csv_row_larger_than_a_usual_block(tmp_path: Path) -> None:
    name = "x" * 3_000_000
    (tmp_path / "m.csv").write_text(
        f"image_id,path,landmark_id,role,landmark_name\n1,a.jpg,2,train,{name}\n"
    )
    assert Manifest.read(tmp_path / "m.csv").landmark_names == {"2": name}


def test_select_take_and_gallery() -> None:
    manifest = made()
    assert manifest.select("query", "nonlandmark").image_ids == ["c", "d"]
    assert manifest.take([2, 0]).image_ids == ["c", "00012"]
    assert manifest.take(np.array([], np.int64)).image_ids == []
    assert len(manifest.select("gallery")) == 0
    assert manifest.gallery().image_ids == ["00012", "b"]
    gallery = made(role=["train", "gallery", "query", "nonlandmark"]).gallery()
    assert gallery.image_ids == ["b"]
    with pytest.raises(CairnError, match="no image to recognize against"):
        manifest.select("query").gallery()
    with pytest.raises(CairnError) as caught:
        manifest.select("qeury")
    assert "did you mean 'query'" in caught.value.todo


def test_summary_counts() -> None:
    assert made().summary() == {
        "num_images": 4,
        "num_landmarks": 2,
        "roles": {"train": 2, "query": 1, "nonlandmark": 1},
        "num_queries_without_landmark": 1,
    }


def test_missing_file_and_wrong_endings(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="file not found"):
        Manifest.read(tmp_path / "none.csv")
    with pytest.raises(CairnError, match="this is a folder"):
        Manifest.read(tmp_path)
    assert "not '.xlsx'" in read_fault(tmp_path / "m.xlsx", "x").what
    with pytest.raises(CairnError, match=r"not '\.json'"):
        made().write(tmp_path / "m.json")


def test_empty_files(tmp_path: Path) -> None:
    assert read_fault(tmp_path / "m.csv", b"").what == "the file is empty"
    assert read_fault(tmp_path / "m.parquet", b"").what == "the file is empty"
    assert read_fault(tmp_path / "n.csv", HEADER).what == "the manifest has no rows"


def test_files_that_are_not_what_they_are_called(tmp_path: Path) -> None:
    assert "Parquet" in read_fault(tmp_path / "m.parquet", HEADER).what
    assert "UTF-8" in read_fault(tmp_path / "m.csv", b"\xff\xd8\xff\xe0 JPEG \x00").what
    ragged = read_fault(tmp_path / "n.csv", HEADER + "1,a,2,train,x\n2,b,3\n")
    assert "#3" in ragged.what
    assert ragged.where == str(tmp_path / "n.csv")
    assert "stand twice: path" in read_fault(tmp_path / "o.csv", "path,path\n1,2\n").what


def test_truncated_parquet(tmp_path: Path) -> None:
    made().write(tmp_path / "m.parquet")
    whole = (tmp_path / "m.parquet").read_bytes()
    assert "Parquet" in read_fault(tmp_path / "m.parquet", whole[: len(whole) // 2]).what


def test_missing_columns_name_the_nearest(tmp_path: Path) -> None:
    error = read_fault(tmp_path / "m.csv", "image_id,path,landmarkid,role\n1,a,2,train\n")
    assert error.what == "the manifest lacks the column landmark_id"
    assert error.where == str(tmp_path / "m.csv")
    assert "did you mean 'landmarkid'?" in error.todo
    error = read_fault(tmp_path / "n.csv", "path\nx\n")
    assert "image_id, landmark_id, role" in error.what


def test_duplicate_ids_are_shown_with_their_rows() -> None:
    error = fault(image_id=["a", "b", "a", "c"])
    assert error.what == "1 image id stands twice or more: 'a'"
    assert "rows 1, 3" in error.where


def test_a_file_with_duplicate_ids_names_file_and_rows(tmp_path: Path) -> None:
    error = read_fault(tmp_path / "m.csv", HEADER + "1,a,2,train,x\n1,b,2,train,x\n")
    assert str(tmp_path / "m.csv") in error.where
    assert "rows 1, 2" in error.where


def test_unknown_roles_name_the_nearest() -> None:
    error = fault(role=["trian", "train", "query", "non-landmark"])
    assert "did you mean 'train'" in error.todo
    assert "did you mean 'nonlandmark'" in error.todo
    assert "rows 1, 4" in error.where


@pytest.mark.parametrize("name", ["image_id", "path", "role"])
@pytest.mark.parametrize("value", ["", "  ", None])
def test_empty_values_are_refused(name: str, value: str | None) -> None:
    values = columns()[name]
    error = fault(**{name: [*values[:2], value, values[3]]})
    assert repr(name) in error.what
    assert "row 3" in error.where


def test_roles_and_landmarks_must_agree() -> None:
    error = fault(landmark_id=["1", "2", "", "9"])
    assert "nonlandmark must not name a landmark" in error.what
    assert "row 4" in error.where
    error = fault(landmark_id=["1", "", "", ""])
    assert "train and gallery must name" in error.what
    assert "row 2" in error.where


def test_label_spaces_do_not_mix() -> None:
    assert "2 label spaces" in fault(label_space=["a", "b", "a", "a"]).what
    assert len(made(label_space=["a", "a", "x", "y"])) == 4, "no landmark, nothing to compare"


def test_columns_of_other_lengths_and_kinds() -> None:
    assert "differ in length" in fault(path=["a"]).what
    assert "must hold numbers" in fault(width=["1", "two", "3", "4"]).what
    with pytest.raises(CairnError, match="fractions"):
        Manifest(pa.table(columns(landmark_id=[1.5, 2.0, None, None])), Path())
