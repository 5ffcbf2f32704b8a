"""The ``cairn`` command: thin commands over the library's functions, each imported when called."""

from __future__ import annotations

import errno
import os
import re
import sys

from cairn.cli.app import app
from cairn.errors import CairnError

__all__ = ["main"]

_TODO = {
    errno.ENOSPC: "make room, then give the command again; what it changes is as it was",
    errno.EDQUOT: "make room, then give the command again; what it changes is as it was",
    errno.EACCES: "get the right to write there, or name another place",
    errno.EPERM: "get the right to write there, or name another place",
    errno.EROFS: "name a place that can be written to",
    errno.ENOENT: "check the path: this file, or a folder that it should lie in, is not there",
    errno.ENOTDIR: "check the path: what should be a folder is a file",
    errno.EISDIR: "check the path: what should be a file is a folder",
    errno.EEXIST: "move it away, or name another place",
    errno.ENAMETOOLONG: "name a shorter path",
}
"""What to do about a place that cannot be read or written, by the number of the error."""


def main() -> None:
    """Run the command line; a user's fault prints its three lines and exits 2."""
    # Threads that spin while they wait make training up to ten times slower as soon as anything
    # else runs; sleeping costs about 5 % on an idle machine (docs/log.md). A user's choice stands.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app(prog_name="cairn")
    except CairnError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        # Any write may meet a full disk or a folder without permission; Lance tells it in words.
        told = re.search(r"\(os error (\d+)\)", str(error))
        number = error.errno or (int(told[1]) if told else 0)
        if number not in _TODO:
            raise
        place = error.filename2 or error.filename or _quoted(str(error))
        fault = CairnError(os.strerror(number), where=place, todo=_TODO[number])
        print(f"error: {fault}", file=sys.stderr)
        sys.exit(2)


def _quoted(text: str) -> str:
    """Return the path that a message without one of its own (Arrow's) has between quotes."""
    found = re.search(r"'([^']+)'", text)
    return found[1] if found else ""
