"""Room on a disk: how much there is, how sizes are said, and what a full one means."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cairn.errors import CairnError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class DiskFullError(CairnError):
    """No room is left; what is on disk can be continued once there is."""


def free_bytes(folder: Path) -> int:
    """Return the bytes free to this user on the disk that ``folder`` is, or will be, on."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


@contextmanager
def told_when_full(doing: str, kept: str, *, where: Path) -> Iterator[None]:
    """Turn a full disk, or a used-up quota, into words.

    Args:
        doing: What was going on, such as ``unpacking train/images_003.tar``.
        kept: What is not lost.
        where: The folder on that disk.

    Raises:
        DiskFullError: The disk filled up inside.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFullError(
            f"the disk is full, while {doing}; {kept}",
            where=where,
            todo="make room, then give the same command again: it goes on from here",
        ) from None


def bytes_text(count: float) -> str:
    """Return a number of bytes for people, in powers of 1000: ``1.2 GB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return (
                f"{count:.0f} {unit}"
                if unit == "bytes" or abs(count) >= 100
                else f"{count:.1f} {unit}"
            )
        count /= 1000
    return f"{count:.1f} TB" if abs(count) < 100 else f"{count:,.0f} TB"
