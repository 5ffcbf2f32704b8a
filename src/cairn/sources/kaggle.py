"""Google Landmark Recognition as Kaggle lays it out, 2019 to 2021, to a manifest.

``train.csv`` (id, landmark_id, and in 2019 url), ``train/a/b/c/abc....jpg``, the same below
``test/``, and ``sample_submission.csv`` with the ids of the test images. Everything works on whole
columns: the 1.58 million images of 2020 and 2021 take seconds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cairn.columns import as_texts, read_table, rows_text
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.sources.known import KnownContents, on_disk, rows_of
from cairn.sources.presence import require_folder

LABEL_SPACE = "gldv2-train"
"""The competitions' landmark ids are those of the training set of Google Landmarks v2."""

_DEPTH = 3


def read_kaggle(root: Path, *, solution: Path | None = None, check: bool = True) -> KnownContents:
    """Return the data of a competition below ``root``: training images, and test images to ask.

    Kaggle keeps what is true of the test images to itself; without ``solution`` they name no
    landmark, and scores of them say nothing.

    Args:
        root: Has ``train.csv`` and ``train/``; and, where test images are wanted, ``test/`` with
            ``sample_submission.csv``, ``test.csv`` or neither (the folder is listed then).
        solution: A CSV file ``id,landmarks[,Usage]``; test images that it ignores or lacks are
            left out. Of several landmarks the first is taken.
        check: Look which images are there. Missing training images are left out, test images stay.

    Raises:
        CairnError: A file or column is missing, an id is no name of an image, or none is there.
    """
    root = Path(root)
    require_folder(root)
    train = _table(root / "train.csv", ("id", "landmark_id"))
    notes: list[str] = []
    num_missing = 0
    rows = rows_of(
        "train",
        LABEL_SPACE,
        image_id=train["id"],
        path=_paths("train", train["id"], root / "train.csv"),
        landmark_id=train["landmark_id"],
    )
    if check:
        rows, num_missing, notes = on_disk(rows, root, "training images", keep_missing=False)
    ids = _test_ids(root, solution)
    if len(ids):
        landmarks = pa.nulls(len(ids), pa.string())
        if solution is None:
            notes.append("what the test images show is not known: scores of them say nothing")
        else:
            ids, landmarks, more = _answers(ids, solution)
            notes += more
        paths = _paths("test", ids, root)
        asked = rows_of("query", LABEL_SPACE, image_id=ids, path=paths, landmark_id=landmarks)
        if check:
            asked, missing, more = on_disk(asked, root, "test images", keep_missing=True)
            num_missing, notes = num_missing + missing, notes + more
        rows = pa.concat_tables([rows, asked])
    return KnownContents(Manifest(rows, root), num_missing, tuple(notes))


def _table(path: Path, columns: tuple[str, ...]) -> pa.Table:
    table = read_table(path)
    for name in columns:
        if name not in table.column_names:
            raise CairnError(
                f"no column {name!r}",
                where=f"{path}: {', '.join(table.column_names)}",
                todo="`cairn data csv` reads tables of other columns",
            )
    return pa.table({name: as_texts(table[name], name).combine_chunks() for name in columns})


def _paths(folder: str, ids: Any, where: Path) -> Any:
    """Return ``folder/a/b/c/abc....jpg`` per id."""
    fit = pc.fill_null(pc.match_substring_regex(ids, pattern=r"^[^/\\\s]{3,}$"), False)
    if not pc.all(fit).as_py():
        bad = ids.filter(pc.invert(fit))[0].as_py()
        raise CairnError(
            f"{bad!r} is no id of an image: three letters or more name its folders",
            where=f"{where}: {rows_text(pc.invert(fit))}",
        )
    letters = [pc.utf8_slice_codeunits(ids, place, place + 1) for place in range(_DEPTH)]
    name = pc.binary_join_element_wise(ids, ".jpg", "")
    return pc.binary_join_element_wise(folder, *letters, name, "/")


def _test_ids(root: Path, solution: Path | None) -> Any:
    for name in ("sample_submission.csv", "test.csv"):
        if (root / name).is_file():
            return _table(root / name, ("id",))["id"].combine_chunks()
    if solution is not None:
        return _table(solution, ("id",))["id"].combine_chunks()
    listed = [
        name.removesuffix(".jpg")
        for _, _, files in os.walk(root / "test")
        for name in files
        if name.endswith(".jpg")
    ]
    return pa.array(sorted(listed), pa.string())


def _answers(ids: Any, solution: Path) -> tuple[Any, Any, list[str]]:
    """Return the ids that count, the first landmark of each, and sentences about the others."""
    known = _table(solution, ("id", "landmarks"))
    whole = read_table(solution)
    counts = pa.array([True]).take(pa.array([0] * len(known)))
    if "Usage" in whole.column_names:
        counts = pc.not_equal(whole["Usage"].combine_chunks(), "Ignored")
    row = pc.index_in(ids, value_set=known["id"].combine_chunks())
    kept = pc.fill_null(counts.take(row), False)
    notes = []
    left_out = len(ids) - (pc.sum(kept).as_py() or 0)
    if left_out == len(ids):
        raise CairnError("the solution knows none of the test images", where=solution)
    if left_out:
        notes.append(f"{left_out:,} test images are left out: the solution ignores or lacks them")
    texts = pc.utf8_trim_whitespace(pc.fill_null(known["landmarks"].combine_chunks(), ""))
    texts = texts.take(row.filter(kept))
    several = pc.sum(pc.match_substring_regex(texts, r"\s")).as_py() or 0
    if several:
        notes.append(
            f"{several:,} test images show several landmarks, the manifest names the first: score "
            f"answers against {solution}, which has all"
        )
    return ids.filter(kept), pc.replace_substring_regex(texts, r"\s.*$", ""), notes
