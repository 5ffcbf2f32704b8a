"""How many photographs each landmark keeps: all of them, or those of a stated long tail.

A tail is laid over the landmarks by rank: the landmark with the most photographs gets the tail's
largest size, and so on. It can only take away: a landmark that has fewer photographs than its rank
allows keeps all of them.

Legend of shapes: L landmarks, ranked.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np

from cairn.columns import read_table
from cairn.domain import Int64
from cairn.errors import CairnError

_ZIPF = "zipf:"
_QUANTILES = 10_000


@dataclass(frozen=True)
class Tail:
    """The sizes that landmarks may have.

    Args:
        name: In words, for the card.
        exponent: Of Zipf's law, or None.
        sizes: The sizes of a set of landmarks of any number, largest first; empty for none.
    """

    name: str
    exponent: float | None = None
    sizes: tuple[int, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Whether landmarks keep what they have."""
        return self.exponent is None and not self.sizes

    def targets(self, available: Int64) -> Int64:
        """Return (L,) the most photographs that each landmark keeps, at least one.

        Args:
            available: (L,) photographs that there are, largest first.

        Zipf: rank r may have as many as the first has over r ** exponent. A list of sizes that has
        another number of landmarks is stretched: rank r of L takes the size at (r - 1/2) / L of the
        list.
        """
        count = len(available)
        if self.is_kept or not count:
            return available
        if self.exponent is not None:
            rank = np.arange(1, count + 1, dtype=np.float64)
            targets = np.rint(available[0] / rank**self.exponent).astype(np.int64)
        else:
            sizes = np.asarray(self.sizes, np.int64)
            places = (np.arange(count) + 0.5) / count * len(sizes)
            targets = sizes[np.minimum(places.astype(np.int64), len(sizes) - 1)]
        kept: Int64 = np.maximum(targets, 1)
        return kept


def tail_of(text: str) -> Tail:
    """Return the tail that ``keep``, ``zipf:EXPONENT``, ``gldv2`` or a file of sizes stands for.

    A file has one size a line, the photographs of one landmark; or it is a table (``.csv``,
    ``.parquet``) with a column ``images``.

    Raises:
        CairnError: It is none of these, or a size is no whole number above 0.
    """
    if text == "keep":
        return Tail("kept as it is")
    if text == "gldv2":
        return Tail("as in Google Landmarks v2 clean", sizes=_gldv2())
    if text.startswith(_ZIPF):
        try:
            exponent = float(text.removeprefix(_ZIPF))
        except ValueError:
            exponent = -1.0
        if not (isfinite(exponent) and exponent >= 0):
            raise CairnError(f"no exponent: {text!r}", where="tail", todo="write zipf:1.0")
        return Tail(f"Zipf's law with exponent {exponent:g}", exponent=exponent)
    path = Path(text)
    if not path.is_file():
        raise CairnError(
            f"unknown tail {text!r}",
            where="tail",
            todo="give keep, gldv2, zipf:EXPONENT, or a file with one size a line",
        )
    return Tail(f"the sizes in {path.name}", sizes=_read_sizes(path))


def _read_sizes(path: Path) -> tuple[int, ...]:
    if path.suffix.lower() in (".csv", ".parquet", ".pq"):
        table = read_table(path)
        if "images" not in table.column_names:
            raise CairnError("a table of sizes has a column 'images'", where=path)
        words = [str(value) for value in table["images"].to_pylist()]
    else:
        words = path.read_text(encoding="utf-8", errors="replace").split()
    if not words:
        raise CairnError("the file of sizes is empty", where=path)
    wrong = next((word for word in words if not word.isdecimal() or int(word) < 1), None)
    if wrong is not None:
        raise CairnError(f"not a number of photographs: {wrong!r}", where=path)
    return tuple(sorted(map(int, words), reverse=True))


def _gldv2() -> tuple[int, ...]:
    """Return sizes in the shape of Google Landmarks v2's clean training set.

    Known of its 81,313 landmarks (Weyand et al. 2020): 57 % have at most ten photographs, 38 % at
    most five, 20,000 have two, the mean is 1,580,470 / 81,313 = 19.4. Between these the shares are
    linear; beyond ten the sizes follow a Pareto law whose exponent gives that mean.
    """
    place = (np.arange(_QUANTILES) + 0.5) / _QUANTILES  # from the smallest
    few = np.ceil(np.interp(place, (20_000 / 81_313, 0.38, 0.57), (2.0, 5.0, 10.0)) - 1e-9)
    low, high = 1.0, 3.0  # the mean falls as the exponent rises
    for _ in range(40):
        exponent = (low + high) / 2
        many = np.maximum(np.rint(10.0 * (0.43 / (1.0 - place)) ** (1.0 / exponent)), 11.0)
        sizes = np.where(place <= 0.57, few, many)
        low, high = (exponent, high) if sizes.mean() > 1_580_470 / 81_313 else (low, exponent)
    return tuple(int(size) for size in sizes[::-1])
