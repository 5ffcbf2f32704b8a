"""Writes the folder of a comparison whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cairn.pages import Thumbnails
from cairn.pages.drawing import drawing
from cairn.report import plots
from cairn.report.comparison import Comparison
from cairn.report.comparison_page import ComparisonPage, tables_of
from cairn.report.drawings import Plot
from cairn.report.tables import latex_of, markdown_of
from cairn.runs import atomic_folder, write_json

TITLE = "Landmark recognition, compared"


def write_comparison(
    folder: Path,
    comparison: Comparison,
    *,
    title: str = TITLE,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Return the path of comparison.html after writing the folder.

    Args:
        folder: Where to; must be absent or empty.
        comparison: Of :func:`cairn.report.comparison.compare`.
        title: Heading of the page.
        provenance: What made it; goes into comparison.json.

    Raises:
        CairnError: The folder holds something.
    """
    with atomic_folder(folder) as made, drawing():
        drawn = _plots(comparison)
        page = ComparisonPage(
            title,
            comparison,
            drawn,
            Thumbnails(),
            {
                f"Run {name}": str(run.where)
                for name, run in zip(comparison.names, comparison.runs, strict=True)
            },
        )
        value = comparison.to_json()
        if provenance is not None:
            value["provenance"] = dict(provenance)
        write_json(made / "comparison.json", value)
        (made / "comparison.html").write_text(page.html(), encoding="utf-8")
        tables = tables_of(comparison)
        (made / "tables.md").write_text(markdown_of(tables), encoding="utf-8")
        (made / "tables.tex").write_text(latex_of(tables), encoding="utf-8")
        for plot in drawn.values():
            plot.save(made / "plots")
        _write_changes(made / "changes.csv", comparison)
    return folder / "comparison.html"


def _plots(found: Comparison) -> dict[str, Plot]:
    rankings = dict(zip(found.names, found.measured.rankings, strict=True))
    drawn = [
        Plot(
            "precision",
            "Precision down the ranking",
            "All answers sorted by confidence: the share that is right among the first i. GAP "
            "averages it over the right ones.",
            plots.precision_curves(rankings),
        )
    ]
    if found.measured.reports[0].by_size:
        sizes = {
            name: report.by_size
            for name, report in zip(found.names, found.measured.reports, strict=True)
        }
        drawn.append(
            Plot(
                "sizes",
                "Accuracy by size of landmark",
                "Lines are each run’s own 95% intervals; paired differences, in the table below, "
                "are known much better."
                if found.num_resamples
                else "Top-1 accuracy, landmarks with few photographs on the left.",
                plots.scores_by_size(sizes),
            )
        )
    return {plot.key: plot for plot in drawn}


def _write_changes(path: Path, found: Comparison) -> None:
    """Write every query that some run gets right and another wrong."""
    first = found.runs[0]
    by_run = [{one.image_id: one for one in run.predictions} for run in found.runs]
    changed = sorted({one for some in found.against for one in (*some.gained, *some.lost)})
    heads = ["image_id", "truth"]
    for number in range(1, len(found.runs) + 1):
        heads += [f"landmark_id_{number}", f"confidence_{number}", f"is_right_{number}"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heads)
        for image_id in changed:
            row: list[Any] = [image_id, " ".join(sorted(first.truth[image_id]))]
            for answers in by_run:
                one = answers[image_id]
                right = int(one.landmark_id in first.truth[image_id])
                row += ["" if one.landmark_id is None else one.landmark_id]
                row += ["" if one.landmark_id is None else repr(one.confidence), right]
            writer.writerow(row)
