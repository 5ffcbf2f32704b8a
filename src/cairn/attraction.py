"""What a bank of non-landmarks and a gallery see in one another, kept while both change.

The non-landmark penalty (Cairn's system page, S6) and the dense penalty (the winners of GLR 2020
and 2021, R1 of the field page) come of the same products. Kept as a ``Crossing``, they follow every
change of the gallery or the bank for the products of what changed alone.

This module knows vectors, rows and what tells them apart; nothing of ids or files of a gallery.

Legend of shapes: G gallery rows, B bank rows, K picks kept of a bank row, M non-landmarks kept of a
gallery row, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.penalty import PenaltyRule, PenaltyTable, picks_of, table_of_picks
from cairn.runs import atomic_write
from cairn.search import Array, Crossing, TopK, cross
from cairn.search.rows import Gallery

NUM_PICKS = 20
"""Picks kept of a bank image at least, as many as published."""

NUM_NEAREST = 5
"""Non-landmarks kept of a gallery image, as many as R1 takes the mean of."""

_NAMES = ("picks.rows", "picks.scores", "nearest.rows", "nearest.scores", "gallery.keys")


class Rows(Protocol):
    """Rows of a gallery that are read in parts."""

    def __len__(self) -> int:
        """N."""
        ...

    def first(self, num: int) -> Gallery:
        """Return so many rows from the first on."""
        ...

    def rest(self, num: int) -> Array:
        """Return the rows behind so many."""
        ...

    def whole(self) -> Array:
        """Return all rows."""
        ...


@dataclass(frozen=True)
class _Held:
    """Rows in memory."""

    rows: Array

    def __len__(self) -> int:
        return len(self.rows)

    def first(self, num: int) -> Array:
        return self.rows[:num]

    def rest(self, num: int) -> Array:
        return self.rows[num:]

    def whole(self) -> Array:
        return self.rows


@dataclass(frozen=True, eq=False)
class Attraction:
    """A bank and a gallery, each other's neighbours.

    Args:
        crossing: ``of_queries`` (B, K): the gallery rows that each bank image picks first;
            ``of_rows`` (G, M): the bank images nearest to each gallery image.
        keys: (G,) uint64, different for different gallery images; what tells them apart later.
    """

    crossing: Crossing
    keys: NDArray[np.uint64]

    @classmethod
    def of(
        cls,
        gallery: Array,
        bank: Array,
        keys: NDArray[np.uint64],
        *,
        top: int | Literal["auto"] = "auto",
        num_nearest: int = NUM_NEAREST,
    ) -> Attraction:
        """Return the attraction of a gallery (G, D) and a bank (B, D), of one pass.

        Args:
            gallery: Unit vectors, as ``cairn.search.search`` takes them.
            bank: Likewise, of images that show no landmark.
            keys: As above.
            top: Picks that penalties will be asked for; at least ``NUM_PICKS`` are kept.
            num_nearest: M.

        Raises:
            CairnError: As ``cairn.search.cross`` and ``cairn.penalty.picks_of``.
        """
        most = int(picks_of(bank, len(gallery), top).max())
        return cls(cross(bank, gallery, max(NUM_PICKS, most), num_nearest), keys)

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

    def following(
        self,
        gallery: Array | Rows,
        bank: Array,
        keys: NDArray[np.uint64],
        *,
        top: int | Literal["auto"] = "auto",
    ) -> Attraction:
        """Return the attraction of the gallery as it is now, for the products of what changed.

        Where images that stayed changed their order, or more picks are wanted than were kept, all
        products are made anew.

        Args:
            gallery: (N, D) the gallery as it is now; new images follow those that stayed. Of
                ``Rows`` no more is read than is needed.
            bank: (B, D) the bank, unchanged.
            keys: (N,) of the gallery now.
            top: As for ``of``.
        """
        rows = _Held(gallery) if isinstance(gallery, np.ndarray | Tensor) else gallery
        kept_G = np.isin(self.keys, keys)
        num_kept = int(kept_G.sum())
        stayed = np.array_equal(self.keys[kept_G], keys[:num_kept])
        most = int(picks_of(bank, len(rows), top).max())
        crossing = self.crossing
        if not stayed or num_kept == 0 or most > crossing.k:
            return Attraction.of(rows.whole(), bank, keys, top=top, num_nearest=crossing.m)
        if num_kept < len(kept_G):
            crossing = crossing.without_rows(kept_G, bank, rows.first(num_kept))
        if num_kept < len(keys):
            crossing = crossing.with_rows(bank, rows.rest(num_kept))
        return Attraction(crossing, keys)

    def write(self, path: Path) -> None:
        """Write it as safetensors, whole or not at all."""
        tables = (self.crossing.of_queries, self.crossing.of_rows)
        arrays = [array for table in tables for array in (table.rows, table.scores)] + [self.keys]
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
            rows, scores, near_rows, near_scores, keys = (arrays[name] for name in _NAMES)
        except (SafetensorError, KeyError) as error:
            raise CairnError(
                f"not what a bank and a gallery see in one another: {error}",
                where=path,
                todo="make it again with `cairn penalize`",
            ) from None
        return cls(Crossing(TopK(rows, scores), TopK(near_rows, near_scores)), keys)
