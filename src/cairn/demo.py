"""The main job end to end on the procedural world: nothing is downloaded, everything is real."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn.config import Recipe, read_recipe
from cairn.manifest import Manifest
from cairn.pipeline import Clock, Outcome, score_model
from cairn.progress import say
from cairn.runs import require_absent
from cairn.scores import Report
from cairn.train import train
from cairn.world import WorldConfig, contact_sheet, make_world


@dataclass(frozen=True)
class DemoOutcome:
    """What the demo found.

    Args:
        rows: Name and scores of each line of the table, worst first.
        outcome: The trained model's outcome, report and gallery.
        run: The training run's folder.
        sheet: A picture of the world.
        seconds: Time of each stage.
    """

    rows: tuple[tuple[str, Report], ...]
    outcome: Outcome
    run: Path
    sheet: Path
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the table, the times and the paths as plain values."""
        return {
            "rows": [
                {
                    "name": name,
                    "gap": report.gap,
                    "gap_without_unlabelled": report.gap_without_unlabelled,
                    "top1_accuracy": report.top1_accuracy,
                }
                for name, report in self.rows
            ],
            "num_queries": self.outcome.report.num_queries,
            "num_labelled": self.outcome.report.num_labelled,
            "penalty_change": self.outcome.report.change["gap"].to_json(),
            "seconds": {name: round(value, 2) for name, value in self.seconds.items()},
            "report": str(self.outcome.page),
            "run": str(self.run),
            "gallery": str(self.outcome.gallery),
            "contact_sheet": str(self.sheet),
        }

    def text(self) -> str:
        """Return the table and what to try next, for a person."""
        report = self.outcome.report
        change = report.change["gap"]
        lines = [
            "",
            f"{'':<24}{'GAP':>8}{'GAP-':>8}{'accuracy':>10}",
            *(
                f"{name:<24}{r.gap:>8.3f}{r.gap_without_unlabelled:>8.3f}{r.top1_accuracy:>10.3f}"
                for name, r in self.rows
            ),
            "",
            f"{report.num_labelled} landmark queries among {report.num_queries}; GAP- leaves the "
            "non-landmarks out.",
            f"The penalty changed GAP by {change.value:+.3f} "
            f"(95 % interval {change.low:+.3f} to {change.high:+.3f}).",
            "",
            *(f"{name:<24}{value:>7.1f} s" for name, value in self.seconds.items()),
            f"{'all':<24}{sum(self.seconds.values()):>7.1f} s",
            "",
            f"report   {self.outcome.page}",
            f"photos   {self.sheet}",
            "",
            "Try next:",
            f"  cairn recognize {self.outcome.gallery} {self._a_query()}",
            f"  cairn inspect {self.run.parent / 'world' / 'manifest.parquet'} "
            f"-o {self.run.parent / 'inspect'}",
            "  cairn data folder PHOTOS -o manifest.parquet   # your own: a folder per landmark",
        ]
        return "\n".join(lines)

    def _a_query(self) -> Path:
        folder = self.run.parent / "world" / "query"
        return min(path for path in folder.rglob("*.jpg"))


def demo_world(seed: int) -> WorldConfig:
    """Return the demo's world: 150 landmarks, two postcards for each three photographs of them."""
    return WorldConfig(seed=seed, max_photos=150, variety=1 / 3)


def run_demo(
    out: Path,
    *,
    seed: int = 0,
    world: WorldConfig | None = None,
    recipe: Recipe | None = None,
) -> DemoOutcome:
    """Make a world, train the small house model on it, recognize its queries, write the report.

    Args:
        out: A new folder for everything.
        seed: Of the world and the training.
        world: What to make instead of the demo's world.
        recipe: What to train instead of the built-in recipe ``demo``.

    Raises:
        CairnError: ``out`` is taken.
    """
    require_absent(out)
    recipe = (recipe or read_recipe("demo")).model_copy(update={"seed": seed})
    clock = Clock()
    say("1/4  a world of landmarks")
    with clock.stage("world"):
        path = make_world(out / "world", world or demo_world(seed), workers=os.cpu_count() or 1)
        manifest = Manifest.read(path)
        sheet = out / "world.png"
        contact_sheet(path, sheet)
    say("2/4  the untrained model, for comparison")
    still = recipe.model_copy(update={"train": recipe.train.model_copy(update={"epochs": 0})})
    with clock.stage("untrained baseline"):
        start = train(still, manifest, out=out / "untrained")
        untrained = score_model(
            start / "model", manifest, out / "untrained" / "scores", title="Untrained"
        )
    say("3/4  training")
    with clock.stage("train"):
        run = train(recipe, manifest, out=out / "trained")
    say("4/4  embed, gallery, penalty, recognize, evaluate, report")
    outcome = score_model(
        run / "model", manifest, out / "result", title="Cairn on the procedural world", clock=clock
    )
    rows = (
        ("untrained", untrained.plain),
        ("trained", outcome.plain),
        ("trained + penalty", outcome.report),
    )
    return DemoOutcome(rows, outcome, run, sheet, dict(clock.seconds))
