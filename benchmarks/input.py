"""From JPEG files to batches, images a second of one core: Cairn against Pillow and torchvision.

The peer is torchvision's usual pipeline on Pillow pictures, its changes of the same strengths. Each
way runs in one thread on one core. Both evaluation inputs of the same photographs then go through
one model, and the mean cosine of their embeddings says whether speed has cost likeness.

    python benchmarks/input.py [--photos DIR] [--weights mobilenetv2.safetensors]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

from cairn.augment import decode_side, eval_transform
from cairn.config import AugmentConfig, ModelConfig, Preprocess
from cairn.images import IMAGE_SUFFIXES, UnreadableImage, decode
from cairn.loading import train_batches
from cairn.model import build
from cairn.sampling import count_showings

BATCH_SIZE = 16
Way = Callable[[Sequence[Path]], Iterator[Tensor]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, help="folder of photographs; default: made ones")
    parser.add_argument("--side", type=int, default=512, help="side of the input in pixels")
    parser.add_argument("--images", type=int, default=64, help="photographs a size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="mobilenetv2_100", help="for the cosine")
    parser.add_argument("--weights", help="of the backbone: a file, or imagenet")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):  # one core, whatever threads a library starts
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    load = f", load {os.getloadavg()[0]:.1f} before the run" if hasattr(os, "getloadavg") else ""
    print(f"input of {options.side} px, one core, torch {torch.__version__}{load}")
    with tempfile.TemporaryDirectory() as folder:
        for name, paths in collections(options.photos, options.images, Path(folder)).items():
            compare(name, paths, options)


def compare(name: str, paths: Sequence[Path], options: argparse.Namespace) -> None:
    preprocess = Preprocess(image_size=options.side, resize="crop", crop_pct=0.875)
    augment = AugmentConfig()
    kilobytes = sum(path.stat().st_size for path in paths) / len(paths) / 1000
    print(f"\n{name}: {len(paths)} files of {kilobytes:.0f} kB on average")
    for title, ways in {
        "training": {
            "Pillow + torchvision": torchvision_train(preprocess, augment),
            "Cairn": cairn_train(preprocess, augment),
        },
        "evaluation": {
            "Pillow + torchvision": torchvision_eval(preprocess),
            "Cairn": cairn_eval(preprocess),
        },
    }.items():
        found = rates(ways, paths, options.rounds)
        base = found["Pillow + torchvision"]
        for way, rate in found.items():
            print(f"{title:<11}{way:<22}{rate:>8.1f} images/s a core {rate / base:>6.2f}x")
    if options.weights:
        cosines = likeness(paths, preprocess, options.backbone, options.weights)
        print(
            f"cosine of both evaluation inputs' embeddings ({options.backbone}): "
            f"mean {cosines.mean():.4f}, lowest {cosines.min():.4f}"
        )
    else:
        print("cosine of embeddings not measured: give --weights, random ones say nothing")


def cairn_train(preprocess: Preprocess, augment: AugmentConfig) -> Way:
    def batches(paths: Sequence[Path]) -> Iterator[Tensor]:
        rows = np.arange(len(paths))
        steps = np.split(count_showings(rows), range(BATCH_SIZE, len(rows), BATCH_SIZE))
        device = torch.device("cpu")
        for batch in train_batches(
            paths, steps, preprocess, augment, seed=0, epoch=0, device=device, workers=1
        ):
            yield batch.images

    return batches


def cairn_eval(preprocess: Preprocess) -> Way:
    transform, min_side = eval_transform(preprocess), decode_side(preprocess)

    def batches(paths: Sequence[Path]) -> Iterator[Tensor]:
        for part in parts(paths):
            images = [transform(decode(path, min_side=min_side)) for path in part]
            yield torch.from_numpy(np.stack(images))

    return batches


def torchvision_train(preprocess: Preprocess, augment: AugmentConfig) -> Way:
    strengths = (augment.brightness, augment.contrast, augment.saturation)
    return torchvision_way(
        transforms.RandomResizedCrop(preprocess.image_size, augment.crop_scale, augment.crop_ratio),
        transforms.RandomHorizontalFlip(augment.flip),
        transforms.ColorJitter(*strengths),
        transforms.ToTensor(),
        transforms.Normalize(preprocess.mean, preprocess.std),
        transforms.RandomErasing(augment.erase, scale=(0.02, 0.25)),
    )


def torchvision_eval(preprocess: Preprocess) -> Way:
    return torchvision_way(
        transforms.Resize(int(preprocess.image_size / preprocess.crop_pct)),
        transforms.CenterCrop(preprocess.image_size),
        transforms.ToTensor(),
        transforms.Normalize(preprocess.mean, preprocess.std),
    )


def torchvision_way(*steps: Callable[[object], object]) -> Way:
    transform = transforms.Compose(steps)

    def batches(paths: Sequence[Path]) -> Iterator[Tensor]:
        for part in parts(paths):
            images = []
            for path in part:
                with Image.open(path) as opened:
                    images.append(transform(opened.convert("RGB")))
            yield torch.stack(images)

    return batches


def parts(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for start in range(0, len(paths), BATCH_SIZE):
        yield paths[start : start + BATCH_SIZE]


def rates(ways: dict[str, Way], paths: Sequence[Path], rounds: int) -> dict[str, float]:
    """Return images a second of each way, from its best round; the ways take turns."""
    best = dict.fromkeys(ways, float("inf"))
    for way in ways.values():
        for _ in way(paths[:BATCH_SIZE]):
            pass
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            for _ in way(paths):
                pass
            best[name] = min(best[name], time.perf_counter() - start)
    return {name: len(paths) / seconds for name, seconds in best.items()}


def likeness(
    paths: Sequence[Path], preprocess: Preprocess, backbone: str, weights: str
) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Return the cosine of each photograph's two embeddings: pooled features, as pretrained."""
    config = ModelConfig(backbone=backbone, gc=False, pool="avg", weights=weights)
    model = build(config).eval()
    embeddings = []
    for way in (torchvision_eval(preprocess), cairn_eval(preprocess)):
        with torch.inference_mode():
            found = torch.cat([model.features(images) for images in way(paths)])
        embeddings.append(torch.nn.functional.normalize(found, dim=1))
    cosines: np.ndarray[tuple[int], np.dtype[np.float32]] = (
        (embeddings[0] * embeddings[1]).sum(dim=1).numpy()
    )
    return cosines


def collections(photos: Path | None, count: int, folder: Path) -> dict[str, list[Path]]:
    """Return the photographs to measure: those of a folder, or made ones of two sizes."""
    if photos is None:
        return {
            f"{width} x {height}": made(folder, width, height, count)
            for width, height in ((1600, 1200), (800, 600))
        }
    found = sorted(p for p in photos.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    chosen = [p for p in found[:: max(1, len(found) // count)] if is_readable(p)][:count]
    if not chosen:
        raise SystemExit(f"no photographs in {photos}")
    return {str(photos): chosen}


def is_readable(path: Path) -> bool:
    try:
        decode(path)
    except UnreadableImage:
        return False
    return True


def made(folder: Path, width: int, height: int, count: int) -> list[Path]:
    """Write JPEG files whose spectrum falls as that of photographs seen through a lens does."""
    rng = np.random.default_rng(0)
    across, down = np.fft.rfftfreq(width) * width, np.fft.fftfreq(height) * height
    amplitude = np.maximum(np.hypot(down[:, None], across), 1.0) ** -1.25
    tints = np.array([[1, 1, 1], [0.3, 0, -0.3], [0.1, -0.2, 0.1]])
    pictures, paths = [], []
    for _ in range(min(count, 8)):
        shape = (3, *amplitude.shape)
        waves = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        layers = np.fft.irfft2(waves * amplitude, s=(height, width), axes=(1, 2))
        layers /= layers.std(axis=(1, 2), keepdims=True)
        pixels = np.einsum("khw,kc->hwc", layers, tints) * 50 + 120
        pictures.append(np.clip(pixels, 0, 255).astype(np.uint8))
    for number in range(count):  # those of the first eight again, shifted: no two files are alike
        picture = np.roll(pictures[number % 8], 37 * number, axis=1)
        paths.append(folder / f"{width}-{number}.jpg")
        Image.fromarray(picture).save(paths[-1], quality=85)
    return paths


if __name__ == "__main__":
    main()
