"""Bringing labels that people read into a gallery: one version, and no vector is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cairn.errors import CairnError
from cairn.gallery.entries import Entry
from cairn.gallery.rows import LABEL_TYPES, LANDMARK_COLUMNS, label_columns, label_names
from cairn.gallery.versions import Version, changed, changing, commit
from cairn.labels import Labels


def describe(location: Path | str, labels: Labels, *, origin: str = "") -> Entry:
    """Put labels into a gallery where they know one of its landmarks or images; return its line.

    What the labels say takes the place of what was there; what they do not know stays. A gallery
    made before there were columns of labels gets them first, in a version of its own.

    Args:
        location: The gallery.
        labels: What is known of landmarks and images.
        origin: Where the labels are from, for the log.

    Raises:
        CairnError: The labels know no landmark and no image of the gallery, say nothing new, or
            another writer is at work.
    """
    with changing(location) as base:
        known = (
            _num_known(base, "landmark_id", labels.landmarks),
            _num_known(base, "image_id", labels.images),
        )
        if not any(known):
            raise CairnError(
                f"none of the gallery's {base.num_landmarks} landmarks and {base.num_images} "
                "images is in this table",
                where=origin or base.place,
                todo="landmark_id and image_id must be those of the gallery",
            )
        base = _with_columns(base)
        fragments, landmarks, images = [], set(), 0
        for fragment in base.fragments:
            rows = _described(base, fragment, labels)
            landmarks |= set(pc.unique(rows["landmark_id"]).to_pylist())
            images += len(rows)
            rows = rows.drop_columns(["landmark_id"])
            kept = fragment.update_columns(rows)[0] if len(rows) else fragment.metadata
            fragments.append(kept)
        if not images:
            raise CairnError(
                "the gallery says all of this already",
                where=base.place,
                todo="nothing is to be done",
            )
        entry = Entry(
            0,
            "describe",
            {"from": origin, "images": images, "landmarks": len(landmarks)},
            num_images=base.num_images,
            num_landmarks=base.num_landmarks,
            model=base.facts.fingerprint,
            content=base.content_key,
        )
        return commit(base.place, base, changed(fragments, base.facts), entry)


def _with_columns(base: Version) -> Version:
    """Return the gallery with all columns of labels: a version of its own where some are missing.

    Lance writes values only to columns that a version has.
    """
    if set(LABEL_TYPES) <= set(base.dataset.schema.names):
        return base
    entry = Entry(
        0,
        "describe",
        {"columns": "added, empty"},
        num_images=base.num_images,
        num_landmarks=base.num_landmarks,
        model=base.facts.fingerprint,
        content=base.content_key,
    )
    fragments = [fragment.metadata for fragment in base.fragments]
    made = commit(base.place, base, changed(fragments, base.facts), entry)
    return Version.open(base.place, made.version)


def _num_known(base: Version, column: str, labels: pa.Table) -> int:
    """Return how many of the gallery's landmarks or images the labels know."""
    ids = pc.unique(base.column(column))
    return int(pc.sum(pc.is_in(ids, value_set=labels[column])).as_py() or 0)


def _described(base: Version, fragment: Any, labels: Labels) -> pa.Table:
    """Return the fragment's rows that change: their address, landmark and columns of labels."""
    there = [name for name in label_names() if name in base.dataset.schema.names]
    rows = fragment.scanner(columns=there, with_row_id=True).to_table()
    new = label_columns(rows["image_id"], rows["landmark_id"], labels)
    columns: dict[str, Any] = {}
    differs = pa.repeat(False, len(rows))
    for name in dict.fromkeys((*LANDMARK_COLUMNS, *LABEL_TYPES)):
        kind = LABEL_TYPES.get(name, pa.string())
        old = rows[name] if name in there else pa.nulls(len(rows), kind)
        columns[name] = pc.coalesce(new[name], old)
        same = pc.equal(columns[name], old).fill_null(False)
        both_unknown = pc.and_(pc.is_null(columns[name]), pc.is_null(old))
        differs = pc.or_(differs, pc.invert(pc.or_(same, both_unknown)))
    table = pa.table({"_rowid": rows["_rowid"], "landmark_id": rows["landmark_id"], **columns})
    return table.filter(differs)
