"""Training steps: Cairn's against a plain loop, and what the Global Context blocks cost.

The plain loop is what people write: the same network, batch and autocast, channels first,
pytorch-metric-learning's ArcFaceLoss, SGD. Prints images/s and ratios in one run.

    python benchmarks/train.py --backbone resnext_small --side 80 --batch 64
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from pytorch_metric_learning.losses import ArcFaceLoss

from cairn.config import HeadConfig, ModelConfig, TrainConfig
from cairn.engine import autocast, pick_device
from cairn.heads import build_head
from cairn.model import build
from cairn.optimise import build_optimizer

LANDMARKS = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="resnext_small")
    parser.add_argument("--side", type=int, default=80)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    device = pick_device()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(
        f"{options.backbone}, {options.side} px, batch {options.batch}, {device}, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}{load}"
    )
    images = torch.randn(options.batch, 3, options.side, options.side, device=device)
    labels = torch.randint(0, LANDMARKS, (options.batch,), device=device)
    steps = {
        "plain loop": plain_step(options.backbone, images, labels),
        "Cairn": cairn_step(options.backbone, images, labels, gc=True),
        "Cairn without GC blocks": cairn_step(options.backbone, images, labels, gc=False),
    }
    rates: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
        step()
    for _ in range(options.rounds):
        for name, step in steps.items():
            rates[name].append(options.batch * options.steps / timed(step, options.steps, device))
    base = statistics.median(rates["plain loop"])
    for name, found in rates.items():
        middle = statistics.median(found)
        print(f"{name:<26}{middle:>9.1f} images/s {middle / base:>6.2f}x the plain loop")
    share = statistics.median(rates["Cairn"]) / statistics.median(rates["Cairn without GC blocks"])
    print(f"Global Context blocks take {1 - share:.0%} of the step")


def cairn_step(
    backbone: str, images: torch.Tensor, labels: torch.Tensor, *, gc: bool
) -> Callable[[], None]:
    """Return one step as `cairn train` takes it."""
    settings = TrainConfig()
    config = ModelConfig(backbone=backbone, gc=gc)
    model = build(config).to(images.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    head = build_head(HeadConfig(), config.dimension, np.full(LANDMARKS, 10)).to(images.device)
    optimizer = build_optimizer(model, head, settings, backbone_rate=1.0)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def step() -> None:
        with autocast(images.device, settings.precision):
            embeddings = model(images)
        loss: torch.Tensor = head(embeddings, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    return step


def plain_step(backbone: str, images: torch.Tensor, labels: torch.Tensor) -> Callable[[], None]:
    """Return one step of a loop as scripts have it, with the same network."""
    model = build(ModelConfig(backbone=backbone)).to(images.device).train()
    # Undo the one line that makes the network channels-last: scripts do not have it.
    pool = model.pool
    backbone_features = cast(
        Callable[[torch.Tensor], torch.Tensor], model.backbone.forward_features
    )
    setattr(model, "features", lambda x: pool(backbone_features(x)))  # noqa: B010
    loss_function: torch.nn.Module = ArcFaceLoss(LANDMARKS, 512, margin=17.2, scale=30)
    loss_function = loss_function.to(images.device)
    parameters = [*model.parameters(), *loss_function.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        with autocast(images.device, "auto"):
            loss: torch.Tensor = loss_function(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    return step


def timed(step: Callable[[], None], steps: int, device: torch.device) -> float:
    """Return the seconds of some steps, the device's work included."""
    wait_for(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    wait_for(device)
    return time.perf_counter() - start


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
