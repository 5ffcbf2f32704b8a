"""Manifests: what is kept, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from cairn.errors import CairnError
from cairn.manifest import Manifest

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
