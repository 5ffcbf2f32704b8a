"""What an ablation will run: rows from the table and the weights at hand, recipes, places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cairn.ablation.folder import Place
from cairn.ablation.table import (
    Row,
    Table,
    builtin_tables,
    choose_rows,
    has_own_budget,
    read_table,
    recipe_of,
)
from cairn.ablation.transfer import transfer_rows
from cairn.config import Recipe, read_recipe
from cairn.errors import CairnError
from cairn.model import resolve

DEFAULT_TABLE = "ablation"


@dataclass(frozen=True)
class Plan:
    """All rows of an ablation, and where each goes.

    Args:
        root: The folder.
        table: The table that the rows come from.
        rows: All rows by name, those of transfer before the ensembles.
        base: The base recipe.
        num_seeds: Trainings of each row; the first has the recipe's seed.
        missing: For each backbone without weights a line that says so.
        chosen: Rows to run.
    """

    root: Path
    table: Table
    rows: Mapping[str, Row]
    base: Recipe
    num_seeds: int
    missing: tuple[str, ...]
    chosen: tuple[str, ...]

    @property
    def seeds(self) -> range:
        """The seeds, in order."""
        return range(self.base.seed, self.base.seed + self.num_seeds)

    def recipe(self, row: str, seed: int) -> Recipe | None:
        """Return what a row trains with a seed, its weights' own input said; None for nothing."""
        recipe = recipe_of(self.rows, row, self.base)
        if recipe is None:
            return None
        return recipe.model_copy(update={"seed": seed, "model": resolve(recipe.model)})

    def place(self, row: str, seed: int) -> Place:
        """Return where a row with a seed lies."""
        return Place(self.root, row, seed)

    def finished(self, row: str) -> list[Place]:
        """Return where the finished seeds of a row lie."""
        return [p for p in (self.place(row, seed) for seed in self.seeds) if p.finished]

    def has_own_budget(self, row: str) -> bool:
        """Return whether a row's epochs and image size are its own."""
        return has_own_budget(self.rows, row)


def make_plan(
    root: Path,
    *,
    table: str | Path | None = None,
    recipe: str | Path | None = None,
    overrides: Sequence[str] = (),
    rows: Sequence[str] = (),
    num_seeds: int,
    weights: Path | None = None,
) -> Plan:
    """Return the plan of an ablation, every recipe in it checked.

    Args:
        root: Its folder.
        table: A table, by name or file; by default the one of the recipe's name, or ``ablation``.
        recipe: The base recipe, by name or file; by default the table's.
        overrides: Of the base recipe, before any row changes it.
        rows: Rows to run, with what they cannot do without; none means all.
        num_seeds: Trainings of each row, one at least.
        weights: A folder of weights, each of which becomes rows of transfer.

    Raises:
        CairnError: A table, recipe, row or setting that does not exist, or no seed.
    """
    if num_seeds < 1:
        raise CairnError("an ablation needs a seed at least", where=f"--seeds {num_seeds}")
    if table is None:
        table = str(recipe) if str(recipe) in builtin_tables() else DEFAULT_TABLE
    read = read_table(table)
    base = read_recipe(read.recipe if recipe is None else recipe, overrides)
    transfer, missing = transfer_rows(read, weights)
    singles = {name: row for name, row in read.rows.items() if row.kind != "ensemble"}
    votes = {name: row for name, row in read.rows.items() if row.kind == "ensemble"}
    plan = Plan(
        root,
        read,
        {**singles, **transfer, **votes},
        base,
        num_seeds,
        tuple(missing.values()),
        tuple(choose_rows({**singles, **transfer, **votes}, rows)),
    )
    for row in plan.chosen:
        plan.recipe(row, base.seed)
    return plan
