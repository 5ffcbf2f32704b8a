"""The report page as HTML: one file, no script, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from cairn.metrics import Ranking
from cairn.pages import Section, document, terms_html
from cairn.report import paper
from cairn.report.analysis import Analysis
from cairn.report.cases import Cases, PickedImage
from cairn.report.drawings import Plot, side_by_side
from cairn.report.photographs import Photographs
from cairn.report.tables import bounds_text, signed
from cairn.report.words import chances_text, decision_text, pairs_text, risk_text, unknown_text
from cairn.scores import Report

PAIRS_SHOWN = 8

_TILES = (
    ("gap", "GAP", "all queries, non-landmarks included"),
    ("gap_without_unlabelled", "GAP−", "non-landmark queries dropped"),
    ("top1_accuracy", "Top-1 accuracy", "of the landmark queries"),
    ("auroc", "AUROC", "landmark or not, by confidence"),
    ("mean_average_precision", "mAP@100", "retrieval of gallery photographs"),
)


@dataclass(frozen=True)
class Page:
    """Everything the page shows.

    Args:
        title: The heading.
        subtitle: A sentence under it; may be empty.
        report: The scores.
        analysis: What else is known of the answers.
        after: The ranking reported.
        plots: By key.
        cases: The photographs chosen.
        photographs: What shows them.
        picked: Gallery images that non-landmarks pick, most picked first.
        facts: Term -> value for the closing list, such as the model's fingerprint.
        warning: What must be read before any number; may be empty.
    """

    title: str
    subtitle: str
    report: Report
    analysis: Analysis
    after: Ranking
    plots: Mapping[str, Plot]
    cases: Cases
    photographs: Photographs
    picked: Sequence[PickedImage] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""

    def html(self) -> str:
        """Return the whole document."""
        sections: list[Section] = [
            ("decision", "What gets answered", self._decision()),
            ("scores", "Scores by size of landmark", self._sizes()),
            ("plots", "Where the score comes from", self._shown("precision", "scores")),
            ("unknown", "Known or unknown", self._unknown()),
            ("chances", "Do chances come true", self._chances()),
            ("categories", "Scores by category", self._categories()),
            ("pairs", "Landmarks taken for one another", self._pairs()),
            *self.photographs.sections(self.cases),
            ("picks", "What non-landmarks pick", self.photographs.picks(self.picked)),
            ("terms", "How to read this", self._terms()),
        ]
        subtitle = f"<p>{escape(self.subtitle)}</p>" if self.subtitle else ""
        warning = f'<p class="warning">{escape(self.warning)}</p>' if self.warning else ""
        return document(
            title=self.title,
            header=f'{warning}<p class="lead">{self._summary()}</p>{subtitle}{self._tiles()}',
            sections=sections,
            footer="Made by Cairn. The same numbers are in report.json, tables.md and tables.tex, "
            "the plots in plots/, every prediction in predictions.parquet and submission.csv.",
        )

    def _summary(self) -> str:
        after, report = self.after, self.report
        others = report.num_queries - report.num_labelled
        text = (
            f"{int(after.correct.sum()):,} of {report.num_labelled:,} landmark photographs were "
            "recognized"
        )
        if others:
            text += f", ranked among {others:,} photographs of no known landmark"
        if self.analysis.decision is not None:
            text += f". {decision_text(self.analysis.decision, short=True)}"
        else:
            text += "."
        change = report.change.get("gap")
        if change is None:
            return text
        moved = f"{text} GAP moved by {signed(change.value)}"
        if change.low is None or change.high is None:
            return f"{moved}."
        verdict = {1: "a gain beyond chance", -1: "a loss beyond chance", 0: "within chance"}
        bounds = f"95% interval {signed(change.low)} to {signed(change.high)}"
        return f"{moved}, {verdict[paper.direction(change)]} ({bounds})."

    def _tiles(self) -> str:
        tiles = []
        for key, name, basis in _TILES:
            score = self.report.scores.get(key)
            if score is None:
                continue
            bounds = bounds_text(score)
            lines = [basis, f"95%: {bounds}" if bounds else ""]
            change = self.report.change.get(key)
            if change is not None and self.report.before is not None:
                was = self.report.before.scores[key].value
                kind = {1: "better", -1: "worse", 0: "same"}[paper.direction(change)]
                lines.append(
                    f'<span class="{kind}">{signed(change.value)}</span> from {was:.3f} before'
                )
            tiles.append(_tile(name, f"{score.value:.3f}", lines))
        if self.analysis.open_set is not None:
            fpr = self.analysis.open_set.fpr95
            lines = ["unknown accepted with 95% of the known", f"95%: {bounds_text(fpr)}"]
            tiles.append(_tile("FPR at 95% TPR", f"{fpr.value:.3f}", lines))
        if self.analysis.reliability is not None:
            found = self.analysis.reliability
            lines = ["chances said against what came", f"Brier score {found.brier:.3f}"]
            tiles.append(_tile("ECE", f"{found.ece:.3f}", lines))
        least = ' style="--least:170px"' if len(tiles) == 6 else ""
        return f'<ul class="tiles"{least}>{"".join(tiles)}</ul>'

    def _decision(self) -> str:
        decision = self.analysis.decision
        if decision is None:
            return (
                "<p>No threshold can be told: too few of the queries show no known landmark. "
                "Answers to pictures of something else are not judged by these scores.</p>"
                + side_by_side([self.plots["kinds"].html()])
            )
        table = paper.decision_table(decision)
        text = "".join(f"<p>{one}</p>" for one in decision_text(decision).split("\n"))
        return side_by_side([f"<div>{text}{table.html()}</div>", self.plots["kinds"].html()])

    def _sizes(self) -> str:
        if not self.report.by_size:
            return side_by_side([self._plot("imbalance")])
        intervals = " Small figures: 95% bootstrap interval." if self.report.num_resamples else ""
        was = " An arrow shows the value before." if self.report.before else ""
        return (
            "<p>Landmarks with few gallery photographs are the hard part. A bin’s GAP is its "
            f"share of the one ranking, so the bins, weighted by queries, give GAP.{was}"
            f"{intervals}</p>"
            + paper.sizes_table(self.report, self.analysis).html()
            + self._shown("sizes", "imbalance")
        )

    def _unknown(self) -> str:
        outcomes, risk = self.analysis.outcomes, self.analysis.risk
        if not outcomes.answered.any():
            return ""
        table = paper.operating_table(risk, outcomes.by).html()
        text = f"<p>{risk_text(self.analysis)}</p>"
        open_set = self.analysis.open_set
        lead = "" if open_set is None else f"<p>{unknown_text(open_set)}</p>"
        return (
            lead
            + self._shown("open-set", "risk")
            + f'<div class="beside"><div>{text}</div><div>{table}</div></div>'
        )

    def _chances(self) -> str:
        found = self.analysis.reliability
        if found is None:
            return ""
        return side_by_side([self._plot("reliability"), f"<div>{chances_text(found)}</div>"])

    def _categories(self) -> str:
        if not self.analysis.categories:
            return ""
        table = paper.categories_table(self.analysis.categories)
        return f"<p>By what the landmark is, most queries first.</p>{table.html()}"

    def _pairs(self) -> str:
        pairs = self.analysis.pairs[:PAIRS_SHOWN]
        if not pairs:
            return ""
        return f"<p>{pairs_text(self.analysis)}</p>{self.photographs.pairs(pairs)}"

    def _plot(self, key: str) -> str:
        return self.plots[key].html() if key in self.plots else ""

    def _shown(self, *keys: str) -> str:
        return side_by_side([self._plot(key) for key in keys])

    def _terms(self) -> str:
        terms = {
            "GAP": "Global average precision, (1/M) Σ P(i) rel(i): all answers sorted by "
            "confidence, precision at every right one, divided by the number M of landmark "
            "queries. Ties stand in the order of image ids.",
            "GAP−": "The same with non-landmark queries removed first.",
            "AUROC": "The chance that a landmark query gets a higher confidence than a "
            "non-landmark, ties counting half.",
            "Known": "A query that shows a landmark of the gallery; where the gallery is not "
            "known, any landmark. All others are unknown, and no answer to them is right.",
            "Intervals": f"95% percentile bootstrap, {self.report.num_resamples:,} resamples of "
            "the queries within sizes of landmark and non-landmarks; a change is paired, over the "
            "same resamples. Those of shares and counts are Wilson’s."
            if self.report.num_resamples
            else "None were asked for; those of shares and counts are Wilson’s, at 95%.",
            **self.facts,
        }
        if unreadable := self.photographs.thumbnails.unreadable:
            some = "; ".join(f"{path} ({why})" for path, why in list(unreadable.items())[:5])
            terms["Unreadable"] = f"{len(unreadable)} photographs could not be shown: {some}"
        return terms_html(terms)


def _tile(name: str, number: str, lines: Sequence[str]) -> str:
    text = "".join(f'<span class="basis">{line}</span>' for line in lines if line)
    return f'<li><span class="name">{name}</span><span class="number">{number}</span>{text}</li>'
