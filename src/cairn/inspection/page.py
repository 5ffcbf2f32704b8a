"""The inspection as one HTML page that needs no other file, however many images there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from cairn.inspection.cards import Cards, role_name
from cairn.inspection.figures import KIND_COLUMN
from cairn.inspection.look import Looks
from cairn.inspection.sharing import Sharing
from cairn.manifest import Manifest
from cairn.pages import Section, Thumbnails, document, table_html, terms_html, tiles_html

TITLE = "What is in this data"
_MOST_CARDS, _MOST_ROWS, _MOST_BARS = 12, 50, 12
_BADGES = {"act": "wrong", "look": "look", "note": "none"}
_VALUES = {
    "category": "Category",
    KIND_COLUMN: "Natural or human-made",
    "license": "Licence",
    "author": "Author",
}


def render_page(
    report: Mapping[str, Any],
    manifest: Manifest,
    looks: Looks,
    sharing: Sharing,
    drawn: Mapping[str, tuple[str, str]],
) -> str:
    """Return the page's HTML, photographs included.

    Args:
        report: The figures, sentences and steps, as report.json holds them.
        manifest: The photographs.
        looks: What was seen of them.
        sharing: Which of them are the same picture.
        drawn: Name -> title and SVG of the pictures to show.
    """
    cards = Cards(manifest, looks, sharing, Thumbnails(manifest.root))
    sections: list[Section] = [
        ("first", "What to do first", _first(report)),
        ("unreadable", "Unreadable files", _unreadable(report, manifest, looks)),
        ("leaks", "Queries seen elsewhere", _leaks(report, sharing, cards)),
        ("labels", "One picture, two labels", _labels(report, sharing, cards)),
        ("again", "The same picture again", _again(report, sharing, cards)),
        ("landmarks", "The long tail", _landmarks(report, drawn)),
        ("values", "Categories and licences", _values(report)),
        ("sizes", "Sizes, years and places", _sizes(report, drawn)),
        ("terms", "How to read this", _terms(report)),
    ]
    return document(
        title=TITLE,
        header=f'<p class="lead">{_lead(report)}</p>{_tiles(report)}',
        sections=sections,
        footer="Made by Cairn, which changed nothing. The figures are in report.json, the pictures "
        "in plots/, every unreadable file and every picture that stands twice in the CSV tables "
        f"beside this page. Manifest {escape(report['fingerprint'][:16])}.",
    )


def _lead(report: Mapping[str, Any]) -> str:
    urgent = sum(step["severity"] == "act" for step in report["first"])
    about = escape(report["sentences"][0])
    if urgent:
        return f"{about} {urgent} {'kind' if urgent == 1 else 'kinds'} of fault should be mended."
    return f"{about} " + ("Nothing is urgent." if report["first"] else "No fault was found.")


def _tiles(report: Mapping[str, Any]) -> str:
    again = report["num_exact_duplicates"] + report["num_near_duplicates"]
    roles = report["roles"]
    tiles = [
        ("Images", report["num_images"], f"of {report['num_landmarks']:,} landmarks"),
        ("Unreadable", report["num_unreadable"], "files that give no picture"),
        ("Leaking", report["num_leaking_queries"], f"of {roles.get('query', 0):,} queries"),
        ("Two labels", report["num_pictures_with_two_labels"], "pictures"),
        ("Again", again, f"images; {report['num_exact_duplicates']:,} with equal bytes"),
        (
            "Single images",
            report["landmarks_by_images"].get("1", 0),
            f"of {report['num_gallery_landmarks']:,} landmarks to recognize",
        ),
    ]
    shown = ((name, f"{value:,}", basis) for name, value, basis in tiles)
    return tiles_html(shown, least_px=150)


def _first(report: Mapping[str, Any]) -> str:
    items = "".join(
        f'<li><span class="verdict {_BADGES[step["severity"]]}">{step["severity"]}</span>'
        f'<a href="#{step["name"]}">{escape(step["text"])}</a>{_command(step["command"])}</li>'
        for step in report["first"]
    )
    return f'<ol class="steps">{items}</ol>' if items else "<p>Nothing.</p>"


def _command(command: str) -> str:
    words = " ".join(f"<span>{escape(word)}</span>" for word in command.split(" "))
    return f'<code class="command">{words}</code>' if command else ""


def _unreadable(report: Mapping[str, Any], manifest: Manifest, looks: Looks) -> str:
    parts = []
    if report["num_unreadable"]:
        counts = [(why, f"{n:,}") for why, n in report["unreadable_reasons"].items()]
        shown = sorted(looks.reasons)[:_MOST_ROWS]
        paths = manifest.table["path"]
        rows = [(paths[row].as_py(), looks.reasons[row].reason) for row in shown]
        parts = [
            table_html("Reasons", ("Reason", "Files"), counts),
            table_html("Unreadable files", ("File", "Reason"), rows),
            _more(len(shown), report["num_unreadable"], "files", "unreadable.csv"),
        ]
    for name, said in (
        ("num_altered", "differ from the manifest’s sha256"),
        ("num_other_sizes", "have another width and height than the manifest states"),
    ):
        if report[name]:
            parts.append(f'<p class="note">{report[name]:,} files {said}.</p>')
    return "".join(parts)


def _leaks(report: Mapping[str, Any], sharing: Sharing, cards: Cards) -> str:
    parts = []
    if report["shared_by_roles"]:
        rows = [
            (
                " and ".join(role_name(role) for role in one["roles"]),
                f"{one['num_pictures']:,}",
                *(f"{count:,}" for count in one["images"]),
            )
            for one in report["shared_by_roles"]
        ]
        heads = ("Roles", "Pictures in both", "Images of the first", "Images of the second")
        parts.append(table_html("Pictures that roles share", heads, rows))
    leaks = np.flatnonzero(sharing.leaks)
    if len(leaks):
        parts = [
            "<p>A query whose picture was learned from, is recognized against, or sets the penalty "
            "is no test. Framed: the query.</p>",
            *parts,
            cards.cards(leaks[:_MOST_CARDS].tolist(), by="role"),
            _more(_MOST_CARDS, len(leaks), "pictures", "duplicates.csv"),
        ]
    return "".join(parts)


def _labels(report: Mapping[str, Any], sharing: Sharing, cards: Cards) -> str:
    differ = np.flatnonzero(sharing.labels_differ)
    if not len(differ):
        return ""
    leaks = sharing.leaks[differ]  # those are above already
    differ = np.concatenate([differ[~leaks], differ[leaks]])
    rows = [
        (*(name or "no landmark" for name in one["landmarks"]), f"{one['num_pictures']:,}")
        for one in report["shared_by_landmarks"][:_MOST_BARS]
    ]
    table = table_html("Landmarks that share pictures", ("Landmark", "Landmark", "Pictures"), rows)
    return (
        "<p>The same picture is said to show two landmarks, or one and none. One label is wrong, "
        "or the two landmarks are one.</p>"
        + table
        + cards.cards(differ[:_MOST_CARDS].tolist(), by="landmark")
        + _more(_MOST_CARDS, len(differ), "pictures", "duplicates.csv")
    )


def _again(report: Mapping[str, Any], sharing: Sharing, cards: Cards) -> str:
    plain = np.flatnonzero(~(sharing.leaks | sharing.labels_differ))
    if not len(plain):
        return "<p>Each of them leaks or bears two labels: see above.</p>" if len(sharing) else ""
    return (
        "<p>Within one landmark and one side of the split. Harmless to scores; they cost time and "
        "weigh twice in training. The largest groups come first.</p>"
        + cards.cards(plain[:_MOST_CARDS].tolist(), by="")
        + _more(_MOST_CARDS, len(plain), "pictures", "duplicates.csv")
    )


def _landmarks(report: Mapping[str, Any], drawn: Mapping[str, tuple[str, str]]) -> str:
    total = report["num_gallery_landmarks"]
    if not total:
        return "<p>No image of role gallery or train: nothing to recognize against.</p>"
    rows = [
        (name.replace("-", "–").replace(">", "more than "), f"{count:,}", f"{count / total:.0%}")
        for name, count in report["landmarks_by_images"].items()
    ]
    top = ", ".join(
        f"{share:.0%} show the top {name}"
        for name, share in report["share_of_images_of_top"].items()
    )
    return (
        f"<p>The largest landmark has {report['most_images_of_a_landmark']:,} images, the middle "
        f"one {report['median_images_per_landmark']:,}. Of all images, {top} of the landmarks.</p>"
        + _plots(drawn, ("landmarks", "ranks"))
        + table_html("Landmarks by size", ("Images", "Landmarks", "Share"), rows)
    )


def _values(report: Mapping[str, Any]) -> str:
    parts = [f"<div><h3>Role</h3>{_bars(report['roles'], report['num_images'])}</div>"]
    for column, title in _VALUES.items():
        values = report["values"].get(column)
        if values is None:
            continue
        counts = dict(list(values["images"].items())[:_MOST_BARS])
        rest = values["num_images"] - values["num_absent"] - sum(counts.values())
        if rest:
            counts[f"{values['num_values'] - len(counts):,} others"] = rest
        if values["num_absent"]:
            counts["not stated"] = values["num_absent"]
        natural = report["natural_by_category"] if column == "category" else {}
        key = ' <small class="natural">natural</small>' if natural else ""
        bars = _bars(counts, values["num_images"], natural)
        parts.append(f"<div><h3>{title}{key}</h3>{bars}</div>")
    absent = " or ".join(f"<code>{name}</code>" for name in report["absent_columns"])
    said = f"<p>The manifest has no column {absent}.</p>" if absent else ""
    return f'<div class="plots">{"".join(parts)}</div>{said}'


def _bars(counts: Mapping[str, int], total: int, natural: Mapping[str, int] | None = None) -> str:
    """Return bars; of what is ``natural`` the part in another colour."""
    most = max(counts.values(), default=1)
    part = {name: 100 * count / counts[name] for name, count in (natural or {}).items()
            if name in counts}  # fmt: skip
    items = "".join(
        f'<li><span class="name">{escape(name)}</span>'
        f'<span class="number">{count:,} <small>{count / max(total, 1):.1%}</small></span>'
        f'<span class="bar" style="width:{100 * count / most:.1f}%">'
        + (f'<i style="width:{part[name]:.1f}%"></i>' if name in part else "")
        + "</span></li>"
        for name, count in counts.items()
    )
    return f'<ul class="bars">{items}</ul>'


def _sizes(report: Mapping[str, Any], drawn: Mapping[str, tuple[str, str]]) -> str:
    sizes = report["sizes"]
    if not sizes:
        return ""
    pixels, sides = sizes["megapixels"], sizes["shorter_side"]
    said = (
        f"<p>The middle photograph has {pixels['median']:.2g} megapixels; the shorter side is "
        f"{sides['median']:,} pixels in the middle, {sides['least']:,} at least, and below 224 in "
        f"{sides['below_224']:,}. {sizes['num_wide']:,} are wide, {sizes['num_tall']:,} tall; all "
        f"files together have {_bytes(sizes['bytes'])}.</p>"
    )
    places = report["places"]
    if places:
        said += f"<p>{places['num_images']:,} photographs have coordinates.</p>"
    return said + _plots(drawn, ("sizes", "aspects", "years")) + _plots(drawn, ("map",), wide=True)


def _plots(
    drawn: Mapping[str, tuple[str, str]], names: Sequence[str], *, wide: bool = False
) -> str:
    figures = "".join(
        f'<figure class="plot" role="img" aria-label="{escape(drawn[name][0])}">'
        f"<h3>{escape(drawn[name][0])}</h3>{drawn[name][1]}</figure>"
        for name in names
        if name in drawn
    )
    kind = "plots wide" if wide else "plots"
    return f'<div class="{kind}">{figures}</div>' if figures else ""


def _terms(report: Mapping[str, Any]) -> str:
    looked = report["looked_at"]
    terms = {
        "Severity": "act: scores or training are wrong until it is done. look: a person has to "
        "decide. note: good to know.",
        "Same picture": "the same bytes; or a 128-bit hash that differs in at most "
        f"{report['rule']['max_bits']} bits and a 16 × 16 sketch that correlates at "
        f"{report['rule']['min_correlation']:g} or more. Resized, recompressed, toned and slightly "
        "trimmed copies are found; mirrored, turned and strongly cropped ones are not. Groups are "
        "closed: a picture like a second that is like a third is with both."
        + ("" if report["is_complete"] else " Very many are of nearly one hash, such as empty "
           "skies: of these only a part was compared."),
        "Landmarks": "counted over the images of role gallery, or where there are none, train.",
        "clean.parquet": f"{report['num_clean']:,} images: without unreadable files, without later "
        "copies within one landmark and role, and without images of other roles whose picture is a "
        "query’s.",
        "Speed": f"{looked['num_images']:,} photographs were looked at in "
        f"{looked['seconds']:,.0f} s"
        + (f", {looked['images_per_s']:,.0f} a second" if looked["images_per_s"] else "")
        + f"; {looked['num_recalled']:,} had been looked at before. Groups took "
        f"{report['seconds_of_grouping']:,.0f} s.",
    }  # fmt: skip
    return terms_html(terms)


def _bytes(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def _more(shown: int, total: int, what: str, file: str) -> str:
    if total <= shown:
        return f'<p class="note">The table is {file}.</p>'
    return f'<p class="note">The first {shown:,} of {total:,} {what}; all are in {file}.</p>'
