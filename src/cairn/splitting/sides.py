"""Images as a check sees them: ids, files, sums and groups, from whatever holds them.

A manifest, an embedding table, a gallery and the bank that a gallery keeps all say which images
they hold. Vectors and photographs are not read.

Legend of shapes: N images.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cairn.columns import TABLE_SUFFIXES
from cairn.errors import CairnError
from cairn.manifest import Manifest


@dataclass(frozen=True, eq=False)
class Side:
    """The images on one side of a comparison, each column null where unknown.

    Args:
        name: In words: the bank, the gallery.
        ids: (N,) image ids.
        landmarks: (N,) landmark ids, "" for none.
        files: (N,) absolute paths, or None.
        sums: (N,) sha256 in lower case, or None.
        label_space: What the landmark ids belong to, where it is known.
    """

    name: str
    ids: Any
    landmarks: Any
    files: Any = None
    sums: Any = None
    label_space: str = ""


def side_of(manifest: Manifest, name: str, *, roles: Sequence[str] = ()) -> Side:
    """Return the images of a manifest, or those of some roles, as one side."""
    table = manifest.table
    if roles:
        table = table.filter(pc.is_in(table["role"], pa.array(roles)))
    sums = _whole(table["sha256"]) if "sha256" in table.column_names else None
    return Side(
        name,
        _whole(table["image_id"]),
        _whole(table["landmark_id"]),
        _absolute(_whole(table["path"]), manifest.root),
        None if sums is None else pc.ascii_lower(sums),
        _label_space(table),
    )


def files_of(manifest: Manifest) -> Any:
    """Return (N,) paths, equal where two rows name one file, without ``.``, ``..`` and ``//``.

    Absolute where any path is, else relative to the manifest's folder; links stay as named.
    """
    paths = _whole(manifest.table["path"])
    if pc.any(pc.starts_with(paths, "/")).as_py():
        return _absolute(paths, manifest.root)
    return _mended(paths)


def _absolute(paths: Any, root: Path) -> Any:
    prefix = os.path.join(root, "")  # noqa: PTH118 (ends in a separator)
    relative = pc.invert(pc.starts_with(paths, "/"))
    joined = pc.if_else(relative, pc.binary_join_element_wise(prefix, paths, ""), paths)
    return _mended(joined)


def _mended(paths: Any) -> Any:
    """Return paths as os.path.normpath gives them, which is asked only where it may matter."""
    odd = pc.or_(pc.match_substring(paths, "//"), pc.match_substring(paths, "/."))
    odd = pc.or_(odd, pc.or_(pc.starts_with(paths, "."), pc.ends_with(paths, "/")))
    if not pc.any(odd).as_py():
        return paths
    mended = [os.path.normpath(path) for path in paths.filter(odd).to_pylist()]
    return pc.replace_with_mask(paths, odd, pa.array(mended, pa.string()))


def sums_of(manifest: Manifest) -> Any | None:
    """Return (N,) the sha256 that the manifest states, in lower case; None where it states none."""
    if "sha256" not in manifest.table.column_names:
        return None
    return pc.ascii_lower(_whole(manifest.table["sha256"]))


def read_gallery(path: Path) -> Side:
    """Return the images of a gallery: of a manifest, an embedding table or a gallery.

    Raises:
        CairnError: It is none of these, or holds no image to recognize against.
    """
    if _is_table(path):
        manifest = Manifest.read(path)
        return side_of(manifest, "the gallery", roles=(gallery_role(manifest),))
    return _of_dataset(_gallery_dataset(path), "the gallery")


def read_bank(path: Path) -> Side:
    """Return the images of a bank: of a manifest's role nonlandmark, an embedding table, a gallery.

    Raises:
        CairnError: It is none of these, or a gallery without a bank.
    """
    if _is_table(path):
        manifest = Manifest.read(path)
        side = side_of(manifest, "the bank", roles=("nonlandmark",))
        if not len(side.ids):
            raise CairnError(
                "this manifest has no image of role nonlandmark, so no bank",
                where=path,
                todo="give the bank's embeddings, or the manifest that they were made of",
            )
        return side
    if not _is_gallery(path):
        return _of_dataset(_table_dataset(path), "the bank")
    bank = kept_bank(path)
    if bank is None:
        raise CairnError(
            "this gallery keeps no bank", where=path, todo="cairn penalize GALLERY BANK keeps one"
        )
    return bank


def gallery_role(manifest: Manifest) -> str:
    """Return the role that is recognized against: gallery, or where there is none, train.

    Raises:
        CairnError: There is neither.
    """
    for role in ("gallery", "train"):
        if pc.index(manifest.table["role"], role).as_py() >= 0:
            return role
    manifest.gallery()  # says what is missing
    raise AssertionError("a manifest's gallery has role gallery or train")


def kept_bank(path: Path) -> Side | None:
    """Return the bank that a gallery keeps for its penalty; None for other folders, or without."""
    if not _is_gallery(path):
        return None
    from cairn.gallery.penalties import open_bank
    from cairn.gallery.place import Place
    from cairn.gallery.versions import Version

    version = Version.open(Place(path))
    note = version.facts.penalty
    if note is None:
        return None
    return _of_dataset(open_bank(version.place, note.bank), "the gallery's bank")


def _is_table(path: Path) -> bool:
    return Path(path).suffix.lower() in TABLE_SUFFIXES


def _is_gallery(path: Path) -> bool:
    from cairn.gallery.place import Place

    return Place(path).remote or (Path(path) / "models").is_dir()


def _gallery_dataset(path: Path) -> Any:
    if not _is_gallery(path):
        return _table_dataset(path)
    from cairn.gallery.place import Place
    from cairn.gallery.versions import Version

    return Version.open(Place(path)).dataset


def _table_dataset(path: Path) -> Any:
    from cairn.tables import dataset_path, open_dataset

    return open_dataset(dataset_path(Path(path)))


def _of_dataset(dataset: Any, name: str) -> Side:
    rows = dataset.to_table(columns=["image_id", "landmark_id", "path"])
    ids, landmarks, files = (_whole(rows[column].cast(pa.string())) for column in rows.column_names)
    return Side(name, ids, landmarks, files)


def _label_space(table: Any) -> str:
    named = pc.index(pc.not_equal(table["landmark_id"], ""), True).as_py()
    return "" if named < 0 else str(table["label_space"][named].as_py())


def _whole(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
