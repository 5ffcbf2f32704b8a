"""``cairn evaluate``: the scores of a submission against a solution or a manifest."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cairn.cli.output import Json, emit

if TYPE_CHECKING:
    from cairn.domain import Credit, Landmark
    from cairn.manifest import Manifest
    from cairn.scores import Report


def evaluate(
    submission: Annotated[Path, typer.Argument(help="CSV id,landmarks: '<landmark> <score>'.")],
    solution: Annotated[Path, typer.Argument(help="CSV id,landmarks[,Usage], or a manifest.")],
    ignore_unlabelled: Annotated[
        bool, typer.Option("--ignore-unlabelled", help="Drop queries that show no landmark first.")
    ] = False,
    usage: Annotated[str, typer.Option(help="Rows that count: all, public or private.")] = "all",
    before: Annotated[
        Path | None, typer.Option(help="Another submission to compare with.", metavar="CSV")
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(help="The gallery or its manifest: scores by size, and a check for leaks."),
    ] = None,
    bank: Annotated[
        Path | None, typer.Option(help="The bank or its manifest: refused where it has queries.")
    ] = None,
    allow_leaks: Annotated[
        bool, typer.Option("--allow-leaks", help="Score although queries leak; the report says so.")
    ] = False,
    resamples: Annotated[
        int | None,
        typer.Option(help="Bootstrap resamples behind the intervals; 0 for none.", min=0),
    ] = None,
    variants: Annotated[
        bool, typer.Option("--variants", help="Also what is often computed in place of GAP.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Also write an evaluation folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a submission: GAP, GAP without non-landmarks, top-1 accuracy, known/unknown AUROC."""
    from cairn import submission as files
    from cairn.bootstrap import NUM_RESAMPLES
    from cairn.errors import CairnError, nearest
    from cairn.evaluate import evaluate as score
    from cairn.runs import require_absent
    from cairn.splitting.evaluation import REFUSED, verify_evaluation

    usages = ("all", "public", "private")
    if usage not in usages:
        raise CairnError(f"unknown usage {usage!r}", where="--usage", todo=nearest(usage, usages))
    if out is not None:
        require_absent(out)
    photographs: dict[str, str | Path] = {}
    landmarks: dict[str, Landmark] = {}
    credits: dict[str, Credit] = {}
    manifest: Manifest | None = None
    if solution.suffix.lower() in (".parquet", ".pq") or _is_manifest(solution):
        from cairn.labels import Labels, credits_by_path
        from cairn.manifest import Manifest

        if usage != "all":
            raise CairnError("a manifest has no Usage to select", where="--usage")
        manifest = Manifest.read(solution)
        try:
            truth = files.solution_of(manifest)
        except CairnError as error:
            todo = "fill landmark_id of the query rows whose landmark is known"
            raise CairnError(error.what, where=solution, todo=todo) from None
        queries = manifest.select("query")
        photographs = dict(zip(queries.image_ids, queries.paths, strict=True))
        if out is not None:
            landmarks = dict(Labels.of(manifest.table).by_id)
            credits = credits_by_path(queries.table, queries.paths)
    else:
        truth = files.read_solution(solution, usage=usage)  # type: ignore[arg-type]
    answers = truth.keep(_answered(submission))
    old = None if before is None else truth.keep(_answered(before))
    answered = answers.keys() | (old or {}).keys()
    leaks, counts = verify_evaluation(answered, manifest, gallery=gallery, bank=bank)
    if not allow_leaks:
        leaks.refuse_leaks(solution, REFUSED)
    report = score(
        answers,
        truth.truth,
        before=old,
        gallery_counts=counts,
        ignore_unlabelled=ignore_unlabelled,
        num_resamples=NUM_RESAMPLES if resamples is None else resamples,
    )
    if out is not None:
        from cairn.domain import Prediction
        from cairn.report import write_report
        from cairn.runs import provenance

        def told(given: dict[str, tuple[str, float]]) -> list[Prediction]:
            blank = (None, 0.0)
            kept = (i for i, shown in truth.truth.items() if shown or not ignore_unlabelled)
            return [Prediction(i, *given.get(i, blank)) for i in kept]

        write_report(
            out,
            report=report,
            predictions=told(answers),
            truth={i: s for i, s in truth.truth.items() if s or not ignore_unlabelled},
            before=None if old is None else told(old),
            query_paths=photographs,
            gallery_counts=counts,
            landmarks=landmarks,
            credits=credits,
            facts={
                "Submission": str(submission),
                "Solution": str(solution),
                "Leak check": leaks.sentence(),
            },
            warning=f"These scores flatter. {leaks.sentence()}" if leaks.leaks else "",
            verification=leaks.to_json(),
            provenance=provenance(),
        )
    page = "" if out is None else f"\nopen {out / 'report.html'}"
    value = {**report.to_json(), "verification": leaks.to_json()}
    text = f"{_table(report)}\n{'LEAKS: ' if leaks.leaks else ''}{leaks.sentence()}"
    if variants:
        from cairn import variants as other

        found = other.variants(answers, truth.truth)
        value["variants"] = [one.to_json() for one in found]
        text += f"\n\n{other.table(found)}"
    emit(value, text + page, as_json=as_json)


def _answered(path: Path) -> dict[str, tuple[str, float]]:
    from cairn.submission import read_submission

    return {i: answer for i, answer in read_submission(path).items() if answer is not None}


def _is_manifest(path: Path) -> bool:
    """Whether a CSV file has the columns of a manifest rather than of a solution."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        columns = next(csv.reader(file), [])
    return {"image_id", "role"} <= set(columns)


def _signed(value: float) -> str:
    return f"{round(value, 4) + 0.0:+.4f}"  # rounding noise is no -0.0000


def _table(report: Report) -> str:
    """Return the scores as aligned lines for a person."""
    names = {
        "gap": "GAP",
        "gap_without_unlabelled": "GAP- (without non-landmarks)",
        "top1_accuracy": "top-1 accuracy",
        "auroc": "AUROC known/unknown",
        "mean_average_precision": "mAP@100",
    }
    lines = [
        f"{report.num_queries} queries, {report.num_labelled} with a landmark, "
        f"{report.num_answered} answered"
    ]
    for name, score in report.scores.items():
        line = f"{names[name]:<30}{score.value:.6f}"
        if score.low is not None and score.high is not None:
            line += f"  [{score.low:.4f}, {score.high:.4f}]"
        if name in report.change:
            change = report.change[name]
            line += f"  change {_signed(change.value)}"
            if change.low is not None and change.high is not None:
                line += f" [{_signed(change.low)}, {_signed(change.high)}]"
        lines.append(line)
    if report.by_size:
        lines.append(f"\n{'gallery photographs':<22}{'queries':>8}{'GAP':>9}{'top-1':>9}")
    for entry in report.by_size:
        gap, right = (entry.scores[name].value for name in ("gap", "top1_accuracy"))
        lines.append(f"{entry.size:<22}{entry.num_queries:>8}{gap:>9.4f}{right:>9.4f}")
    return "\n".join(lines)
