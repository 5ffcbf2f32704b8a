"""The images of test: which are queries, which may be the bank, and what is true of them.

Test is the query set of the 2019 challenges; nearly all of its images show no landmark. Those are
the non-landmarks that a penalty is made of, and the queries that a score is about: an image is one
or the other, chosen by a hash of its id, so that the choice never changes and a smaller bank is
part of every larger one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from cairn.errors import CairnError
from cairn.sources.gldv2.layout import RECOGNITION_SOLUTION, RETRIEVAL_SOLUTION
from cairn.sources.gldv2.tables import read, words

BANK_SHARE = 0.5
"""The share of the non-landmarks that becomes the bank where the others are queries."""

IGNORED = "Ignored"


@dataclass(frozen=True)
class Truth:
    """What is true of an image of test.

    Args:
        landmarks: It shows these; none for a non-landmark.
        usage: Public, Private or Ignored, as the truth has it.
    """

    landmarks: tuple[str, ...]
    usage: str


def bank_share(share: float | None, *, with_queries: bool) -> float:
    """Return the share of non-landmarks for the bank, checked.

    Args:
        share: What somebody asked for; None for all, or `BANK_SHARE` beside queries.
        with_queries: The other images of test are queries of the same manifest.

    Raises:
        CairnError: The share is outside of (0, 1], or takes every non-landmark from the queries.
    """
    if share is None:
        return BANK_SHARE if with_queries else 1.0
    if not 0.0 < share <= 1.0:
        raise CairnError("the share for the bank lies in (0, 1]", where=f"--bank {share}")
    if with_queries and share == 1.0:
        raise CairnError(
            "all non-landmarks would be both the bank and the queries that the score is about",
            where=f"--bank {share:g}",
            todo="take a smaller share, or make a manifest of nonlandmarks without test",
        )
    return share


def in_bank(image_id: str, share: float) -> bool:
    """Return whether an image without landmark belongs to a bank of this share."""
    digest = hashlib.blake2b(image_id.encode(), digest_size=8, person=b"cairn-bank").digest()
    return int.from_bytes(digest, "big") < share * 2.0**64


def recognition_truth(folder: Path) -> dict[str, Truth]:
    """Return the truth of recognition by image id: landmarks of train.

    Raises:
        CairnError: The file is missing or not what it should be.
    """
    path = folder / RECOGNITION_SOLUTION
    table = read(path, ("id", "landmarks"), ("Usage",))
    return _truth(table, table["landmarks"].to_pylist(), path)


def retrieval_truth(folder: Path, index: pa.Table) -> dict[str, Truth]:
    """Return the truth of retrieval by image id, in landmarks of index.

    The file names the images of index that show the same; theirs are the query's landmarks. Queries
    that retrieval ignores name none.

    Args:
        folder: The data set's.
        index: ``id`` and ``landmark_id`` of the images of index.

    Raises:
        CairnError: The file is missing, not what it should be, or names an image index lacks.
    """
    path = folder / RETRIEVAL_SOLUTION
    table = read(path, ("id", "images"), ("Usage",))
    images, rows = words(table["images"])
    asked = {image for image in images.to_pylist() if image != "None"}
    pairs = zip(index["id"].to_pylist(), index["landmark_id"].to_pylist(), strict=True)
    landmark_of = {image: landmark for image, landmark in pairs if image in asked}
    unknown = asked - landmark_of.keys()
    if unknown:
        what = f"{len(unknown)} images are not among those of index, such as {min(unknown)!r}"
        raise CairnError(what, where=path)
    shown: list[dict[str, None]] = [{} for _ in range(table.num_rows)]
    for image, row in zip(images.to_pylist(), rows.to_pylist(), strict=True):
        if image != "None":
            shown[row][landmark_of[image]] = None
    return _truth(table, [" ".join(found) for found in shown], path)


def _truth(table: pa.Table, landmarks: list[str | None], path: Path) -> dict[str, Truth]:
    usages = table["Usage"].to_pylist() if "Usage" in table.column_names else [""] * len(landmarks)
    found: dict[str, Truth] = {}
    for image, shown, usage in zip(table["id"].to_pylist(), landmarks, usages, strict=True):
        if image in found:
            raise CairnError(f"the id {image!r} stands twice", where=path)
        found[image] = Truth(tuple((shown or "").split()), usage or "")
    return found
