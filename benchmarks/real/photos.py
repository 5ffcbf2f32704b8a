"""The main job on real photographs: several models, each with and without the penalty.

Prints one markdown table. Where the photographs are not at hand it says so and ends well. Run it
as `make real`, or for some rows: `python benchmarks/real/photos.py --rows centred whitened`.
A finished row is kept under ``real/`` and not computed again.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cairn.config import read_recipe
from cairn.evaluate import evaluate
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.pipeline import Clock, score_model
from cairn.progress import say
from cairn.recognize import recognize_table
from cairn.runs import write_json
from cairn.sources.tabular import from_table
from cairn.submission import by_image, solution_of
from cairn.tables import EmbeddingTable
from cairn.train import train

ROOT = Path(__file__).parents[2]
ROLES = {
    "train": "train",
    "query": "query",
    "nonlandmark_index": "nonlandmark",
    "nonlandmark_query": "query",
}
# What the MobileNetV2 file at hand expects; see the note that lies beside it.
MOBILENET = (
    'model.backbone_args={pad_type = "same"}',
    "model.preprocess.mean=[0.5, 0.5, 0.5]",
    "model.preprocess.std=[0.5, 0.5, 0.5]",
)
ROWS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "untrained": ("resnext_small + GC, random weights", "small", ("train.epochs=0",)),
    "scratch": ("resnext_small + GC + GeM, ArcFace from scratch", "small", ()),
    "centred": (
        "MobileNetV2 frozen, mean subtracted",
        "frozen",
        ("model.neck=center", "model.dimension=1280", "model.preprocess.resize=crop"),
    ),
    "whitened": (
        "MobileNetV2 frozen, whitened neck",
        "frozen",
        ("model.preprocess.resize=crop",),
    ),
    "two-views": ("MobileNetV2 frozen, whitened neck, two views", "frozen", ()),
    "finetuned": ("MobileNetV2, whitened neck, two views, ArcFace", "finetune", ()),
}
TUNED_STRENGTH = 0.3  # chosen by cross-validation over the training photographs (docs/log.md)


def photographs_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of where the photographs and the weights lie, for all scripts here."""
    parser = argparse.ArgumentParser(description=(description or "").split("\n", 1)[0])
    shared = Path(os.environ.get("CAIRN_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--photos", type=Path, default=shared / "photos")
    parser.add_argument(
        "--weights",
        type=Path,
        default=shared / "weights" / "mobilenetv2_100.imagenet.safetensors",
    )
    return parser


def main() -> None:
    parser = photographs_parser(__doc__)
    parser.add_argument("--manifest", default="manifest.csv")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--out", type=Path, default=ROOT / "real")
    options = parser.parse_args()
    table = options.photos / options.manifest
    if not table.is_file():
        print(f"no photographs at {options.photos}: nothing to do (--photos names another place)")
        return
    manifest = from_table(table, roles=ROLES)
    print(f"{len(manifest)} photographs: {manifest.summary()}")
    found = [
        run_row(name, manifest, options.weights, options.out / table.stem / name)
        for name in options.rows
    ]
    print_table(found)


def run_row(name: str, manifest: Manifest, weights: Path, out: Path) -> dict[str, Any]:
    """Train and score one row, or take up what an earlier call found."""
    result = out / "row.json"
    if result.is_file():
        found: dict[str, Any] = json.loads(result.read_text())
        return found
    title, recipe_name, overrides = ROWS[name]
    if recipe_name != "small":
        if not weights.is_file():
            return {"title": f"{title}: skipped, no weights at {weights.name}"}
        overrides = (*MOBILENET, f"model.weights={weights}", *overrides)
    say(f"== {title}")
    clock = Clock()
    resume = (out / "run" / "config.json").is_file()
    with clock.stage("train"):
        run = train(read_recipe(recipe_name, overrides), manifest, out=out / "run", resume=resume)
    outcome = score_model(run / "model", manifest, out / "scores", title=title, clock=clock)
    report = outcome.report
    row = {
        "title": title,
        "plain": _scores(outcome.plain.to_json()),
        "penalty": _scores(report.to_json()),
        "change": report.change["gap"].to_json(),
        "tuned": _with_strength(out / "scores", manifest, TUNED_STRENGTH),
        "by_size": [
            (b.size, round(b.scores["top1_accuracy"].value, 3)) for b in outcome.plain.by_size
        ],
        "seconds": {key: round(value, 1) for key, value in outcome.seconds.items()},
    }
    write_json(result, row)
    return row


def _scores(report: Mapping[str, Any]) -> dict[str, Any]:
    low, high = report["intervals"]["gap"]
    return {
        "gap": report["gap"],
        "interval": [low, high],
        "accuracy": report["top1_accuracy"],
        "auroc": report["auroc"],
    }


def _with_strength(scores: Path, manifest: Manifest, strength: float) -> dict[str, float]:
    gallery = Gallery.load(scores / "gallery")
    bank = EmbeddingTable.read(scores / "embeddings" / "bank")
    milder = replace(gallery, penalty=gallery.penalize(bank, strength=strength))
    queries = EmbeddingTable.read(scores / "embeddings" / "query")
    answers = by_image(recognize_table(queries, milder))
    report = evaluate(answers, solution_of(manifest).truth, num_resamples=0)
    return {"gap": report.gap, "accuracy": report.top1_accuracy}


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    print(
        f"\n| model | accuracy | GAP (95 % interval) | + penalty | + penalty x {TUNED_STRENGTH} "
        "| AUROC known/unknown | training |\n|---|---|---|---|---|---|---|"
    )
    for row in rows:
        if "plain" not in row:
            print(f"| {row['title']} | | | | | | |")
            continue
        plain, penalty, tuned = row["plain"], row["penalty"], row["tuned"]
        print(
            f"| {row['title']} | {plain['accuracy']:.3f} | {plain['gap']:.3f} "
            f"({plain['interval'][0]:.3f} to {plain['interval'][1]:.3f}) "
            f"| {penalty['accuracy']:.3f} / {penalty['gap']:.3f} "
            f"| {tuned['accuracy']:.3f} / {tuned['gap']:.3f} "
            f"| {plain['auroc']:.3f} -> {penalty['auroc']:.3f} | {row['seconds']['train']:.0f} s |"
        )


if __name__ == "__main__":
    main()
