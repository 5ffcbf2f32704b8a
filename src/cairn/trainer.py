"""The training loop over one run folder: state, steps, scores, checkpoints.

Order and augmentation of every photograph derive from (seed, epoch, row), and the state is saved
whole after each epoch, so that a run that was killed continues, on the same kind of processor, to
the weights it would have had.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cairn.augment import decode_side, train_transform
from cairn.checkpoint import save_model
from cairn.config import Recipe
from cairn.domain import Float32, Int64
from cairn.embed import encode_all
from cairn.engine import autocast
from cairn.errors import CairnError
from cairn.heads import ArcFace, build_head
from cairn.loading import Batch, load_batches
from cairn.manifest import Manifest
from cairn.model import Embedder, build
from cairn.necks import Center, Whitened
from cairn.optimise import build_optimizer, rate_factor, set_rate
from cairn.progress import say, track
from cairn.runs import atomic_folder, atomic_write
from cairn.runtime import Runtime
from cairn.sampling import epoch_order, image_rng
from cairn.validation import Score, Split, score, split_validation


@dataclass
class State:
    """What changes while training; saved after each epoch, restored on resume.

    ``epoch`` counts the finished ones; -1 before the model was prepared for the first.
    """

    epoch: int = -1
    best_gap: float = -1.0
    best_epoch: int = -1
    stale: int = 0


class Trainer:
    """One run: model, head, optimiser and the data they learn from."""

    def __init__(
        self, recipe: Recipe, manifest: Manifest, folder: Path, device: torch.device
    ) -> None:
        self.recipe, self.manifest, self.folder, self.device = recipe, manifest, folder, device
        self.split = _checked_split(manifest, recipe)
        self.landmarks = sorted({manifest.landmark_ids[row] for row in self.split.train})
        index = {landmark: i for i, landmark in enumerate(self.landmarks)}
        self.labels = np.array([index.get(mark, -1) for mark in manifest.landmark_ids], np.int64)
        self.paths = manifest.paths
        torch.manual_seed(recipe.seed)
        self.model: Embedder = build(recipe.model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head = build_head(recipe.head, recipe.model.dimension, len(self.landmarks)).to(device)
        loaded = recipe.model.weights is not None
        self.optimizer = build_optimizer(
            self.model,
            self.head,
            recipe.train,
            backbone_rate=recipe.train.backbone_rate if loaded else 1.0,
        )
        self.average = _average(self.model, recipe.train.ema)
        self.state = State()
        self.bad: dict[int, str] = {}

    # -- the run ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Train the epochs that are left, then put the best model in place."""
        if self.state.epoch < 0:
            self._say(self._describe())
            self._prepare()
        for epoch in range(self.state.epoch, self.recipe.train.epochs):
            facts = self._train_epoch(epoch)
            self._finish_epoch(epoch, facts, self._score_epoch(epoch))
            patience = self.recipe.train.patience
            if patience is not None and self.state.stale >= patience:
                self._say(f"stopped: no better validation GAP in {patience} scored epochs")
                break

    def _prepare(self) -> None:
        """Fit a closed-form neck, place the centres of known landmarks, score the model.

        The backbone sees each photograph once; everything here works on its features.
        """
        split = self.split
        rows = (*split.train, *split.queries, *split.nonlandmarks, *split.spare)
        features, found = self._encode(rows, self.model.eval().features, "first look")
        features_NF = torch.from_numpy(features).to(self.device)
        self._fit_neck(features_NF, found, (*split.train, *split.spare))
        with torch.inference_mode():
            embeddings = self.model.project(features_NF).cpu().numpy()
        if self.recipe.model.weights is not None and isinstance(self.head, ArcFace):
            self._place_centers(embeddings, found)
        result = self._score(embeddings, found)
        if self.recipe.train.epochs == 0:  # nothing more to choose: let all photographs speak
            self._fit_neck(features_NF, found, rows)
        self._finish_epoch(-1, {}, result)

    def _fit_neck(self, features_NF: torch.Tensor, found: Int64, rows: Sequence[int]) -> None:
        """Fit a closed-form neck to the features of ``rows``."""
        if isinstance(self.model.neck, Center | Whitened):
            usable = np.isin(found, rows)
            labels = torch.from_numpy(self.labels[found[usable]]).to(self.device)
            self.model.neck.fit(features_NF[usable], labels)
            self.average = _average(self.model, self.recipe.train.ema)

    def _place_centers(self, embeddings: Float32, found: Int64) -> None:
        """Start each landmark's centre at the mean of its embeddings."""
        known = np.isin(found, self.split.train)
        sums = np.zeros(tuple(self.head.weight.shape), np.float32)
        np.add.at(sums, self.labels[found[known]], embeddings[known])
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(sums / np.maximum(norms, 1e-12)))

    def _train_epoch(self, epoch: int) -> dict[str, Any]:
        settings = self.recipe.train
        self._set_modes(epoch)
        order = np.array(self.split.train)[
            epoch_order(len(self.split.train), seed=self.recipe.seed, epoch=epoch)
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
        loss = float(total) / max(seen, 1)
        if not np.isfinite(loss):
            raise CairnError(
                f"the loss is {loss} in epoch {epoch + 1}",
                where=self.folder,
                todo="lower train.learning_rate, or set train.precision = 'float32'",
            )
        seconds = time.perf_counter() - start
        return {"loss": loss, "seconds": seconds, "images_per_s": seen / seconds}

    def _step(self, batch: Batch, progress: float, num_steps: int) -> torch.Tensor:
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
        if isinstance(head, ArcFace):
            warmup = self.recipe.head.margin_warmup_epochs
            grown = min(progress / warmup, 1.0) if warmup else 1.0
            head.margin = self.recipe.head.margin * grown
        images = self._to_device(batch.images)
        labels = torch.from_numpy(self.labels[batch.rows]).to(self.device)
        with autocast(self.device, settings.precision):
            embeddings = self.model(images)
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
        frozen = epoch < settings.freeze_epochs
        self.model.train()
        self.model.backbone.requires_grad_(not frozen)
        if frozen or settings.freeze_batchnorm:
            for module in self.model.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm) or frozen:
                    module.eval()

    # -- data ------------------------------------------------------------------------------------

    def _train_batches(self, order: Int64, epoch: int) -> Iterator[Batch]:
        change = train_transform(self.recipe.model.preprocess, self.recipe.augment)
        seed = self.recipe.seed
        for batch in load_batches(
            self.paths,
            order,
            lambda image, row: change(image, image_rng(seed, epoch, row)),
            batch_size=self.recipe.train.batch_size,
            min_side=decode_side(self.recipe.model.preprocess, self.recipe.augment),
            workers=self.recipe.train.workers,
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
            embeddings[gallery],
            [marks[row] for row in found[gallery]],
            embeddings[asked],
            [marks[row] for row in found[asked]],
        )

    def _finish_epoch(self, epoch: int, facts: dict[str, Any], result: Score | None) -> None:
        """Save the best model and the state, and write the epoch's line."""
        state = self.state
        state.epoch = epoch + 1
        line: dict[str, Any] = {"epoch": epoch + 1, **facts}
        if result is not None:
            line |= {"val_gap": result.gap, "val_accuracy": result.accuracy}
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
            "validation GAP": f"{self.state.best_gap:.4f}",
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
        values = {
            "state": dict(vars(self.state)),
            "model": self.model.state_dict(),
            "head": self.head.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }
        with atomic_write(self._state_path()) as temporary:
            torch.save(values, temporary)

    def restore(self) -> None:
        """Take up the state saved last, where there is one, and drop what was written after it."""
        if not self._state_path().is_file():
            (self.folder / "metrics.jsonl").unlink(missing_ok=True)
            return
        values = torch.load(self._state_path(), weights_only=True, map_location=self.device)
        self.state = State(**values["state"])
        self.model.load_state_dict(values["model"])
        self.head.load_state_dict(values["head"])
        self.optimizer.load_state_dict(values["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(values["average"])
        lines = (self.folder / "metrics.jsonl").read_text("utf-8").splitlines()
        kept = [line for line in lines if json.loads(line)["epoch"] <= self.state.epoch]
        with atomic_write(self.folder / "metrics.jsonl") as temporary:
            temporary.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
        self._say(f"resumed after epoch {self.state.epoch}")

    def _state_path(self) -> Path:
        return self.folder / "checkpoints" / "last" / "trainer.pt"

    def publish(self) -> None:
        """Put the best model in place: from now on the run counts as finished."""
        with atomic_folder(self.folder / "model") as temporary:
            shutil.copytree(self.folder / "checkpoints" / "best", temporary, dirs_exist_ok=True)
        self._say(f"best: epoch {self.state.best_epoch}, validation GAP {self.state.best_gap:.4f}")

    def _describe(self) -> str:
        split: Split = self.split
        return (
            f"{len(split.train)} photographs of {len(self.landmarks)} landmarks; validation: "
            f"{len(split.queries)} queries and {len(split.nonlandmarks)} non-landmarks; "
            f"{self.recipe.model.backbone} on {self.device}"
        )

    def _say(self, message: str) -> None:
        say(message)
        with (self.folder / "train.log").open("a", encoding="utf-8") as handle:
            handle.write(message + "\n")


def _average(model: Embedder, decay: float) -> torch.optim.swa_utils.AveragedModel | None:
    if not decay:
        return None
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=blend, use_buffers=True)


def _checked_split(manifest: Manifest, recipe: Recipe) -> Split:
    split = split_validation(manifest, recipe.validation, seed=recipe.seed)
    if not split.train:
        raise CairnError(
            "the manifest has no train rows", where=manifest.root, todo="set role = train"
        )
    if not split.queries:
        say("warning: no landmark has photographs enough to hold some out; nothing is scored")
    elif not split.nonlandmarks:
        say("warning: no nonlandmark rows; a validation without unknown queries misleads")
    return split
