"""One run: its stages, their epochs, and the state between any two steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cairn import processes
from cairn.config import Recipe
from cairn.domain import Float32, Int64
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.model import resolve
from cairn.state import State, load_state, peek_state, save_state, state_path
from cairn.training.checks import look_at, require_sizes
from cairn.training.data import read_photographs, union
from cairn.training.encoding import encode_rows
from cairn.training.learner import Learner, seed_step
from cairn.training.preparing import prepare
from cairn.training.record import Record
from cairn.training.showing import epoch_steps, shown_parts
from cairn.training.stopping import StopSignals
from cairn.training.telling import (
    Unreadable,
    describe,
    describe_stage,
    epoch_words,
    time_left,
)
from cairn.validation import Score, score

_CHECK_EVERY = 100  # steps: how soon a loss that is no number ends the run


class Trainer:
    """A run over its folder; with several processes, each makes one and calls the same methods.

    Args:
        recipe: What to train and how.
        manifest: The run's own images.
        others: Manifests that stages name, by that name.
        folder: The run folder, which exists.
        device: Of this process.
    """

    def __init__(
        self,
        recipe: Recipe,
        manifest: Manifest,
        folder: Path,
        device: torch.device,
        *,
        others: Mapping[str, Manifest] | None = None,
    ) -> None:
        self.recipe, self.device, self.record = recipe, device, Record(folder)
        self.stages = tuple(
            stage.model_copy(update={"model": resolve(stage.model)}) for stage in recipe.resolved()
        )
        self.names = [stage.name for stage in recipe.stages] or [""]
        require_sizes(self.stages)
        self.photographs = read_photographs(recipe, manifest, others or {})
        self.learner = Learner(self.stages[0], self.photographs.counts, device)
        self.state = State()
        self.signals = StopSignals()
        self.unreadable = Unreadable(self.photographs.paths)

    @property
    def stage(self) -> Recipe:
        """The stage under way."""
        return self.stages[self.state.stage]

    # -- the run ---------------------------------------------------------------------------------

    def restore(self) -> None:
        """Take up the state saved last, where there is one, and drop what was written after it."""
        path = state_path(self.record.folder)
        if path.is_file():
            self.state = peek_state(path)
            if self.state.stage:
                self.learner.begin(self.stage)
            self.state = load_state(path, self.learner.parts)
            step = f", step {self.state.step}" if self.state.step else ""
            self.record.say(f"resumed after epoch {self.state.epoch}{step}")
        self.record.go_on(epoch=self.state.epoch)

    def run(self) -> None:
        """Train what is left of all stages.

        Raises:
            CairnError: No photograph can be read, or the loss is no number.
            KeyboardInterrupt: The run was asked to stop; its state is saved.
        """
        with self.signals:
            if self.state.epoch < 0:
                self._prepare()
            for index in range(self.state.stage, len(self.stages)):
                if index > self.state.stage:
                    self._enter(index)
                self._train_stage()

    def publish(self) -> None:
        """Put the best model in place: from now on the run counts as finished."""
        self.record.publish()
        scored = self.photographs.split.queries
        found = f"GAP {self.state.best_gap:.4f}" if scored else "not scored"
        self.record.say(f"best: epoch {self.state.best_epoch}, validation {found}")

    def _prepare(self) -> None:
        """Look at the photographs, prepare the model for the first step, and score it."""
        photographs = self.photographs
        for line in describe(photographs, self.recipe, self.device):
            self.record.say(line)
        learned = np.unique(np.concatenate(photographs.shown))
        size = max(stage.model.preprocess.image_size for stage in self.stages)
        say = self.record.say
        processes.from_main(lambda: look_at(photographs.paths, learned, image_size=size, say=say))
        nothing_to_learn = not any(stage.train.epochs for stage in self.stages)
        embeddings, found = prepare(
            self.learner, photographs, self._encode, fit_all=nothing_to_learn
        )
        self._finish_epoch({}, self._score(embeddings, found))
        self._tell_stage()

    def _enter(self, index: int) -> None:
        """Go on to another stage."""
        state = self.state
        state.stage, state.stage_start, state.stage_gap, state.stale = index, state.epoch, -1.0, 0
        self.learner.begin(self.stage)
        self._tell_stage()

    def _tell_stage(self) -> None:
        if len(self.stages) > 1:
            shown = self.photographs.shown[self.state.stage]
            self.record.say(describe_stage(self.stage, self._stage_name, len(shown)))

    @property
    def _stage_name(self) -> str:
        """Number and name of the stage under way; "" where there is but one."""
        name = self.names[self.state.stage]
        number = f"stage {self.state.stage + 1} of {len(self.stages)}"
        return "" if len(self.stages) == 1 else f"{number} ({name})" if name else number

    def _train_stage(self) -> None:
        settings, state = self.stage.train, self.state
        while state.epoch - state.stage_start < settings.epochs:
            if settings.patience is not None and state.stale >= settings.patience:
                self.record.say(
                    f"stopped: no better validation GAP in {settings.patience} scored epochs"
                )
                return
            facts = self._train_epoch()
            self._finish_epoch(facts, self._score_epoch())

    # -- an epoch --------------------------------------------------------------------------------

    def _train_epoch(self) -> dict[str, Any]:
        """Take the steps that are left of the epoch; return what is to be told of it."""
        state, stage, learner, photographs = self.state, self.stage, self.learner, self.photographs
        begun = state.epoch - state.stage_start
        shown = photographs.shown[state.stage]
        steps = epoch_steps(shown, photographs.targets, stage, epoch=state.epoch, begun=begun)
        left = steps[state.step :]
        learner.begin_epoch()
        loss_sum = torch.tensor(state.loss_sum, dtype=torch.float64, device=self.device)
        start, before = time.perf_counter(), state.seconds
        what = ", ".join(filter(None, (self._stage_name, f"epoch {state.epoch + 1}")))
        self.signals.stepping = True
        for parts in shown_parts(
            photographs.paths, left, stage, epoch=state.epoch, device=self.device, what=what
        ):
            for part in parts:
                self.unreadable.note(part.unreadable)
            told = processes.exchange([*(len(p.rows) for p in parts), int(self.signals.asked)])
            shares, asked = told[:, :-1], bool(told[:, -1].any())
            if shares.any():
                progress = begun + state.step / len(steps)
                seed_step(self.recipe.seed, epoch=state.epoch, step=state.step)
                loss_sum += learner.step(
                    parts, photographs.targets, shares, progress=progress, num_steps=len(steps)
                )
                state.learning_rate = learner.rate
            state.num_seen += int(shares.sum())
            state.step += 1
            last = state.step == len(steps)
            due = state.step % stage.train.checkpoint_steps == 0 and not last
            if due or asked or last or state.step % _CHECK_EVERY == 1:
                state.loss_sum = self._checked(float(loss_sum))
                state.seconds = before + time.perf_counter() - start
            if due or asked or (last and self._score_is_due()):
                save_state(state_path(self.record.folder), state, learner.parts)
            if asked:
                self.unreadable.tell(self.record.say)
                self.record.say(
                    f"asked to stop: saved after step {state.step} of epoch {state.epoch + 1}"
                )
                raise KeyboardInterrupt
        self.signals.stepping = False
        self.unreadable.tell(self.record.say)
        return {
            "loss": state.loss_sum / max(state.num_seen, 1),
            "learning_rate": state.learning_rate,
            "seconds": state.seconds,
            "images_per_s": state.num_seen / max(state.seconds, 1e-9),
        }

    def _checked(self, loss_sum: float) -> float:
        """Return the summed loss, having checked that it is a number."""
        if not np.isfinite(loss_sum):
            raise CairnError(
                f"the loss is {loss_sum} in epoch {self.state.epoch + 1}",
                where=self.record.folder,
                todo="lower train.learning_rate, or set train.precision = 'float32'",
            )
        return loss_sum

    def _score_is_due(self) -> bool:
        """Return whether the epoch under way ends with a score."""
        taken = self.state.epoch + 1 - self.state.stage_start
        due = taken % self.stage.validation.every_epochs == 0
        return bool(self.photographs.split.queries) and (due or taken == self.stage.train.epochs)

    def _score_epoch(self) -> Score | None:
        """Return the validation's score where it is due after this epoch."""
        if not self._score_is_due():
            return None
        kept, split = self.learner.kept.eval(), self.photographs.split
        processes.broadcast_weights(kept)  # batch-norm statistics are each process's own
        rows = union(split.gallery, split.queries, split.nonlandmarks)
        return self._score(*self._encode(rows, kept, "validate"))

    def _encode(
        self, rows: Int64, function: Callable[[torch.Tensor], torch.Tensor], what: str
    ) -> tuple[Float32, Int64]:
        values = encode_rows(
            self.photographs.paths,
            rows,
            function,
            self.stage,
            device=self.device,
            what=what,
            note=self.unreadable.note,
        )
        self.unreadable.tell(self.record.say)
        return values

    def _score(self, embeddings: Float32, found: Int64) -> Score | None:
        """Return how well the held-out photographs find their landmark among the others."""
        split, marks = self.photographs.split, self.photographs.marks
        if not split.queries:
            return None

        def scored() -> Score:
            gallery = np.isin(found, split.gallery)
            asked = np.isin(found, (*split.queries, *split.nonlandmarks))
            return score(
                torch.from_numpy(embeddings[gallery]).to(self.device),
                [marks[row] for row in found[gallery]],
                torch.from_numpy(embeddings[asked]).to(self.device),
                [marks[row] for row in found[asked]],
                counts=self.photographs.sizes,
            )

        return processes.from_main(scored)

    # -- what is kept ----------------------------------------------------------------------------

    def _finish_epoch(self, facts: dict[str, Any], result: Score | None) -> None:
        """Save the best model and the state, and write the epoch's line."""
        state = self.state
        state.epoch += 1
        state.step, state.loss_sum, state.num_seen, state.seconds = 0, 0.0, 0, 0.0
        line: dict[str, Any] = {"epoch": state.epoch, "stage": state.stage + 1}
        line |= {"stage_name": self.names[state.stage]} if self.names[state.stage] else {}
        line |= facts
        if result is not None:
            line |= result.to_json()
            better = result.gap > state.stage_gap
            state.stale = 0 if better else state.stale + 1
            state.stage_gap = max(result.gap, state.stage_gap)
        if not self.photographs.split.queries or (result and result.gap > state.best_gap):
            state.best_gap = result.gap if result else -1.0
            state.best_epoch = state.epoch
            self._save_best()
        self.record.write(line)
        save_state(state_path(self.record.folder), state, self.learner.parts)
        left = self.stage.train.epochs + state.stage_start - state.epoch
        shown = [len(rows) for rows in self.photographs.shown]
        seconds = float(facts.get("seconds", 0.0))
        rest = time_left(seconds, self.stages, shown, stage=state.stage, left=left)
        self.record.say(epoch_words(line) + rest)
        self.record.warn()

    def _save_best(self) -> None:
        scored = self.photographs.split.queries
        facts = {
            "landmarks learned": len(self.photographs.landmarks),
            "photographs learned from": len(self.photographs.shown[self.state.stage]),
            "epochs": self.state.best_epoch,
            "validation GAP": f"{self.state.best_gap:.4f}" if scored else "not scored",
            "recipe": self.recipe.name,
        }
        self.record.save_best(
            self.learner.kept,
            self.stage.model,
            head=self.learner.parts["head"].state_dict(),
            landmarks=self.photographs.landmarks,
            facts=facts,
        )
