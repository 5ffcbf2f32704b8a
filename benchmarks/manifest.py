"""Manifests of millions of rows: seconds and peak memory beside bare pyarrow on the same files.

A made-up table in GLDv2's shape (ids of 16 hex digits, paths a/b/c/id.jpg, landmarks of very
different sizes with names and categories, authors, licences, links) is written as a manifest, as
Parquet and CSV, and once more as CSV under foreign column names for ``cairn data csv``. Every
figure is from a process of its own; memory is the most that is held beyond interpreter and
libraries, for work on a manifest that is open already beyond that manifest. The peer is pyarrow's
reader or writer of the same file, which checks nothing.

    python benchmarks/manifest.py                  # 200,000 rows
    python benchmarks/manifest.py --preset full    # 4,132,914 rows of 203,094 landmarks
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from cairn.manifest import Manifest
from cairn.progress import say
from cairn.sources.tabular import read_contents
from measuring.images_table import foreign, made
from measuring.memory import PeakMemory

PRESETS = {"quick": (200_000, 10_000), "full": (4_132_914, 203_094)}

_FEW_ROWS = 1000
_PARQUET, _CSV, _FOREIGN = "manifest.parquet", "manifest.csv", "foreign.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--rows", type=int, help="in place of the preset's")
    parser.add_argument("--landmarks", type=int, help="in place of the preset's")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--only", nargs="+", metavar="WORK", help="words of the works wanted")
    parser.add_argument("--folder", type=Path, help="for the files meanwhile")
    parser.add_argument("--child", nargs=2, metavar=("WORK", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.child[0], Path(options.child[1]))))
        return
    num_rows, num_landmarks = PRESETS[options.preset]
    num_rows, num_landmarks = options.rows or num_rows, options.landmarks or num_landmarks
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        say(f"making {num_rows:,} rows")
        table = made(num_rows, num_landmarks, seed=0)
        manifest = Manifest(table, folder)
        manifest.write(folder / _PARQUET)
        manifest.write(folder / _CSV)
        pa.csv.write_csv(foreign(table), folder / _FOREIGN)
        small = folder / "small"
        small.mkdir()
        few = Manifest(table.slice(0, _FEW_ROWS), small)
        few.write(small / _PARQUET)
        few.write(small / _CSV)
        pa.csv.write_csv(foreign(few.table), small / _FOREIGN)
        del table, manifest, few
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, load "
              f"{os.getloadavg()[0]:.1f}; pyarrow {pa.__version__}")  # fmt: skip
        sizes = (f"{one} {(folder / one).stat().st_size / 1e6:,.0f} MB" for one in
                 (_PARQUET, _CSV))  # fmt: skip
        print(f"{num_rows:,} rows, {num_landmarks:,} landmarks; {', '.join(sizes)}\n")
        print(f"{'':34}{'seconds':>9}{'x pyarrow':>11}{'peak MB':>9}{'bytes/row':>11}")
        peer: dict[str, Any] = {}
        for work in WORKS:
            if options.only and not any(word in work for word in options.only):
                continue
            say(work)
            found = min((run(work, folder) for _ in range(options.repeats)),
                        key=lambda one: float(one["seconds"]))  # fmt: skip
            if work.startswith("pyarrow"):
                peer = found
                ratio = ""
            else:
                ratio = f"{found['seconds'] / peer['seconds']:.2f}" if work in COMPARED else ""
            print(f"{work:34}{found['seconds']:9.2f}{ratio:>11}{found['peak'] / 1e6:9,.0f}"
                  f"{found['peak'] / num_rows:11.0f}", flush=True)  # fmt: skip


def run(work: str, folder: Path) -> dict[str, float]:
    """Return what ``measure`` says of a work in a process of its own."""
    command = [sys.executable, "-W", "ignore", __file__, "--child", work, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(work: str, folder: Path) -> dict[str, float]:
    """Return seconds and peak memory of a work in this process, which has done nothing before.

    What the libraries load once for good, work on a small table has loaded.
    """
    WORKS[work](folder / "small")()
    opened = WORKS[work](folder)
    with PeakMemory() as memory:
        begin = time.perf_counter()
        kept = opened()
        seconds = time.perf_counter() - begin
    del kept
    return {"seconds": seconds, "peak": memory.above}


def _read(name: str) -> Callable[[Path], Callable[[], object]]:
    return lambda folder: lambda: Manifest.read(folder / name)


def _on_manifest(work: Callable[[Manifest], object]) -> Callable[[Path], Callable[[], object]]:
    def prepare(folder: Path) -> Callable[[], object]:
        manifest = Manifest.read(folder / _PARQUET)
        return lambda: work(manifest)

    return prepare


def _data_csv(folder: Path) -> Callable[[], object]:
    def work() -> object:
        manifest = read_contents(folder / _FOREIGN).manifest
        manifest.write(folder / "new.parquet")
        return manifest.summary(), manifest.fingerprint, manifest

    return work


def _take(manifest: Manifest) -> Manifest:
    rows = np.random.default_rng(0).permutation(len(manifest))[: len(manifest) // 2]
    return manifest.take(rows)


def _each_path(manifest: Manifest) -> int:
    """Make every path once, as work on all photographs does; return how many there are."""
    return sum(1 for _ in manifest.paths)


def _bare_csv(folder: Path) -> Callable[[], object]:
    names = pq.read_schema(folder / _PARQUET).names
    convert = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return lambda: pa.csv.read_csv(folder / _CSV, convert_options=convert)


WORKS: dict[str, Callable[[Path], Callable[[], object]]] = {
    "pyarrow: read Parquet": lambda folder: lambda: pq.read_table(folder / _PARQUET),
    "read and check Parquet": _read(_PARQUET),
    "pyarrow: read CSV, all as text": _bare_csv,
    "read and check CSV": _read(_CSV),
    "cairn data csv, to Parquet": _data_csv,
    "pyarrow: write Parquet": lambda folder: _bare(folder, "new.parquet", _to_parquet),
    "write Parquet": _on_manifest(lambda one: one.write(one.root / "new.parquet")),
    "write Parquet, to another folder": _on_manifest(
        lambda one: one.write(one.root.parent / f".{one.root.name}.parquet")
    ),
    "pyarrow: write CSV": lambda folder: _bare(folder, "new.csv", pa.csv.write_csv),
    "write CSV": _on_manifest(lambda one: one.write(one.root / "new.csv")),
    "select the training images": _on_manifest(lambda one: one.select("train")),
    "gallery": _on_manifest(lambda one: one.gallery()),
    "take half of the rows, shuffled": _on_manifest(_take),
    "summary": _on_manifest(lambda one: one.summary()),
    "fingerprint": _on_manifest(lambda one: one.fingerprint),
    "landmark names": _on_manifest(lambda one: one.landmark_names),
    "every path, one by one": _on_manifest(_each_path),
}
"""From the folder of files, which prepares, to what is measured."""

COMPARED = {"read and check Parquet", "read and check CSV", "write Parquet", "write CSV",
            "write Parquet, to another folder"}  # fmt: skip
"""The works that do what the peer above them does."""


def _to_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd")


def _bare(
    folder: Path, name: str, write: Callable[[pa.Table, Path], object]
) -> Callable[[], object]:
    table = Manifest.read(folder / _PARQUET).table
    return lambda: write(table, folder / name)


if __name__ == "__main__":
    main()
