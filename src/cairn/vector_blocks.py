"""The vectors of an embedding table or a gallery, read from the disk a block at a time.

What a search needs of a table that does not fit into memory: ``cairn.search.search`` takes it in
the place of an array (``cairn.search.Blocks``) and reads it once.

Legend of shapes: N rows, D embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cairn.domain import Float32
from cairn.tables import dataset_path, open_dataset, table_facts


class VectorBlocks:
    """Rows of a table folder, or of a local gallery's newest version, in the table's order.

    Args:
        folder: What `cairn embed` or `cairn gallery build` wrote.

    Raises:
        CairnError: There is no whole embedding table in it.
    """

    def __init__(self, folder: Path | str) -> None:
        self._dataset = open_dataset(dataset_path(Path(folder)))
        self.fingerprint, dimension = table_facts(self._dataset, folder)
        self.shape = (int(self._dataset.count_rows()), dimension)

    def blocks(self, num_rows: int) -> Iterator[Float32]:
        """Yield (n, D) float32 vectors, n at most ``num_rows``; the next are read meanwhile."""
        dimension = self.shape[1]
        batches = self._dataset.to_batches(
            columns=["vector"], batch_size=num_rows, batch_readahead=1, fragment_readahead=1
        )
        for batch in batches:
            values = batch.column("vector").flatten().to_numpy(zero_copy_only=True)
            block: Float32 = values.reshape(-1, dimension)
            for start in range(0, len(block), num_rows):
                yield np.ascontiguousarray(block[start : start + num_rows])
