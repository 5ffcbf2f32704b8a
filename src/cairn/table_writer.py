"""Embedding tables written batch by batch, and continued after an interruption.

Each batch is committed whole, so that an interrupted writer loses at most its last one; until the
writer finishes, the folder carries a mark at which readers refuse it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.runs import require_absent
from cairn.tables import (
    DATASET_NAME,
    TEXT_COLUMNS,
    UNFINISHED,
    arrow_rows,
    check_rows,
    lance_library,
    open_dataset,
    table_facts,
)


class TableWriter:
    """Appends batches to a table folder, each committed whole; opening it again continues.

    Use it as a context manager: leaving the block without an error finishes the table.

    Args:
        folder: The table folder; made where missing.
        fingerprint: The fingerprint of the model whose vectors follow.
        dimension: D.

    Raises:
        CairnError: ``folder`` has a table of another model or dimension, or other things.
    """

    def __init__(self, folder: Path, *, fingerprint: str, dimension: int) -> None:
        self.folder = Path(folder)
        self._fingerprint, self._dimension = fingerprint, dimension
        self._path = self.folder / DATASET_NAME
        self._done: dict[str, tuple[str, str]] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        if (self._path / "_versions").is_dir():
            self._resume()
        elif not (self.folder / UNFINISHED).exists():
            require_absent(self.folder)

    def __enter__(self) -> TableWriter:
        (self.folder / UNFINISHED).touch()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._done:
            (self.folder / UNFINISHED).unlink(missing_ok=True)

    @property
    def done_ids(self) -> frozenset[str]:
        """The ids of the rows committed so far."""
        return frozenset(self._done)

    def done(self, image_id: str) -> tuple[str, str] | None:
        """Return the landmark and path committed for ``image_id``, or None."""
        return self._done.get(image_id)

    def append(
        self,
        image_ids: Sequence[str],
        landmark_ids: Sequence[str],
        paths: Sequence[str],
        vectors: Float32,
    ) -> None:
        """Commit rows: all of them or, after a crash, none.

        Raises:
            CairnError: An id was committed before, or the rows fail the checks of the table.
        """
        check_rows(image_ids, landmark_ids, paths, vectors, dimension=self._dimension)
        repeated = next((name for name in image_ids if name in self._done), None)
        if repeated is not None:
            raise CairnError("this image is in the table already", where=repeated)
        if not image_ids:
            return
        rows = arrow_rows(image_ids, landmark_ids, paths, vectors, self._fingerprint)
        mode = "append" if self._done else "create"
        lance_library().write_dataset(rows, str(self._path.absolute()), mode=mode)
        self._done.update(zip(image_ids, zip(landmark_ids, paths, strict=True), strict=True))

    def _resume(self) -> None:
        dataset = open_dataset(self._path)
        fingerprint, dimension = table_facts(dataset, self.folder)
        if (fingerprint, dimension) != (self._fingerprint, self._dimension):
            raise CairnError(
                "the table here was made by another model and cannot be continued with this one: "
                f"{fingerprint[:12]} ({dimension} dimensions) against "
                f"{self._fingerprint[:12]} ({self._dimension})",
                where=self.folder,
                todo="embed into a new folder, or use the model that began this one",
            )
        for row in dataset.to_table(columns=list(TEXT_COLUMNS)).to_pylist():
            self._done[row["image_id"]] = (row["landmark_id"], row["path"])
