"""What is finished, a line each: appended whole, read back whatever a crash left.

A line is a JSON object. It is on the disk before `Ledger.append` returns; a last line that a crash
cut off is passed over, and cut away before the next one. One process writes at a time.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cairn.errors import CairnError


class Ledger:
    """A file of finished things.

    Args:
        path: The file; made by the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def read(self) -> list[dict[str, Any]]:
        """Return the lines, in order.

        Raises:
            CairnError: A line but the last is no JSON object.
        """
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return []
        lines = text.split(b"\n")[:-1]  # what follows the last line feed was cut off by a crash
        found = []
        for number, line in enumerate(lines, 1):
            try:
                value = json.loads(line)
            except ValueError:
                value = None
            if not isinstance(value, dict):
                raise CairnError(
                    "this line of the ledger is damaged",
                    where=f"{self.path}, line {number}",
                    todo="delete the line; what it stood for is fetched again",
                )
            found.append(value)
        return found

    def append(self, value: dict[str, Any]) -> None:
        """Add a line; it is on the disk when this returns."""
        line = json.dumps(value, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab+") as handle:
                _cut_torn_line(handle)
                handle.write(line)
                handle.flush()
                os.fsync(handle.fileno())


def _cut_torn_line(handle: Any) -> None:
    end = handle.seek(0, os.SEEK_END)
    position = end
    while position:
        step = min(position, 4096)
        handle.seek(position - step)
        block = handle.read(step)
        feed = block.rfind(b"\n")
        if feed >= 0:
            position += feed + 1 - step
            break
        position -= step
    if position != end:
        handle.truncate(position)


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends.

    Args:
        path: The lock's file.
        what: What is done here, for the error.

    Raises:
        CairnError: Another process holds it.
    """
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CairnError(
                f"another process is {what} here",
                where=path.parent,
                todo="wait until it has ended, or end it",
            ) from None
        yield
