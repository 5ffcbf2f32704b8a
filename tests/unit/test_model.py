from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cairn.checkpoint import save_model
from cairn.config import ModelConfig, Preprocess
from cairn.errors import CairnError
from cairn.layers import GlobalContext
from cairn.model import assemble, build, resolve


def _small(**changes: object) -> ModelConfig:
    return ModelConfig.model_validate({"backbone": "resnext_small", **changes})


def test_the_house_model_has_a_context_block_in_every_residual_block() -> None:
    with torch.device("meta"):
        model = assemble(ModelConfig())
    blocks = [m for m in model.modules() if type(m).__name__ == "Bottleneck"]
    assert len(blocks) == 3 + 4 + 23 + 3
    assert all(isinstance(block.se, GlobalContext) for block in blocks)
    first = blocks[0].conv2
    assert isinstance(first, torch.nn.Conv2d)
    assert first.groups == 32


@pytest.mark.parametrize("gc", [True, False])
@pytest.mark.parametrize("pool", ["gem", "gem-fixed", "avg", "own"])
def test_embeddings_have_unit_length(gc: bool, pool: str) -> None:
    model = build(_small(gc=gc, pool=pool)).eval()
    assert any(isinstance(m, GlobalContext) for m in model.modules()) is gc
    with torch.inference_mode():
        embeddings = model(torch.randn(3, 3, 64, 64))
    assert embeddings.shape == (3, 512)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(3))


def test_a_fresh_context_block_does_not_change_the_network() -> None:
    with_gc = build(_small(gc=True)).eval()
    without = build(_small(gc=False)).eval()
    weights = {k: v for k, v in with_gc.state_dict().items() if ".se." not in k}
    without.load_state_dict(weights)
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(with_gc(images), without(images))


def test_training_reaches_every_parameter() -> None:
    model = build(_small())
    out = model(torch.randn(4, 3, 64, 64))
    out[:, 0].sum().backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert missing == []


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_b0", "vit_tiny_patch16_224"])
def test_other_timm_backbones(backbone: str) -> None:
    model = build(ModelConfig(backbone=backbone, gc=False, dimension=64)).eval()
    with torch.inference_mode():
        assert model(torch.randn(2, 3, 224, 224)).shape == (2, 64)


def test_channels_last_maps_are_pooled_over_positions() -> None:
    """Swin gives (B, H, W, C): the pooling must not take channels for positions."""
    shape = {"embed_dim": 16, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 2, 2)}
    config = ModelConfig(
        backbone="swin_tiny_patch4_window7_224",
        gc=False,
        pool="avg",
        dimension=32,
        backbone_args={**shape, "img_size": 64, "window_size": 4},
    )
    model = build(config).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        maps_BHWC = model.backbone.forward_features(images)  # type: ignore[operator]
        pooled = model.features(images)
        assert model(images).shape == (2, 32)
    assert maps_BHWC.shape == (2, 2, 2, 128)
    torch.testing.assert_close(pooled, maps_BHWC.mean(dim=(1, 2)))


@pytest.mark.parametrize("arguments", [{"layer": [1]}, {"block_args": {"nonsense": 1}}])
def test_settings_that_a_backbone_does_not_have_are_named(arguments: dict[str, object]) -> None:
    for backbone in ("resnext_small", "resnext50_32x4d"):
        config = ModelConfig(backbone=backbone, backbone_args=arguments)
        with pytest.raises(CairnError, match=r"layer|nonsense") as caught:
            build(config)
        assert "model.backbone_args" in caught.value.todo


def test_unknown_backbone_names_the_nearest() -> None:
    with pytest.raises(CairnError, match="resnext999") as caught:
        build(ModelConfig(backbone="resnext999_32x4d"))
    assert "did you mean" in caught.value.todo


def test_context_blocks_need_residual_blocks() -> None:
    for backbone in ("efficientnet_b0", "resnetv2_50"):
        with pytest.raises(CairnError, match="no residual blocks"):
            build(ModelConfig(backbone=backbone, gc=True))


def test_weights_from_a_file_start_a_model_with_context_blocks(tmp_path: Path) -> None:
    source = build(_small(gc=False))
    path = tmp_path / "weights.safetensors"
    save_file({k: v.half() for k, v in source.backbone.state_dict().items()}, path)
    model = build(_small(weights=str(path)))
    expected = source.backbone.state_dict()["conv1.weight"].half().float()
    torch.testing.assert_close(model.backbone.state_dict()["conv1.weight"], expected)


SWIN = "swin_base_patch4_window12_384.ms_in22k_ft_in1k"


@pytest.mark.parametrize("weights", ["imagenet", "some.safetensors"])
def test_what_a_recipe_leaves_out_is_the_weights_own_and_what_it_says_stays(weights: str) -> None:
    own = resolve(ModelConfig(backbone=SWIN, gc=False, weights=weights)).preprocess
    assert (own.image_size, own.crop_pct, own.interpolation) == (384, 1.0, "bicubic")
    vit = ModelConfig(backbone="vit_tiny_patch16_224.augreg_in21k", gc=False, weights=weights)
    own = resolve(vit).preprocess
    assert (own.image_size, own.mean, own.std) == (224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (own.crop_pct, own.interpolation, own.resize) == (0.9, "bicubic", "squash")

    said = Preprocess(image_size=96, mean=(0.485, 0.456, 0.406), interpolation="bilinear")
    mixed = resolve(vit.model_copy(update={"preprocess": said}))
    assert (mixed.preprocess.image_size, mixed.preprocess.interpolation) == (96, "bilinear")
    assert mixed.preprocess.mean == (0.485, 0.456, 0.406), "said, though it is the default"
    assert mixed.preprocess.std == (0.5, 0.5, 0.5)
    assert resolve(mixed) == mixed
    assert (mixed.backbone, mixed.weights) == (vit.backbone, weights)


def test_without_published_weights_the_defaults_hold() -> None:
    scratch = ModelConfig(backbone="vit_tiny_patch16_224", gc=False)
    assert resolve(scratch) == scratch
    house = _small(weights="some.safetensors")
    assert resolve(house) == house


def test_an_earlier_model_hands_on_its_preprocessing(tmp_path: Path) -> None:
    pre = Preprocess(image_size=32, resize="crop", mean=(0.1, 0.2, 0.3), crop_pct=0.8)
    earlier = _small(dimension=8, preprocess=pre)
    save_model(tmp_path / "m", build(earlier), earlier)
    later = _small(dimension=8, weights=str(tmp_path / "m"), preprocess={"image_size": 64})
    assert resolve(later).preprocess == pre.model_copy(update={"image_size": 64})


def test_center_keeps_the_backbones_dimension() -> None:
    with pytest.raises(CairnError, match="1024"):
        build(_small(neck="center", dimension=512))
    assert build(_small(neck="center", dimension=1024)).eval()(torch.randn(1, 3, 64, 64)).shape == (
        1,
        1024,
    )


def test_the_house_model_learns() -> None:
    model = build(ModelConfig()).train()
    images = torch.randn(2, 3, 64, 64)
    embeddings = model(images)
    assert embeddings.shape == (2, 512)
    (embeddings[0] @ embeddings[1]).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert len(gradients) == len(list(model.parameters()))
    assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
