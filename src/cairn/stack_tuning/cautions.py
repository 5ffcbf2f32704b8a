"""What a person should know before believing a tuned recipe: said while it runs, and in its report.

Nothing here is refused; what must not be (queries among the gallery, the bank, the training or the
test) is refused by ``job`` before any work.

Legend of shapes: Q queries, D dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cairn.domain import Float32
from cairn.known_share import unknown_weight
from cairn.search import search
from cairn.stack_tuning.gains import Measured
from cairn.stack_tuning.queries import Queries
from cairn.stack_tuning.tune import Tuned

FEW = 100
"""Queries of a kind below which it is said that they are few."""

HEAVY = 20.0
"""Queries that one non-landmark may stand for before it is said."""

COPY = 0.9999
"""Cosine of two embeddings from which on they are taken for one picture, decoded twice."""

_SHOWN = 3


@dataclass(frozen=True)
class Caution:
    """One thing to know.

    Args:
        kind: A short name, such as ``no-non-landmarks``.
        text: In a sentence or two.
        todo: What to do about it.
    """

    kind: str
    text: str
    todo: str = ""

    def __str__(self) -> str:
        return f"{self.text} {self.todo}".strip()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"kind": self.kind, "text": self.text, "todo": self.todo}


def of_queries(
    validation: Queries, test: Queries | None, *, known_share: float | None
) -> list[Caution]:
    """Return what the queries' numbers say, before anything is tried."""
    found = []
    known, unknown = validation.num_known, validation.num_unknown
    if not unknown:
        found.append(
            Caution(
                "no-non-landmarks",
                "No validation query is without a landmark, so nothing shows what stages do to "
                "pictures of none: whatever is chosen is chosen for a world where every "
                "photograph shows a known landmark.",
                "Add pictures of no landmark, in about the share that is expected.",
            )
        )
    for count, what in ((known, "landmark"), (unknown, "non-landmark")):
        if 0 < count < FEW:
            found.append(
                Caution(
                    f"few-{what}s",
                    f"Only {count} validation queries are {what}s; a choice among many recipes "
                    "fits their accidents.",
                    f"Take {FEW} or more, or read the held-out gain only.",
                )
            )
    if known_share is not None and unknown:
        weight = unknown_weight(validation.labelled, known_share)
        if weight > HEAVY:
            found.append(
                Caution(
                    "heavy-non-landmarks",
                    f"At a share of {known_share:g} landmarks each of the {unknown} non-landmarks "
                    f"stands for {weight:.0f} queries: a few of them decide the score.",
                    "Add non-landmarks to the validation set.",
                )
            )
    if test is not None and known_share is None:
        mine, theirs = (one.num_known / len(one.labelled) for one in (validation, test))
        if not 1 / 1.5 <= _odds(mine) / _odds(theirs) <= 1.5:
            found.append(
                Caution(
                    "other-share",
                    f"{mine:.0%} of the validation queries show a landmark and {theirs:.0%} of the "
                    "test's; GAP falls with non-landmarks, so gains on one are not those on the "
                    "other.",
                    f"Tune for the share that is expected: --known-share {theirs:.3g}, say.",
                )
            )
    return found


def of_lost(queries: Queries, name: str) -> list[Caution]:
    """Return what queries are that no row of stages can answer rightly.

    Args:
        queries: Of a set.
        name: What the set is called.
    """
    found = []
    blanks = len(queries.labelled) - len(queries.places)
    lacks = queries.labelled[queries.places] & (queries.truths < 0).all(axis=1)
    num_missing = int(lacks.sum())
    if blanks:
        text = f"{blanks} {name} queries cannot be read and count as blanks."
        found.append(Caution("unreadable", text))
    if num_missing:
        found.append(
            Caution(
                "not-in-gallery",
                f"{num_missing} {name} queries show landmarks that the gallery lacks: no answer "
                "can be right, and they count in M as in `cairn evaluate`.",
                "Leave their landmark_id empty if they are meant as unknown pictures.",
            )
        )
    return found


def of_copies(
    vectors: Float32, ids: Sequence[str], others: Float32, other_ids: Sequence[str], other: str
) -> list[Caution]:
    """Return whether validation queries are pictures that another set has too, by embeddings.

    Args:
        vectors: (Q, D) unit vectors of the validation queries.
        ids: Their ids.
        others: Unit vectors of the other set.
        other_ids: Their ids.
        other: What the set is called.
    """
    if not len(others) or not len(vectors):
        return []
    near = search(vectors, others, 1)
    rows = np.flatnonzero(near.similarities[:, 0] >= COPY)
    if not len(rows):
        return []
    pairs = ", ".join(
        f"{ids[row]!r} and {other_ids[near.indices[row, 0]]!r}" for row in rows[:_SHOWN].tolist()
    )
    more = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return [
        Caution(
            f"copies-{other.replace(' ', '-')}",
            f"{len(rows)} validation queries have the embedding of a picture of the {other}: "
            f"{pairs}{more}. What they choose has seen them.",
            "`cairn data split` keeps copies on one side.",
        )
    ]


def of_result(
    tuned: Tuned, validation: Measured, smallest: float | None, today: str | None
) -> list[Caution]:
    """Return what the figures say, after the search.

    Args:
        tuned: The choice.
        validation: Its figures.
        smallest: The gain that so many queries would show 4 times in 5.
        today: The name of what the gallery answers without stages, where that is measured.
    """
    found = []
    if not tuned.stages:
        found.append(
            Caution(
                "nothing-gains",
                "No recipe is better than the nearest image by more than chance on held-out "
                "queries, so none is chosen.",
            )
        )
    if smallest is not None and tuned.stages and tuned.gain < smallest:
        found.append(
            Caution(
                "too-few-to-tell",
                f"So many queries would show a gain of {smallest:.3f} four times in five; the "
                f"chosen recipe's is {tuned.gain:.3f}, which they cannot tell from chance.",
                "Add landmark queries.",
            )
        )
    held, error = tuned.held_out_gain, tuned.held_out_error
    if held is not None and error is not None and tuned.stages and held < error:
        found.append(
            Caution(
                "not-held-out",
                f"On folds that the search did not see it gains {held:+.3f} (standard error "
                f"{error:.3f}): no evidence of a gain.",
                "Do not deploy it on this evidence.",
            )
        )
    if today is not None and validation.gain(tuned.stages, today).value < 0:
        found.append(
            Caution(
                "worse-than-today",
                f"What the gallery answers without a recipe (its own penalty) has GAP "
                f"{validation.gap(today).value:.4f} on validation, more than the chosen recipe.",
                "Keep it, or give a recipe with the stage `penalty` at the gallery's values.",
            )
        )
    if tuned.is_spent:
        found.append(
            Caution(
                "limit",
                "A search ended at its limit of trials.",
                "--trials N allows more, --recipe FILE asks for fewer choices.",
            )
        )
    return found


def _odds(share: float) -> float:
    return share / max(1.0 - share, 1e-9)
