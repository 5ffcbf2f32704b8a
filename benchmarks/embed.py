"""Embedding speed: OpenVINO against eager PyTorch, for the network alone and from JPEG files.

Run it on an idle machine: ``python benchmarks/embed.py [--backbone NAME] [--side PIXELS]``. The
ways take turns, every one is timed ``--rounds`` times and the best round counts, so that other load
hurts all alike. Weights are random: speed does not hang on them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.embed import encode_all
from cairn.model import build
from cairn.runtime import Runtime, module_runtime, sample_pictures

BATCH_SIZE = 16


def runtimes(backbone: str, side: int) -> dict[str, Runtime]:
    torch.manual_seed(0)
    config = ModelConfig(backbone=backbone, preprocess=Preprocess(image_size=side))
    module = build(config)
    eager = module_runtime(module, config.preprocess, backend="torch", device="cpu")

    def bf16(images_BCHW: Float32) -> Float32:
        images = torch.from_numpy(images_BCHW).to(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            embeddings: Float32 = module(images).float().numpy()
        return embeddings

    start = time.perf_counter()
    fast = module_runtime(module, config.preprocess, backend="openvino")
    print(f"{fast.description}, ready after {time.perf_counter() - start:.1f} s")
    return {
        "PyTorch eager, float32": eager,
        "PyTorch eager, bf16 autocast": Runtime(
            bf16, "", config.preprocess, eager.dimension, "bf16"
        ),
        "Cairn's runtime": fast,
    }


def write_photos(folder: Path, count: int) -> list[Path]:
    """Write JPEG files of 1024 x 768 pixels with structure at all scales."""
    pictures = sample_pictures(1024).transpose(0, 2, 3, 1)[:, :768]
    pixels = np.clip(pictures * 48 + 128, 0, 255).astype(np.uint8)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        Image.fromarray(np.roll(pixels[number % len(pixels)], 7 * number, axis=1)).save(path)
    return paths


def rates(ways: dict[str, Callable[[], object]], num_images: int, rounds: int) -> dict[str, float]:
    """Return images a second of each way, from its best round; the ways take turns."""
    best = dict.fromkeys(ways, float("inf"))
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: num_images / seconds for name, seconds in best.items()}


def show(title: str, found: dict[str, float]) -> None:
    reference = next(iter(found.values()))
    print(f"\n| {title} | img/s | ratio |\n|---|---:|---:|")
    for name, rate in found.items():
        print(f"| {name} | {rate:.1f} | {rate / reference:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="resnext_small")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    wishes = parser.parse_args()
    load = os.getloadavg()[0]
    print(
        f"{wishes.backbone} with GC blocks, {wishes.side} px, batches of {BATCH_SIZE}, "
        f"{len(os.sched_getaffinity(0))} processors, {torch.get_num_threads()} PyTorch threads, "
        f"load average {load:.1f} before the run{' (not idle)' if load > 0.5 else ''}"
    )
    made = runtimes(wishes.backbone, wishes.side)
    images = np.resize(sample_pictures(wishes.side), (BATCH_SIZE, 3, wishes.side, wishes.side))
    show(
        "network alone",
        rates({k: lambda r=r: r(images) for k, r in made.items()}, BATCH_SIZE, wishes.rounds),  # type: ignore[misc]
    )
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photos(Path(folder), wishes.images)
        ways: dict[str, Callable[[], object]] = {
            name: lambda r=runtime: encode_all(r, paths, batch_size=BATCH_SIZE)  # type: ignore[misc]
            for name, runtime in made.items()
        }
        show("from JPEG files, 1024 x 768", rates(ways, len(paths), wishes.rounds))


if __name__ == "__main__":
    main()
