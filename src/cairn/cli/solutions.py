"""What is true of queries, from a solution file or a manifest, for commands that score."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from cairn.errors import CairnError, nearest

if TYPE_CHECKING:
    from cairn.manifest import Manifest
    from cairn.submission import Solution


def read_truth(path: Path, *, usage: str = "all") -> tuple[Solution, Manifest | None]:
    """Return what is true, and the manifest where that is where it stands.

    Args:
        path: CSV ``id,landmarks[,Usage]``, or a manifest.
        usage: Rows that count: all, public or private.

    Raises:
        CairnError: The usage is unknown or cannot be selected, or the file says nothing usable.
    """
    from cairn import submission as files

    usages = ("all", "public", "private")
    if usage not in usages:
        raise CairnError(f"unknown usage {usage!r}", where="--usage", todo=nearest(usage, usages))
    if path.suffix.lower() not in (".parquet", ".pq") and not _is_manifest(path):
        return files.read_solution(path, usage=usage), None  # type: ignore[arg-type]
    from cairn.manifest import Manifest

    if usage != "all":
        raise CairnError("a manifest has no Usage to select", where="--usage")
    manifest = Manifest.read(path)
    try:
        return files.solution_of(manifest), manifest
    except CairnError as error:
        todo = "fill landmark_id of the query rows whose landmark is known"
        raise CairnError(error.what, where=path, todo=todo) from None


def examples_of(manifest: Manifest) -> dict[str, str | Path]:
    """Return one gallery photograph a landmark, the first of each; none of queries alone."""
    gallery = manifest.gallery(required=False)
    found: dict[str, str | Path] = {}
    for row, landmark in enumerate(gallery.landmark_ids):
        if landmark and landmark not in found:
            found[landmark] = gallery.paths[row]
    return found


def _is_manifest(path: Path) -> bool:
    """Whether a CSV file has the columns of a manifest rather than of a solution."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        columns = next(csv.reader(file), [])
    return {"image_id", "role"} <= set(columns)
