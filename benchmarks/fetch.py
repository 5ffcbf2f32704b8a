"""GLDv2's files: fetching beside curl, md5sum and tar; and the manifest of millions of rows.

The peer is what GLDv2's own script does to a tar, as many side by side as Cairn: ``curl``,
``md5sum``, ``tar -xf``. Both fetch the same made tars from the same server (``python -m
http.server``, a process of its own) on the loopback interface, so that the disk, the checksum and
the small files are what is measured. Prints megabytes a second and the ratio, with photographs as
published and at a shorter side of 256 pixels. Then the manifest of a made data set of ``--rows``
images of train, with every author and licence: seconds and peak memory.

    python benchmarks/fetch.py --tars 8 --megabytes 100 --rows 4132914
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from cairn.fetch.client import Client
from cairn.manifest import Manifest
from cairn.sources.gldv2 import choose, fetch, make_plan, read_gldv2
from cairn.sources.gldv2.subsets import UInt64
from measuring.machine import describe
from measuring.memory import PeakMemory
from measuring.small_gldv2 import SmallGldv2, tar_of

_SIDES = (800, 600)  # of a photograph, about 120 kB, as GLDv2's are on average


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tars", type=int, default=4)
    parser.add_argument("--megabytes", type=float, default=20.0, help="of a tar")
    parser.add_argument("--parallel", type=int, default=4)
    parser.add_argument("--rows", type=int, default=50_000, help="images of train in the manifest")
    parser.add_argument("--folder", type=Path, help="where to work; else the system's for such")
    options = parser.parse_args()
    print(describe(1))
    with tempfile.TemporaryDirectory(dir=options.folder) as work:
        root = Path(work)
        total = make_server_tree(root / "server", options.tars, options.megabytes)
        print(f"\n{options.tars} tars, {total / 1e6:.0f} MB, {options.parallel} at a time")
        print(f"{'':34} {'seconds':>8} {'MB/s':>7}  ratio")
        with serving(root / "server") as base:
            only = f"0-{options.tars - 1}"
            peer = timed_peer(base, root / "peer", options.tars, options.parallel)
            line("curl, md5sum, tar", peer, total, peer)
            for size in (None, 256):
                folder = root / f"cairn-{size}"
                seconds = timed_fetch(base, folder, only, size, options.parallel)
                line(f"Cairn{'' if size is None else f', to {size} pixels'}", seconds, total, peer)
            same = sorted(path.name for path in (root / "peer").rglob("*.jpg"))
            assert same == sorted(path.name for path in (root / "cairn-None").rglob("*.jpg"))
        manifest_of(root / "rows", options.rows)


def line(name: str, seconds: float, total: int, peer: float) -> None:
    print(f"{name:34} {seconds:8.2f} {total / 1e6 / seconds:7.0f}  {peer / seconds:.2f}x")


def make_server_tree(root: Path, tars: int, megabytes: float) -> int:
    """Write tars of photographs in GLDv2's layout, and return their bytes."""
    rng = np.random.default_rng(0)
    photographs = []
    for _ in range(16):
        coarse = rng.uniform(0, 255, (_SIDES[1] // 8, _SIDES[0] // 8, 3)).astype(np.uint8)
        image = Image.fromarray(coarse).resize(_SIDES, Image.Resampling.BICUBIC)
        pixels = np.asarray(image) + rng.normal(0, 5, (_SIDES[1], _SIDES[0], 3))
        out = io.BytesIO()
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=80)
        photographs.append(out.getvalue())
    count = max(1, round(megabytes * 1e6 / np.mean([len(data) for data in photographs])))
    made = SmallGldv2()
    for number in range(tars):
        ids = [rng.bytes(8).hex() for _ in range(count)]
        made.put_tar("train", number, tar_of((i, photographs[k % 16]) for k, i in enumerate(ids)))
    made.files["metadata/train.csv"] = b"id,url,landmark_id\n"
    for name in ("clean", "attribution", "label_to_category", "label_to_hierarchical"):
        made.files[f"metadata/train_{name}.csv"] = b"landmark_id\n"
    for name, data in made.files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return sum(len(data) for name, data in made.files.items() if name.endswith(".tar"))


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """Serve a folder from a process of its own."""
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def timed_peer(base: str, folder: Path, tars: int, parallel: int) -> float:
    """Return the seconds that GLDv2's own way takes; Python stands in for what is missing here."""
    folder.mkdir()
    start = time.perf_counter()
    with ThreadPoolExecutor(parallel) as pool:
        list(pool.map(lambda number: peer_tar(base, folder, number), range(tars)))
    return time.perf_counter() - start


def peer_tar(base: str, folder: Path, number: int) -> None:
    name = f"images_{number:03d}"
    with urllib.request.urlopen(f"{base}/md5sum/train/md5.{name}.txt") as answer:
        expected = answer.read().decode().split()[0]
    tar, url = folder / f"{name}.tar", f"{base}/train/{name}.tar"
    if shutil.which("curl"):
        subprocess.run(["curl", "-sS", "-o", str(tar), url], check=True)
    else:
        urllib.request.urlretrieve(url, tar)
    if shutil.which("md5sum"):
        done = subprocess.run(["md5sum", str(tar)], check=True, capture_output=True, text=True)
        found = done.stdout.split()[0]
    else:
        found = hashlib.md5(tar.read_bytes(), usedforsecurity=False).hexdigest()
    assert found == expected
    subprocess.run(["tar", "-xf", str(tar), "-C", str(folder)], check=True)
    tar.unlink()


def timed_fetch(base: str, folder: Path, only: str, size: int | None, parallel: int) -> float:
    """Return the seconds that Cairn takes, plan and ledger included."""
    client = Client(told=lambda _: None)
    start = time.perf_counter()
    choice = choose("train", only)
    plan = make_plan(client, folder, choice, base=base, size=size, parallel=parallel)
    fetch(client, folder, plan, base=base).require_all()
    return time.perf_counter() - start


def manifest_of(folder: Path, rows: int) -> None:
    """Print what the manifest of a made training set takes."""
    numbers = make_tables(folder / "metadata", rows)
    there = np.sort(numbers)
    # Millions of small files would tell nothing more.
    with patch("cairn.sources.gldv2.reading.ids_on_disk", lambda _: there):
        for subset in ("clean", "train"):
            with PeakMemory() as memory:
                start = time.perf_counter()
                found = read_gldv2(folder, choose(subset)).manifest
                read_s = time.perf_counter() - start
                start = time.perf_counter()
                found.write(folder / f"{subset}.parquet")
                write_s = time.perf_counter() - start
            start = time.perf_counter()
            Manifest.read(folder / f"{subset}.parquet")
            again_s = time.perf_counter() - start
            size = (folder / f"{subset}.parquet").stat().st_size
            print(
                f"manifest of {subset}, {len(found):,} of {rows:,} rows: made in {read_s:.1f} s, "
                f"written in {write_s:.1f} s ({size / 1e6:.0f} MB), "
                f"peak {memory.above / 1e6:.0f} MB more; read back in {again_s:.1f} s: "
                f"making takes {read_s / again_s:.1f}x that"
            )


def make_tables(folder: Path, rows: int) -> UInt64:
    """Write train's tables with texts as long as GLDv2's, and return the ids."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    numbers = np.unique(rng.integers(0, 2**63, rows, dtype=np.uint64))
    rng.shuffle(numbers)
    landmarks = max(rows // 20, 1)
    marks = np.sort(rng.integers(0, landmarks, len(numbers)))
    ids = [f"{number:016x}" for number in numbers.tolist()]
    with (folder / "train.csv").open("w") as table:
        table.write("id,url,landmark_id\n")
        table.writelines(
            f"{i},https://upload.wikimedia.org/wikipedia/commons/{i[:2]}/{'x' * 60}.jpg,{m}\n"
            for i, m in zip(ids, marks.tolist(), strict=True)
        )
    with (folder / "train_attribution.csv").open("w") as table:
        table.write("id,url,author,license,title\n")
        table.writelines(
            f'{i},https://commons.wikimedia.org/wiki/File:{"x" * 50}{k}.jpg,"Author, {k % 99991}",'
            f"https://creativecommons.org/licenses/by/3.0/,File:{'x' * 60}.jpg\n"
            for k, i in enumerate(ids)
        )
    with (folder / "train_clean.csv").open("w") as table:
        table.write("landmark_id,images\n")
        start = 0
        for mark, count in zip(*np.unique(marks, return_counts=True), strict=True):
            if mark % 5 < 2:
                table.write(f"{mark},{' '.join(ids[start : start + count])}\n")
            start += int(count)
    with (folder / "train_label_to_hierarchical.csv").open("w") as table:
        table.write("landmark_id,category,supercategory,hierarchical_label,natural_or_human_made\n")
        table.writelines(
            f"{m},http://commons.wikimedia.org/wiki/Category:Church_{m},parish church,church,"
            "human-made\n"
            for m in range(landmarks)
        )
    return numbers


if __name__ == "__main__":
    main()
