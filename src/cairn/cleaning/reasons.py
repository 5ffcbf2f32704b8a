"""Why something is suggested, in a sentence or two, from the numbers behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def label_reason(kind: str, facts: Mapping[str, Any]) -> str:
    """Return why a label is doubted.

    Args:
        kind: The kind of suggestion.
        facts: ``own``, ``other`` and ``bank`` of the ``asked`` nearest, by what they show;
            ``own_best`` and ``other_best`` similarities; ``others`` of its landmark, ``chained`` to
            it; the names ``landmark`` and ``target``; whether it is ``merging``.
    """
    nearest = f"{facts['own']} of the {facts['asked']} nearest show {facts['landmark']}"
    if facts["target"]:
        nearest += f", {facts['other']} show {facts['target']}"
    if facts["bank"]:
        nearest += f", {facts['bank']} are of the bank"
    own = (
        f"the nearest of the {facts['others']:,} others of its landmark is "
        f"{_two(facts['own_best'])} alike"
    )
    if facts["others"] == 1:
        own = f"the other one of its landmark is {_two(facts['own_best'])} alike"
    if facts["target"]:
        own += f", that of {facts['target']} {_two(facts['other_best'])}"
    chain = (
        "it is in no chain of mutual neighbours there"
        if not facts["chained"]
        else f"it is in a chain of mutual neighbours with {facts['chained']:,} of them"
    )
    end = ""
    if facts["merging"]:
        end = (
            f" Half of {facts['landmark']} or more looks like {facts['target']}: "
            "perhaps they are one."
        )
    elif facts["others"] == 1:
        end = " Two photographs are not enough to tell which of them is wrong."
    elif kind == "drop":
        end = " It looks like no landmark here."
    return f"{nearest}; {own}; {chain}.{end}"


def bank_reason(facts: Mapping[str, Any]) -> str:
    """Return why an image of the bank looks like a landmark; facts as in `label_reason`."""
    return (
        f"{facts['other']} of the {facts['asked']} nearest show {facts['target']}, "
        f"{facts['bank']} are of the bank; the nearest of {facts['target']} is "
        f"{_two(facts['other_best'])} alike."
    )


def _two(value: float) -> str:
    return f"{value:.2f}"
