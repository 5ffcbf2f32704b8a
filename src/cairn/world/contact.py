"""Contact sheets: a world at a glance, for a person to judge."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cairn.errors import CairnError
from cairn.runs import atomic_write


def contact_sheet(
    manifest: Path,
    out_png: Path,
    *,
    role: str = "train",
    rows: int = 12,
    columns: int = 10,
    cell: int = 128,
    seed: int = 0,
) -> Path:
    """Write a sheet of photographs and return its path.

    With landmarks each row shows one place; without (``role="nonlandmark"``) the sheet is filled.

    Args:
        manifest: The ``manifest.parquet`` of a world, or of any folder of photographs.
        out_png: The picture to write.
        role: Whose photographs to show.
        rows: Rows of the sheet.
        columns: Photographs in a row.
        cell: Pixels of a cell's side.
        seed: Picks which ones; landmarks with too few photographs come last.

    Raises:
        CairnError: No photograph has this role.
    """
    from cairn.manifest import Manifest

    table = Manifest.read(manifest).select(role)
    if len(table) == 0:
        raise CairnError(f"no photograph has the role {role!r}", where=manifest)
    rng = np.random.default_rng(seed)
    places: dict[str, list[Path]] = defaultdict(list)
    for landmark, path in zip(table.landmark_ids, table.paths, strict=True):
        places[landmark].append(path)
    loose = places.pop("", [])
    names = sorted(places)
    order = [names[k] for k in rng.permutation(len(names))]
    order.sort(key=lambda name: len(places[name]) < columns)
    lines = [places[name][:columns] for name in order[:rows]]
    shuffled = [loose[k] for k in rng.permutation(len(loose))]
    lines += [shuffled[k : k + columns] for k in range(0, len(shuffled), columns)]
    sheet = np.full((min(rows, len(lines)) * cell, columns * cell, 3), 24, dtype=np.uint8)
    for row, line in enumerate(lines[:rows]):
        for column, path in enumerate(line):
            tile = _tile(path, cell)
            height, width, _ = tile.shape
            sheet[row * cell : row * cell + height, column * cell : column * cell + width] = tile
    with atomic_write(out_png) as temporary:
        Image.fromarray(sheet).save(temporary, format="PNG")
    return out_png


def _tile(path: Path, cell: int) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        image.draft("RGB", (cell, cell))
        tile = image.convert("RGB")
    tile.thumbnail((cell, cell))
    return np.asarray(tile)
