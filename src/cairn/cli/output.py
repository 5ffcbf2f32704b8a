"""What every command prints: one JSON object on stdout with ``--json``, words otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def emit(value: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print ``value`` as one JSON line, or ``text`` for a person, at once."""
    shown = json.dumps(value, ensure_ascii=False, default=str) if as_json else text
    print(shown, flush=True)  # a server says that it is ready, and goes on


@contextmanager
def resumable() -> Iterator[None]:
    """Say on Ctrl-C that the same command goes on from here, and end with 130 as shells do."""
    from cairn.progress import say

    try:
        yield
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        raise typer.Exit(130) from None
