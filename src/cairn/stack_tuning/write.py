"""The folder of a tuning: the recipe, all numbers, the tables and the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cairn.runs import atomic_write, provenance, write_json
from cairn.stack_tuning import summary
from cairn.stack_tuning.outcome import Outcome
from cairn.stack_tuning.page import page
from cairn.stack_tuning.recipe import recipe_toml

RESULT = "tuning.json"
"""Written last: a folder without it is unfinished, and is gone on with."""


def write_tuning(folder: Path, outcome: Outcome, *, gallery: str, facts: Mapping[str, Any]) -> None:
    """Write ``recipe.toml``, ``ablation.md``, ``report.html`` and ``tuning.json``.

    Args:
        folder: Where the trials are.
        outcome: What came of them.
        gallery: What was tuned, as it was named.
        facts: More for the provenance, such as fingerprints.
    """
    chosen = outcome.tuned.stages
    gains = [
        f"gain in GAP on {name}: {summary.signed(one.gain(chosen, ()))}"
        for name, one in summary.sets_of(outcome).items()
    ]
    head = [f"Chosen by `cairn tune {gallery}`; {RESULT} has all numbers.", *gains]
    texts = {
        "recipe.toml": recipe_toml(outcome.tuned.recipe, head=head, num_hits=outcome.num_hits),
        "ablation.md": summary.markdown(outcome),
        "report.html": page(outcome, gallery=gallery, recipe=str(folder / "recipe.toml")),
    }
    for name, text in texts.items():
        with atomic_write(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_json(folder / RESULT, {**outcome.to_json(), "provenance": provenance(**facts)})
