"""Any CSV or Parquet table of images to a manifest: whose columns mean what.

Columns and roles are taken as told, and guessed from their names where nothing is told; what was
guessed is part of the result, to be shown to the person who asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cairn.columns import NUMBERS, TEXTS, as_texts, filtered, read_table, rows_text
from cairn.domain import ROLES
from cairn.errors import CairnError, nearest
from cairn.images import IMAGE_SUFFIXES
from cairn.manifest import DEFAULT_LABEL_SPACE, Manifest
from cairn.sources.names import landmark_ids
from cairn.sources.presence import mended_paths, require_folder

DROP = "drop"
"""The role, in a role mapping, of rows that stay out of the manifest."""

_USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "path": ("image_path", "img_path", "file_path", "filepath", "file_name", "filename", "file"),
    "landmark_id": ("landmark", "label", "class", "class_id", "label_id", "target", "landmarks"),
    "role": ("split", "subset", "set", "usage"),
    "image_id": ("id", "img_id", "photo_id", "image"),
    "landmark_name": ("label_name", "class_name"),
    "latitude": ("lat",),
    "longitude": ("lon", "lng", "long"),
    "license": ("licence",),
    "source_url": ("url",),
}
_USUAL_ROLES: Mapping[str, str] = {
    **{role: role for role in ROLES},
    **dict.fromkeys(("training",), "train"),
    **dict.fromkeys(("index", "database", "db", "reference"), "gallery"),
    **dict.fromkeys(("queries", "test", "testing", "val", "valid", "validation"), "query"),
    **dict.fromkeys(("nonlandmark_query", "nonlandmark_test", "nonlandmark_val"), "query"),
    **dict.fromkeys(
        ("nonlandmarks", "nonlandmark_index", "nonlandmark_bank", "bank"), "nonlandmark"
    ),
}


@dataclass(frozen=True)
class TableContents:
    """A table read as a manifest.

    Args:
        manifest: Its images.
        columns: The table's own column behind each column of the manifest.
        roles: The role each value of the role column was read as.
        notes: Remarks for the person who asked, one sentence each.
    """

    manifest: Manifest
    columns: Mapping[str, str]
    roles: Mapping[str, str]
    notes: tuple[str, ...]


def from_table(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    root: Path | None = None,
    label_space: str = DEFAULT_LABEL_SPACE,
) -> Manifest:
    """Return the manifest of `read_contents`, which takes the same arguments."""
    found = read_contents(path, columns=columns, roles=roles, root=root, label_space=label_space)
    return found.manifest


def read_contents(
    path: Path,
    *,
    columns: Mapping[str, str] | None = None,
    roles: Mapping[str, str] | None = None,
    root: Path | None = None,
    label_space: str = DEFAULT_LABEL_SPACE,
) -> TableContents:
    """Return the images of a table; what the manifest has no column for is kept beside.

    Paths as Windows writes them, with spaces around or with another ending than the file has, are
    mended; files that are not there are counted in a note, for the table may be made elsewhere.

    Without a column of image ids the path is the id. Without a role column, labelled images are for
    training and others are non-landmarks.

    Args:
        path: A .csv or .tsv file (UTF-8), or a .parquet file.
        columns: The table's column for a column of the manifest; the rest is guessed by name.
        roles: The role, or `DROP`, for a value of the role column; the rest is guessed.
        root: Where relative paths start; the file's own folder unless given.
        label_space: What the landmark ids belong to, unless the table has such a column.

    Raises:
        CairnError: The file cannot be read, a column or a role is neither told nor guessed, or the
            rows make no manifest.
    """
    path = Path(path)
    root = path.parent if root is None else Path(root)
    require_folder(root)
    table = read_table(path)
    if not table.num_rows:
        raise CairnError("the table has no rows", where=path)
    chosen = _columns(table.column_names, columns or {}, path)
    table = _renamed(table, chosen)
    notes = []
    if "image_id" not in chosen:
        ids = pc.utf8_trim_whitespace(as_texts(table["path"], "path"))
        table = table.append_column("image_id", ids)
        notes.append("no column of image ids: the path is the id")
    table, more = _with_paths(table, root, path)
    notes += more
    table = _with_landmark_ids(table, notes)
    if "role" in chosen:
        table, role_of = _with_roles(table, roles or {}, path)
    else:
        if roles:
            raise CairnError("roles were given for a table without a role column", where=path)
        labelled = pc.not_equal(table["landmark_id"], "")
        table = table.append_column("role", pc.if_else(labelled, "train", "nonlandmark"))
        role_of = {}
        notes.append("no role column: labelled images are for training, others are non-landmarks")
    if "label_space" not in table.column_names:
        table = table.append_column("label_space", pa.repeat(label_space, table.num_rows))
    try:
        manifest = Manifest(table, root)
    except CairnError as error:
        raise CairnError(error.what, where=f"{path}: {error.where}", todo=error.todo) from None
    return TableContents(manifest, chosen, role_of, tuple(notes))


def _columns(names: Sequence[str], told: Mapping[str, str], path: Path) -> dict[str, str]:
    known = (*TEXTS, *NUMBERS)
    for ours, theirs in told.items():
        if ours not in known:
            raise CairnError(f"a manifest has no column {ours!r}", todo=nearest(ours, known))
        if theirs not in names:
            raise CairnError(f"no column {theirs!r}", where=path, todo=nearest(theirs, names))
    chosen = dict(told)
    lowered = {name.strip().lower(): name for name in reversed(names)}
    for ours in known:
        usual = (ours, *_USUAL_NAMES.get(ours, ()))
        free = (lowered[name] for name in usual if name in lowered)
        guess = next((name for name in free if name not in chosen.values()), None)
        if ours not in chosen and guess is not None:
            chosen[ours] = guess
    for ours in ("path", "landmark_id"):
        if ours not in chosen:
            headless = any(name.lower().endswith(tuple(IMAGE_SUFFIXES)) for name in names)
            todo = f"say which it is: --column {ours}=NAME"
            raise CairnError(
                f"no column looks like {ours}",
                where=f"{path}: {', '.join(names)}",
                todo="give the table a first line of column names" if headless else todo,
            )
    return chosen


def _with_paths(table: pa.Table, root: Path, path: Path) -> tuple[pa.Table, list[str]]:
    """Return the table with its paths mended, and sentences about them."""
    told = as_texts(table["path"], "path").fill_null("")
    addresses = pc.match_substring_regex(told, r"^\s*[a-z]+://", ignore_case=True)
    if pc.any(addresses).as_py():
        raise CairnError(
            f"{pc.sum(addresses).as_py():,} paths are addresses on the web; Cairn reads files",
            where=f"{path}: {rows_text(addresses)}",
            todo="download them first, such as with img2dataset, and give a column of their files",
        )
    plain = pc.utf8_trim_whitespace(told)
    windows = pc.and_(pc.match_substring(plain, "\\"), pc.invert(pc.match_substring(plain, "/")))
    paths = pc.if_else(windows, pc.replace_substring(plain, "\\", "/"), plain)
    notes = []
    if pc.any(windows).as_py():
        notes.append(f"{pc.sum(windows).as_py():,} paths had \\ between folders; read as /")
    paths, more = mended_paths(root, paths)
    index = table.column_names.index("path")
    return table.set_column(index, "path", paths), [*notes, *more]


def _renamed(table: pa.Table, chosen: Mapping[str, str]) -> pa.Table:
    """Return the columns under our names, one of theirs under several if told so, and the rest."""
    rest = [name for name in table.column_names if name not in (*chosen, *chosen.values())]
    columns = {ours: table[theirs] for ours, theirs in chosen.items()}
    return pa.table({**columns, **{name: table[name] for name in rest}})


def _with_landmark_ids(table: pa.Table, notes: list[str]) -> pa.Table:
    column = as_texts(table["landmark_id"], "landmark_id").fill_null("")
    named = column.filter(pc.not_equal(column, ""))
    if len(named) and pc.all(pc.match_substring_regex(named, r"^\d+\.0$")).as_py():
        column = pc.replace_substring_regex(column, r"\.0$", "")
        notes.append("landmark ids such as 12.0 are read as 12")
    ids = landmark_ids(pc.unique(column).to_pylist())
    index = table.column_names.index("landmark_id")
    return table.set_column(index, "landmark_id", _replaced(column, ids))


def _with_roles(
    table: pa.Table, told: Mapping[str, str], path: Path
) -> tuple[pa.Table, dict[str, str]]:
    column = as_texts(table["role"], "role").fill_null("")
    values = {row["values"]: row["counts"] for row in pc.value_counts(column).to_pylist()}
    for value, role in told.items():
        if role not in (*ROLES, DROP):
            raise CairnError(f"unknown role {role!r}", todo=nearest(role, (*ROLES, DROP)))
        if value not in values:
            raise CairnError(f"no row has the role {value!r}", where=path,
                             todo=nearest(value, values))  # fmt: skip
    role_of: dict[str, str] = {}
    for value, count in values.items():
        plain = value.strip().lower().replace("-", "_").replace(" ", "_")
        meant = told.get(value) or _USUAL_ROLES.get(plain)
        if meant is None:
            raise CairnError(
                f"what is {value!r} in the role column ({count} rows)?",
                where=path,
                todo=f"say it: --role-map {value}=ROLE, where ROLE is {', '.join(ROLES)} or {DROP}",
            )
        role_of[value] = meant
    index = table.column_names.index("role")
    table = table.set_column(index, "role", _replaced(column, role_of))
    return filtered(table, pc.not_equal(table["role"], DROP)), role_of


def _replaced(column: Any, new_of: Mapping[str, str]) -> Any:
    """Return the texts of ``column`` replaced by the mapping, which knows every one of them."""
    old = pa.array(list(new_of), pa.string())
    new = pa.array(list(new_of.values()), pa.string())
    return new.take(pc.index_in(column, old))
