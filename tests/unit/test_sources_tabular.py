"""Any table of images as a manifest: what is guessed, told and refused."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from cairn.errors import CairnError
from cairn.sources.tabular import from_table, read_contents

PHOTOS = Path(__file__).parents[2] / ".." / "shared" / "photos"


def table(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_and_roles_are_guessed_and_shown(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "Split,File_Name,label,lat,note\ntraining,a/1.jpg,Tour Eiffel,48.85,x\n"
        "test,a/2.jpg,,,y\nnonlandmark_index,b.jpg,,,\n",
    )
    found = read_contents(path)
    assert found.columns == {
        "path": "File_Name",
        "landmark_id": "label",
        "role": "Split",
        "latitude": "lat",
    }
    assert found.roles == {
        "training": "train",
        "test": "query",
        "nonlandmark_index": "nonlandmark",
    }
    manifest = found.manifest
    assert manifest.image_ids == ["a/1.jpg", "a/2.jpg", "b.jpg"]
    assert manifest.landmark_ids == ["Tour_Eiffel", "", ""]
    assert manifest.roles == ["train", "query", "nonlandmark"]
    assert manifest.table["latitude"].to_pylist() == [48.85, None, None]
    assert manifest.table["note"].to_pylist() == ["x", "y", ""]
    assert manifest.paths[0] == tmp_path / "a" / "1.jpg"


def test_what_is_told_wins_over_guesses(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label,place,phase\n1.jpg,0,007,A\n2.jpg,0,008,B\n3.jpg,0,009,C\n")
    (tmp_path / "images").mkdir()
    found = read_contents(
        path,
        columns={"landmark_id": "place", "role": "phase"},
        roles={"A": "gallery", "B": "query", "C": "drop"},
        root=tmp_path / "images",
        label_space="v2",
    )
    assert found.manifest.landmark_ids == ["007", "008"]
    assert found.manifest.roles == ["gallery", "query"]
    assert found.manifest.paths[0] == tmp_path / "images" / "1.jpg"
    assert set(found.manifest.table["label_space"].to_pylist()) == {"v2"}
    assert "label" in found.manifest.table.column_names


def test_parquet_and_tables_without_roles(tmp_path: Path) -> None:
    rows = pa.table({"id": [7, 8], "path": ["a.jpg", "b.jpg"], "landmark": [12, None]})
    pa.parquet.write_table(rows, tmp_path / "t.parquet")
    manifest = from_table(tmp_path / "t.parquet")
    assert manifest.image_ids == ["7", "8"]
    assert manifest.landmark_ids == ["12", ""]
    assert manifest.roles == ["train", "nonlandmark"]


@pytest.mark.parametrize(
    ("text", "options", "what", "todo"),
    [
        ("path,label\n", {}, "no rows", ""),
        ("pth,label\n1,2\n", {}, "no column looks like path", "--column path=NAME"),
        ("path,lbl\n1,2\n", {}, "looks like landmark_id", "--column landmark_id=NAME"),
        ("path,label,split\n1,2,oops\n", {}, "what is 'oops'", "--role-map oops=ROLE"),
        ("path,label\n1,2\n", {"columns": {"landmrk_id": "label"}}, "no column 'landmrk_id'",
         "did you mean 'landmark_id'"),
        ("path,label\n1,2\n", {"columns": {"landmark_id": "lable"}}, "no column 'lable'",
         "did you mean 'label'"),
        ("path,label,split\n1,2,a\n", {"roles": {"a": "trian"}}, "unknown role 'trian'",
         "did you mean 'train'"),
        ("path,label,split\n1,2,train\n", {"roles": {"tran": "query"}}, "no row has the role",
         "did you mean 'train'"),
        ("path,label\n1,2\n", {"roles": {"a": "train"}}, "without a role column", ""),
        ("path,label,split\n1,2,train\n1,3,train\n", {}, "twice or more", "unique"),
        ("path,label,split\n1,,train\n", {}, "must name their landmark", ""),
        ("path,label,split\n1,a b,train\n2,a_b,train\n", {}, "the same id", "rename"),
    ],
)  # fmt: skip
def test_faults_say_what_to_do(
    tmp_path: Path, text: str, options: dict[str, dict[str, str]], what: str, todo: str
) -> None:
    with pytest.raises(CairnError) as caught:
        from_table(table(tmp_path, text), **options)  # type: ignore[arg-type]
    assert what in caught.value.what
    assert todo in caught.value.todo


def test_missing_root_and_file(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="file not found"):
        from_table(tmp_path / "none.csv")
    with pytest.raises(CairnError, match="folder not found"):
        from_table(table(tmp_path, "path,label\n1,2\n"), root=tmp_path / "none")


@pytest.mark.real
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the real photographs are not here")
def test_the_real_photographs_need_no_mapping() -> None:
    summary = from_table(PHOTOS / "manifest.csv").summary()
    assert summary["roles"] == {"train": 731, "query": 714 + 615, "nonlandmark": 475}
    assert (summary["num_landmarks"], summary["num_queries_without_landmark"]) == (54, 615)


def photographs(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("t.csv", "path;label\na/1.jpg;Köln, Dom\n", "utf-8"),
        ("t.csv", "path\tlabel\na/1.jpg\tKöln, Dom\n", "utf-8-sig"),
        ("t.tsv", "path\tlabel\na/1.jpg\tKöln, Dom\n", "utf-8"),
        ("t.csv", 'path,label\na/1.jpg,"Köln, Dom"\n', "utf-16"),
        ("t.csv", 'path,label;x\na/1.jpg,"Köln, Dom"\n', "utf-8"),
    ],
)
def test_separators_and_encodings(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    told = {"landmark_id": "label;x"} if "label;x" in text else {}
    assert from_table(tmp_path / name, columns=told).landmark_ids == ["Köln,_Dom"]


def test_an_encoding_that_is_not_said_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,label\na.jpg,Köln\n".encode("latin-1"))
    with pytest.raises(CairnError, match="not a readable CSV") as caught:
        read_contents(tmp_path / "t.csv")
    assert "iconv" in caught.value.todo
    rows = "".join(f"{number}.jpg,x\n" for number in range(200_000))
    (tmp_path / "t.csv").write_bytes(f"path,label\n{rows}z.jpg,Köln\n".encode("latin-1"))
    with pytest.raises(CairnError, match="UTF8") as caught:
        read_contents(tmp_path / "t.csv")
    assert "iconv" in caught.value.todo


def test_paths_are_mended_where_one_file_fits(tmp_path: Path) -> None:
    photographs(tmp_path, "a/1.jpg", "a/2.JPG", "a/3.png", "a/4.jpg", "a/4.png", "a/5.x.jpeg")
    path = table(
        tmp_path, "path,label\na\\1.jpg,x\na/2.jpg,x\n a/3 ,x\na/4,x\na/5.x,x\na/6.jpg,x\n"
    )
    found = read_contents(path)
    assert [file.name for file in found.manifest.paths] == [
        *("1.jpg", "2.JPG", "3.png", "4", "5.x.jpeg", "6.jpg")
    ]
    assert found.manifest.image_ids == ["a\\1.jpg", "a/2.jpg", "a/3", "a/4", "a/5.x", "a/6.jpg"]
    told = "\n".join(found.notes)
    assert "1 paths had \\ between folders" in told
    assert "3 paths got the ending that their file has, such as a/2.JPG for a/2.jpg" in told
    assert f"2 of the 6 photographs are not there, the first: {tmp_path / 'a/4'}" in told
    (tmp_path / "b").mkdir()
    elsewhere = "\n".join(read_contents(path, root=tmp_path / "b").notes)
    assert "none of the 6 photographs is there" in elsewhere


def test_absolute_paths_are_looked_for_too(tmp_path: Path) -> None:
    photographs(tmp_path, "far/1.JPG")
    path = table(tmp_path, f"path,label\n{tmp_path / 'far/1.jpg'},x\n")
    assert read_contents(path).manifest.paths == [tmp_path / "far/1.JPG"]


def test_one_column_may_be_two_of_ours(tmp_path: Path) -> None:
    photographs(tmp_path, "00a.jpg")
    path = table(tmp_path, "id,landmark_id,path,note\n00a,7,ignored,x\n")
    manifest = from_table(path, columns={"image_id": "id", "path": "id"})
    assert (manifest.image_ids, list(manifest.paths)) == (["00a"], [tmp_path / "00a.jpg"])
    assert manifest.table.column_names == [
        *("image_id", "path", "landmark_id", "role", "label_space", "note")
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("path,label\nhttps://x.org/1.jpg,x\n", "addresses on the web"),
        ("a/1.jpg,x\na/2.jpg,y\n", "first line of column names"),
    ],
)
def test_tables_that_need_something_first(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(CairnError) as caught:
        read_contents(table(tmp_path, text))
    assert told in str(caught.value)


def test_landmarks_that_a_writer_made_fractions(tmp_path: Path) -> None:
    found = read_contents(table(tmp_path, "path,label\n1.jpg,12.0\n2.jpg,\n3.jpg,7.0\n"))
    assert found.manifest.landmark_ids == ["12", "", "7"]
    kept = read_contents(table(tmp_path, "path,label\n1.jpg,12.0\n2.jpg,v2.0\n", "u.csv"))
    assert kept.manifest.landmark_ids == ["12.0", "v2.0"]
