"""The rows of an ablation, read from TOML: what each changes, in what, and to answer what.

A row is data. It names its reference row and says what it changes in that row's recipe; the chain
of references ends at a row that changes the table's base recipe. Rows share one budget: a row may
not change epochs, batch size, image size or augmentation, unless it starts from a recipe of its
own, and then it is marked so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from cairn.config import (
    Recipe,
    Value,
    builtin_names,
    builtin_recipes,
    merged,
    parse_value,
    read_recipe,
    read_values,
)
from cairn.errors import CairnError, nearest

_BUDGET = ("train.epochs", "train.batch_size", "model.preprocess", "augment", "stages")
_SHARED = ("name", "seed", "validation")


class Row(Value):
    """One row.

    Attributes:
        title: For the table.
        question: What the row is there to answer.
        reference: The row that it is compared with, and whose recipe it changes.
        kind: ``train``; ``penalty``, the reference's models with the non-landmark penalty, nothing
            trained; or ``ensemble``, a weighted vote of the best rows on the validation, compared
            with the best of them.
        changes: What the recipe says otherwise, section by section.
        recipe: Start from this recipe (a name or file) in place of the reference's; the row then
            has a budget of its own.
        members: ``ensemble`` only: how many rows vote, at most.
    """

    title: str
    question: str
    reference: str | None = None
    kind: Literal["train", "penalty", "ensemble"] = "train"
    changes: dict[str, Any] = Field(default_factory=dict)
    recipe: str | None = None
    members: int = Field(3, ge=2, le=5)

    @model_validator(mode="after")
    def _consistent(self) -> Row:
        if self.kind != "train" and (self.changes or self.recipe):
            raise ValueError(f"a row of kind {self.kind} trains nothing: no changes, no recipe")
        if self.kind == "penalty" and self.reference is None:
            raise ValueError("a row of kind penalty needs the reference whose models it penalizes")
        if self.kind == "ensemble" and self.reference is not None:
            raise ValueError("an ensemble is compared with its best member; leave out reference")
        shared = next((key for key in _SHARED if key in self.changes), None)
        if shared is not None:
            raise ValueError(f"no row may change {shared}: all rows share it")
        if self.recipe is None:
            unequal = next((place for place in _BUDGET if _says(self.changes, place)), None)
            if unequal is not None:
                raise ValueError(
                    f"changes {unequal}, but rows have equal budgets; give the row a recipe of its "
                    "own where that is meant"
                )
        return self


class Published(Value):
    """Figures of another data set that stand beside the table, never in it.

    Attributes:
        title: The model, as published.
        validation: GAP on the publication's validation.
        public: GAP on the public test.
    """

    title: str
    validation: float | None = None
    public: float | None = None


class Table(Value):
    """All rows of an ablation.

    Attributes:
        recipe: The base recipe, a name or a file.
        rows: By name, in order; the name is a folder's.
        transfer: Templates of rows that each backbone with weights at hand becomes; ``{backbone}``
            in a title is its name, and a reference may be another template.
        wanted: Backbones for which weights are looked for: the beginning of a timm name -> title.
        published: Published figures.
    """

    recipe: str
    rows: dict[str, Row]
    transfer: dict[str, Row] = Field(default_factory=dict)
    wanted: dict[str, str] = Field(default_factory=dict)
    published: tuple[Published, ...] = ()

    @model_validator(mode="after")
    def _linked(self) -> Table:
        for name, row in {**self.rows, **self.transfer}.items():
            if not name.strip() or name.startswith(".") or any(mark in name for mark in "/\\\0,"):
                raise ValueError(
                    f"a folder will bear the name of a row, which {name!r} does not suit"
                )
            if row.reference is not None and row.reference not in {**self.rows, **self.transfer}:
                raise ValueError(
                    f"row {name!r} refers to {row.reference!r}; {nearest(row.reference, self.rows)}"
                )
        for name in self.rows:
            lineage(self.rows, name)
        return self


def builtin_tables() -> list[str]:
    """Return the names of the tables that come with the package."""
    return builtin_names(_tables())


def read_table(source: str | Path) -> Table:
    """Return the table in a TOML file, or the built-in one of that name.

    A table may build on another: ``base = "ablation"``; what it says is laid over that.

    Raises:
        CairnError: No such table, not TOML, an unknown key, a row that refers to none, a circle of
            references, or a row with another budget than the rest.
    """
    values = read_values(source, _tables(), noun="table of rows", adjust=_find_recipes)
    return parse_value(Table, values, where=source)


def lineage(rows: Mapping[str, Row], name: str) -> list[str]:
    """Return ``name`` and the rows it goes back to, itself first.

    Raises:
        ValueError: The references go round in a circle.
    """
    found = [name]
    while (reference := rows[found[-1]].reference) is not None and reference in rows:
        if reference in found:
            raise ValueError(f"references go round: {' -> '.join([*found, reference])}")
        found.append(reference)
    return found


def recipe_of(rows: Mapping[str, Row], name: str, base: Recipe) -> Recipe | None:
    """Return the recipe that row ``name`` trains, or None where it trains nothing.

    The changes of its lineage are laid over ``base``, or over the recipe that one of them starts
    from; seed and validation are those of ``base``, so that all rows are scored on the same split.

    Raises:
        CairnError: A change is none that a recipe knows.
    """
    if rows[name].kind != "train":
        return None
    chain: list[Row] = []
    for one in lineage(rows, name):
        chain.append(rows[one])
        if rows[one].recipe is not None:
            break
    start = chain[-1].recipe
    values = (base if start is None else read_recipe(start)).model_dump(exclude_unset=True)
    for row in reversed(chain):
        values = merged(values, row.changes)
    shared = {"name": name, "seed": base.seed, "validation": base.validation.model_dump()}
    return parse_value(Recipe, {**values, **shared}, where=f"row {name!r}")


def has_own_budget(rows: Mapping[str, Row], name: str) -> bool:
    """Return whether the row goes back to a recipe of its own."""
    return any(rows[one].recipe is not None for one in lineage(rows, name))


def choose_rows(rows: Mapping[str, Row], wanted: Sequence[str]) -> list[str]:
    """Return the names in ``wanted`` and those that they cannot do without, in the table's order.

    Nothing wanted means all. A penalty row cannot do without its reference's models.

    Raises:
        CairnError: There is no such row.
    """
    unknown = next((name for name in wanted if name not in rows), None)
    if unknown is not None:
        raise CairnError(f"no row {unknown!r}", where="--rows", todo=nearest(unknown, rows))
    chosen = set(wanted or rows)
    chosen |= set(_needed(rows, chosen))
    return [name for name in rows if name in chosen]


def _needed(rows: Mapping[str, Row], chosen: Iterable[str]) -> Iterable[str]:
    for name in chosen:
        for one, before in zip(lineage(rows, name), lineage(rows, name)[1:], strict=False):
            if rows[one].kind != "penalty":
                break
            yield before


def _says(changes: Mapping[str, Any], place: str) -> bool:
    value: Any = changes
    for key in place.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return False
        value = value[key]
    return True


def _tables() -> Traversable:
    return resources.files("cairn.ablation") / "tables"


def _find_recipes(values: dict[str, Any], path: Path) -> None:
    """Make paths of recipes start at the folder of the table that names them, as ``base`` does."""
    sections = (values.get("rows"), values.get("transfer"))
    rows = [row for one in sections if isinstance(one, dict) for row in one.values()]
    for one in (values, *(row for row in rows if isinstance(row, dict))):
        if isinstance(one.get("recipe"), str) and one["recipe"] not in builtin_recipes():
            one["recipe"] = str(path.parent / one["recipe"])
