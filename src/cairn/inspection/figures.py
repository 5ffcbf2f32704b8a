"""The figures of an inspection: what report.json holds, each counted in one place.

Everything is counted over whole columns, so that millions of rows take seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from cairn.domain import ROLES
from cairn.inspection.look import Looks
from cairn.inspection.sharing import Sharing, shared_labels, shared_roles
from cairn.manifest import Manifest

KIND_COLUMN = "natural_or_human_made"
"""The column, if the manifest has it, that tells natural scenery from what people built."""

BINS = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, 100), (101, 500), (501, None))
"""Images per landmark, from and to: the sizes that reports of the field speak of."""

YEAR_COLUMNS = ("year", "date_taken", "taken", "captured_at", "datetime", "date")
"""Columns that the year of a photograph is read from, the first that the manifest has."""

_COUNTED = ("category", KIND_COLUMN, "license", "author")
_MOST_VALUES = 50
_PIXELS_A_MEGAPIXEL = 1_000_000


def count_everything(manifest: Manifest, looks: Looks, sharing: Sharing) -> dict[str, Any]:
    """Return the figures of report.json.

    Args:
        manifest: The photographs.
        looks: What was seen of them.
        sharing: Which of them are the same picture.
    """
    counts = images_per_landmark(manifest)
    again = ~_is_first(len(manifest), sharing)
    return {
        **manifest.summary(),
        "fingerprint": manifest.fingerprint,
        **_imbalance(counts),
        **_unreadable(looks),
        **_stated(manifest, looks),
        "num_duplicate_pictures": len(sharing),
        "num_exact_duplicates": int((sharing.is_copy & again).sum()),
        "num_near_duplicates": int((again & ~sharing.is_copy).sum()),
        "num_leaking_queries": int(sharing.roles[sharing.leaks, ROLES.index("query")].sum()),
        "num_pictures_with_two_labels": int(sharing.labels_differ.sum()),
        "shared_by_roles": shared_roles(sharing),
        "shared_by_landmarks": shared_labels(sharing, manifest.landmark_ids),
        "sizes": _sizes(looks),
        "values": {name: _values(manifest, name) for name in _COUNTED if has(manifest, name)},
        "natural_by_category": natural_by_category(manifest),
        "absent_columns": [name for name in ("license", "author") if not has(manifest, name)],
        "years": years(manifest),
        "places": _places(manifest),
    }


def has(manifest: Manifest, column: str) -> bool:
    """Return whether the manifest has the column, with at least one value in it."""
    table = manifest.table
    return column in table.column_names and table[column].null_count < len(manifest)


def images_per_landmark(manifest: Manifest) -> NDArray[np.int64]:
    """Return images per landmark of what is recognized against, role gallery, else train."""
    roles = manifest.table["role"]
    for role in ("gallery", "train"):
        chosen = pc.equal(roles, role)
        if pc.any(chosen).as_py():
            counted = pc.value_counts(manifest.table["landmark_id"].filter(chosen))
            return np.sort(np.asarray(counted.field("counts"), np.int64))[::-1]
    return np.zeros(0, np.int64)


def landmarks_by_size(images_per_landmark: Sequence[int] | NDArray[np.int64]) -> dict[str, int]:
    """Return how many landmarks have a number of images in each of `BINS`, up to the last used."""
    sizes = np.asarray(images_per_landmark, np.int64)
    counted = {}
    for low, high in BINS:
        if low > sizes.max(initial=0):
            break
        label = f"{low}" if low == high else (f"{low}-{high}" if high else f"> {low - 1}")
        counted[label] = int(((sizes >= low) & (sizes <= (high or sizes.max()))).sum())
    return counted


def natural_by_category(manifest: Manifest) -> dict[str, int]:
    """Return images of natural landmarks by category, most first; empty without both columns."""
    if not (has(manifest, "category") and has(manifest, KIND_COLUMN)):
        return {}
    table = manifest.table
    natural = pc.starts_with(table[KIND_COLUMN], "natural", ignore_case=True)
    kept = pc.and_(natural, pc.not_equal(table["landmark_id"], "")).fill_null(False)
    counted = Counter(table["category"].filter(kept).drop_null().to_pylist())
    return dict(counted.most_common())


def years(manifest: Manifest) -> dict[str, int]:
    """Return photographs by year, of the first of `YEAR_COLUMNS` there is; empty without any."""
    for name in YEAR_COLUMNS:
        if has(manifest, name):
            texts = pc.cast(manifest.table[name], "string")
            found = pc.extract_regex(texts, r"(?P<year>(?:18|19|20)\d\d)")
            counted = Counter(pc.struct_field(found.combine_chunks(), "year").to_pylist())
            counted.pop(None, None)
            return dict(sorted(counted.items()))
    return {}


def coordinates(manifest: Manifest) -> NDArray[np.float64]:
    """Return (M, 2) latitudes and longitudes of the images that have both."""
    if not (has(manifest, "latitude") and has(manifest, "longitude")):
        return np.zeros((0, 2))
    places = np.stack(
        [np.asarray(manifest.table[name], np.float64) for name in ("latitude", "longitude")], axis=1
    )
    return places[np.isfinite(places).all(axis=1)]


def _is_first(count: int, sharing: Sharing) -> NDArray[np.bool_]:
    """Return which photographs are the first of their picture."""
    first = np.ones(count, bool)
    first[sharing.rows] = False
    first[sharing.rows[sharing.starts[:-1]]] = True
    return first


def _imbalance(counts: NDArray[np.int64]) -> dict[str, Any]:
    if not len(counts):
        return {"num_gallery_landmarks": 0, "landmarks_by_images": {}}
    cumulative = np.cumsum(counts) / counts.sum()
    ranks = {f"{share:.0%}": max(1, round(len(counts) * share)) for share in (0.01, 0.1, 0.5)}
    return {
        "num_gallery_landmarks": len(counts),
        "landmarks_by_images": landmarks_by_size(counts),
        "median_images_per_landmark": int(np.sort(counts)[len(counts) // 2]),
        "most_images_of_a_landmark": int(counts[0]),
        "landmarks_with_half_of_the_images": int(np.searchsorted(cumulative, 0.5)) + 1,
        "share_of_images_of_top": {
            name: round(float(cumulative[rank - 1]), 4) for name, rank in ranks.items()
        },
    }


def _unreadable(looks: Looks) -> dict[str, Any]:
    reasons = Counter(why.kind for why in looks.reasons.values())
    return {
        "num_unreadable": len(looks.reasons),
        "unreadable_reasons": dict(reasons.most_common()),
    }


def _stated(manifest: Manifest, looks: Looks) -> dict[str, int]:
    """Return how many files are not what the manifest says of them."""
    table = manifest.table
    altered = wrong = 0
    if has(manifest, "sha256"):
        stated = table["sha256"].to_pylist()
        altered = sum(
            want is not None
            and looks.stamps[row, 0] >= 0
            and want.lower() != looks.sha256[row].tobytes().hex()
            for row, want in enumerate(stated)
        )
    if has(manifest, "width") and has(manifest, "height"):
        sides = [table[name].fill_null(0).to_numpy() for name in ("width", "height")]
        size = np.stack(sides, axis=1)
        known = (size > 0).all(axis=1) & (looks.sizes > 0).all(axis=1)
        # Stored on its side and turned by its EXIF tag, a photograph is stated either way.
        differs = (np.sort(size, axis=1) != np.sort(looks.sizes, axis=1)).any(axis=1)
        wrong = int((known & differs).sum())
    return {"num_altered": altered, "num_other_sizes": wrong}


def _sizes(looks: Looks) -> dict[str, Any]:
    sizes = looks.sizes[looks.readable].astype(np.int64)
    if not len(sizes):
        return {}
    pixels = np.sort(sizes.prod(axis=1)) / _PIXELS_A_MEGAPIXEL
    shorter = np.sort(sizes.min(axis=1))
    aspects = np.sort(sizes[:, 0] / sizes[:, 1])
    middle = len(pixels) // 2
    return {
        "megapixels": {"least": float(pixels[0]), "median": float(pixels[middle]),
                       "most": float(pixels[-1])},
        "shorter_side": {"least": int(shorter[0]), "median": int(shorter[middle]),
                         "most": int(shorter[-1]), "below_224": int((shorter < 224).sum())},
        "width_over_height": {"least": float(aspects[0]), "median": float(aspects[middle]),
                              "most": float(aspects[-1])},
        "num_wide": int((aspects > 1).sum()),
        "num_tall": int((aspects < 1).sum()),
        "bytes": int(looks.stamps[looks.readable, 0].sum()),
    }  # fmt: skip


def _values(manifest: Manifest, name: str) -> dict[str, Any]:
    """Return the values of a column with their numbers of images, the most frequent first."""
    column = manifest.table[name]
    if name in ("category", KIND_COLUMN):  # they are of the landmark
        column = column.filter(pc.not_equal(manifest.table["landmark_id"], ""))
    counted = pc.value_counts(column.drop_null())
    counts = np.asarray(counted.field("counts"), np.int64)
    texts = counted.field("values")
    order = np.lexsort((np.arange(len(counts)), -counts))
    best = order[:_MOST_VALUES].tolist()
    return {
        "num_images": len(column),
        "num_absent": int(column.null_count),
        "num_values": len(counts),
        "images": {str(texts[at].as_py()): int(counts[at]) for at in best},
    }


def _places(manifest: Manifest) -> Mapping[str, Any]:
    if not (has(manifest, "latitude") and has(manifest, "longitude")):
        return {}
    found = coordinates(manifest)
    result: dict[str, Any] = {"num_images": len(found)}
    if len(found):
        low, high = found.min(axis=0).tolist(), found.max(axis=0).tolist()
        result |= {"south_west": low, "north_east": high}
    return result
