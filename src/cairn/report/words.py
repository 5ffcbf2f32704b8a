"""What the numbers of a report come to, as sentences for people."""

from __future__ import annotations

from cairn.pages import terms_html
from cairn.report.analysis import Analysis, OpenSet, Reliability
from cairn.report.decision import Decision
from cairn.report.risk import RISKS
from cairn.report.tables import bounds_text


def decision_text(decision: Decision, *, short: bool = False) -> str:
    """Return what gets answered, in a sentence or in paragraphs parted by line breaks."""
    given, total = decision.num_accepted, decision.num_queries
    wrong = decision.accepted_wrong + decision.accepted_unknown
    first = (
        f"At {_threshold(decision)}, {given:,} of {total:,} photographs get an answer: "
        f"{decision.accepted_right:,} right, {wrong:,} wrong"
    )
    if short:
        return f"{first}; {total - given:,} are held back."
    held = (
        f"{total - given:,} are held back: {decision.refused_unknown:,} of "
        f"{decision.num_unknown:,} unknown ones, as it should be, and "
        f"{decision.refused_known:,} of {decision.num_known:,} known ones."
    )
    lines = [f"{first} ({decision.accepted_unknown:,} of them on unknown pictures). {held}"]
    shares = decision.shares()
    if "precision" in shares:
        one = shares["precision"]
        lines.append(
            f"An answer that is given is right in {one.value:.1%} of cases "
            f"(95% interval {bounds_text(one, percent=True)})."
        )
    lines.append(_source(decision))
    return "\n".join(lines)


def unknown_text(found: OpenSet) -> str:
    """Return how well known and unknown are parted."""
    text = (
        f"Accepting 95% of the known queries by confidence lets {found.fpr95.value:.1%} of the "
        f"unknown ones pass (95% interval {bounds_text(found.fpr95, percent=True)}). "
        f"AUROC of known against unknown: {found.auroc:.3f}. Area under right answers against "
        f"unknown ones accepted (OSCR): {found.scores.area:.3f} by confidence"
    )
    if found.chances is not None:
        text += f", {found.chances.area:.3f} by chance"
    return f"{text}."


def risk_text(analysis: Analysis) -> str:
    """Return what the curve of errors against coverage comes to."""
    one = analysis.risk.at(0.05)
    if one.threshold is None:
        text = "No threshold keeps the share of wrong answers at 5% or below."
    else:
        text = (
            f"With at most 5% wrong among the answers, {one.coverage:.1%} of all photographs can "
            "be answered."
        )
    area = analysis.risk.area
    if area is not None:
        text += f" Area under the curve (AURC, lower is better): {area:.3f}."
    return (
        f"{text} These thresholds are read off the very queries they are judged on; on new ones "
        f"expect somewhat more errors, most of all at {RISKS[0]:.0%}."
    )


def chances_text(found: Reliability) -> str:
    """Return what reliability figures mean, as HTML."""
    return terms_html(
        {
            "ECE": f"{found.ece:.3f} over ten bins of equal mass, {found.ece_width:.3f} over bins "
            "of equal width: by how much, on average, the chance said misses the share that came. "
            f"With {found.num_answers:,} answers even perfect chances would have one of about "
            f"{0.4 * (10 / found.num_answers) ** 0.5:.3f}.",
            "Brier score": f"{found.brier:.3f}: the mean squared difference of chance and outcome; "
            "0 is perfect, and saying 50% of everything gives 0.25.",
            "Whose": "Chances are the calibration’s, learned from other photographs. They hold "
            "where queries are of the same kind with as large a share of unknown ones; otherwise "
            "calibrate anew.",
        }
    )


def pairs_text(analysis: Analysis) -> str:
    """Return what there is of confusions."""
    count, total, both = analysis.num_pairs, analysis.num_confused, analysis.num_mutual
    pairs = "One pair of landmarks makes" if count == 1 else f"{count:,} pairs of landmarks make"
    text = (
        f"{pairs} up {total:,} wrong answers between landmarks; {both:,} of the pairs go both ways."
    )
    if analysis.pairs[0].total == 1:
        return f"{text} None occurs twice, so these are single mistakes, the surest first."
    return (
        f"{text} Pairs that go both ways, or often one way, look alike to the model: more "
        "photographs of either, or one label for both, may mend it."
    )


def _threshold(decision: Decision) -> str:
    value = "a chance" if decision.by == "chance" else "a confidence"
    if decision.threshold is None:
        return "the gallery’s verdicts"
    return f"{value} of {decision.threshold:.3f} or more"


def _source(decision: Decision) -> str:
    if decision.source == "calibration":
        return (
            "The threshold is that of the gallery’s calibration, set on other photographs: what "
            "happens here is what to expect of it."
        )
    rate = decision.false_accept_rate or 0.0
    return (
        f"No verdicts came with the answers, so this threshold was set on these very queries, for "
        f"at most {rate:.0%} of the unknown ones to pass. That share is met by construction; a "
        "threshold to rely on comes from cairn calibrate."
    )
