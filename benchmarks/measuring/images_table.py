"""A made-up table of images in GLDv2's shape, of any number of rows, made by whole columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
_LICENSES = (
    "https://creativecommons.org/licenses/by-sa/3.0/",
    "https://creativecommons.org/licenses/by/2.0/",
    "https://creativecommons.org/licenses/by-sa/4.0/",
    "Public Domain",
)
_PAGE = "https://commons.wikimedia.org/wiki/File:Photograph_of_a_landmark_"
_SHARES = {"train": 0.9, "query": 0.03, "nonlandmark": 0.07}
_FOREIGN = {"image_id": "id", "path": "image_path", "landmark_id": "label", "role": "split"}


def made(num_rows: int, num_landmarks: int, *, seed: int) -> pa.Table:
    """Return the columns of a manifest; every landmark is shown, few of them often."""
    rng = np.random.default_rng(seed)
    digits = _HEX[rng.integers(0, 16, (num_rows, 16), np.uint8)]
    digits[:, 8:] = _HEX[
        (np.arange(num_rows)[:, None] >> np.arange(28, -1, -4)) & 15
    ]  # no id twice
    slash, ending = np.full(num_rows, ord("/"), np.uint8), _letters(b".jpg", num_rows)
    folders = [part for place in range(3) for part in (digits[:, place], slash)]
    path = np.column_stack([*folders, digits, ending])
    roles = rng.choice(np.arange(3), num_rows, p=list(_SHARES.values()))
    shares = 1 / np.arange(1, num_landmarks + 1) ** 0.7
    landmarks = rng.choice(num_landmarks, num_rows, p=shares / shares.sum())
    landmarks[:num_landmarks] = rng.permutation(num_landmarks)
    none = roles == 2
    names = [f"{landmark}" for landmark in range(num_landmarks)]
    people = [f"Photographer {one}" for one in range(max(1, num_rows // 40))]
    center = np.stack([rng.uniform(-60, 60, num_landmarks), rng.uniform(-180, 179, num_landmarks)])
    place = center[:, landmarks] + rng.normal(0, 1e-4, (2, num_rows))
    return pa.table(
        {
            "image_id": _texts(digits),
            "path": _texts(path),
            "landmark_id": _picked(names, landmarks, none).fill_null(""),
            "role": _picked(list(_SHARES), roles),
            "label_space": pa.repeat("gldv2", num_rows),
            "landmark_name": _picked([f"Landmark no. {one}" for one in names], landmarks, none),
            "category": _picked([f"category {one}" for one in range(100)], landmarks % 100, none),
            "author": _picked(people, rng.integers(0, len(people), num_rows)),
            "license": _picked(_LICENSES, rng.integers(0, len(_LICENSES), num_rows)),
            "source_url": _texts(np.column_stack([_letters(_PAGE.encode(), num_rows), digits])),
            "latitude": pa.array(place[0], mask=none),
            "longitude": pa.array(place[1], mask=none),
        }
    )


def foreign(table: pa.Table) -> pa.Table:
    """Return the table with the names that other people give its columns."""
    return table.drop_columns("label_space").rename_columns(
        [_FOREIGN.get(name, name) for name in table.column_names if name != "label_space"]
    )


def _letters(text: bytes, num_rows: int) -> NDArray[np.uint8]:
    return np.broadcast_to(np.frombuffer(text, np.uint8), (num_rows, len(text)))


def _texts(letters: NDArray[np.uint8]) -> Any:
    """Return the rows of a matrix of bytes as strings."""
    rows, width = letters.shape
    offsets = np.arange(rows + 1, dtype=np.int64) * width
    flat = np.ascontiguousarray(letters)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(flat)]
    return pa.Array.from_buffers(pa.large_string(), rows, buffers).cast(pa.string())


def _picked(
    texts: Sequence[str], at: NDArray[Any], none: NDArray[np.bool_] | None = None
) -> pa.Array:
    return pa.array(texts, pa.string()).take(pa.array(at, mask=none))
