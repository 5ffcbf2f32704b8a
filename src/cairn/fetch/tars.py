"""Tars that are looked through before anything is unpacked: what is in them, and whether all is.

Only plain files are taken, and only by bytes and offsets: where a file goes is for the caller to
say, from a name that its own rule has understood. So no path, link or device in a tar can lead
anywhere.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cairn.errors import CairnError

_BLOCK = 512
_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


class BadTarError(CairnError):
    """A tar that is damaged, or holds what it should not; nothing of it is unpacked."""


@dataclass(frozen=True)
class Member:
    """A file in a tar.

    Args:
        key: What the caller's rule made of its name.
        offset: Where its bytes start in the tar.
        size: How many they are.
    """

    key: str
    offset: int
    size: int


def list_members(
    path: Path,
    key_of: Callable[[str], str | None],
    *,
    max_bytes: int,
    max_members: int = 1_000_000,
) -> list[Member]:
    """Return the files of an uncompressed tar, having looked at every header to its very end.

    Args:
        path: The tar.
        key_of: Makes a key of a member's name; None refuses it, and "" allows a folder alone.
        max_bytes: Of one member.
        max_members: Of the tar.

    Raises:
        BadTarError: A member is refused, is no plain file, or is too large; or the tar is cut off
            or damaged, with the byte where.
    """
    found: list[Member] = []
    size = path.stat().st_size
    number = 0
    try:
        with tarfile.open(path, "r:") as archive:
            for number, info in enumerate(archive, 1):
                if number > max_members:
                    raise BadTarError(f"the tar has more than {max_members:,} members", where=path)
                _require_plain(info, path)
                key = key_of(info.name)
                if key is None or (not key and not info.isdir()):
                    raise _refused(info, path, "has a name that is not expected here")
                if info.isdir():
                    continue
                if info.size > max_bytes:
                    what = f"has {info.size:,} bytes, more than {max_bytes:,}"
                    raise _refused(info, path, what)
                if info.offset_data + info.size > size:
                    raise _cut(path, size, f"within {info.name!r}")
                found.append(Member(key, info.offset_data, info.size))
            end = archive.offset
    except tarfile.ReadError as error:
        if number:
            raise _cut(path, size, f"after member {number}") from None
        raise BadTarError(f"not a tar: {error}", where=path, todo=_TODO) from None
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise BadTarError(f"the tar is damaged: {error}", where=path, todo=_TODO) from None
    with path.open("rb") as handle:
        handle.seek(end)
        mark = handle.read(_BLOCK)
    if len(mark) < _BLOCK:
        raise _cut(path, size, f"after member {number}, without the mark of its end")
    if any(mark):
        raise BadTarError(f"the tar is damaged at byte {end:,}", where=path, todo=_TODO)
    return found


_TODO = "delete it, and give the same command again; if it comes again so, tell its publisher"


def _require_plain(info: tarfile.TarInfo, path: Path) -> None:
    kind = _KINDS.get(info.type)
    if kind is None and info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE):
        kind = f"of the unknown kind {info.type!r}"
    if kind is not None:
        raise _refused(info, path, f"is {kind}")


def _refused(info: tarfile.TarInfo, path: Path, what: str) -> BadTarError:
    return BadTarError(
        f"member {info.name[:200]!r} {what}; nothing of this tar is unpacked",
        where=path,
        todo="do not trust this source; check the base address",
    )


def _cut(path: Path, size: int, where: str) -> BadTarError:
    return BadTarError(f"the tar is cut off at byte {size:,}, {where}", where=path, todo=_TODO)
