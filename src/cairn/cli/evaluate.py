"""``cairn evaluate``: the scores of a submission against a solution or a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cairn.cli.output import Json, emit

if TYPE_CHECKING:
    from cairn.domain import Credit, Landmark, Prediction
    from cairn.scores import Report


def evaluate(
    submission: Annotated[
        Path,
        typer.Argument(
            help="CSV id,landmarks: '<landmark> <score>'; or answers of `recognize -o X.parquet`."
        ),
    ],
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
    from cairn.bootstrap import NUM_RESAMPLES
    from cairn.cli.solutions import examples_of, read_truth
    from cairn.evaluate import evaluate as score
    from cairn.predictions import read_answers
    from cairn.runs import require_absent
    from cairn.splitting.evaluation import REFUSED, verify_evaluation
    from cairn.submission import by_image

    if out is not None:
        require_absent(out)
    photographs: dict[str, str | Path] = {}
    landmarks: dict[str, Landmark] = {}
    credits: dict[str, Credit] = {}
    examples: dict[str, str | Path] = {}
    truth, manifest = read_truth(solution, usage=usage)
    if manifest is not None:
        queries = manifest.select("query")
        photographs = dict(zip(queries.image_ids, queries.paths, strict=True))
        if out is not None:
            from cairn.labels import Labels, credits_by_path

            landmarks = dict(Labels.of(manifest.table).by_id)
            examples = examples_of(manifest)
            credits = credits_by_path(queries.table, queries.paths)
            shown = manifest.gallery(required=False)
            credits |= credits_by_path(shown.table, shown.paths)
    given = read_answers(submission)
    answers = truth.keep(by_image(given))
    earlier = None if before is None else read_answers(before)
    old = None if earlier is None else truth.keep(by_image(earlier))
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

        def told(given: list[Prediction]) -> list[Prediction]:
            by_id = {one.image_id: one for one in given}
            kept = (i for i, shown in truth.truth.items() if shown or not ignore_unlabelled)
            return [by_id.get(i) or Prediction(i, None, 0.0) for i in kept]

        write_report(
            out,
            report=report,
            predictions=told(given),
            truth={i: s for i, s in truth.truth.items() if s or not ignore_unlabelled},
            before=None if earlier is None else told(earlier),
            query_paths=photographs,
            gallery_counts=counts,
            gallery_examples=examples,
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
