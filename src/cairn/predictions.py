"""predictions.parquet: every answer with its evidence, its chance and verdict, and what was true.

`cairn recognize -o FILE.parquet` writes it without truths, an evaluation folder with them. Folders
of earlier versions lack columns, which read as unknown. Knows nothing of scores or pages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cairn.domain import Evidence, Landmark, Prediction
from cairn.errors import CairnError
from cairn.runs import atomic_write
from cairn.submission import read_submission, write_submission

SUFFIXES = (".parquet", ".pq")
"""Names of tables of predictions end so; others are submissions."""

_EVIDENCE = pa.struct(
    [
        ("image_id", pa.string()),
        ("landmark_id", pa.string()),
        ("path", pa.string()),
        ("similarity", pa.float64()),
        ("penalty", pa.float64()),
        ("author", pa.string()),
        ("license", pa.string()),
        ("source_url", pa.string()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
    ]
)
SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),
        ("landmark_id", pa.string()),
        ("landmark_name", pa.string()),
        ("category", pa.string()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("landmark_url", pa.string()),
        ("confidence", pa.float64()),
        ("probability", pa.float64()),
        ("is_known", pa.bool_()),
        ("truth", pa.list_(pa.string())),
        ("truth_images", pa.list_(pa.int64())),
        ("is_right", pa.bool_()),
        ("landmark_id_before", pa.string()),
        ("confidence_before", pa.float64()),
        ("evidence", pa.list_(_EVIDENCE)),
    ]
)
"""Columns of predictions.parquet; a blank has a null landmark and confidence, and a query that is
no landmark an empty truth and a null ``is_right``. What is not known is null."""

_ROOT_KEY = b"cairn.photo_root"
_NEEDED = ("image_id", "landmark_id", "confidence")


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """A predictions.parquet that was read.

    Args:
        table: The columns of :data:`SCHEMA`.
        where: The file.
    """

    table: pa.Table
    where: Path

    @classmethod
    def read(cls, path: Path) -> PredictionTable:
        """Return the predictions in a file.

        Raises:
            CairnError: It is missing, no Parquet file, lacks a column, or has an image twice.
        """
        try:
            table = pq.read_table(path)
        except FileNotFoundError:
            raise CairnError("file not found", where=path) from None
        except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
            raise CairnError(f"not a Parquet file: {error}", where=path) from None
        missing = [name for name in _NEEDED if name not in table.column_names]
        if missing:
            raise CairnError(
                f"a table of predictions has the column {missing[0]}",
                where=path,
                todo="give a predictions.parquet of `cairn evaluate`, or of `cairn recognize -o`",
            )
        count, columns = len(table), []
        for one in SCHEMA:
            given = table[one.name] if one.name in table.column_names else pa.nulls(count, one.type)
            try:
                columns.append(given.cast(one.type))
            except pa.ArrowException:
                raise CairnError(
                    f"column {one.name} holds {given.type}, where {one.type} belongs", where=path
                ) from None
        whole = pa.table(columns, schema=SCHEMA.with_metadata(table.schema.metadata))
        made = cls(whole, path)
        if len(set(made.image_ids)) < count:
            raise CairnError("an image is predicted twice", where=path)
        return made

    @cached_property
    def image_ids(self) -> list[str]:
        """The queries, in the order of the file."""
        ids: list[str] = self.table["image_id"].to_pylist()
        return ids

    @property
    def has_truth(self) -> bool:
        """Whether the file says what was true."""
        return bool(self.table["truth"].null_count == 0 and len(self.table))

    @cached_property
    def truth(self) -> dict[str, frozenset[str]]:
        """Query id -> its landmarks; empty where the file does not say."""
        if not self.has_truth:
            return {}
        return dict(
            zip(self.image_ids, map(frozenset, self.table["truth"].to_pylist()), strict=True)
        )

    @cached_property
    def gallery_counts(self) -> dict[str, int] | None:
        """Landmark id -> gallery photographs, of the queries' landmarks; None where not known."""
        if self.table["truth_images"].null_count == len(self.table) or not self.has_truth:
            return None
        found: dict[str, int] = {}
        columns = (self.table[name].to_pylist() for name in ("truth", "truth_images"))
        for landmarks, counts in zip(*columns, strict=True):
            found.update(zip(landmarks, counts or (), strict=False))
        return found

    @property
    def photo_root(self) -> Path | None:
        """What relative paths are relative to."""
        text = (self.table.schema.metadata or {}).get(_ROOT_KEY)
        return None if not text else Path(text.decode("utf-8"))

    @cached_property
    def paths(self) -> dict[str, str]:
        """Query id -> its photograph, where that is known."""
        pairs = zip(self.image_ids, self.table["path"].to_pylist(), strict=True)
        return {image_id: path for image_id, path in pairs if path}

    @cached_property
    def names(self) -> dict[str, str]:
        """Landmark id -> its name, of the landmarks answered that have one."""
        columns = (self.table[name].to_pylist() for name in ("landmark_id", "landmark_name"))
        return {landmark: name for landmark, name in zip(*columns, strict=True) if name}

    def light_predictions(self) -> list[Prediction]:
        """Return all predictions without evidence and without what is known of their landmarks."""
        names = ("landmark_id", "confidence", "probability", "is_known")
        columns = (self.table[name].to_pylist() for name in names)
        return [
            Prediction(image_id, landmark, score or 0.0, probability=chance, is_known=known)
            for image_id, landmark, score, chance, known in zip(
                self.image_ids, *columns, strict=True
            )
        ]

    def predictions(self, rows: Sequence[int] | None = None) -> list[Prediction]:
        """Return predictions with evidence, all of them or those of some rows."""
        table = self.table if rows is None else self.table.take(pa.array(rows, pa.int64()))
        return [_prediction(row) for row in table.to_pylist()]


def predictions_table(
    predictions: Sequence[Prediction],
    *,
    truth: Mapping[str, Collection[str]] | None = None,
    before: Mapping[str, Prediction] | None = None,
    query_paths: Mapping[str, str | Path] | None = None,
    photo_root: Path | None = None,
    gallery_counts: Mapping[str, int] | None = None,
    landmarks: Mapping[str, Landmark] | None = None,
    names: Mapping[str, str] | None = None,
) -> pa.Table:
    """Return predictions as a table, a row each, in order.

    Args:
        predictions: What was said.
        truth: Query id -> landmark ids; None where it is not known.
        before: Query id -> what was said before a change.
        query_paths: Query id -> its photograph.
        photo_root: What relative paths are relative to.
        gallery_counts: Landmark id -> gallery photographs.
        landmarks: Landmark id -> what is known of it, where predictions do not bring it along.
        names: Landmark id -> a name for people, before the landmark's own.
    """
    known, names, paths, earlier = landmarks or {}, names or {}, query_paths or {}, before or {}
    blank = Landmark("")
    about = [one.landmark or known.get(one.landmark_id or "") or blank for one in predictions]
    shown = None if truth is None else [sorted(truth.get(one.image_id, ())) for one in predictions]
    old = [earlier.get(one.image_id) for one in predictions]
    count = len(predictions)
    columns: dict[str, Any] = {
        "image_id": [one.image_id for one in predictions],
        "path": [
            str(paths[one.image_id]) if one.image_id in paths else None for one in predictions
        ],
        "landmark_id": [one.landmark_id for one in predictions],
        "landmark_name": [
            names.get(one.landmark_id or "") or landmark.name or None
            for one, landmark in zip(predictions, about, strict=True)
        ],
        "category": [one.category or None for one in about],
        "latitude": [one.latitude for one in about],
        "longitude": [one.longitude for one in about],
        "landmark_url": [one.url or None for one in about],
        "confidence": [
            None if one.landmark_id is None else float(one.confidence) for one in predictions
        ],
        "probability": [one.probability for one in predictions],
        "is_known": [one.is_known for one in predictions],
        "truth": [None] * count if shown is None else shown,
        "truth_images": [None] * count
        if shown is None or gallery_counts is None
        else [[gallery_counts.get(one, 0) for one in ids] for ids in shown],
        "is_right": [None] * count
        if shown is None
        else [
            one.landmark_id in ids if ids else None
            for one, ids in zip(predictions, shown, strict=True)
        ],
        "landmark_id_before": [one.landmark_id if one else None for one in old],
        "confidence_before": [
            float(one.confidence) if one and one.landmark_id else None for one in old
        ],
    }
    arrays = [pa.array(columns[one.name], one.type) for one in SCHEMA if one.name in columns]
    arrays.append(_evidence(predictions))
    metadata = {} if photo_root is None else {_ROOT_KEY: str(photo_root.absolute())}
    return pa.table(arrays, schema=SCHEMA.with_metadata(metadata))


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write answers with their evidence, chances and verdicts, whole or not at all."""
    with atomic_write(path) as temporary:
        pq.write_table(predictions_table(list(predictions)), temporary)


def read_answers(path: Path) -> list[Prediction]:
    """Return the answers in a submission, or with all they carry in a table of predictions.

    Raises:
        CairnError: As :func:`cairn.submission.read_submission` or :meth:`PredictionTable.read`.
    """
    if path.suffix.lower() in SUFFIXES:
        return PredictionTable.read(path).predictions()
    return [
        Prediction(image_id, *(answer or (None, 0.0)))
        for image_id, answer in read_submission(path).items()
    ]


def write_answers(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write a submission, or with all they carry a table where the name ends in ``.parquet``."""
    writes = write_predictions if path.suffix.lower() in SUFFIXES else write_submission
    writes(path, predictions)


def _evidence(predictions: Sequence[Prediction]) -> pa.Array:
    """Return the evidence of every prediction, made column by column: there may be a million."""
    flat = [image for one in predictions for image in one.evidence]
    offsets = np.cumsum([0, *(len(one.evidence) for one in predictions)])
    columns = []
    for one in _EVIDENCE:
        values = [getattr(image, one.name) for image in flat]
        if one.name in ("author", "license", "source_url"):
            values = [value or None for value in values]
        columns.append(pa.array(values, one.type))
    structs = pa.StructArray.from_arrays(columns, fields=list(_EVIDENCE))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), structs)


def _prediction(row: Mapping[str, Any]) -> Prediction:
    landmark_id = row["landmark_id"]
    landmark = None
    if landmark_id is not None:
        landmark = Landmark(
            landmark_id,
            row["landmark_name"] or "",
            row["category"] or "",
            "",
            row["latitude"],
            row["longitude"],
            row["landmark_url"] or "",
        )
    texts = ("author", "license", "source_url")
    evidence = tuple(
        Evidence(**{**image, **{name: image[name] or "" for name in texts}})
        for image in row["evidence"] or ()
    )
    return Prediction(
        row["image_id"],
        landmark_id,
        row["confidence"] or 0.0,
        evidence,
        landmark,
        row["probability"],
        row["is_known"],
    )
