"""What finds the images and landmarks of a served gallery, and follows its changes.

Texts are found by their hashes, in sorted arrays: 16 bytes a text and no object for each, so that
nothing is built or freed text by text when the gallery changes. The interpreter's lock is free
while arrays are at work.

Legend of shapes: N rows, T texts, L landmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.columns import coded
from cairn.domain import Int64
from cairn.gallery import Gallery
from cairn.gallery.following import Followed

_AT_ONCE = 8192  # texts between two moments at which other threads may run


@dataclass(frozen=True, eq=False)
class Finder:
    """Numbers of different texts, which the caller keeps.

    Args:
        hashes_T: Of each text.
        order_T: The texts' numbers, by hash.
    """

    hashes_T: Int64
    order_T: Int64

    @classmethod
    def of(cls, texts: Sequence[str]) -> Finder:
        """Return what finds these texts."""
        hashes_T = _hashes(texts)
        return cls(hashes_T, np.argsort(hashes_T))

    def find(self, text: str, texts: Any) -> int | None:
        """Return the number of a text among ``texts``, a list or an array; None where it is not."""
        wanted = np.int64(hash(text))
        at = int(np.searchsorted(self.hashes_T, wanted, sorter=self.order_T))
        while at < len(self.order_T) and self.hashes_T[number := self.order_T[at]] == wanted:
            if str(texts[int(number)]) == text:
                return int(number)
            at += 1
        return None

    def following(self, source_T: Int64, new: Sequence[str]) -> Finder:
        """Return what finds other texts.

        Args:
            source_T: The number that each had here, -1 where it is new.
            new: The new ones, in order.
        """
        is_new = source_T < 0
        hashes_T = np.empty(len(source_T), np.int64)
        hashes_T[~is_new] = self.hashes_T[source_T[~is_new]]
        hashes_T[is_new] = _hashes(new)
        order = _renumbered(self.order_T, source_T)
        added = np.flatnonzero(is_new)
        added = added[np.argsort(hashes_T[added])]
        at = np.searchsorted(hashes_T[order], hashes_T[added])
        return Finder(hashes_T, np.insert(order, at, added))


@dataclass(frozen=True, eq=False)
class Lookups:
    """Rows by image, landmarks by name, and the rows of each landmark.

    Args:
        gallery: What they are of.
        landmark_ids: (L,) ids in the order of their names.
        texts: (L,) what a search for landmarks looks at.
        counts_L: Images of each.
    """

    gallery: Gallery
    landmark_ids: pa.Array
    texts: pa.Array
    counts_L: Int64
    _images: Finder = field(repr=False)
    _landmarks: Finder = field(repr=False)
    _places_N: Int64 = field(repr=False)  # of each row's landmark among landmark_ids
    _order_N: Int64 = field(repr=False)  # rows, landmark by landmark

    @cached_property
    def _starts(self) -> Int64:
        """(L + 1,) where the rows of each landmark begin in their order."""
        return np.concatenate([[0], np.cumsum(self.counts_L)])

    @classmethod
    def of(cls, gallery: Gallery) -> Lookups:
        """Return the lookups of a gallery."""
        ids = gallery.table.landmark_ids
        parts = [
            pa.array(ids[start : start + _AT_ONCE], pa.string())
            for start in range(0, len(ids), _AT_ONCE)
        ]
        codes_N, found = coded(pa.chunked_array(parts, pa.string()))
        texts = _texts(gallery, found.to_pylist())
        by_name = _by_name(found, texts)
        rank = np.empty_like(by_name)
        rank[by_name] = np.arange(len(by_name))
        places_N, by_name = rank[codes_N], pa.array(by_name)
        landmark_ids = found.take(by_name)
        return cls(
            gallery,
            landmark_ids,
            texts.take(by_name),
            np.bincount(places_N, minlength=len(landmark_ids)),
            Finder.of(gallery.table.image_ids),
            Finder.of(landmark_ids.to_pylist()),
            places_N,
            np.argsort(places_N, kind="stable"),
        )

    def following(self, followed: Followed) -> Lookups:
        """Return the lookups of a later version, equal to its own, for little work.

        Args:
            followed: It; the earlier version is the one that these are of.
        """
        gallery, source_N = followed.gallery, followed.source_N
        table, new = gallery.table, np.flatnonzero(source_N < 0)
        images = self._images.following(source_N, [table.image_ids[row] for row in new.tolist()])
        landmark_ids, texts, landmarks = self.landmark_ids, self.texts, self._landmarks
        place_of_old_L = np.arange(len(landmark_ids))
        if followed.renamed:
            landmark_ids, texts, landmarks, place_of_old_L = self._landmarks_now(followed)
        places_N = np.full(len(source_N), -1)
        places_N[source_N >= 0] = place_of_old_L[self._places_N[source_N[source_N >= 0]]]
        other = np.concatenate([new, followed.relabelled])
        for row in other.tolist():
            places_N[row] = landmarks.find(table.landmark_ids[row], landmark_ids)
        if followed.renamed:
            order = np.argsort(places_N, kind="stable")
        else:
            order = self._order_now(source_N, places_N, other)
        counts = np.bincount(places_N, minlength=len(landmark_ids))
        return Lookups(gallery, landmark_ids, texts, counts, images, landmarks, places_N, order)

    def row(self, image_id: str) -> int | None:
        """Return the row of an image; None where it is not there."""
        return self._images.find(image_id, self.gallery.table.image_ids)

    def place(self, landmark_id: str) -> int | None:
        """Return the number of a landmark in ``landmark_ids``; None where it is not there."""
        return self._landmarks.find(landmark_id, self.landmark_ids)

    def rows_of(self, place: int, *, offset: int = 0, limit: int | None = None) -> list[int]:
        """Return rows of the landmark with that number, in the gallery's order."""
        start, end = (int(start) for start in self._starts[place : place + 2])
        first = start + offset
        last = end if limit is None else min(end, first + limit)
        rows: list[int] = self._order_N[first:last].tolist()
        return rows

    def _landmarks_now(self, followed: Followed) -> tuple[pa.Array, pa.Array, Finder, Int64]:
        """Return ids, texts and finder of a later version's landmarks, and the place of each old.

        The place is -1 where a landmark is gone.
        """
        gallery, touched = followed.gallery, sorted(followed.renamed)
        is_kept = pc.invert(pc.is_in(self.landmark_ids, value_set=pa.array(touched, pa.string())))
        kept = np.flatnonzero(is_kept.to_numpy(zero_copy_only=False))
        changed = [one for one in touched if one in gallery.landmarks]
        was = [self.place(one) for one in changed]
        source = np.asarray([-1 if place is None else place for place in was], np.int64)
        source = np.concatenate([kept, source])  # the old place of each landmark, in no order
        ids = pa.concat_arrays([self.landmark_ids.take(pa.array(kept)), _array(changed)])
        texts = pa.concat_arrays([self.texts.take(pa.array(kept)), _texts(gallery, changed)])
        by_name = _by_name(ids, texts)
        ids, texts, source = (
            ids.take(pa.array(by_name)),
            texts.take(pa.array(by_name)),
            source[by_name],
        )
        place_of_old = np.full(len(self.landmark_ids), -1)
        place_of_old[source[source >= 0]] = np.flatnonzero(source >= 0)
        new = [ids[place].as_py() for place in np.flatnonzero(source < 0).tolist()]
        return ids, texts, self._landmarks.following(source, new), place_of_old

    def _order_now(self, source_N: Int64, places_N: Int64, other: Int64) -> Int64:
        """Return the rows landmark by landmark, where places are as before but for some rows'."""
        is_other = np.zeros(len(source_N), np.bool_)
        is_other[other] = True
        order = _renumbered(self._order_N, np.where(is_other, -1, source_N))
        keys, added = places_N * len(source_N), np.sort(other)
        keys += np.arange(len(source_N))
        added = added[np.argsort(keys[added])]
        return np.insert(order, np.searchsorted(keys[order], keys[added]), added)


def _hashes(texts: Sequence[str]) -> Int64:
    found = np.empty(len(texts), np.int64)
    for start in range(0, len(texts), _AT_ONCE):
        part = texts[start : start + _AT_ONCE]
        found[start : start + len(part)] = np.fromiter(map(hash, part), np.int64, len(part))
    return found


def _renumbered(order_G: Int64, source_N: Int64) -> Int64:
    """Return an order of the rows that stay, by their numbers now."""
    number_G = np.full(len(order_G), -1)
    is_old = source_N >= 0
    number_G[source_N[is_old]] = np.flatnonzero(is_old)
    order = number_G[order_G]
    kept: Int64 = order[order >= 0]
    return kept


def _texts(gallery: Gallery, landmark_ids: Sequence[str]) -> pa.Array:
    """Return name and id of each landmark."""
    names = [gallery.landmark(one).name for one in landmark_ids]
    return pc.binary_join_element_wise(_array(names), _array(landmark_ids), " ")


def _by_name(landmark_ids: pa.Array, texts: pa.Array) -> Int64:
    """Return the order of landmarks by their names, whatever the case; the same for the same."""
    columns = {"lower": pc.utf8_lower(texts), "text": texts, "id": landmark_ids}
    keys = [(name, "ascending") for name in columns]
    order: Int64 = pc.sort_indices(pa.table(columns), sort_keys=keys).to_numpy().astype(np.int64)
    return order


def _array(texts: Sequence[str]) -> pa.Array:
    return pa.array(texts, pa.string())
