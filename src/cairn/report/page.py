"""The report page as HTML: one file, no script, nothing fetched from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from cairn.bootstrap import Interval
from cairn.metrics import Ranking
from cairn.pages import document, terms_html
from cairn.report import plots
from cairn.report.cases import Cases, PickedImage
from cairn.report.photographs import Photographs
from cairn.scores import Report, SizeBin

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
        after: The ranking reported.
        before: The ranking compared with, if any.
        cases: The photographs chosen.
        photographs: What shows them.
        picked: Gallery images that non-landmarks pick, most picked first.
        facts: Term -> value for the closing list, such as the model's fingerprint.
        warning: What must be read before any number; may be empty.
    """

    title: str
    subtitle: str
    report: Report
    after: Ranking
    before: Ranking | None
    cases: Cases
    photographs: Photographs
    picked: Sequence[PickedImage] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""

    def html(self) -> str:
        """Return the whole document."""
        sections = [
            ("scores", "Scores by size of landmark", self._sizes()),
            ("plots", "Where the score comes from", self._plots()),
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
            footer="Made by Cairn. The same numbers are in report.json, every prediction in "
            "predictions.parquet and submission.csv.",
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
        change = report.change.get("gap")
        if change is None:
            return f"{text}."
        moved = f"{text}. GAP moved by {_signed(change.value)}"
        if change.low is None or change.high is None:
            return f"{moved}."
        verdict = {1: "a gain beyond chance", -1: "a loss beyond chance", 0: "within chance"}
        bounds = f"95% interval {_signed(change.low)} to {_signed(change.high)}"
        return f"{moved}, {verdict[_direction(change)]} ({bounds})."

    def _tiles(self) -> str:
        tiles = []
        for key, name, basis in _TILES:
            score = self.report.scores.get(key)
            if score is None:
                continue
            bounds = _bounds(score)
            lines = [basis, f"95%: {bounds}" if bounds else ""]
            change = self.report.change.get(key)
            if change is not None and self.report.before is not None:
                was = self.report.before.scores[key].value
                kind = {1: "better", -1: "worse", 0: "same"}[_direction(change)]
                lines.append(
                    f'<span class="{kind}">{_signed(change.value)}</span> from {was:.3f} before'
                )
            text = "".join(f'<span class="basis">{line}</span>' for line in lines if line)
            tiles.append(
                f'<li><span class="name">{name}</span>'
                f'<span class="number">{score.value:.3f}</span>{text}</li>'
            )
        return f'<ul class="tiles">{"".join(tiles)}</ul>'

    def _sizes(self) -> str:
        if not self.report.by_size:
            return ""
        earlier = self.report.before.by_size if self.report.before else ()
        old = {entry.size: entry for entry in earlier}
        columns = [("gap", "GAP"), ("top1_accuracy", "Top-1 accuracy")]
        if any("mean_average_precision" in entry.scores for entry in self.report.by_size):
            columns.append(("mean_average_precision", "mAP@100"))
        heads = "".join(f'<th scope="col">{name}</th>' for _, name in columns)
        rows = "".join(
            f'<tr><th scope="row">{_size(entry.size)}</th>'
            f'<td class="extra">{entry.num_landmarks:,}</td>'
            f"<td>{entry.num_queries:,}</td>"
            + "".join(_cell(entry, old.get(entry.size), key) for key, _ in columns)
            + f"<td>{'–' if entry.auroc is None else f'{entry.auroc:.3f}'}</td></tr>"
            for entry in self.report.by_size
        )
        intervals = " Small figures: 95% bootstrap interval." if self.report.num_resamples else ""
        was = " An arrow shows the value before." if old else ""
        return (
            "<p>Landmarks with few gallery photographs are the hard part. A bin’s GAP is its "
            f"share of the one ranking, so the bins, weighted by queries, give GAP.{was}"
            f"{intervals}</p>"
            '<div class="scroll" role="region" aria-label="Scores by size" tabindex="0"><table>'
            '<thead><tr><th scope="col">Gallery photographs</th>'
            '<th scope="col" class="extra">Landmarks</th>'
            f'<th scope="col">Queries</th>{heads}<th scope="col">AUROC</th></tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )

    def _plots(self) -> str:
        report = self.report
        figures = [
            (
                "Precision down the ranking",
                plots.precision_curve(self.after, self.before),
                "All answers sorted by confidence: the share that is right among the first i. GAP "
                "averages it over the right ones. The dotted line is the number of landmark "
                "queries.",
            ),
            (
                "Confidence, by what the photograph was",
                plots.score_histograms(self.after, self.before),
                "Each kind adds up to 100%. The further the right answers stand to the right of "
                "the others, the better the score.",
            ),
        ]
        if report.by_size:
            figures.append(
                (
                    "Accuracy by size of landmark",
                    plots.scores_by_size(
                        report.by_size, report.before.by_size if report.before else ()
                    ),
                    "Lines are 95% bootstrap intervals over the queries."
                    if report.num_resamples
                    else "",
                )
            )
        if self.photographs.counts:
            figures.append(
                (
                    "The long tail",
                    plots.imbalance(self.photographs.counts),
                    _tail_caption(self.photographs.counts),
                )
            )
        return '<div class="plots">{}</div>'.format(
            "".join(
                f'<figure class="plot"><h3>{escape(name)}</h3>'
                f'<div role="img" aria-label="Plot: {escape(name)}. {escape(caption)}">{svg}</div>'
                f"<figcaption>{escape(caption)}</figcaption></figure>"
                for name, svg, caption in figures
            )
        )

    def _terms(self) -> str:
        terms = {
            "GAP": "Global average precision, (1/M) Σ P(i) rel(i): all answers sorted by "
            "confidence, precision at every right one, divided by the number M of landmark "
            "queries. Ties stand in the order of image ids.",
            "GAP−": "The same with non-landmark queries removed first.",
            "AUROC": "The chance that a landmark query gets a higher confidence than a "
            "non-landmark, ties counting half.",
            "Intervals": f"95% percentile bootstrap, {self.report.num_resamples:,} resamples of "
            "the queries within sizes of landmark and non-landmarks; a change is paired, over the "
            "same resamples."
            if self.report.num_resamples
            else "None were asked for.",
            **self.facts,
        }
        if unreadable := self.photographs.thumbnails.unreadable:
            some = "; ".join(f"{path} ({why})" for path, why in list(unreadable.items())[:5])
            terms["Unreadable"] = f"{len(unreadable)} photographs could not be shown: {some}"
        return terms_html(terms)


def _cell(entry: SizeBin, old: SizeBin | None, key: str) -> str:
    score = entry.scores.get(key)
    if score is None:
        return "<td>–</td>"
    was = old.scores.get(key) if old else None
    old_value = f'<span class="was">{was.value:.3f} → </span>' if was else ""
    return f"<td>{old_value}{score.value:.3f}<small>{_bounds(score)}</small></td>"


def _bounds(score: Interval) -> str:
    if score.low is None or score.high is None:
        return ""
    return f"{score.low:.3f}–{score.high:.3f}"


def _direction(change: Interval) -> int:
    """Return 1 or -1 where the whole interval lies above or below 0, else 0."""
    if change.low is None or change.high is None:
        return 0
    return int(change.low > 0) - int(change.high < 0)


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}".replace("-", "−")  # rounding noise is no −0.000


def _size(name: str) -> str:
    return escape(name.replace("-", "–").replace(">", "more than "))


def _tail_caption(counts: Mapping[str, int]) -> str:
    total = len(counts)
    five = sum(count <= 5 for count in counts.values()) / total
    ten = sum(count <= 10 for count in counts.values()) / total
    return (
        f"{total:,} landmarks, {sum(counts.values()):,} gallery photographs. {ten:.0%} of the "
        f"landmarks have at most ten, {five:.0%} at most five."
    )
