"""Photographs out of a tar into the tree of their split, as they are or smaller.

A photograph is written under a temporary name beside its own and renamed, so that it is whole or
absent, and a tar that was left half unpacked is simply unpacked again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cairn.ahead import threaded_map
from cairn.fetch.retry import Halt
from cairn.fetch.tars import BadTarError, Member
from cairn.images import UnreadableImage
from cairn.sources.gldv2.layout import image_name
from cairn.sources.gldv2.shrinking import shrink

MAX_MEMBER_BYTES = 64_000_000
"""The largest file that is taken for a photograph."""

_AHEAD = 8


@dataclass(frozen=True)
class Unpacked:
    """What came out of a tar.

    Args:
        num_images: Photographs written.
        num_bytes: What they take.
        unreadable: Image id and reason of those that gave no picture; asked only where photographs
            are made smaller.
    """

    num_images: int
    num_bytes: int
    unreadable: dict[str, str]


def unpack(
    tar: Path,
    members: Sequence[Member],
    tree: Path,
    *,
    size: int | None,
    workers: int,
    halt: Halt,
) -> Unpacked:
    """Write the photographs of a tar below ``tree``, over what is there.

    Args:
        tar: The tar.
        members: What of it to take; keys are image ids.
        tree: The folder of the split.
        size: The most pixels of a shorter side; None leaves every byte as it is.
        workers: Threads.
        halt: Looked at before each photograph.

    Raises:
        BadTarError: The tar ends early.
        OSError: The disk is full, or may not be written to.
        Stopped: Somebody asked for the end.
    """
    made: set[Path] = set()
    unreadable: dict[str, str] = {}
    count = total = 0
    with tar.open("rb") as handle:
        number = handle.fileno()

        def write(member: Member) -> int | UnreadableImage:
            halt.check()
            data = os.pread(number, member.size, member.offset)
            if len(data) != member.size:
                raise BadTarError(f"the tar ends within image {member.key}", where=tar)
            if size is not None:
                try:
                    data = shrink(data, size)
                except UnreadableImage as error:
                    return error
            _write(tree / image_name(member.key), data, made)
            return len(data)

        results = threaded_map(write, members, ahead=_AHEAD, workers=workers)
        for member, result in zip(members, results, strict=True):
            if isinstance(result, UnreadableImage):
                unreadable[member.key] = result.reason
            else:
                count += 1
                total += result
    return Unpacked(count, total, unreadable)


def _write(path: Path, data: bytes, made: set[Path]) -> None:
    folder = path.parent
    if folder not in made:
        folder.mkdir(parents=True, exist_ok=True)
        made.add(folder)
    temporary = folder / f".{path.name}.tmp"
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
