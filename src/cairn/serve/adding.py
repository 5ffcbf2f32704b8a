"""Photographs that clients add: embedded by the model that serves, and committed once each.

An image's id is the digest of its file, so that a photograph which is sent twice is there once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.columns import check_places
from cairn.domain import Float32
from cairn.errors import CairnError, nearest
from cairn.gallery import Entry, add_table
from cairn.gallery.place import Place
from cairn.gallery.versions import Version
from cairn.labels import CREDIT_TEXTS, PLACE, Labels
from cairn.serve.photographs import digest_of
from cairn.serve.problems import Problem
from cairn.serve.snapshot import Snapshot
from cairn.tables import EmbeddingTable

FIELDS = {
    "name": "landmark_name",
    "category": "category",
    "natural_or_human_made": "natural_or_human_made",
    "url": "landmark_url",
    **{name: name for name in (*CREDIT_TEXTS, *PLACE)},
}
"""Fields of a form, and the columns of a manifest that they are."""

_MAX_TEXT = 400
_ID_DIGITS = 32


@dataclass(frozen=True, eq=False)
class NewImage:
    """An embedded photograph.

    Args:
        image_id: Its id to be.
        landmark_id: What it shows.
        path: Where it lies.
        vector: (D,) its embedding.
    """

    image_id: str
    landmark_id: str
    path: str
    vector: Float32


@dataclass(frozen=True)
class Added:
    """What came of adding images.

    Args:
        entry: The line of the log; None where all were there.
        num_added: Images that were not.
    """

    entry: Entry | None
    num_added: int


def require_own_model(snapshot: Snapshot) -> None:
    """Refuse to add by a model that only stands in for the gallery's.

    Raises:
        Problem: It does.
    """
    if snapshot.recognizer.runtime.fingerprint != snapshot.gallery.table.fingerprint:
        raise Problem(
            409,
            "this server embeds queries by an int8 export, whose embeddings no gallery takes in",
            todo="serve without the setting `model`, or with an export in float32",
        )


def image_id_of(content: bytes) -> str:
    """Return the id of a photograph: 32 hex digits of its bytes."""
    return digest_of(content)[:_ID_DIGITS]


def checked_id(landmark_id: str) -> str:
    """Return a new landmark's id.

    Raises:
        Problem: It is empty, long, or has characters that nobody sees.
    """
    if not 0 < len(landmark_id) <= _MAX_TEXT // 2 or not landmark_id.isprintable():
        raise Problem(
            422,
            "a landmark's id has 1 to 200 printable characters",
            where="path.landmark_id",
        )
    if landmark_id != landmark_id.strip():
        raise Problem(
            422, "a landmark's id begins and ends with no space", where="path.landmark_id"
        )
    return landmark_id


def labels_of(fields: Mapping[str, str], landmark_id: str, image_ids: Sequence[str]) -> Labels:
    """Return what a form says of its photographs and their landmark.

    Raises:
        Problem: A field is unknown, too long, or no number where one is needed.
    """
    columns: dict[str, pa.Array] = {
        "image_id": pa.array(image_ids, pa.string()),
        "landmark_id": pa.array([landmark_id] * len(image_ids), pa.string()),
    }
    for name, text in fields.items():
        if name not in FIELDS:
            raise Problem(
                422, f"unknown field {name[:60]!r}", where="body", todo=nearest(name, FIELDS)
            )
        if len(text) > _MAX_TEXT:
            raise Problem(422, f"longer than {_MAX_TEXT} characters", where=f"body.{name}")
        if name in PLACE:
            try:
                value = float(text)
            except ValueError:
                raise Problem(422, "not a number of degrees", where=f"body.{name}") from None
            columns[name] = pa.array([value] * len(image_ids), pa.float64())
        elif text.strip():
            columns[FIELDS[name]] = pa.array([text.strip()] * len(image_ids), pa.string())
    if (PLACE[0] in columns) != (PLACE[1] in columns):
        raise Problem(422, "a place needs latitude and longitude", where="body")
    table = pa.table(columns)
    try:
        check_places(table)
    except CairnError as error:
        raise Problem(422, error.what, where="body.latitude") from None
    return Labels.of(table)


def commit_new(
    place: Place, images: Sequence[NewImage], labels: Labels, *, model: str, origin: str
) -> Added:
    """Add those images that the gallery does not have; called by its one writer.

    Args:
        place: The gallery.
        images: Embedded photographs with different ids.
        labels: What is known of them.
        model: Fingerprint of the model that embedded them.
        origin: For the log.

    Raises:
        Problem: One is there as another landmark.
        CairnError: As ``cairn.gallery.add_table``.
    """
    there = _landmarks_of(Version.open(place), [one.image_id for one in images])
    for one in images:
        known = there.get(one.image_id, one.landmark_id)
        if known != one.landmark_id:
            raise Problem(
                409,
                f"this photograph is in the gallery as one of {known!r}",
                where=one.image_id,
                todo="DELETE /v1/images/{id} first, or merge the landmarks",
            )
    new = [one for one in images if one.image_id not in there]
    if not new:
        return Added(None, 0)
    table = EmbeddingTable(
        [one.image_id for one in new],
        [one.landmark_id for one in new],
        [one.path for one in new],
        np.stack([one.vector for one in new]),
        model,
    )
    return Added(add_table(place.location, table, labels, origin=origin), len(new))


def _landmarks_of(version: Version, image_ids: Sequence[str]) -> dict[str, str]:
    """Return the landmarks of those images that a version has."""
    rows = version.dataset.to_table(columns=["image_id", "landmark_id"])
    found = rows.filter(pc.is_in(rows["image_id"], value_set=pa.array(image_ids, pa.string())))
    return dict(zip(*(found[name].to_pylist() for name in found.column_names), strict=True))
