"""Compacting a gallery: few large files for many small ones, and old versions let go.

What the kept versions do not need goes too: models, penalties, banks, indexes and calibrations
beside the vectors. The answers stay the same, to the last tie: rows keep their order.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.gallery.entries import Entry
from cairn.gallery.gallery import model_name
from cairn.gallery.place import Item
from cairn.gallery.rows import MAX_ROWS_PER_FILE
from cairn.gallery.versions import Version, changing, commit, write_fragments
from cairn.tables import lance_library

KEEP_DAYS = 14.0
"""Days for which versions without a tag are kept."""

_WORN_SHARE = 0.1
_FOLDERS = (
    "models",
    "banks",
    "penalties",
    "attractions",
    "indexes",
    "calibrations",
    "validations",
    "work",
)


@dataclass(frozen=True)
class Compacted:
    """What a compaction did.

    Args:
        version: The version since then.
        files_before: Data files of the newest version before.
        files_after: And after.
        removed_versions: How many old versions were let go.
        removed: Models, banks, penalties, indexes and unfinished work that were deleted.
        freed_bytes: Bytes freed in all.
    """

    version: int
    files_before: int
    files_after: int
    removed_versions: int
    removed: tuple[str, ...]
    freed_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return a value for JSON."""
        return {**asdict(self), "removed": list(self.removed)}


def compact(location: Path | str, *, keep_days: float = KEEP_DAYS) -> Compacted:
    """Compact a gallery; return what was done.

    The newest version and those with a tag are always kept. In an object store, where nothing keeps
    other writers out, no other command may change the gallery meanwhile.

    Args:
        location: The gallery.
        keep_days: Versions younger than this stay, and so do files that no version needs (yet).

    Raises:
        CairnError: ``keep_days`` is negative, or another writer is at work.
    """
    if not keep_days >= 0:
        raise CairnError("days to keep cannot be negative", where=f"keep_days = {keep_days}")
    age = dt.timedelta(days=keep_days)
    with changing(location) as base:
        before = _num_files(base)
        newest = _rewritten(base)
        dataset = newest.dataset
        stats = dataset.cleanup_old_versions(
            age, error_if_tagged_old_versions=False, delete_unverified=not base.place.remote
        )
        removed = list(_not_needed(newest, dt.datetime.now(dt.UTC) - age))
        for item in removed:
            base.place.delete(item.name)
        return Compacted(
            newest.number,
            before,
            _num_files(newest),
            int(stats.old_versions),
            tuple(item.name for item in removed),
            int(stats.bytes_removed) + sum(item.num_bytes for item in removed),
        )


def _num_files(version: Version) -> int:
    return sum(len(fragment.metadata.files) for fragment in version.fragments)


def _rewritten(base: Version) -> Version:
    """Return the version in which small and worn fragments are rewritten; ``base`` without any."""
    lance = lance_library()
    groups, files = [], 0
    worn = list(_groups(base.fragments))
    if worn and not _keeps_order(worn[0]):
        worn = [base.fragments]
    for group in worn:
        reader = base.dataset.scanner(fragments=group, scan_in_order=True).to_reader()
        made = write_fragments(base.place, reader, base.dataset.schema)
        # Rows are read in the order of their fragments' numbers: the new ones take the last of
        # the old numbers. Where all are new, Lance numbers them.
        if len(group) < len(base.fragments):
            numbers = [fragment.fragment_id for fragment in group][-len(made) :]
            made = [replace(one, id=number) for one, number in zip(made, numbers, strict=True)]
        old = [fragment.metadata for fragment in group]
        groups.append(lance.LanceOperation.RewriteGroup(old, made))
        files += sum(len(one.files) for one in old)
    if not groups:
        return base
    entry = Entry(
        0,
        "compact",
        {"files": files},
        num_images=base.num_images,
        num_landmarks=base.num_landmarks,
        model=base.facts.fingerprint,
        content=base.content_key,
    )
    operation = lance.LanceOperation.Rewrite(groups, [])
    commit(base.place, base, operation, entry)
    return Version.open(base.place)


def _groups(fragments: list[Any]) -> Iterator[list[Any]]:
    """Yield runs of neighbouring fragments to be written as one or a few."""
    run: list[Any] = []
    for fragment in [*fragments, None]:
        if fragment is not None and _is_worn(fragment):
            run.append(fragment)
            continue
        if len(run) > 1 or (run and _needs_writing(run[0])):
            yield run
        run = []


def _keeps_order(group: list[Any]) -> bool:
    """Say whether the numbers of a group suffice for what replaces it; 0 is none to be given."""
    rows = sum(int(fragment.count_rows()) for fragment in group)
    numbers = [fragment.fragment_id for fragment in group if fragment.fragment_id]
    return len(numbers) >= math.ceil(rows / MAX_ROWS_PER_FILE)


def _is_worn(fragment: Any) -> bool:
    """Say whether a fragment is small, or must be written anew by itself."""
    return bool(fragment.count_rows() < MAX_ROWS_PER_FILE // 2) or _needs_writing(fragment)


def _needs_writing(fragment: Any) -> bool:
    """Say whether a fragment has many removed rows, or columns in files of their own."""
    metadata = fragment.metadata
    gone = fragment.num_deletions
    return bool(gone > _WORN_SHARE * metadata.physical_rows or len(metadata.files) > 1)


def _not_needed(newest: Version, before: dt.datetime) -> Iterator[Item]:
    """Yield what no kept version needs and nobody has written since ``before``."""
    place = newest.place
    needed: set[str] = set()
    for one in newest.dataset.versions():
        version = Version.open(place, int(one["version"]))
        needed.add(model_name(version.facts.fingerprint))
        needed.add(f"validations/{version.facts.fingerprint}")
        key = version.entry().content or version.content_key
        needed |= {f"indexes/{key}", f"calibrations/{key}"}
        if version.facts.penalty is not None:
            needed.add(f"banks/{version.facts.penalty.bank}.lance")
            needed.add(version.facts.penalty.file_name(key))
            needed.add(version.facts.penalty.attraction_name(key))
    for folder in _FOLDERS:
        for item in place.items(folder):
            if item.name not in needed and item.modified <= before:
                yield item
