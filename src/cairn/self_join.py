"""The nearest other images of every image: the gallery searched with itself, block by block.

Finished blocks lie in a work folder, so that an interrupted join of a million images goes on where
it stopped. They belong to one content of the vectors; those of another are thrown away. What is
held is the vectors, the answer, and what `cairn.search` needs for a block of queries.

Legend of shapes: N images, K neighbours, D dimensions.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cairn.domain import Float32, Int64, Neighbors
from cairn.engine import pick_device
from cairn.errors import CairnError
from cairn.progress import say, track
from cairn.runs import atomic_write, read_json, write_json
from cairn.search import search

BLOCK_ROWS = 1 << 14
"""Images searched for at a time: what an interruption loses at most."""

_CARD_NAME = "join.json"


def fingerprint_of(vectors: Float32) -> str:
    """Return the SHA-256 of the vectors' bytes, rows in order, in hexadecimal."""
    return hashlib.sha256(np.ascontiguousarray(vectors).data).hexdigest()


def nearest_images(
    vectors: Float32,
    k: int,
    *,
    work: Path,
    content: str,
    device: str = "auto",
    block_rows: int = BLOCK_ROWS,
) -> Neighbors:
    """Return the ``k`` nearest other rows of every row, best first; N - 1 where there are fewer.

    Args:
        vectors: (N, D) float32, rows of unit length.
        k: Neighbours of a row.
        work: Folder of finished blocks; the caller removes it once the answer is in use.
        content: What tells these vectors from others, of :func:`fingerprint_of`.
        device: Where to search; ``auto`` is CUDA where the vectors fit there, else the processor.
        block_rows: Rows searched for at a time.

    Raises:
        CairnError: The device is unknown, or a row is zero or not finite.
    """
    num = len(vectors)
    k = min(k, num - 1)
    facts = {"content": content, "rows": num, "k": k, "block_rows": block_rows}
    _open_work(work, facts)
    result = Neighbors(np.empty((num, k), np.int64), np.empty((num, k), np.float32))
    rows_ND = _placed(vectors, device)
    starts = range(0, num, block_rows)
    taken = 0
    for start in track(
        starts, "nearest images", total=num, size=lambda at: min(block_rows, num - at)
    ):
        stop = min(start + block_rows, num)
        path = work / f"{start:010d}.npz"
        block = _saved(path, (stop - start, k))
        taken += block is not None
        if block is None:
            found = search(rows_ND[start:stop], rows_ND, k + 1)
            block = without_self(found, start)
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                np.savez(file, indices=block.indices, similarities=block.similarities)
        result.indices[start:stop] = block.indices
        result.similarities[start:stop] = block.similarities
    if taken:
        say(f"{taken} of {len(starts)} blocks of nearest images were there from an earlier call")
    return result


def without_self(found: Neighbors, first_row: int) -> Neighbors:
    """Return the K neighbours of rows ``first_row``, ``first_row + 1``, ... out of K + 1.

    A row is dropped from its own neighbours wherever it stands: among equal vectors lower rows
    come first. Where more than K equal ones do, it is not among them, and the last one is dropped.
    """
    rows = np.arange(first_row, first_row + found.num_queries)[:, None]
    is_self = found.indices == rows
    is_self[~is_self.any(axis=1), -1] = True
    shape = (found.num_queries, found.k - 1)
    return Neighbors(
        found.indices[~is_self].reshape(shape), found.similarities[~is_self].reshape(shape)
    )


def _open_work(work: Path, facts: dict[str, Any]) -> None:
    card = work / _CARD_NAME
    if card.is_file():
        try:
            if read_json(card) == facts:
                return
        except CairnError:
            pass  # half a card is no card
        say("an earlier call was of other contents or settings; its nearest images are dropped")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    write_json(card, facts)


def _saved(path: Path, shape: tuple[int, int]) -> Neighbors | None:
    """Return a finished block, or None where there is none that can be used."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            indices: Int64 = saved["indices"]
            similarities: Float32 = saved["similarities"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        say(f"{path.name} cannot be read and is made again")
        return None
    if indices.shape != shape or indices.dtype != np.int64 or similarities.dtype != np.float32:
        return None
    return Neighbors(indices, similarities)


def _placed(vectors: Float32, device: str) -> Any:
    """Return the vectors where they are searched: as they are, or as a tensor on a GPU."""
    place = pick_device(device)
    if place.type == "cuda" and device == "auto":
        free, _ = torch.cuda.mem_get_info(place)
        if free < 2 * vectors.nbytes:
            return vectors
    return vectors if place.type == "cpu" else torch.from_numpy(vectors).to(place)
