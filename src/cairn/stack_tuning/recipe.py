"""A row of stages as a recipe: TOML that ``cairn.rerank.read_stages`` reads back the same."""

from __future__ import annotations

import json
from collections.abc import Sequence

from cairn.stack_tuning.space import Stages, table_of


def recipe_toml(stages: Stages, *, head: Sequence[str] = (), num_hits: int | None = None) -> str:
    """Return the recipe of a row of stages, with all values.

    Args:
        stages: The row.
        head: Lines of a comment before it.
        num_hits: How deep it searches; left to the default unless given.
    """
    lines = [f"# {line}".rstrip() for line in head]
    if num_hits is not None:
        lines += [f"num_hits = {num_hits}"]
    if not stages:
        return "\n".join([*lines, "stages = []  # the nearest image, as it is", ""])
    for stage in stages:
        lines += ["", "[[stages]]"]
        for name, value in table_of(stage).items():
            if value is not None:  # TOML has no null; the only nulls there are, are defaults
                lines.append(f"{name} = {json.dumps(value)}")
    return "\n".join([*lines, ""])
