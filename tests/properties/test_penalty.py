"""What holds of every penalty table."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn.domain import Float32
from cairn.penalty import PICKS_PER_IMAGE, RAMPS, PenaltyRule, penalty_table


@st.composite
def rules(draw: st.DrawFn) -> PenaltyRule:
    min_n = draw(st.integers(1, 8))
    low, high = sorted(draw(st.tuples(*[st.floats(0, 1)] * 2)))
    return PenaltyRule(
        min_n,
        min_n + draw(st.integers(0, 10)),
        low,
        high,
        draw(st.sampled_from(RAMPS)),
        draw(st.floats(0, 2)),
    )


def unit_rows(num_rows: int, seed: int, dimension: int = 6) -> Float32:
    rows = np.random.default_rng(seed).normal(size=(num_rows, dimension))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


@given(rule=rules(), similarity=st.floats(-1, 1, width=32))
def test_penalty_stays_within_the_similarity_and_grows_with_the_picks(
    rule: PenaltyRule, similarity: float
) -> None:
    n_picked = np.arange(rule.max_n + 5)
    penalties = rule.penalties(n_picked, np.full(len(n_picked), similarity, dtype=np.float32))
    assert (penalties >= 0).all()
    assert (penalties <= rule.strength * max(similarity, 0) * (1 + 1e-6)).all()
    assert (np.diff(penalties) >= 0).all()
    assert (penalties[: rule.min_n] == 0).all()


@settings(max_examples=40, deadline=None)
@given(
    num_gallery=st.integers(1, 40),
    num_bank=st.integers(1, 60),
    top=st.one_of(st.just("auto"), st.integers(1, 50)),
    seed=st.integers(0, 2**16),
)
def test_tables_do_not_depend_on_the_order_of_the_bank(
    num_gallery: int, num_bank: int, top: int, seed: int
) -> None:
    gallery, bank = unit_rows(num_gallery, seed), unit_rows(num_bank, seed + 1)
    table = penalty_table(gallery, bank, top=top)
    shuffled = np.random.default_rng(seed).permutation(bank)
    again = penalty_table(gallery, shuffled, top=top)
    np.testing.assert_array_equal(again.n_picked, table.n_picked)
    np.testing.assert_allclose(again.sims, table.sims, atol=1e-6)
    np.testing.assert_allclose(again.penalty, table.penalty, atol=1e-6)
    assert ((table.sims == 0) | (table.n_picked > 0)).all()


@settings(max_examples=60, deadline=None)
@given(num_gallery=st.integers(1, 80), num_bank=st.integers(1, 200), seed=st.integers(0, 2**16))
def test_auto_keeps_the_picks_expected_on_gldv2(num_gallery: int, num_bank: int, seed: int) -> None:
    table = penalty_table(unit_rows(num_gallery, seed), unit_rows(num_bank, seed + 1), top="auto")
    expected = round(PICKS_PER_IMAGE * num_gallery)
    assert table.num_picks == min(expected, num_gallery * num_bank)
    assert table.top == -(-table.num_picks // num_bank)
