"""What a change of a gallery costs, against writing its whole table anew.

    python benchmarks/gallery.py --images 1000000

Of each operation: seconds, those of the peer, and the ratio. The peer does what a gallery without
versions in place must: it reads the table, makes the changed one in memory, and writes it to a new
folder, whole or not at all. A change touches one image in a hundred; landmarks have five each.
Without a penalty: what that costs is the search's benchmark.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig
from cairn.domain import Float32
from cairn.gallery import (
    Gallery,
    add_embeddings,
    compact,
    log,
    merge_landmarks,
    remove_images,
    rename_landmark,
    rollback,
)
from cairn.model import build
from cairn.tables import EmbeddingTable
from measuring.vectors import fill

_SHARE = 100  # one image in so many changes
_PHOTOS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--folder", type=Path, help="Where to work; a temporary folder by default.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        run(Path(folder), args.images, args.dimension)


def run(root: Path, num_images: int, dimension: int) -> None:
    config = ModelConfig(
        backbone="resnext_small", backbone_args={"layers": (1, 1, 1, 1)}, dimension=dimension
    )
    save_model(root / "model", build(config), config)
    fingerprint = model_fingerprint(root / "model")
    table = random_table(num_images, dimension, fingerprint, prefix="image")
    new = random_table(max(1, num_images // _SHARE), dimension, fingerprint, prefix="new")
    table.write(root / "table")
    new.write(root / "new")
    print(f"{num_images} images x {dimension}, changes of {len(new)}, seconds")
    print(f"{'operation':12}{'gallery':>10}{'rewriting':>12}{'ratio':>10}")
    place = root / "gallery"

    def rewrite(change: Callable[[EmbeddingTable], EmbeddingTable]) -> float:
        """Return the time of reading, changing and writing the whole table."""
        start = time.perf_counter()
        change(EmbeddingTable.read(root / "table")).write(root / "rewritten")
        spent = time.perf_counter() - start
        shutil.rmtree(root / "rewritten")
        return spent

    gone = table.image_ids[::_SHARE]
    landmark, other = "landmark 0", "landmark 1"
    reading = seconds(lambda: EmbeddingTable.read(root / "table"))
    as_it_was = rewrite(lambda old: old)
    ours = seconds(lambda: Gallery.build(root / "table", root / "model", place))
    tell("build", ours, as_it_was)
    tell("load", seconds(lambda: Gallery.load(place)), reading)
    ours = seconds(lambda: add_embeddings(place, root / "new"))
    tell("add", ours, rewrite(lambda old: joined(old, new)))
    ours = seconds(lambda: remove_images(place, image_ids=gone))
    tell("remove", ours, rewrite(lambda old: without(old, set(gone))))
    ours = seconds(lambda: merge_landmarks(place, landmark, into=other))
    relabelled = rewrite(lambda old: merged(old, landmark, other))
    tell("merge", ours, relabelled)
    tell("rename", seconds(lambda: rename_landmark(place, other, "A name")), relabelled)
    tell("load", seconds(lambda: Gallery.load(place)), reading)
    tell("rollback", seconds(lambda: rollback(place, 1)), as_it_was)
    rollback(place, 5)
    tell("log", seconds(lambda: log(place)), reading)
    tell("compact", seconds(lambda: compact(place, keep_days=0)), as_it_was)
    tell("load", seconds(lambda: Gallery.load(place)), reading)


def random_table(count: int, dimension: int, fingerprint: str, *, prefix: str) -> EmbeddingTable:
    vectors = np.empty((count, dimension), dtype=np.float32)
    fill(vectors, "random", seed=len(prefix))
    ids = [f"{prefix}-{number:08}" for number in range(count)]
    landmarks = [f"landmark {number // _PHOTOS}" for number in range(count)]
    return EmbeddingTable(ids, landmarks, [f"/p/{one}.jpg" for one in ids], vectors, fingerprint)


def joined(old: EmbeddingTable, new: EmbeddingTable) -> EmbeddingTable:
    return of_rows(
        old,
        old.image_ids + new.image_ids,
        old.landmark_ids + new.landmark_ids,
        old.paths + new.paths,
        np.concatenate([old.vectors, new.vectors]),
    )


def without(old: EmbeddingTable, gone: set[str]) -> EmbeddingTable:
    kept = [row for row, image_id in enumerate(old.image_ids) if image_id not in gone]
    ids, landmarks, paths = (
        [column[row] for row in kept] for column in (old.image_ids, old.landmark_ids, old.paths)
    )
    return of_rows(old, ids, landmarks, paths, old.vectors[kept])


def merged(old: EmbeddingTable, landmark: str, into: str) -> EmbeddingTable:
    landmarks = [into if one == landmark else one for one in old.landmark_ids]
    return of_rows(old, old.image_ids, landmarks, old.paths, old.vectors)


def of_rows(
    old: EmbeddingTable, ids: list[str], landmarks: list[str], paths: list[str], vectors: Float32
) -> EmbeddingTable:
    return EmbeddingTable(ids, landmarks, paths, vectors, old.fingerprint)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def tell(name: str, ours: float, peer: float) -> None:
    print(f"{name:12}{ours:10.2f}{peer:12.2f}{peer / ours:9.1f}x", flush=True)


if __name__ == "__main__":
    main()
