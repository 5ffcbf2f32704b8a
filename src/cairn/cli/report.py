"""``cairn report``: two or more runs on the same queries, compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cairn.cli.output import Json, emit

if TYPE_CHECKING:
    from cairn.report.comparison import Comparison
    from cairn.submission import Solution


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Two or more: folders of `cairn evaluate -o`, or submissions; the first is what "
            "the others are compared with."
        ),
    ],
    solution: Annotated[
        Path | None,
        typer.Option(help="What is true, for submissions: CSV id,landmarks, or a manifest."),
    ] = None,
    usage: Annotated[
        str, typer.Option(help="Rows of a solution that count: all, public or private.")
    ] = "all",
    resamples: Annotated[
        int | None,
        typer.Option(help="Bootstrap resamples; 1,000 or more by default, 0 for no tests.", min=0),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Heading of the page.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write page, tables and plots here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare runs: scores, paired differences and their significance, and what changed."""
    from cairn.cli.solutions import read_truth
    from cairn.errors import CairnError
    from cairn.report.comparison import compare
    from cairn.report.evaluated import names_of, read_run
    from cairn.runs import provenance, require_absent

    if out is not None:
        require_absent(out)
    if len(runs) < 2:
        raise CairnError(
            "a comparison needs two runs or more",
            where=runs[0],
            todo=f"add another: cairn report {runs[0]} OTHER -o comparison",
        )
    if usage != "all" and solution is None:
        raise CairnError("only a solution has a Usage to select", where="--usage")
    names = names_of(runs)
    truth: Solution | None = None
    known: dict[str, Any] = {}
    if solution is not None:
        truth, manifest = read_truth(solution, usage=usage)
        if manifest is not None:
            from collections import Counter

            from cairn.labels import Labels

            queries, gallery = manifest.select("query"), manifest.gallery(required=False)
            known = {
                "counts": Counter(gallery.landmark_ids) if len(gallery) else None,
                "paths": dict(zip(queries.image_ids, queries.paths, strict=True)),
                "names": Labels.of(manifest.table).names,
            }
    read = [read_run(path, truth, **known) for path in runs]
    found = compare(read, names, num_resamples=resamples)
    text = _table(found)
    if out is not None:
        from cairn.report.compare import TITLE, write_comparison

        page = write_comparison(out, found, title=title or TITLE, provenance=provenance())
        text += f"\nopen {page}"
    emit(found.to_json(), text, as_json=as_json)


def _table(found: Comparison) -> str:
    """Return scores and differences as aligned lines for a person."""
    from cairn.report.comparison import chance_text
    from cairn.report.paper import NAMES
    from cairn.report.tables import signed

    first = found.measured.reports[0]
    lines = [f"{first.num_queries} queries, {first.num_labelled} with a landmark"]
    width = max(20, *(len(name) for name in found.names)) + 2
    for key, name in NAMES.items():
        if key not in first.scores:
            continue
        lines.append(f"\n{name}")
        for row, run in enumerate(found.names):
            score = found.measured.reports[row].scores[key]
            line = f"  {run:<{width}}{score.value:.4f}"
            difference = found.against[row - 1].differences.get(key) if row else None
            if difference is not None:
                change = difference.change
                line += f"  {signed(change.value, 4)}"
                if change.low is not None and change.high is not None:
                    line += f" [{signed(change.low, 4)}, {signed(change.high, 4)}]"
                    line += f"  {chance_text(difference.corrected)}"
                    line += "  *" if difference.is_significant else ""
            lines.append(line)
    lines.append("")
    for name, one in zip(found.names[1:], found.against, strict=True):
        lines.append(
            f"{name}: {len(one.gained)} right that {found.names[0]} gets wrong, {len(one.lost)} "
            f"the reverse (McNemar {chance_text(one.chance)})"
        )
    if found.num_resamples:
        lines.append(f"* holds after Holm's correction for {found.num_tests} comparisons")
    if found.too_few_resamples:
        lines.append("note: so few resamples cannot tell; leave --resamples out for enough")
    return "\n".join(lines)
