"""Cleaning measured: known faults are put into labels, and suggestions held against them.

Two sources: the procedural world with a model trained on it, and real photographs (where they are
at hand) by a frozen MobileNetV2. Faults: labels exchanged at random (5, 10, 20 %), labels exchanged
with one of the three most similar landmarks, and non-landmarks given a landmark; photographs of
landmarks put into the bank. Peers: the share of nearest photographs that disagree, the distance
from the landmark's mean, and confident learning (Northcutt, Jiang and Chuang 2021) on chances by
the distances from all means, the photograph itself left out. Intervals are Wilson's (1927).

    python benchmarks/cleaning.py --source world
    python benchmarks/cleaning.py --source real --seeds 2 3 4

What was trained and embedded is kept under ``cleaning/`` and not made again.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from cairn.cleaning import CleanRule
from cairn.cleaning.clean import Judged, judge
from cairn.cleaning.crowd import Crowd
from cairn.config import read_recipe
from cairn.demo import demo_world
from cairn.embed import embed
from cairn.evaluate import evaluate
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.neighborhood import Int32, Neighborhood
from cairn.progress import say
from cairn.recognize import recognize_table
from cairn.sources.tabular import from_table
from cairn.submission import by_image, solution_of
from cairn.tables import EmbeddingTable
from cairn.train import train
from cairn.world import WorldConfig, make_world

ROOT = Path(__file__).parents[1]
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
    "model.preprocess.resize=crop",
)
FAULTS = (
    ("none", 0.0), ("exchanged", 0.05), ("exchanged", 0.1), ("exchanged", 0.2),
    ("lookalike", 0.05), ("nonlandmark", 0.05), ("in the bank", 0.02),
)  # fmt: skip
LEVELS = (0.5, 0.7, 0.9, 0.95)
SIZES = ((2, 2), (3, 3), (4, 5), (6, 10), (11, 30), (31, 10**9))


@dataclass(frozen=True)
class Case:
    """Labels with known faults, and what was said of them.

    Args:
        crowd: With the labels as given.
        truth: (N,) codes as they should be.
        judged: The suggestions.
        near: The images beside their nearest.
    """

    crowd: Crowd
    truth: Int32
    judged: Judged
    near: Neighborhood


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    shared = Path(os.environ.get("CAIRN_SHARED", ROOT.parent / "shared"))
    parser.add_argument("--source", choices=("world", "real"), default="world")
    parser.add_argument("--photos", type=Path, default=shared / "photos")
    parser.add_argument("--weights", type=Path, default=shared / "weights")
    parser.add_argument("--manifest", default="manifest_full.csv", help="of the real photographs")
    parser.add_argument("--landmarks", type=int, help="of a smaller world")
    parser.add_argument("--epochs", type=int, help="of a shorter training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--out", type=Path, help="else cleaning/; nowhere for a smaller world")
    parser.add_argument("--resamples", type=int, default=1000)
    args = parser.parse_args()
    table = args.photos / args.manifest
    if args.out is None and args.landmarks:
        with TemporaryDirectory() as folder:
            run(args, table, Path(folder))
        return
    run(args, table, args.out or ROOT / "cleaning")


def run(args: argparse.Namespace, table: Path, out: Path) -> None:
    if args.source == "real" and not table.is_file():
        print(f"no photographs at {args.photos}: nothing to do (--photos names another place)")
        return
    folder = out / (args.source if args.source == "world" else table.stem)
    prepare(args, table, folder)
    manifest = Manifest.read(folder / "manifest.parquet")
    tables = [EmbeddingTable.read(folder / "embeddings" / name) for name in ("train", "bank")]
    crowd = Crowd.gather(manifest, tables)
    rule = CleanRule()
    near = crowd.neighborhood(rule.num_neighbors, work=folder / "nearest")
    print(
        f"{args.source}: {len(crowd) - crowd.num_bank:,} photographs of "
        f"{len(crowd.landmark_ids):,} landmarks, {crowd.num_bank:,} in the bank"
    )
    queries = EmbeddingTable.read(folder / "embeddings" / "query")
    for kind, share in FAULTS:
        cases = [
            case_of(crowd, near, *injected(crowd, kind, share, np.random.default_rng(seed)), rule)
            for seed in (args.seeds if share else [0])
        ]
        report(kind, share, cases)
        if share >= 0.1 or not share:
            effect(cases[0], queries, manifest, args.resamples)


def prepare(args: argparse.Namespace, table: Path, folder: Path) -> None:
    """Make the manifest, the model and the embeddings, or leave what is there."""
    changes: tuple[str, ...] = ()
    path = folder / "manifest.parquet"
    if args.source == "world":
        if not path.is_file():
            config = demo_world(0)
            if args.landmarks:
                config = WorldConfig(
                    num_landmarks=args.landmarks, num_queries=20, num_bank=60, size=32
                )
            world = make_world(folder / "world", config, workers=os.cpu_count() or 1)
            Manifest.read(world).write(path)
        recipe = "demo"
    else:
        if not path.is_file():
            from_table(table, roles=ROLES).write(path)
        weights = args.weights / "mobilenetv2_100.imagenet.safetensors"
        recipe, changes = "frozen", (*MOBILENET, f"model.weights={weights}")
    if args.epochs is not None:
        changes = (*changes, f"train.epochs={args.epochs}", "model.preprocess.image_size=32")
    manifest = Manifest.read(path)
    if not (folder / "embeddings" / "query").is_dir():
        run = folder / "run"
        say(f"== training {recipe}")
        resume = (run / "config.json").is_file()
        train(read_recipe(recipe, changes), manifest, out=run, resume=resume)
        for role, name in (("train", "train"), ("nonlandmark", "bank"), ("query", "query")):
            embed(run / "model", manifest.select(role), folder / "embeddings" / name)


def injected(
    crowd: Crowd, kind: str, share: float, rng: np.random.Generator
) -> tuple[Int32, Int32]:
    """Return labels with faults, and those that are right."""
    codes, truth = crowd.codes.copy(), crowd.codes.copy()
    labelled = np.flatnonzero(codes != crowd.nothing)
    chosen = rng.permutation(labelled)[: round(share * len(labelled))]
    if kind == "exchanged":
        for row in chosen:
            while codes[row] == truth[row]:
                codes[row] = truth[rng.choice(labelled)]
    elif kind == "lookalike":
        near = most_similar(crowd, 3)
        codes[chosen] = near[truth[chosen], rng.integers(0, near.shape[1], len(chosen))]
    elif kind == "nonlandmark":
        bank = rng.permutation(np.flatnonzero(codes == crowd.nothing))
        rows = bank[: min(len(chosen), len(bank) // 2)]
        codes[rows] = truth[rng.choice(labelled, len(rows))]
    elif kind == "in the bank":
        codes[chosen] = crowd.nothing
    return codes, truth


def most_similar(crowd: Crowd, k: int) -> Any:
    """Return (L, k) the landmarks whose means are most alike to that of each."""
    means = unit_means(crowd.vectors, crowd.codes, crowd.nothing)
    products = means @ means.T
    np.fill_diagonal(products, -np.inf)
    return np.argsort(-products, axis=1)[:, : min(k, crowd.nothing - 1)]


def unit_means(vectors: Any, codes: Int32, num: int) -> Any:
    sums = np.zeros((num + 1, vectors.shape[1]))
    np.add.at(sums, codes, vectors)
    return sums[:num] / np.maximum(np.linalg.norm(sums[:num], axis=1, keepdims=True), 1e-9)


def case_of(crowd: Crowd, near: Neighborhood, codes: Int32, truth: Int32, rule: CleanRule) -> Case:
    given = replace(crowd, codes=codes)
    near = Neighborhood(near.vectors, near.nearest, codes, near.num_codes)
    return Case(given, truth, judge(given, near, rule), near)


def report(kind: str, share: float, cases: Sequence[Case]) -> None:
    """Print how far the suggestions are right, over all cases together."""
    print(f"\n## {kind} {share:.0%}, {len(cases)} draw{'s' * (len(cases) > 1)}")
    shares = {
        name: float(np.mean([case.judged.doubt.shares.get(name, 0.0) for case in cases]))
        for name in cases[0].judged.doubt.shares
    } | {"of the bank": float(np.mean([case.judged.bank_share for case in cases]))}
    print("believed: " + ", ".join(f"{name} {value:.3f}" for name, value in shares.items()))
    rows = [row for case in cases for row in verdicts(case)]
    for name in ("relabel", "drop", "leave bank", "look"):
        those = [row for row in rows if row["kind"] == name]
        wanted = sum(num_wanted(case, name) for case in cases)
        if name == "look":
            found = sum(row["is_wrong"] for row in those)
            print(f"look: {len(those)}, of which {ratio(found, len(those))} are wrong labels")
            continue
        for level in LEVELS:
            kept = [row for row in those if row["confidence"] >= level]
            right = sum(row["is_right"] for row in kept)
            expected = sum(row["confidence"] for row in kept) / max(1, len(kept))
            wrong = sum(row["is_wrong"] for row in kept)
            print(
                f"{name} >= {level:.2f}: {len(kept)}, precision {ratio(right, len(kept))} "
                f"(expected {expected:.3f}; label wrong in {wrong}), recall {ratio(right, wanted)}"
            )
    acted = {"relabel", "drop"}
    for low, high in SIZES if share else ():
        inside = [row for row in rows if row["kind"] in acted and low <= row["size"] <= high]
        there = sum(num_wrong(case, low, high) for case in cases)
        right = sum(row["is_wrong"] for row in inside)
        sizes = f"{low}-{high}" if high < 10**9 else f"{low}+"
        print(
            f"  landmarks of {sizes}: {len(inside)} to relabel or drop, wrong in "
            f"{ratio(right, len(inside))}; of {there} wrong ones {ratio(right, there)}"
        )
    if share and kind != "in the bank":
        peers(cases)


def verdicts(case: Case) -> list[dict[str, Any]]:
    """Return for each suggestion whether it is right, and whether the label was wrong at all."""
    row_of = {image_id: row for row, image_id in enumerate(case.crowd.image_ids)}
    names = [*case.crowd.landmark_ids, ""]
    columns = ("image_id", "kind", "confidence", "to_landmark_id", "num_images")
    found = []
    for one in case.judged.table.select(columns).to_pylist():
        row = row_of[one["image_id"]]
        truth = names[case.truth[row]]
        found.append(
            {
                "kind": one["kind"],
                "confidence": one["confidence"],
                "size": one["num_images"],
                "is_right": one["to_landmark_id"] == truth,
                "is_wrong": bool(case.crowd.codes[row] != case.truth[row]),
            }
        )
    return found


def num_wanted(case: Case, kind: str) -> int:
    given, truth, nothing = case.crowd.codes, case.truth, case.crowd.nothing
    wrong = given != truth
    return int(
        {
            "relabel": wrong & (truth != nothing) & (given != nothing),
            "drop": wrong & (truth == nothing),
            "leave bank": wrong & (given == nothing),
            "look": wrong,
        }[kind].sum()
    )


def num_wrong(case: Case, low: int, high: int) -> int:
    given = case.crowd.codes
    sizes = case.near.sizes[given]
    inside = (sizes >= low) & (sizes <= high) & (given != case.crowd.nothing)
    return int((inside & (given != case.truth)).sum())


def peers(cases: Sequence[Case]) -> None:
    """Print the average precision of finding wrong labels, and of peers, mean over the draws."""
    scores: dict[str, list[float]] = {}
    flagged = [0, 0, 0]
    for case in cases:
        rows = case.judged.doubt.signals.rows
        is_wrong = case.crowd.codes[rows] != case.truth[rows]
        means = left_out(case, rows)
        own = means[np.arange(len(rows)), case.crowd.codes[rows]]
        chances = np.exp(20 * (means - means.max(axis=1, keepdims=True)))
        chances /= chances.sum(axis=1, keepdims=True)
        margin, flags = confident_learning(chances, case.crowd.codes[rows])
        flagged[0] += int(flags.sum())
        flagged[1] += int((flags & is_wrong).sum())
        flagged[2] += int(is_wrong.sum())
        doubt = case.judged.doubt
        for name, values in {
            "Cairn": doubt.wrong + 1e-6 * doubt.alike,
            "neighbours that disagree": 1 - case.near.is_own[rows].mean(axis=1),
            "distance from the mean": -own,
            "confident learning": margin,
        }.items():
            scores.setdefault(name, []).append(average_precision(values, is_wrong))
    print("  average precision: " + "; ".join(f"{k} {np.mean(v):.3f}" for k, v in scores.items()))
    means = {name: float(np.mean(values)) for name, values in scores.items()}
    ours = means.pop("Cairn")
    best = max(means.values())
    print(f"  {ours / max(best, 1e-9):.2f}x the best peer")
    print(
        f"  confident learning's own list: {flagged[0]}, precision "
        f"{ratio(flagged[1], flagged[0])}, recall {ratio(flagged[1], flagged[2])}"
    )


def left_out(case: Case, rows: Any) -> Any:
    """Return (M, L) similarity to the mean of each landmark, without the photograph itself."""
    codes, num = case.crowd.codes, case.crowd.nothing
    sums = np.zeros((num + 1, case.crowd.vectors.shape[1]))
    np.add.at(sums, codes, case.crowd.vectors)
    vectors = case.crowd.vectors[rows].astype(np.float64)
    found = vectors @ sums[:num].T
    squares = np.einsum("ld,ld->l", sums[:num], sums[:num])
    norms = np.broadcast_to(squares, found.shape).copy()
    at = np.arange(len(rows)), codes[rows]
    norms[at] += 1 - 2 * found[at]
    found[at] -= 1
    return found / np.sqrt(np.maximum(norms, 1e-9))


def confident_learning(chances: Any, codes: Int32) -> tuple[Any, Any]:
    """Return the margin by which other labels are likelier, and which rows are off the diagonal.

    A row counts as showing the likeliest of the labels whose chance reaches the mean chance of that
    label among the rows that bear it.
    """
    rows, num = np.arange(len(codes)), chances.shape[1]
    totals = np.bincount(codes, weights=chances[rows, codes], minlength=num)
    usual = totals / np.maximum(np.bincount(codes, minlength=num), 1)
    confident = np.where((chances >= usual) & (usual > 0), chances, -1.0)
    best = confident.argmax(axis=1)
    flags = (confident.max(axis=1) >= 0) & (best != codes)
    others = chances.copy()
    others[rows, codes] = -1
    return others.max(axis=1) - chances[rows, codes], flags


def average_precision(values: Any, is_true: Any) -> float:
    order = np.argsort(-values, kind="stable")
    hits = is_true[order]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean()) if hits.any() else math.nan


def effect(case: Case, queries: EmbeddingTable, manifest: Manifest, resamples: int) -> None:
    """Print the GAP of nearest neighbours with the labels as given, cleaned, and right."""
    crowd, names = case.crowd, [*case.crowd.landmark_ids, ""]
    truth = solution_of(manifest).truth
    row_of = {image_id: row for row, image_id in enumerate(crowd.image_ids)}
    cleaned = case.crowd.codes.copy()
    for one in case.judged.table.to_pylist():
        row = row_of[one["image_id"]]
        if one["kind"] == "relabel":
            cleaned[row] = names.index(one["to_landmark_id"])
        elif one["kind"] == "drop":
            cleaned[row] = crowd.nothing
    answers = {}
    for name, codes in (("given", crowd.codes), ("cleaned", cleaned), ("right", case.truth)):
        rows = np.flatnonzero(codes != crowd.nothing)
        table = EmbeddingTable(
            [crowd.image_ids[row] for row in rows],
            [names[codes[row]] for row in rows],
            [crowd.paths[row] for row in rows],
            crowd.vectors[rows],
            crowd.fingerprint,
        )
        answers[name] = by_image(recognize_table(queries, Gallery(Path(name), table)))
    for name in ("cleaned", "right"):
        found = evaluate(answers[name], truth, before=answers["given"], num_resamples=resamples)
        change = found.change["gap"]
        low = "" if change.low is None else f" ({change.low:+.3f} to {change.high:+.3f})"
        print(
            f"  GAP, labels {name}: {found.gap:.3f}, accuracy {found.top1_accuracy:.3f}; "
            f"GAP less that of the labels as given {change.value:+.3f}{low}"
        )


def ratio(part: int, whole: int) -> str:
    """Return a share with its Wilson interval of 95 %."""
    if not whole:
        return "-"
    z, share = 1.959964, part / whole
    middle = (share + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole**2)) / (1 + z * z / whole)
    return f"{share:.3f} ({max(0.0, middle - half):.3f} to {min(1.0, middle + half):.3f})"


if __name__ == "__main__":
    main()
