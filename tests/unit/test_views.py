"""Models that look at several views: against models of one view each, averaged by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cairn.augment import decode_side, eval_transform
from cairn.checkpoint import load_model, model_fingerprint, read_config, save_model
from cairn.config import ModelConfig, Preprocess, parse_value, read_recipe
from cairn.embed import encode_all
from cairn.errors import CairnError
from cairn.model import assemble, resolve
from cairn.runtime import FAITHFUL, load_runtime, sample_input, sample_pictures
from cairn.views import SCALES, add_views

SIDE = 32
TINY = {"backbone": "resnext_small", "backbone_args": {"layers": (1, 1, 1, 1)}, "dimension": 16}


def saved(folder: Path, *, facts: dict[str, Any] | None = None, **preprocess: Any) -> Path:
    """A small model with random weights in a folder; the same weights every time."""
    config = ModelConfig.model_validate({**TINY, "preprocess": {"image_size": SIDE, **preprocess}})
    torch.manual_seed(0)
    save_model(folder, assemble(config), config, facts=facts)
    return folder


@pytest.fixture
def photographs() -> list[Image.Image]:
    rng = np.random.default_rng(4)
    shapes = [(60, 91), (120, 70), (64, 64)]
    small = [rng.integers(0, 256, (h // 8, w // 8, 3), dtype=np.uint8) for h, w in shapes]
    return [Image.fromarray(one).resize((w, h)) for one, (h, w) in zip(small, shapes, strict=True)]


@pytest.mark.parametrize("resize", ["squash", "crop", "both"])
@pytest.mark.parametrize(
    ("flip", "scales"), [(True, (1.0,)), (False, (0.7071, 1.0, 1.4142)), (True, (1.5, 0.75))]
)
def test_views_are_the_mean_of_models_of_one_view_each(
    tmp_path: Path, photographs: list[Image.Image], resize: str, flip: bool, scales: tuple[float]
) -> None:
    model = saved(tmp_path / "model", resize=resize)
    config = add_views(model, tmp_path / "views", flip=flip, scales=scales)
    total = np.zeros((len(photographs), 16))
    for number, scale in enumerate(scales):
        single = saved(tmp_path / f"s{number}", resize=resize, image_size=round(SIDE * scale))
        run = load_runtime(single, backend="torch", device="cpu")
        inputs = np.stack([eval_transform(run.preprocess)(one) for one in photographs])
        total += run(inputs)
        if flip:
            total += run(np.ascontiguousarray(inputs[..., ::-1]))
    expected = total / np.linalg.norm(total, axis=1, keepdims=True)
    run = load_runtime(tmp_path / "views", backend="torch", device="cpu")
    found = encode_all(run, photographs).vectors
    np.testing.assert_allclose(found, expected, atol=1e-5)
    plain = encode_all(load_runtime(model, backend="torch", device="cpu"), photographs).vectors
    assert np.abs(plain - expected).max() > 1e-3, "the views show"
    views = 2 if resize == "both" else 1
    expected_cost = views * (2 if flip else 1) * sum(round(s * SIDE) ** 2 for s in scales)
    assert config.preprocess.cost == pytest.approx(expected_cost / SIDE**2)


def test_openvino_gives_the_same_views(tmp_path: Path, photographs: list[Image.Image]) -> None:
    model = saved(tmp_path / "model", resize="both")
    add_views(model, tmp_path / "views", flip=True, scales=SCALES)
    plain = load_runtime(tmp_path / "views", backend="torch", device="cpu")
    fast = load_runtime(tmp_path / "views", backend="openvino")
    assert fast.description.startswith("OpenVINO"), fast.description
    assert plain.preprocess.input_shape == (6, 3, 45, 45)
    for count in (1, 3):  # the batch stays free
        one, two = (encode_all(run, photographs[:count]).vectors for run in (plain, fast))
        assert (one * two).sum(axis=1).min() >= FAITHFUL


def test_a_model_without_views_keeps_its_fingerprint_and_its_config(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m")
    written = json.loads((folder / "config.json").read_text())["model"]["preprocess"]
    assert not {"flip", "scales"} & set(written), "older versions read it, fingerprints stay"
    own = {"image_size": SIDE, "resize": "squash", "crop_pct": 1.0}
    assert {key: written[key] for key in own} == own
    add_views(folder, tmp_path / "v", flip=True)
    add_views(folder, tmp_path / "w", flip=True, scales=(1.0, 1.5))
    names = {model_fingerprint(tmp_path / name) for name in ("m", "v", "w")}
    assert len(names) == 3
    assert read_config(tmp_path / "w").preprocess.scales == (1.0, 1.5)


def test_head_card_and_weights_come_along(tmp_path: Path) -> None:
    folder = saved(tmp_path / "m", facts={"epochs": 3})
    save_file({"weight": torch.eye(2, 16)}, folder / "head.safetensors")
    (folder / "landmarks.json").write_text('["a", "b"]')
    add_views(folder, tmp_path / "v", flip=True)
    add_views(tmp_path / "v", tmp_path / "w", scales=(1.0, 1.25))  # earlier views are left behind
    assert json.loads((tmp_path / "w" / "landmarks.json").read_text()) == ["a", "b"]
    assert (tmp_path / "w" / "head.safetensors").is_file()
    card = (tmp_path / "w" / "README.md").read_text()
    assert "- epochs: 3" in card
    assert "- views: 32 and 40 px, their embeddings averaged" in card
    assert "mirrored" not in card
    one, two = (load_model(tmp_path / name)[0].state_dict() for name in ("m", "w"))
    assert all(torch.equal(one[key], two[key]) for key in one)


@pytest.mark.parametrize(
    ("wishes", "fault"),
    [
        ({}, "no further view"),
        ({"scales": (2.0,)}, "no further view"),
        ({"scales": (1.0, 0.0)}, "above 0"),
        ({"scales": (1.0, float("nan"))}, "above 0"),
        ({"scales": (1.0, 0.1)}, "3 to 32 px; 16 to 4096"),
        ({"scales": (1.0, 1000.0)}, "32000 px"),
        ({"scales": (1.0, 1.001)}, "one size twice"),
        ({"scales": ()}, "one or more"),
    ],
)
def test_views_that_are_none_are_refused(
    tmp_path: Path, wishes: dict[str, Any], fault: str
) -> None:
    with pytest.raises(CairnError, match=fault):
        add_views(saved(tmp_path / "m"), tmp_path / "v", **wishes)
    assert not (tmp_path / "v").exists()


def transformer(folder: Path, backbone: str, side: int, **arguments: Any) -> Path:
    settings = {"backbone": backbone, "backbone_args": arguments, "gc": False, "pool": "avg"}
    config = ModelConfig.model_validate(
        {**settings, "dimension": 8, "preprocess": {"image_size": side}}
    )
    save_model(folder, assemble(config), config)
    return folder


def test_backbones_tied_to_a_size_are_refused_scales_and_given_mirror_images(
    tmp_path: Path,
) -> None:
    folder = transformer(
        tmp_path / "swin",
        "swin_tiny_patch4_window7_224",
        48,
        embed_dim=16,
        depths=(2, 1),
        num_heads=(1, 2),
        window_size=4,
    )
    with pytest.raises(CairnError, match="one size only") as fault:
        add_views(folder, tmp_path / "v", scales=SCALES)
    assert "flip" in str(fault.value.todo)
    add_views(folder, tmp_path / "v", flip=True)
    run = load_runtime(tmp_path / "v", backend="torch", device="cpu")
    assert run(sample_input(run.preprocess)).shape == (6, 8)


def test_patches_that_do_not_fill_a_scale_are_told_with_scales_that_do(tmp_path: Path) -> None:
    small = {"embed_dim": 32, "depth": 1, "num_heads": 2}
    folder = transformer(tmp_path / "vit", "vit_tiny_patch16_224", 48, **small)
    with pytest.raises(CairnError, match="patches of 16 px, which 34 px") as fault:
        add_views(folder, tmp_path / "v", scales=SCALES)
    assert "0.6667 or 1.0" in str(fault.value.todo)
    add_views(folder, tmp_path / "v", scales=(0.6667, 1.0))
    run = load_runtime(tmp_path / "v", backend="torch", device="cpu")
    assert run(sample_input(run.preprocess)).shape == (6, 8)


def test_training_knows_no_views(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="cairn model views"):
        read_recipe("demo", ["model.preprocess.flip=true"])
    with pytest.raises(CairnError, match="cairn model views"):
        read_recipe("demo", ["model.preprocess.scales=[0.5, 1]"])
    saved(tmp_path / "m", image_size=64)
    add_views(tmp_path / "m", tmp_path / "v", flip=True, scales=SCALES)
    started = resolve(parse_value(ModelConfig, {**TINY, "weights": str(tmp_path / "v")}, where=""))
    assert not started.preprocess.has_views
    assert started.preprocess.image_size == 64


def test_the_decoder_keeps_enough_for_the_largest_scale() -> None:
    plain = Preprocess(image_size=100)
    scaled = Preprocess(image_size=100, scales=(0.5, 2.0))
    assert decode_side(scaled) == decode_side(plain.at(200)) > decode_side(plain)


def test_a_smaller_view_lies_in_the_corner_of_its_square(photographs: list[Image.Image]) -> None:
    preprocess = Preprocess(image_size=SIDE, scales=(0.5, 1.0), resize="both")
    shown = eval_transform(preprocess)(photographs[0])
    assert shown.shape == (4, 3, SIDE, SIDE)
    for row, side in ((0, 16), (2, 32)):
        single = eval_transform(preprocess.at(side))(photographs[0])
        np.testing.assert_array_equal(shown[row : row + 2, :, :side, :side], single)
    assert not shown[:2, :, 16:].any()
    assert not shown[:2, :, :, 16:].any()


def test_sample_input_has_another_picture_in_each_view() -> None:
    shown = sample_input(Preprocess(image_size=SIDE, resize="both"))
    np.testing.assert_array_equal(shown[:, 0], sample_pictures(SIDE))
    assert not np.array_equal(shown[:, 0], shown[:, 1])
