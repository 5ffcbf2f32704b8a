"""Suggestions as one HTML page that needs no other file: each suspect beside the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cairn.cleaning.rule import KINDS
from cairn.pages import Section, Thumbnails, document, id_html, name_html, terms_html, tiles_html

TITLE = "Labels to look at"
_BADGES = {"relabel": "wrong", "drop": "wrong", "leave bank": "wrong", "look": "look"}
_LISTS = {
    "relabel": (
        "Another landmark",
        "These resemble photographs of another landmark, and not those of their own.",
    ),
    "drop": (
        "No landmark",
        "These resemble neither their landmark nor any other: pictures of something else.",
    ),
    "leave bank": (
        "Landmarks in the bank",
        "Images of the bank that look like a landmark. Left there, the penalty would work against "
        "that landmark\u2019s own photographs.",
    ),
    "look": (
        "Uncertain",
        "Unlike most of their landmark, for better or worse: wrong labels, odd views, interiors "
        "and details. Only a person can tell; the strangest come first.",
    ),
}


def render_page(report: Mapping[str, Any], table: pa.Table, names: Mapping[str, str]) -> str:
    """Return the page's HTML, photographs included.

    Args:
        report: What report.json holds.
        table: The suggestions.
        names: Names of landmarks for people, by id.
    """
    thumbnails, shown = Thumbnails(), report["rule"]["shown"]
    sections: list[Section] = []
    for kind in KINDS:
        rows = table.filter(pc.equal(table["kind"], kind))
        cards = [_card(row, thumbnails, names) for row in rows.slice(0, shown).to_pylist()]
        heading, text = _LISTS[kind]
        sections.append((kind.replace(" ", "-"), heading, _list(text, cards, len(rows))))
    sections += [
        (
            "what-next",
            "What to do",
            _next() if any(report["counts"].values()) else "<p>Nothing.</p>",
        ),
        ("terms", "How to read this", _terms(report)),
    ]
    return document(
        title=TITLE,
        header=f'<p class="lead">{_lead(report)}</p>{_tiles(report)}',
        sections=sections,
        footer="Made by Cairn, which changed nothing. All suggestions are in suggestions.csv.",
    )


def _lead(report: Mapping[str, Any]) -> str:
    counts = report["counts"]
    acting = sum(count for kind, count in counts.items() if kind != "look")
    found = f"{acting:,} suggestions and {counts['look']:,} to look at"
    if not acting:
        found = f"{counts['look']:,} to look at" if counts["look"] else "Nothing to suggest"
    return (
        f"{report['num_images']:,} photographs of {report['num_landmarks']:,} landmarks. {found}."
    )


def _tiles(report: Mapping[str, Any]) -> str:
    counts, expected, shares = report["counts"], report["expected"], report["shares"]
    basis = {
        "relabel": "show another landmark",
        "drop": "show none of the landmarks",
        "leave bank": "of the bank show a landmark",
        "look": "only a person can tell",
    }
    tiles = [
        (
            kind.capitalize(),
            f"{counts[kind]:,}",
            basis[kind]
            + (
                f"; {expected[kind]:,.0f} expected right" if kind != "look" and counts[kind] else ""
            ),
        )
        for kind in KINDS
    ]
    total = sum(shares.values())
    sure = "of all, of the kinds that can be told" if total else "none that could be told for sure"
    tiles.append(("Wrong labels", f"{total:.1%}" if total else "\u2013", sure))
    return tiles_html(tiles)


def _list(text: str, cards: list[str], total: int) -> str:
    if not total:
        return ""
    where = "" if len(cards) == total else f"The first {len(cards):,} of {total:,}."
    return f'<p>{text} <span class="note">{where}</span></p><ul class="cases">{"".join(cards)}</ul>'


def _card(row: Mapping[str, Any], thumbnails: Thumbnails, names: Mapping[str, str]) -> str:
    own, target = row["landmark_id"], _name(row["to_landmark_id"], names)
    title = _name(own, names) if own else "the bank"
    if target:
        title += f" or {target}?" if row["kind"] == "look" else f" \u2192 {target}"
    figures = [_photo(row, "", "", "<b>this one</b>", thumbnails, kind="query")]
    for name, shows in (("own", "of its own" if own else "of the bank"), ("other", "of the other")):
        for number in (1, 2):
            if row[f"{name}_image_id_{number}"] is not None:
                caption = f"<b>{row[f'{name}_similarity_{number}']:.2f}</b> {shows}"
                figures.append(_photo(row, f"{name}_", f"_{number}", caption, thumbnails))
    sure = f"confidence {row['confidence']:.2f}"
    if row["kind"] == "look":
        sure = f"stranger than {row['alike']:.0%}"
    return (
        f'<li class="case"><h3><span class="verdict {_BADGES[row["kind"]]}">{row["kind"]}</span>'
        f'{title} <span class="sum">{sure}</span></h3><p>{escape(row["reason"])}</p>'
        f'<div class="strip">{"".join(figures)}</div></li>'
    )


def _photo(
    row: Mapping[str, Any], before: str, behind: str, caption: str, thumbnails: Thumbnails,
    kind: str = "one",
) -> str:  # fmt: skip
    image_id = row[f"{before}image_id{behind}"]
    return thumbnails.figure(
        row[f"{before}path{behind}"] or None,
        alt=f"photograph {image_id}",
        caption=f"{caption}{id_html(image_id)}",
        kind=kind,
    )


def _name(landmark_id: str, names: Mapping[str, str]) -> str:
    return name_html(landmark_id, names.get(landmark_id))


def _next() -> str:
    return (
        "<p>Open suggestions.csv, and write <b>yes</b> or <b>no</b> into the column apply; kind "
        "and to_landmark_id may be changed too. Then <code>cairn data apply</code> writes a new "
        "manifest and a ledger of what it changed; the old manifest stays. Or apply all from a "
        "confidence on, with <code>--kinds relabel,drop --min-confidence 0.9</code>.</p>"
    )


def _terms(report: Mapping[str, Any]) -> str:
    shares, memory = report["shares"], report["memory"]
    terms = {
        "Confidence": "the share of such suggestions that should be right. It is learnt from these "
        "photographs: some were given, on trial, a label that is wrong for certain, and real "
        "labels are compared with what those look like. Where only a handful look like that, they "
        "are as likely odd views: nothing is suggested but a look.",
        "Stranger than": "share of the labels made wrong on trial that look less wrong.",
        "Wrong labels": "; ".join(f"{name} {value:.2%}" for name, value in shares.items())
        + " (exchanged: of another landmark here; lookalike: of one that resembles it; foreign: of "
        "something else; bank: like the bank).",
        "Not enough evidence": f"{report['num_alone']:,} landmarks have one photograph, of which "
        f"nothing is said; {report['num_pairs']:,} have two, of which one may be wrong, but which?",
        "Chain": "photographs of a landmark that are each other\u2019s nearest neighbours hang "
        "together in chains, one or more for each side it is seen from.",
        "Two landmarks that are one": "are not searched for here; cairn gallery check does.",
        "Memory": ", ".join(
            f"{name} {(value or 0) / 1e6:,.0f} MB" for name, value in memory.items()
        ),
        "Model": report["model"],
        "Manifest": report["manifest"],
    }
    return terms_html(terms)
