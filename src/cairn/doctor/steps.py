"""What to do first: the lists in the order of how sure and how grave they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PLANS: tuple[tuple[str, str, str, str, str, str], ...] = (
    # the list, severity, its key in the counts, one, many, what follows
    (
        *("contradictions", "act", "contradictions_copies"),
        *("pair of copies stands", "pairs of copies stand"),
        "under two landmarks: one of the labels is wrong, or the two landmarks are one.",
    ),
    (
        *("outliers", "act", "outliers_act"),
        *("image looks", "images look"),
        "like another landmark throughout: check the labels.",
    ),
    (
        *("collisions", "act", "collisions_merge"),
        *("pair of landmarks looks", "pairs of landmarks look"),
        "like one: look at the pictures and merge them.",
    ),
    (
        *("attracting", "act", "attracting_act"),
        *("image resembles", "images resemble"),
        "pictures of nothing more than the landmark's own: take out what does not show it.",
    ),
    (
        *("contradictions", "look", "contradictions_near"),
        *("pair of images is", "pairs of images are"),
        "nearly the same picture under two landmarks: look which label is wrong.",
    ),
    (
        *("redundant", "act", "redundant_copies"),
        *("image is a copy", "images are copies"),
        "of another one of the same landmark and can go.",
    ),
    (
        *("attracting", "look", "attracting_look"),
        *("image attracts", "images attract"),
        "pictures of nothing at full penalty: look whether the landmark is in the picture.",
    ),
    (
        *("collisions", "look", "collisions_look"),
        *("pair of landmarks", "pairs of landmarks"),
        "may be one, or lookalikes: look at the pictures.",
    ),
    (
        *("outliers", "look", "outliers_look"),
        *("image resembles", "images resemble"),
        "no other of the same landmark: an odd view, or a picture of something else.",
    ),
    (
        *("redundant", "note", "redundant_near"),
        *("image is", "images are"),
        "nearly the same picture as another one of the same landmark, and may go.",
    ),
    (
        *("singles", "note", "singles"),
        *("landmark has", "landmarks have"),
        "one image, which nothing can confirm: add more.",
    ),
)


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Args:
        name: The list it is about.
        severity: As in the lists.
        count: How many findings.
        text: What they are and what to do, in a sentence.
        command: A command line for the first of them, or for all; may be empty.
    """

    name: str
    severity: str
    count: int
    text: str
    command: str


def steps_of(counts: Mapping[str, Any], lists: Mapping[str, Mapping[str, Any]]) -> list[Step]:
    """Return what to do, in order; nothing for lists without findings.

    Args:
        counts: Of findings, as checkup.json has them.
        lists: The lists, as there.
    """
    steps = []
    for name, severity, key, one, many, rest in _PLANS:
        count = counts[key]
        if not count:
            continue
        text = f"{count:,} {one if count == 1 else many} {rest}"
        command = lists[name]["commands"].get(severity, "")
        steps.append(Step(name, severity, count, text, command))
    return steps
