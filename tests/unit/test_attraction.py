from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cairn.attraction import Attraction
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.penalty import PenaltyRule, PenaltyTable, penalty_table

RULE = PenaltyRule(2, 6, 0.3, 1.0, "from-min", 1.0)


def unit_rows(num_rows: int, seed: int) -> Float32:
    rows = np.random.default_rng(seed).normal(size=(num_rows, 12))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def assert_same_table(ours: PenaltyTable, theirs: PenaltyTable) -> None:
    for name in ("n_picked", "sims", "penalty"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert (ours.top, ours.num_picks, ours.bank_size) == (
        theirs.top,
        theirs.num_picks,
        theirs.bank_size,
    )


@pytest.mark.parametrize("top", ["auto", 1, 20])
def test_its_penalty_is_the_penalty_table(top: int) -> None:
    gallery, bank = unit_rows(300, 1), unit_rows(80, 2)
    ours = Attraction.of(gallery, bank).penalty(bank, top=top, rule=RULE)
    assert_same_table(ours, penalty_table(gallery, bank, top=top, min_n=2, max_n=6))


def test_the_dense_penalty_is_the_mean_of_the_nearest_non_landmarks() -> None:
    gallery, bank = unit_rows(30, 1), unit_rows(8, 2)
    found = Attraction.of(gallery, bank).dense_penalty()
    similarities = np.sort(gallery.astype(np.float64) @ bank.T.astype(np.float64), axis=1)
    np.testing.assert_allclose(found, similarities[:, -5:].mean(axis=1), atol=1e-7)
    few = Attraction.of(gallery, bank[:2]).dense_penalty()
    np.testing.assert_allclose(few, (gallery @ bank[:2].T).mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("came", [0, 40])
@pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
def test_it_follows_the_gallery(came: int, share: float) -> None:
    gallery, bank = unit_rows(300, 1), unit_rows(80, 2)
    kept = np.random.default_rng(3).random(300) < share
    now = np.concatenate([gallery[kept], unit_rows(came, 4)])
    if not len(now):
        return
    followed = Attraction.of(gallery, bank).after(kept, came, now, bank)
    anew = Attraction.of(now, bank)
    for ours, theirs in (
        (followed.crossing.of_queries, anew.crossing.of_queries),
        (followed.crossing.of_rows, anew.crossing.of_rows),
    ):
        np.testing.assert_array_equal(ours.rows, theirs.rows)
        np.testing.assert_array_equal(ours.scores, theirs.scores)


def test_it_follows_a_new_order_of_the_gallery() -> None:
    gallery, bank = unit_rows(100, 1), unit_rows(20, 2)
    gallery[50:] = gallery[:50]  # so that equal scores change places
    order = np.random.default_rng(5).permutation(100)
    moved = Attraction.of(gallery, bank).reordered(order).crossing
    anew = Attraction.of(gallery[order], bank).crossing
    np.testing.assert_array_equal(moved.of_queries.rows, anew.of_queries.rows)
    np.testing.assert_array_equal(moved.of_rows.rows, anew.of_rows.rows)
    np.testing.assert_array_equal(moved.of_rows.scores, anew.of_rows.scores)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = Attraction.of(unit_rows(30, 1), unit_rows(7, 2))
    made.write(tmp_path / "a.safetensors")
    again = Attraction.read(tmp_path / "a.safetensors").crossing
    np.testing.assert_array_equal(again.of_queries.rows, made.crossing.of_queries.rows)
    np.testing.assert_array_equal(again.of_rows.scores, made.crossing.of_rows.scores)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    gallery, bank = unit_rows(300, 1), unit_rows(8, 2)
    made = Attraction.of(gallery, bank, top=1)
    with pytest.raises(CairnError, match="may pick 30 gallery images, and 20 were looked for"):
        made.penalty(bank, top=30, rule=RULE)
    with pytest.raises(CairnError, match="are not the 300 there are"):
        made.after(np.ones(299, bool), 0, gallery, bank)
    with pytest.raises(CairnError, match="file not found"):
        Attraction.read(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"text")
    with pytest.raises(CairnError, match="not what a bank and a gallery see"):
        Attraction.read(tmp_path / "bad")
