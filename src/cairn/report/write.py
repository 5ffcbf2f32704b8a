"""Writes the evaluation folder whole or not at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cairn import metrics
from cairn.domain import Credit, Landmark, Prediction
from cairn.pages import Thumbnails
from cairn.report.cases import PickedImage, choose
from cairn.report.page import Page
from cairn.report.photographs import Photographs
from cairn.runs import atomic_folder, write_json
from cairn.scores import Report
from cairn.submission import by_image, write_submission

TITLE = "Landmark recognition report"
PICKED_SHOWN = 16
CASES_SHOWN = 8

_EVIDENCE = pa.list_(
    pa.struct(
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
)
PREDICTIONS_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("landmark_id", pa.string()),
        ("landmark_name", pa.string()),
        ("category", pa.string()),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("landmark_url", pa.string()),
        ("confidence", pa.float64()),
        ("truth", pa.list_(pa.string())),
        ("is_right", pa.bool_()),
        ("landmark_id_before", pa.string()),
        ("confidence_before", pa.float64()),
        ("evidence", _EVIDENCE),
    ]
)
"""Columns of predictions.parquet; a blank has a null landmark and confidence, and a query that is
no landmark an empty truth and a null ``is_right``. What is not known of a landmark is null."""


def write_report(
    folder: Path,
    *,
    report: Report,
    predictions: Sequence[Prediction],
    truth: Mapping[str, Collection[str]],
    before: Sequence[Prediction] | None = None,
    query_paths: Mapping[str, str | Path] | None = None,
    photo_root: Path | None = None,
    gallery_counts: Mapping[str, int] | None = None,
    gallery_examples: Mapping[str, str | Path] | None = None,
    picked: Sequence[PickedImage] = (),
    landmark_names: Mapping[str, str] | None = None,
    landmarks: Mapping[str, Landmark] | None = None,
    credits: Mapping[str, Credit] | None = None,
    title: str = TITLE,
    subtitle: str = "",
    facts: Mapping[str, str] | None = None,
    warning: str = "",
    verification: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Return the path of report.html after writing the evaluation folder.

    Args:
        folder: Where to; must be absent or empty.
        report: The scores, of :func:`cairn.evaluate.evaluate` on the same predictions and truth.
        predictions: What was said of the queries, with evidence where photographs should be shown.
        truth: Query id -> landmark ids; empty for a non-landmark.
        before: The predictions compared with (without the penalty, say).
        query_paths: Query id -> its photograph.
        photo_root: What relative paths (of queries, evidence, picks) are relative to.
        gallery_counts: Landmark id -> gallery photographs.
        gallery_examples: Landmark id -> one gallery photograph, shown where it was missed.
        picked: Rows of the penalty table, in any order; the most picked are shown.
        landmark_names: Landmark id -> a name for people.
        landmarks: Landmark id -> what is known of it, where predictions do not bring it along.
        credits: Path -> whose the photograph is, of queries and gallery examples.
        title: Heading of the page.
        subtitle: A sentence under the heading.
        facts: Terms and values for the end of the page: model, gallery, data.
        warning: What must be read before any number, such as that queries leak; "" for nothing.
        verification: What the check for leaks found; goes into report.json.
        provenance: What made the result; goes into report.json (see :func:`cairn.runs.provenance`).

    Raises:
        CairnError: The folder holds something, or predictions do not fit the truth.
    """
    known = dict(landmarks or {})
    known |= {one.landmark.landmark_id: one.landmark for one in predictions if one.landmark}
    names = {one: landmark.name for one, landmark in known.items() if landmark.name}
    answers = by_image(predictions)
    after = metrics.rank(answers, truth)
    earlier = None if before is None else metrics.rank(by_image(before), truth)
    counts = dict(gallery_counts or {})
    most = sorted(picked, key=lambda one: (-one.num_picked, -one.penalty, one.image_id))
    cases = choose(predictions, truth, before=before or (), counts=counts, limit=CASES_SHOWN)
    page = Page(
        title=title,
        subtitle=subtitle,
        warning=warning,
        report=report,
        after=after,
        before=earlier,
        cases=cases,
        photographs=Photographs(
            Thumbnails(photo_root),
            query_paths=query_paths or {},
            names={**names, **(landmark_names or {})},
            counts=counts,
            examples=gallery_examples or {},
            landmarks=known,
            credits=credits or {},
        ),
        picked=[one for one in most if one.num_picked][:PICKED_SHOWN],
        facts=facts or {},
    )
    with atomic_folder(folder) as made:
        value = report.to_json()
        if verification is not None:
            value["verification"] = dict(verification)
        if provenance is not None:
            value["provenance"] = dict(provenance)
        write_json(made / "report.json", value)
        (made / "report.html").write_text(page.html(), encoding="utf-8")
        write_submission(made / "submission.csv", predictions)
        earlier_by_id = {one.image_id: one for one in before or ()}
        table = _table(predictions, truth, earlier_by_id, known, landmark_names or {})
        pq.write_table(table, made / "predictions.parquet")
    return folder / "report.html"


def _table(
    predictions: Sequence[Prediction],
    truth: Mapping[str, Collection[str]],
    before: Mapping[str, Prediction],
    landmarks: Mapping[str, Landmark],
    names: Mapping[str, str],
) -> pa.Table:
    rows = []
    for one in predictions:
        landmark = landmarks.get(one.landmark_id or "") or Landmark("")
        shown = truth.get(one.image_id, ())
        old = before.get(one.image_id)
        rows.append(
            {
                "image_id": one.image_id,
                "landmark_id": one.landmark_id,
                "landmark_name": names.get(one.landmark_id or "") or landmark.name or None,
                "category": landmark.category or None,
                "latitude": landmark.latitude,
                "longitude": landmark.longitude,
                "landmark_url": landmark.url or None,
                "confidence": None if one.landmark_id is None else float(one.confidence),
                "truth": sorted(shown),
                "is_right": one.landmark_id in shown if shown else None,
                "landmark_id_before": old.landmark_id if old else None,
                "confidence_before": float(old.confidence) if old and old.landmark_id else None,
                "evidence": [
                    {
                        "image_id": image.image_id,
                        "landmark_id": image.landmark_id,
                        "path": image.path,
                        "similarity": float(image.similarity),
                        "penalty": float(image.penalty),
                        "author": image.author or None,
                        "license": image.license or None,
                        "source_url": image.source_url or None,
                        "latitude": image.latitude,
                        "longitude": image.longitude,
                    }
                    for image in one.evidence
                ],
            }
        )
    return pa.Table.from_pylist(rows, schema=PREDICTIONS_SCHEMA)
