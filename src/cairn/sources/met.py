"""The Met dataset to a manifest: exhibits of a museum, visitors' photographs, and distractors.

Ypsilantis, Garcia, Han, Ibrahimi, van Noord, Tolias, The Met Dataset: Instance-level Recognition
for Artworks, NeurIPS 2021. Its ground truth is JSON: ``MET_database.json`` and
``mini_MET_database.json`` list ``{"id", "path"}``, ``testset.json`` and ``valset.json`` list
``{"path"}`` with ``"MET_id"`` where an exhibit is shown; other queries show other artworks or none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from cairn.errors import CairnError, nearest
from cairn.manifest import Manifest
from cairn.runs import read_json
from cairn.sources.known import KnownContents, on_disk, rows_of
from cairn.sources.presence import require_folder

LABEL_SPACE = "met"
QUERIES = ("test", "val", "none")


def read_met(
    root: Path, *, mini: bool = False, queries: str = "test", check: bool = True
) -> KnownContents:
    """Return the Met dataset below ``root``; image ids are the paths in the ground truth.

    Exhibits are the landmarks, their photographs have the role train. Queries that show another
    artwork or none name no landmark; the first folder of their path, kept as the column
    ``collection``, tells which (``test_other``, ``test_noart``).

    Args:
        root: Has the JSON files, itself or in ``ground_truth/``, and the images, in ``images/`` or
            itself.
        mini: Take the small database.
        queries: ``test``, ``val``, or ``none``.
        check: Look which images are there. Missing exhibits are left out, missing queries stay.

    Raises:
        CairnError: A file is missing or holds something else, or no image is there.
    """
    root = Path(root)
    if queries not in QUERIES:
        raise CairnError(f"unknown queries {queries!r}", todo=nearest(queries, QUERIES))
    require_folder(root)
    truth = root / "ground_truth" if (root / "ground_truth").is_dir() else root
    images = root / "images" if (root / "images").is_dir() else root
    database = truth / ("mini_MET_database.json" if mini else "MET_database.json")
    table = _rows(database, "id", "train", needs_label=True)
    notes: list[str] = []
    num_missing = 0
    if check:
        table, num_missing, notes = on_disk(table, images, "exhibits' images", keep_missing=False)
    if queries != "none":
        asked = _rows(truth / f"{queries}set.json", "MET_id", "query", needs_label=False)
        if check:
            asked, missing, more = on_disk(asked, images, "queries", keep_missing=True)
            num_missing, notes = num_missing + missing, notes + more
        table = pa.concat_tables([table, asked])
    return KnownContents(Manifest(table, images), num_missing, tuple(notes))


def _rows(file: Path, label: str, role: str, *, needs_label: bool) -> pa.Table:
    if not file.is_file():
        raise CairnError(
            "file not found",
            where=file,
            todo="unpack the ground truth of the Met dataset there, or name the folder that has it",
        )
    entries = read_json(file)
    if not isinstance(entries, list) or not entries:
        raise CairnError("expected a list of images", where=file)
    paths, labels = [], []
    for number, entry in enumerate(entries):
        path, name = _entry(entry, label)
        if path is None or (needs_label and name == ""):
            raise CairnError(
                f"an image needs a path{' and ' + label if needs_label else ''}, not {entry!r}",
                where=f"{file}, entry {number}",
            )
        paths.append(path)
        labels.append(name)
    return rows_of(
        role,
        LABEL_SPACE,
        image_id=pa.array(paths, pa.string()),
        path=pa.array(paths, pa.string()),
        landmark_id=pa.array(labels, pa.string()),
        collection=pa.array([path.partition("/")[0] for path in paths], pa.string()),
    )


def _entry(entry: Any, label: str) -> tuple[str | None, str]:
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str) or not entry["path"]:
        return None, ""
    name = entry.get(label)
    return entry["path"], "" if name is None else str(name)
