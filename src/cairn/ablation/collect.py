"""From the folder of an ablation to its table: whatever is finished there, and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import mean

from cairn.ablation.evidence import Findings, Question, weigh
from cairn.ablation.folder import Place, Result
from cairn.ablation.plan import Plan
from cairn.ablation.report import Line, Outcome
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.runs import provenance
from cairn.submission import solution_of


def collect(plan: Plan, manifest: Manifest) -> Outcome:
    """Return the table of all rows that the plan knows and its folder has.

    Raises:
        CairnError: No row is finished.
    """
    places = {row: found for row in plan.rows if (found := plan.finished(row))}
    failures = {row: told for row in plan.rows if (told := _failure(plan, row))}
    if not places:
        reasons = "; ".join(f"{row}: {reason}" for row, reason in failures.items())
        raise CairnError("no row could be finished", where=plan.root, todo=reasons)
    results = {row: [place.result() for place in found] for row, found in places.items()}
    references = {
        row: reference
        for row in places
        if (reference := _reference(plan, row, results[row])) in places
        and _seeds(places[row]) & _seeds(places[reference])
    }
    truth = solution_of(manifest).truth
    question = Question(truth, Counter(manifest.gallery().landmark_ids))
    answers = {row: {p.seed: p.answers() for p in found} for row, found in places.items()}
    findings = weigh(answers, references, question)
    return Outcome(
        folder=plan.root,
        lines=tuple(
            _line(plan, row, results.get(row, []), findings, references, failures)
            for row in plan.rows
            if row in places or row in failures
        ),
        findings=findings,
        num_queries=len(truth),
        num_labelled=question.num_labelled,
        num_seeds=plan.num_seeds,
        recipe=plan.base,
        missing=plan.missing,
        published=plan.table.published,
        provenance=provenance(data=manifest.fingerprint),
    )


def _line(
    plan: Plan,
    row: str,
    results: Sequence[Result],
    findings: Findings,
    references: dict[str, str],
    failures: dict[str, str],
) -> Line:
    spec = plan.rows[row]
    gaps = [one.validation_gap for one in results if one.validation_gap is not None]
    return Line(
        name=row,
        title=spec.title,
        question=spec.question,
        reference=references.get(row),
        own_budget=plan.has_own_budget(row),
        scores=findings.scores.get(row),
        change=findings.changes.get(row),
        validation_gap=mean(gaps) if gaps else None,
        train_seconds=mean(one.train_seconds for one in results) if results else None,
        evaluate_seconds=mean(one.evaluate_seconds for one in results) if results else None,
        parameters=results[0].parameters if results else None,
        facts=results[0].facts if results else {},
        failure=failures.get(row),
        lacks=_reference(plan, row, results) or None if results and row not in references else None,
    )


def _reference(plan: Plan, row: str, results: Sequence[Result]) -> str:
    """Return the row to compare with: an ensemble's best member, else what the table says."""
    members = results[0].facts.get("members")
    return members[0] if members else plan.rows[row].reference or ""


def _seeds(places: Sequence[Place]) -> set[int]:
    return {place.seed for place in places}


def _failure(plan: Plan, row: str) -> str | None:
    """Return why a row failed, in this call or before; None where it did not."""
    for seed in plan.seeds:
        failure = plan.place(row, seed).failure()
        if failure is not None:
            return f"seed {seed}: {failure['reason']}"
    return None
