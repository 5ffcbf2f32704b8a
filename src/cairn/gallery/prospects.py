"""What a gallery will hold when a change is committed, its vectors read only where they are needed.

A penalty follows a change for the products of what changed (``cairn.attraction``). Of added images
that needs their own vectors and none of the others'; of removed ones the rest, a block at a time.

Legend of shapes: N rows to be, G rows of the version that changes, M new rows, D dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cairn.domain import Float32
from cairn.gallery.rows import checksums
from cairn.gallery.versions import Version
from cairn.tables import EmbeddingTable

if TYPE_CHECKING:  # it loads PyTorch
    from cairn.search import Array


@dataclass(frozen=True, eq=False)
class Prospect:
    """Rows that a gallery will hold.

    Args:
        image_ids: Of all N.
        paths: Likewise.
        keys: (N,) the rows' checksums.
        old: The first of them, as they lie in a version; None where all are in ``new``.
        new: The others, at hand; None where there are none.
    """

    image_ids: pa.ChunkedArray
    paths: pa.ChunkedArray
    keys: NDArray[np.uint64]
    old: StoredRows | None
    new: EmbeddingTable | None

    @classmethod
    def of(cls, table: EmbeddingTable) -> Prospect:
        """Return rows that are all at hand."""
        keys = checksums(table.image_ids, table.vectors)
        return cls(_column(table.image_ids), _column(table.paths), keys, None, table)

    @classmethod
    def with_added(
        cls, version: Version, new: EmbeddingTable, keys: NDArray[np.uint64]
    ) -> Prospect:
        """Return the rows of a version and then new ones."""
        ids, paths = (
            pa.chunked_array([*version.column(name).chunks, *_column(texts).chunks])
            for name, texts in (("image_id", new.image_ids), ("path", new.paths))
        )
        return cls(ids, paths, keys, StoredRows(version), new)

    @classmethod
    def with_removed(cls, version: Version, is_kept_G: NDArray[np.bool_]) -> Prospect:
        """Return some of the rows of a version."""
        kept = version.dataset.to_table(columns=["image_id", "path", "checksum"])
        kept = kept.filter(pa.array(is_kept_G))
        keys = kept["checksum"].to_numpy()
        return cls(kept["image_id"], kept["path"], keys, StoredRows(version, is_kept_G), None)

    def __len__(self) -> int:
        return len(self.keys)

    def first(self, num: int) -> StoredRows | Array:
        """Return so many rows from the first on."""
        if self.old is not None and num == len(self.old):
            return self.old
        return self.whole()[:num]

    def rest(self, num: int) -> Array:
        """Return (N - num, D) the rows behind so many."""
        num_old = 0 if self.old is None else len(self.old)
        if num == len(self):
            return np.empty((0, 1), np.float32)
        if self.new is not None and num >= num_old:
            return self.new.vectors[num - num_old :]
        return self.whole()[num:]

    def whole(self) -> Float32:
        """Return (N, D) all vectors, in memory."""
        parts = [] if self.old is None else list(self.old.blocks(len(self.old)))
        parts += [] if self.new is None else [self.new.vectors]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


class StoredRows:
    """Vectors of a version, read a block at a time (``cairn.search.Blocks``).

    Args:
        version: The version.
        is_kept_G: (G,) which of its rows; all by default.
    """

    def __init__(self, version: Version, is_kept_G: NDArray[np.bool_] | None = None) -> None:
        self._version, self._is_kept_G = version, is_kept_G
        num = version.num_images if is_kept_G is None else int(is_kept_G.sum())
        self.shape = (num, version.facts.dimension)

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, num_rows: int) -> Iterator[Float32]:
        """Yield (n, D) float32 vectors, n at most ``num_rows``."""
        start = 0
        for batch in self._version.dataset.to_batches(
            columns=["vector"], batch_size=min(num_rows, _MOST_ROWS), batch_readahead=1
        ):
            values = batch.column("vector").flatten().to_numpy(zero_copy_only=True)
            block: Float32 = values.reshape(-1, self.shape[1])
            if self._is_kept_G is not None:
                block = block[self._is_kept_G[start : start + len(batch)]]
            start += len(batch)
            if len(block):
                yield np.ascontiguousarray(block)


_MOST_ROWS = 1 << 16


def _column(texts: list[str]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.string())])
