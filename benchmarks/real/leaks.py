"""How much a leaking split flatters: the same photographs, split image by image and by groups.

Real photographs get copies, recompressed, scaled and trimmed, as collections from the web have
them. A random split then puts one of a pair among the queries and the other into the gallery; the
split of `cairn data split` keeps pairs together. A frozen network answers both, nearest neighbour
by cosine, the mean of the known photographs subtracted. Without copies both splits are fair, so
that the first row says what the others should say.

Where the photographs are not at hand it says so and ends well.

    python benchmarks/real/leaks.py
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from photos import ROLES, photographs_parser
from PIL import Image

from cairn.checkpoint import save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.embed import embed
from cairn.evaluate import evaluate
from cairn.inspection.look import Looks, look_at
from cairn.manifest import Manifest
from cairn.model import build
from cairn.progress import say
from cairn.search import search
from cairn.sources.tabular import from_table
from cairn.splitting import (
    LeakGroups,
    SplitResult,
    SplitSettings,
    leak_groups,
    split_manifest,
    verify_split,
)
from cairn.splitting.names import draws
from cairn.submission import solution_of
from cairn.tables import EmbeddingTable


@dataclass(frozen=True)
class Photographs:
    """All photographs and one copy of each, what was seen in them, and their embeddings."""

    manifest: Manifest
    looks: Looks
    vectors: Float32


def main() -> None:
    parser = photographs_parser(__doc__)
    parser.add_argument("--shares", type=float, nargs="*", default=[0.0, 0.1, 0.3, 0.6])
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    table = options.photos / "manifest.csv"
    if not table.is_file() or not options.weights.is_file():
        print("no photographs or weights at hand: nothing to do (--photos, --weights)")
        return
    with tempfile.TemporaryDirectory() as folder:
        photographs = prepare(from_table(table, roles=ROLES), options.weights, Path(folder))
    print(f"{len(photographs.manifest) // 2:,} photographs, {options.seeds} seeds, mean ± sd\n")
    print("| copies | split | queries whose copy is known | accuracy | GAP |")
    print("|---:|---|---:|---:|---:|")
    for share in options.shares:
        chosen = with_copies(photographs, share)
        for name, by_groups in (("image by image", False), ("by groups", True)):
            print(f"| {share:.0%} | {name} | {row(chosen, options.seeds, by_groups=by_groups)} |")


def prepare(manifest: Manifest, weights: Path, folder: Path) -> Photographs:
    """Return the photographs with a copy of each."""
    rng = np.random.default_rng(0)
    paths = []
    for number, path in enumerate(manifest.paths):
        copy = folder / "copies" / f"{number}.jpg"
        copy.parent.mkdir(exist_ok=True)
        write_copy(path, copy, rng)
        paths.append(str(copy))
    both = Manifest.from_columns(
        {
            "image_id": [*manifest.image_ids, *(f"{one}-copy" for one in manifest.image_ids)],
            "path": [*map(str, manifest.paths), *paths],
            "landmark_id": manifest.landmark_ids * 2,
            "role": ["query"] * 2 * len(manifest),
        },
        root=folder,
    )
    config = ModelConfig(
        backbone="mobilenetv2_100",
        backbone_args={"pad_type": "same"},
        gc=False,
        pool="avg",
        neck="center",
        dimension=1280,
        weights=str(weights),
        preprocess=Preprocess(
            image_size=224, resize="crop", crop_pct=0.875, mean=(0.5,) * 3, std=(0.5,) * 3
        ),
    )
    save_model(folder / "model", build(config), config)
    embed(folder / "model", both, folder / "embeddings")
    table = EmbeddingTable.read(folder / "embeddings")
    place = {image: row for row, image in enumerate(table.image_ids)}
    rows = [place[image] for image in both.image_ids]
    return Photographs(both, look_at(both.paths), table.vectors[rows])


def write_copy(source: Path, target: Path, rng: np.random.Generator) -> None:
    """Write a photograph again as the web does: trimmed up to 3 % a side, scaled, recompressed."""
    with Image.open(source) as image:
        width, height = image.size
        left, top, right, bottom = rng.uniform(0, 0.03, 4)
        box = (width * left, height * top, width * (1 - right), height * (1 - bottom))
        trimmed = image.convert("RGB").crop(tuple(round(one) for one in box))
        scale = rng.uniform(0.6, 1.0)
        size = (max(round(one * scale), 8) for one in trimmed.size)
        trimmed.resize((next(size), next(size))).save(target, quality=int(rng.integers(40, 85)))


def with_copies(photographs: Photographs, share: float) -> Photographs:
    """Return all photographs and the copies of a share of them."""
    half = len(photographs.manifest) // 2
    drawn = draws(photographs.manifest.image_ids[:half], 0, "copies") < share
    rows = np.concatenate([np.arange(half), half + np.flatnonzero(drawn)])
    return Photographs(
        photographs.manifest.take(rows), photographs.looks.take(rows), photographs.vectors[rows]
    )


def row(photographs: Photographs, seeds: int, *, by_groups: bool) -> str:
    """Return the cells of one row of the table."""
    manifest = photographs.manifest
    if by_groups:
        groups = leak_groups(manifest, looks=photographs.looks)
    else:
        alone = np.arange(len(manifest))
        groups = LeakGroups(alone, alone, {}, looked=False)
    found = []
    for seed in range(seeds):
        made = split_manifest(manifest, SplitSettings(seed=seed), groups=groups)
        report = score(made, photographs.vectors)
        met = leaking(made)
        found.append((met, report["top1_accuracy"], report["gap"]))
        if seed == 0 and by_groups:
            seen = photographs.looks.take(np.flatnonzero(made.parts >= 0))
            say(f"verified: {verify_split(made.manifest, looks=seen).sentence()}")
    means, spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
    scores = (f"{means[one]:.3f} ± {spread[one]:.3f}" for one in (1, 2))
    return f"{means[0]:.1%} | {' | '.join(scores)}"


def leaking(made: SplitResult) -> float:
    """Return the share of queries of a landmark whose copy or original is known."""
    manifest = made.manifest
    known = {
        image.removesuffix("-copy")
        for image, role in zip(manifest.image_ids, manifest.roles, strict=True)
        if role != "query"
    }
    asked = [
        image.removesuffix("-copy")
        for image, part in zip(manifest.image_ids, manifest.table["part"].to_pylist(), strict=True)
        if part == "query"
    ]
    return sum(image in known for image in asked) / len(asked)


def score(made: SplitResult, vectors: Float32) -> Mapping[str, Any]:
    """Return the scores of nearest neighbours, the mean of the known photographs subtracted."""
    rows = np.flatnonzero(made.parts >= 0)
    manifest, roles = made.manifest, np.asarray(made.manifest.roles)
    known, asked = np.flatnonzero(roles == "train"), np.flatnonzero(roles == "query")
    mean = vectors[rows[roles != "query"]].mean(axis=0)
    centred = vectors[rows] - mean
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    nearest = search(centred[asked], centred[known], 1)
    landmarks = np.asarray(manifest.landmark_ids)[known]
    answers = {
        manifest.image_ids[query]: (str(landmarks[one]), float(similarity))
        for query, one, similarity in zip(
            asked.tolist(), nearest.indices[:, 0], nearest.similarities[:, 0], strict=True
        )
    }
    return evaluate(answers, solution_of(manifest).truth, num_resamples=0).to_json()


if __name__ == "__main__":
    main()
