"""One file over HTTP, whole and checked or not under its name at all.

Bytes go to ``NAME.part``; a note ``NAME.part.json`` says which version of the file they belong to
(its ETag), so that a part goes on only from the same version (Range and If-Range, RFC 9110, 13.1.5
and 14.2). A server that does not know ranges sends all of it, and the part starts anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.fetch.client import Client
from cairn.fetch.retry import Transient

_BLOCK = 1 << 20


class ChecksumError(CairnError):
    """A file that came twice, and never with the checksum it should have."""


def download(
    client: Client,
    url: str,
    path: Path,
    *,
    md5: str | None = None,
    moved: Callable[[int], None] = lambda _: None,
) -> int:
    """Fetch ``url`` to ``path``, going on from an earlier part, and return its bytes.

    Args:
        client: Asks the server.
        url: The file.
        path: The name it gets once it is whole and, where ``md5`` is given, checked.
        md5: Its MD5 in hexadecimal; without it the length alone is checked.
        moved: Told of bytes as they are on disk; of fewer than none, when a part starts anew.

    Raises:
        ChecksumError: It came with a wrong MD5 twice; nothing of it is kept.
        UnreachableError: The server stayed away; the part is kept.
        CairnError: The server refuses, such as 404.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(path, url, md5, moved)
    sums: list[str] = []
    for again in (True, False):
        client.persist(lambda: _attempt(client, url, part), url)
        found = part.sum()
        if md5 is None or found == md5.lower():
            return part.finish()
        sums.append(found)
        part.restart()
        if again:
            client.told(f"{url}: MD5 {found}, expected {md5}; fetched again from the start")
    part.discard()
    if sums[0] == sums[1]:
        todo = (
            "both downloads were alike: the file at the server does not fit its checksum; tell its "
        )
        todo += "publisher, or name another base address"
    else:
        todo = "two downloads differed: the network or a proxy damages what passes; try another one"
    raise ChecksumError(
        f"the MD5 is {' and then '.join(dict.fromkeys(sums))}, expected {md5}", where=url, todo=todo
    )


def md5_in(text: str, where: str) -> str:
    """Return the checksum in the text of an ``md5sum`` file, whatever stands around it.

    Raises:
        CairnError: The text has none, or several.
    """
    found = {
        word.lower() for word in re.findall(r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{32}(?![0-9A-Fa-f])", text)
    }
    if len(found) != 1:
        raise CairnError(
            f"expected one MD5 of 32 hexadecimal digits, found {len(found)}: {text[:80]!r}",
            where=where,
        )
    return str(found.pop())


def part_bytes(path: Path) -> int:
    """Return how much of a file is there already, whole or in part."""
    for place in (path, path.with_name(f"{path.name}.part")):
        if place.is_file():
            return place.stat().st_size
    return 0


def sum_of(path: Path) -> str:
    """Return the MD5 of a file on disk, in hexadecimal."""
    return str(_digest(path).hexdigest())


def _attempt(client: Client, url: str, part: _Part) -> None:
    """Ask once for what is missing, and take what comes."""
    have = part.resume()
    headers = {}
    if have:
        headers["Range"] = f"bytes={have}-"
        if part.etag:
            headers["If-Range"] = part.etag
    with client.response(url, headers=headers) as response:
        coding = response.headers.get("Content-Encoding", "identity")
        if coding != "identity":
            raise CairnError(
                f"the server sends {coding} where the file itself was asked", where=url
            )
        etag = response.headers.get("ETag", "")
        start, total = _extent(response.status_code, response.headers)
        if response.status_code == 416 or (have and start not in (0, have)):
            if have and total == have:
                return  # the part was whole already
            part.restart()
            raise Transient("the part on disk does not fit the file at the server")
        if have and start == have and part.etag and etag and etag != part.etag:
            part.restart()
            raise Transient("the file at the server changed")
        if start == 0:
            part.restart()
        part.belongs_to(etag)
        received = 0
        with part.appending() as write:
            try:
                for chunk in client.chunks(response):
                    write(chunk)
                    received += len(chunk)
            except Transient as fault:
                raise Transient(fault.reason, received=received) from None
        if total is not None and part.size != total:
            what = f"cut off after {part.size:,} of {total:,} bytes"
            if part.size > total:
                part.restart()
                what = "longer than the server said"
            raise Transient(what, received=received)


def _extent(status: int, headers: Any) -> tuple[int, int | None]:
    """Return the first byte that the answer's body has, and the bytes of the whole file."""
    if status in (206, 416):
        found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range", ""))
        if found is None:
            return (-1, None)
        total = None if found[2] == "*" else int(found[2])
        return (int(found[1]) if found[1] else -1, total)
    length = headers.get("Content-Length", "")
    return (0, int(length) if length.isdigit() else None)


class _Part:
    """The file while it is not whole: its bytes, their MD5 so far, and the version they are of."""

    def __init__(self, path: Path, url: str, md5: str | None, moved: Callable[[int], None]) -> None:
        self._path, self._url, self._checked, self._moved = path, url, md5 is not None, moved
        self._part = path.with_name(f"{path.name}.part")
        self._note = path.with_name(f"{path.name}.part.json")
        self._digest = hashlib.md5(usedforsecurity=False)
        self.size = 0
        self._told = 0
        self.etag = ""

    def resume(self) -> int:
        """Return the bytes to go on from; starts anew where nobody can tell what they are of."""
        if not self._part.is_file():
            self.restart()
            return 0
        note = _read_note(self._note)
        self.etag = str(note.get("etag", ""))
        if note.get("url") != self._url or not (self.etag or self._checked):
            self.restart()
            return 0
        on_disk = self._part.stat().st_size
        if on_disk != self.size:
            self._digest = _digest(self._part)
            self.size = on_disk
        self._tell()
        return self.size

    def restart(self) -> None:
        """Throw away what is there."""
        self._part.unlink(missing_ok=True)
        self._digest = hashlib.md5(usedforsecurity=False)
        self.size = 0
        self.etag = ""
        self._tell()

    def belongs_to(self, etag: str) -> None:
        """Note the version; a weak ETag is none, for it may stand for other bytes."""
        self.etag = "" if etag.startswith("W/") else etag
        self._note.write_text(json.dumps({"url": self._url, "etag": self.etag}), encoding="utf-8")

    @contextmanager
    def appending(self) -> Iterator[Callable[[bytes], None]]:
        """Yield what appends bytes; after a failed write the size is read from the disk again."""
        with self._part.open("ab", buffering=_BLOCK) as handle:

            def write(chunk: bytes) -> None:
                handle.write(chunk)
                self._digest.update(chunk)
                self.size += len(chunk)
                self._tell()

            yield write

    def finish(self) -> int:
        """Give the file its name, once its bytes are on the disk; return their number."""
        with self._part.open("rb+") as handle:
            os.fsync(handle.fileno())
        self._part.replace(self._path)
        self._note.unlink(missing_ok=True)
        return self.size

    def discard(self) -> None:
        """Leave nothing behind."""
        self.restart()
        self._note.unlink(missing_ok=True)

    def sum(self) -> str:
        """Return the MD5 of what is there."""
        return str(self._digest.hexdigest())

    def _tell(self) -> None:
        if self.size != self._told:
            self._moved(self.size - self._told)
            self._told = self.size


def _digest(path: Path) -> Any:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest


def _read_note(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
