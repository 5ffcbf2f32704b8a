"""Weights from the hub, a file or an earlier model: what fits is loaded, what does not is named."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from cairn.checkpoint import save_model
from cairn.config import ModelConfig
from cairn.errors import CairnError
from cairn.layers import GlobalContext
from cairn.model import Embedder, assemble, build
from cairn.weights import hub_overlay

VIT = {"embed_dim": 32, "depth": 2, "num_heads": 2}
SWIN = {"embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2]}


def config(**settings: Any) -> ModelConfig:
    size = settings.pop("image_size", 64)
    defaults = {
        "backbone": "resnext_small",
        "backbone_args": {"layers": [1, 1, 1, 1]},
        "gc": False,
        "dimension": 8,
        "preprocess": {"image_size": size},
    }
    return ModelConfig.model_validate({**defaults, **settings})


def written(state: dict[str, Tensor], path: Path) -> str:
    save_file({k: v.contiguous() for k, v in state.items()}, path)
    return str(path)


@pytest.fixture(autouse=True)
def _without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Point the hub at a port of this machine that nobody answers."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "*")


def test_a_classifier_of_any_size_is_left_out(tmp_path: Path) -> None:
    source = timm.create_model("test_vit", num_classes=7)
    path = written(source.state_dict(), tmp_path / "w.safetensors")
    model = build(config(backbone="test_vit", backbone_args={}, pool="avg", weights=path))
    own = model.backbone.state_dict()
    assert not any(key.startswith("head.") for key in own)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in own.items())


def test_context_blocks_start_fresh_or_as_the_file_has_them(tmp_path: Path) -> None:
    plain = assemble(config())
    path = written(plain.backbone.state_dict(), tmp_path / "plain.safetensors")
    model = build(config(gc=True, weights=path)).eval()
    blocks = [m for m in model.backbone.modules() if isinstance(m, GlobalContext)]
    assert len(blocks) == 4
    assert not any(block.expand.weight.any() for block in blocks)
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(model.features(images), plain.eval().features(images))

    torch.nn.init.normal_(blocks[0].expand.weight)
    path = written(model.backbone.state_dict(), tmp_path / "gc.safetensors")
    again = build(config(gc=True, weights=path)).eval()
    torch.testing.assert_close(again.features(images), model.features(images))
    with pytest.raises(CairnError, match=r"unknown \(such as layer1\.0\.se"):
        build(config(gc=False, weights=path))


def test_position_embeddings_of_another_size_are_resampled(tmp_path: Path) -> None:
    """A smooth embedding keeps its values at the corners of a finer grid of the same picture."""
    small = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0, **VIT)
    with torch.no_grad():
        ramp = torch.linspace(-1, 1, 4)
        small.pos_embed[:, 1:] = (ramp[:, None] + ramp).view(1, 16, 1)
    path = written(small.state_dict(), tmp_path / "vit.safetensors")
    vit = config(backbone="vit_tiny_patch16_224", backbone_args=VIT, weights=path, image_size=64)
    position = build(vit).backbone.pos_embed
    assert isinstance(position, Tensor)
    assert position.shape == (1, 1 + 14 * 14, 32)
    torch.testing.assert_close(position[:, 0], small.pos_embed[:, 0])
    grid = position[0, 1:, 0].detach().view(14, 14)
    assert grid[0, 0].item() == pytest.approx(-2, abs=0.2)
    assert grid[-1, -1].item() == pytest.approx(2, abs=0.2)
    assert (grid.diff(dim=0) > -0.05).all()


def test_windows_of_another_size_are_resampled(tmp_path: Path) -> None:
    name = "swin_tiny_patch4_window7_224"
    small = timm.create_model(name, img_size=64, window_size=4, num_classes=0, **SWIN)
    path = written(small.state_dict(), tmp_path / "swin.safetensors")
    arguments = {**SWIN, "window_size": 8}
    model = build(
        config(backbone=name, backbone_args=arguments, weights=path, pool="avg", image_size=128)
    )
    table = model.backbone.state_dict()["layers.0.blocks.0.attn.relative_position_bias_table"]
    assert table.shape == (15 * 15, 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"backbone_args": {"layers": [1, 2, 1, 1]}}, r"missing \(such as layer2\.1"),
        ({"backbone_args": {"layers": [1, 1, 1, 1], "base_width": 8}}, "of another shape"),
        ({"backbone": "test_vit", "backbone_args": {}}, "missing"),
    ],
)
def test_weights_of_another_network_are_refused(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = written(assemble(config()).backbone.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(CairnError, match=f"the weights do not fit: .*{reason}") as caught:
        build(config(weights=path, **changes))
    assert caught.value.where == path


def test_what_is_no_weights_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="no such file") as caught:
        build(config(weights=str(tmp_path / "absent.safetensors")))
    assert "'imagenet'" in caught.value.todo
    pickled = tmp_path / "weights.pth"
    torch.save(assemble(config()).backbone.state_dict(), pickled)
    with pytest.raises(CairnError, match="not a whole safetensors file") as caught:
        build(config(weights=str(pickled)))
    assert "save_file" in caught.value.todo
    with pytest.raises(CairnError, match="not a model folder"):
        build(config(weights=str(tmp_path)))


def test_a_model_folder_starts_the_whole_embedder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    settings = config(gc=True)
    first = assemble(settings)
    save_model(tmp_path / "m", first, settings)
    second = build(config(gc=True, weights=str(tmp_path / "m")))
    assert isinstance(second, Embedder)
    loaded = second.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in first.state_dict().items())
    misfits: list[tuple[dict[str, Any], str]] = [
        ({"gc": False}, r"unknown \(such as backbone\.layer1"),
        ({"gc": True, "dimension": 16}, "of another shape"),
        ({"gc": True, "pool": "avg"}, r"unknown \(such as pool\.p"),
    ]
    for changes, reason in misfits:
        with pytest.raises(CairnError, match=reason):
            build(config(weights=str(tmp_path / "m"), **changes))


def test_without_a_network_the_hub_fails_fast_and_says_what_to_fetch() -> None:
    start = time.monotonic()
    with pytest.raises(CairnError, match="cannot reach the weights of resnet18") as caught:
        build(config(backbone="resnet18", backbone_args={}, weights="imagenet"))
    assert time.monotonic() - start < 20  # the hub's own client tries again for longer
    assert "timm/resnet18.a1_in1k/resolve/main/model.safetensors" in caught.value.todo
    assert "model.weights" in caught.value.todo


def test_a_file_in_the_hubs_cache_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = timm.create_model("test_vit")
    path = written(source.state_dict(), tmp_path / "model.safetensors")
    asked = []

    def cached(repository: str, filename: str, **_: object) -> str:
        asked.append((repository, filename))
        return path

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    settings = config(backbone="test_vit", backbone_args={}, weights="imagenet", pool="own")
    model = build(settings)
    assert asked == [("timm/test_vit.r160_in1k", "model.safetensors")]
    own = model.backbone.state_dict()
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in own.items())
    with pytest.raises(CairnError, match=r"missing \(such as blocks"):
        build(settings.model_copy(update={"backbone_args": {"depth": 20}}))


def test_backbones_without_published_weights_are_named() -> None:
    for name in ("resnext_small", "vit_small_patch16_36x1_224"):
        with pytest.raises(CairnError, match=r"no ImageNet weights|no published weights"):
            build(config(backbone=name, backbone_args={}, weights="imagenet"))
    with pytest.raises(CairnError, match="no published weights"):
        hub_overlay("resnet14t_nonsense")
