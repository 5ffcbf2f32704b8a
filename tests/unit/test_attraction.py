from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cairn.attraction import Attraction
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.penalty import PICKS_PER_IMAGE, PenaltyRule, PenaltyTable, penalty_table
from cairn.search import Crossing, cross

RULE = PenaltyRule(2, 6, 0.3, 1.0, "from-min", 1.0)
Top = int | Literal["auto"]


def unit_rows(num_rows: int, seed: int) -> Float32:
    rows = np.random.default_rng(seed).normal(size=(num_rows, 12))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def keys_of(rows: Float32) -> NDArray[np.uint64]:
    return np.array([zlib.crc32(row.tobytes()) for row in rows], dtype=np.uint64)


def attraction(gallery: Float32, bank: Float32, top: Top = "auto") -> Attraction:
    return Attraction.of(gallery, bank, keys_of(gallery), top=top)


def assert_same_crossing(ours: Attraction, theirs: Attraction) -> None:
    for one, two in (
        (ours.crossing.of_queries, theirs.crossing.of_queries),
        (ours.crossing.of_rows, theirs.crossing.of_rows),
    ):
        np.testing.assert_array_equal(one.rows, two.rows)
        np.testing.assert_array_equal(one.scores, two.scores)
    np.testing.assert_array_equal(ours.keys, theirs.keys)


def assert_same_table(ours: PenaltyTable, theirs: PenaltyTable) -> None:
    for name in ("n_picked", "sims", "penalty"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    for name in ("top", "num_picks", "bank_size"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize("top", ["auto", 1, 20, 30])
def test_its_penalty_is_the_penalty_table(top: Top) -> None:
    gallery, bank = unit_rows(300, 1), unit_rows(80, 2)
    ours = attraction(gallery, bank, top).penalty(bank, top=top, rule=RULE)
    assert_same_table(ours, penalty_table(gallery, bank, top=top, min_n=2, max_n=6))


def test_half_precision_picks_too() -> None:
    gallery, bank = (torch.from_numpy(unit_rows(num, 1)).bfloat16() for num in (300, 80))
    made = penalty_table(gallery, bank, top="auto", min_n=2, max_n=6)
    again = penalty_table(gallery.float(), bank, top="auto", min_n=2, max_n=6)
    assert_same_table(made, again)
    assert made.num_picks == round(PICKS_PER_IMAGE * 300)


def test_the_dense_penalty_is_the_mean_of_the_nearest_non_landmarks() -> None:
    gallery, bank = unit_rows(30, 1), unit_rows(8, 2)
    found = attraction(gallery, bank).dense_penalty()
    similarities = np.sort(gallery.astype(np.float64) @ bank.T.astype(np.float64), axis=1)
    np.testing.assert_allclose(found, similarities[:, -5:].mean(axis=1), atol=1e-7)
    few = attraction(gallery, bank[:2]).dense_penalty()
    np.testing.assert_allclose(few, (gallery @ bank[:2].T).mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("came", [0, 40])
@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_it_follows_the_gallery(came: int, share: float) -> None:
    gallery, bank = unit_rows(300, 1), unit_rows(80, 2)
    kept = np.random.default_rng(3).random(300) < share
    kept[0] = True
    now = np.concatenate([gallery[kept], unit_rows(came, 4)])
    followed = attraction(gallery, bank).following(now, bank, keys_of(now))
    assert_same_crossing(followed, attraction(now, bank))


def test_it_follows_for_the_products_of_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, bank = unit_rows(300, 1), unit_rows(80, 2)
    before = attraction(gallery, bank)
    now = np.concatenate([gallery, unit_rows(7, 4)])
    crossed: list[int] = []

    def spied(queries: Float32, rows: Float32, k: int, m: int) -> Crossing:
        crossed.append(len(rows))
        return cross(queries, rows, k, m)

    monkeypatch.setattr(sys.modules["cairn.search.cross"], "cross", spied)
    before.following(now, bank, keys_of(now))
    assert crossed == [7]


@pytest.mark.parametrize("change", ["another order", "nothing left", "more picks"])
def test_what_cannot_be_followed_is_made_anew(change: str) -> None:
    gallery, bank = unit_rows(100, 1), unit_rows(20, 2)
    now = gallery[::-1].copy() if change == "another order" else gallery
    now = unit_rows(60, 9) if change == "nothing left" else now
    top = 30 if change == "more picks" else 5
    followed = attraction(gallery, bank, 5).following(now, bank, keys_of(now), top=top)
    assert_same_crossing(followed, attraction(now, bank, top))
    table = penalty_table(now, bank, top=top, min_n=2, max_n=6)
    assert_same_table(followed.penalty(bank, top=top, rule=RULE), table)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = attraction(unit_rows(30, 1), unit_rows(7, 2))
    made.write(tmp_path / "a.safetensors")
    assert_same_crossing(Attraction.read(tmp_path / "a.safetensors"), made)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    gallery, bank = unit_rows(300, 1), unit_rows(8, 2)
    with pytest.raises(CairnError, match="may pick 30 gallery images, and 20 were looked for"):
        attraction(gallery, bank, 1).penalty(bank, top=30, rule=RULE)
    with pytest.raises(CairnError, match="file not found"):
        Attraction.read(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"text")
    with pytest.raises(CairnError, match="not what a bank and a gallery see"):
        Attraction.read(tmp_path / "bad")
