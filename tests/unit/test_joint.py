"""Joint models: several models that embed together, as one wherever photographs are embedded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cairn.checkpoint import model_dimension, model_fingerprint, read_config, save_model
from cairn.config import ModelConfig
from cairn.embed import embed, encode_all
from cairn.errors import CairnError
from cairn.joint import Joint, is_joint, member_folders, read_joint, write_joint
from cairn.manifest import Manifest
from cairn.model import assemble
from cairn.runtime import FAITHFUL, load_runtime
from cairn.tables import EmbeddingTable
from cairn.views import add_views

WEIGHTS = (0.25, 0.75)


def saved(folder: Path, *, backbone: str, side: int, dimension: int, resize: str) -> Path:
    config = ModelConfig.model_validate(
        {
            "backbone": backbone,
            "gc": False,
            "pool": "avg",
            "dimension": dimension,
            "preprocess": {"image_size": side, "resize": resize},
        }
    )
    torch.manual_seed(dimension)
    save_model(folder, assemble(config), config)
    return folder


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Models of other backbones, image sizes, views and dimensions."""
    root = tmp_path_factory.mktemp("members")
    first = saved(root / "a", backbone="resnext_small", side=32, dimension=8, resize="both")
    plain = saved(root / "b", backbone="focalnet_small", side=48, dimension=5, resize="crop")
    add_views(plain, root / "c", flip=True, scales=(0.6667, 1.0))
    return [first, root / "c"]


def joined(folder: Path, members: list[Path], weights: tuple[float, ...] = WEIGHTS) -> Path:
    names = tuple(model_fingerprint(one) for one in members)
    write_joint(folder, Joint(names, weights), members)
    return folder


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_the_joint_embedding_is_the_members_weighted_by_roots(
    members: list[Path], pictures: Manifest, tmp_path: Path, backend: str
) -> None:
    folder = joined(tmp_path / "joint", members)
    sources = list(pictures.paths)[:7]
    run = load_runtime(folder, backend=backend, device="cpu")
    vectors = encode_all(run, sources, batch_size=3).vectors
    parts = [
        encode_all(load_runtime(one, backend=backend, device="cpu"), sources, batch_size=3).vectors
        for one in members
    ]
    assert vectors.shape == (7, 13)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    similar = sum(w * (part @ part.T) for w, part in zip(WEIGHTS, parts, strict=True))
    np.testing.assert_allclose(vectors @ vectors.T, similar, atol=1e-5)
    if backend == "openvino":
        plain = encode_all(load_runtime(folder, backend="torch", device="cpu"), sources).vectors
        assert (plain * vectors).sum(axis=1).min() >= FAITHFUL


def test_every_command_that_embeds_takes_it(
    members: list[Path], pictures: Manifest, tmp_path: Path
) -> None:
    folder = joined(tmp_path / "joint", members)
    assert is_joint(folder)
    assert not is_joint(members[0])
    assert model_dimension(folder) == 13
    asked = pictures.select("query").take(range(5))
    embed(folder, asked, tmp_path / "table", backend="torch")
    table = EmbeddingTable.read(tmp_path / "table")
    assert table.fingerprint == model_fingerprint(folder)
    assert table.dimension == 13


def test_the_fingerprint_names_members_and_weights(members: list[Path], tmp_path: Path) -> None:
    own = model_fingerprint(joined(tmp_path / "one", members))
    assert own == model_fingerprint(joined(tmp_path / "again", members))
    shutil.copytree(tmp_path / "one", tmp_path / "moved")
    assert own == model_fingerprint(tmp_path / "moved")
    others = [
        joined(tmp_path / "weights", members, (0.5, 0.5)),
        joined(tmp_path / "order", members[::-1], (0.75, 0.25)),
    ]
    assert len({own, *(model_fingerprint(one) for one in others)}) == 3
    assert read_joint(tmp_path / "one").weights == WEIGHTS


def test_what_is_no_joint_model_is_told(members: list[Path], tmp_path: Path) -> None:
    folder = joined(tmp_path / "joint", members)
    with pytest.raises(CairnError, match="no network of its own") as fault:
        read_config(folder)
    assert "members" in str(fault.value.todo)
    with pytest.raises(CairnError, match="no network of its own"):
        add_views(folder, tmp_path / "views", flip=True)
    shutil.rmtree(member_folders(folder)[1])
    with pytest.raises(CairnError, match="lacks a member"):
        load_runtime(folder)
    for text, told in (
        ({"format": 2, "joint": []}, "format 2"),
        ({"format": 1, "joint": [{"model": "a"}]}, "damaged"),
        ({"format": 1, "joint": [{"model": "../../a", "weight": 1}]}, "needs members"),
        ({"format": 1, "joint": []}, "needs members"),
        ({"format": 1, "joint": [{"model": "a", "weight": 0.5}]}, "add up to 1"),
    ):
        (folder / "config.json").write_text(json.dumps(text))
        with pytest.raises(CairnError, match=told):
            read_joint(folder)
