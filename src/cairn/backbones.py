"""Backbones: any timm model without its classifier, at any image size that suits it.

Three kinds give features: convolutional maps (B, C, H, W), maps with channels last (B, H, W, C; the
Swin family) and tokens (B, N, C; vision transformers, whose first ``num_prefix_tokens`` are class
and register tokens). The module makes them and puts their features into one form; it does not know
how these are pooled.

Image sizes: a transformer with position embeddings keeps those of its pretrained grid as its
parameters and resamples them to the picture at hand. The Swin family is told the size, and keeps
its windows. In both the parameters' shapes stay, so that one set of weights, and one optimiser,
serves all stages of a run.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import timm
from timm.layers import NormMlpClassifierHead
from timm.models.eva import Eva
from timm.models.focalnet import FocalNet
from timm.models.resnet import Bottleneck, ResNet
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from cairn.config import ModelConfig, Preprocess
from cairn.errors import CairnError, nearest
from cairn.layers import GlobalContext
from cairn.weights import check_fit, hub_overlay

HOUSE: dict[str, partial[Any]] = {
    "resnext_small": partial(
        ResNet,
        Bottleneck,
        layers=(1, 2, 2, 1),
        channels=(32, 64, 128, 256),
        cardinality=32,
        base_width=4,
        output_stride=16,
    ),
    "focalnet_small": partial(FocalNet, depths=(1, 1, 2, 1), embed_dim=48),
}
"""Small backbones of our own, for small input: the house model with a finer last map, and a
FocalNet (timm's builders let no shape be changed)."""


def build_backbone(config: ModelConfig, *, pretrained: bool = False) -> nn.Module:
    """Return the backbone of ``config`` for its image size, without a classifier.

    Args:
        config: Names it, its arguments and the image size.
        pretrained: With timm's published weights, instead of random ones.

    Raises:
        CairnError: Unknown backbone, a switch it does not have, an image size that does not suit
            it, weights that cannot be had.
    """
    _check_known(config, pretrained=pretrained)
    arguments = dict(config.backbone_args)
    if config.gc:
        blocks = arguments.get("block_args") or {}
        arguments["block_args"] = {**blocks, "attn_layer": _global_context}
    arguments = {**_size_arguments(config), **arguments}
    overlay = hub_overlay(config.backbone) if pretrained else {}
    try:
        if config.backbone in HOUSE:
            backbone = HOUSE[config.backbone](num_classes=0, **arguments)
        else:
            if pretrained and config.backbone_args:
                _check_stock(config)
            backbone = timm.create_model(
                config.backbone,
                pretrained=pretrained,
                pretrained_cfg_overlay=overlay,
                num_classes=0,
                **arguments,
            )
    except CairnError:
        raise
    except Exception as error:  # a constructor with arguments not its own raises nearly anything
        reason = str(error).partition("\n")[0][:200]
        raise CairnError(
            f"cannot make {config.backbone}: {reason}",
            where="model",
            todo="without a network, download the weights elsewhere and give "
            "model.weights = 'file.safetensors'"
            if pretrained
            else "check model.backbone_args",
        ) from error
    assert isinstance(backbone, nn.Module)
    for module in backbone.modules():
        if isinstance(module, GlobalContext):
            module.reset()  # timm's ResNet re-initialises every convolution after construction
    if "img_size" not in config.backbone_args:
        _check_patches(backbone, config.preprocess.image_size)
    if config.preprocess.scales != (1.0,):
        _check_scales(backbone, config.preprocess)
    return backbone


def set_image_size(backbone: nn.Module, side: int) -> None:
    """Make ``backbone`` take pictures of ``side`` x ``side`` from now on; its parameters stay.

    Raises:
        CairnError: The size does not suit it, or its parameters are tied to the one it has.
    """
    _check_patches(backbone, side)
    if _is_dynamic(backbone):
        return
    name = type(backbone).__name__
    if not hasattr(backbone, "set_input_size"):
        settings = getattr(backbone, "pretrained_cfg", None) or {}
        if settings.get("fixed_input_size"):
            raise CairnError(
                f"{name} keeps the image size it was made with",
                where=f"image_size = {side}",
                todo="leave model.preprocess.image_size out of the stages",
            )
        return
    before = {key: value.shape for key, value in backbone.named_parameters()}
    windows = [w for w in (_window(m) for m in backbone.modules()) if w is not None]
    keep = {"window_size": max(windows)} if windows and _takes_window(backbone) else {}
    backbone.set_input_size(img_size=(side, side), **keep)  # type: ignore[operator]
    changed = [k for k, v in backbone.named_parameters() if before.get(k) != v.shape]
    if changed:
        raise CairnError(
            f"{name} cannot go to {side} px with the parameters it has: {changed[0]} depends on "
            "the image size",
            where=f"image_size = {side}",
            todo=f"let no stage have a last map smaller than a window ({max(windows)} positions)"
            if windows
            else "leave model.preprocess.image_size out of the stages",
        )


def positions(backbone: nn.Module, features: Tensor | list[Tensor]) -> Tensor:
    """Return what ``backbone.forward_features`` gave as (B, C, H, W), for pooling over H and W.

    Class and register tokens are left out; the patch tokens come as (B, C, N, 1). A few backbones
    (CrossViT, EfficientViM) give a list of features, in which no one map is the last.

    Raises:
        CairnError: The backbone does not say which of its tokens are patches.
    """
    if isinstance(features, Tensor) and features.ndim == 4:
        if getattr(backbone, "output_fmt", "NCHW") == "NHWC":  # Swin and its kin
            return features.permute(0, 3, 1, 2)
        return features
    first = getattr(backbone, "num_prefix_tokens", None)
    if isinstance(features, list) or features.ndim != 3 or first is None:
        raise CairnError(
            f"{type(backbone).__name__} does not tell which of its features are positions",
            where="model.pool",
            todo="set model.pool = 'own'",
        )
    return features[:, first:].transpose(1, 2).unsqueeze(3)


def normalized(backbone: nn.Module, pooled_BC: Tensor) -> Tensor:
    """Return pooled features after the norm that the backbone itself has behind its pooling."""
    norm = pooled_norm(backbone)
    if norm is None:
        return pooled_BC
    if not isinstance(getattr(backbone, "head", None), NormMlpClassifierHead):
        rows: Tensor = norm(pooled_BC)
        return rows
    maps: Tensor = norm(pooled_BC[:, :, None, None])
    return maps.flatten(1)


def pooled_norm(backbone: nn.Module) -> nn.Module | None:
    """Return the norm that a backbone has behind its pooling; None where it has none.

    Vision transformers that average tokens (``fc_norm``) and ConvNeXt have one.
    """
    norm = getattr(backbone, "fc_norm", None)
    if isinstance(norm, nn.Module):
        return norm
    head = getattr(backbone, "head", None)
    behind = head.norm if isinstance(head, NormMlpClassifierHead) else None
    return behind if isinstance(behind, nn.Module) else None


def pooled_width(backbone: nn.Module, pool: str) -> int:
    """Return the number of features behind ``pool``: some backbones widen behind their own."""
    width = backbone.num_features
    if pool == "own":
        width = getattr(backbone, "head_hidden_size", None) or width
    assert isinstance(width, int)
    return width


def _check_known(config: ModelConfig, *, pretrained: bool) -> None:
    if config.backbone in HOUSE:
        if pretrained:
            raise CairnError(f"{config.backbone} has no ImageNet weights", where="model.weights")
        if config.gc and _family(config.backbone) is not ResNet:
            raise _no_blocks(config)
        return
    if not timm.is_model(config.backbone):
        raise CairnError(
            f"no backbone {config.backbone!r}",
            where="model.backbone",
            todo=nearest(config.backbone, [*timm.list_models(), *HOUSE])[:200],
        )
    _, _, tag = config.backbone.partition(".")
    if tag and config.backbone not in (known := timm.list_pretrained()):
        raise CairnError(
            f"no weights {tag!r} for {config.backbone.partition('.')[0]}",
            where="model.backbone",
            todo=nearest(config.backbone, known)[:200],
        )
    if config.gc and _family(config.backbone) is not ResNet:
        raise _no_blocks(config)


def _no_blocks(config: ModelConfig) -> CairnError:
    return CairnError(
        f"{config.backbone} has no residual blocks that take a Global Context block",
        where="model.gc",
        todo="set model.gc = false, or choose a backbone of timm's ResNet family",
    )


def _family(name: str) -> type | None:
    """Return the class that timm's entry point ``name`` says it makes."""
    if name in HOUSE:
        own = HOUSE[name].func
        return own if isinstance(own, type) else None
    entry = timm.model_entrypoint(name)
    made = inspect.signature(entry).return_annotation
    if isinstance(made, str):
        made = getattr(inspect.getmodule(entry), made, None)
    return made if isinstance(made, type) else None


def _size_arguments(config: ModelConfig) -> dict[str, Any]:
    if config.backbone in HOUSE:
        return {}
    family = _family(config.backbone)
    resamples = family is not None and issubclass(family, (VisionTransformer, Eva))
    if resamples and config.backbone_args.get("dynamic_img_size", True):
        takes = inspect.signature(family.__init__).parameters  # type: ignore[misc]
        if "dynamic_img_size" in takes:
            return {"dynamic_img_size": True}
    settings = timm.get_pretrained_cfg(config.backbone)
    fixed = settings is not None and settings.fixed_input_size
    return {"img_size": config.preprocess.image_size} if fixed else {}


def _is_dynamic(backbone: nn.Module) -> bool:
    return isinstance(backbone, (VisionTransformer, Eva)) and bool(backbone.dynamic_img_size)


def _check_patches(backbone: nn.Module, side: int) -> None:
    edge = _patch(backbone)
    if edge and side % edge:
        below = side // edge * edge
        raise CairnError(
            f"{type(backbone).__name__} cuts pictures into patches of {edge} px, which "
            f"{side} px is no multiple of",
            where="model.preprocess.image_size",
            todo=f"set it to {below or edge} or {below + edge}",
        )


def _patch(backbone: nn.Module) -> int | None:
    """Return the side of the patches that a backbone cuts pictures into, where it does."""
    patch = getattr(getattr(backbone, "patch_embed", None), "patch_size", None)
    return patch if patch is None or isinstance(patch, int) else max(patch)


def _check_scales(backbone: nn.Module, preprocess: Preprocess) -> None:
    """Raise unless ``backbone`` takes pictures of all sides with the parameters it has."""
    name, settings = type(backbone).__name__, getattr(backbone, "pretrained_cfg", None) or {}
    if settings.get("fixed_input_size") and not _is_dynamic(backbone):
        raise CairnError(
            f"{name} takes pictures of one size only, so it cannot look at several scales",
            where=f"model.preprocess.scales = {preprocess.scales}",
            todo="leave scales out; mirror images (flip) suit every backbone",
        )
    for scale, side in zip(preprocess.scales, preprocess.sides, strict=True):
        try:
            _check_patches(backbone, side)
        except CairnError as error:
            edge = _patch(backbone) or 1
            below = max(side // edge, 1) * edge
            near = [round(one / preprocess.image_size, 4) for one in (below, below + edge)]
            raise CairnError(
                error.what,
                where=f"scale {scale} in model.preprocess.scales",
                todo=f"set it to {near[0]} or {near[1]}",
            ) from None


def _window(module: nn.Module) -> int | None:
    """Return the side of the attention windows of a Swin block."""
    window = getattr(module, "window_size", None)
    return max(window) if isinstance(window, tuple) else None


def _takes_window(backbone: nn.Module) -> bool:
    return "window_size" in inspect.signature(backbone.set_input_size).parameters  # type: ignore[arg-type]


def _check_stock(config: ModelConfig) -> None:
    """Raise unless the published weights cover the network that ``backbone_args`` shape."""
    import torch

    with torch.device("meta"):
        plain = timm.create_model(config.backbone, num_classes=0)
        shaped = timm.create_model(config.backbone, num_classes=0, **config.backbone_args)
    names = {key: torch.empty(0, device="meta") for key in plain.state_dict()}
    check_fit(
        {key: torch.empty(0, device="meta") for key in shaped.state_dict()},
        names,
        where=f"{config.backbone} with model.backbone_args",
    )


def _global_context(channels: int, **_: Any) -> GlobalContext:
    """Make the block for timm, which also hands over device and dtype (None here)."""
    return GlobalContext(channels)
