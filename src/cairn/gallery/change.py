"""Removing images, merging two landmarks, naming one: changes that write no vector.

Removed rows are marked in a small file beside their fragment; a landmark's rows get new values in
two columns of the fragments that have some. The vectors stay where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.domain import Landmark
from cairn.errors import CairnError
from cairn.gallery.entries import Entry
from cairn.gallery.penalties import follow
from cairn.gallery.prospects import Prospect
from cairn.gallery.rows import LABEL_TYPES, content_key
from cairn.gallery.versions import Version, changed, changing, commit
from cairn.tables import lance_library

_SHOWN = 3
_COMPARED = 2000
_OFFSET = np.uint64(0xFFFFFFFF)  # the lower half of a row's address: its place in the fragment


def remove_images(
    location: Path | str, *, image_ids: Sequence[str] = (), landmark_ids: Sequence[str] = ()
) -> Entry:
    """Remove images from a gallery, all that are named or none; return the line in its log.

    Args:
        location: The gallery.
        image_ids: Images to remove.
        landmark_ids: Landmarks of which all images are to be removed.

    Raises:
        CairnError: Nothing is named, an id or a landmark is not there, nothing would be left, or
            another writer is at work.
    """
    if not image_ids and not landmark_ids:
        raise CairnError(
            "nothing is named to be removed", todo="name images, or landmarks with --landmark"
        )
    with changing(location) as base:
        _require_known(base, "image_id", image_ids, "image")
        _require_known(base, "landmark_id", landmark_ids, "landmark")
        wanted = (
            pa.array(sorted(set(image_ids)), pa.string()),
            pa.array(sorted(set(landmark_ids)), pa.string()),
        )
        columns = base.dataset.to_table(columns=["image_id", "landmark_id", "checksum"])
        gone = _is_gone(columns, *wanted)
        left = columns.filter(pc.invert(gone))
        if not left.num_rows:
            raise CairnError(
                "this would remove every image, and a gallery holds at least one",
                where=base.place,
                todo="delete the gallery itself if it is not needed any more",
            )
        facts = base.facts
        key = content_key(facts.fingerprint, left["checksum"].to_numpy())
        if facts.penalty is not None:
            is_kept = ~gone.to_numpy(zero_copy_only=False)
            follow(base, Prospect.with_removed(base, is_kept), key)
        updated, deleted = [], []
        for fragment in base.fragments:
            part = fragment.scanner(
                columns=["image_id", "landmark_id"], with_row_address=True
            ).to_table()
            rows = part["_rowaddr"].filter(_is_gone(part, *wanted)).to_numpy()
            offsets = (rows & _OFFSET).tolist()
            kept = fragment.delete_rows(offsets) if offsets else fragment.metadata
            if kept is None:
                deleted.append(fragment.fragment_id)
            else:
                updated.append(kept)
        # All fragments are named, so that another writer's commit on any of them is a conflict.
        operation = lance_library().LanceOperation.Delete(updated, deleted, "cairn.gallery remove")
        arguments: dict[str, Any] = {"images": columns.num_rows - left.num_rows}
        for name, values in (("ids", wanted[0]), ("of landmarks", wanted[1])):
            if len(values):
                arguments[name] = _some(values.to_pylist())
        entry = Entry(
            0,
            "remove",
            arguments,
            num_images=left.num_rows,
            num_landmarks=pc.count_distinct(left["landmark_id"]).as_py(),
            model=facts.fingerprint,
            content=key,
        )
        return commit(base.place, base, operation, entry)


def merge_landmarks(location: Path | str, landmark_id: str, *, into: str) -> Entry:
    """Give all images of one landmark to another; return the line in the log.

    What is known of ``into`` stays; what is not is taken from the landmark which goes.

    Args:
        location: The gallery.
        landmark_id: The landmark that there is no more afterwards.
        into: The landmark that has all images afterwards.

    Raises:
        CairnError: One is not there, both are the same, or another writer is at work.
    """
    with changing(location) as base:
        _require_known(base, "landmark_id", [landmark_id, into], "landmark")
        if landmark_id == into:
            raise CairnError(f"{into!r} is one landmark already", where=base.place)
        labels = base.labels(images=False).of_landmarks([landmark_id, into]).by_id
        old, kept = labels[landmark_id], labels[into]
        change = _columns(_filled(kept, old))
        moved = pc.sum(pc.equal(base.column("landmark_id"), landmark_id)).as_py()
        touched = [landmark_id] if change == _columns(kept) else [landmark_id, into]
        arguments = {"landmark": landmark_id, "into": into, "images": moved}
        change = {"landmark_id": into, **change}
        return _relabel(base, touched, change, "merge", arguments, base.num_landmarks - 1)


def rename_landmark(location: Path | str, landmark_id: str, name: str) -> Entry:
    """Give a landmark a name for people, or none with ""; return the line in the log.

    The landmark's id stays: answers and submissions keep naming it.

    Raises:
        CairnError: The landmark is not there, has that name, or another writer is at work.
    """
    with changing(location) as base:
        _require_known(base, "landmark_id", [landmark_id], "landmark")
        known = base.dataset.to_table(columns=["landmark_id", "landmark_name"])
        known = known.filter(pc.equal(known["landmark_id"], landmark_id))
        before = known["landmark_name"][0].as_py() or ""
        if name == before:
            raise CairnError(f"{landmark_id!r} has the name {name!r} already", where=base.place)
        arguments = {"landmark": landmark_id, "name": name, "before": before}
        change = {"landmark_name": name}
        return _relabel(base, [landmark_id], change, "rename", arguments, base.num_landmarks)


def _filled(kept: Landmark, other: Landmark) -> Landmark:
    """Return what is known of one landmark, and where nothing is, what is known of the other."""
    place = kept if kept.latitude is not None else other
    return Landmark(
        kept.landmark_id,
        kept.name or other.name,
        kept.category or other.category,
        kept.natural_or_human_made or other.natural_or_human_made,
        place.latitude,
        place.longitude,
        kept.url or other.url,
    )


def _columns(landmark: Landmark) -> dict[str, Any]:
    """Return what is known of a landmark as the columns of its rows have it."""
    return {
        "landmark_name": landmark.name,
        "category": landmark.category or None,
        "natural_or_human_made": landmark.natural_or_human_made or None,
        "landmark_url": landmark.url or None,
        "landmark_latitude": landmark.latitude,
        "landmark_longitude": landmark.longitude,
    }


def _relabel(
    base: Version,
    landmark_ids: Sequence[str],
    change: Mapping[str, Any],
    operation: str,
    arguments: Mapping[str, Any],
    num_landmarks: int,
) -> Entry:
    """Commit new values in all rows of some landmarks. The content stays, and so its penalty."""
    wanted = pa.array(landmark_ids, pa.string())
    fragments = []
    for fragment in base.fragments:
        part = fragment.scanner(columns=["landmark_id"], with_row_id=True).to_table()
        rows = part["_rowid"].filter(pc.is_in(part["landmark_id"], value_set=wanted))
        if not len(rows):
            fragments.append(fragment.metadata)
            continue
        columns = {
            name: pa.array([value] * len(rows), LABEL_TYPES.get(name, pa.string()))
            for name, value in change.items()
            if name in base.dataset.schema.names  # a column that is not there yet has no value
        }
        fragments.append(fragment.update_columns(pa.table({"_rowid": rows, **columns}))[0])
    entry = Entry(
        0,
        operation,
        arguments,
        num_images=base.num_images,
        num_landmarks=num_landmarks,
        model=base.facts.fingerprint,
        content=base.content_key,
    )
    return commit(base.place, base, changed(fragments, base.facts), entry)


def _is_gone(table: pa.Table, image_ids: pa.Array, landmark_ids: pa.Array) -> Any:
    return pc.or_(
        pc.is_in(table["image_id"], value_set=image_ids),
        pc.is_in(table["landmark_id"], value_set=landmark_ids),
    )


def _require_known(base: Version, column: str, ids: Sequence[str], noun: str) -> None:
    if not ids:
        return
    known = pc.unique(base.column(column))
    given = pa.array(ids, pa.string())
    unknown = given.filter(pc.invert(pc.is_in(given, value_set=known))).to_pylist()
    if unknown:
        close = _similar(unknown[0], known)
        if column == "landmark_id":
            names = base.landmark_names()
            close = [one for one, name in names.items() if name == unknown[0]][:_SHOWN] or close
        raise CairnError(
            f"the gallery has no {noun} {', '.join(map(repr, unknown[:_SHOWN]))}"
            + (f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""),
            where=base.place,
            todo=f"did you mean {' or '.join(map(repr, close))}?"
            if close
            else f"it has {len(known)} {noun}s, such as {known[0].as_py()!r}",
        )


def _similar(name: str, known: Any) -> list[str]:
    """Return the known names most like ``name``, looking at those that begin or end alike."""
    texts = known if len(known) <= _COMPARED else known.filter(_alike(name, known))[:_COMPARED]
    return get_close_matches(name, texts.to_pylist(), n=_SHOWN)


def _alike(name: str, known: Any) -> Any:
    half = max(1, len(name) // 2)
    begins = pc.starts_with(known, name[:half])
    return pc.or_(begins, pc.ends_with(known, name[-half:]))


def _some(values: Sequence[str]) -> list[str]:
    more = [f"and {len(values) - 10} more"] if len(values) > 10 else []
    return [*values[:10], *more]
