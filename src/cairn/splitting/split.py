"""A labelled set and pictures of no landmark to a benchmark: who is known, who is asked about.

Groups (`cairn.splitting.groups`) go wholly to one side: the known (train, gallery, bank) or the
queries. A group's side follows from a number drawn by its name and the seed, against one threshold
for all, so that photographs that come later move none of the earlier ones, unless they join
groups or a landmark would be asked about with fewer known photographs than it must keep.
After that photographs are only left out, which parts nothing: to lay on a tail, to reach a rate.

Legend of shapes: N rows, G groups, L landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.domain import Int64
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.splitting.groups import GROUP_COLUMN, LeakGroups, leak_groups
from cairn.splitting.names import coded, draws, ranks
from cairn.splitting.rate import thinned
from cairn.splitting.settings import SplitSettings
from cairn.splitting.tail import tail_of

PART_COLUMN = "part"
"""The manifest's column that says the part of the benchmark."""

TRUTH_COLUMN = "true_landmark_id"
"""The column that says what a photograph shows, of unseen landmarks too."""

PARTS = ("train", "gallery", "bank", "query", "query-unseen", "query-nonlandmark")
"""The parts, and in `ROLE_OF` the role of each."""

ROLE_OF = dict(zip(PARTS, ("train", "gallery", "nonlandmark", *["query"] * 3), strict=True))

TRAIN, GALLERY, BANK, QUERY, UNSEEN, NONLANDMARK = range(6)

REASONS = {
    "contradictory": "copies of one picture under two landmarks, or under one and none",
    "few-images": "the landmark has fewer photographs than min_images",
    "unseen-kin": "shows an unseen landmark and hangs together with known photographs",
    "tail": "more photographs of the landmark than the tail allows",
    "rate": "too many for the distractor rate",
}
"""Why a photograph is left out."""

Bool = np.ndarray[Any, np.dtype[np.bool_]]
Float64 = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class SplitResult:
    """A benchmark, and what was done to make it.

    Args:
        manifest: The images of all parts, in the order given, with the columns `PART_COLUMN`,
            `TRUTH_COLUMN` and `GROUP_COLUMN`.
        given: What it was made of.
        settings: How.
        groups: What hangs together, by rows of ``given``.
        parts: (N,) number in `PARTS` of each row of ``given``, -1 for those left out.
        reasons: (N,) key of `REASONS` of those, "" else.
    """

    manifest: Manifest
    given: Manifest
    settings: SplitSettings
    groups: LeakGroups
    parts: Int64
    reasons: np.ndarray[Any, Any]

    def counts(self) -> dict[str, int]:
        """Return the number of images in each part that has any."""
        found = np.bincount(self.parts[self.parts >= 0], minlength=len(PARTS))
        return {name: int(count) for name, count in zip(PARTS, found, strict=True) if count}

    @property
    def distractor_rate(self) -> float:
        """The share of queries that show no known landmark."""
        counts = self.counts()
        distractors = counts.get("query-unseen", 0) + counts.get("query-nonlandmark", 0)
        return distractors / (distractors + counts["query"])


def split_manifest(
    manifest: Manifest,
    settings: SplitSettings | None = None,
    *,
    groups: LeakGroups | None = None,
) -> SplitResult:
    """Return a benchmark made of a manifest's images; their roles so far do not matter.

    Args:
        manifest: Labelled images, and images without a landmark, which are distractors.
        settings: How; the defaults of `SplitSettings` where None.
        groups: What must not be parted; by path and stated sha256 where None.

    Raises:
        CairnError: The manifest is a split already, too few images are left to ask about any
            landmark, or a wish cannot be met (the reachable is said).
    """
    settings = settings or SplitSettings()
    if PART_COLUMN in manifest.table.column_names:
        raise CairnError(
            f"this manifest has a column {PART_COLUMN!r}: it looks split already",
            where=manifest.root,
            todo="split the manifest that it was made of, or drop that column",
        )
    if not any(manifest.landmark_ids):
        raise CairnError(
            "no image of this manifest names a landmark",
            where=manifest.root,
            todo="fill landmark_id of the images whose landmark is known",
        )
    groups = leak_groups(manifest) if groups is None else groups
    work = _Split(manifest, settings, groups)
    work.set_aside()
    work.choose_sides()
    work.lay_on_tail()
    work.part_gallery()
    work.reach_rate()
    return SplitResult(work.result(), manifest, settings, groups, work.parts, work.reasons)


class _Split:
    """The work under way: each step sees what the ones before it decided."""

    def __init__(self, manifest: Manifest, settings: SplitSettings, groups: LeakGroups) -> None:
        self.manifest, self.settings, self.leaks = manifest, settings, groups
        count = len(manifest)
        self.rank = ranks(manifest)
        self.landmark, self.names = coded(manifest.table["landmark_id"])
        self.labelled: Bool = self.landmark >= 0
        roots, self.group = np.unique(groups.groups, return_inverse=True)
        first = np.full(len(roots), count, np.int64)
        np.minimum.at(first, self.group, self.rank)
        by_rank = np.argsort(self.rank)
        self.namesake: Int64 = by_rank[first]  # the row that a group is named after
        self.alive = np.ones(count, bool)
        self.reasons = np.full(count, "", dtype="U13")
        self.parts = np.full(count, -1, np.int64)

    def drawn(self, rows: Int64, purpose: str) -> Float64:
        """Return a number in [0, 1) for each of these rows."""
        ids = self.manifest.table["image_id"].take(pa.array(rows)).to_pylist()
        return draws(ids, self.settings.seed, purpose)

    def leave_out(self, rows: Bool | Int64, reason: str) -> None:
        self.alive[rows] = False
        self.parts[rows] = -1
        self.reasons[rows] = reason

    def set_aside(self) -> None:
        """Leave out copies with two labels, then landmarks that are too small."""
        count = len(self.manifest)
        lowest = np.full(count, count, np.int64)
        highest = np.full(count, -2, np.int64)
        np.minimum.at(lowest, self.leaks.copies, self.landmark)
        np.maximum.at(highest, self.leaks.copies, self.landmark)
        torn = lowest[self.leaks.copies] != highest[self.leaks.copies]
        self.leave_out(torn, "contradictory")
        sizes = self._sizes(self.alive)
        few = self.alive & self.labelled & (sizes < self.settings.min_images)[self.landmark]
        self.leave_out(few, "few-images")

    def choose_sides(self) -> None:
        """Decide each group's side, and with it every row's part, the gallery apart."""
        named = self.alive & self.labelled
        unseen = named & self._chosen_landmarks(self.settings.unseen, "unseen")[self.landmark]
        seen = named & ~unseen
        drawn = self.drawn(self.namesake, "side")
        limit = self._limits(seen, drawn[self.group], self.settings.query_share)
        threshold = np.full(len(self.namesake), 1.0 - self.settings.bank_share)
        threshold[self.group[named]] = np.inf  # unless the group has a landmark that is seen
        np.minimum.at(threshold, self.group[seen], limit[self.landmark[seen]])
        asked = (drawn < threshold)[self.group]
        self.parts[self.alive] = np.where(asked, NONLANDMARK, BANK)[self.alive]
        self.parts[seen] = np.where(asked, QUERY, TRAIN)[seen]
        self.parts[unseen] = UNSEEN
        self.leave_out(unseen & ~asked, "unseen-kin")

    def lay_on_tail(self) -> None:
        """Leave out known photographs beyond the tail; what `min_gallery` asks for stays."""
        tail = tail_of(self.settings.tail)
        rows = np.flatnonzero(self.parts == TRAIN)
        if tail.is_kept:
            return
        sizes = self._sizes(self.parts == TRAIN)
        order = np.lexsort((draws(self.names, self.settings.seed, "tail"), -sizes))
        wanted = np.empty(len(sizes), np.int64)
        wanted[order] = np.maximum(tail.targets(sizes[order]), self.settings.min_gallery)
        order = np.lexsort((self.rank[rows], self.drawn(rows, "tail-image"), self.landmark[rows]))
        rows = rows[order]
        place = np.arange(len(rows)) - (np.cumsum(sizes) - sizes)[self.landmark[rows]]
        self.leave_out(rows[place >= wanted[self.landmark[rows]]], "tail")

    def part_gallery(self) -> None:
        """Give some of the known groups to a gallery apart from the training, if one is wished."""
        share = self.settings.gallery_share
        if not share:
            return
        known = self.parts == TRAIN
        drawn = self.drawn(self.namesake, "gallery")
        # Turned round, so that the groups with the lowest numbers make up what a gallery must keep.
        limit = 1.0 - self._limits(known, 1.0 - drawn[self.group], 1.0 - share)
        limit[self._chosen_landmarks(self.settings.new_landmarks, "new")] = 2.0
        threshold = np.zeros(len(self.namesake))
        np.maximum.at(threshold, self.group[known], limit[self.landmark[known]])
        self.parts[known & (drawn <= threshold)[self.group]] = GALLERY
        if not (self.parts == TRAIN).any():
            raise CairnError(
                "no photograph is left to train on: every landmark's go to the gallery",
                where=f"gallery_share {share}, new_landmarks {self.settings.new_landmarks}",
                todo="lower them, or min_gallery",
            )

    def reach_rate(self) -> None:
        """Leave out queries until the wished share of them shows no known landmark."""
        asked = np.flatnonzero(self.parts == QUERY)
        if not len(asked):
            sizes = self._sizes(self.alive)
            raise CairnError(
                "no query is left that shows a known landmark",
                where=f"{(sizes > 0).sum():,} landmarks of at most {sizes.max(initial=0):,} images",
                todo="raise query_share, lower min_gallery or unseen, or take another seed",
            )
        rate = self.settings.distractor_rate
        if rate is None:
            return
        others = np.flatnonzero((self.parts == UNSEEN) | (self.parts == NONLANDMARK))
        num_asked, num_others = thinned(len(asked), len(others), rate)
        for rows, kept in ((asked, num_asked), (others, num_others)):
            order = np.lexsort((self.rank[rows], self.drawn(rows, "rate")))
            self.leave_out(rows[order[kept:]], "rate")

    def result(self) -> Manifest:
        """Return the manifest of the parts."""
        kept = np.flatnonzero(self.alive)
        parts = self.parts[kept]
        given = self.manifest.table
        truth = given["landmark_id"].combine_chunks()
        sizes = np.bincount(self.group, minlength=len(self.namesake))
        named = pa.array(self.namesake[self.group], mask=sizes[self.group] < 2)
        table = _with(given, GROUP_COLUMN, given["image_id"].combine_chunks().take(named))
        table = _with(table, TRUTH_COLUMN, _none_for_blank(truth)).take(pa.array(kept))
        hidden = pa.array(parts == UNSEEN)
        shown = pc.if_else(hidden, "", table["landmark_id"])
        table = _with(table, "landmark_id", shown)
        roles = pa.array([ROLE_OF[name] for name in PARTS]).take(pa.array(parts))
        table = _with(table, "role", roles)
        return Manifest(
            _with(table, PART_COLUMN, pa.array(PARTS).take(pa.array(parts))), self.manifest.root
        )

    def _sizes(self, rows: Bool) -> Int64:
        """Return (L,) how many of these rows show each landmark."""
        landmarks = self.landmark[rows & self.labelled]
        return np.bincount(landmarks, minlength=len(self.names)).astype(np.int64)

    def _chosen_landmarks(self, wish: float, purpose: str) -> Bool:
        """Return (L,) a share, or below a number of 1 and more, of the landmarks that are left."""
        there = self._sizes(self.alive) > 0
        drawn = draws(self.names, self.settings.seed, purpose)
        if wish < 1.0:
            chosen: Bool = there & (drawn < wish)
            return chosen
        if wish >= there.sum():
            raise CairnError(
                f"{wish:.0f} landmarks cannot be unseen of {there.sum():,}",
                where="unseen",
                todo=f"ask for {there.sum() - 1:,} or fewer",
            )
        order = np.lexsort((drawn, ~there))
        chosen = np.zeros(len(there), bool)
        chosen[order[: int(wish)]] = True
        return chosen

    def _limits(self, rows: Bool, drawn: Float64, share: float) -> Float64:
        """Return (L,) the threshold of each landmark: below it a photograph is asked about.

        The share, or less where fewer than ``min_gallery`` of the rows would not be below it: the
        number of the one that is min_gallery-th from above, 0 where there are not as many.
        """
        least = self.settings.min_gallery
        chosen = np.flatnonzero(rows)
        landmark = self.landmark[chosen]
        order = np.lexsort((-drawn[chosen], landmark))
        sizes = np.bincount(landmark, minlength=len(self.names))
        start = np.cumsum(sizes) - sizes
        limits = np.zeros(len(self.names))
        enough = sizes >= least
        limits[enough] = drawn[chosen][order[start[enough] + least - 1]]
        return np.minimum(limits, share)


def _with(table: Any, name: str, values: Any) -> Any:
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, values)
    return table.append_column(name, values)


def _none_for_blank(texts: Any) -> Any:
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
