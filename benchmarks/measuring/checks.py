"""Whether answers are right: against float64 brute force, and against a peer's near ties apart."""

from __future__ import annotations

import numpy as np

from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError
from cairn.penalty import PenaltyTable

NEAR_TIE = 1e-6
"""Similarities that float32 peers may swap."""

_SUMMING = 1e-12  # sums in float64 in another order differ by less
_BLOCK, _QUERIES = 1 << 15, 256


def brute_force(queries_QD: Float32, gallery_GD: Float32, k: int) -> Int64:
    """Return (Q, k) rows by inner product in float64, equal ones by row; one block at a time."""
    wide_QD = queries_QD.astype(np.float64)
    best_QC = np.empty((len(queries_QD), 0))
    rows_QC = np.empty((len(queries_QD), 0), dtype=np.int64)
    for start in range(0, len(gallery_GD), _BLOCK):
        block_QN = wide_QD @ gallery_GD[start : start + _BLOCK].astype(np.float64).T
        at_N = np.broadcast_to(np.arange(start, start + block_QN.shape[1]), block_QN.shape)
        best_QC = np.concatenate([best_QC, block_QN], axis=1)
        rows_QC = np.concatenate([rows_QC, at_N], axis=1)
        order_QK = np.argsort(-best_QC, axis=1, kind="stable")[:, :k]
        best_QC = np.take_along_axis(best_QC, order_QK, axis=1)
        rows_QC = np.take_along_axis(rows_QC, order_QK, axis=1)
    return rows_QC


def require_exact(found: Neighbors, queries_QD: Float32, gallery_GD: Float32) -> None:
    """Raise unless rows and order are those of a float64 brute force, equal rows by row number.

    Rows may stand differently only where float64 sums in another order could not tell them apart.
    """
    k = found.indices.shape[1]
    require_same(
        found.indices,
        brute_force(queries_QD, gallery_GD, k),
        queries_QD,
        gallery_GD,
        peer="float64",
        tie=_SUMMING,
    )
    for query, rows_K in enumerate(found.indices):
        near_KD = gallery_GD[rows_K]
        is_copy = (near_KD[1:] == near_KD[:-1]).all(axis=1)
        if (is_copy & (rows_K[1:] < rows_K[:-1])).any():
            raise CairnError("equal rows do not stand by row number", where=f"query {query}")


def require_same(
    indices_QK: Int64,
    theirs_QK: Int64,
    queries_QD: Float32,
    gallery_GD: Float32,
    *,
    peer: str,
    tie: float = NEAR_TIE,
) -> None:
    """Raise unless the rows are the peer's, but where two are within ``tie`` of one another."""
    for query in np.flatnonzero((indices_QK != theirs_QK).any(axis=1)):
        at = np.flatnonzero(indices_QK[query] != theirs_QK[query])
        wide_D = queries_QD[query].astype(np.float64)
        ours = gallery_GD[indices_QK[query, at]].astype(np.float64) @ wide_D
        others = gallery_GD[theirs_QK[query, at]].astype(np.float64) @ wide_D
        worst = float(np.abs(ours - others).max())
        if worst > tie:
            raise CairnError(
                f"the rows differ from {peer}'s by {worst:.2g} in similarity",
                where=f"query {query}",
            )


def require_picks(
    table: PenaltyTable, bank_BD: Float32, rows_N: Int64, gallery_GD: Float32
) -> None:
    """Raise unless a penalty table is that of picks in float64, as far as some bank rows show it.

    All rows of the bank give every count and mean; fewer give a lower bound of the counts.
    """
    num_gallery = len(gallery_GD)
    if table.num_picks != min(table.top, num_gallery) * len(bank_BD):
        raise CairnError("the number of picks is off", where=table.num_picks)
    counts, sums = np.zeros(num_gallery, dtype=np.int64), np.zeros(num_gallery)
    for part_B in np.array_split(rows_N, max(1, len(rows_N) // _QUERIES)):
        picks_BK = brute_force(bank_BD[part_B], gallery_GD, table.top)
        wide_BD = bank_BD[part_B].astype(np.float64)
        near_BK = np.einsum("bkd,bd->bk", gallery_GD[picks_BK].astype(np.float64), wide_BD)
        counts += np.bincount(picks_BK.ravel(), minlength=num_gallery)
        sums += np.bincount(picks_BK.ravel(), weights=near_BK.ravel(), minlength=num_gallery)
    capped = np.minimum(counts, table.rule.max_n)
    if (capped > table.n_picked).any():
        raise CairnError("gallery rows miss picks", where=int((capped > table.n_picked).sum()))
    if len(rows_N) < len(bank_BD):
        return
    if (capped != table.n_picked).any():
        raise CairnError("gallery rows have picks too many", where="the penalty table")
    if np.abs(sums / np.maximum(counts, 1) - table.sims).max() > NEAR_TIE:
        raise CairnError("means differ from those of float64", where="the penalty table")


def overlap(indices_QK: Int64, theirs_QK: Int64) -> float:
    """Return the share of the first rows that are among the second, whatever the order."""
    pairs = zip(indices_QK, theirs_QK, strict=True)
    return float(np.mean([np.isin(ours, theirs).mean() for ours, theirs in pairs]))
