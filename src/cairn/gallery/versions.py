"""Versions of a gallery: opening one, and committing the next with its line in the log.

A version is a Lance commit, and its line in the log is written in that same commit (the
transaction's properties), so that neither can be there without the other. Of two commits that were
prepared on the same version only one goes through, also in an object store: every operation names
all fragments, so that Lance sees them conflict, and an overwrite is not tried a second time.

Legend of shapes: N rows, D embedding dimensions.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cairn.errors import CairnError, nearest
from cairn.gallery.entries import Entry, properties_of, read_entry
from cairn.gallery.place import Place
from cairn.gallery.rows import MAX_ROWS_PER_FILE, Facts, content_key, label_names, labels_in
from cairn.labels import Labels
from cairn.tables import DATASET_NAME, EmbeddingTable, lance_library

_NOTED: ContextVar[Mapping[str, Any] | None] = ContextVar("noted", default=None)


@dataclass(frozen=True, eq=False)
class Version:
    """One version of a gallery, opened; what it holds does not change any more.

    Args:
        place: Where the gallery lies.
        dataset: The Lance dataset at this version.
        facts: What holds for all its rows.
    """

    place: Place
    dataset: Any
    facts: Facts

    @classmethod
    def open(cls, place: Place, version: int | str | None = None) -> Version:
        """Return a version by its number or tag, or the newest.

        Raises:
            CairnError: There is no gallery of this format, or it has no such version.
        """
        if not place.remote and place.has("gallery.json"):
            raise CairnError(
                "this gallery is of format 1, which this Cairn no longer reads",
                where=place,
                todo=f"make a new one of it: cairn gallery build {place} {place}/model -o GALLERY",
            )
        dataset = _newest(place)
        if version is not None:
            dataset = _checked_out(place, dataset, version)
        return cls(place, dataset, Facts.of(dataset, place))

    @property
    def number(self) -> int:
        """The number of this version."""
        return int(self.dataset.version)

    @property
    def fragments(self) -> list[Any]:
        """The fragments, in the order of their rows."""
        return list(self.dataset.get_fragments())

    @cached_property
    def num_images(self) -> int:
        """N."""
        return int(self.dataset.count_rows())

    @cached_property
    def num_landmarks(self) -> int:
        """Number of different landmarks."""
        return int(pc.count_distinct(self.column("landmark_id")).as_py())

    @cached_property
    def content_key(self) -> str:
        """What the images and vectors of this version are, in 32 hex digits."""
        sums = self.column("checksum")
        return content_key(self.facts.fingerprint, sums.to_numpy())

    def column(self, name: str) -> pa.ChunkedArray:
        """Return one column of all rows."""
        return self.dataset.to_table(columns=[name])[name]

    def table(self, *, num_spare: int = 0) -> EmbeddingTable:
        """Return all rows as an embedding table, with room for so many more in memory."""
        return EmbeddingTable.of_dataset(self.dataset, where=self.place, num_spare=num_spare)

    def landmark_names(self) -> dict[str, str]:
        """Return the names for people by landmark id; landmarks without one are left out."""
        columns = ["landmark_id", "landmark_name"]
        pairs = self.dataset.to_table(columns=columns).group_by(columns).aggregate([])
        found = zip(*(pairs[name].to_pylist() for name in columns), strict=True)
        return {landmark: name for landmark, name in found if name}

    def labels(self, *, images: bool = True) -> Labels:
        """Return what is known of the landmarks and, in the order of the rows, of the images."""
        there = set(self.dataset.schema.names)
        names = [name for name in label_names(images=images) if name in there]
        return labels_in(self.dataset.to_table(columns=names))

    def entry(self) -> Entry:
        """Return the line of the log that came with this version."""
        return read_entry(self.dataset, self.number)


@contextmanager
def changing(location: Path | str) -> Iterator[Version]:
    """Yield the newest version of a gallery, with other writers kept out.

    Raises:
        CairnError: There is no gallery, or another process is writing.
    """
    place = Place(location)
    Version.open(place)  # so that the lock is made in nothing but a gallery
    with place.writing():
        yield Version.open(place)


@contextmanager
def noting(facts: Mapping[str, Any]) -> Iterator[None]:
    """Add facts, such as who asked for it, to the log's line of what is committed in the block."""
    before = _NOTED.set(facts)
    try:
        yield
    finally:
        _NOTED.reset(before)


def write_fragments(
    place: Place, data: Any, schema: pa.Schema, *, first: bool = False
) -> list[Any]:
    """Write rows to new data files, which no version has yet; return their fragments.

    Args:
        place: The gallery.
        data: A table or a reader of batches.
        schema: Theirs.
        first: There is no version yet.
    """
    lance = lance_library()
    fragments: list[Any] = lance.fragment.write_fragments(
        data,
        place.uri(DATASET_NAME),
        schema=schema,
        mode="create" if first else "overwrite",
        max_rows_per_file=MAX_ROWS_PER_FILE,
        storage_options=place.options,
    )
    return fragments


def changed(fragments: Sequence[Any], facts: Facts) -> Any:
    """Return Lance's operation that keeps all fragments, changed or not, and may add some.

    It conflicts with every other operation, so that a commit that came first is not overlooked.
    """
    lance = lance_library()
    from lance.schema import LanceSchema

    return lance.LanceOperation.Merge(fragments, LanceSchema.from_pyarrow(facts.schema()))


def numbered(fragments: Sequence[Any], base: Version) -> list[Any]:
    """Return new fragments with numbers behind those of ``base``."""
    start = max(fragment.fragment_id for fragment in base.fragments) + 1
    return [replace(fragment, id=start + i) for i, fragment in enumerate(fragments)]


def commit(
    place: Place,
    base: Version | None,
    operation: Any,
    entry: Entry,
) -> Entry:
    """Commit a version and its line in the log; return the line with the version's number.

    Args:
        place: The gallery.
        base: The version that the operation was prepared on; None for the first.
        operation: What Lance is to do.
        entry: The line; version, time, Cairn's version and counts before are filled in.

    Raises:
        CairnError: Another writer was quicker; nothing has changed then.
    """
    told = replace(
        entry,
        arguments={**entry.arguments, **(_NOTED.get() or {})},
        images_before=base.num_images if base else 0,
        landmarks_before=base.num_landmarks if base else 0,
        time=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        cairn=metadata.version("cairn-landmarks"),
    )
    number = base.number if base else 0
    try:
        made = _commit(place, number, operation, properties_of(told))
    except (OSError, ValueError, RuntimeError) as error:
        if _is_conflict(error):
            raise _overtaken(place) from None
        reason = str(error).partition(", /")[0].partition("\n")[0]
        raise CairnError(f"the change could not be committed: {reason}", where=place) from None
    return replace(told, version=int(made.version))


def require_absent(place: Place) -> None:
    """Refuse a place that holds anything but what an interrupted build left.

    Raises:
        CairnError: It does.
    """
    ours = {DATASET_NAME, "models", "writer.lock"}
    is_built = False
    try:
        _newest(place)
        is_built = True
    except CairnError:
        pass
    is_file = isinstance(place.location, Path) and place.location.is_file()
    if is_built or is_file or place.top() - ours:
        raise CairnError(
            "results are never overwritten and this place is taken",
            where=place,
            todo="name another place, or move this one away",
        )


def tags_by_version(dataset: Any) -> dict[int, tuple[str, ...]]:
    """Return the tags of each version that has some."""
    found: dict[int, list[str]] = {}
    for name, tag in sorted(dataset.tags.list().items()):
        found.setdefault(int(tag["version"]), []).append(name)
    return {version: tuple(names) for version, names in found.items()}


def _commit(place: Place, number: int, operation: Any, properties: dict[str, str]) -> Any:
    lance = lance_library()
    from lance.dataset import Transaction

    transaction = Transaction(number, operation, transaction_properties=properties)
    uri = place.uri(DATASET_NAME)
    return lance.LanceDataset.commit(uri, transaction, storage_options=place.options, max_retries=0)


def _newest(place: Place) -> Any:
    if isinstance(place.location, Path) and place.location.is_file():
        raise CairnError(
            "this is a file, and a gallery is a folder",
            where=place,
            todo="the gallery comes first, then what the command does with it",
        )
    try:
        return lance_library().dataset(place.uri(DATASET_NAME), storage_options=place.options)
    except (ValueError, OSError) as error:
        if "not found" in str(error).lower() or "does not exist" in str(error).lower():
            raise CairnError(
                f"not a gallery: it has no {DATASET_NAME}",
                where=place,
                todo="make one with `cairn gallery build EMBEDDINGS MODEL -o GALLERY`",
            ) from None
        reason = str(error).splitlines()[0][:300]
        raise CairnError(f"not a readable gallery: {reason}", where=place) from None


def _checked_out(place: Place, dataset: Any, version: int | str) -> Any:
    if isinstance(version, str) and not version.isdecimal():
        tags = {name: int(tag["version"]) for name, tag in dataset.tags.list().items()}
        if version not in tags:
            hint = nearest(version, tags) if tags else "it has no tags"
            raise CairnError(f"the gallery has no tag {version!r}", where=place, todo=hint)
        version = tags[version]
    try:
        return dataset.checkout_version(int(version))
    except (ValueError, OSError, OverflowError):
        kept = [one["version"] for one in dataset.versions()]
        raise CairnError(
            f"the gallery has no version {version}",
            where=place,
            todo=f"`cairn gallery log` shows its {len(kept)} versions, {kept[0]} to {kept[-1]}",
        ) from None


def _is_conflict(error: Exception) -> bool:
    text = str(error).lower()
    return "conflict" in text or "incompatible" in text or "already exists" in text


def _overtaken(place: Place) -> CairnError:
    return CairnError(
        "another writer changed this gallery in the meantime; nothing was written",
        where=place,
        todo="give the command again; it will work on what the gallery is now",
    )
