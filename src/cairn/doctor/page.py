"""A checkup as one HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from cairn.doctor.cards import Cards, command_html
from cairn.domain import Credit
from cairn.pages import Section, Thumbnails, document, table_html, terms_html, tiles_html

TITLE = "Gallery checkup"
_LISTS = {
    "contradictions": (
        "One picture under two landmarks",
        "Copies and nearly equal pictures whose labels differ; one label is wrong, or the two "
        "landmarks are one.",
    ),
    "outliers": (
        "Images unlike their landmark",
        "All nearest images are of other landmarks. A wrong label, a picture of something else, or "
        "a view that nobody else took: only the last is worth keeping.",
    ),
    "collisions": (
        "Landmarks that collide",
        "Images whose nearest image shows the other landmark: recognition mixes these up.",
    ),
    "attracting": (
        "Images that attract non-landmarks",
        "Pictures of no landmark pick these. The penalty discounts them in every search; an image "
        "that shows its landmark badly costs more than it brings.",
    ),
    "redundant": (
        "The same picture again within a landmark",
        "One of each group is enough. Nothing is lost with the others but time and memory.",
    ),
    "singles": (
        "Landmarks with one image",
        "Nothing in the gallery can confirm or contradict these; those most like another landmark "
        "come first.",
    ),
}


def render_page(
    checkup: Mapping[str, Any],
    names: Mapping[str, str],
    *,
    pages: Mapping[str, str] | None = None,
    credits: Mapping[str, Credit] | None = None,
) -> str:
    """Return the page's HTML, photographs included.

    Args:
        checkup: What checkup.json holds.
        names: Names of landmarks for people, by id.
        pages: Addresses of pages about landmarks, by id.
        credits: Whose the photographs are, by image id.
    """
    cards = Cards(Thumbnails(), names, pages or {}, credits or {})
    sections: list[Section] = [("first", "What to do first", _first(checkup))]
    for name, (heading, text) in _LISTS.items():
        if found := checkup["lists"].get(name):
            sections.append((name, heading, _list(cards, name, text, found)))
    sections += [
        ("sizes", "Landmarks by number of images", _sizes(checkup)),
        ("terms", "How to read this", _terms(checkup)),
    ]
    return document(
        title=TITLE,
        header=f'<p class="lead">{_lead(checkup)}</p>{_tiles(checkup)}',
        sections=sections,
        footer="Made by Cairn, which changed nothing. The same findings are in checkup.json, every "
        "one of them in the CSV tables beside it.",
    )


def _lead(checkup: Mapping[str, Any]) -> str:
    gallery, first = checkup["gallery"], checkup["first"]
    text = f"{gallery['num_images']:,} images of {gallery['num_landmarks']:,} landmarks"
    urgent = sum(step["severity"] == "act" for step in first)
    if urgent:
        return f"{text}. {urgent} kind{'s' if urgent > 1 else ''} of fault should be mended."
    return f"{text}. " + ("Nothing is urgent." if first else "Nothing was found.")


def _tiles(checkup: Mapping[str, Any]) -> str:
    counts = checkup["counts"]
    health = checkup["leave_one_out"]
    tiles = [
        (
            "Recognize each other",
            "–" if health is None else f"{health:.1%}",
            "images whose nearest one shows the same landmark",
        ),
        ("Contradictions", counts["contradictions"], "pairs of one picture, two landmarks"),
        ("Outliers", counts["outliers"], f"{counts['outliers_act']:,} look like another landmark"),
        ("Collisions", counts["collisions"], f"{counts['collisions_merge']:,} look like one"),
        ("Attracting", counts["attracting"], "images with a penalty"),
        ("Redundant", counts["redundant"], f"{counts['redundant_copies']:,} are copies"),
        ("Single images", counts["singles"], "landmarks that nothing can confirm"),
    ]
    shown = ((name, _number(value), basis) for name, value, basis in tiles)
    return tiles_html(shown, least_px=150)


def _first(checkup: Mapping[str, Any]) -> str:
    badge = {"act": "wrong", "look": "look", "note": "none"}
    items = "".join(
        f'<li><span class="verdict {badge[step["severity"]]}">{step["severity"]}</span>'
        f'<a href="#{step["name"]}">{escape(step["text"])}</a>'
        + (command_html(step["command"]) if step["command"] else "")
        + "</li>"
        for step in checkup["first"]
    )
    steps = f'<ol class="steps">{items}</ol>' if items else "<p>Nothing.</p>"
    if not checkup["gallery"]["has_penalty"]:
        steps += (
            "<p>No penalty table was looked at, so nothing is known of images that attract "
            "non-landmarks. <code>cairn penalize</code> makes one.</p>"
        )
    return (
        f'{steps}<p class="note">A command is for the first finding of its kind, or for all of '
        "them where it names a file.</p>"
    )


def _list(cards: Cards, name: str, text: str, found: Mapping[str, Any]) -> str:
    shown, total = found["shown"], found["num_findings"]
    if not total:
        return ""
    what = "groups" if name in ("contradictions", "redundant") else "findings"
    where = (
        f"The first {len(shown):,} of {total:,} {what}; all are in {found['file']}."
        if len(shown) < total
        else f"The table is {found['file']}."
    )
    return f'<p>{text} <span class="note">{where}</span></p>{cards.cards(name, shown)}'


def _sizes(checkup: Mapping[str, Any]) -> str:
    total = checkup["gallery"]["num_landmarks"]
    rows = [
        (name.replace("-", "–").replace(">", "more than "), f"{count:,}", f"{count / total:.0%}")
        for name, count in checkup["landmarks_by_images"].items()
    ]
    return table_html("Landmarks by size", ("Images", "Landmarks", "Share"), rows)


def _terms(checkup: Mapping[str, Any]) -> str:
    rule, memory = checkup["rule"], checkup["memory"]
    terms = {
        "Severity": "act: the numbers leave little doubt, and a look at the pictures settles it. "
        "look: a person should. note: nothing to do at once.",
        "Nearest images": f"of each image the {rule['num_neighbors']} most similar other ones, "
        "found exactly.",
        "Nearly equal": f"a similarity of {rule['near']:g} or more. What copies of one photograph "
        "reach depends on the model; the table below counts at other thresholds (--near)."
        + _crowded(checkup),
        "Outlier": f"its {rule['outlier_neighbors']} nearest images are all of other landmarks, "
        f"and its own has at least {rule['outlier_images']} images. It looks like another landmark "
        f"where all {rule['outlier_neighbors']} agree on one, with a similarity that is usual "
        f"within landmarks ({_number(checkup['usual_similarity'])}), and none of its own is half "
        "as alike.",
        "Usual": "three images in four are at least so alike to the nearest one of their landmark.",
        "Collision": f"{rule['min_votes']} or more images whose nearest one shows the other "
        "landmark. Two look like one where the smaller one’s images do so at least "
        f"{rule['merge']:.0%} as often as they would if labels had been dealt by chance, and are "
        "as alike as is usual within landmarks.",
        "Memory": f"{_bytes(memory['vectors'])} of vectors, {_bytes(memory['neighbors'])} of "
        f"nearest images, {_bytes(memory['peak'])} at most in all.",
        "Model": f"{checkup['gallery']['fingerprint']}, {checkup['gallery']['dimension']} "
        "dimensions.",
    }
    rows = [
        (
            f"{row['threshold']:g}",
            f"{row['within_landmarks']:,}",
            f"{row['across_landmarks']:,}",
        )
        for row in checkup["near_counts"]
    ]
    heads = ("Similarity", "Of the same landmark", "Of another landmark")
    table = table_html("Images with an image as alike or more", heads, rows)
    return f"{terms_html(terms)}<h3>Images that have one as alike, or more</h3>{table}"


def _crowded(checkup: Mapping[str, Any]) -> str:
    count = checkup["num_crowded"]
    if not count:
        return ""
    return (
        f" {count:,} images have so many that all their nearest ones are: pairs may have been "
        "missed there (--num-neighbors)."
    )


def _number(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _bytes(count: int | None) -> str:
    return "an unknown amount" if count is None else f"{count / 1e6:,.0f} MB"
