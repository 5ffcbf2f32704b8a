"""What a stage is: hits in, hits or votes out, with its parameters and what it needs beside."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Protocol

from cairn.rerank.answers import Answer
from cairn.rerank.context import Context

Kind = Literal["hits", "votes"]


class Stage(Protocol):
    """One step from hits to an answer; frozen, so that it is its parameters.

    Attributes:
        name: What recipes call it.
        takes: What it works on; a stage that takes both gives back what it was given.
        gives: What comes out.
        needs: What the context must hold, by name (``cairn.rerank.context.NEEDS``).
        batch: Why it needs the whole batch of queries (it is *transductive*); empty for a stage
            that is *online*: what it says of a photograph does not depend on other photographs.

    A stage that looks at the first few entries of each row of what it needs has ``reach`` besides:
    for the need, which of its values says how many. One that takes something off gallery rows,
    whatever the query, has ``taken(rows, context)``, which says how much.
    """

    name: ClassVar[str]
    takes: ClassVar[tuple[Kind, ...]]
    gives: ClassVar[tuple[Kind, ...]]
    needs: ClassVar[tuple[str, ...]]
    batch: ClassVar[str]

    def __call__(self, found: Any, context: Context) -> Answer:
        """Return what becomes of hits or votes.

        The pipeline has checked that the context holds what the stage needs; make one by
        ``compose([stage])`` for a single stage, too.

        Raises:
            CairnError: The context is of other queries.
        """
        ...


HITS: tuple[Kind, ...] = ("hits",)
VOTES: tuple[Kind, ...] = ("votes",)
BOTH: tuple[Kind, ...] = ("hits", "votes")
