"""What a calibration costs after a change: by the validation that is kept, and beside requests.

    python benchmarks/renewal.py --images 200000

First ``cairn.renewal.recalibrate`` against embedding the validation's photographs again, which it
saves; the network is a small one here, so the ratio is a low one. Then a server: how long a
photograph takes to be answered, alone and while the calibration is made anew after a change, and
how long it is from the change's answer to the first answer with a chance.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.gallery import Gallery, remove_images
from cairn.gallery.calibrating import calibrate_gallery
from cairn.gallery.calibrations import keep_calibration
from cairn.gallery.kept_validation import Validation, keep_validation
from cairn.images import decode
from cairn.model import build
from cairn.renewal import recalibrate
from cairn.runtime import load_runtime
from cairn.tables import EmbeddingTable
from measuring.small_gallery import jpeg, serving
from measuring.vectors import fill

_PHOTOS = 5
_ALIKE = 0.6  # of a known query and an image of its landmark
_EMBEDDED = 64  # photographs that are timed for all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--requests", type=int, default=30, help="Without a renewal.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = prepare(Path(folder), args.images, args.queries, args.dimension)
        print(f"{args.images} images x {args.dimension}, {args.queries} validation queries")
        by_command(place, args.queries)
        by_server(place, args.requests)


def prepare(root: Path, num_images: int, num_queries: int, dimension: int) -> Path:
    """Return a calibrated gallery of random rows that keeps its validation."""
    config = ModelConfig(
        backbone="resnext_small",
        backbone_args={"layers": (1, 1, 1, 1)},
        dimension=dimension,
        preprocess=Preprocess(image_size=64),
    )
    save_model(root / "model", build(config), config)
    model = model_fingerprint(root / "model")
    rows = np.empty((num_images, dimension), np.float32)
    fill(rows, "random", seed=1)
    ids = [f"image-{row:08}" for row in range(num_images)]
    landmarks = [f"landmark {row // _PHOTOS}" for row in range(num_images)]
    table = EmbeddingTable(ids, landmarks, [f"/p/{one}.jpg" for one in ids], rows, model)
    table.write(root / "table")
    gallery = Gallery.build(root / "table", root / "model", root / "gallery")
    asked = np.empty((num_queries, dimension), np.float32)
    fill(asked, "random", seed=2)
    num_known = num_queries // 2
    shown = np.random.default_rng(3).choice(num_images, num_known, replace=False)
    asked[:num_known] = _ALIKE * rows[shown] + (1 - _ALIKE**2) ** 0.5 * asked[:num_known]
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    names = [f"query-{row}" for row in range(num_queries)]
    truth = dict.fromkeys(names, frozenset[str]())
    for name, row in zip(names, shown.tolist(), strict=False):
        truth[name] = frozenset({landmarks[row]})
    paths = [f"/q/{one}.jpg" for one in names]
    queries = EmbeddingTable(names, [""] * num_queries, paths, asked, model)
    validation = Validation(queries, truth, false_accept_rate=0.05)
    keep_calibration(gallery, calibrate_gallery(gallery, queries, truth, false_accept_rate=0.05))
    keep_validation(gallery.place, validation)
    return root / "gallery"


def by_command(place: Path, num_queries: int) -> None:
    loaded = Gallery.load(place)
    remove_images(place, image_ids=[loaded.table.image_ids[0]])
    start = time.perf_counter()
    (done,) = recalibrate(place)
    ours = time.perf_counter() - start
    assert done.state == "renewed"
    runtime = load_runtime(loaded.model_dir, device="cpu")
    contents = [jpeg(seed, side=256) for seed in range(_EMBEDDED)]
    start = time.perf_counter()
    for content in contents:
        picture = np.asarray(decode(content).resize((64, 64)), np.float32)
        runtime(picture.transpose(2, 0, 1)[None] / np.float32(255))
    theirs = (time.perf_counter() - start) * num_queries / _EMBEDDED
    ratio = theirs / ours
    print(f"recalibrate {ours:.2f} s, embedding the queries again {theirs:.2f} s: {ratio:.2f}x")


def by_server(place: Path, num_requests: int) -> None:
    with serving(place, gallery={"watch_s": 0.2}) as client:
        alone = [seconds(client, seed) for seed in range(num_requests)]
        image = client.get("/v1/landmarks/landmark%207").json()["images"][0]
        start = time.perf_counter()
        assert client.delete(image["picture"]).json()["visible"]
        changed = time.perf_counter() - start
        start = time.perf_counter()
        beside: list[float] = []
        while client.get("/v1/gallery").json()["calibration_state"] == "renewing":
            beside.append(seconds(client, len(beside)))
        spent = time.perf_counter() - start
        assert client.get("/v1/gallery").json()["calibration_state"] == "fresh"
    print(f"served: the change {changed:.2f} s, chances again {spent:.2f} s after its answer")
    for name, times in (("alone", alone), ("beside a renewal", beside or alone)):
        middle, worst = statistics.median(times) * 1e3, max(times) * 1e3
        print(f"a photograph {name}: median {middle:.1f} ms, most {worst:.1f} ms, {len(times)}")
    ratio = statistics.median(beside or alone) / statistics.median(alone)
    print(f"beside a renewal, against alone: {ratio:.2f}x")


def seconds(client: TestClient, seed: int) -> float:
    content = jpeg(seed)
    start = time.perf_counter()
    client.post("/v1/recognize", files={"image": ("a", content)}).raise_for_status()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
