from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.table_writer import TableWriter
from cairn.tables import DATASET_NAME, EmbeddingTable, require_same_model

PRINT = "f" * 64


def unit(n: int, d: int = 8, seed: int = 0) -> Float32:
    vectors = np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def table(n: int = 5, *, fingerprint: str = PRINT, d: int = 8) -> EmbeddingTable:
    ids = [f"图{i}" for i in range(n)]
    return EmbeddingTable(
        ids, [str(i // 2) for i in range(n)], [f"/p/{i}.jpg" for i in ids], unit(n, d), fingerprint
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    made = table()
    made.write(tmp_path / "金阁寺 #1" / "out")
    for where in ("out", f"out/{DATASET_NAME}"):
        read = EmbeddingTable.read(tmp_path / "金阁寺 #1" / where)
        assert read.image_ids == made.image_ids
        assert read.landmark_ids == made.landmark_ids
        assert read.paths == made.paths
        assert read.fingerprint == PRINT
        assert read.dimension == 8
        assert len(read) == 5
        np.testing.assert_array_equal(read.vectors, made.vectors)
        assert read.vectors.flags.c_contiguous


def test_write_never_overwrites(tmp_path: Path) -> None:
    table().write(tmp_path / "out")
    with pytest.raises(CairnError, match="never overwritten"):
        table(3).write(tmp_path / "out")
    assert len(EmbeddingTable.read(tmp_path / "out")) == 5


def test_appends_keep_their_order_and_continue_after_reopening(tmp_path: Path) -> None:
    made = table(7)
    for part in (slice(0, 3), slice(3, 5), slice(5, 7)):
        with TableWriter(tmp_path / "t", fingerprint=PRINT, dimension=8) as writer:
            assert writer.done_ids == frozenset(made.image_ids[: part.start])
            writer.append(
                made.image_ids[part], made.landmark_ids[part], made.paths[part], made.vectors[part]
            )
    read = EmbeddingTable.read(tmp_path / "t")
    assert read.image_ids == made.image_ids
    np.testing.assert_array_equal(read.vectors, made.vectors)
    assert read.vectors.flags.c_contiguous
    assert writer.done("图3") == ("1", "/p/图3.jpg")
    assert writer.done("other") is None


def test_an_interrupted_table_is_refused_until_it_is_finished(tmp_path: Path) -> None:
    made = table(4)

    def half(start: int, *, fail: bool) -> None:
        with TableWriter(tmp_path / "t", fingerprint=PRINT, dimension=8) as writer:
            rows = slice(start, start + 2)
            writer.append(
                made.image_ids[rows], made.landmark_ids[rows], made.paths[rows], made.vectors[rows]
            )
            if fail:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half(0, fail=True)
    with pytest.raises(CairnError, match="not finished"):
        EmbeddingTable.read(tmp_path / "t")
    half(2, fail=False)
    assert EmbeddingTable.read(tmp_path / "t").image_ids == made.image_ids


def test_a_crash_before_the_first_commit_can_be_continued(tmp_path: Path) -> None:
    (tmp_path / "t" / DATASET_NAME / "data").mkdir(parents=True)
    (tmp_path / "t" / DATASET_NAME / "data" / "orphan.lance").write_bytes(b"half a file")
    (tmp_path / "t" / "unfinished").touch()
    made = table(2)
    with TableWriter(tmp_path / "t", fingerprint=PRINT, dimension=8) as writer:
        writer.append(made.image_ids, made.landmark_ids, made.paths, made.vectors)
    assert len(EmbeddingTable.read(tmp_path / "t")) == 2


def test_another_model_cannot_continue_a_table(tmp_path: Path) -> None:
    table().write(tmp_path / "t")
    with pytest.raises(CairnError, match="another model"):
        TableWriter(tmp_path / "t", fingerprint="0" * 64, dimension=8)
    with pytest.raises(CairnError, match="another model"):
        TableWriter(tmp_path / "t", fingerprint=PRINT, dimension=4)


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(CairnError, match="never overwritten"):
        TableWriter(tmp_path, fingerprint=PRINT, dimension=8)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_append_refuses_rows_that_are_there(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t", fingerprint=PRINT, dimension=8) as writer:
        writer.append(["a"], [""], ["a.jpg"], unit(1))
        with pytest.raises(CairnError, match="already"):
            writer.append(["a"], [""], ["a.jpg"], unit(1))
        with pytest.raises(CairnError, match="4 dimensions, the table 8"):
            writer.append(["b"], [""], ["b.jpg"], unit(1, 4))
        writer.append([], [], [], unit(0))
    assert EmbeddingTable.read(tmp_path / "t").image_ids == ["a"]


def test_a_writer_that_got_nothing_leaves_an_unfinished_table(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t", fingerprint=PRINT, dimension=8):
        pass
    with pytest.raises(CairnError, match="not finished"):
        EmbeddingTable.read(tmp_path / "t")


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 2.0])
def test_vectors_must_be_finite_and_of_unit_length(value: float) -> None:
    vectors = unit(3)
    vectors[1] = value
    with pytest.raises(CairnError, match="1 vectors are not of unit length") as caught:
        EmbeddingTable(["a", "b", "c"], [""] * 3, [""] * 3, vectors, PRINT)
    assert "'b'" in caught.value.where


def test_bad_columns_are_refused() -> None:
    with pytest.raises(CairnError, match="present and different"):
        EmbeddingTable(["a", "a"], ["", ""], ["", ""], unit(2), PRINT)
    with pytest.raises(CairnError, match="present and different"):
        EmbeddingTable(["", "a"], ["", ""], ["", ""], unit(2), PRINT)
    with pytest.raises(CairnError, match="different lengths"):
        EmbeddingTable(["a", "b"], [""], ["", ""], unit(2), PRINT)
    with pytest.raises(CairnError, match="float32"):
        EmbeddingTable(["a"], [""], [""], unit(1).astype(np.float64), PRINT)
    with pytest.raises(CairnError, match="at least one image") as caught:
        EmbeddingTable([], [], [], unit(0), PRINT)
    assert caught.value.todo
    with pytest.raises(CairnError, match="fingerprint"):
        EmbeddingTable(["a"], [""], [""], unit(1), "")


def test_folders_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="no such embedding folder"):
        EmbeddingTable.read(tmp_path / "none")
    with pytest.raises(CairnError, match="holds no embedding table"):
        EmbeddingTable.read(tmp_path)
    (tmp_path / DATASET_NAME / "_versions").mkdir(parents=True)
    with pytest.raises(CairnError, match="not a readable Lance dataset"):
        EmbeddingTable.read(tmp_path)


def test_a_lance_dataset_of_something_else_is_refused(tmp_path: Path) -> None:
    import lance
    import pyarrow as pa

    lance.write_dataset(pa.table({"image_id": ["a"]}), str(tmp_path / DATASET_NAME))
    with pytest.raises(CairnError, match="not an embedding table: it lacks cairn"):
        EmbeddingTable.read(tmp_path)


def test_tables_of_different_models_do_not_mix() -> None:
    require_same_model(table(), table(3), where="here")
    with pytest.raises(CairnError, match="different models"):
        require_same_model(table(), table(fingerprint="0" * 64), where="here")
    with pytest.raises(CairnError, match="different models"):
        require_same_model(table(), table(d=4), where="here")


def test_importing_tables_loads_neither_lance_nor_torch() -> None:
    code = "import cairn.tables, sys; assert not {'lance', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
