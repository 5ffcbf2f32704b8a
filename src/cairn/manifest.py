"""Tables of images: which photograph shows which landmark, and what each is for.

A manifest is checked once, when made, and names the rows at fault. It does not open photographs:
``cairn inspect`` does. Everything works on whole columns, so that millions of rows stay quick.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.columns import (
    NUMBERS,
    OPTIONAL_TEXTS,
    REQUIRED,
    TEXTS,
    as_numbers,
    as_texts,
    read_table,
    rows_text,
    table_of,
    write_table,
)
from cairn.domain import ROLES
from cairn.errors import CairnError, nearest

DEFAULT_LABEL_SPACE = "local"
"""The label space of a table that names none: its landmark ids mean something only within it."""

_FINGERPRINTED = ("image_id", "landmark_id", "role", "label_space", "sha256")
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Manifest:
    """A checked table of images.

    Columns: ``image_id`` (unique), ``path`` (relative to ``root``, or absolute), ``landmark_id``
    ("" where the photograph shows no landmark), ``role`` (one of `cairn.domain.ROLES`) and
    ``label_space`` (landmark ids compare only within one). Optional: ``category``, ``author``,
    ``license``, ``source_url``, ``landmark_name``, ``sha256``, ``latitude``, ``longitude``
    (degrees), ``width``, ``height`` (pixels). Other columns are kept as they are.

    Args:
        table: The rows; text columns are made strings, the numbers above float64 and int64.
        root: The folder that relative paths start from.

    Raises:
        CairnError: A column is missing, an id is empty or not unique, a role is unknown, a role and
            its landmark contradict each other, or landmarks of two label spaces would be compared.
    """

    table: pa.Table
    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(os.path.abspath(self.root)))  # noqa: PTH100 (not links)
        object.__setattr__(self, "table", _checked(_typed(self.table)))

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Return the manifest in a Parquet or CSV file; its paths start from the file's folder.

        Raises:
            CairnError: The file is missing, empty, neither Parquet nor CSV, or fails a check.
        """
        path = Path(path)
        try:
            manifest = cls(read_table(path), path.parent)
        except CairnError as error:
            where = str(path) if error.where in ("", str(path)) else f"{path}: {error.where}"
            raise CairnError(error.what, where=where, todo=error.todo) from None
        if not len(manifest):
            raise CairnError("the manifest has no rows", where=path)
        return manifest

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any]], *, root: Path) -> Manifest:
        """Return the manifest of equally long columns; ids may be numbers, None is no landmark."""
        return cls(table_of(columns), root)

    def write(self, path: Path) -> None:
        """Write Parquet or, where the name ends in .csv, CSV: whole or not at all.

        Paths under the file's folder are stored relative to it, others absolute, so that the file
        and its photographs can be moved together.
        """
        path = Path(os.path.abspath(path))  # noqa: PTH100
        stored = _relocated(self.table["path"].to_pylist(), self.root, path.parent)
        index = self.table.column_names.index("path")
        write_table(self.table.set_column(index, "path", pa.array(stored, pa.string())), path)

    def select(self, *roles: str) -> Manifest:
        """Return the images of these roles, in order; there may be none.

        Raises:
            CairnError: A role is unknown.
        """
        for role in roles:
            if role not in ROLES:
                raise CairnError(f"unknown role {role!r}", todo=nearest(role, ROLES))
        kept = pc.is_in(self.table["role"], pa.array(roles, pa.string()))
        return Manifest(self.table.filter(kept), self.root)

    def gallery(self) -> Manifest:
        """Return the images recognized against: role gallery, or where there is none, train.

        Raises:
            CairnError: There is neither.
        """
        for role in ("gallery", "train"):
            chosen = self.select(role)
            if len(chosen):
                return chosen
        raise CairnError(
            "the manifest has no image to recognize against",
            where=self.root,
            todo="give at least one row the role gallery or train",
        )

    def take(self, indices: Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]) -> Manifest:
        """Return the images at these rows, in the order given; no row twice."""
        return Manifest(self.table.take(pa.array(indices, pa.int64())), self.root)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def image_ids(self) -> list[str]:
        """One id per image."""
        return list(self.table["image_id"].to_pylist())

    @cached_property
    def landmark_ids(self) -> list[str]:
        """One landmark per image, "" for none."""
        return list(self.table["landmark_id"].to_pylist())

    @cached_property
    def landmark_names(self) -> dict[str, str]:
        """Names for people by landmark id, of the landmarks that column landmark_name names."""
        if "landmark_name" not in self.table.column_names:
            return {}
        names = self.table["landmark_name"].to_pylist()
        return {k: v for k, v in zip(self.landmark_ids, names, strict=True) if k and v}

    @cached_property
    def roles(self) -> list[str]:
        """One role per image."""
        return list(self.table["role"].to_pylist())

    @cached_property
    def paths(self) -> list[Path]:
        """One absolute path per image."""
        return [self.root / path for path in self.table["path"].to_pylist()]

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 of ids, landmarks, roles, label spaces and (where known) files' sums, in order.

        Where the photographs lie has no part in it: a data set that is moved stays the same.
        """
        digest = hashlib.sha256()
        for name in (name for name in _FINGERPRINTED if name in self.table.column_names):
            digest.update(f"{name}:{len(self)}:".encode())
            for chunk in self.table[name].chunks:
                texts = chunk.fill_null("")
                digest.update(np.asarray(pc.binary_length(texts), dtype="<i8").tobytes())
            for chunk in self.table[name].chunks:
                digest.update("".join(chunk.fill_null("").to_pylist()).encode())
        return digest.hexdigest()

    def summary(self) -> dict[str, Any]:
        """Return the numbers of images and landmarks, and of images by role and of no landmark."""
        counts = {
            row["values"]: row["counts"] for row in pc.value_counts(self.table["role"]).to_pylist()
        }
        unlabelled = pc.equal(self.table["landmark_id"], "")
        queries = pc.equal(self.table["role"], "query")
        return {
            "num_images": len(self),
            "num_landmarks": len(set(self.landmark_ids) - {""}),
            "roles": {role: counts[role] for role in ROLES if role in counts},
            "num_queries_without_landmark": pc.sum(pc.and_(queries, unlabelled)).as_py() or 0,
        }


def _typed(table: pa.Table) -> pa.Table:
    missing = [name for name in REQUIRED if name not in table.column_names]
    if missing:
        spare = [name for name in table.column_names if name not in (*TEXTS, *NUMBERS)]
        hints = [f"{name}: {nearest(name, spare)}" for name in missing if spare]
        raise CairnError(
            f"the manifest lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}",
            todo="; ".join(hints) or f"columns needed: {', '.join(REQUIRED)}",
        )
    if "label_space" not in table.column_names:
        spaces = pa.array([DEFAULT_LABEL_SPACE], pa.string()).take(
            pa.array(np.zeros(table.num_rows, np.int64))
        )
        table = table.append_column("label_space", spaces)
    for index, name in enumerate(table.column_names):
        column = table[name]
        if name in TEXTS and column.type != pa.string():
            table = table.set_column(index, name, as_texts(column, name))
        elif name in NUMBERS and column.type != NUMBERS[name]:
            table = table.set_column(index, name, as_numbers(column, name))
    for index, name in enumerate(table.column_names):
        if name in OPTIONAL_TEXTS:
            blank = pc.equal(table[name], "")
            nothing = pa.scalar(None, pa.string())
            table = table.set_column(index, name, pc.if_else(blank, nothing, table[name]))
    for name in ("landmark_id", "label_space"):
        index = table.column_names.index(name)
        table = table.set_column(index, name, table[name].fill_null(""))
    first = [name for name in (*TEXTS, *NUMBERS) if name in table.column_names]
    return table.select([*first, *(name for name in table.column_names if name not in first)])


def _checked(table: pa.Table) -> pa.Table:
    for name in ("image_id", "path", "role"):
        empty = pc.equal(pc.utf8_trim_whitespace(table[name].fill_null("")), "")
        _refuse(empty, f"column {name!r} has empty values")
    known = pc.is_in(table["role"], pa.array(ROLES))
    if not pc.all(known).as_py():
        unknown = pc.unique(table["role"].filter(pc.invert(known))).to_pylist()
        todo = "; ".join(f"{role!r}: {nearest(role, ROLES)}" for role in unknown[:_SHOWN])
        _refuse(pc.invert(known), f"unknown role{'s' * (len(unknown) > 1)}", todo)
    _refuse_duplicates(table["image_id"])
    unlabelled = pc.equal(table["landmark_id"], "")
    bank = pc.equal(table["role"], "nonlandmark")
    _refuse(
        pc.and_(bank, pc.invert(unlabelled)),
        "images of the role nonlandmark must not name a landmark",
        "leave their landmark_id empty, or give them another role",
    )
    labelled_role = pc.is_in(table["role"], pa.array(("train", "gallery")))
    _refuse(
        pc.and_(labelled_role, unlabelled),
        "images of the roles train and gallery must name their landmark",
        "fill landmark_id, or make them role nonlandmark (the bank) or query",
    )
    spaces = pc.unique(table["label_space"].filter(pc.invert(unlabelled))).to_pylist()
    if len(spaces) > 1:
        raise CairnError(
            f"landmarks of {len(spaces)} label spaces cannot be compared: {spaces[:_SHOWN]}",
            todo="keep one label space per manifest, or map the landmarks to one",
        )
    return table


def _refuse(mask: Any, what: str, todo: str = "") -> None:
    if pc.any(mask).as_py():
        raise CairnError(what, where=rows_text(mask), todo=todo)


def _refuse_duplicates(image_ids: Any) -> None:
    if pc.count_distinct(image_ids).as_py() == len(image_ids):
        return
    counted = pc.value_counts(image_ids)
    twice = counted.field("values").filter(pc.greater(counted.field("counts"), 1))
    stands = "ids stand" if len(twice) > 1 else "id stands"
    shown = ", ".join(repr(image_id) for image_id in twice[:_SHOWN].to_pylist())
    raise CairnError(
        f"{len(twice)} image {stands} twice or more: {shown}",
        where=rows_text(pc.is_in(image_ids, twice)),
        todo="an image has one row; make image_id unique",
    )


def _relocated(paths: Sequence[str], root: Path, folder: Path) -> list[str]:
    """Return ``paths``, now relative to ``root``, as a file in ``folder`` should store them."""
    if root == folder and not any(path.startswith("/") or ".." in path for path in paths):
        return list(paths)
    prefix = os.path.join(folder, "")  # noqa: PTH118 (ends in a separator)
    stored = []
    for path in paths:
        absolute = os.path.normpath(os.path.join(root, path))  # noqa: PTH118 (millions of rows)
        inside = absolute.startswith(prefix)
        stored.append(absolute[len(prefix) :] if inside else absolute)
    return stored
