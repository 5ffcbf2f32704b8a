"""The ground truth of ROxford and RParis: as its authors publish it, or as JSON.

Both hold one object: ``imlist`` (names of the gallery images), ``qimlist`` (names of the queries)
and ``gnd``, per query ``easy``, ``hard`` and ``junk`` (positions in ``imlist``, from 0) and ``bbx``
(left, top, right, bottom of what the query asks about, in pixels). Names have no ending.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn.errors import CairnError
from cairn.retrieval import Relevant
from cairn.runs import read_json, write_json
from cairn.sources.inert_pickle import read_inert

_KINDS = ("easy", "hard", "junk")
_MEANT = "imlist, qimlist and gnd with easy, hard, junk and bbx: see docs/formats.md"

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class GroundTruth:
    """What gallery images are to each query, by name.

    Args:
        gallery: Names of the gallery images.
        queries: Per query name, its relevant gallery images.
        boxes: Per query name, left, top, right and bottom of what is asked about, where known.
    """

    gallery: tuple[str, ...]
    queries: Mapping[str, Relevant]
    boxes: Mapping[str, Box]

    def write(self, path: Path) -> None:
        """Write the ground truth as JSON, whole or not at all."""
        position = {name: row for row, name in enumerate(self.gallery)}
        gnd: list[dict[str, Any]] = [
            {
                **({"bbx": list(self.boxes[query])} if query in self.boxes else {}),
                **{kind: sorted(position[i] for i in relevant.of([kind])) for kind in _KINDS},
            }
            for query, relevant in self.queries.items()
        ]
        value = {"imlist": list(self.gallery), "qimlist": list(self.queries), "gnd": gnd}
        write_json(path, value)


def read_ground_truth(path: Path) -> GroundTruth:
    """Return the ground truth in a .json file, or in the authors' .pkl, which is never run.

    Raises:
        CairnError: The file is missing, holds something else, or contradicts itself.
    """
    value = read_inert(path) if path.suffix.lower() in (".pkl", ".pickle") else read_json(path)
    try:
        return _checked(value)
    except CairnError as error:
        raise CairnError(error.what, where=f"{path}: {error.where}", todo=error.todo) from None


def _checked(value: Any) -> GroundTruth:
    if not isinstance(value, dict):
        raise CairnError("no ground truth of ROxford's form", todo=_MEANT)
    gallery, queries, gnd = (value.get(name) for name in ("imlist", "qimlist", "gnd"))
    for name, column in (("imlist", gallery), ("qimlist", queries)):
        if not (isinstance(column, list) and column and all(isinstance(i, str) for i in column)):
            raise CairnError("a ground truth needs a list of names", where=name, todo=_MEANT)
        if len(set(column)) != len(column):
            raise CairnError("a name stands twice", where=name)
    assert isinstance(gallery, list)
    assert isinstance(queries, list)
    if not isinstance(gnd, list) or len(gnd) != len(queries):
        raise CairnError(f"expected one entry for each of {len(queries)} queries", where="gnd")
    both = set(gallery) & set(queries)
    if both:
        raise CairnError(
            "a query is also in the gallery",
            where=repr(min(both)),
            todo="the revisited protocol takes the queries out of the gallery",
        )
    relevant, boxes = {}, {}
    for query, entry in zip(queries, gnd, strict=True):
        if not isinstance(entry, dict):
            raise CairnError("an entry is no object", where=f"gnd of {query!r}", todo=_MEANT)
        try:
            kinds = {kind: _names(entry, kind, gallery) for kind in _KINDS}
            relevant[query] = Relevant(**kinds)
            if entry.get("bbx") is not None:
                boxes[query] = _box(entry["bbx"])
        except CairnError as error:
            raise CairnError(
                error.what, where=f"gnd of {query!r}: {error.where}", todo=error.todo
            ) from None
    return GroundTruth(tuple(gallery), relevant, boxes)


def _names(entry: Mapping[str, Any], kind: str, gallery: list[str]) -> frozenset[str]:
    rows = entry.get(kind)
    if not isinstance(rows, list):
        raise CairnError("a list of positions is missing", where=kind, todo=_MEANT)
    for row in rows:
        if not isinstance(row, int) or isinstance(row, bool) or not 0 <= row < len(gallery):
            raise CairnError(f"no gallery image has the position {row!r}", where=kind, todo=_MEANT)
    return frozenset(gallery[row] for row in rows)


def _box(value: Any) -> Box:
    numbers = value if isinstance(value, list) else []
    if len(numbers) == 4 and all(
        isinstance(n, int | float) and not isinstance(n, bool) for n in numbers
    ):
        left, top, right, bottom = map(float, numbers)
        if left < right and top < bottom:
            return left, top, right, bottom
    raise CairnError(f"a box is left, top, right, bottom in pixels, not {value!r}", where="bbx")
