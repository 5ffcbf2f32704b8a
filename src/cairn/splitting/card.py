"""The card of a benchmark: what was given, what was done, what it is worth, in Markdown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from cairn.splitting.split import REASONS

_MEANINGS = {
    "train": "known: trained on; recognized against where there is no part `gallery`",
    "gallery": "known: recognized against, never trained on",
    "bank": "shows no landmark: for the penalty",
    "query": "asked about; its landmark is known",
    "query-unseen": "asked about; its landmark has no known photograph, so that *none* is right",
    "query-nonlandmark": "asked about; shows no landmark",
}
_LIMITS = (
    "Copies are found by path, by bytes and, where photographs were looked at, by a 128-bit hash "
    "of the pixels confirmed by a small grey picture. Mirrored, turned and strongly cropped copies "
    "are not, and nothing was compared by an embedding.",
    "Two photographs of one scene are no leak here, unless a column bonds them: recognizing a "
    "landmark from another photograph is the task. Where one visitor's photographs from one spot "
    "are in the set, bond them: `--group author+taken:day`.",
    "A label that is wrong in the set that was given is wrong here. Photographs without a landmark "
    "are taken to show none of the landmarks.",
    "Shares hold over the whole: each group is drawn by its name, so a single landmark may have "
    "more or fewer queries than the share says.",
)

_FEW = 30
"""Known queries below which the card warns."""


def render_card(facts: Mapping[str, Any], manifest: str, tail: str, left_out: str) -> str:
    """Return the card.

    Args:
        facts: What `cairn.splitting.write` gathers.
        manifest: Name of the benchmark's file.
        tail: Name of the picture of the tail.
        left_out: Name of the list of images that were left out.
    """
    given, landmarks = facts["given"], facts["num_landmarks"]
    lines = [
        f"# {manifest}: a benchmark split without leaks",
        "",
        f"Made from `{given['name']}`: {given['num_images']:,} images, "
        f"{given['num_landmarks']:,} landmarks, {given['num_without_landmark']:,} images without a "
        "landmark.",
        "",
        f"**{facts['distractor_rate']:.2%} of the queries show no known landmark.** "
        f"{landmarks['known']:,} landmarks are known, {landmarks['asked about']:,} of them are "
        f"asked about, and {landmarks['unseen']:,} are asked about without being known.",
        "",
        "## Parts",
        "",
        *_table(
            ("part", "images", "what it is"),
            [(f"`{name}`", count, _MEANINGS[name]) for name, count in facts["parts"].items()],
        ),
        "",
        "## Long tail",
        "",
        f"The tail was {facts['tail']}." if facts["tail"].startswith("kept") else
        f"The tail imposed: {facts['tail']}; a landmark with fewer photographs keeps what it has.",
        "*Before* counts all labelled photographs that were given, *after* the known ones "
        "(`train` and `gallery`).",
        "",
        *_tail(facts),
        "",
        f"![Known landmarks ranked by photographs]({tail})",
        "",
        "## What hangs together",
        "",
        *_groups(facts["groups"]),
        "",
        "## Left out",
        "",
        *_left_out(facts, left_out),
        "",
        "## Check",
        "",
        *_check(facts["verification"]),
        "",
        "## Settings",
        "",
        *_table(("setting", "value"), [(f"`{k}`", v) for k, v in facts["settings"].items()]),
        "",
        "## Limits",
        "",
        *(f"- {limit}" for limit in _limits(facts)),
        "",
        "## Provenance and how to verify",
        "",
        f"- Command: `{shlex.join(('cairn', *map(str, facts['provenance']['command'][1:])))}`",
        f"- Cairn {facts['provenance']['versions'].get('cairn-landmarks', 'unknown')}, commit "
        f"{facts['provenance']['commit'] or 'unknown'}, {facts['provenance']['time']}",
        f"- Fingerprint of what was given: `{given['fingerprint']}`",
        f"- Fingerprint of this manifest: `{facts['fingerprint']}`",
        "",
        "The same command on the same manifest makes the same split, whatever the order of its "
        "rows. To check it again, photographs included:",
        "",
        "```console",
        f"$ cairn data verify {shlex.quote(manifest)} --look",
        "```",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _tail(facts: Mapping[str, Any]) -> list[str]:
    before, after = (facts["landmarks_by_images"][when] for when in ("before", "after"))
    sizes = [*before, *(name for name in after if name not in before)]
    rows: list[Sequence[Any]] = [
        (
            f"{name.replace('>', 'more than ')} photograph{'s' * (name != '1')}",
            before.get(name, 0),
            after.get(name, 0),
        )
        for name in sizes
    ]
    old, new = (facts["shares"][when] for when in ("before", "after"))
    for key in ("at most 2", "at most 5", "at most 10"):
        rows.append((f"*share with {key}*", f"{old[key]:.0%}", f"{new[key]:.0%}"))
    rows.append(("*mean*", f"{old['mean']:.1f}", f"{new['mean']:.1f}"))
    return _table(("landmarks with", "before", "after"), rows)


def _groups(groups: Mapping[str, Any]) -> list[str]:
    bonds = _table(("bond", "images it bonds"), list(groups["bonds"].items()))
    went = ", ".join(f"{name} {number:,}" for name, number in groups["went"].items())
    looked = "Photographs were compared by their pixels." if groups["looked"] else (
        "**Photographs were not looked at**: copies in other bytes may stand on both sides."
    )  # fmt: skip
    if not groups["complete"]:
        looked += " So many are nearly alike that only those next to each other in order were."
    return [
        looked,
        "",
        *bonds,
        "",
        f"{groups['number']:,} groups of two and more hold {groups['images']:,} images, the "
        f"largest {groups['largest']:,}."
        + (f" They went to one side each: {went}." if went else ""),
        "The column `leak_group` names the group of an image that has company.",
    ]  # fmt: skip


def _left_out(facts: Mapping[str, Any], name: str) -> list[str]:
    if not facts["left_out"]:
        return ["Nothing."]
    rows = [(key, count, REASONS[key]) for key, count in facts["left_out"].items()]
    return [*_table(("reason", "images", "meaning"), rows), "", f"Every one is named in `{name}`."]


def _check(verification: Mapping[str, Any]) -> list[str]:
    checked = ", ".join(verification["checked"])
    lines = [f"- {finding['text']}" for finding in verification["findings"]]
    head = "**It leaks:**" if verification["leaks"] else f"No leak was found. Compared: {checked}."
    missed = [f"- Not checked: {text}." for text in verification["not_checked"]]
    return [head, *([""] if lines or missed else []), *lines, *missed]


def _limits(facts: Mapping[str, Any]) -> list[str]:
    limits = list(_LIMITS)
    if facts["distractor_rate"] == 0:
        limits.append("Every query shows a known landmark: *unknown* is not tested.")
    known = facts["parts"].get("query", 0)
    if known < _FEW:
        limits.append(
            f"Only {known:,} queries show a known landmark: scores of so few say little, and their "
            "intervals are wide. A lower distractor rate keeps more."
        )
    return limits


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    def cell(value: Any) -> str:
        number = isinstance(value, int) and not isinstance(value, bool)
        text = "as it comes" if value is None else str(value)
        return f"{value:,}" if number else text.replace("|", "\\|")

    marks = ["---:" if rows and isinstance(rows[0][i], int) else "---" for i in range(len(heads))]
    return [
        f"| {' | '.join(heads)} |",
        f"|{'|'.join(marks)}|",
        *(f"| {' | '.join(map(cell, row))} |" for row in rows),
    ]
