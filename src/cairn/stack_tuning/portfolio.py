"""Choices for every stage, wide enough to bracket what was published, and the order they run in.

``choices_of`` is what a stage is given where nobody says otherwise; ``portfolio`` is all stages
that answer one photograph alone and for which a context has what they need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cairn.domain import Neighbors
from cairn.errors import CairnError, nearest
from cairn.rerank import STAGES, Context, Stage
from cairn.stack_tuning.space import Slot

CHOICES: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "alpha-expansion": {"num": (1, 2, 3, 5, 10), "alpha": (0.0, 3.0)},
    "best-vote": {},
    "chance": {"top": (3, 10)},  # its numbers are fitted
    "cut-off": {"top": (3, 5), "threshold": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)},
    "demote": {"most": (10, 20, 30)},
    "dense-penalty": {"top": (3, 5), "weight": (0.25, 0.5, 0.75, 1.0)},
    "distractor-penalty": {
        "threshold": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
        "amount": (0.1, 0.3, 1.0),
    },
    "head-best": {"head_weight": (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)},
    "head-product": {
        "num_hits": (3, 5, 10, 30),
        "power": (1.0, 4.0, 8.0),
        "head_power": (0.5, 1.0, 4.0, 12.0),
    },
    "head-sum": {
        "num_hits": (1, 3, 7),
        "head_weight": (0.5, 1.0, 2.0),
        "bank_weight": (0.25, 0.5, 1.0),
    },
    "k-reciprocal": {"k1": (10, 20), "k2": (1, 3), "weight": (0.3, 0.6, 0.8)},
    "penalty": {
        "min_n": (2, 3, 4),
        "min_pro": (0.1, 0.3),
        "max_pro": (0.5, 1.0),
        "ramp": ("from-min", "from-zero"),
        "strength": (0.25, 0.5, 1.0),
    },
    "quantile": {},
    "query-penalty": {
        "top": (3, 10),
        "weight": (0.25, 0.5, 0.75, 1.0, 2.0, 4.0, 8.0, 16.0),  # the large ones for logarithms
    },
    "soft-confidence": {"temperature": (2.0, 5.0, 10.0, 20.0, 50.0, 100.0)},
    "sum-votes": {"num_hits": (2, 3, 5, 10, 20, 50), "power": (1.0, 4.0, 8.0, 16.0)},
    "super-global": {
        "num_hits": (10, 30),
        "num_near": (3, 9),
        "beta": (0.15, 0.5),
        "pooling": ("max", "mean"),
    },
    "verify": {
        "num_hits": (5,),
        "least": (0, 6),
        "most": (10, 20, 90),
        "weight": (0.25, 0.5, 1.0),
    },
}
"""Stage -> parameter -> choices."""


@dataclass(frozen=True)
class Candidate:
    """A stage that a search may put into the row.

    Args:
        slot: The stage with its options.
        rank: Where it stands: lower ones run first.
        kind: At most one of a kind is in a row.
    """

    slot: Slot
    rank: int
    kind: str


_ORDER = (
    ("alpha-expansion", "search"),
    ("k-reciprocal", "neighbours"),
    ("super-global", "refinement"),
    ("cut-off", "cut-off"),
    ("penalty", "gallery penalty"),
    ("dense-penalty", "dense penalty"),
    ("verify", "local features"),
    ("sum-votes", "votes"),
    ("soft-confidence", "votes"),
    ("head-product", "votes"),
    ("head-sum", "votes"),
    ("head-best", "votes"),
    ("distractor-penalty", "distractor"),
    ("query-penalty", "query penalty"),
    ("chance", "chance"),
)
"""Stages that answer one photograph alone, in the order they run (docs/rerank.md), and their kind.

What expects cosines comes first, then what takes penalties off gallery images, then votes, then
what lowers the confidence of a query, and last what ranks by chance.
"""


def choices_of(stage: str, *, optional: bool = False, **values: tuple[Any, ...]) -> Slot:
    """Return a stage with the choices of :data:`CHOICES`.

    Args:
        stage: Its name.
        optional: Whether it may be left out.
        values: Other choices for some parameters.

    Raises:
        CairnError: There is no such stage, or a value is out of range.
    """
    if stage not in STAGES:
        raise CairnError(f"unknown stage {stage!r}", todo=nearest(stage, STAGES))
    return Slot.of(stage, {**CHOICES[stage], **values}, optional=optional)


def portfolio(context: Context) -> tuple[Candidate, ...]:
    """Return the candidates for which a context has all that they need, as deep as they look.

    Args:
        context: What there is; ``gallery.landmarks`` is taken as given.
    """
    found = []
    given = {*context.given, "gallery.landmarks"}
    for rank, (stage, kind) in enumerate(_ORDER):
        if not set(STAGES[stage].needs) <= given:
            continue
        # What softens confidences reads the best similarity of each landmark.
        after = [{"stage": "best-vote"}] if stage == "soft-confidence" else []
        slot = Slot.of(stage, CHOICES[stage], after=after)
        options = tuple(one for one in slot.options if _reaches(one[-1], context))
        if options:
            found.append(Candidate(replace(slot, options=options), rank, kind))
    return tuple(found)


def _reaches(stage: Stage, context: Context) -> bool:
    """Return whether a stage looks no deeper into a row than there are entries."""
    reach: Mapping[str, str] = getattr(stage, "reach", {})
    return all(getattr(stage, value) <= _width(need, context) for need, value in reach.items())


def _width(need: str, context: Context) -> int:
    side, name = need.split(".")
    part = getattr(context.gallery if side == "gallery" else context.queries, name)
    return int(part.k) if isinstance(part, Neighbors) else int(part.shape[1])


def needs_of_portfolio(*, photographs: bool = False) -> tuple[str, ...]:
    """Return everything that the candidates need.

    Args:
        photographs: With the stage that matches local features, which takes minutes.
    """
    needs = [need for stage, _ in _ORDER for need in STAGES[stage].needs]
    return tuple(n for n in dict.fromkeys(needs) if photographs or n != "queries.inliers")
