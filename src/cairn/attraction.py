"""What a bank of non-landmarks and a gallery see in one another, kept while both change.

The non-landmark penalty (Cairn's system page, S6) and the dense penalty (the winners of GLR 2020
and 2021, R1 of the field page) come of the same products. Kept as a ``Crossing``, they follow every
change of the gallery or the bank for the products of what changed alone.

This module knows vectors and rows. Which rows came and went is the caller's to tell.

Legend of shapes: G gallery rows, B bank rows, K picks kept of a bank row, M non-landmarks kept of a
gallery row, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from cairn.domain import Float32, Int64
from cairn.errors import CairnError
from cairn.penalty import PenaltyRule, PenaltyTable, picks_of, table_of_picks
from cairn.runs import atomic_write
from cairn.search import Array, Crossing, TopK, cross

NUM_PICKS = 20
"""Picks kept of a bank image at least, as many as published."""

NUM_NEAREST = 5
"""Non-landmarks kept of a gallery image, as many as R1 takes the mean of."""

_NAMES = ("picks.rows", "picks.scores", "nearest.rows", "nearest.scores")


@dataclass(frozen=True, eq=False)
class Attraction:
    """A bank and a gallery, each other's neighbours.

    Args:
        crossing: ``of_queries`` (B, K): the gallery rows that each bank image picks first;
            ``of_rows`` (G, M): the bank images nearest to each gallery image.
    """

    crossing: Crossing

    @classmethod
    def of(
        cls,
        gallery: Array,
        bank: Array,
        *,
        top: int | Literal["auto"] = "auto",
        num_nearest: int = NUM_NEAREST,
    ) -> Attraction:
        """Return the attraction of a gallery (G, D) and a bank (B, D), of one pass.

        Args:
            gallery: Unit vectors, as ``cairn.search.search`` takes them.
            bank: Likewise, of images that show no landmark.
            top: Picks that penalties will be asked for; at least ``NUM_PICKS`` are kept.
            num_nearest: M.

        Raises:
            CairnError: As ``cairn.search.cross`` and ``cairn.penalty.picks_of``.
        """
        most = int(picks_of(bank, len(gallery), top).max())
        return cls(cross(bank, gallery, max(NUM_PICKS, most), num_nearest))

    def penalty(
        self, bank: Array, *, top: int | Literal["auto"], rule: PenaltyRule
    ) -> PenaltyTable:
        """Return the penalty table, equal to ``cairn.penalty.penalty_table``'s in every bit.

        Args:
            bank: (B, D) as it is now; ``auto`` draws by its vectors.
            top: Picks of each bank image.
            rule: How picks become penalties.

        Raises:
            CairnError: More picks are asked for than are kept.
        """
        num_gallery = len(self.crossing.of_rows.rows)
        picks_B = picks_of(bank, num_gallery, top)
        return table_of_picks(self.crossing.of_queries, picks_B, num_gallery, rule)

    def dense_penalty(self) -> Float32:
        """Return (G,) the mean similarity of each gallery image to its M nearest non-landmarks.

        Fewer than M where the bank is smaller. It is R1's b_t, to be taken off, weighted, the
        similarity of every query to image t.
        """
        scores = self.crossing.of_rows.scores
        is_there = self.crossing.of_rows.rows >= 0
        sums = np.where(is_there, scores, 0.0).sum(axis=1)
        means: Float32 = (sums / np.maximum(is_there.sum(axis=1), 1)).astype(np.float32)
        return means

    def after(self, kept: Array, came: int, gallery: Array, bank: Array) -> Attraction:
        """Return the attraction after gallery images were removed and others added at the end.

        Args:
            kept: (G,) bool: which of the earlier images are still there, in the same order.
            came: How many new ones follow them.
            gallery: (N, D) the gallery as it is now.
            bank: (B, D) the bank, unchanged.

        Raises:
            CairnError: The numbers do not fit.
        """
        kept_G = np.asarray(kept, dtype=np.bool_)
        num_kept = int(kept_G.sum())
        if num_kept + came != len(gallery):
            raise CairnError(
                f"{num_kept} images kept and {came} new ones are not the {len(gallery)} there are"
            )
        crossing = self.crossing
        if num_kept == 0:
            return Attraction(cross(bank, gallery, crossing.k, crossing.m))
        if not kept_G.all():
            crossing = crossing.without_rows(kept_G, bank, gallery[:num_kept])
        if came:
            crossing = crossing.with_rows(bank, gallery[num_kept:])
        return Attraction(crossing)

    def reordered(self, order: Int64) -> Attraction:
        """Return the attraction of the gallery whose row i is the earlier row ``order[i]``.

        Equal scores stand by lower row afterwards; at the end of a list, where a row of the same
        score was cut off, the earlier order decides still.
        """
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        rows, scores = self.crossing.of_queries.rows, self.crossing.of_queries.scores
        moved = np.where(rows >= 0, place[rows], -1)
        by_score = np.lexsort((moved, -scores), axis=1)
        picks = TopK(
            np.take_along_axis(moved, by_score, axis=1),
            np.take_along_axis(scores, by_score, axis=1),
        )
        nearest = self.crossing.of_rows
        return Attraction(Crossing(picks, TopK(nearest.rows[order], nearest.scores[order])))

    def write(self, path: Path) -> None:
        """Write it as safetensors, whole or not at all."""
        tables = (self.crossing.of_queries, self.crossing.of_rows)
        arrays = [array for table in tables for array in (table.rows, table.scores)]
        with atomic_write(path) as temporary:
            save_file(dict(zip(_NAMES, arrays, strict=True)), temporary)

    @classmethod
    def read(cls, path: Path) -> Attraction:
        """Return what ``write`` wrote.

        Raises:
            CairnError: The file is missing, or is something else.
        """
        if not path.is_file():
            raise CairnError("file not found", where=path, todo="make it with `cairn penalize`")
        try:
            arrays = load_file(path)
            picks, nearest = (
                TopK(arrays[rows], arrays[scores]) for rows, scores in (_NAMES[:2], _NAMES[2:])
            )
        except (SafetensorError, KeyError) as error:
            raise CairnError(
                f"not what a bank and a gallery see in one another: {error}",
                where=path,
                todo="make it again with `cairn penalize`",
            ) from None
        return cls(Crossing(picks, nearest))
