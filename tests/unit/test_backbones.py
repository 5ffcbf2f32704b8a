"""Each family of backbones learns, comes back from its folder, and takes other image sizes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from cairn.backbones import normalized, positions
from cairn.checkpoint import load_model, save_model
from cairn.config import ModelConfig, builtin_recipes, read_recipe
from cairn.errors import CairnError
from cairn.layers import GlobalContext
from cairn.model import Embedder, assemble, resolve

RESNEXT = {"layers": [1, 1, 1, 1], "channels": [32, 64, 64, 64]}
VIT = {"embed_dim": 32, "depth": 2, "num_heads": 2}
SWIN = {"embed_dim": 16, "depths": [2, 1, 1, 1], "num_heads": [1, 1, 2, 2], "window_size": 2}
CONVNEXT = {"dims": [8, 16, 16, 32], "depths": [1, 1, 1, 1]}
FAMILIES: dict[str, dict[str, Any]] = {
    "EfficientNet": {"backbone": "test_efficientnet"},
    "DenseNet": {
        "backbone": "densenet121",
        "backbone_args": {"growth_rate": 8, "block_config": [2, 2, 2, 2]},
    },
    "ResNeXt": {"backbone": "resnext101_32x4d", "backbone_args": RESNEXT},
    "ResNeXt + GC": {"backbone": "resnext101_32x4d", "backbone_args": RESNEXT, "gc": True},
    "ResNeXt + GC + GeM": {
        "backbone": "resnext101_32x4d", "backbone_args": RESNEXT, "gc": True, "pool": "gem",
    },
    "FocalNet": {"backbone": "focalnet_tiny_srf", "image_size": 32},
    "Swin": {"backbone": "swin_tiny_patch4_window7_224", "backbone_args": SWIN},
    "NFNet": {"backbone": "test_nfnet", "pool": "gem-fixed"},
    "ViT": {"backbone": "vit_tiny_patch16_224", "backbone_args": VIT},
    "DINOv2": {
        "backbone": "vit_small_patch14_reg4_dinov2", "backbone_args": VIT, "pool": "own",
        "image_size": 56,
    },
    "DINOv3": {"backbone": "vit_small_patch16_dinov3", "backbone_args": VIT, "pool": "gem"},
    "DINOv3 ConvNeXt": {"backbone": "convnext_tiny", "backbone_args": CONVNEXT},
    "MobileNet": {"backbone": "mobilenetv3_small_050", "pool": "own"},
}  # fmt: skip


def config(**settings: Any) -> ModelConfig:
    size = settings.pop("image_size", 64)
    defaults = {"gc": False, "pool": "avg", "dimension": 8, "preprocess": {"image_size": size}}
    return ModelConfig.model_validate({**defaults, **settings})


def made(settings: ModelConfig) -> Embedder:
    """Return a model none of whose parts starts at zero, as fresh residual branches do."""
    torch.manual_seed(0)
    model = assemble(settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return model


def pictures(settings: ModelConfig, count: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, *settings.preprocess.input_shape, generator=generator)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_learns_and_comes_back(family: str, tmp_path: Path) -> None:
    settings = config(**FAMILIES[family])
    model, images = made(settings), pictures(settings)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    out = model.train()(images)
    assert (out.shape, out.dtype) == ((4, 8), torch.float32)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(4))
    (out * torch.randn(4, 8)).sum().backward()
    context = {n for n, m in model.named_modules() if isinstance(m, GlobalContext)}
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        assert gradient is not None, name
        assert torch.isfinite(gradient).all(), name
        if name.removesuffix(".attend.bias") not in context:  # a softmax does not see its bias
            assert gradient.abs().max() > 0, name
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer.step()
    assert any(not torch.equal(before[n], p) for n, p in model.named_parameters())

    save_model(tmp_path / "m", model.eval(), settings)
    again, read = load_model(tmp_path / "m")
    assert read == settings
    with torch.inference_mode():
        plain = model(images)
        assert torch.equal(again(images), plain)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rounded = model(images)
    assert rounded.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(rounded, plain).min() > 0.98


@pytest.mark.parametrize("name", builtin_recipes())
def test_every_built_in_recipe_assembles_for_all_its_stages(name: str) -> None:
    recipe = read_recipe(name)
    model = resolve(recipe.model)
    if model.backbone != "resnext_small" and "." in model.backbone:
        assert model.backbone in timm.list_pretrained()
    with torch.device("meta"):
        embedder = assemble(model)
    shapes = {k: v.shape for k, v in embedder.state_dict().items()}
    for stage in recipe.resolved():
        embedder.set_image_size(stage.model.preprocess.image_size)
        grown = assemble_on_meta(resolve(stage.model))
        assert {k: v.shape for k, v in grown.state_dict().items()} == shapes, stage


MODELS_PAGE = Path(__file__).resolve().parents[2] / "docs" / "models.md"


def listed() -> dict[str, list[str]]:
    """Return the rows of the page's table of recipes by name."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in MODELS_PAGE.read_text("utf-8").splitlines()
        if line.startswith("| `") and line.count("|") == 7
    ]
    return {row[0].strip("`"): row[1:] for row in rows}


def test_the_page_lists_every_recipe_and_the_backbones_of_the_experiment_table() -> None:
    names = "resnext101 gc-resnext101 gc-resnext101-32x8d efficientnet-b3 efficientnet-b7 densenet"
    assert {*names.split(), "focalnet", "swin", "nfnet", "dinov2", "dinov3"} <= set(listed())
    assert set(listed()) == set(builtin_recipes())


@pytest.mark.parametrize("name", listed())
def test_the_page_says_of_a_recipe_what_it_is(name: str) -> None:
    recipe = read_recipe(name)
    model = resolve(recipe.model)
    backbone, pool, weights, sizes, millions = listed()[name]
    assert backbone == f"`{model.backbone}`" + " + GC" * model.gc
    assert pool == model.pool
    assert (weights == "scratch") == (model.weights is None)
    stages = [resolve(stage.model).preprocess.image_size for stage in recipe.resolved()]
    assert sizes == ", ".join(map(str, stages))
    count = sum(p.numel() for p in assemble_on_meta(model).parameters())
    assert millions == f"{count / 1e6:.1f}"


def assemble_on_meta(settings: ModelConfig) -> Embedder:
    with torch.device("meta"):
        return assemble(settings)


TOKENS = {
    "vit_tiny_patch16_224": (1, 16, 64),
    "vit_small_patch14_reg4_dinov2": (5, 16, 56),
    "vit_small_patch16_dinov3": (5, 16, 64),
}


@pytest.mark.parametrize("backbone", TOKENS)
def test_patch_tokens_are_pooled_without_class_and_register_tokens(backbone: str) -> None:
    prefix, patches, side = TOKENS[backbone]
    shared = {"backbone": backbone, "backbone_args": VIT, "image_size": side}
    average = made(config(**shared, pool="avg")).eval()
    images = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        tokens = average.backbone.forward_features(images)  # type: ignore[operator]
        assert tokens.shape == (2, prefix + patches, 32)
        torch.testing.assert_close(average.features(images), tokens[:, prefix:].mean(dim=1))
        own = assemble(config(**shared, pool="own")).eval()
        own.load_state_dict(average.state_dict())
        published = average.backbone(images)  # timm's own forward without a classifier
        torch.testing.assert_close(own.features(images), published)
        gem = assemble(config(**shared, pool="gem-fixed", gem_p=2.0)).eval()
        gem.load_state_dict({**average.state_dict(), "pool.p": torch.tensor([2.0])})
        squares = tokens[:, prefix:].clamp(min=1e-6).square().mean(dim=1).sqrt()
        torch.testing.assert_close(gem.features(images), squares)


def test_a_norm_behind_the_pooling_is_kept() -> None:
    """ConvNeXt normalises after its average: pooling by us must give what it gives itself."""
    model = made(config(backbone="convnext_tiny", backbone_args=CONVNEXT)).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(model.features(images), model.backbone(images))
    averaging = {**VIT, "global_pool": "avg", "fc_norm": True}
    vit = made(config(backbone="vit_tiny_patch16_224", backbone_args=averaging)).eval()
    with torch.inference_mode():
        torch.testing.assert_close(vit.features(images), vit.backbone(images))


def test_features_without_known_positions_need_the_backbones_own_pooling() -> None:
    nameless = nn.Identity()
    for features in (torch.zeros(1, 4, 8), [torch.zeros(1, 4, 8), torch.zeros(1, 2, 8)]):
        with pytest.raises(CairnError, match="which of its features are positions") as caught:
            positions(nameless, features)
        assert "own" in caught.value.todo
    pooled = torch.ones(1, 4)
    assert normalized(nameless, pooled) is pooled


GROWING = {
    "convolutional": (FAMILIES["EfficientNet"], 96),
    "ViT": (FAMILIES["ViT"], 96),
    "DINOv2": (FAMILIES["DINOv2"], 84),
    "DINOv3": (FAMILIES["DINOv3"], 96),
    "Swin": (FAMILIES["Swin"], 96),
    "Swin V2": ({"backbone": "swinv2_tiny_window8_256", "backbone_args": SWIN}, 96),
}


@pytest.mark.parametrize("kind", GROWING)
def test_a_model_grows_between_stages_with_the_parameters_it_has(kind: str, tmp_path: Path) -> None:
    """The optimiser holds the parameters: they must be the same objects, and a model made for the
    new size from the start must compute the same with their values."""
    settings, side = GROWING[kind]
    model = made(config(**settings)).eval()
    before = list(model.parameters())
    small = torch.randn(2, 3, config(**settings).preprocess.image_size, 64)
    small = small[..., : small.shape[2]]
    with torch.inference_mode():
        at_first = model(small)
    model.set_image_size(side)
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    grown = config(**{**settings, "image_size": side})
    save_model(tmp_path / "m", model, grown)
    again, _ = load_model(tmp_path / "m")
    images = pictures(grown, 2)
    with torch.inference_mode():
        assert torch.equal(model(images), again(images))
        model.set_image_size(small.shape[2])
        torch.testing.assert_close(model(small), at_first)


def test_sizes_that_do_not_suit_are_refused() -> None:
    for backbone, side, todo in [
        ("vit_tiny_patch16_224", 72, "64 or 80"),
        ("vit_small_patch14_reg4_dinov2", 64, "56 or 70"),
        ("swin_tiny_patch4_window7_224", 66, "64 or 68"),
    ]:
        with pytest.raises(CairnError, match="multiple") as caught:
            assemble_on_meta(config(backbone=backbone, image_size=side))
        assert todo in caught.value.todo
    vit = assemble_on_meta(config(backbone="vit_tiny_patch16_224"))
    with pytest.raises(CairnError, match="patches of 16 px"):
        vit.set_image_size(65)


def test_sizes_that_would_change_parameters_are_refused_between_stages() -> None:
    swin = assemble_on_meta(config(backbone="swin_tiny_patch4_window7_224", image_size=224))
    with pytest.raises(CairnError, match="cannot go to 64 px") as caught:
        swin.set_image_size(64)
    assert "window (7 positions)" in caught.value.todo
    fixed = assemble_on_meta(config(backbone="mixer_s32_224", pool="own", image_size=64))
    with pytest.raises(CairnError, match="keeps the image size"):
        fixed.set_image_size(96)


def test_weights_tags_that_do_not_exist_are_named() -> None:
    with pytest.raises(CairnError, match="no weights 'nonsense' for resnet18") as caught:
        assemble(config(backbone="resnet18.nonsense"))
    assert "resnet18." in caught.value.todo
