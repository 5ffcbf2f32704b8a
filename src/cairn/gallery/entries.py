"""Lines of a gallery's log, as they are kept in the transaction of the version they tell of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

FOREIGN = "unknown"
"""The operation of a version that another program committed."""

_ENTRY_KEY = "cairn.entry"
_MESSAGE_KEY = "__lance_commit_message"


@dataclass(frozen=True)
class Entry:
    """A line of the log: what made a version.

    Args:
        version: Its number.
        operation: ``build``, ``add``, ``remove``, ``merge``, ``rename``, ``describe``,
            ``penalize``, ``reembed``, ``compact``, ``rollback``, or ``FOREIGN``.
        arguments: What the operation was given.
        num_images: Images since then; None where unknown.
        num_landmarks: Landmarks since then.
        images_before: Images before; 0 for a build.
        landmarks_before: Landmarks before.
        model: The model's fingerprint.
        content: The content key.
        time: When, UTC, ISO 8601.
        cairn: Cairn's version.
        tags: Names of this version.
    """

    version: int
    operation: str
    arguments: Mapping[str, Any]
    num_images: int | None = None
    num_landmarks: int | None = None
    images_before: int | None = None
    landmarks_before: int | None = None
    model: str = ""
    content: str = ""
    time: str = ""
    cairn: str = ""
    tags: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a value for JSON."""
        return {**asdict(self), "tags": list(self.tags)}

    def text(self) -> str:
        """Return the operation and its arguments in one line."""
        shown = ", ".join(f"{name}: {value}" for name, value in self.arguments.items())
        return f"{self.operation}{f' ({shown})' if shown else ''}"


def read_entry(dataset: Any, version: int) -> Entry:
    """Return the line of the log that came with a version of a dataset."""
    transaction = dataset.read_transaction(version)
    properties = (transaction and transaction.transaction_properties) or {}
    if _ENTRY_KEY not in properties:
        return Entry(version, FOREIGN, {})
    return Entry(version, **json.loads(properties[_ENTRY_KEY]))


def properties_of(entry: Entry) -> dict[str, str]:
    """Return a line of the log as properties of the transaction that it belongs to."""
    line = {k: v for k, v in asdict(entry).items() if k not in ("version", "tags")}
    return {_MESSAGE_KEY: entry.text(), _ENTRY_KEY: json.dumps(line, ensure_ascii=False)}
