"""How a gallery's stages are to be tuned, and what came of it: frozen values, and their JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn.bootstrap import NUM_RESAMPLES
from cairn.errors import CairnError
from cairn.known_share import check_share
from cairn.stack_tuning.cautions import Caution
from cairn.stack_tuning.gains import Line, Measured, optimism
from cairn.stack_tuning.space import Slot
from cairn.stack_tuning.tune import LIMIT, Tuned

TODAY = "without a recipe"
"""What the gallery's own penalty answers is called, beside rows of stages."""


@dataclass(frozen=True)
class Wishes:
    """How to search.

    Args:
        recipe: A recipe with choices; None chooses among the portfolio's stages.
        known_share: Score as if this share of the queries showed a landmark.
        limit: Rows of stages that one search may look at.
        num_hits: Hits of a query; the recipe's, or ``NUM_HITS``, by default.
        seed: Of folds, starts and resamples.
        num_resamples: Behind each interval.
    """

    recipe: Path | None = None
    known_share: float | None = None
    limit: int = LIMIT
    num_hits: int | None = None
    seed: int = 0
    num_resamples: int = NUM_RESAMPLES

    def __post_init__(self) -> None:
        if self.known_share is not None:
            check_share(self.known_share)
        for name, value in (("trials", self.limit), ("hits", self.num_hits)):
            if value is not None and value < 1:
                raise CairnError(f"the number of {name} must be at least 1", where=value)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of it.

    Args:
        tuned: The choice.
        validation: Figures on the queries that chose.
        test: Figures on those that did not; None without a test.
        lines: Of the ablation table.
        slots: What was searched.
        cautions: What to know before believing it.
        smallest: The gain that the validation queries would show 4 times in 5.
        num_hits: Hits of a query.
        counts: Set -> landmark queries and others.
        has_today: Whether the gallery's own penalty was measured too.
        wishes: How it was searched.
        seconds: Of the search.
        trials_per_s: Rows of stages that were run in a second; None where all were in the log.
    """

    tuned: Tuned
    validation: Measured
    test: Measured | None
    lines: tuple[Line, ...]
    slots: tuple[Slot, ...]
    cautions: tuple[Caution, ...]
    smallest: float | None
    num_hits: int
    counts: dict[str, tuple[int, int]]
    has_today: bool
    wishes: Wishes
    seconds: float
    trials_per_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        sets = {"validation": self.validation, "test": self.test}
        chosen = self.tuned.stages
        figures: dict[str, Any] = {}
        for name, one in sets.items():
            if one is None:
                continue
            known, unknown = self.counts[name]
            figures[name] = {
                "num_landmarks": known,
                "num_nonlandmarks": unknown,
                "plain": one.gap(()).to_json(),
                "tuned": one.gap(chosen).to_json(),
                "gain": one.gain(chosen, ()).to_json(),
                "plain_accuracy": one.accuracy(()),
                "tuned_accuracy": one.accuracy(chosen),
            }
            if self.has_today:
                figures[name]["without_a_recipe"] = one.gap(TODAY).to_json()
                figures[name]["gain_over_today"] = one.gain(chosen, TODAY).to_json()
        bias = None if self.test is None else optimism(self.validation, self.test, chosen)
        return {
            **self.tuned.to_json(),
            "num_hits": self.num_hits,
            "known_share": self.wishes.known_share,
            "seed": self.wishes.seed,
            "figures": figures,
            "optimism": None if bias is None else bias.to_json(),
            "smallest_gain": self.smallest,
            "ablation": [line.to_json(**sets) for line in self.lines],
            "space": [slot.to_json() for slot in self.slots],
            "cautions": [one.to_json() for one in self.cautions],
            "seconds": round(self.seconds, 2),
            "trials_per_s": None if self.trials_per_s is None else round(self.trials_per_s, 1),
        }
