"""What a search over stages may choose from: the stages, and choices for their parameters.

A recipe with choices is a recipe of stages in which a value may be a list::

    [[stages]]
    stage = "dense-penalty"
    weight = [0.25, 0.5, 1.0]

    [[stages]]
    stage = "query-penalty"
    top = [3, 10]
    optional = true          # the search may leave the stage out

    [[stages]]
    stage = "chance"         # without numbers: they are fitted (``cairn.stack_tuning.fitting``)

Every combination is checked as a recipe would be; those that a stage refuses together (``k2`` above
``k1``, say) are left out, and a value that no combination takes is an error.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias

from cairn.config.value import parse_value
from cairn.errors import CairnError, nearest
from cairn.rerank import NUM_HITS, STAGES, Pipeline, Stage, compose
from cairn.rerank.recipe import read_tables
from cairn.rerank.stage import VOTES
from cairn.rerank.voting import BestVote
from cairn.stack_tuning.fitting import ChanceToFit, asks_to_fit

Stages: TypeAlias = tuple[Stage, ...]
Table: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Slot:
    """A place in the row of stages, and what may stand there.

    Args:
        name: What it is called, the stage's name mostly.
        options: Each a stage, or a few that belong together; at least one.
        values: The choices behind the options: parameter -> values.
        optional: Whether it may stay empty.
    """

    name: str
    options: tuple[Stages, ...]
    values: Mapping[str, tuple[Any, ...]]
    optional: bool = False

    def __post_init__(self) -> None:
        if not self.options:
            raise CairnError("a place for a stage needs at least one option", where=self.name)

    @classmethod
    def of(
        cls,
        stage: str,
        values: Mapping[str, Sequence[Any]] | None = None,
        *,
        optional: bool = False,
        after: Sequence[Table] = (),
        where: str = "",
    ) -> Slot:
        """Return a stage with every combination of some values.

        Args:
            stage: Its name.
            values: Parameter -> choices; parameters that are not named keep their defaults.
            optional: Whether the stage may be left out.
            after: Tables of stages that come before it wherever it stands.
            where: The file they are from, for errors.

        Raises:
            CairnError: An unknown stage or parameter, no choices, or a value that no combination
                takes.
        """
        place = f"{where}, {stage}" if where else stage
        choices = {name: tuple(some) for name, some in (values or {}).items()}
        empty = next((name for name, some in choices.items() if not some), None)
        if empty is not None:
            raise CairnError(f"{empty!r} has no choices", where=place, todo="give at least one")
        before = compose(list(after)).stages
        # What works on votes alone is checked behind something that makes them.
        is_last = getattr(STAGES.get(stage), "takes", ()) == VOTES
        lead: list[Table] = [{"stage": "best-vote"}] if is_last else []
        is_fit = asks_to_fit(stage, choices, where=place)
        made, used, refusal = [], set(), None
        for combination in product(*choices.values()):
            table = dict(zip(choices, combination, strict=True))
            try:
                one: Stage = (
                    parse_value(ChanceToFit, table, where=place)
                    if is_fit
                    else compose([*lead, {"stage": stage, **table}]).stages[-1]
                )
                made.append((*before, one))
            except CairnError as error:
                refusal = refusal or error
            else:
                used |= {(name, repr(value)) for name, value in table.items()}
        for name, some in choices.items():
            bad = next((one for one in some if (name, repr(one)) not in used), None)
            if bad is not None and refusal is not None:
                raise CairnError(refusal.what, where=place, todo=refusal.todo)
        if refusal is not None and not made:
            raise CairnError(refusal.what, where=place, todo=refusal.todo)
        return cls(stage, tuple(made), choices, optional)

    def to_json(self) -> dict[str, Any]:
        """Return the name, the choices and how many options they make."""
        choices = {name: list(some) for name, some in self.values.items()}
        return {
            "stage": self.name,
            "choices": choices,
            "optional": self.optional,
            "num_options": len(self.options),
        }


@dataclass(frozen=True)
class Space:
    """Stages in a row, each with its options.

    Args:
        slots: In the order they run.
        num_hits: Hits of a query that all of them are given.

    Raises:
        CairnError: Stages that do not follow one another, or no hits.
    """

    slots: tuple[Slot, ...]
    num_hits: int = NUM_HITS

    def __post_init__(self) -> None:
        Pipeline(self.full([0] * len(self.slots)), self.num_hits)

    @property
    def size(self) -> int:
        """How many rows of stages it holds."""
        return math.prod(len(slot.options) + slot.optional for slot in self.slots)

    @property
    def depths(self) -> dict[str, int]:
        """How many entries a row any option looks at in what it needs, by need."""
        found: dict[str, int] = {}
        for stage in (one for slot in self.slots for option in slot.options for one in option):
            reach: Mapping[str, str] = getattr(stage, "reach", {})
            for need, value in reach.items():
                found[need] = max(found.get(need, 0), getattr(stage, value))
        return found

    def full(self, chosen: Sequence[int | None]) -> Stages:
        """Return the stages of one option a slot; None leaves the slot empty."""
        pairs = zip(self.slots, chosen, strict=True)
        parts = [() if at is None else slot.options[at] for slot, at in pairs]
        return tuple(stage for part in parts for stage in part)

    def choices(self) -> Iterator[tuple[int | None, ...]]:
        """Yield every way to choose, the last slot's options changing quickest.

        So the stages before it are run once for all of them.
        """
        ranges = []
        for slot in self.slots:
            options: list[int | None] = list(range(len(slot.options)))
            ranges.append([None, *options] if slot.optional else options)
        yield from product(*ranges)

    def follows(self, chosen: Sequence[int | None]) -> bool:
        """Return whether these stages follow one another: an optional one may make the votes."""
        try:
            Pipeline(self.full(chosen))
        except CairnError:
            return False
        return True


def read_space(path: Path) -> Space:
    """Return the space of a recipe with choices; a plain recipe is one with nothing to choose.

    Raises:
        CairnError: As ``cairn.rerank.recipe.read_tables``, or as ``Slot.of``.
    """
    tables, num_hits = read_tables(path)
    return space_of(tables, num_hits=num_hits, where=path)


def space_of(tables: Sequence[Table], *, num_hits: int = NUM_HITS, where: object = "") -> Space:
    """Return the space of tables in which a value may be a list of choices.

    Raises:
        CairnError: As ``Slot.of`` and ``Space``.
    """
    slots = []
    for number, table in enumerate(tables, start=1):
        place = f"{where}: stage {number}" if str(where) else f"stage {number}"
        rest = dict(table)
        name, optional = rest.pop("stage", None), rest.pop("optional", False)
        if not isinstance(name, str):
            raise CairnError(
                "a stage must say which it is", where=place, todo='write stage = "sum-votes", say'
            )
        if name not in STAGES:
            raise CairnError(f"unknown stage {name!r}", where=place, todo=nearest(name, STAGES))
        if not isinstance(optional, bool):
            raise CairnError("optional is true or false", where=place)
        choices = {
            key: value if isinstance(value, list) else [value] for key, value in rest.items()
        }
        slots.append(Slot.of(name, choices, optional=optional, where=place))
    return Space(tuple(slots), num_hits)


def runnable(stages: Stages) -> Stages:
    """Return stages with the best hit's vote before the first that works on votes and has none.

    Raises:
        CairnError: They do not follow one another for another reason.
    """
    for at, stage in enumerate(stages):
        if stage.gives == VOTES and stage.takes != VOTES:
            break
        if stage.takes == VOTES:
            vote: Stage = BestVote()
            stages = (*stages[:at], vote, *stages[at:])
            break
    Pipeline(stages)
    return stages


def key_of(stages: Sequence[Stage]) -> str:
    """Return a text that is the same for the same stages with the same values."""
    return json.dumps([table_of(stage) for stage in stages], sort_keys=True)


def table_of(stage: Stage) -> dict[str, Any]:
    """Return a stage with all its values, as a recipe has it."""
    dump = getattr(stage, "model_dump", dict)
    return {"stage": stage.name, **dump()}


def said(stages: Sequence[Stage]) -> str:
    """Return stages in few words: their names, and the values that are not the defaults."""
    parts = []
    for stage in stages:
        plain = table_of(type(stage)())
        told = [
            f"{name} {f'{value:g}' if isinstance(value, float) else value}"
            for name, value in table_of(stage).items()
            if plain[name] != value
        ]
        parts.append(" ".join([stage.name, *told]))
    return "; ".join(parts) or "the nearest image"
