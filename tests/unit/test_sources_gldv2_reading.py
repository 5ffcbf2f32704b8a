"""GLDv2 on disk to a manifest: every column, both label spaces, bank and queries kept apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.sources.gldv2 import choose, read_gldv2
from cairn.sources.gldv2.facts import FREE_LICENSE, landmark_name
from cairn.sources.gldv2.layout import SPLITS, image_name, member_key
from cairn.sources.gldv2.queries import bank_share, in_bank, recognition_truth
from cairn.sources.gldv2.subsets import as_numbers, ids_on_disk, positions, subset_ids
from cairn.sources.gldv2.tables import batches, read, words
from measuring.small_gldv2 import KINDS, SmallGldv2, csv_of, make_gldv2


@pytest.fixture
def made() -> SmallGldv2:
    return make_gldv2()


@pytest.fixture
def folder(made: SmallGldv2, tmp_path: Path) -> Path:
    """The whole small data set, as the publisher's own script would leave it."""
    for name, data in made.files.items():
        if name.endswith(".csv"):
            put(tmp_path / name, data)
    for split, ids in (("train", made.train), ("index", made.index), ("test", made.test)):
        for image in ids:
            put(tmp_path / split / image_name(image), b"jpeg")
    return tmp_path


def put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def rows(manifest: Manifest) -> dict[str, dict[str, Any]]:
    return {row["image_id"]: row for row in manifest.table.to_pylist()}


def test_clean_and_test(folder: Path, made: SmallGldv2) -> None:
    found = read_gldv2(folder, choose("clean,test"))
    by_id = rows(found.manifest)
    assert {i for i, row in by_id.items() if row["role"] == "train"} == made.clean
    assert {i for i, row in by_id.items() if row["role"] == "query"} == set(made.test)
    for image in made.clean:
        row = by_id[image]
        assert row["landmark_id"] == made.train[image]
        assert row["path"] == f"train/{image[0]}/{image[1]}/{image[2]}/{image}.jpg"
        assert row["label_space"] == "gldv2-train"
        assert row["license"] == "https://creativecommons.org/licenses/by/3.0/"
        assert row["source_url"] == f"https://commons.wikimedia.org/wiki/File:{image}.jpg"
        number = (int(made.train[image]) - 100) // 7
        assert row["category"] == KINDS[number][1]
        assert row["natural_or_human_made"] == KINDS[number][2]
        order = list(reversed(made.train)).index(image)
        assert row["author"] == (f'Anna "Ann" Ek, {order}' if order % 5 else "Jørgen\nåker")
    for image, shown in made.test.items():
        row = by_id[image]
        assert row["landmark_id"] == (shown.split() or [""])[0]
        assert row["landmarks"] == shown
        assert row["author"] is None
        assert row["license"] == FREE_LICENSE
        assert row["usage"] in ("Public", "Private")
    assert found.manifest.paths[0].is_file()
    assert "清水寺" in found.manifest.landmark_names.values()
    assert [note for note in found.notes if "that show several landmarks: 1" in note]
    assert found.num_missing == {}


def test_2x_is_every_image_of_the_clean_landmarks(folder: Path, made: SmallGldv2) -> None:
    marks = {made.train[image] for image in made.clean}
    twice = [image for image, mark in made.train.items() if mark in marks]
    found = read_gldv2(folder, choose("2x"))
    assert found.manifest.image_ids == twice
    assert set(twice) > made.clean
    assert set(twice) < set(made.train)
    assert read_gldv2(folder, choose("train")).manifest.image_ids == list(made.train)
    assert np.array_equal(subset_ids(folder, "2x"), np.sort(as_numbers(twice)))


def test_index_has_a_label_space_of_its_own(folder: Path, made: SmallGldv2) -> None:
    found = read_gldv2(folder, choose("index,test"))
    by_id = rows(found.manifest)
    assert {row["label_space"] for row in by_id.values()} == {"gldv2-index"}
    assert {i for i, row in by_id.items() if row["role"] == "gallery"} == set(made.index)
    queries = {i: row["landmark_id"] for i, row in by_id.items() if row["role"] == "query"}
    expected = {
        i: str((int(shown.split()[0]) - 100) // 7) for i, shown in made.test.items() if shown
    }
    assert queries == expected
    assert any("ignored by retrieval" in note for note in found.notes)


@pytest.mark.parametrize("training", ["clean", "2x", "train"])
def test_train_and_index_never_meet(folder: Path, training: str) -> None:
    with pytest.raises(CairnError, match="different landmarks") as caught:
        read_gldv2(folder, choose(f"{training},index"))
    assert "two manifests" in caught.value.todo


def test_bank_and_queries_are_apart(folder: Path, made: SmallGldv2) -> None:
    found = read_gldv2(folder, choose("clean,test,nonlandmarks"))
    by_id = rows(found.manifest)
    bank = {i for i, row in by_id.items() if row["role"] == "nonlandmark"}
    queries = {i for i, row in by_id.items() if row["role"] == "query"}
    none = {image for image, shown in made.test.items() if not shown}
    assert bank == {image for image in none if in_bank(image, 0.5)}
    assert bank
    assert queries == set(made.test) - bank
    assert queries & none
    assert any("the bank and no queries" in note for note in found.notes)
    smaller = read_gldv2(folder, choose("clean,test,nonlandmarks"), bank=0.2)
    assert set(smaller.manifest.select("nonlandmark").image_ids) < bank
    with pytest.raises(CairnError, match="both the bank and the queries"):
        read_gldv2(folder, choose("clean,test,nonlandmarks"), bank=1.0)


def test_all_non_landmarks_where_nobody_asks_about_them(folder: Path, made: SmallGldv2) -> None:
    found = read_gldv2(folder, choose("clean,nonlandmarks"))
    none = {image for image, shown in made.test.items() if not shown}
    assert set(found.manifest.select("nonlandmark").image_ids) == none
    assert not len(found.manifest.select("query"))
    index = read_gldv2(folder, choose("index,nonlandmarks"))
    assert set(index.manifest.select("nonlandmark").image_ids) == none


def test_ignored_images_are_no_bank(folder: Path, made: SmallGldv2) -> None:
    none = [image for image, shown in made.test.items() if not shown]
    solution = folder / "ground_truth" / "recognition_solution_v2.1.csv"
    text = solution.read_text()
    line = next(line for line in text.splitlines() if line.startswith(none[0]))
    solution.write_text(text.replace(line, f"{none[0]},,Ignored"))
    found = read_gldv2(folder, choose("nonlandmarks"))
    assert set(found.manifest.image_ids) == set(none[1:])


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1])
def test_shares_that_are_none(share: float) -> None:
    with pytest.raises(CairnError, match=r"lies in \(0, 1\]"):
        bank_share(share, with_queries=False)


def test_the_hash_keeps_its_share() -> None:
    ids = [f"{number:016x}" for number in range(4000)]
    assert sum(in_bank(image, 0.5) for image in ids) / 4000 == pytest.approx(0.5, abs=0.03)
    # A change would move images between the bank and the queries of people's earlier scores.
    assert [k for k, image in enumerate(ids[:16]) if in_bank(image, 0.5)] == [
        0,
        2,
        3,
        5,
        6,
        9,
        11,
        12,
        15,
    ]


def test_what_is_not_on_disk_is_counted(folder: Path, made: SmallGldv2) -> None:
    gone = sorted(made.clean)[::2]
    for image in gone:
        (folder / "train" / image_name(image)).unlink()
    found = read_gldv2(folder, choose("clean"))
    assert set(found.manifest.image_ids) == made.clean - set(gone)
    assert found.num_missing == {"clean": len(gone)}
    rest = len(made.clean) - len(gone)
    assert f"{rest} of the {len(made.clean)} images of clean lie on disk" in found.notes
    authors = {i: row["author"] for i, row in rows(found.manifest).items()}
    whole = rows(read_gldv2(folder, choose("train,test")).manifest)
    assert authors == {image: whole[image]["author"] for image in authors}


def test_queries_that_no_image_can_answer(folder: Path, made: SmallGldv2) -> None:
    lost = [image for image in made.clean if made.train[image] == "107"]
    for image in lost:
        (folder / "train" / image_name(image)).unlink()
    found = read_gldv2(folder, choose("clean,test"))
    assert any("2 of 10 queries with a landmark" in note for note in found.notes)


def test_nothing_on_disk(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder / "train")
    with pytest.raises(CairnError, match="no image of clean lies here"):
        read_gldv2(folder, choose("clean"))


def test_other_files_in_the_tree_are_passed_over(folder: Path, made: SmallGldv2) -> None:
    put(folder / "train/0/0/0/.0000000000000000.jpg.tmp", b"")
    put(folder / "train/0/0/0/not-an-id-at-all.jpg", b"")
    put(folder / "train/0/0/README", b"")
    assert np.array_equal(ids_on_disk(folder / "train"), np.sort(as_numbers(list(made.train))))


def test_tables_of_other_shapes(folder: Path) -> None:
    path = folder / "metadata" / "train_clean.csv"
    whole = path.read_bytes()
    put(path, b"landmark,images\n1,0123456789abcdef\n")
    with pytest.raises(
        CairnError, match="expected the columns landmark_id, images, found landmark"
    ):
        read_gldv2(folder, choose("clean"))
    put(path, b"landmark_id,images\n")
    with pytest.raises(CairnError, match="is empty"):
        read_gldv2(folder, choose("clean"))
    put(path, b"landmark_id,images\n1,0123\n")
    with pytest.raises(CairnError, match="16 hexadecimal digits, not '0123'"):
        read_gldv2(folder, choose("clean"))
    path.unlink()
    with pytest.raises(CairnError, match="file not found"):
        read_gldv2(folder, choose("clean"))
    put(path, b"\xef\xbb\xbf" + whole.replace(b"landmark_id,images", b"images,x,landmark_id"))
    with pytest.raises(CairnError, match="not a readable CSV"):
        read_gldv2(folder, choose("clean"))


def test_damaged_attributions_cost_their_own_rows_only(folder: Path, made: SmallGldv2) -> None:
    path = folder / "metadata" / "train_attribution.csv"
    image = sorted(made.clean)[0]
    row = f"t,{image},J\xf6rg,by,u".encode("latin-1")
    lines = [b"title,id,author,license,url", b"too,few", row]
    put(path, b"\n".join(lines) + b"\n")
    found = read_gldv2(folder, choose("clean"))
    own = rows(found.manifest)[image]
    assert (own["author"], own["license"], own["source_url"]) == ("J\ufffdrg", "by", "u")
    assert any("1 rows of train_attribution.csv are damaged" in note for note in found.notes)
    without = len(made.clean) - 1
    assert f"{without} photographs of train have no author" in " ".join(found.notes)


def test_without_the_hierarchy_names_remain(folder: Path) -> None:
    (folder / "metadata" / "train_label_to_hierarchical.csv").unlink()
    table = read_gldv2(folder, choose("clean")).manifest.table
    assert "Half Dome" in table["landmark_name"].to_pylist()
    assert table["category"].null_count == table.num_rows


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://commons.wikimedia.org/wiki/Category:Tour_Saint-Nicolas", "Tour Saint-Nicolas"),
        ("https://commons.wikimedia.org/wiki/Category:St._Mary%27s", "St. Mary's"),
        ("//commons.wikimedia.org/wiki/Category:%E6%B8%85%E6%B0%B4%E5%AF%BA", "清水寺"),
        ("https://commons.wikimedia.org/wiki/Category:A/B_C", "A/B C"),
        ("https://commons.wikimedia.org/wiki/Half_Dome", "Half Dome"),
        ("", None),
        (None, None),
    ],
)
def test_names_from_addresses(url: str | None, name: str | None) -> None:
    assert landmark_name(url) == name


def test_choices() -> None:
    choice = choose(" test , clean", "0-1,3")
    assert choice.sets == ("clean", "test")
    assert choice.subset == "clean"
    assert choice.tars(SPLITS["train"]) == [0, 1, 3]
    assert choose("test", "5-90").tars(SPLITS["test"]) == list(range(5, 20))
    for sets, only, what in (
        ("claen", None, "no set 'claen'"),
        ("clean,2x", None, "clean is part of 2x"),
        (" ,", None, "no set is named"),
        ("test", "20", "test has the tars 0 to 19"),
        ("test", "3-1", "written as"),
        ("test", "x", "written as"),
        ("test", "", "written as"),
    ):
        with pytest.raises(CairnError, match=what):
            choose(sets, only)


def test_ids_as_numbers() -> None:
    ids = ["0123456789abcdef", "ffffffffffffffff", "0000000000000000"]
    assert as_numbers(ids).tolist() == [0x0123456789ABCDEF, 2**64 - 1, 0]
    assert as_numbers([]).tolist() == []
    for bad in ("0123", "0123456789ABCDEF", "g" * 16, "0123456789abcdef\n"):
        with pytest.raises(CairnError, match="hexadecimal"):
            as_numbers([ids[0], bad])
    found = positions(np.array([2, 5, 9], np.uint64), np.array([9, 3, 2, 10], np.uint64))
    assert found.tolist() == [2, -1, 0, -1]
    assert positions(np.array([], np.uint64), np.array([1], np.uint64)).tolist() == [-1]


def test_member_names() -> None:
    assert member_key("0/1/2/0123456789abcdef.jpg") == "0123456789abcdef"
    assert member_key(image_name("fedcba9876543210")) == "fedcba9876543210"
    assert member_key("./") == member_key("0/1") == ""
    assert member_key("0/1/2/0123456789abcdef.jpeg") is None


def test_lists_in_a_column() -> None:
    values, parents = words(pa.chunked_array([["a b", None], ["", " c  d "]]))
    assert values.to_pylist() == ["a", "b", "c", "d"]
    assert parents.to_pylist() == [0, 0, 3, 3]


def test_columns_that_may_be_missing(tmp_path: Path) -> None:
    put(tmp_path / "t.csv", csv_of("id,b", [("1", "x,\ny"), ("002", "")]))
    assert read(tmp_path / "t.csv", ("id",), ("b", "c")).to_pylist() == [
        {"id": "1", "b": "x,\ny"},
        {"id": "002", "b": ""},
    ]
    put(tmp_path / "e.csv", b"id\n")
    assert read(tmp_path / "e.csv", ("id",)).num_rows == 0
    put(tmp_path / "d.csv", b"id,b\n1\n")
    with pytest.raises(CairnError, match="not a readable CSV"):
        list(batches(tmp_path / "d.csv", ("id",)))


def test_a_truth_with_an_id_twice(folder: Path) -> None:
    put(folder / "ground_truth/recognition_solution_v2.1.csv", b"id,landmarks\na,1\na,2\n")
    with pytest.raises(CairnError, match="'a' stands twice"):
        recognition_truth(folder)


def test_retrieval_of_unknown_images(folder: Path, made: SmallGldv2) -> None:
    image = next(iter(made.test))
    put(folder / "ground_truth/retrieval_solution_v2.1.csv", f"id,images\n{image},abc\n".encode())
    with pytest.raises(CairnError, match="not among those of index, such as 'abc'"):
        read_gldv2(folder, choose("index,test"))
