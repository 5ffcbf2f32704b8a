"""Embedding tables: ids, landmarks, paths and unit vectors of one model, kept as a Lance dataset.

A table folder holds ``vectors.lance/`` and, while a writer (``cairn.table_writer``) has not
finished, a mark at which readers refuse it. The table does not know what made its vectors beyond
the model's fingerprint.
A gallery's dataset (``cairn.gallery``) has these columns and more, and is read by the same code.

Legend of shapes: N rows, D embedding dimensions.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cairn.domain import Float32, Int64
from cairn.errors import CairnError
from cairn.runs import atomic_folder

if TYPE_CHECKING:
    import pyarrow as pa

DATASET_NAME = "vectors.lance"
TABLE_FORMAT = 1
UNIT_TOLERANCE = 1e-3
"""How far a vector's length may lie from 1; float32 normalisation stays within 1e-6."""

UNFINISHED = "unfinished"
"""The mark in the folder of a table whose writer has not finished."""

TEXT_COLUMNS = ("image_id", "landmark_id", "path")
"""The columns beside the vectors."""

_ROWS_AT_ONCE = 8192
_KEYS = ("cairn.format", "cairn.fingerprint", "cairn.dimension")


@dataclass(frozen=True, eq=False)
class EmbeddingTable:
    """Images as unit vectors, with the fingerprint of the model that made them.

    Args:
        image_ids: N different ids.
        landmark_ids: N landmarks; "" for an image of no known landmark.
        paths: N files, as the manifest named them.
        vectors: (N, D) float32, unit length within ``UNIT_TOLERANCE``.
        fingerprint: The model's fingerprint.

    Raises:
        CairnError: No rows, columns of different lengths, repeated ids, or vectors that are not
            finite unit vectors.
    """

    image_ids: list[str]
    landmark_ids: list[str]
    paths: list[str]
    vectors: Float32
    fingerprint: str

    def __post_init__(self) -> None:
        if not self.image_ids:
            raise CairnError(
                "an embedding table needs at least one image",
                todo="check that the manifest has rows of the role that was embedded",
            )
        if not self.fingerprint:
            raise CairnError("an embedding table needs the fingerprint of the model that made it")
        check_rows(self.image_ids, self.landmark_ids, self.paths, self.vectors)

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def dimension(self) -> int:
        """D."""
        return int(self.vectors.shape[1])

    @classmethod
    def read(cls, folder: Path) -> EmbeddingTable:
        """Return the table in ``folder``: a table folder, or the Lance dataset itself.

        The vectors are one contiguous array; they never lie in memory twice.

        Raises:
            CairnError: The folder is missing, holds no embedding table, or one whose writing was
                interrupted or whose contents fail the checks of this class.
        """
        return cls.of_dataset(open_dataset(dataset_path(Path(folder))), where=folder)

    @classmethod
    def of_dataset(cls, dataset: Any, *, where: object, num_spare: int = 0) -> EmbeddingTable:
        """Return the rows of an opened Lance dataset; further columns are passed over.

        Args:
            dataset: It.
            where: What errors name.
            num_spare: Rows of room behind the vectors, which are then a view.

        Raises:
            CairnError: It is no embedding table, or its contents fail the checks of this class.
        """
        fingerprint, dimension = table_facts(dataset, where)
        rows = dataset.count_rows()
        columns: dict[str, list[str]] = {name: [] for name in TEXT_COLUMNS}
        vectors = np.empty((rows + num_spare, dimension), dtype=np.float32)
        vectors = vectors[:rows] if num_spare else vectors
        start = 0
        for batch in dataset.to_batches(
            columns=[*TEXT_COLUMNS, "vector"], batch_size=_ROWS_AT_ONCE
        ):
            for name in TEXT_COLUMNS:
                columns[name].extend(batch.column(name).to_pylist())
            values = batch.column("vector").flatten().to_numpy(zero_copy_only=True)
            vectors[start : start + len(batch)] = values.reshape(-1, dimension)
            start += len(batch)
        try:
            return cls(
                columns["image_id"], columns["landmark_id"], columns["path"], vectors, fingerprint
            )
        except CairnError as error:
            raise CairnError(error.what, where=where, todo=error.todo) from None

    def changed(
        self,
        image_ids: list[str],
        landmark_ids: list[str],
        paths: list[str],
        vectors: Float32,
        *,
        new: Sequence[str],
    ) -> EmbeddingTable:
        """Return other rows by the same model; those of this table were checked, and are not again.

        Args:
            image_ids: As of the class.
            landmark_ids: Likewise.
            paths: Likewise.
            vectors: Likewise.
            new: The ids of rows that this table has not; the caller checked them.

        Raises:
            CairnError: An id is new and stands among the others, or the columns differ in length.
        """
        lengths = {len(image_ids), len(landmark_ids), len(paths), len(vectors)}
        if len(lengths) > 1 or vectors.shape[1] != self.dimension:
            raise CairnError(f"columns of {sorted(lengths)} rows, vectors of {vectors.shape}")
        added = set(new)
        num_found = 0
        for start in range(0, len(image_ids) if added else 0, _ROWS_AT_ONCE):
            part = image_ids[start : start + _ROWS_AT_ONCE]
            if not added.isdisjoint(part):
                num_found += sum(one in added for one in part)
        if num_found != len(new):
            raise CairnError("image ids must be present and different")
        made = object.__new__(EmbeddingTable)
        columns = (image_ids, landmark_ids, paths, vectors, self.fingerprint)
        for field, values in zip(fields(self), columns, strict=True):
            object.__setattr__(made, field.name, values)
        return made

    def take(self, rows: Sequence[int] | Int64) -> EmbeddingTable:
        """Return some rows, in the order of their numbers in ``rows``, at least one."""
        return EmbeddingTable(
            [self.image_ids[row] for row in rows],
            [self.landmark_ids[row] for row in rows],
            [self.paths[row] for row in rows],
            self.vectors[np.asarray(rows, dtype=np.int64)],
            self.fingerprint,
        )

    def write(self, folder: Path) -> None:
        """Write the table to a new ``folder``, whole or not at all.

        Raises:
            CairnError: ``folder`` holds something already.
        """
        with atomic_folder(Path(folder)) as temporary:
            self.write_dataset(str((temporary / DATASET_NAME).absolute()))

    def write_dataset(self, uri: str, *, options: Mapping[str, str] | None = None) -> None:
        """Write the table as a new Lance dataset at ``uri``, in one commit.

        Args:
            uri: A path, or an address in an object store.
            options: The store's options, as Lance takes them.
        """
        rows = arrow_rows(
            self.image_ids, self.landmark_ids, self.paths, self.vectors, self.fingerprint
        )
        lance_library().write_dataset(
            rows, uri, mode="create", storage_options=dict(options) if options else None
        )


def require_same_model(a: EmbeddingTable, b: EmbeddingTable, *, where: object) -> None:
    """Refuse to compare vectors of different models.

    Raises:
        CairnError: The fingerprints or dimensions differ.
    """
    if (a.fingerprint, a.dimension) != (b.fingerprint, b.dimension):
        raise CairnError(
            "these embeddings come from different models and cannot be compared: "
            f"{a.fingerprint[:12]} ({a.dimension} dimensions) and "
            f"{b.fingerprint[:12]} ({b.dimension})",
            where=where,
            todo="embed both with the same model folder",
        )


def check_rows(
    image_ids: Sequence[str],
    landmark_ids: Sequence[str],
    paths: Sequence[str],
    vectors: Float32,
    *,
    dimension: int | None = None,
) -> None:
    """Refuse rows that no table may hold.

    Raises:
        CairnError: Columns of different lengths, a wrong dimension, repeated or empty ids,
            vectors that are not float32, not finite or not of unit length.
    """
    if vectors.ndim != 2 or vectors.dtype != np.float32 or vectors.shape[1] < 1:
        raise CairnError("vectors must be (N, D) float32", where=f"{vectors.shape} {vectors.dtype}")
    if dimension is not None and vectors.shape[1] != dimension:
        raise CairnError(f"vectors have {vectors.shape[1]} dimensions, the table {dimension}")
    lengths = {len(image_ids), len(landmark_ids), len(paths), len(vectors)}
    if len(lengths) > 1:
        raise CairnError(f"columns of different lengths: {sorted(lengths)}")
    if len(set(image_ids)) < len(image_ids) or "" in image_ids:
        seen: set[str] = set()
        for name in image_ids:
            if name in seen or not name:
                raise CairnError("image ids must be present and different", where=repr(name))
            seen.add(name)
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    bad = np.flatnonzero(~(np.abs(norms - 1.0) <= UNIT_TOLERANCE))
    if bad.size:
        row = int(bad[0])
        raise CairnError(
            f"{bad.size} vectors are not of unit length (the first has length {norms[row]:g})",
            where=f"image {image_ids[row]!r}, row {row}",
            todo="embed these images again; a model with NaN or all-zero weights does this",
        )


def lance_library() -> Any:
    """Return the module ``lance``, imported now and without its warning about forks."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not fork-safe.*", category=UserWarning)
        import lance
    return lance


def dataset_path(folder: Path) -> Path:
    """Return where the Lance dataset of a table folder lies, or the folder itself if it is one.

    Raises:
        CairnError: There is none, or its writing was interrupted.
    """
    if (folder / UNFINISHED).exists():
        raise CairnError(
            "this embedding table is not finished: its writing was interrupted",
            where=folder,
            todo="run the same `cairn embed` command again; it continues where it stopped",
        )
    if not folder.is_dir():
        raise CairnError(
            "no such embedding folder", where=folder, todo="make it with `cairn embed`"
        )
    for path in (folder / DATASET_NAME, folder):
        if (path / "_versions").is_dir():
            return path
    raise CairnError(
        f"this folder holds no embedding table ({DATASET_NAME})",
        where=folder,
        todo="name the folder that `cairn embed` wrote",
    )


def open_dataset(path: Path) -> Any:
    """Return the Lance dataset in ``path``.

    Raises:
        CairnError: It cannot be read.
    """
    try:
        return lance_library().dataset(str(path.absolute()))
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise CairnError(f"not a readable Lance dataset: {reason}", where=path) from None


def table_facts(dataset: Any, where: object) -> tuple[str, int]:
    """Return the fingerprint of the model that made a Lance dataset's vectors, and D.

    Raises:
        CairnError: The dataset is no embedding table, or one of another format.
    """
    found = {k.decode(): v.decode() for k, v in (dataset.schema.metadata or {}).items()}
    missing = {*TEXT_COLUMNS, "vector"} - set(dataset.schema.names)
    if missing or not set(_KEYS) <= set(found):
        raise CairnError(
            "this Lance dataset is not an embedding table: it lacks "
            + ", ".join(sorted(missing | (set(_KEYS) - set(found)))),
            where=where,
            todo="name a folder that `cairn embed` wrote",
        )
    if found["cairn.format"] != str(TABLE_FORMAT):
        raise CairnError(
            f"embedding table of format {found['cairn.format']}; this Cairn reads {TABLE_FORMAT}",
            where=where,
            todo="embed again, or use the Cairn that wrote it",
        )
    return found["cairn.fingerprint"], int(found["cairn.dimension"])


def arrow_rows(
    image_ids: Sequence[str],
    landmark_ids: Sequence[str],
    paths: Sequence[str],
    vectors: Float32,
    fingerprint: str,
) -> pa.Table:
    """Return rows as a table's dataset keeps them, the facts in the schema's metadata."""
    import pyarrow as pa

    dimension = int(vectors.shape[1])
    values = (str(TABLE_FORMAT), fingerprint, str(dimension))
    fields = [pa.field(name, pa.string(), nullable=False) for name in TEXT_COLUMNS]
    fields.append(pa.field("vector", pa.list_(pa.float32(), dimension), nullable=False))
    schema = pa.schema(fields, metadata=dict(zip(_KEYS, values, strict=True)))
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    arrays = [pa.array(list(column), pa.string()) for column in (image_ids, landmark_ids, paths)]
    arrays.append(pa.FixedSizeListArray.from_arrays(flat, dimension))
    return pa.table(arrays, schema=schema)
