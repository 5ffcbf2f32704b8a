"""Choices that depend on names and a seed alone: never on the order of rows or on other names.

Legend of shapes: N names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn import columns
from cairn.domain import Int64
from cairn.manifest import Manifest


def draws(names: Sequence[str], seed: int, purpose: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return (N,) numbers in [0, 1), each drawn by its name, the seed and what it is for.

    The first 53 bits of BLAKE2b with the seed as key. A set that grows keeps the numbers that it
    had, so what is chosen by comparing them with a fixed share stays chosen.
    """
    begun = hashlib.blake2b(digest_size=8, key=str(seed).encode(), person=purpose.encode())
    digests = []
    for name in names:
        one = begun.copy()
        one.update(name.encode())
        digests.append(one.digest())
    whole = np.frombuffer(b"".join(digests), "<u8")
    return (whole >> np.uint64(11)).astype(np.float64) * 2.0**-53


def ranks(manifest: Manifest) -> Int64:
    """Return (N,) the place of each image when sorted by its id."""
    order = pc.sort_indices(manifest.table["image_id"]).to_numpy()
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return place


def coded(texts: Any) -> tuple[Int64, list[str]]:
    """Return (N,) numbers of the texts, and the different texts in order; null and "" are -1."""
    column = texts if isinstance(texts, pa.ChunkedArray) else pa.chunked_array([texts])
    some = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    codes, names = columns.coded(some)
    order = pc.sort_indices(names).to_numpy()
    place = np.full(len(order) + 1, -1, np.int64)  # the last stands for none
    place[order] = np.arange(len(order))
    return place[codes], names.take(pa.array(order)).to_pylist()
