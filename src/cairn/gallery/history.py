"""The history of a gallery: its log, going back, and names for versions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cairn.errors import CairnError, nearest
from cairn.gallery.entries import Entry, read_entry
from cairn.gallery.gallery import model_name
from cairn.gallery.place import Place
from cairn.gallery.versions import Version, changing, commit, tags_by_version
from cairn.tables import lance_library


def log(location: Path | str) -> list[Entry]:
    """Return a line for each version that is kept, newest first.

    Raises:
        CairnError: There is no gallery.
    """
    dataset = Version.open(Place(location)).dataset
    tags = tags_by_version(dataset)
    lines = []
    for one in dataset.versions():
        entry = read_entry(dataset, one["version"])
        time = entry.time or one["timestamp"].astimezone().isoformat(timespec="seconds")
        lines.append(replace(entry, time=time, tags=tags.get(entry.version, ())))
    return lines[::-1]


def rollback(location: Path | str, version: int | str) -> Entry:
    """Make the gallery what it was at an earlier version; return the line in its log.

    This is a new version: what came in between stays in the log, and can be gone back to.

    Args:
        location: The gallery.
        version: The number or the tag of the version to go back to.

    Raises:
        CairnError: There is no such version, the gallery is at it, or another writer is at work.
    """
    with changing(location) as base:
        place = base.place
        target = Version.open(place, version)
        if target.number == base.number:
            raise CairnError(f"the gallery is at version {base.number} already", where=place)
        if not place.has_folder(model_name(target.facts.fingerprint)):
            raise CairnError(
                f"the model of version {target.number} is not in the gallery any more: "
                f"{model_name(target.facts.fingerprint)}",
                where=place,
            )
        named = isinstance(version, str) and not version.isdecimal()
        arguments = {"to": target.number, **({"tag": version} if named else {})}
        operation = lance_library().LanceOperation.Restore(target.number)
        entry = Entry(
            0,
            "rollback",
            arguments,
            num_images=target.num_images,
            num_landmarks=target.num_landmarks,
            model=target.facts.fingerprint,
            content=target.content_key,
        )
        return commit(place, base, operation, entry)


def tag(
    location: Path | str, name: str, *, version: int | str | None = None, move: bool = False
) -> int:
    """Name a version, so that it is kept and can be asked for; return its number.

    Args:
        location: The gallery.
        name: Letters, digits, dots, dashes and underscores; at least one that is no digit.
        version: The number, or another tag, of the version; the newest by default.
        move: Let a name that is taken go over to this version.

    Raises:
        CairnError: The name is taken or not allowed, or there is no such version.
    """
    if name.isdecimal() or not name:
        raise CairnError(
            f"{name!r} is no name for a version: it would be taken for a number",
            where=location,
            todo="put a letter in it",
        )
    with changing(location) as base:
        number = base.number if version is None else Version.open(base.place, version).number
        tags = base.dataset.tags
        taken = tags.list().get(name)
        if taken is not None and int(taken["version"]) == number:
            return number
        if taken is not None and not move:
            raise CairnError(
                f"the tag {name!r} is at version {taken['version']} already",
                where=base.place,
                todo="choose another name, or let it move here with --move",
            )
        try:
            if taken is None:
                tags.create(name, number)
            else:
                tags.update(name, number)
        except (ValueError, OSError) as error:
            reason = str(error).partition(", /")[0].partition("\n")[0]
            raise CairnError(
                f"the tag {name!r} cannot be set: {reason}",
                where=base.place,
                todo="make names of letters, digits, dots, dashes and underscores",
            ) from None
        return number


def untag(location: Path | str, name: str) -> int:
    """Take the name of a version away; return the version's number. The version stays.

    Raises:
        CairnError: The gallery has no such tag.
    """
    with changing(location) as base:
        tags = base.dataset.tags.list()
        if name not in tags:
            hint = nearest(name, tags) if tags else "it has no tags"
            raise CairnError(f"the gallery has no tag {name!r}", where=base.place, todo=hint)
        base.dataset.tags.delete(name)
        return int(tags[name]["version"])
