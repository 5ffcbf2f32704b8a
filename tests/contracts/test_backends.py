"""What every way of running an embedder must do; a new one is one line of ``BACKENDS``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cairn.checkpoint import load_model, model_fingerprint, save_model
from cairn.config import ModelConfig
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.model import build
from cairn.runtime import BACKENDS, FAITHFUL, Runtime, load_runtime

ENGINES = {"torch": "PyTorch", "openvino": "OpenVINO", "onnx": "ONNX Runtime"}
SHARED = {"dimension": 16, "neck": "linear"}
HOUSE: dict[str, object] = {
    "backbone": "resnext_small",
    "backbone_args": {
        "layers": (1, 1, 1, 1),
        "channels": (8, 16, 32, 64),
        "cardinality": 2,
        "base_width": 16,
    },
}
MODELS: dict[str, dict[str, object]] = {
    "house": {
        **HOUSE,
        "preprocess": {"image_size": 32},
    },
    "two views": {
        **HOUSE,
        "gc": False,
        "pool": "gem-fixed",
        "neck": "whitened",
        "preprocess": {"image_size": 32, "resize": "both"},
    },
    "scales and mirror images": {
        **HOUSE,
        "preprocess": {"image_size": 32, "scales": (1.0, 1.5), "flip": True},
    },
    "same padding": {
        "backbone": "lcnet_035",
        "backbone_args": {"pad_type": "same"},
        "gc": False,
        "pool": "avg",
        "preprocess": {"image_size": 36},
    },
    "transformer": {
        "backbone": "vit_small_patch16_dinov3",
        "backbone_args": {"embed_dim": 32, "depth": 2, "num_heads": 2},
        "gc": False,
        "pool": "own",
        "preprocess": {"image_size": 48},
    },
}


@pytest.fixture(scope="module", params=list(MODELS))
def model_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = ModelConfig.model_validate({**SHARED, **MODELS[request.param]})
    torch.manual_seed(0)
    module = build(config)
    with torch.no_grad():  # far enough from its start that pictures come out apart
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    folder = tmp_path_factory.mktemp("model") / "m"
    save_model(folder, module, config)
    return folder


@pytest.fixture(scope="module", params=list(ENGINES))
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def run(model_dir: Path, backend: str) -> Runtime:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_runtime(model_dir, backend=backend, device="cpu")


def images(run: Runtime, count: int) -> Float32:
    rng = np.random.default_rng(count)
    return rng.standard_normal((count, *run.preprocess.input_shape), dtype=np.float32)


def test_every_backend_is_here() -> None:
    assert {"auto", *ENGINES} == set(BACKENDS)


def test_it_is_the_engine_that_was_asked_for(run: Runtime, backend: str) -> None:
    assert run.description.startswith(ENGINES[backend])


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_batch_of_any_size_gives_the_model_s_embeddings(
    model_dir: Path, run: Runtime, count: int
) -> None:
    module, _ = load_model(model_dir)
    batch = images(run, count)
    with torch.no_grad():
        want = module(torch.from_numpy(batch)).numpy()
    got = run(batch)
    assert got.shape == (count, 16)
    assert got.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(got, axis=1), 1, atol=1e-5)
    assert (got * want).sum(axis=1).min() >= FAITHFUL - 0.001


def test_an_image_s_embedding_does_not_hang_on_the_others(run: Runtime) -> None:
    batch = images(run, 5)
    alone = np.concatenate([run(batch[at : at + 1]) for at in range(5)])
    assert (run(batch) * alone).sum(axis=1).min() >= 1 - 1e-4


def test_no_images_give_no_embeddings(run: Runtime) -> None:
    assert run(images(run, 0)).shape == (0, 16)


def test_what_came_back_stays(run: Runtime) -> None:
    first = run(images(run, 2))
    kept = first.copy()
    run(images(run, 3))
    np.testing.assert_array_equal(first, kept)


def test_it_carries_the_model_s_name_and_input(model_dir: Path, run: Runtime) -> None:
    assert run.fingerprint == model_fingerprint(model_dir)
    assert run.preprocess == load_model(model_dir)[1].preprocess
    assert run.dimension == 16


def test_other_shapes_and_types_are_refused(run: Runtime) -> None:
    good = images(run, 2)
    spoiled_ones: list[Any] = [good[..., :-1], good[0], good.astype(np.float64)]
    for spoiled in spoiled_ones:
        with pytest.raises(CairnError, match="this model takes"):
            run(spoiled)
