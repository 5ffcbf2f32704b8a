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
    REQUIRED,
    TEXTS,
    check_places,
    check_unique,
    coded,
    filtered,
    read_table,
    refuse,
    table_of,
    taken,
    typed,
    write_table,
)
from cairn.domain import ROLES
from cairn.errors import CairnError, nearest
from cairn.paths import Paths, relocated

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
        stored = relocated(self.table["path"], self.root, path.parent)
        index = self.table.column_names.index("path")
        write_table(self.table.set_column(index, "path", stored), path)

    def select(self, *roles: str) -> Manifest:
        """Return the images of these roles, in order; there may be none.

        Raises:
            CairnError: A role is unknown.
        """
        for role in roles:
            if role not in ROLES:
                raise CairnError(f"unknown role {role!r}", todo=nearest(role, ROLES))
        kept = pc.is_in(self.table["role"], pa.array(roles, pa.string()))
        return self._part(filtered(self.table, kept))

    def gallery(self, *, required: bool = True) -> Manifest:
        """Return the images recognized against: role gallery, or where there is none, train.

        Raises:
            CairnError: There is neither, and one is required; else a manifest without rows comes.
        """
        for role in ("gallery", "train"):
            chosen = self.select(role)
            if len(chosen):
                return chosen
        if not required:
            return chosen
        raise CairnError(
            "the manifest has no image to recognize against",
            where=self.root,
            todo="give at least one row the role gallery or train",
        )

    def queries(
        self, *, todo: str = "give the rows to be recognized that role", where: object = None
    ) -> Manifest:
        """Return the images of role query.

        Args:
            todo: What to do where there is none.
            where: How the manifest is called then; by default by its folder.

        Raises:
            CairnError: There is none.
        """
        chosen = self.select("query")
        if not len(chosen):
            raise CairnError(
                "the manifest has no image of role query", where=where or self.root, todo=todo
            )
        return chosen

    def take(self, indices: Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]) -> Manifest:
        """Return the images at these rows, in the order given; no row twice."""
        table = taken(self.table, pa.array(indices, pa.int64()))
        if len(np.unique(indices)) < len(indices):
            return Manifest(table, self.root)  # which refuses it, naming the rows
        return self._part(table)

    def _part(self, table: pa.Table) -> Manifest:
        """Return the manifest of some of the rows, which have been checked already."""
        part = object.__new__(Manifest)
        object.__setattr__(part, "table", table)
        object.__setattr__(part, "root", self.root)
        return part

    def __len__(self) -> int:
        return int(self.table.num_rows)

    @cached_property
    def image_ids(self) -> list[str]:
        """One id per image."""
        return list(self.table["image_id"].to_pylist())

    @cached_property
    def landmark_ids(self) -> list[str]:
        """One landmark per image, "" for none."""
        return _shared(self.table["landmark_id"])

    @cached_property
    def landmark_names(self) -> dict[str, str]:
        """Names for people by landmark id, of the landmarks that column landmark_name names."""
        if "landmark_name" not in self.table.column_names:
            return {}
        pairs = self.table.group_by(["landmark_id", "landmark_name"], use_threads=False)
        found = pairs.aggregate([]).select(["landmark_id", "landmark_name"]).to_pydict()
        return {k: v for k, v in zip(*found.values(), strict=True) if k and v}

    @cached_property
    def roles(self) -> list[str]:
        """One role per image."""
        return _shared(self.table["role"])

    @property
    def paths(self) -> Paths:
        """One absolute path per image, each made when it is asked for."""
        return Paths(self.table["path"], self.root)

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 of ids, landmarks, roles, label spaces and (where known) files' sums, in order.

        Where the photographs lie has no part in it: a data set that is moved stays the same.
        """
        digest = hashlib.sha256()
        for name in (name for name in _FINGERPRINTED if name in self.table.column_names):
            digest.update(f"{name}:{len(self)}:".encode())
            chunks = [chunk.fill_null("") for chunk in self.table[name].chunks]
            for chunk in chunks:
                digest.update(np.asarray(pc.binary_length(chunk), dtype="<i8").tobytes())
            for chunk in chunks:
                digest.update(_text_bytes(chunk))
        return digest.hexdigest()

    def summary(self) -> dict[str, Any]:
        """Return the numbers of images and landmarks, and of images by role and of no landmark."""
        counts = {
            row["values"]: row["counts"] for row in pc.value_counts(self.table["role"]).to_pylist()
        }
        landmarks = self.table["landmark_id"]
        unlabelled = pc.equal(landmarks, "")
        queries = pc.equal(self.table["role"], "query")
        return {
            "num_images": len(self),
            "num_landmarks": pc.count_distinct(landmarks).as_py()
            - bool(pc.any(unlabelled).as_py()),
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
        table = table.append_column("label_space", pa.repeat(DEFAULT_LABEL_SPACE, table.num_rows))
    table = typed(table)
    for name in ("landmark_id", "label_space"):
        index = table.column_names.index(name)
        table = table.set_column(index, name, table[name].fill_null(""))
    first = [name for name in (*TEXTS, *NUMBERS) if name in table.column_names]
    return table.select([*first, *(name for name in table.column_names if name not in first)])


def _checked(table: pa.Table) -> pa.Table:
    for name in ("image_id", "path", "role"):
        texts = table[name].fill_null("")
        empty = pc.or_(pc.equal(texts, ""), pc.utf8_is_space(texts))
        refuse(empty, f"column {name!r} has empty values")
    known = pc.is_in(table["role"], pa.array(ROLES))
    if not pc.all(known).as_py():
        unknown = pc.unique(table["role"].filter(pc.invert(known))).to_pylist()
        todo = "; ".join(f"{role!r}: {nearest(role, ROLES)}" for role in unknown[:_SHOWN])
        refuse(pc.invert(known), f"unknown role{'s' * (len(unknown) > 1)}", todo)
    check_unique(table["image_id"], "image_id")
    unlabelled = pc.equal(table["landmark_id"], "")
    bank = pc.equal(table["role"], "nonlandmark")
    refuse(
        pc.and_(bank, pc.invert(unlabelled)),
        "images of the role nonlandmark must not name a landmark",
        "leave their landmark_id empty, or give them another role",
    )
    labelled_role = pc.is_in(table["role"], pa.array(("train", "gallery")))
    refuse(
        pc.and_(labelled_role, unlabelled),
        "images of the roles train and gallery must name their landmark",
        "fill landmark_id, or make them role nonlandmark (the bank) or query",
    )
    check_places(table)
    spaces = pc.unique(table["label_space"].filter(pc.invert(unlabelled))).to_pylist()
    if len(spaces) > 1:
        raise CairnError(
            f"landmarks of {len(spaces)} label spaces cannot be compared: {spaces[:_SHOWN]}",
            todo="keep one label space per manifest, or map the landmarks to one",
        )
    return table


def _shared(column: Any) -> list[str]:
    """Return a column of few different texts as a list in which equal ones are one object."""
    codes, texts = coded(column)
    return list(np.array(texts.to_pylist(), object)[codes])


def _text_bytes(texts: Any) -> bytes | memoryview:
    """Return the bytes of all texts of an array without nulls, one after the other, uncopied."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return b""
    ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(data)[ends[0] : ends[-1]]
