"""The training loop over one run folder: state, steps, scores, checkpoints.

Order and augmentation of every photograph derive from (seed, epoch, row), and the state is saved
whole after each epoch, so that a run that was killed continues, on the same kind of processor, to
the weights it would have had.
"""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cairn.checkpoint import save_model
from cairn.config import Recipe
from cairn.domain import Float32, Int64
from cairn.embed import encode_all
from cairn.engine import autocast
from cairn.errors import CairnError
from cairn.heads import build_head
from cairn.loading import TrainBatch, train_batches
from cairn.manifest import Manifest
from cairn.model import Embedder, build
from cairn.necks import Center, Whitened
from cairn.optimise import build_average, build_optimizer, rate_factor, set_rate
from cairn.progress import say, track
from cairn.runs import atomic_folder, atomic_write, recover_folder
from cairn.runtime import Runtime
from cairn.sampling import epoch_rows
from cairn.state import Part, State, load_state, save_state, state_path
from cairn.validation import Score, checked_split, score

_CHECK_EVERY = 100  # steps: how soon a loss that is no number ends the run


class Trainer:
    """One run: model, head, optimiser and the data they learn from."""

    def __init__(
        self, recipe: Recipe, manifest: Manifest, folder: Path, device: torch.device
    ) -> None:
        self.recipe, self.manifest, self.folder, self.device = recipe, manifest, folder, device
        self.split = checked_split(manifest, recipe.validation, seed=recipe.seed)
        self.landmarks = sorted({manifest.landmark_ids[row] for row in self.split.train})
        index = {landmark: i for i, landmark in enumerate(self.landmarks)}
        self.labels = np.array([index.get(mark, -1) for mark in manifest.landmark_ids], np.int64)
        self.paths = manifest.paths
        torch.manual_seed(recipe.seed)
        self.model: Embedder = build(recipe.model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        counts = np.bincount(self.labels[list(self.split.train)], minlength=len(self.landmarks))
        self.head = build_head(recipe.head, recipe.model.dimension, counts).to(device)
        self.optimizer = build_optimizer(
            self.model,
            self.head,
            recipe.train,
            loaded=recipe.model.weights is not None,
        )
        self.average = build_average(self.model, recipe.train.ema)
        self.state = State()
        self.bad: dict[int, str] = {}

    # -- the run ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Train the epochs that are left, then put the best model in place."""
        if self.state.epoch < 0:
            self._say(self._describe())
            self._prepare()
        for epoch in range(self.state.epoch, self.recipe.train.epochs):
            patience = self.recipe.train.patience
            if patience is not None and self.state.stale >= patience:  # so too when resumed
                self._say(f"stopped: no better validation GAP in {patience} scored epochs")
                break
            facts = self._train_epoch(epoch)
            self._finish_epoch(epoch, facts, self._score_epoch(epoch))

    def _prepare(self) -> None:
        """Fit a closed-form neck, place the centres of known landmarks, score the model.

        The backbone sees each photograph once. Its features, several times as long as embeddings,
        are kept only where a neck is fitted to them.
        """
        split, model = self.split, self.model.eval()
        rows = (*split.train, *split.queries, *split.nonlandmarks, *split.spare)
        fits = isinstance(model.neck, Center | Whitened)
        values, found = self._encode(rows, model.features if fits else model, "first look")
        embeddings = values
        if fits:
            features_NF = self._to_device(values)
            self._fit_neck(features_NF, found, (*split.train, *split.spare))
            with torch.inference_mode():
                embeddings = model.project(features_NF).cpu().numpy()
        if self.recipe.model.weights is not None:
            known = np.isin(found, split.train)
            self.head.place(embeddings[known], self.labels[found[known]])
        result = self._score(embeddings, found)
        if (
            fits and self.recipe.train.epochs == 0
        ):  # nothing more to choose: let all photographs speak
            self._fit_neck(features_NF, found, rows)
        self._finish_epoch(-1, {}, result)

    def _fit_neck(self, features_NF: torch.Tensor, found: Int64, rows: Sequence[int]) -> None:
        """Fit a closed-form neck to the features of ``rows``."""
        neck = self.model.neck
        assert isinstance(neck, Center | Whitened)
        usable = np.isin(found, rows)
        labels = torch.from_numpy(self.labels[found[usable]]).to(self.device)
        neck.fit(features_NF[torch.from_numpy(usable).to(self.device)], labels)
        self.average = build_average(self.model, self.recipe.train.ema)

    def _train_epoch(self, epoch: int) -> dict[str, Any]:
        settings = self.recipe.train
        self._set_modes(epoch)
        rows = np.array(self.split.train)
        seed, sampling = self.recipe.seed, self.recipe.sampling
        progress = epoch / max(settings.epochs - 1, 1)
        order = rows[
            epoch_rows(self.labels[rows], sampling, seed=seed, epoch=epoch, progress=progress)
        ]
        num_steps = max(len(order) // settings.batch_size, 1)
        order = order[: num_steps * settings.batch_size]
        total = torch.zeros((), device=self.device)
        start, seen = time.perf_counter(), 0
        batches = self._train_batches(order, epoch)
        for step, batch in enumerate(track(batches, f"epoch {epoch + 1}", total=num_steps)):
            if len(batch.rows) < 2:
                continue
            total += self._step(batch, epoch + step / num_steps, num_steps)
            seen += len(batch.rows)
            if step % _CHECK_EVERY == 0:
                self._mean_loss(total, seen, epoch)
        loss = self._mean_loss(total, seen, epoch)
        seconds = time.perf_counter() - start
        return {"loss": loss, "seconds": seconds, "images_per_s": seen / seconds}

    def _mean_loss(self, total: torch.Tensor, seen: int, epoch: int) -> float:
        """Return the loss of a photograph so far, having checked that it is a number."""
        loss = float(total) / max(seen, 1)
        if not np.isfinite(loss):
            raise CairnError(
                f"the loss is {loss} in epoch {epoch + 1}",
                where=self.folder,
                todo="lower train.learning_rate, or set train.precision = 'float32'",
            )
        return loss

    def _step(self, batch: TrainBatch, progress: float, num_steps: int) -> torch.Tensor:
        """Take one step; return the summed loss of the batch."""
        settings, head = self.recipe.train, self.head
        set_rate(
            self.optimizer,
            settings.learning_rate
            * rate_factor(
                progress * num_steps,
                warmup_steps=settings.warmup_epochs * num_steps,
                total_steps=settings.epochs * num_steps,
            ),
        )
        head.set_epoch(progress)
        labels = torch.from_numpy(self.labels[batch.rows]).to(self.device)
        with autocast(self.device, settings.precision):
            embeddings = self.model(batch.images)
        loss: torch.Tensor = head(embeddings, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.clip_norm is not None:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, settings.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return loss.detach() * len(batch.rows)

    def _set_modes(self, epoch: int) -> None:
        settings = self.recipe.train
        frozen = "backbone" in settings.freeze
        self.model.train()
        self.model.backbone.requires_grad_(not frozen)
        if frozen or settings.freeze_batchnorm:
            for module in self.model.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm) or frozen:
                    module.eval()

    # -- data ------------------------------------------------------------------------------------

    def _train_batches(self, order: Int64, epoch: int) -> Iterator[TrainBatch]:
        settings = self.recipe.train
        for batch in train_batches(
            self.paths,
            np.split(order, range(settings.batch_size, len(order), settings.batch_size)),
            self.recipe.model.preprocess,
            self.recipe.augment,
            seed=self.recipe.seed,
            epoch=epoch,
            device=self.device,
            workers=settings.workers,
        ):
            self._note_unreadable(batch.unreadable)
            yield batch

    def _encode(
        self, rows: Sequence[int], function: Callable[[torch.Tensor], torch.Tensor], what: str
    ) -> tuple[Float32, Int64]:
        """Return ``function`` of the photographs at ``rows`` and the rows that could be read."""

        def forward(images: Float32) -> Float32:
            with torch.inference_mode(), autocast(self.device, self.recipe.train.precision):
                values: Float32 = function(self._to_device(images)).float().cpu().numpy()
            return values

        runtime = Runtime(forward, "", self.recipe.model.preprocess, 0, "training")
        sources = track((self.paths[row] for row in rows), what, total=len(rows))
        settings = self.recipe.train
        encoded = encode_all(
            runtime, sources, batch_size=settings.batch_size, workers=settings.workers
        )
        self._note_unreadable((rows[i], reason) for i, reason in encoded.unreadable)
        if not encoded.rows:
            raise CairnError(f"none of {len(rows)} photographs can be read", where=what)
        return encoded.vectors, np.array(rows, dtype=np.int64)[list(encoded.rows)]

    def _to_device(self, images: Float32) -> torch.Tensor:
        return torch.from_numpy(images).to(self.device, non_blocking=True)

    def _note_unreadable(self, found: Iterable[tuple[int, str]]) -> None:
        for row, reason in found:
            if row not in self.bad:
                self.bad[row] = reason
                self._say(f"unreadable, left out: {self.paths[row]} ({reason})")

    # -- scoring and saving ----------------------------------------------------------------------

    def _score_epoch(self, epoch: int) -> Score | None:
        """Return the validation's score where it is due after this epoch."""
        last = epoch + 1 == self.recipe.train.epochs
        if not self.split.queries or not (
            last or (epoch + 1) % self.recipe.validation.every_epochs == 0
        ):
            return None
        rows = (*self.split.train, *self.split.queries, *self.split.nonlandmarks)
        return self._score(*self._encode(rows, self._kept().eval(), "validate"))

    def _score(self, embeddings: Float32, found: Int64) -> Score | None:
        """Return how well the held-out photographs find their landmark among the others."""
        if not self.split.queries:
            return None
        gallery = np.isin(found, self.split.train)
        asked = np.isin(found, (*self.split.queries, *self.split.nonlandmarks))
        marks = self.manifest.landmark_ids
        return score(
            self._to_device(embeddings[gallery]),
            [marks[row] for row in found[gallery]],
            self._to_device(embeddings[asked]),
            [marks[row] for row in found[asked]],
            counts=Counter(marks[row] for row in self.split.train),
        )

    def _finish_epoch(self, epoch: int, facts: dict[str, Any], result: Score | None) -> None:
        """Save the best model and the state, and write the epoch's line."""
        state = self.state
        state.epoch = epoch + 1
        line: dict[str, Any] = {"epoch": epoch + 1, **facts}
        if result is not None:
            line |= result.to_json()
        if not self.split.queries or (result is not None and result.gap > state.best_gap):
            state.best_gap = result.gap if result else -1.0
            state.best_epoch, state.stale = epoch + 1, 0
            self._save_model(self.folder / "checkpoints" / "best")
        elif result is not None:
            state.stale += 1
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(line) + "\n")
        self._save_state()
        shown = (f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in line.items())
        self._say(", ".join(shown))

    def _kept(self) -> Embedder:
        """Return the model that is scored and saved: the averaged one where there is one."""
        kept = self.model if self.average is None else self.average.module
        assert isinstance(kept, Embedder)
        return kept

    def _save_model(self, folder: Path) -> None:
        facts = {
            "landmarks learned": len(self.landmarks),
            "photographs learned from": len(self.split.train),
            "epochs": self.state.best_epoch,
            "validation GAP": f"{self.state.best_gap:.4f}" if self.split.queries else "not scored",
            "recipe": self.recipe.name,
        }
        save_model(
            folder,
            self._kept(),
            self.recipe.model,
            head=self.head,
            landmarks=self.landmarks,
            facts=facts,
            replace=True,
        )

    def _save_state(self) -> None:
        save_state(state_path(self.folder), self.state, self._parts())

    def _parts(self) -> dict[str, Part]:
        parts: dict[str, Part] = {
            "model": self.model,
            "head": self.head,
            "optimizer": self.optimizer,
        }
        return parts if self.average is None else {**parts, "average": self.average}

    def restore(self) -> None:
        """Take up the state saved last, where there is one, and drop what was written after it."""
        if not state_path(self.folder).is_file():
            (self.folder / "metrics.jsonl").unlink(missing_ok=True)
            return
        self.state = load_state(state_path(self.folder), self._parts(), device=self.device)
        recover_folder(self.folder / "checkpoints" / "best")
        lines = (self.folder / "metrics.jsonl").read_text("utf-8").splitlines()
        kept = [line for line in lines if json.loads(line)["epoch"] <= self.state.epoch]
        with atomic_write(self.folder / "metrics.jsonl") as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._say(f"resumed after epoch {self.state.epoch}")

    def publish(self) -> None:
        """Put the best model in place: from now on the run counts as finished."""
        with atomic_folder(self.folder / "model") as temporary:
            shutil.copytree(self.folder / "checkpoints" / "best", temporary, dirs_exist_ok=True)
        scored = f"GAP {self.state.best_gap:.4f}" if self.split.queries else "not scored"
        self._say(f"best: epoch {self.state.best_epoch}, validation {scored}")

    def _describe(self) -> str:
        split = self.split
        return (
            f"{len(split.train)} photographs of {len(self.landmarks)} landmarks; validation: "
            f"{len(split.queries)} queries and {len(split.nonlandmarks)} non-landmarks; "
            f"{self.recipe.model.backbone} on {self.device}"
        )

    def _say(self, message: str) -> None:
        say(message)
        with (self.folder / "train.log").open("a", encoding="utf-8") as handle:
            handle.write(message + "\n")
