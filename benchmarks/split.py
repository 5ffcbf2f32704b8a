"""Splitting a labelled set, and checking a split: seconds, of work too, and the most memory held.

A made-up set in the shape of Google Landmarks v2's clean training set, with distractors, authors
and stated sums. A process of its own does the work, so that its peak memory is the split's.

    python benchmarks/split.py
    python benchmarks/split.py --images 1500000 --queries 120000
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cairn.manifest import Manifest
from cairn.runs import peak_memory
from cairn.splitting import (
    SplitSettings,
    leak_groups,
    split_manifest,
    verify_split,
    write_split,
)
from cairn.splitting.evaluation import verify_evaluation
from cairn.splitting.tail import tail_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=4_000, help="of the check's set")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.child:
        command = [sys.executable, "-W", "ignore", __file__, "--child"]
        command += ["--images", str(args.images), "--queries", str(args.queries)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        tell(json.loads(done.stdout.splitlines()[-1]), args.images)
        return
    print(json.dumps(measure(args.images, args.queries)))


def measure(images: int, queries: int) -> dict[str, Any]:
    """Return the seconds of each step, and memory in bytes."""
    seconds: dict[str, tuple[float, float]] = {}
    start = [0.0, 0.0]

    def now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def begin() -> None:
        start[:] = now()

    def lap(name: str) -> None:
        wall, work = now()
        seconds[name] = wall - start[0], work - start[1]
        begin()

    manifest = made(images)
    before = peak_memory() or 0
    begin()
    groups = leak_groups(manifest, columns=["author"])
    lap("groups: paths, sums, authors")
    result = split_manifest(manifest, SplitSettings(distractor_rate=0.5), groups=groups)
    lap("split")
    found = verify_split(result.manifest, columns=["author"])
    lap("verify")
    with tempfile.TemporaryDirectory() as folder:
        write_split(result, Path(folder) / "split.parquet", verification=found, name="made up")
        lap("write: manifest, card, picture")
    counts = result.counts()
    del groups, result, found
    asked = parted(manifest, queries)
    ids = asked.select("query").image_ids
    begin()
    check, _ = verify_evaluation(ids, asked)
    lap(f"the check of `cairn evaluate`, {queries:,} queries")
    return {
        "seconds": seconds,
        "parts": counts,
        "leaks": bool(check.leaks),
        "memory": {"making the set": before, "peak": peak_memory() or 0},
    }


def made(images: int) -> Manifest:
    """Return a long-tailed set; a tenth shows no landmark, one in fifty is a copy of another."""
    rng = np.random.default_rng(0)
    labelled = images * 9 // 10
    sizes = tail_of("gldv2").targets(np.full(max(labelled // 19, 2), images))
    landmarks = np.repeat(np.arange(len(sizes)), sizes)[:labelled]
    ids = [f"{number:016x}" for number in rng.permutation(images)]
    sums = rng.permutation(images)
    copies = rng.permutation(labelled - 1)[: images // 50]
    sums[copies] = sums[copies + 1]
    names = [f"landmark-{number:06d}" for number in landmarks.tolist()]
    columns = {
        "image_id": ids,
        "path": [f"images/{one[0]}/{one[1]}/{one[2]}/{one}.jpg" for one in ids],
        "landmark_id": names + [""] * (images - len(names)),
        "role": ["query"] * images,
        "sha256": [f"{one:064x}" for one in sums.tolist()],
        "author": [f"author {one}" for one in rng.integers(0, images // 2, images).tolist()],
    }
    return Manifest.from_columns(columns, root=Path("/data"))


def parted(manifest: Manifest, queries: int) -> Manifest:
    """Return the set with its first images as queries and the others as the gallery."""
    table = manifest.table
    roles = np.full(len(manifest), "gallery", dtype=object)
    roles[np.asarray(table["landmark_id"]) == ""] = "nonlandmark"
    roles[np.random.default_rng(1).permutation(len(manifest))[:queries]] = "query"
    index = table.column_names.index("role")
    return Manifest(table.set_column(index, "role", pa.array(roles.tolist())), manifest.root)


def tell(found: dict[str, Any], images: int) -> None:
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors")
    parts = ", ".join(f"{name} {count:,}" for name, count in found["parts"].items())
    print(f"{images:,} images: {parts}\n\n| step | s | s of work |\n|---|---:|---:|")
    for name, (wall, work) in found["seconds"].items():
        print(f"| {name} | {wall:.2f} | {work:.2f} |")
    memory = ", ".join(f"{name} {size / 1e6:,.0f} MB" for name, size in found["memory"].items())
    print(f"\nmemory: {memory}")


if __name__ == "__main__":
    main()
