"""Training steps: Cairn's against a plain loop, and where the time of a step goes.

The plain loop is what people write: timm's network with timm's Global Context blocks, GeM, linear
neck, pytorch-metric-learning's ArcFaceLoss, autocast, SGD, channels first. Same batch, landmarks
and precision. Ways take turns; medians of the rounds are printed.

    python benchmarks/train.py --backbone resnext_small --side 80 --batch 64
    python benchmarks/train.py --preset h200
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from pytorch_metric_learning.losses import ArcFaceLoss
from timm.layers import GlobalContext
from torch import Tensor, nn

from cairn.backbones import HOUSE
from cairn.config import AugmentConfig, HeadConfig, ModelConfig, Preprocess, TrainConfig
from cairn.engine import autocast, compile_backbone, pick_device
from cairn.heads import build_head
from cairn.loading import train_batches
from cairn.model import build
from cairn.optimise import build_optimizer
from cairn.sampling import count_showings

PRESETS = {
    "h200": {
        "backbone": "resnext101_32x4d",
        "side": 512,
        "batch": 128,
        "landmarks": 81_313,
        "steps": 20,
        "compile": "on",
    }
}
DIMENSION = 512
Step = Callable[[Tensor, Tensor], None]


def main() -> None:
    options = parse()
    device = pick_device()
    if options.landmarks is None:
        options.landmarks = 81_313 if device.type == "cuda" else 1000
    load = f", load {os.getloadavg()[0]:.1f} before the run" if hasattr(os, "getloadavg") else ""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    print(
        f"{options.backbone}, {options.side} px, batch {options.batch}, {options.landmarks} "
        f"landmarks, {name}, {torch.get_num_threads()} threads, torch {torch.__version__}{load}"
    )
    side, batch = options.side, options.batch
    images = torch.randn(batch, 3, side, side, device=device)
    labels = torch.randint(0, options.landmarks, (batch,), device=device)
    settings = TrainConfig(compile=options.compile)
    cairn, head_alone = cairn_step(options, settings, device, gc=options.gc)
    steps: dict[str, Step] = {"plain loop": plain_step(options, device), "Cairn": cairn}
    if options.gc:
        steps["Cairn without GC blocks"] = cairn_step(options, settings, device, gc=False)[0]
    rates = measure(steps, images, labels, options)
    base = rates["plain loop"]
    for way, rate in rates.items():
        print(f"{way:<26}{rate:>9.1f} images/s {rate / base:>6.2f}x the plain loop")
    whole = batch / rates["Cairn"]
    embeddings = torch.randn(batch, DIMENSION, device=device)
    head = batch / measure({"head": head_alone}, embeddings, labels, options)["head"]
    print(f"head: {head / whole:.1%} of the step, backbone with neck and optimiser the rest")
    if options.gc:
        share = 1 - rates["Cairn"] / rates["Cairn without GC blocks"]
        print(f"Global Context blocks: {share:.1%} of the step")
    with tempfile.TemporaryDirectory() as folder:
        fed, alone = feed(cairn, labels, Path(folder), options, device)
    print(f"input alone, JPEG files of {4 * side // 3} x {side}: {alone:.1f} images/s")
    print(f"Cairn fed from these files: {fed:.1f} images/s; input: {1 - fed / rates['Cairn']:.1%}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS)
    parser.add_argument("--backbone", default="resnext_small")
    parser.add_argument("--no-gc", dest="gc", action="store_false", help="for other families")
    parser.add_argument("--side", type=int, default=80)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--landmarks", type=int, help="default: 81313 on CUDA, 1000 on the CPU")
    parser.add_argument("--compile", choices=["auto", "on", "off"], default="auto")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    chosen, _ = parser.parse_known_args()
    if chosen.preset:
        parser.set_defaults(**PRESETS[chosen.preset])
    return parser.parse_args()


def cairn_step(
    options: argparse.Namespace, settings: TrainConfig, device: torch.device, *, gc: bool
) -> tuple[Step, Step]:
    """Return one step as `cairn train` takes it, and the head's part of it from embeddings."""
    config = ModelConfig(backbone=options.backbone, gc=gc, dimension=DIMENSION)
    model = build(config).to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    compile_backbone(model, settings.compile, device)
    counts_L = np.full(options.landmarks, 20, dtype=np.int64)
    head = build_head(HeadConfig(), config.dimension, counts_L).to(device)
    optimizer = build_optimizer(model, head, settings, loaded=False)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def step(images: Tensor, labels: Tensor) -> None:
        with autocast(device, settings.precision):
            embeddings = model(images)
        loss: Tensor = head(embeddings, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    def head_alone(embeddings: Tensor, labels: Tensor) -> None:
        unit = nn.functional.normalize(embeddings.detach().requires_grad_())
        loss: Tensor = head(unit, labels)
        head.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]

    return step, head_alone


class PlainNetwork(nn.Module):
    """Backbone, GeM and neck as scripts have them: (B, 3, H, W) -> (B, 512)."""

    def __init__(self, backbone: str, *, gc: bool) -> None:
        super().__init__()
        block = partial(GlobalContext, fuse_add=True, fuse_scale=False)
        extra = {"block_args": {"attn_layer": block}} if gc else {}
        self.backbone: nn.Module = (
            HOUSE["resnext_small"](num_classes=0, **extra)
            if backbone == "resnext_small"
            else timm.create_model(backbone, num_classes=0, **extra)
        )
        width = self.backbone.num_features
        assert isinstance(width, int)
        self.p = nn.Parameter(torch.tensor(3.0))
        self.neck = nn.Sequential(nn.Linear(width, DIMENSION), nn.BatchNorm1d(DIMENSION))

    def forward(self, images: Tensor) -> Tensor:
        """Return embeddings; the loss makes them unit length."""
        features = self.backbone.forward_features(images)  # type: ignore[operator]
        pooled = features.float().clamp(min=1e-6).pow(self.p).mean(dim=(2, 3)).pow(1 / self.p)
        embeddings: Tensor = self.neck(pooled)
        return embeddings


def plain_step(options: argparse.Namespace, device: torch.device) -> Step:
    """Return one step of a loop as scripts have it."""
    model = PlainNetwork(options.backbone, gc=options.gc).to(device).train()
    criterion: nn.Module = ArcFaceLoss(options.landmarks, DIMENSION, margin=17.2, scale=30)
    criterion = criterion.to(device)
    parameters = [*model.parameters(), *criterion.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=1e-4)

    def step(images: Tensor, labels: Tensor) -> None:
        optimizer.zero_grad()
        with autocast(device, "auto"):
            loss: Tensor = criterion(model(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    return step


def measure(
    steps: dict[str, Step], inputs: Tensor, labels: Tensor, options: argparse.Namespace
) -> dict[str, float]:
    """Return images a second of each way, the median of the rounds; the ways take turns."""
    for step in steps.values():
        step(inputs, labels)
        step(inputs, labels)
    rates: dict[str, list[float]] = {way: [] for way in steps}
    for _ in range(options.rounds):
        for way, step in steps.items():
            seconds = timed(partial(step, inputs, labels), options.steps, inputs.device)
            rates[way].append(len(inputs) * options.steps / seconds)
    return {way: statistics.median(found) for way, found in rates.items()}


def feed(
    step: Step, labels: Tensor, folder: Path, options: argparse.Namespace, device: torch.device
) -> tuple[float, float]:
    """Return images a second of steps fed from files, and of the input without the steps."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(16):
        size = 4 * options.side // 3, options.side
        waves = [rng.integers(0, 256, (2**k, 2**k, 3), dtype=np.uint8) for k in range(2, 8)]
        layers = [np.asarray(Image.fromarray(w).resize(size), np.float32) for w in waves]
        paths.append(folder / f"{number}.jpg")
        Image.fromarray(np.mean(layers, axis=0).astype(np.uint8)).save(paths[-1], quality=90)
    rows = [count_showings(np.arange(options.batch) % len(paths))] * (options.steps + 2)

    def batches() -> Iterator[Tensor]:
        preprocess = Preprocess(image_size=options.side)
        for batch in train_batches(
            paths, rows, preprocess, AugmentConfig(), seed=0, epoch=0, device=device
        ):
            yield batch.images

    def rate(use: Step) -> float:
        found: list[float] = []
        for _ in range(options.rounds):
            source = batches()
            for _ in range(2):  # until decoding has its lead
                use(next(source), labels)
            wait_for(device)
            start = time.perf_counter()
            for images in source:
                use(images, labels)
            wait_for(device)
            seconds = time.perf_counter() - start
            found.append(int(options.batch) * int(options.steps) / seconds)
        return statistics.median(found)

    return rate(step), rate(lambda images, labels: None)


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
