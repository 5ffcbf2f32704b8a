"""Galleries to serve in tests, and clients of them."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import torch
from PIL import Image
from starlette.testclient import TestClient

from cairn.checkpoint import save_model
from cairn.config import ModelConfig, Preprocess
from cairn.embed import embed
from cairn.gallery import Gallery, keep_penalty
from cairn.manifest import Manifest
from cairn.model import build
from cairn.serve.app import create_app
from cairn.serve.auth import Token
from cairn.serve.server import Server
from cairn.serve.settings import ServeSettings
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={
        "layers": (1, 1, 1, 1),
        "channels": (8, 16, 32, 64),
        "cardinality": 2,
        "base_width": 16,
    },
    dimension=16,
    preprocess=Preprocess(image_size=32),
)


def make_model(folder: Path) -> Path:
    """Write an untrained model."""
    torch.manual_seed(4)
    save_model(folder, build(CONFIG), CONFIG)
    return folder


def make_gallery(root: Path, pictures: Manifest, *, bank: bool = True) -> Path:
    """Write a gallery of the pictures with an untrained model, and with a penalty."""
    make_model(root / "model")
    embed(root / "model", pictures.select("train"), root / "e", backend="torch")
    Gallery.build(
        root / "e",
        root / "model",
        root / "gallery",
        landmark_names={"landmark0": "Old Tower", "landmark1": "New Bridge"},
    )
    if bank:
        embed(root / "model", pictures.select("nonlandmark"), root / "bank", backend="torch")
        keep_penalty(root / "gallery", EmbeddingTable.read(root / "bank"), top=2, min_n=1)
    return root / "gallery"


@contextmanager
def serving(
    place: Path, /, *, tokens: tuple[Token, ...] = (), hosts: tuple[str, ...] = (), **settings: Any
) -> Iterator[TestClient]:
    """Yield a client of a server of a gallery, started and stopped."""
    server = Server(
        place,
        ServeSettings.model_validate(settings),
        tokens=tokens,
        hosts=hosts,
        backend="torch",
        device="cpu",
    )
    with TestClient(create_app(server), base_url="http://localhost") as client:
        yield client


def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that another thread brings about."""
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        Event().wait(0.02)


def noise(root: Path, *, landmarks: int = 6, images: int = 5, bank: int = 12) -> Manifest:
    """Write photographs of noise, some of them of no landmark; return their manifest."""
    rows = [(f"{i}", f"landmark{i % landmarks}", "train") for i in range(landmarks * images)]
    rows += [(f"none{i}", "", "nonlandmark") for i in range(bank)]
    for number, (name, _, _) in enumerate(rows):
        root.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.jpg").write_bytes(jpeg(10_000_000 + number))
    columns = {
        "image_id": [row[0] for row in rows],
        "path": [f"{row[0]}.jpg" for row in rows],
        "landmark_id": [row[1] for row in rows],
        "role": [row[2] for row in rows],
        "label_space": ["noise"] * len(rows),
    }
    return Manifest.from_columns(columns, root=root)


def jpeg(seed: int, *, side: int = 40) -> bytes:
    """Return a JPEG of noise that no other seed gives."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG")
    return buffer.getvalue()
