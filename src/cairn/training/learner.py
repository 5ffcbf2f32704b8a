"""What learns: model, head, optimiser and averaged weights, and the step that they take together.

Several processes hold the same model and each its own rows of the head. A step is one gradient of
the mean loss over all photographs of all processes. Legend: P processes, A accumulated parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim.swa_utils import AveragedModel

from cairn import processes
from cairn.config import Recipe
from cairn.domain import Int64
from cairn.engine import autocast, compile_backbone
from cairn.heads import Head, Shard, build_head
from cairn.loading import TrainBatch
from cairn.model import Embedder, build
from cairn.optimise import build_average, build_optimizer, rate_factor, set_rate
from cairn.state import Part
from cairn.training.freezing import batchnorms, freeze, set_train_mode
from cairn.training.whole import WholeHead, WholeOptimizer


class Learner:
    """A model and its head on this process's device, taken from stage to stage.

    Args:
        stage: The first stage; its model is built and, where it names weights, loaded.
        counts: Training photographs of each target of the head.
        device: Where it learns.

    Attributes:
        model: The embedder.
        head: Its head, or this process's rows of it.
        average: The averaged embedder, where the stage keeps one.
        rate: The learning rate of the last step.
    """

    def __init__(self, stage: Recipe, counts: Int64, device: torch.device) -> None:
        self.counts, self.device = counts, device
        torch.manual_seed(stage.seed)
        model = build(stage.model)
        alone = processes.size() == 1
        if not alone and device.type == "cuda":
            model = convert_sync_batchnorm(model)  # gloo has none: there each takes its own share's
        self.model: Embedder = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average: AveragedModel | None = None
        self.rate = 0.0
        self.shard = None if alone else Shard(len(counts), processes.rank(), processes.size())
        self.head = self._build_head(stage)
        self.begin(stage)

    def begin(self, stage: Recipe) -> None:
        """Take up the settings of a stage; weights stay.

        The optimiser begins anew: what is frozen, the rates and the loss change with the stage, its
        momenta tell of the old ones, and a stage warms up anyway. The average goes on where both
        stages keep one.
        """
        self.stage = stage
        self._together: nn.Module = self.model  # lets go of the last stage's bond and its hooks
        self.model.set_image_size(stage.model.preprocess.image_size)
        compile_backbone(self.model, stage.train.compile, self.device)
        head = self._build_head(stage)
        with torch.no_grad():
            for old, new in zip(self.head.parameters(), head.parameters(), strict=True):
                new.copy_(old)
        self.head = head
        freeze(self.model, self.head, stage.train.freeze)
        self.optimizer = build_optimizer(
            self.model, self.head, stage.train, loaded=stage.model.weights is not None
        )
        self._go_on_averaging()
        self._together = self._distributed()

    def begin_average(self) -> None:
        """Let the average begin at the weights as they are."""
        self.average = build_average(self.model, self.stage.train.ema)

    @property
    def kept(self) -> Embedder:
        """The model that is scored and saved: the averaged one where there is one."""
        kept = self.model if self.average is None else self.average.module
        assert isinstance(kept, Embedder)
        return kept

    @property
    def parts(self) -> dict[str, Part]:
        """All whose state a resumed run takes up; the head's rows are whole there."""
        head: Part = self.head
        optimizer: Part = self.optimizer
        if self.shard is not None:
            head = WholeHead(self.head, self.shard)
            optimizer = WholeOptimizer(self.optimizer, self.head, self.shard)
        parts: dict[str, Part] = {"model": self.model, "head": head, "optimizer": optimizer}
        return parts if self.average is None else {**parts, "average": self.average}

    # -- a step ----------------------------------------------------------------------------------

    def begin_epoch(self) -> None:
        """Put what learns in training mode, and what is frozen not."""
        settings = self.stage.train
        set_train_mode(self.model, settings.freeze, freeze_batchnorm=settings.freeze_batchnorm)
        self.head.train()

    def step(
        self,
        parts: Sequence[TrainBatch],
        targets: Int64,
        shares_PA: Int64,
        *,
        progress: float,
        num_steps: int,
    ) -> Tensor:
        """Take one step; return the loss of its photographs, summed over all processes.

        It is no number, either, where the gradient to be clipped is none: the weights are spoilt.

        Args:
            parts: A batches of this process.
            targets: Of every row.
            shares_PA: Photographs of each process in each part; some part has some.
            progress: Epochs of the stage that are over, with the part of this one.
            num_steps: Steps of this epoch.
        """
        settings = self.stage.train
        self.rate = settings.learning_rate * rate_factor(
            progress * num_steps,
            warmup_steps=settings.warmup_epochs * num_steps,
            total_steps=settings.epochs * num_steps,
        )
        set_rate(self.optimizer, self.rate)
        self.head.set_epoch(progress)
        self.optimizer.zero_grad(set_to_none=True)
        sizes_A = shares_PA.sum(axis=0)
        used = [index for index, size in enumerate(sizes_A) if size]
        total = torch.zeros((), device=self.device)
        for index in used:
            part = parts[index]
            labels = torch.from_numpy(targets[part.rows]).to(self.device)
            with self._gradients_shared(index == used[-1]):
                embeddings = self._embed(part.images, few=bool(shares_PA[:, index].min() < 2))
                loss = self.head(embeddings, labels)
                (loss * (sizes_A[index] / sizes_A.sum())).backward()
            total += loss.detach() * int(sizes_A[index])
        norm = self._clip()
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.model)
        return torch.where(norm.isfinite(), total, torch.nan)

    def _embed(self, images_BCHW: Tensor, *, few: bool) -> Tensor:
        """Return the embeddings of this process's part, (B, D); B may be 0.

        Where some process has fewer than two photographs (``few``), all use the stored batch-norm
        statistics: one photograph has no statistics, and processes must agree on what they share.
        A process without any sends a blank one along and drops it, for the others count on it.
        """
        blank = not len(images_BCHW)
        if blank:
            images_BCHW = images_BCHW.new_zeros(1, *images_BCHW.shape[1:])
        held = batchnorms(self.model) if few else []
        for module in held:
            module.eval()
        with autocast(self.device, self.stage.train.precision):
            embeddings: Tensor = self._together(images_BCHW)
        for module in held:
            module.train()
        if blank:
            embeddings = embeddings[:0]
        if embeddings.requires_grad:  # the mean over processes shall be the sum that it stands for
            embeddings.register_hook(_times_processes)  # type: ignore[no-untyped-call]
        return embeddings

    def _gradients_shared(self, now: bool) -> AbstractContextManager[None]:
        """Return the context in which gradients wait for the last part to be summed."""
        together = self._together
        if now or not isinstance(together, DistributedDataParallel):
            return nullcontext()
        waiting: AbstractContextManager[None] = together.no_sync()
        return waiting

    def _clip(self) -> Tensor:
        """Bring the gradient of the whole, all rows of the head included, to the largest norm.

        Return the norm it had; 0 where nothing is clipped.
        """
        largest = self.stage.train.clip_norm
        if largest is None:
            return torch.zeros((), device=self.device)
        model = [p for p in self.model.parameters() if p.grad is not None]
        head = [p for p in self.head.parameters() if p.grad is not None]
        squares = processes.total(self._square(head)) + self._square(model)
        norm = squares.sqrt()
        clip_grads_with_norm_([*model, *head], largest, norm)
        return norm

    def _square(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        gradients = [p.grad for p in parameters if p.grad is not None]
        if not gradients:
            return torch.zeros((), device=self.device)
        return get_total_norm(gradients).square()

    # -- what it is made of ----------------------------------------------------------------------

    def _build_head(self, stage: Recipe) -> Head:
        head = build_head(stage.head, stage.model.dimension, self.counts, shard=self.shard)
        return head.to(self.device)

    def _go_on_averaging(self) -> None:
        """Keep the average so far under the stage's own decay, begin one, or end it."""
        before = self.average
        if before is None or not self.stage.train.ema:
            self.begin_average()
            return
        averaged = before.module
        assert isinstance(averaged, Embedder)
        averaged.set_image_size(self.stage.model.preprocess.image_size)
        self.average = build_average(averaged, self.stage.train.ema)
        assert self.average is not None
        self.average.n_averaged.copy_(before.n_averaged)

    def _distributed(self) -> nn.Module:
        """Return the model as the processes run it together."""
        if processes.size() == 1:
            return self.model
        self._leave_out_unused()
        if not any(parameter.requires_grad for parameter in self.model.parameters()):
            return self.model
        own = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(self.model, device_ids=own, gradient_as_bucket_view=True)

    def _leave_out_unused(self) -> None:
        """Ask for no gradient of parameters that no embedding depends on; all would wait for it."""
        side = self.stage.model.preprocess.image_size
        self.model.zero_grad(set_to_none=True)
        self.model.eval()
        image = torch.zeros(1, 3, side, side, device=self.device)
        embedding = self.model.forward(image)
        if embedding.requires_grad:
            embedding.sum().backward()  # type: ignore[no-untyped-call]
        for parameter in self.model.parameters():
            parameter.requires_grad_(parameter.grad is not None)
        self.model.zero_grad(set_to_none=True)


def _times_processes(gradient: Tensor) -> Tensor:
    return gradient * processes.size()


def seed_step(seed: int, *, epoch: int, step: int) -> None:
    """Seed torch for one step: what its random layers draw depends on nothing before it."""
    drawn = np.random.SeedSequence((seed, 4, epoch, step, processes.rank())).generate_state(1)
    torch.manual_seed(int(drawn[0]))
