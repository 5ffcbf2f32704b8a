"""SGD over parameter groups, its learning rate over a run, and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cairn.config import TrainConfig
from cairn.model import Embedder


def build_optimizer(
    model: Embedder, head: nn.Module, config: TrainConfig, *, backbone_rate: float
) -> torch.optim.SGD:
    """Return SGD with Nesterov momentum over backbone and new parts.

    Vectors (biases, norms, GeM's exponent) are not decayed.

    Args:
        model: The embedder.
        head: Its head.
        config: Rates and decay.
        backbone_rate: Factor on the learning rate of the backbone.
    """
    new = [*model.pool.parameters(), *head.parameters()]
    groups = [
        *_by_decay(model.backbone.parameters(), backbone_rate, config.weight_decay),
        *_by_decay(model.neck.parameters(), config.neck_rate, config.weight_decay),
        *_by_decay(new, 1.0, config.weight_decay),
    ]
    return torch.optim.SGD(
        groups, lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0
    )


def rate_factor(step: float, *, warmup_steps: float, total_steps: float) -> float:
    """Return the factor on the peak rate at a step: 0 to 1 linearly, then half a cosine to 0."""
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group ``rate`` times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def build_average(model: Embedder, decay: float) -> AveragedModel | None:
    """Return what keeps an exponential average of weights and buffers; None where decay is 0."""
    if not decay:
        return None
    blend = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(model, multi_avg_fn=blend, use_buffers=True)


def _by_decay(
    parameters: Iterable[nn.Parameter], factor: float, decay: float
) -> list[dict[str, object]]:
    known = list(parameters)
    matrices = [p for p in known if p.ndim > 1]
    vectors = [p for p in known if p.ndim <= 1]
    groups: list[dict[str, object]] = [
        {"params": matrices, "factor": factor, "weight_decay": decay},
        {"params": vectors, "factor": factor, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
