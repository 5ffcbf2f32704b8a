"""A gallery packed once for many searches: what a server asks, batch after batch.

A search packs the gallery for its queries and drops that; kept, it costs a byte a number more
memory (a quarter of the vectors in float32), and every batch but reads it.

Legend of shapes: Q queries, G gallery rows, K neighbours, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from cairn.domain import Float32, Int64
from cairn.search.candidates import Slab
from cairn.search.compiled import FLOAT32
from cairn.search.packing import Panels, grown, with_added
from cairn.search.rows import require_vectors
from cairn.search.topk import TopK, merge

_LEAST = 1 << 18  # numbers: below it compiled loops repay their loading in no service


class Packed:
    """A gallery in memory, packed.

    Args:
        gallery_GD: (G, D) float32; it must not change.
        offsets_G: (G,) added to the similarities of each row.
        before: An earlier one, of which what has the same rows is taken over: codes of other
            offsets too, and of a part that only grew.
        source_G: (G,) the number that each row had there, rising, and -1 where it is new; by
            default rows in the same memory are the same.
        num_threads: So many pack; by default as many as search.

    Raises:
        CairnError: A row is zero or not finite.
    """

    def __init__(
        self,
        gallery_GD: Float32,
        offsets_G: Float32,
        *,
        before: Packed | None = None,
        source_G: Int64 | None = None,
        num_threads: int | None = None,
    ) -> None:
        from cairn.search.by_tiles import pack_slab, slab_rows
        from cairn.search.workers import workers

        self.num_rows, dimension = gallery_GD.shape
        self._at = gallery_GD.ctypes.data
        if before is not None and source_G is None:
            is_same = (before._at, before.num_rows) == (self._at, self.num_rows)
            source_G = np.arange(self.num_rows) if is_same else None
        if before is None or source_G is None:
            cuts = [0, self.num_rows]
        else:
            cuts = _cuts(before.slabs, source_G)
        self.slabs: list[Slab] = []
        self.panels: list[Panels] = []
        self.num_taken_over = 0
        bits_GD, most = gallery_GD.view(np.uint32), slab_rows(dimension)
        with workers(num_threads) as crew:
            for number, (begin, end) in enumerate(pairwise(cuts)):
                for first in range(begin, end, most):
                    part = slice(first, min(end, first + most))
                    slab = Slab(bits_GD[part], FLOAT32, offsets_G[part], first)
                    known = None
                    if before is not None and source_G is not None and first == begin:
                        known = before._panels_of(number, slab, source_G[part])
                    self.num_taken_over += known is not None
                    self.slabs.append(slab)
                    self.panels.append(pack_slab(slab, None, crew) if known is None else known)

    @staticmethod
    def suits(gallery_GD: Float32) -> bool:
        """Return whether many searches of this gallery are quicker where it is packed."""
        if gallery_GD.dtype != np.float32 or gallery_GD.size <= _LEAST:
            return False
        from cairn.search.quickest import quickest_way
        from cairn.search.tiles import MOST_DIMENSIONS

        return quickest_way() == "tiles" and gallery_GD.shape[1] <= MOST_DIMENSIONS

    def _panels_of(self, number: int, slab: Slab, source_S: Int64) -> Panels | None:
        """Return a slab's panels by those of the one with that number here, or None."""
        mine, panels = self.slabs[number], self.panels[number]
        num = len(mine.bits_SD)
        if not np.array_equal(source_S[:num], np.arange(mine.first, mine.first + num)):
            return None
        if len(source_S) > num:
            panels = grown(panels, slab.bits_SD, slab.kind, num)
            require_vectors(panels.norms_N[num:], slab.first + num, "gallery")
        if np.array_equal(mine.added_S, slab.added_S):
            return panels
        return with_added(panels, slab.added_S)

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


def _cuts(slabs: Sequence[Slab], source_G: Int64) -> list[int]:
    """Return where the rows of each slab begin among rows that came of them, and the end."""
    firsts = [slab.first for slab in slabs[1:]]
    starts = np.searchsorted(np.maximum.accumulate(source_G), firsts)
    return [0, *starts.tolist(), len(source_G)]
