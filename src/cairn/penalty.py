"""The non-landmark penalty: gallery images that pictures of no landmark pick are discounted.

Each image of a bank of non-landmarks picks its most similar gallery images. A gallery image picked
often is one that anything resembles, so part of the mean similarity of its picks is taken off its
similarity to every query before the best image is chosen (Cairn's system page, S6).

This module knows vectors and counts. It does not know where the bank came from: that it shares no
photograph with the evaluation's non-landmarks is for the caller to see to.

Legend of shapes: G gallery rows, B bank rows, K picks of one bank row, D dimensions.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from cairn.domain import Float32, Int64
from cairn.errors import CairnError, nearest
from cairn.runs import atomic_write
from cairn.search import Array, TopK, top_k
from cairn.search.rows import as_tensor

RAMPS = ("from-min", "from-zero")
"""Where the ramp between ``min_n`` and ``max_n`` starts: at ``min_pro``, or at nothing."""

PICKS_PER_IMAGE = 110_000 * 20 / 1_580_470
"""Picks that a gallery image of GLDv2 expects, about 1.392; what ``top="auto"`` keeps."""

Texts: TypeAlias = Sequence[object] | pa.ChunkedArray
"""A column of texts."""

_AT_ONCE = 8192  # ids compared together
_METADATA = b"cairn.penalty"
_COLUMNS = ("image_id", "img_path", "sims", "n_picked", "penalty")


@dataclass(frozen=True)
class PenaltyRule:
    """How the number of picks becomes a share of the mean similarity.

    Args:
        min_n: Fewer picks than this cost nothing; at least 1.
        max_n: From this many picks on the share is ``max_pro``; at least ``min_n``.
        min_pro: Where the ramp starts, 0 <= min_pro <= max_pro.
        max_pro: The largest share, at most 1.
        ramp: One of ``RAMPS``.
        strength: Scales every penalty, finite and >= 0; 1 is as published.

    Raises:
        CairnError: A value is out of its range, or the ramp is unknown.
    """

    min_n: int = 3
    max_n: int = 12
    min_pro: float = 0.3
    max_pro: float = 1.0
    ramp: str = "from-min"
    strength: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.min_n <= self.max_n:
            raise CairnError(
                "the picks must satisfy 1 <= min_n <= max_n",
                where=f"min_n = {self.min_n}, max_n = {self.max_n}",
            )
        if not 0 <= self.min_pro <= self.max_pro <= 1:
            raise CairnError(
                "the proportions must satisfy 0 <= min_pro <= max_pro <= 1",
                where=f"min_pro = {self.min_pro}, max_pro = {self.max_pro}",
            )
        if self.ramp not in RAMPS:
            raise CairnError(f"unknown ramp {self.ramp!r}", todo=nearest(self.ramp, RAMPS))
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise CairnError(
                "the strength must be finite and not negative", where=f"strength = {self.strength}"
            )

    def penalties(self, n_picked: Int64, sims: Float32) -> Float32:
        """Return the (G,) penalties of images picked ``n_picked`` times, ``sims`` alike on average.

        Between ``min_n`` and ``max_n`` (S6)::

            [min_pro + (max_pro - min_pro) / (max_n - min_n + 1) * (n_picked - min_n + 1)] * sims

        without the leading ``min_pro +`` where the ramp is ``from-zero``. From ``max_n`` on it is
        ``max_pro * sims`` for both ramps, so ``from-min`` is continuous there and ``from-zero``
        jumps by ``min_pro * sims``. A mean similarity below zero counts as zero: a penalty is
        never a bonus.
        """
        step = (self.max_pro - self.min_pro) / (self.max_n - self.min_n + 1)
        start = self.min_pro if self.ramp == "from-min" else 0.0
        share = start + step * (n_picked - self.min_n + 1)
        share = np.where(n_picked >= self.max_n, self.max_pro, share)
        share = np.where(n_picked < self.min_n, 0.0, share)
        whole = np.maximum(sims.astype(np.float64), 0.0)
        return (self.strength * share * whole).astype(np.float32)


@dataclass(frozen=True)
class PenaltyTable:
    """What the bank thinks of each gallery image.

    Args:
        n_picked: (G,) int64 picks, counted up to ``rule.max_n``.
        sims: (G,) float32 mean similarity over all picks, beyond ``max_n`` too; 0 without any.
        penalty: (G,) float32 to be taken off the similarity of each gallery image, >= 0.
        rule: How the penalty follows from the picks.
        top: Most picks of one bank image.
        num_picks: Picks in all, before counts were capped.
        bank_size: Bank images, B.
    """

    n_picked: Int64
    sims: Float32
    penalty: Float32
    rule: PenaltyRule
    top: int
    num_picks: int
    bank_size: int

    def __post_init__(self) -> None:
        shapes = {self.n_picked.shape, self.sims.shape, self.penalty.shape}
        if len(shapes) > 1 or self.n_picked.ndim != 1:
            raise CairnError("a penalty table needs three columns of one length", where=shapes)
        if not bool(np.isfinite(self.penalty).all() and (self.penalty >= 0).all()):
            raise CairnError("penalties must be finite and not negative")

    def __len__(self) -> int:
        return len(self.penalty)

    @property
    def offsets(self) -> Float32:
        """(G,) float32, what ``cairn.search.search`` adds to similarities: minus the penalty."""
        return -self.penalty

    def write(
        self,
        path: Path,
        image_paths: Texts,
        image_ids: Texts,
        *,
        metadata: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Write the table as Parquet, whole or not at all, the parameters in the schema's metadata.

        Args:
            path: The file: columns image_id, img_path, sims, n_picked, penalty.
            image_paths: (G,) where each gallery image lies.
            image_ids: (G,) its id.
            metadata: What else the file's schema says.

        Raises:
            CairnError: The lengths differ.
        """
        if not len(image_paths) == len(image_ids) == len(self):
            raise CairnError(
                "a penalty table needs one path and one id for each gallery image",
                where=f"{len(image_paths)} paths, {len(image_ids)} ids, {len(self)} penalties",
            )
        texts = [
            values
            if isinstance(values, pa.ChunkedArray)
            else pa.array([str(value) for value in values], pa.string())
            for values in (image_ids, image_paths)
        ]
        columns = [*texts, self.sims, self.n_picked, self.penalty]
        facts = {
            **asdict(self.rule),
            "top": self.top,
            "num_picks": self.num_picks,
            "bank_size": self.bank_size,
        }
        table = pa.table(dict(zip(_COLUMNS, columns, strict=True)))
        with atomic_write(path) as temporary:
            told = {_METADATA: json.dumps(facts).encode(), **(metadata or {})}
            pq.write_table(table.replace_schema_metadata(told), temporary)

    @classmethod
    def read(cls, path: Path) -> tuple[PenaltyTable, list[str]]:
        """Return the table in ``path`` and the ids of the gallery images it was made for.

        Raises:
            CairnError: The file is missing, is not Parquet, or is no penalty table.
        """
        table, image_ids = cls._read(path)
        return table, image_ids.to_pylist()

    @classmethod
    def _read(cls, path: Path) -> tuple[PenaltyTable, pa.ChunkedArray]:
        if not path.is_file():
            raise CairnError("file not found", where=path, todo="make it with `cairn penalize`")
        try:
            table = pq.read_table(path)
            facts = json.loads((table.schema.metadata or {})[_METADATA])
            sims, n_picked, penalty = (table[name].to_numpy() for name in _COLUMNS[2:])
            image_ids = table["image_id"]
            top, num_picks, bank_size = (facts.pop(n) for n in ("top", "num_picks", "bank_size"))
            rule = PenaltyRule(**facts)
        except (pa.ArrowInvalid, KeyError, ValueError, TypeError) as error:
            raise CairnError(
                f"not a penalty table: {error}", where=path, todo="make it with `cairn penalize`"
            ) from None
        return cls(n_picked, sims, penalty, rule, top, num_picks, bank_size), image_ids

    @classmethod
    def read_for(cls, path: Path, image_ids: Sequence[str]) -> PenaltyTable:
        """Return the table in ``path`` in the order of a gallery's ``image_ids``.

        Raises:
            CairnError: As ``read``; or the table was made for other images than these.
        """
        table, column = cls._read(path)
        starts = range(0, len(image_ids), _AT_ONCE)  # between which other threads may run
        if len(column) == len(image_ids) and all(
            column.slice(start, _AT_ONCE).to_pylist() == list(image_ids[start : start + _AT_ONCE])
            for start in starts
        ):
            return table
        table_ids = column.to_pylist()
        row_of = {image_id: row for row, image_id in enumerate(table_ids)}
        missing = [image_id for image_id in image_ids if image_id not in row_of]
        if missing or len(image_ids) != len(table_ids):
            example = f", for example {missing[0]!r}" if missing else ""
            raise CairnError(
                f"the penalty table has {len(table_ids)} images and the gallery {len(image_ids)}, "
                f"{len(missing)} of which it lacks{example}",
                where=path,
                todo="make it again for this gallery with `cairn penalize`",
            )
        rows = np.array([row_of[image_id] for image_id in image_ids], dtype=np.int64)
        columns = (table.n_picked[rows], table.sims[rows], table.penalty[rows])
        return cls(*columns, table.rule, table.top, table.num_picks, table.bank_size)


def penalty_table(
    gallery: Array,
    bank: Array,
    *,
    top: int | Literal["auto"] = 20,
    min_n: int = PenaltyRule.min_n,
    max_n: int = PenaltyRule.max_n,
    min_pro: float = PenaltyRule.min_pro,
    max_pro: float = PenaltyRule.max_pro,
    ramp: str = PenaltyRule.ramp,
    strength: float = PenaltyRule.strength,
) -> PenaltyTable:
    """Return what each gallery image is to be discounted by, given what a bank picks.

    Args:
        gallery: (G, D) float32 embeddings of unit length, array or tensor.
        bank: (B, D) float32 embeddings of images that show no landmark.
        top: Gallery images that each bank image picks (all of them where G < top), or ``"auto"``:
            as many as give a gallery image ``PICKS_PER_IMAGE`` picks on average, as on GLDv2; the
            published 20 ruins a gallery that is small beside its bank. ``"auto"`` hits that mean
            whatever the sizes: where B * top cannot, some bank images pick one more than others,
            or none at all (which ones hangs on their vectors, not on their order). Only a bank so
            small that all its images pick the whole gallery falls short.
        min_n: See ``PenaltyRule``, as for the rest.
        max_n: From this many picks on the penalty is whole.
        min_pro: Share of the mean similarity where the ramp starts.
        max_pro: Share where it ends.
        ramp: ``"from-min"`` or ``"from-zero"``.
        strength: Scales every penalty.

    Returns:
        The table, one row for each gallery row.

    Raises:
        CairnError: A parameter is out of range, the bank or the gallery is empty, or the
            embeddings do not fit each other.
    """
    rule = PenaltyRule(min_n, max_n, min_pro, max_pro, ramp, strength)
    picks_B = picks_of(bank, len(gallery), top)
    most = max(1, min(int(picks_B.max()), len(gallery)))
    return table_of_picks(top_k(bank, gallery, most), picks_B, len(gallery), rule)


def table_of_picks(
    found: TopK, picks_B: Int64, num_gallery: int, rule: PenaltyRule
) -> PenaltyTable:
    """Return the table that follows from what a bank found in a gallery.

    Args:
        found: (B, K) gallery rows of each bank image, best first, as many as it may pick or more.
        picks_B: (B,) how many of them it picks (``picks_of``), all it found where it found fewer.
        num_gallery: G.
        rule: How picks become penalties.

    Raises:
        CairnError: Some image may pick more than were looked for.
    """
    num_bank, k = found.rows.shape
    if int(picks_B.max()) > k < num_gallery:
        raise CairnError(
            f"a bank image may pick {int(picks_B.max())} gallery images, and {k} were looked for"
        )
    is_pick_BK = (np.arange(k) < picks_B[:, None]) & (found.rows >= 0)
    rows = found.rows[is_pick_BK]
    counts = np.bincount(rows, minlength=num_gallery)
    sums = np.bincount(rows, weights=found.scores[is_pick_BK], minlength=num_gallery)
    sims = (sums / np.maximum(counts, 1)).astype(np.float32)
    n_picked = np.minimum(counts, rule.max_n).astype(np.int64)
    most = max(1, min(int(picks_B.max()), num_gallery))
    penalty = rule.penalties(n_picked, sims)
    return PenaltyTable(n_picked, sims, penalty, rule, most, len(rows), num_bank)


def picks_of(bank: Array, num_gallery: int, top: int | Literal["auto"]) -> Int64:
    """Return (B,) how many gallery images each bank image picks; ``top`` as for the table.

    Raises:
        CairnError: ``top`` is neither "auto" nor at least 1, or the bank is empty.
    """
    if isinstance(top, str) and top != "auto":
        raise CairnError(f"unknown top {top!r}", todo="give a number of picks, or 'auto'")
    if not isinstance(top, str) and top < 1:
        raise CairnError("each bank image must pick at least one", where=f"top = {top}")
    if len(bank) == 0:
        raise CairnError("the bank holds no rows", todo="embed at least one non-landmark image")
    return _auto_picks(num_gallery, bank) if top == "auto" else np.full(len(bank), top)


def _auto_picks(num_gallery: int, bank: Array) -> Int64:
    """Return (B,) picks a bank image, ``PICKS_PER_IMAGE * num_gallery`` in all, as even as can be.

    Who picks one more than others is drawn by a checksum of the vector, so that the order of the
    bank does not matter.
    """
    num_picks = min(max(1, round(PICKS_PER_IMAGE * num_gallery)), num_gallery * len(bank))
    each, rest = divmod(num_picks, len(bank))
    picks_B = np.full(len(bank), each, dtype=np.int64)
    if rest:
        rows = as_tensor(bank).cpu().view(torch.uint8).numpy()  # NumPy has no bfloat16
        draws = np.array([zlib.crc32(row.tobytes()) for row in rows])
        picks_B[np.argsort(draws, kind="stable")[:rest]] += 1
    return picks_B
