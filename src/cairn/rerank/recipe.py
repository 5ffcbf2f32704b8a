"""Stages in a row: read from a recipe, checked before they run, refused by a service if need be.

A recipe is a TOML file with one table a stage, in the order they run, and how deep to search::

    num_hits = 100

    [[stages]]
    stage = "dense-penalty"
    weight = 0.5

    [[stages]]
    stage = "sum-votes"
    num_hits = 3
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cairn.config.value import parse_value
from cairn.domain import Int64, Neighbors
from cairn.errors import CairnError, nearest
from cairn.rerank.answers import Answer, Float64, Votes
from cairn.rerank.batch import Demote, Quantile
from cairn.rerank.chance import Chance, require_numbers
from cairn.rerank.confidence import SoftConfidence
from cairn.rerank.context import Context, require
from cairn.rerank.expansion import AlphaExpansion
from cairn.rerank.head import HeadProduct, HeadSum
from cairn.rerank.head_best import HeadBest
from cairn.rerank.nonlandmark import DensePenalty, Penalty
from cairn.rerank.queryside import CutOff, DistractorPenalty, QueryPenalty
from cairn.rerank.reciprocal import KReciprocal
from cairn.rerank.stage import VOTES, Kind, Stage
from cairn.rerank.superglobal import SuperGlobal
from cairn.rerank.verification import Verify
from cairn.rerank.voting import BestVote, SumVotes

STAGES: dict[str, type[Any]] = {
    kind.name: kind
    for kind in (
        AlphaExpansion,
        BestVote,
        Chance,
        CutOff,
        Demote,
        DensePenalty,
        DistractorPenalty,
        HeadBest,
        HeadProduct,
        HeadSum,
        KReciprocal,
        Penalty,
        Quantile,
        QueryPenalty,
        SoftConfidence,
        SumVotes,
        SuperGlobal,
        Verify,
    )
}
"""All stages by the name that recipes call them."""

NUM_HITS = 100
"""Hits of a query that stages are given where a recipe does not say how many."""


@dataclass(frozen=True)
class Pipeline:
    """Stages one after the other; ``compose`` makes it.

    Args:
        stages: In the order they run.
        num_hits: Hits of a query that are searched for; at least 1.

    Raises:
        CairnError: A stage works on hits and the one before it gives votes, or the reverse; or
            ``num_hits`` is out of range.
    """

    stages: tuple[Stage, ...]
    num_hits: int = NUM_HITS

    def __post_init__(self) -> None:
        if self.num_hits < 1:
            raise CairnError("num_hits must be at least 1", where=f"num_hits = {self.num_hits}")
        self._flow()

    def __call__(self, found: Neighbors, context: Context) -> Answer:
        """Return what becomes of the hits.

        Args:
            found: (Q, K) hits.
            context: What is known of gallery and queries.

        Raises:
            CairnError: The context lacks what a stage needs, or is of other queries.
        """
        self.require(context)
        num = context.queries.num_queries
        if num is not None and num != found.num_queries:
            raise CairnError(f"the context is of {num} queries and the hits of {found.num_queries}")
        num_rows = context.gallery.num_rows
        if num_rows is not None and found.indices.size and found.indices.max() >= num_rows:
            raise CairnError(
                f"a hit is gallery row {found.indices.max()} and the context has {num_rows} rows",
                todo="give hits and context of the same gallery",
            )
        answer: Answer = found
        for stage in self.stages:
            answer = stage(answer, context)
        return answer

    def votes(self, found: Neighbors, context: Context) -> Votes:
        """Return votes for landmarks: where the stages end in hits, the best hit of each speaks.

        Raises:
            CairnError: As a call; or the gallery's landmarks are missing.
        """
        return self.both(found, context)[1]

    def both(self, found: Neighbors, context: Context) -> tuple[Neighbors, Votes]:
        """Return the hits as they are handed to what votes, and the votes.

        Raises:
            CairnError: As ``votes``.
        """
        on_hits, on_votes = self.parted()
        hits = on_hits(found, context)
        assert isinstance(hits, Neighbors)
        votes = on_votes(hits, context)
        assert isinstance(votes, Votes)
        return hits, votes

    def parted(self) -> tuple[Pipeline, Pipeline]:
        """Return the stages that give hits, and the rest, which gives votes.

        Where no stage makes votes, the rest is the best hit of each landmark.
        """
        num = next(
            (at for at, stage in enumerate(self.stages) if stage.gives == VOTES), len(self.stages)
        )
        rest = self.stages[num:] or (BestVote(),)
        return replace(self, stages=self.stages[:num]), replace(self, stages=rest)

    @property
    def gives(self) -> Kind:
        """What comes out: hits or votes."""
        return self._flow()

    @property
    def online(self) -> bool:
        """Whether what it says of a photograph hangs on that photograph alone."""
        return not self.transductive

    @property
    def needs(self) -> tuple[str, ...]:
        """What the context must hold, by name, each once."""
        return tuple(dict.fromkeys(need for stage in self.stages for need in stage.needs))

    @property
    def depths(self) -> dict[str, int]:
        """How many entries a row stages look at in what they need, by need; the deepest of all."""
        found: dict[str, int] = {}
        for stage in self.stages:
            reach: Mapping[str, str] = getattr(stage, "reach", {})
            for need, value in reach.items():
                found[need] = max(found.get(need, 0), getattr(stage, value))
        return found

    def taken(self, rows: Int64, context: Context) -> Float64:
        """Return (N,) what penalties take off the similarity of gallery rows (N,) to every query.

        What depends on the query, as ``query-penalty`` does, is not in it.
        """
        whole = np.zeros(len(rows))
        for stage in self.stages:
            taken: Callable[[Int64, Context], Float64] | None = getattr(stage, "taken", None)
            if taken is not None:
                whole += taken(rows, context)
        return whole

    def require(self, context: Context) -> None:
        """Refuse a context that lacks something.

        Raises:
            CairnError: It says which stage needs what.
        """
        for stage in self.stages:
            require(stage.needs, context.given, stage=stage.name)

    @property
    def transductive(self) -> tuple[str, ...]:
        """The stages that look at the whole batch of queries, by name."""
        return tuple(stage.name for stage in self.stages if stage.batch)

    def to_json(self) -> list[dict[str, Any]]:
        """Return the stages with all their values, as a recipe has them."""
        return [{"stage": stage.name, **_values(stage)} for stage in self.stages]

    def _flow(self) -> Kind:
        kind: Kind = "hits"
        for number, stage in enumerate(self.stages, start=1):
            if kind not in stage.takes:
                makers = sorted(
                    n for n, s in STAGES.items() if "hits" in s.takes and s.gives[0] == "votes"
                )
                todo = (
                    f"put one of {', '.join(makers)} before it"
                    if kind == "hits"
                    else "put it before the stage that makes votes of hits"
                )
                raise CairnError(
                    f"stage {stage.name!r} works on {stage.takes[0]} and is given {kind}",
                    where=f"stage {number} of {len(self.stages)}",
                    todo=todo,
                )
            kind = kind if len(stage.gives) > 1 else stage.gives[0]
        return kind


def compose(
    stages: Sequence[Stage | Mapping[str, Any]],
    *,
    num_hits: int = NUM_HITS,
    where: object = "",
    online: bool = False,
) -> Pipeline:
    """Return stages as one pipeline.

    Args:
        stages: Stages, or tables of a recipe: ``{"stage": name, ...its values}``.
        num_hits: Hits of a query that are searched for.
        where: The file they are from, for errors.
        online: Refuse stages that need the whole batch.

    Raises:
        CairnError: An unknown stage or value (with the nearest name), a value out of range, stages
            that do not follow one another, or one that needs the batch.
    """
    made = tuple(
        _stage(stage, f"{where}: stage {number}" if str(where) else f"stage {number}")
        if isinstance(stage, Mapping)
        else stage
        for number, stage in enumerate(stages, start=1)
    )
    pipeline = Pipeline(made, num_hits)
    if online:
        require_online(pipeline)
    return pipeline


def read_stages(path: Path, *, online: bool = False) -> Pipeline:
    """Return the pipeline of a recipe: a TOML file with a ``[[stages]]`` table for each.

    Raises:
        CairnError: As ``read_tables``; it has a ``chance`` without its numbers; or as ``compose``.
    """
    tables, num_hits = read_tables(path)
    require_numbers(tables, where=path)
    return compose(tables, num_hits=num_hits, where=path, online=online)


def read_tables(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return a recipe's tables, a stage each, as they stand in its file, and its ``num_hits``.

    Raises:
        CairnError: The file is missing or not TOML, or holds something else.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise CairnError("file not found", where=path, todo="give a recipe of stages") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CairnError(f"not TOML: {error}", where=path) from None
    tables, num_hits = values.pop("stages", None), values.pop("num_hits", NUM_HITS)
    if values:
        key, known = min(values), ["stages", "num_hits"]
        raise CairnError(f"unknown setting {key!r}", where=path, todo=nearest(key, known))
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise CairnError("a recipe needs [[stages]]", where=path, todo="one such table a stage")
    if not isinstance(num_hits, int) or isinstance(num_hits, bool) or num_hits < 1:
        raise CairnError(f"num_hits must be a whole number of at least 1: {num_hits!r}", where=path)
    return tables, num_hits


def as_pipeline(stages: Pipeline | Path | str) -> Pipeline:
    """Return stages, or those of a recipe's file.

    Raises:
        CairnError: As ``read_stages``.
    """
    return stages if isinstance(stages, Pipeline) else read_stages(Path(stages))


def require_online(pipeline: Pipeline) -> None:
    """Refuse a pipeline that cannot answer one photograph alone.

    Raises:
        CairnError: It names the stage and says why.
    """
    for number, stage in enumerate(pipeline.stages, start=1):
        if stage.batch:
            raise CairnError(
                f"stage {stage.name!r} cannot answer one photograph: {stage.batch}",
                where=f"stage {number} of {len(pipeline.stages)}",
                todo="drop the stage, or recognize all photographs in one batch",
            )


def _stage(table: Mapping[str, Any], where: str) -> Stage:
    values = dict(table)
    name = values.pop("stage", None)
    if not isinstance(name, str):
        raise CairnError(
            "a stage must say which it is", where=where, todo='write stage = "sum-votes", say'
        )
    if name not in STAGES:
        raise CairnError(f"unknown stage {name!r}", where=where, todo=nearest(name, STAGES))
    made: Stage = parse_value(STAGES[name], values, where=f"{where}, {name}")
    return made


def _values(stage: Any) -> dict[str, Any]:
    dump = getattr(stage, "model_dump", None)
    values: dict[str, Any] = dump() if callable(dump) else {}
    return values
