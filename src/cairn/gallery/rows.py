"""The rows of a gallery as Arrow columns, and the key of what they hold.

A row's checksum is 64 bits of its id and its vector's bytes. The content key is a digest of all
checksums, in no order, and of the model: equal keys mean the same vectors under the same ids, so a
penalty or an index made for one fits every version with that key.

Legend of shapes: N rows, D embedding dimensions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cairn.columns import coded
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.labels import CREDIT_TEXTS, PLACE, Labels
from cairn.tables import TABLE_FORMAT, EmbeddingTable, table_facts

GALLERY_FORMAT = 2
MAX_ROWS_PER_FILE = 1 << 18
"""Rows of one data file; a change of landmarks rewrites two small columns of whole files."""

LANDMARK_COLUMNS = {
    "landmark_name": "landmark_name",
    "category": "category",
    "natural_or_human_made": "natural_or_human_made",
    "landmark_url": "landmark_url",
    "landmark_latitude": "latitude",
    "landmark_longitude": "longitude",
}
"""Columns that say the same for all images of a landmark, and their names in ``Labels``."""

IMAGE_COLUMNS = (*CREDIT_TEXTS, *PLACE)
"""Columns that say whose an image is and where it was taken, named as in ``Labels``."""

LABEL_TYPES = {
    name: pa.float64() if name.endswith(PLACE) else pa.string()
    for name in (*LANDMARK_COLUMNS, *IMAGE_COLUMNS)
    if name != "landmark_name"  # which every gallery has
}
"""Columns that galleries made before them lack; null is what is not known."""

_TEXTS = ("image_id", "landmark_id", "landmark_name", "path")


@dataclass(frozen=True)
class PenaltyNote:
    """How a version's penalty is made, so that a changed gallery gets it anew.

    Args:
        bank: Content key of the bank.
        rule: The settings of ``cairn.penalty.penalty_table`` that were given, ``top`` among them.
    """

    bank: str
    rule: Mapping[str, Any]

    def file_name(self, content_key: str) -> str:
        """Return the name of the penalty's file for a gallery of that content."""
        text = json.dumps([self.bank, dict(self.rule)], sort_keys=True)
        return f"penalties/{content_key}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.parquet"

    def attraction_name(self, content_key: str) -> str:
        """Return the name of what the bank and a gallery of that content see in one another."""
        return f"attractions/{content_key}-{self.bank[:8]}.safetensors"


@dataclass(frozen=True)
class Facts:
    """What holds for all rows of a version; kept in the schema's metadata.

    Args:
        fingerprint: The model's.
        dimension: D.
        penalty: How its penalty is made, or None where it has none.
    """

    fingerprint: str
    dimension: int
    penalty: PenaltyNote | None = field(default=None)

    @classmethod
    def of(cls, dataset: Any, where: object) -> Facts:
        """Return the facts of an opened gallery dataset.

        Raises:
            CairnError: It is no gallery, or one of another format.
        """
        fingerprint, dimension = table_facts(dataset, where)
        found = {k.decode(): v.decode() for k, v in (dataset.schema.metadata or {}).items()}
        version = found.get("cairn.gallery")
        if version is None:
            raise CairnError(
                "these are embeddings, not a gallery",
                where=where,
                todo="make one with `cairn gallery build EMBEDDINGS MODEL -o GALLERY`",
            )
        if version != str(GALLERY_FORMAT):
            raise CairnError(
                f"a gallery of format {version}; this Cairn reads {GALLERY_FORMAT}",
                where=where,
                todo="use the Cairn that wrote it",
            )
        note = json.loads(found.get("cairn.penalty") or "null")
        return cls(fingerprint, dimension, note and PenaltyNote(note["bank"], note["rule"]))

    def schema(self) -> pa.Schema:
        """Return the schema of rows of which these facts hold."""
        note = self.penalty
        shown = None if note is None else {"bank": note.bank, "rule": dict(note.rule)}
        metadata = {
            "cairn.format": str(TABLE_FORMAT),
            "cairn.gallery": str(GALLERY_FORMAT),
            "cairn.fingerprint": self.fingerprint,
            "cairn.dimension": str(self.dimension),
            "cairn.penalty": json.dumps(shown),
        }
        fields = [pa.field(name, pa.string(), nullable=False) for name in _TEXTS]
        fields.append(pa.field("checksum", pa.uint64(), nullable=False))
        vector = pa.list_(pa.float32(), self.dimension)
        fields.append(pa.field("vector", vector, nullable=False))
        # Behind the others: Lance numbers columns in order, and older versions have no such ones.
        fields += [pa.field(name, kind) for name, kind in LABEL_TYPES.items()]
        return pa.schema(fields, metadata=metadata)


def arrow_rows(facts: Facts, table: EmbeddingTable, labels: Labels) -> pa.Table:
    """Return an embedding table's rows as a gallery keeps them, with what is known of them."""
    flat = pa.array(np.ascontiguousarray(table.vectors).reshape(-1))
    columns = {
        "image_id": pa.array(table.image_ids, pa.string()),
        "landmark_id": pa.array(table.landmark_ids, pa.string()),
        "path": pa.array(table.paths, pa.string()),
        "checksum": pa.array(checksums(table.image_ids, table.vectors)),
        "vector": pa.FixedSizeListArray.from_arrays(flat, facts.dimension),
    }
    columns |= label_columns(columns["image_id"], columns["landmark_id"], labels)
    columns["landmark_name"] = columns["landmark_name"].fill_null("")
    schema = facts.schema()
    return pa.table([columns[name] for name in schema.names], schema=schema)


def label_columns(image_ids: Any, landmark_ids: Any, labels: Labels) -> dict[str, Any]:
    """Return the columns of labels for N rows with these ids; null is what is not known."""
    found = {}
    of_landmark = pc.index_in(landmark_ids, value_set=labels.landmarks["landmark_id"])
    for name, theirs in LANDMARK_COLUMNS.items():
        found[name] = labels.landmarks[theirs].combine_chunks().take(of_landmark)
    of_image = pc.index_in(image_ids, value_set=labels.images["image_id"])
    for name in IMAGE_COLUMNS:
        found[name] = labels.images[name].combine_chunks().take(of_image)
    return found


def label_names(*, images: bool = True) -> tuple[str, ...]:
    """Return the columns that hold labels and whose they are, those of images where wanted."""
    of_images = ("image_id", *IMAGE_COLUMNS) if images else ()
    return ("landmark_id", *LANDMARK_COLUMNS, *of_images)


def labels_in(rows: pa.Table) -> Labels:
    """Return the labels that rows of a gallery hold; columns that they lack say nothing.

    Args:
        rows: ``landmark_id``, ``landmark_name`` and any of ``LABEL_TYPES``; ``image_id`` where
            what is known of images is wanted.
    """
    for name, kind in LABEL_TYPES.items():
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.nulls(rows.num_rows, kind))
    if "image_id" not in rows.column_names:
        rows = rows.append_column("image_id", pa.nulls(rows.num_rows, pa.string()))
    codes, ids = coded(rows["landmark_id"])
    firsts = np.zeros(len(ids), np.int64)
    firsts[codes[::-1]] = np.arange(len(codes))[::-1]
    one_each = rows.select(list(LANDMARK_COLUMNS)).take(pa.array(firsts))
    columns = dict(zip(LANDMARK_COLUMNS.values(), one_each.columns, strict=True))
    name = columns["landmark_name"]
    columns["landmark_name"] = pc.if_else(pc.equal(name, ""), pa.scalar(None, pa.string()), name)
    images = rows.select(["image_id", *IMAGE_COLUMNS])
    return Labels(pa.table({"landmark_id": ids, **columns}), images)


def checksums(image_ids: Sequence[str], vectors: Float32) -> NDArray[np.uint64]:
    """Return (N,) uint64, one for each id with its vector."""
    found = np.empty(len(image_ids), dtype=np.uint64)
    for row, image_id in enumerate(image_ids):
        digest = hashlib.blake2b(image_id.encode(), digest_size=8)
        digest.update(b"\0" + vectors[row].tobytes())
        found[row] = int.from_bytes(digest.digest(), "little")
    return found


def content_key(fingerprint: str, sums: NDArray[np.uint64]) -> str:
    """Return 32 hex digits for the rows with these checksums, in whatever order."""
    digest = hashlib.sha256(fingerprint.encode())
    digest.update(np.sort(sums).astype("<u8").tobytes())
    return digest.hexdigest()[:32]
