"""The kinds of approximate search and their settings: frozen values that check themselves.

``Hnsw`` is a graph of neighbours, ``IvfPq`` lists of codes; :mod:`cairn.approximate` builds and
searches them.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias

from cairn.errors import CairnError

INDEX_NAME, CARD_NAME = "index.faiss", "index.json"
"""The files of an index folder (:mod:`cairn.index_folder`)."""


class StaleIndex(CairnError):  # noqa: N818 (a state of it, which some can live with)
    """An index of a gallery that has changed since."""


ROWS_PER_LIST = 39
"""Rows that FAISS wants for each list it is to learn."""


@dataclass(frozen=True)
class Hnsw:
    """How a graph is built and walked.

    Args:
        m: Links of a row in each layer, twice as many in the lowest; 2 to 256. More find more in
            hard data, and take ``8 m`` bytes a row.
        ef_construction: Rows weighed while linking a new one; at least ``m``.
        ef_search: Rows weighed while searching, at least 1; more find more and take longer. Where
            k is larger, k counts.

    Raises:
        CairnError: A value is out of its range.
    """

    m: int = 32
    ef_construction: int = 100
    ef_search: int = 64

    kind: ClassVar[str] = "hnsw"

    def __post_init__(self) -> None:
        _require_whole(self)
        if not 2 <= self.m <= 256:
            raise CairnError("m must lie between 2 and 256", where=f"m = {self.m}")
        if self.ef_construction < self.m:
            raise CairnError(
                "ef_construction must be at least m",
                where=f"ef_construction = {self.ef_construction}, m = {self.m}",
            )
        if self.ef_search < 1:
            raise CairnError("ef_search must be at least 1", where=f"ef_search = {self.ef_search}")

    @property
    def name(self) -> str:
        """Kind and parameters, for tables."""
        return f"hnsw m={self.m} efc={self.ef_construction} ef={self.ef_search}"

    @classmethod
    def for_gallery(cls, num_rows: int) -> Hnsw:
        """Return parameters to begin with for a gallery of so many rows."""
        return cls() if num_rows < 1_000_000 else cls(ef_search=128)


@dataclass(frozen=True)
class IvfPq:
    """How lists of codes are built and scanned.

    Args:
        nlist: Lists that the gallery is cut into, at least 1 and at most G / 39.
        code_dims: Dimensions that share one 4-bit code, 1 to 16; a row's code takes
            ``D / code_dims / 2`` bytes. Fewer are more faithful.
        nprobe: Lists scanned for a query, 1 to ``nlist``.
        num_rescored: Candidates scored again exactly, at least 1. Where k is larger, k counts.

    Raises:
        CairnError: A value is out of its range.
    """

    nlist: int = 256
    code_dims: int = 4
    nprobe: int = 16
    num_rescored: int = 200

    kind: ClassVar[str] = "ivf-pq"

    def __post_init__(self) -> None:
        _require_whole(self)
        if self.nlist < 1:
            raise CairnError("nlist must be at least 1", where=f"nlist = {self.nlist}")
        if not 1 <= self.code_dims <= 16:
            raise CairnError(
                "code_dims must lie between 1 and 16", where=f"code_dims = {self.code_dims}"
            )
        if not 1 <= self.nprobe <= self.nlist:
            raise CairnError(
                "nprobe must lie between 1 and nlist",
                where=f"nprobe = {self.nprobe}, nlist = {self.nlist}",
            )
        if self.num_rescored < 1:
            raise CairnError(
                "num_rescored must be at least 1", where=f"num_rescored = {self.num_rescored}"
            )

    @property
    def name(self) -> str:
        """Kind and parameters, for tables."""
        return (
            f"ivf-pq lists={self.nlist} dims={self.code_dims} "
            f"probes={self.nprobe} rescored={self.num_rescored}"
        )

    @classmethod
    def for_gallery(cls, num_rows: int) -> IvfPq:
        """Return parameters to begin with for a gallery of so many rows: about 2 sqrt(G) lists."""
        most = max(1, num_rows // ROWS_PER_LIST)
        nlist = min(most, 2 ** round(math.log2(2 * math.sqrt(max(1, num_rows)))))
        return cls(nlist=nlist, nprobe=max(1, nlist // 16))


Parameters: TypeAlias = Hnsw | IvfPq

KINDS: dict[str, type[Hnsw] | type[IvfPq]] = {Hnsw.kind: Hnsw, IvfPq.kind: IvfPq}


def _require_whole(parameters: Any) -> None:
    for name, value in asdict(parameters).items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise CairnError(f"{name} must be a whole number", where=f"{name} = {value!r}")
