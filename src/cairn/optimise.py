"""SGD or AdamW over parameter groups, their learning rates over a stage, the weights' average."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from timm.models import group_parameters
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cairn.config import TrainConfig
from cairn.errors import CairnError
from cairn.layers import GlobalContext
from cairn.model import Embedder

_SECOND_BETA = 0.999  # AdamW's, of the squared gradients
_FUSED_ON = {"cpu", "cuda"}  # one kernel a group there; elsewhere torch's plain loops


def build_optimizer(
    model: Embedder, head: nn.Module, config: TrainConfig, *, loaded: bool
) -> torch.optim.Optimizer:
    """Return the optimiser over backbone, neck, pool and head, frozen parameters included.

    Each group has a ``factor`` on the learning rate (`set_rate`). Vectors (biases, norms, GeM's
    exponent) and what the backbone itself names, such as position embeddings, are not decayed.

    Args:
        model: The embedder.
        head: Its head.
        config: Rates and decay.
        loaded: The backbone has pretrained weights: ``backbone_rate`` and ``layer_decay`` apply to
            it, though not to its Global Context blocks, which are new.

    Raises:
        CairnError: ``layer_decay`` is asked of a backbone whose layers timm does not number.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter, factor, decays in _settings(model, head, config, loaded=loaded):
        decay = config.weight_decay if decays else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    described: list[dict[str, Any]] = [
        {"params": parameters, "factor": factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]
    fused = {p.device.type for group in described for p in group["params"]} <= _FUSED_ON
    if config.optimizer == "adamw":
        betas = (config.momentum, _SECOND_BETA)
        return torch.optim.AdamW(described, lr=config.learning_rate, betas=betas, fused=fused)
    return torch.optim.SGD(
        described,
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        fused=fused,
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


def _settings(
    model: Embedder, head: nn.Module, config: TrainConfig, *, loaded: bool
) -> Iterator[tuple[nn.Parameter, float, bool]]:
    """Yield every parameter with its factor on the rate, and whether it decays."""
    backbone = model.backbone
    depth = _depths(backbone) if loaded and config.layer_decay < 1 else {}
    fresh = {
        id(parameter)
        for module in backbone.modules()
        if isinstance(module, GlobalContext)
        for parameter in module.parameters()
    }
    spared: set[str] = getattr(backbone, "no_weight_decay", set)()
    for name, parameter in backbone.named_parameters():
        old = loaded and id(parameter) not in fresh
        factor = config.backbone_rate * config.layer_decay ** depth.get(name, 0) if old else 1.0
        yield parameter, factor, parameter.ndim > 1 and name not in spared
    for module, factor in ((model.neck, config.neck_rate), (model.pool, 1.0), (head, 1.0)):
        for parameter in module.parameters() if module is not None else ():  # a pool of its own
            yield parameter, factor, parameter.ndim > 1


def _depths(backbone: nn.Module) -> dict[str, int]:
    """Return how many layers each parameter lies before the backbone's last, in timm's counting."""
    matcher = getattr(backbone, "group_matcher", None)
    if matcher is None:
        raise CairnError(
            f"timm does not number the layers of {type(backbone).__name__}",
            where="train.layer_decay",
            todo="set train.layer_decay = 1, and train.backbone_rate instead",
        )
    layers: dict[str, int] = group_parameters(backbone, matcher(coarse=False), reverse=True)
    last = max(layers.values())
    return {name: last - layer for name, layer in layers.items()}
