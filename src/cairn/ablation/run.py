"""All rows of an ablation, one after the other and with every seed, continuable at any point.

The first seed of every row comes first, then the second: an early end leaves a whole table with
fewer seeds. A row that fails is recorded with its reason, the others go on, and it is tried again
by the next call.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cairn import processes
from cairn.ablation.collect import collect
from cairn.ablation.evaluation import Data, Embedded, num_parameters, vote
from cairn.ablation.folder import Place, Result, open_folder
from cairn.ablation.plan import Plan, make_plan
from cairn.ablation.report import Outcome, write
from cairn.checkpoint import model_fingerprint
from cairn.config import Recipe
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.progress import say
from cairn.submission import solution_of
from cairn.train import train

NUM_SEEDS = 3


def reproduce_ablation(
    manifest: Manifest,
    out: Path,
    *,
    table: str | Path | None = None,
    recipe: str | Path | None = None,
    overrides: Sequence[str] = (),
    rows: Sequence[str] = (),
    num_seeds: int = NUM_SEEDS,
    weights: Path | None = None,
    device: str = "auto",
) -> Outcome:
    """Train and test the rows of an ablation, write its table, and return what it came to.

    Called again with the same folder it goes on where it stopped: finished rows stay, also those
    that are not asked for this time, and failed ones are tried again. The table shows all that the
    folder has.

    Args:
        manifest: Images; train rows are learned from, query rows tested on.
        out: The folder: new, or one to continue.
        table: See `cairn.ablation.plan.make_plan`, as for the next four.
        recipe: See ``table``.
        overrides: See ``table``.
        rows: See ``table``.
        num_seeds: Trainings of each row; more may be added later.
        weights: See ``table``.
        device: As for ``cairn.train.train``.

    Raises:
        CairnError: The manifest has no query with a landmark, a row or setting does not exist, the
            folder was begun with other data or another recipe, or no row could be finished.
    """
    if processes.size() > 1:
        raise CairnError("an ablation is one process", todo="run cairn reproduce without torchrun")
    plan = make_plan(
        out,
        table=table,
        recipe=recipe,
        overrides=overrides,
        rows=rows,
        num_seeds=num_seeds,
        weights=weights,
    )
    manifest.queries(todo="give some rows the role query; cairn data folder --holdout 0.3 does")
    solution_of(manifest)
    open_folder(out, plan.base, manifest)
    for line in plan.missing:
        say(f"skipped: {line}")
    runner = _Runner(plan, manifest, device)
    for row in plan.chosen:  # refused before hours are spent
        for seed in plan.seeds:
            plan.place(row, seed).begin(plan.recipe(row, seed))
    for seed in plan.seeds:
        for row in plan.chosen:
            if plan.rows[row].kind != "ensemble":
                runner.run(row, seed)
    for row in plan.chosen:
        if plan.rows[row].kind == "ensemble":
            runner.vote(row)
    outcome = collect(plan, manifest)
    write(outcome, out)
    return outcome


class _Runner:
    """Runs the rows of a plan on one manifest."""

    def __init__(self, plan: Plan, manifest: Manifest, device: str) -> None:
        self.plan, self.manifest, self.device = plan, manifest, device
        self._data: dict[int, Data] = {}

    def run(self, row: str, seed: int) -> None:
        """Train and test one row with one seed, unless that is done.

        A penalty is done anew where its reference was trained anew.
        """
        place = self.plan.place(row, seed)
        if place.finished and self._is_current(place):
            return
        say(f"== {row}, seed {seed}: {self.plan.rows[row].title}")
        recipe = self.plan.recipe(row, seed)
        try:
            if recipe is None:
                self._penalize(place)
            else:
                self._train(place, recipe)
        except Exception as error:  # whatever ends a row must not end the others
            say(f"row {row!r} failed and is left for the next call: {place.fail(error)}")

    def vote(self, row: str) -> None:
        """Let the best rows vote, those that are finished with every seed.

        The vote is taken anew in every call: the best rows may be others by now.
        """
        plan = self.plan
        say(f"== {row}: {plan.rows[row].title}")
        start = time.perf_counter()
        places = [plan.place(row, seed) for seed in plan.seeds]
        try:
            best = self._best(plan.rows[row].members)
            found = vote({member: self._embedded(member) for member in best})
            parameters = sum(plan.place(one, plan.base.seed).result().parameters for one in best)
            facts = {"members": list(found.members), "weights": list(found.weights)}
            spent = (time.perf_counter() - start) / plan.num_seeds
            result = Result(found.validation_gap, 0.0, spent, parameters, facts)
            for place, answers in zip(places, found.answers, strict=True):
                place.finish(answers, result)
        except Exception as error:
            reasons = [place.fail(error) for place in places]
            say(f"row {row!r} failed and is left for the next call: {reasons[0]}")

    def data(self, seed: int) -> Data:
        """Return the images as runs with a seed divide them."""
        if seed not in self._data:
            recipe = self.plan.base.model_copy(update={"seed": seed})
            self._data[seed] = Data.of(self.manifest, recipe)
        return self._data[seed]

    def _train(self, place: Place, recipe: Recipe) -> None:
        begun = (place.run / "config.json").is_file()
        run = train(recipe, self.manifest, out=place.run, resume=begun, device=self.device)
        start = time.perf_counter()
        data = self.data(place.seed)
        embedded = Embedded.make(run / "model", data, place.embeddings, device=self.device)
        answers = embedded.answers()
        spent = time.perf_counter() - start
        text = (run / "metrics.jsonl").read_text("utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        gaps = [line["val_gap"] for line in lines if line.get("val_gap") is not None]
        trained = sum(line.get("seconds", 0.0) for line in lines)
        size = num_parameters(run / "model")
        place.finish(answers, Result(max(gaps, default=None), trained, spent, size))

    def _penalize(self, place: Place) -> None:
        reference = self.plan.rows[place.row].reference
        assert reference is not None
        source = self.plan.place(reference, place.seed)
        if not source.finished:
            raise CairnError(f"row {reference!r}, whose models it penalizes, is not finished")
        start = time.perf_counter()
        embedded = Embedded.read(self.data(place.seed), source.embeddings)
        answers = embedded.answers(penalty=True)
        spent = time.perf_counter() - start
        facts = {"model": embedded.table.fingerprint}
        place.finish(answers, Result(None, 0.0, spent, source.result().parameters, facts))

    def _is_current(self, place: Place) -> bool:
        """Return whether a finished row answers with the reference's model as it is now."""
        row = self.plan.rows[place.row]
        if row.kind != "penalty" or row.reference is None:
            return True
        model = self.plan.place(row.reference, place.seed).run / "model"
        return not model.is_dir() or place.result().facts.get("model") == model_fingerprint(model)

    def _embedded(self, row: str) -> Iterator[Embedded]:
        """Yield a row's embeddings seed by seed: those of all may not fit into memory."""
        for seed in self.plan.seeds:
            yield Embedded.read(self.data(seed), self.plan.place(row, seed).embeddings)

    def _best(self, count: int) -> list[str]:
        """Return the rows of greatest mean validation GAP, best first."""
        means = {}
        for row in (name for name, one in self.plan.rows.items() if one.kind == "train"):
            places = self.plan.finished(row)
            gaps = [place.result().validation_gap for place in places]
            known = [gap for gap in gaps if gap is not None]
            if len(known) == self.plan.num_seeds:
                means[row] = sum(known) / len(known)
        if len(means) < 2:
            raise CairnError(
                f"an ensemble needs two rows that are finished with all {self.plan.num_seeds} "
                f"seeds and scored on a validation; there are {len(means)}"
            )
        return sorted(means, key=lambda row: -means[row])[:count]
