"""Small inputs that many tests share."""

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from cairn.config import Recipe
from cairn.domain import Float32, Neighbors
from cairn.manifest import Manifest
from cairn.rerank import Context, GallerySide, HeadVectors, Picks, QuerySide
from cairn.state import state_path

# numba renews what it compiled when the file of a loop changes, not when one that it calls does.
assert "numba" not in sys.modules, "numba has read where its cache lies already"
_ROOT = Path(__file__).parents[1]
_LOOPS = ("search/*.py", "rescoring.py", "world/*.py", "pixels.py", "inspection/matching.py")
_SOURCES = [path for loops in _LOOPS for path in sorted((_ROOT / "src" / "cairn").glob(loops))]
_KEY = hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()[:12]
os.environ.setdefault("NUMBA_CACHE_DIR", str(_ROOT / ".pytest_cache" / f"numba-{_KEY}"))

# OMP_NUM_THREADS=1 stays one; where tests run side by side, each has a core.
_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ
torch.set_num_threads(1 if _IS_WORKER else min(2, torch.get_num_threads()))


def picture(rng: np.random.Generator, pattern: np.ndarray, side: int = 40) -> Image.Image:
    """A noisy view of a coarse 4 x 4 pattern."""
    base = np.kron(pattern, np.ones((side // 4, side // 4, 1)))
    noisy = base * rng.uniform(0.8, 1.2) + rng.normal(0, 12, base.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def make_pictures(root: Path, *, num_landmarks: int = 5, photos: int = 6) -> Manifest:
    """Write photographs of patterns; a landmark is one pattern; non-landmarks have their own."""
    rng = np.random.default_rng(7)
    rows: list[tuple[str, str, str]] = []

    def add(name: str, landmark: str, role: str, pattern: np.ndarray) -> None:
        path = root / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(rng, pattern).save(path, quality=92)
        rows.append((f"{name}.jpg", landmark, role))

    for number in range(num_landmarks):
        pattern = rng.uniform(30, 220, (4, 4, 3))
        for photo in range(photos + 3):
            role = "train" if photo < photos else "query"
            add(f"{role}/landmark{number}/{photo}", f"landmark{number}", role, pattern)
    for number in range(24):
        role = "nonlandmark" if number < 12 else "query"
        add(f"{role}/none/{number}", "", role, rng.uniform(30, 220, (4, 4, 3)))
    columns = {
        "image_id": [row[0] for row in rows],
        "path": [row[0] for row in rows],
        "landmark_id": [row[1] for row in rows],
        "role": [row[2] for row in rows],
        "label_space": ["patterns"] * len(rows),
    }
    manifest = Manifest.from_columns(columns, root=root)
    manifest.write(root / "manifest.parquet")
    return manifest


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    """A recipe that trains on the pictures in seconds."""
    return Recipe.model_validate(
        {
            "name": "tiny",
            "model": {
                "backbone": "resnext_small",
                "dimension": 32,
                "backbone_args": {
                    "layers": (1, 1, 1, 1),
                    "channels": (8, 16, 32, 64),
                    "cardinality": 2,
                    "base_width": 16,
                },
                "preprocess": {"image_size": 32},
            },
            "head": {"scale": 16.0},
            "train": {
                "epochs": 3,
                "batch_size": 8,
                "precision": "float32",
                "ema": 0.9,
                "workers": 2,
            },
            "validation": {"share": 0.2},
        }
    )


@pytest.fixture(scope="session")
def assert_same_state() -> Callable[[Path, Path], None]:
    """Compares two run folders: weights, momenta and averages bit by bit, and all but the times."""

    def told(folder: Path) -> list[dict[str, Any]]:
        text = (folder / "metrics.jsonl").read_text("utf-8")
        lines = [json.loads(line) for line in text.splitlines()]
        timed = ("seconds", "images_per_s")
        return [{k: v for k, v in line.items() if k not in timed} for line in lines]

    def equal(one: Any, two: Any, where: str) -> None:
        if isinstance(one, torch.Tensor):
            assert torch.equal(one, two), where
        elif isinstance(one, dict):
            assert one.keys() == two.keys(), where
            for key in one:
                equal(one[key], two[key], f"{where}.{key}")
        else:
            assert one == two, where

    def compare(ours: Path, theirs: Path) -> None:
        one, two = (torch.load(state_path(run), weights_only=True) for run in (ours, theirs))
        equal(one, two, "state")
        assert told(ours) == told(theirs)

    return compare


@pytest.fixture
def slow_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let exact search look slow, so that small galleries have something to win."""
    from cairn import tuning

    enter = tuning._Contest.__init__

    def slowed(self: tuning._Contest, *values: object) -> None:
        enter(self, *values)  # type: ignore[arg-type]
        self.exact = dataclasses.replace(self.exact, single_ms=1e6, qps=1e-3)
        self.trials = [self.exact]

    monkeypatch.setattr(tuning._Contest, "__init__", slowed)


@pytest.fixture(scope="session")
def asked() -> tuple[Neighbors, Context]:
    """Hits of 12 queries in a gallery of 60 rows and 15 landmarks, and all that stages may need.

    Similarities are rounded, so that some are equal; one query has fewer hits than others, one has
    none, and one fewer non-landmarks.
    """
    rng = np.random.default_rng(3)

    def units(rows: NDArray[Any]) -> Float32:
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    landmarks = np.sort(rng.integers(15, size=60))
    landmarks[:15] = np.arange(15)
    centres = rng.standard_normal((15, 8))
    gallery = units(centres[landmarks] + 0.6 * rng.standard_normal((60, 8)))
    queries = units(centres[rng.integers(15, size=12)] + 0.6 * rng.standard_normal((12, 8)))
    bank = units(rng.standard_normal((40, 8)))

    def nearest(rows: Float32, others: Float32, k: int, *, skip: bool = False) -> Neighbors:
        alike = np.round(rows @ others.T, 2)
        if skip:
            np.fill_diagonal(alike, -np.inf)
        order = np.argsort(-alike, axis=1, kind="stable")[:, :k]
        return Neighbors(order, np.take_along_axis(alike, order, axis=1))

    found = nearest(queries, gallery, 20)
    found.indices[4, 7:], found.similarities[4, 7:] = -1, -np.inf
    found.indices[5], found.similarities[5] = -1, -np.inf
    to_bank = nearest(queries, bank, 12).similarities
    to_bank[3, 2:] = -np.inf
    counts = rng.integers(0, 9, size=(12, 60))
    context = Context(
        GallerySide(
            landmarks=landmarks.astype(np.int64),
            picks=Picks.of(nearest(bank, gallery, 4), 60),
            to_bank=nearest(gallery, bank, 6).similarities,
            vectors=gallery,
            neighbors=nearest(gallery, gallery, 12, skip=True),
            search=lambda vectors, k: nearest(vectors, gallery, k),
        ),
        QuerySide(
            vectors=queries,
            to_bank=to_bank,
            head=HeadVectors(queries, units(centres)),
            inliers=lambda query, row: int(counts[query, row]) * 15,
        ),
    )
    return found, context
