"""Exports: images a second beside PyTorch, and what int8 costs in GAP.

Run it on an idle machine: ``python benchmarks/export.py [--backbone NAME] [--side PIXELS]``. Ways
take turns, each is timed ``--rounds`` times and its best round counts. The model is MobileNetV2
with the weights at hand, its neck fitted to the photographs, where these are there; otherwise the
house's small model, untrained, on a small made-up world, or ``--backbone`` with random weights
(speed alone).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cairn.checkpoint import load_model, save_model
from cairn.config import ModelConfig, Preprocess, read_recipe
from cairn.domain import Float32
from cairn.embed import embed
from cairn.errors import CairnError
from cairn.export import export_model
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.model import build
from cairn.runtime import Runtime, load_runtime, sample_input
from cairn.sources.tabular import from_table
from cairn.train import train
from cairn.world import make_world
from cairn.world.config import WorldConfig
from embed import rates

sys.path.insert(0, str(Path(__file__).parent / "real"))
from photos import MOBILENET, ROLES, photographs_parser

BATCHES = (1, 8, 32)


def main() -> None:
    parser = photographs_parser(__doc__)
    parser.add_argument("--backbone", help="random weights; speed alone")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    wishes = parser.parse_args()
    load = os.getloadavg()[0]
    print(
        f"{len(os.sched_getaffinity(0))} processors, {torch.get_num_threads()} PyTorch threads, "
        f"load average {load:.1f} before the run{' (not idle)' if load > 0.5 else ''}\n"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if wishes.backbone:
            model, manifest = random_model(wishes.backbone, wishes.side, folder), None
        elif (wishes.photos / "manifest.csv").is_file() and wishes.weights.is_file():
            manifest = from_table(wishes.photos / "manifest.csv", roles=ROLES)
            weights = (*MOBILENET, f"model.weights={wishes.weights}")
            recipe = read_recipe("frozen", (*weights, "model.preprocess.resize=crop"))
            model = train(recipe, manifest, out=folder / "run", device="cpu") / "model"
        else:
            world = WorldConfig(
                num_landmarks=12, num_queries=60, num_bank=20, size=96, max_photos=20
            )
            manifest = Manifest.read(make_world(folder / "world", world))
            recipe = read_recipe("demo", ("train.epochs=0",))
            model = train(recipe, manifest, out=folder / "run", device="cpu") / "model"
        compare(model, manifest, folder, wishes.rounds)


def random_model(backbone: str, side: int, folder: Path) -> Path:
    torch.manual_seed(0)
    config = ModelConfig(
        backbone=backbone,
        gc="resne" in backbone,
        pool="gem" if "resne" in backbone else "avg",
        preprocess=Preprocess(image_size=side),
    )
    save_model(folder / "model", build(config), config)
    return folder / "model"


def compare(model: Path, manifest: Manifest | None, folder: Path, rounds: int) -> None:
    config = load_model(model)[1]
    print(f"{config.backbone}, input {config.preprocess.input_shape}")
    export_model(model, folder / "onnx")
    export_model(model, folder / "openvino", form="openvino")
    int8 = []
    if manifest is not None:
        embed(model, manifest.gallery(), folder / "table", device="cpu")
        gallery = Gallery.build(folder / "table", model, folder / "gallery")
        int8 = quantised(model, manifest, gallery, folder)
    ways = {
        "PyTorch, float32": load_runtime(model, backend="torch", device="cpu"),
        "PyTorch, bf16 autocast": bf16(model),
        "ONNX Runtime, float32": load_runtime(folder / "onnx"),
        **{
            f"{run.description.removesuffix(' (export)')}": run
            for run in [load_runtime(folder / "openvino"), *int8]
        },
    }
    speeds(ways, rounds)
    faithfulness(ways)


def quantised(model: Path, manifest: Manifest, gallery: Gallery, folder: Path) -> list[Runtime]:
    """Export in int8, print the loss of GAP, and return the ways of running it."""
    made = export_model(
        model, folder / "int8", int8=True, manifest=manifest, gallery=gallery, tolerance=-1.0
    )
    loss = made.loss
    assert loss is not None
    print(
        f"\nint8: GAP of {loss['num_queries']} queries {loss['gap_before']:.4f} -> "
        f"{loss['gap_after']:.4f}, lost {loss['lost']:.4f} [{loss['low']:.4f}, "
        f"{loss['high']:.4f}]; accuracy {loss['accuracy_before']:.4f} -> "
        f"{loss['accuracy_after']:.4f}; mean cosine {loss['mean_cosine']:.4f}; least of "
        f"{made.parity['num_probes']} photographs {made.parity['min_cosine']:.4f}"
    )
    found = []
    for backend in ("onnx", "openvino"):
        try:
            found.append(load_runtime(folder / "int8", backend=backend))
        except CairnError as error:
            print(f"int8 through {backend}: {error.what}")
    return found


def bf16(model: Path) -> Runtime:
    module, config = load_model(model)
    module = module.to(memory_format=torch.channels_last)

    def forward(images: Float32) -> Float32:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            embeddings: Float32 = module(torch.from_numpy(images)).float().numpy()
        return embeddings

    return Runtime(forward, "", config.preprocess, config.dimension, "bf16")


def speeds(ways: dict[str, Runtime], rounds: int) -> None:
    pictures = sample_input(next(iter(ways.values())).preprocess)
    columns = []
    for size in BATCHES:
        images = np.resize(pictures, (size, *pictures.shape[1:])).astype(np.float32)
        repeats = max(1, 32 // size)

        def run(way: Runtime, images: Float32 = images, repeats: int = repeats) -> None:
            for _ in range(repeats):
                way(images)

        calls: dict[str, Callable[[], object]] = {
            name: partial(run, way) for name, way in ways.items()
        }
        columns.append(rates(calls, size * repeats, rounds))
    print("\n| way | " + " | ".join(f"batch {size}, img/s | ratio" for size in BATCHES) + " |")
    print("|---|" + "---:|" * (2 * len(BATCHES)))
    first = next(iter(ways))
    for name in ways:
        cells = [f"{one[name]:.1f} | {one[name] / one[first]:.2f}" for one in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")


def faithfulness(ways: dict[str, Runtime]) -> None:
    first, *others = ways
    pictures = sample_input(ways[first].preprocess)
    want = ways[first](pictures)
    print("\nleast cosine to float32 PyTorch on the six seeded pictures:")
    for name in others:
        print(f"- {name}: {float((ways[name](pictures) * want).sum(axis=1).min()):.5f}")


if __name__ == "__main__":
    main()
