"""What every command prints: one JSON object on stdout with ``--json``, words otherwise."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def emit(value: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print ``value`` as one JSON line, or ``text`` for a person."""
    print(json.dumps(value, ensure_ascii=False, default=str) if as_json else text)
