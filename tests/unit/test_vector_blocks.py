from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cairn.errors import CairnError
from cairn.search import search
from cairn.table_writer import TableWriter
from cairn.vector_blocks import VectorBlocks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table of 50 rows in three commits."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with TableWriter(tmp_path / "t", fingerprint="f" * 16, dimension=8) as writer:
        for part in (slice(0, 20), slice(20, 23), slice(23, 50)):
            ids = [f"g{row}" for row in range(50)[part]]
            writer.append(ids, ["l"] * len(ids), ids, vectors[part])
    np.save(tmp_path / "v.npy", vectors)
    return tmp_path


def test_the_rows_come_in_order_and_in_blocks(folder: Path) -> None:
    vectors = np.load(folder / "v.npy")
    table = VectorBlocks(folder / "t")
    assert (table.shape, table.fingerprint) == ((50, 8), "f" * 16)
    for num_rows in (1, 7, 50, 1000):
        blocks = list(table.blocks(num_rows))
        assert max(map(len, blocks)) <= num_rows
        np.testing.assert_array_equal(np.concatenate(blocks), vectors)


def test_a_search_reads_them(folder: Path) -> None:
    vectors = np.load(folder / "v.npy")
    found = search(vectors[:9], VectorBlocks(folder / "t"), 4)
    expected = search(vectors[:9], vectors, 4)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_array_equal(found.similarities, expected.similarities)


def test_an_unfinished_table_is_refused(folder: Path) -> None:
    (folder / "t" / "unfinished").touch()
    with pytest.raises(CairnError, match="not finished"):
        VectorBlocks(folder / "t")
    with pytest.raises(CairnError, match="no such embedding folder"):
        VectorBlocks(folder / "none")
