"""Labels that people read: what is known of landmarks and of photographs beyond their ids.

Of a manifest, a landmark gets the most frequent text among its photographs (the first in the order
of letters where two are equally frequent) and the median of their coordinates. Everything works on
whole columns. The module does not know where labels are kept or shown.

Legend of shapes: N rows, L landmarks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cairn.columns import check_places, check_unique, coded, read_table, typed
from cairn.domain import Credit, Int64, Landmark
from cairn.errors import CairnError

Float64 = NDArray[np.float64]

LANDMARK_TEXTS = ("landmark_name", "category", "natural_or_human_made", "landmark_url")
"""What is said of a landmark."""

CREDIT_TEXTS = ("author", "license", "source_url")
"""What is said of a photograph."""

PLACE = ("latitude", "longitude")
"""Where a photograph was taken, or a landmark is; both are known, or neither."""

_NOWHERE = 1e-9  # length of a mean direction that is none


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of landmarks, and of images; nulls stand for what is not.

    Args:
        landmarks: ``landmark_id``, each once, ``LANDMARK_TEXTS`` and ``PLACE``.
        images: ``image_id``, each once, ``CREDIT_TEXTS`` and ``PLACE``.
        contradictions: By column, the landmarks whose photographs say different things.
        num_half_places: Images with only one of latitude and longitude, which counts for nothing.
    """

    landmarks: pa.Table
    images: pa.Table
    contradictions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    num_half_places: int = 0

    @classmethod
    def of(cls, table: pa.Table) -> Labels:
        """Return the labels in a manifest's table, or in one with a row for each landmark.

        Args:
            table: ``landmark_id`` and any of the columns of labels; ``image_id`` where a row is an
                image. Further columns are passed over.
        """
        table, num_half = _whole_places(_complete(table))
        has_images = "image_id" in table.column_names
        images = (
            table if has_images else _complete(pa.table({"image_id": pa.array([], pa.string())}))
        )
        codes, ids = coded(table["landmark_id"])
        known = pc.fill_null(pc.not_equal(ids, ""), False).to_numpy(zero_copy_only=False)
        columns: dict[str, Any] = {"landmark_id": ids}
        contradictions = {}
        for name in LANDMARK_TEXTS:
            columns[name], several = _most_frequent(codes, table[name], len(ids))
            if (several & known).any():
                contradictions[name] = tuple(ids.filter(pa.array(several & known)).to_pylist())
        place = [np.asarray(table[name].fill_null(np.nan)) for name in PLACE]
        medians = median_places(codes, *place, num_landmarks=len(ids))
        columns |= {
            name: pa.array(values, mask=np.isnan(values))
            for name, values in zip(PLACE, medians, strict=True)
        }
        landmarks = pa.table(columns).filter(pa.array(known))
        return cls(
            landmarks, images.select(["image_id", *CREDIT_TEXTS, *PLACE]), contradictions, num_half
        )

    @classmethod
    def of_names(cls, names: Mapping[str, str]) -> Labels:
        """Return labels that are landmarks' names by id alone."""
        ids, texts = pa.array(list(names), pa.string()), pa.array(list(names.values()), pa.string())
        return cls.of(pa.table({"landmark_id": ids, "landmark_name": texts}))

    @cached_property
    def by_id(self) -> Mapping[str, Landmark]:
        """The landmarks by id."""
        renamed = {"landmark_name": "name", "landmark_url": "url"}
        names = [renamed.get(name, name) for name in self.landmarks.column_names]
        rows = self.landmarks.rename_columns(names).to_pylist()
        return {
            row["landmark_id"]: Landmark(**{k: v for k, v in row.items() if v is not None})
            for row in rows
        }

    @property
    def names(self) -> dict[str, str]:
        """Names by landmark id, of the landmarks that have one."""
        columns = (self.landmarks[name].to_pylist() for name in ("landmark_id", "landmark_name"))
        return {landmark: name for landmark, name in zip(*columns, strict=True) if name}

    @property
    def notes(self) -> list[str]:
        """Remarks for the person who gave them, a sentence each."""
        notes = []
        for name, ids in self.contradictions.items():
            notes.append(
                f"the photographs of {len(ids)} landmarks differ in {name}, such as those of "
                f"{ids[0]!r}: what most of them say is taken"
            )
        if self.num_half_places:
            notes.append(
                f"{self.num_half_places} rows have only one of latitude and longitude, which "
                "counts for nothing"
            )
        return notes

    def of_landmarks(self, landmark_ids: Iterable[str]) -> Labels:
        """Return what is known of some landmarks alone, and of no image."""
        wanted = pa.array(sorted(landmark_ids), pa.string())
        chosen = pc.is_in(self.landmarks["landmark_id"], value_set=wanted)
        return Labels(self.landmarks.filter(chosen), self.images.slice(0, 0))

    def without(self, landmark_ids: pa.Array) -> Labels:
        """Return these labels without those of some landmarks."""
        others = pc.invert(pc.is_in(self.landmarks["landmark_id"], value_set=landmark_ids))
        return Labels(self.landmarks.filter(others), self.images)

    def with_landmarks(self, other: Labels) -> Labels:
        """Return these labels, and those of another's landmarks, none of which is among these."""
        both = [self.landmarks, other.landmarks]
        return Labels(pa.concat_tables(both, promote_options="default"), self.images)


def read_labels(path: Path) -> Labels:
    """Return the labels in a manifest, or in a table with a row for each landmark.

    Raises:
        CairnError: The file cannot be read, names no landmarks or images, has a landmark or an
            image twice where a row is one, or says nothing of them.
    """
    table = read_table(path)
    names = set(table.column_names)
    if "landmark_id" not in names:
        raise CairnError(
            "the table has no column landmark_id",
            where=path,
            todo="it needs landmark_id (image_id too where a row is an image) and any of "
            + ", ".join((*LANDMARK_TEXTS, *PLACE, *CREDIT_TEXTS)),
        )
    if not names & {*LANDMARK_TEXTS, *PLACE, *CREDIT_TEXTS}:
        raise CairnError(
            "the table says nothing of its landmarks",
            where=path,
            todo=f"it needs any of {', '.join((*LANDMARK_TEXTS, *PLACE, *CREDIT_TEXTS))}",
        )
    try:
        table = typed(table)
        check_places(table)
        for name in ("image_id",) if "image_id" in names else ("landmark_id",):
            check_unique(table[name], name)
    except CairnError as error:
        raise CairnError(error.what, where=f"{path}: {error.where}", todo=error.todo) from None
    return Labels.of(table)


def credit_of(row: Mapping[str, str | None]) -> Credit:
    """Return whose a photograph is, of a row with any of ``CREDIT_TEXTS``."""
    return Credit(*(row.get(name) or "" for name in CREDIT_TEXTS))


def credits_by_path(table: pa.Table, paths: Any) -> dict[str, Credit]:
    """Return whose photographs are by path, where anything is known of one.

    Args:
        table: N rows with any of ``CREDIT_TEXTS``.
        paths: N paths.
    """
    names = [name for name in CREDIT_TEXTS if name in table.column_names]
    rows = table.select(names).to_pylist()
    return {
        str(path): credit_of(row)
        for path, row in zip(paths, rows, strict=True)
        if any(row.values())
    }


def median_places(
    codes: Int64, latitudes: Float64, longitudes: Float64, *, num_landmarks: int
) -> tuple[Float64, Float64]:
    """Return the median latitude and longitude of each landmark's photographs.

    Longitudes are put in order from the meridian opposite to their mean direction, so that a
    landmark at 180 degrees has its photographs on both sides together.

    Args:
        codes: (N,) number of each photograph's landmark.
        latitudes: (N,) degrees in [-90, 90], nan where unknown.
        longitudes: (N,) degrees in [-180, 180].
        num_landmarks: L.

    Returns:
        (L,) and (L,) degrees; nan for a landmark without a photograph whose place is known.
    """
    known = np.isfinite(latitudes) & np.isfinite(longitudes) & (codes >= 0)
    codes, latitudes, longitudes = codes[known], latitudes[known], longitudes[known]
    counts = np.bincount(codes, minlength=num_landmarks)
    angles = np.deg2rad(longitudes)
    x, y = (np.bincount(codes, f(angles), num_landmarks) for f in (np.cos, np.sin))
    means = np.rad2deg(np.arctan2(y, x))
    means[np.hypot(x, y) < _NOWHERE * np.maximum(counts, 1)] = 0.0
    turned = _wrapped(longitudes - means[codes])
    low, high = _middle(codes, latitudes, counts)
    west, east = _middle(codes, turned, counts)
    found = counts > 0
    median = np.full((2, num_landmarks), np.nan)
    median[0, found] = (latitudes[low] + latitudes[high]) / 2
    between = _wrapped(longitudes[west] + _wrapped(longitudes[east] - longitudes[west]) / 2)
    median[1, found] = np.where(west == east, longitudes[west], between)
    return median[0], median[1]


def _middle(codes: Int64, values: Float64, counts: Int64) -> tuple[Int64, Int64]:
    """Return, for each landmark that has some, the positions of the two middle values."""
    order = np.lexsort((values, codes))
    ends = np.cumsum(counts)[counts > 0]
    sizes = counts[counts > 0]
    starts = ends - sizes
    return order[starts + (sizes - 1) // 2], order[starts + sizes // 2]


def _wrapped(degrees: Float64) -> Float64:
    """Return angles in [-180, 180), those in [-180, 180] as they are."""
    return np.where(np.abs(degrees) <= 180.0, degrees, (degrees + 180.0) % 360.0 - 180.0)


def _most_frequent(codes: Int64, texts: Any, count: int) -> tuple[Any, NDArray[np.bool_]]:
    """Return (L,) the most frequent text of each landmark, and whether it has several."""
    numbers, values = coded(texts)
    usable = (numbers >= 0) & (codes >= 0)
    order = pc.sort_indices(values).to_numpy()
    rank = np.empty(len(values), np.int64)
    rank[order] = np.arange(len(values))
    width = max(len(values), 1)
    pairs, times = np.unique(codes[usable] * width + rank[numbers[usable]], return_counts=True)
    owners, ranks = np.divmod(pairs, width)
    best = np.lexsort((ranks, -times, owners))
    firsts = best[np.flatnonzero(np.diff(owners[best], prepend=-1))]
    chosen = np.full(count, -1, np.int64)
    chosen[owners[firsts]] = order[ranks[firsts]]
    several = np.bincount(owners, minlength=count) > 1
    return values.take(pa.array(chosen, mask=chosen < 0)), several


def _complete(table: pa.Table) -> pa.Table:
    """Return the table with every column of labels, blank texts as nulls."""
    for name in (*LANDMARK_TEXTS, *CREDIT_TEXTS):
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
            continue
        texts = table[name]
        blank = pc.or_(pc.equal(texts, ""), pc.utf8_is_space(texts))
        if pc.any(blank).as_py():
            texts = pc.if_else(blank, pa.scalar(None, pa.string()), texts)
            table = table.set_column(table.column_names.index(name), name, texts)
    for name in PLACE:
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, pa.float64()))
    return table


def _whole_places(table: pa.Table) -> tuple[pa.Table, int]:
    """Return the table with places that have both coordinates, and how many had only one."""
    half = pc.xor(*(pc.is_valid(table[name]) for name in PLACE))
    count = pc.sum(half).as_py() or 0
    for name in PLACE if count else ():
        whole = pc.if_else(half, pa.scalar(None, pa.float64()), table[name])
        table = table.set_column(table.column_names.index(name), name, whole)
    return table, count
