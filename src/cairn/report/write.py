"""Writes the evaluation folder whole or not at all: numbers, page, tables and plots."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from cairn import metrics
from cairn.domain import Credit, Landmark, Prediction
from cairn.pages import Thumbnails
from cairn.pages.drawing import drawing
from cairn.predictions import predictions_table
from cairn.report.analysis import analyse
from cairn.report.cases import PickedImage, choose
from cairn.report.confusions import Confusion
from cairn.report.drawings import draw
from cairn.report.page import PAIRS_SHOWN, Page
from cairn.report.paper import all_tables
from cairn.report.photographs import Photographs
from cairn.report.tables import latex_of, markdown_of
from cairn.runs import atomic_folder, write_json
from cairn.scores import Report
from cairn.submission import by_image, write_submission

TITLE = "Landmark recognition report"
PICKED_SHOWN = 16
CASES_SHOWN = 8
PAIRS_IN_TABLE = 20


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
        landmarks: Landmark id -> what is known of it, of all landmarks: scores by category need
            those that were never answered too. What predictions bring along comes before it.
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
    analysis = analyse(predictions, truth, after, counts=counts, landmarks=landmarks)
    paths = query_paths or {}
    photographs = Photographs(
        Thumbnails(photo_root),
        query_paths=paths,
        names={**names, **(landmark_names or {})},
        counts=counts,
        examples=gallery_examples or {},
        landmarks=known,
        stand_ins=_stand_ins(predictions, truth, paths, analysis.pairs[:PAIRS_SHOWN]),
        credits=credits or {},
    )
    tables = all_tables(report, analysis, photographs.name, num_pairs=PAIRS_IN_TABLE)
    with atomic_folder(folder) as made, drawing():
        plots = draw(report, analysis, after, earlier, counts)
        page = Page(
            title=title,
            subtitle=subtitle,
            warning=warning,
            report=report,
            analysis=analysis,
            after=after,
            plots=plots,
            cases=choose(predictions, truth, before=before or (), counts=counts, limit=CASES_SHOWN),
            photographs=photographs,
            picked=[one for one in most if one.num_picked][:PICKED_SHOWN],
            facts=facts or {},
        )
        value = {**report.to_json(), **analysis.to_json()}
        if verification is not None:
            value["verification"] = dict(verification)
        if provenance is not None:
            value["provenance"] = dict(provenance)
        write_json(made / "report.json", value)
        (made / "report.html").write_text(page.html(), encoding="utf-8")
        write_submission(made / "submission.csv", predictions)
        (made / "tables.md").write_text(markdown_of(tables), encoding="utf-8")
        (made / "tables.tex").write_text(latex_of(tables), encoding="utf-8")
        for plot in plots.values():
            plot.save(made / "plots")
        table = predictions_table(
            predictions,
            truth=truth,
            before={one.image_id: one for one in before or ()},
            query_paths=paths,
            photo_root=photo_root,
            gallery_counts=gallery_counts,
            landmarks=known,
            names=landmark_names,
        )
        pq.write_table(table, made / "predictions.parquet")
    return folder / "report.html"


def _stand_ins(
    predictions: Sequence[Prediction],
    truth: Mapping[str, Collection[str]],
    paths: Mapping[str, str | Path],
    pairs: Sequence[Confusion],
) -> dict[str, str | Path]:
    """Return a photograph of each confused landmark: evidence of it, or else a query."""
    wanted = {one for pair in pairs for one in pair.landmarks}
    found: dict[str, str | Path] = {}
    for one in predictions:
        for image in one.evidence:
            if image.landmark_id in wanted and image.path:
                found.setdefault(image.landmark_id, image.path)
    for image_id, path in paths.items():
        for landmark_id in wanted & set(truth.get(image_id, ())):
            found.setdefault(landmark_id, path)
    return found
