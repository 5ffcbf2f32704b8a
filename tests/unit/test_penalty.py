from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.penalty import PenaltyRule, PenaltyTable, penalty_table


@pytest.fixture
def gallery() -> Float32:
    return unit_rows(30, 1)


@pytest.fixture
def bank() -> Float32:
    return unit_rows(20, 2)


def unit_rows(num_rows: int, seed: int) -> Float32:
    rows = np.random.default_rng(seed).normal(size=(num_rows, 8))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.parametrize("top", [1, 4, 20, 100])
def test_agrees_with_a_loop_over_the_whole_matrix(
    gallery: Float32, bank: Float32, top: int
) -> None:
    picks: list[list[float]] = [[] for _ in gallery]
    for similarities in bank.astype(np.float64) @ gallery.T.astype(np.float64):
        for row in np.argsort(-similarities, kind="stable")[:top]:
            picks[row].append(similarities[row])
    table = penalty_table(gallery, bank, top=top)
    assert table.n_picked.tolist() == [min(len(p), 12) for p in picks]
    means = [sum(p) / len(p) if p else 0.0 for p in picks]
    np.testing.assert_allclose(table.sims, means, rtol=1e-5, atol=1e-7)
    assert table.top == min(top, 30)
    assert table.num_picks == 20 * table.top


def test_takes_tensors_and_arrays_alike(gallery: Float32, bank: Float32) -> None:
    of_arrays = penalty_table(gallery, bank, top="auto")
    of_tensors = penalty_table(torch.from_numpy(gallery), torch.from_numpy(bank), top="auto")
    np.testing.assert_array_equal(of_arrays.n_picked, of_tensors.n_picked)
    np.testing.assert_array_equal(of_arrays.penalty, of_tensors.penalty)


def test_a_negative_mean_similarity_costs_nothing(gallery: Float32) -> None:
    table = penalty_table(gallery, -gallery[:1].repeat(40, axis=0), top=30, min_n=1)
    assert table.sims.min() < -0.9
    assert (table.penalty >= 0).all()
    assert (table.penalty[table.sims < 0] == 0).all()
    assert (table.penalty[table.sims > 0] > 0).all()
    np.testing.assert_array_equal(table.offsets, -table.penalty)


def test_strength_scales(gallery: Float32, bank: Float32) -> None:
    whole = penalty_table(gallery, bank, top=10)
    part = penalty_table(gallery, bank, top=10, strength=0.25)
    assert whole.penalty.max() > 0
    np.testing.assert_allclose(part.penalty, whole.penalty / 4)
    assert not penalty_table(gallery, bank, top=10, strength=0).penalty.any()


def test_auto_uses_part_of_a_bank_that_is_too_large(gallery: Float32) -> None:
    table = penalty_table(gallery, unit_rows(500, 3), top="auto")
    assert (table.top, table.num_picks, table.bank_size) == (1, 42, 500)  # 30 * 1.392 = 41.8


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"min_n": 13}, "min_n = 13"),
        ({"min_n": 0}, "min_n = 0"),
        ({"min_pro": -0.1}, "min_pro = -0.1"),
        ({"max_pro": 1.5}, "max_pro = 1.5"),
        ({"min_pro": 0.9, "max_pro": 0.5}, "min_pro = 0.9"),
        ({"max_pro": float("nan")}, "max_pro = nan"),
        ({"ramp": "from_zero"}, "did you mean 'from-zero'?"),
        ({"strength": -1.0}, "strength = -1.0"),
        ({"strength": float("inf")}, "strength = inf"),
        ({"top": 0}, "top = 0"),
        ({"top": "all"}, "'auto'"),
    ],
)
def test_refuses_parameters(
    gallery: Float32, bank: Float32, options: dict[str, Any], word: str
) -> None:
    with pytest.raises(CairnError) as caught:
        penalty_table(gallery, bank, **options)
    assert word in str(caught.value)


@pytest.mark.parametrize("top", [20, "auto"])
def test_refuses_embeddings_that_do_not_fit(gallery: Float32, bank: Float32, top: Any) -> None:
    with pytest.raises(CairnError, match="the bank holds no rows"):
        penalty_table(gallery, bank[:0], top=top)
    with pytest.raises(CairnError, match="gallery holds no rows"):
        penalty_table(gallery[:0], bank, top=top)
    with pytest.raises(CairnError, match="differ in dimension"):
        penalty_table(gallery, np.ascontiguousarray(bank[:, :5]), top=top)


def test_a_table_checks_itself() -> None:
    rule = PenaltyRule(3, 12, 0.3, 1.0, "from-min", 1.0)
    three, two = np.zeros(3, dtype=np.float32), np.zeros(2, dtype=np.float32)
    with pytest.raises(CairnError, match="three columns of one length"):
        PenaltyTable(np.zeros(3, dtype=np.int64), three, two, rule, 1, 0, 1)
    with pytest.raises(CairnError, match="finite and not negative"):
        PenaltyTable(np.zeros(3, dtype=np.int64), three, three - 1, rule, 1, 0, 1)


class TestFile:
    ids = tuple(f"{row:04x}" for row in range(30))

    @pytest.fixture
    def table(self, gallery: Float32, bank: Float32) -> PenaltyTable:
        return penalty_table(gallery, bank, top=5, min_n=2, strength=0.5, ramp="from-zero")

    @pytest.fixture
    def path(self, tmp_path: Path, table: PenaltyTable) -> Path:
        path = tmp_path / "罚分.parquet"
        table.write(path, [Path("ф") / f"{name}.jpg" for name in self.ids], self.ids)
        return path

    def test_comes_back_as_written(self, path: Path, table: PenaltyTable) -> None:
        back, ids = PenaltyTable.read(path)
        assert ids == list(self.ids)
        for name in ("n_picked", "sims", "penalty"):
            np.testing.assert_array_equal(getattr(back, name), getattr(table, name))
            assert getattr(back, name).dtype == getattr(table, name).dtype
        facts = ("rule", "top", "num_picks", "bank_size")
        assert all(getattr(back, name) == getattr(table, name) for name in facts)
        assert [entry.name for entry in path.parent.iterdir()] == [path.name]

    def test_has_the_columns_of_the_penalty_table(self, path: Path) -> None:
        file = pq.read_table(path)
        assert file.column_names == ["image_id", "img_path", "sims", "n_picked", "penalty"]
        assert file["img_path"][3].as_py() == str(Path("ф") / "0003.jpg")

    def test_follows_the_order_of_the_gallery(self, path: Path, table: PenaltyTable) -> None:
        assert (PenaltyTable.read_for(path, self.ids).penalty == table.penalty).all()
        turned = PenaltyTable.read_for(path, self.ids[::-1])
        np.testing.assert_array_equal(turned.penalty, table.penalty[::-1])
        np.testing.assert_array_equal(turned.sims, table.sims[::-1])
        np.testing.assert_array_equal(turned.n_picked, table.n_picked[::-1])

    @pytest.mark.parametrize("ids", [ids[:-1], (*ids, "new"), (*ids[:-1], "new")])
    def test_refuses_another_gallery(self, path: Path, ids: tuple[str, ...]) -> None:
        with pytest.raises(CairnError, match="the penalty table has 30 images") as caught:
            PenaltyTable.read_for(path, ids)
        assert "cairn penalize" in str(caught.value)
        assert ("'new'" in str(caught.value)) == ("new" in ids)

    def test_refuses_other_lengths(self, tmp_path: Path, table: PenaltyTable) -> None:
        with pytest.raises(CairnError, match="one path and one id"):
            table.write(tmp_path / "a.parquet", self.ids, self.ids[1:])
        assert not list(tmp_path.iterdir())

    def test_refuses_other_files(self, tmp_path: Path) -> None:
        with pytest.raises(CairnError, match="file not found"):
            PenaltyTable.read(tmp_path / "none.parquet")
        text, other = tmp_path / "text.parquet", tmp_path / "other.parquet"
        text.write_text("image_id,penalty\n")
        pq.write_table(pa.table({"image_id": ["a"]}), other)
        for path in (text, other):
            with pytest.raises(CairnError, match="not a penalty table"):
                PenaltyTable.read(path)
