"""A gallery packed once for many searches: what a server asks, batch after batch.

A search packs the gallery for its queries and drops that; kept, it costs a byte a number more
memory (a quarter of the vectors in float32), and every batch but reads it.

Legend of shapes: Q queries, G gallery rows, K neighbours, D dimensions.
"""

from __future__ import annotations

import numpy as np
import torch

from cairn.domain import Float32
from cairn.search.candidates import Slab
from cairn.search.exact import SMALL, slabs
from cairn.search.packing import Panels
from cairn.search.topk import TopK, merge


class Packed:
    """A gallery in memory, packed.

    Args:
        gallery_GD: (G, D) float32; it must not change.
        offsets_G: (G,) added to the similarities of each row.
        before: An earlier one, whose slabs are taken over where their rows lie in the same memory
            and have the same offsets.

    Raises:
        CairnError: A row is zero or not finite.
    """

    def __init__(
        self, gallery_GD: Float32, offsets_G: Float32, *, before: Packed | None = None
    ) -> None:
        from cairn.search.by_tiles import pack_slab, slab_rows
        from cairn.search.workers import workers

        self.num_rows, dimension = gallery_GD.shape
        gallery = torch.from_numpy(gallery_GD)
        self.slabs = list(slabs(gallery, offsets_G, slab_rows(dimension)))
        self.panels: list[Panels] = []
        self.num_taken_over = 0
        with workers() as crew:
            for number, slab in enumerate(self.slabs):
                known = None if before is None else before.panels_of(number, slab)
                self.num_taken_over += known is not None
                self.panels.append(pack_slab(slab, None, crew) if known is None else known)

    @staticmethod
    def suits(gallery_GD: Float32) -> bool:
        """Return whether searches of this gallery would pack it at all."""
        if gallery_GD.dtype != np.float32 or gallery_GD.size <= SMALL:
            return False
        from cairn.search.quickest import quickest_way
        from cairn.search.tiles import MOST_DIMENSIONS

        return quickest_way() == "tiles" and gallery_GD.shape[1] <= MOST_DIMENSIONS

    def panels_of(self, number: int, slab: Slab) -> Panels | None:
        """Return the panels of a slab that was packed here under that number, or None."""
        if number >= len(self.slabs):
            return None
        mine = self.slabs[number]
        is_same = (
            mine.bits_SD.ctypes.data == slab.bits_SD.ctypes.data
            and mine.bits_SD.shape == slab.bits_SD.shape
            and np.array_equal(mine.added_S, slab.added_S)
        )
        return self.panels[number] if is_same else None

    def search(self, queries_QD: Float32, k: int) -> TopK:
        """Return the top k as ``cairn.search.top_k`` does.

        Raises:
            CairnError: A query is zero or not finite.
        """
        from cairn.search.by_tiles import by_tiles
        from cairn.search.workers import workers

        with workers() as crew:
            most = min(k, self.num_rows)
            found = by_tiles(queries_QD, 0, self.slabs, most, crew, kept=self.panels)
        return found if most == k else merge([found], k)
