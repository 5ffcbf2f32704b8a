"""Photographs of the report: every case beside its evidence, and what non-landmarks pick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

from cairn.domain import Credit, Evidence, Landmark
from cairn.pages import Section, Thumbnails, credit_html, landmark_html
from cairn.report.cases import Case, Cases, PickedImage

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
        credits: Path -> whose the photograph is, of queries and examples.
    """

    thumbnails: Thumbnails
    query_paths: Mapping[str, str | Path] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, str | Path] = field(default_factory=dict)
    landmarks: Mapping[str, Landmark] = field(default_factory=dict)
    credits: Mapping[str, Credit] = field(default_factory=dict)

    def sections(self, cases: Cases) -> list[Section]:
        """Return one section per kind of case that occurs."""
        rarest = ", the landmarks with the fewest gallery photographs first" if self.counts else ""
        entries: list[tuple[str, str, str, tuple[Case, ...]]] = [
            ("hits", "Recognized", f"Right answers{rarest}.", cases.hits),
            ("misses", "Mistaken landmarks", "Wrong answers, the surest first.", cases.misses),
            (
                "false-alarms",
                "Non-landmarks taken for one",
                "Photographs of no known landmark, the surest answers first. These cost GAP most.",
                cases.false_alarms,
            ),
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
        answer = escape(self._name(prediction.landmark_id or ""))
        kind = "right" if case.is_right else "wrong" if case.truth else "none"
        label = {"right": "✓ right", "wrong": "✕ wrong", "none": "no landmark"}[kind]
        missed = sorted(case.truth & self.examples.keys()) if kind == "wrong" else []
        shown = prediction.evidence[: _EVIDENCE_SHOWN - len(missed[:1])]
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
        if missed:
            name = self._name(missed[0])
            alt = f"gallery photograph of {name}, the right answer"
            caption = f"<b>the right one</b><br>{escape(name)}"
            figures.append(self._figure(self.examples[missed[0]], alt, caption, "truth"))
        # A submission scored alone knows no photographs: words are enough then.
        has_pictures = len(figures) > 1 or prediction.image_id in self.query_paths
        text = " ".join(self._lines(case))
        if about is not None and (known := landmark_html(about)):
            text = f"{known}<br>{text}" if text else known
        return (
            f'<li class="case"><h3><span class="verdict {kind}">{label}</span>{answer} '
            f'<span class="sum">confidence {prediction.confidence:.3f}</span></h3>'
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
        elif case.is_right and self.counts:
            lines.append(_photographs(self.counts.get(said.landmark_id or "", 0)) + ".")
        if old is not None and old.landmark_id not in (None, said.landmark_id):
            lines.append(
                f"Before: {escape(self._name(old.landmark_id or ''))}, {old.confidence:.3f}."
            )
        elif old is not None and f"{old.confidence:.3f}" != f"{said.confidence:.3f}":
            lines.append(f"Confidence before: {old.confidence:.3f}.")
        return lines

    def _evidence(self, one: Evidence) -> str:
        name = self._name(one.landmark_id)
        sums = f"<b>{one.score:.3f}</b>"
        if one.penalty:
            sums += f" = {one.similarity:.3f} − {one.penalty:.3f}"
        caption = f"{sums}<br>{escape(name)}"
        alt = f"gallery photograph of {name}"
        return self._figure(one.path or None, alt, caption, "one", one.credit)

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
        name = self._name(one.landmark_id)
        image, ratio = self.thumbnails.element(one.path, alt=f"gallery photograph of {name}")
        return (
            f'<li style="--ratio:{ratio:.3f}">{image}<b>{escape(name)}</b>'
            f'<span class="bar" aria-hidden="true">'
            f'<span style="width:{one.num_picked / most:.0%}"></span></span>'
            f'<span class="sum">{one.num_picked} picks, similarity {one.similarity:.3f}, '
            f"penalty {one.penalty:.3f}</span>{credit_html(one.credit)}</li>"
        )

    def _name(self, landmark_id: str) -> str:
        return self.names.get(landmark_id) or landmark_id

    def _named(self, landmark_id: str) -> str:
        if not self.counts:
            return self._name(landmark_id)
        count = _photographs(self.counts.get(landmark_id, 0))
        return f"{self._name(landmark_id)} ({count})"


def _photographs(count: int) -> str:
    if count == 0:
        return "not in the gallery"
    return f"{count:,} gallery photograph{'' if count == 1 else 's'}"
