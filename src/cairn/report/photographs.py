"""Photographs of the report: every case beside its evidence, and what non-landmarks pick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from cairn.domain import Credit, Evidence, Landmark
from cairn.pages import Section, Thumbnails, credit_html, landmark_html
from cairn.report.cases import Case, Cases, PickedImage
from cairn.report.confusions import Confusion

_EVIDENCE_SHOWN = 3
_UNKNOWN = Credit()


@dataclass(frozen=True)
class Photographs:
    """Turns cases and picks into HTML.

    Args:
        thumbnails: Maker of the pictures.
        query_paths: Query id -> its photograph.
        names: Landmark id -> a name for people; the id itself where absent.
        counts: Landmark id -> gallery photographs; empty where unknown.
        examples: Landmark id -> a gallery photograph of it, shown where it was missed.
        landmarks: Landmark id -> what is known of it.
        stand_ins: Landmark id -> any other photograph of it, where there is no example.
        credits: Path -> whose the photograph is, of queries and examples.
    """

    thumbnails: Thumbnails
    query_paths: Mapping[str, str | Path] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str | Path] = field(default_factory=dict)
    landmarks: Mapping[str, Landmark] = field(default_factory=dict)
    stand_ins: Mapping[str, str | Path] = field(default_factory=dict)
    credits: Mapping[str, Credit] = field(default_factory=dict)

    def sections(self, cases: Cases) -> list[Section]:
        """Return one section per kind of case that occurs."""
        rarest = ", the landmarks with the fewest gallery photographs first" if self.counts else ""
        entries: list[tuple[str, str, str, tuple[Case, ...]]] = [
            (
                "misses",
                "Mistaken landmarks",
                "Wrong answers, the surest first: one for each landmark answered, beside the "
                "gallery photographs that spoke for it.",
                cases.misses,
            ),
            (
                "false-alarms",
                "Non-landmarks taken for one",
                "Photographs of no known landmark, the surest answers first. These cost GAP most.",
                cases.false_alarms,
            ),
            ("hits", "Recognized", f"Right answers{rarest}.", cases.hits),
            (
                "mended",
                "Mended by the change",
                f"{cases.num_mended:,} landmark queries were wrong before and are right now.",
                cases.mended,
            ),
            (
                "broken",
                "Broken by the change",
                f"{cases.num_broken:,} landmark queries were right before and are wrong now.",
                cases.broken,
            ),
        ]
        return [
            (
                key,
                name,
                f"<p>{escape(text)}</p>"
                f'<ul class="cases">{"".join(self._case(one) for one in chosen)}</ul>',
            )
            for key, name, text, chosen in entries
            if chosen
        ]

    def _case(self, case: Case) -> str:
        prediction = case.prediction
        answer = escape(self.name(prediction.landmark_id or ""))
        kind = "right" if case.is_right else "wrong" if case.truth else "none"
        label = {"right": "✓ right", "wrong": "✕ wrong", "none": "no landmark"}[kind]
        hit = case.best_true_hit if kind == "wrong" else None
        missed = sorted(case.truth & self.examples.keys()) if kind == "wrong" and not hit else []
        shown = prediction.evidence[: _EVIDENCE_SHOWN - len(missed[:1]) - (hit is not None)]
        if hit is not None and hit[1] in shown:
            shown = tuple(one for one in shown if one != hit[1])
        figures = [
            self._figure(
                self.query_paths.get(prediction.image_id),
                f"query photograph {prediction.image_id}",
                "<b>query</b>",
                "query",
            ),
            *(self._evidence(one) for one in shown),
        ]
        about = self.landmarks.get(prediction.landmark_id or "") or prediction.landmark
        if hit is not None:
            figures.append(
                self._evidence(hit[1], kind="truth", lead=f"best right one, {_place(hit[0])}")
            )
        elif missed:
            name = self.name(missed[0])
            alt = f"gallery photograph of {name}, the right answer"
            caption = f"<b>the right one</b><br>{escape(name)}"
            figures.append(self._figure(self.examples[missed[0]], alt, caption, "truth"))
        # A submission scored alone knows no photographs: words are enough then.
        has_pictures = len(figures) > 1 or prediction.image_id in self.query_paths
        text = " ".join(self._lines(case))
        if about is not None and (known := landmark_html(about)):
            text = f"{known}<br>{text}" if text else known
        sure = f"confidence {prediction.confidence:.3f}"
        if prediction.probability is not None:
            sure = f"chance {prediction.probability:.0%}, {sure}"
        held = ""
        if prediction.is_known is not None:
            word = "answered" if prediction.is_known else "held back"
            held = f'<span class="verdict none">{word}</span>'
        return (
            f'<li class="case"><h3><span class="verdict {kind}">{label}</span>{held}{answer} '
            f'<span class="sum">{sure}</span></h3>'
            + (f"<p>{text}</p>" if text else "")
            + (f'<div class="strip">{"".join(figures)}</div>' if has_pictures else "")
            + "</li>"
        )

    def _lines(self, case: Case) -> list[str]:
        """Return what is known besides the answer, as sentences in HTML."""
        said, old = case.prediction, case.before
        lines = []
        if case.truth and not case.is_right:
            named = " or ".join(self._named(one) for one in sorted(case.truth))
            lines.append(f"It shows {escape(named)}.")
            if said.evidence:
                lines.append(_best_true(case))
        elif case.is_right and self.counts:
            lines.append(_photographs(self.counts.get(said.landmark_id or "", 0)) + ".")
        if old is not None and old.landmark_id not in (None, said.landmark_id):
            lines.append(
                f"Before: {escape(self.name(old.landmark_id or ''))}, {old.confidence:.3f}."
            )
        elif old is not None and f"{old.confidence:.3f}" != f"{said.confidence:.3f}":
            lines.append(f"Confidence before: {old.confidence:.3f}.")
        return lines

    def _evidence(self, one: Evidence, *, kind: str = "one", lead: str = "") -> str:
        name = self.name(one.landmark_id)
        sums = f"<b>{one.score:.3f}</b>"
        if one.penalty:
            sums += f" = {one.similarity:.3f} − {one.penalty:.3f}"
        head = f"<b>{escape(lead)}</b><br>" if lead else ""
        caption = f"{head}{sums}<br>{escape(name)}"
        alt = f"gallery photograph of {name}" + (f", {lead}" if lead else "")
        return self._figure(one.path or None, alt, caption, kind, one.credit)

    def _figure(
        self,
        path: str | Path | None,
        alt: str,
        caption: str,
        kind: str,
        credit: Credit = _UNKNOWN,
    ) -> str:
        if credit == _UNKNOWN:
            credit = self.credits.get(str(path), _UNKNOWN)
        caption += credit_html(credit)
        return self.thumbnails.figure(path, alt=alt, caption=caption, kind=kind)

    def pairs(self, pairs: Sequence[Confusion]) -> str:
        """Return pairs of landmarks taken for one another, with a photograph of both."""
        return f'<ul class="cases pairs">{"".join(map(self._pair, pairs))}</ul>'

    def _pair(self, pair: Confusion) -> str:
        a, b = pair.landmarks
        names = self.name(a), self.name(b)
        ways = [_way(names[0], names[1], pair.forward, pair.queries[0])]
        if pair.queries[1]:
            ways.append(_way(names[1], names[0], pair.backward, pair.queries[1]))
        figures = [
            self._figure(path, f"{what} of {name}", f"<b>{escape(name)}</b>", "one")
            for (path, what), name in zip(map(self._example, (a, b)), names, strict=True)
        ]
        shown = self.query_paths.get(pair.example)
        if shown is not None:
            alt = f"query photograph {pair.example}, the surest mistake"
            caption = f"<b>the surest mistake</b><br>confidence {pair.surest:.3f}"
            figures.append(self._figure(shown, alt, caption, "query"))
        has_pictures = shown is not None or any(self._example(one)[0] for one in (a, b))
        return (
            f'<li class="case"><h3>{escape(names[0])} <span class="sum">and</span> '
            f"{escape(names[1])}</h3><p>{'<br>'.join(ways)}</p>"
            + (f'<div class="strip">{"".join(figures)}</div>' if has_pictures else "")
            + "</li>"
        )

    def _example(self, landmark_id: str) -> tuple[str | Path | None, str]:
        """Return a photograph of a landmark and what it is: of the gallery, or else a query."""
        if landmark_id in self.examples:
            return self.examples[landmark_id], "gallery photograph"
        return self.stand_ins.get(landmark_id), "photograph"

    def picks(self, picked: Sequence[PickedImage]) -> str:
        """Return the gallery images that non-landmarks pick, with what it costs them."""
        if not picked:
            return ""
        most = max(one.num_picked for one in picked) or 1
        entries = "".join(self._picked(one, most) for one in picked)
        return (
            "<p>The gallery photographs that pictures of no landmark resemble most often, and what "
            "is taken off their similarity to every query for it. The bar is the number of picks, "
            "which the penalty counts up to a limit."
            f'</p><ul class="picks">{entries}</ul>'
        )

    def _picked(self, one: PickedImage, most: int) -> str:
        name = self.name(one.landmark_id)
        image, ratio = self.thumbnails.element(one.path, alt=f"gallery photograph of {name}")
        return (
            f'<li style="--ratio:{ratio:.3f}">{image}<b>{escape(name)}</b>'
            f'<span class="bar" aria-hidden="true">'
            f'<span style="width:{one.num_picked / most:.0%}"></span></span>'
            f'<span class="sum">{one.num_picked} picks, similarity {one.similarity:.3f}, '
            f"penalty {one.penalty:.3f}</span>{credit_html(one.credit)}</li>"
        )

    def name(self, landmark_id: str) -> str:
        """Return what people call a landmark."""
        return self.names.get(landmark_id) or landmark_id

    def _named(self, landmark_id: str) -> str:
        if not self.counts:
            return self.name(landmark_id)
        count = _photographs(self.counts.get(landmark_id, 0))
        return f"{self.name(landmark_id)} ({count})"


def _photographs(count: int) -> str:
    if count == 0:
        return "not in the gallery"
    return f"{count:,} gallery photograph{'' if count == 1 else 's'}"


def _place(place: int) -> str:
    return f"place {place}"


def _best_true(case: Case) -> str:
    """Return where the best gallery photograph of the truth stood, as a sentence."""
    hit = case.best_true_hit
    if hit is None:
        count = len(case.prediction.evidence)
        if count == 1:
            return "The nearest gallery photograph alone was kept."
        return f"No photograph of it is among the {count} nearest that were kept."
    place, one = hit
    best = case.prediction.evidence[0]
    return (
        f"Its best photograph came at {_place(place)} with {one.score:.3f}, "
        f"{best.score - one.score:.3f} behind."
    )


def _way(a: str, b: str, count: int, total: int) -> str:
    return f"{count:,} of {total:,} of {escape(a)} answered as {escape(b)} ({count / total:.0%})."
