"""``cairn gallery log``, ``rollback``, ``tag`` and ``compact``: a gallery's versions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cairn.cli.output import Json, emit
from cairn.errors import CairnError

if TYPE_CHECKING:
    from cairn.gallery import Entry

Where = Annotated[str, typer.Argument(help="The gallery: a folder, or s3://bucket/prefix.")]

_WIDTH = 60  # characters of arguments that a line of the log shows


def log(gallery: Where, as_json: Json = False) -> None:
    """Show what made each version, newest first."""
    from cairn.gallery import log as read_log

    lines = read_log(gallery)
    emit(
        {"gallery": gallery, "versions": [line.to_json() for line in lines]},
        _as_table(lines),
        as_json=as_json,
    )


def rollback(
    gallery: Where,
    version: Annotated[str, typer.Argument(help="A version's number, or its tag.")],
    as_json: Json = False,
) -> None:
    """Make the gallery what it was at an earlier version, as a new version."""
    from cairn.gallery import rollback as roll_back
    from cairn.gallery.stale import tell_if_stale

    entry = roll_back(gallery, version)
    tell_if_stale(gallery, entry.content)
    emit({**entry.to_json(), "gallery": gallery}, told(entry, gallery), as_json=as_json)


def tag(
    gallery: Where,
    name: Annotated[str, typer.Argument(help="The tag; versions with one are kept.")],
    version: Annotated[
        str | None, typer.Option(help="The version's number or another tag; the newest by default.")
    ] = None,
    move: Annotated[
        bool, typer.Option("--move", help="Let a tag that exists go over to this version.")
    ] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Take the tag away.")] = False,
    as_json: Json = False,
) -> None:
    """Name a version, so that it is kept and can be gone back to."""
    from cairn.gallery import tag as set_tag
    from cairn.gallery import untag

    if delete and (move or version is not None):
        raise CairnError("--delete takes a tag away and goes with no other option")
    if delete:
        number, text = untag(gallery, name), "is a name no more; it was version"
    else:
        number, text = set_tag(gallery, name, version=version, move=move), "is version"
    emit(
        {"gallery": gallery, "tag": name, "version": number, "deleted": delete},
        f"{name} {text} {number} of {gallery}",
        as_json=as_json,
    )


def compact(
    gallery: Where,
    keep_days: Annotated[
        float | None,
        typer.Option(help="Days that versions without a tag are kept; 14 by default."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write many small files as few, and let old versions go with all that only they need."""
    from cairn.gallery import compact as compact_gallery
    from cairn.gallery.compaction import KEEP_DAYS

    done = compact_gallery(gallery, keep_days=KEEP_DAYS if keep_days is None else keep_days)
    beside = "".join(f"\n  deleted {name}" for name in done.removed)
    emit(
        {"gallery": gallery, **done.to_json()},
        f"version {done.version}: {done.files_before} data files are {done.files_after}; "
        f"{done.removed_versions} old versions let go, {done.freed_bytes / 1e6:.1f} MB freed"
        f"{beside}",
        as_json=as_json,
    )


def told(entry: Entry, gallery: str | Path) -> str:
    """Return what a change did, in a line for people."""
    return (
        f"{entry.text()}\n"
        f"{gallery} is at version {entry.version}: {entry.num_images} images of "
        f"{entry.num_landmarks} landmarks; before, {entry.images_before} of "
        f"{entry.landmarks_before}"
    )


def _as_table(lines: Sequence[Entry]) -> str:
    rows = [("version", "time", "images", "landmarks", "tags", "what")]
    for line in lines:
        what = line.text()
        rows.append(
            (
                str(line.version),
                line.time,
                "?" if line.num_images is None else str(line.num_images),
                "?" if line.num_landmarks is None else str(line.num_landmarks),
                " ".join(line.tags),
                what if len(what) <= _WIDTH else f"{what[: _WIDTH - 3]}...",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
