"""The ``cairn`` command: thin commands over the library's functions, each imported when called."""

from __future__ import annotations

import os
import sys

from cairn.cli.app import app
from cairn.errors import CairnError

__all__ = ["main"]


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
