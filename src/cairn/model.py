"""The embedder: backbone -> pooling -> neck -> a vector of unit length.

Unit length is made here and nowhere else. The house model is timm's ResNeXt with a Global Context
block in every residual block of every stage and GeM on top.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from cairn.config import ModelConfig
from cairn.errors import CairnError, nearest
from cairn.layers import AveragePool, GeM, GlobalContext
from cairn.necks import build_neck

SMALL: dict[str, Any] = {
    "layers": (1, 2, 2, 1),
    "channels": (32, 64, 128, 256),
    "cardinality": 32,
    "base_width": 4,
    "output_stride": 16,
}
"""Shape of ``resnext_small``: the house model, small, with a finer last map for small input."""


class Embedder(nn.Module):
    """Images (B, 3, H, W), normalised, -> embeddings (B, D), float32, unit length.

    Given (B, V, 3, H, W), V views of each photograph, it averages their pooled features.

    Args:
        backbone: A timm model without a classifier.
        num_features: Channels that the backbone gives.
        config: Pooling, neck and dimension.
    """

    def __init__(self, backbone: nn.Module, num_features: int, config: ModelConfig) -> None:
        super().__init__()
        self.backbone = backbone
        self.pool: nn.Module = GeM(config.gem_p) if config.pool == "gem" else AveragePool()
        self.neck = build_neck(config, num_features)

    def features(self, images_BCHW: Tensor) -> Tensor:
        """Return the pooled features (B, F) before the neck, float32."""
        if images_BCHW.ndim == 5:
            pooled = self.features(images_BCHW.flatten(0, 1))
            return pooled.reshape(-1, images_BCHW.shape[1], pooled.shape[1]).mean(dim=1)
        images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
        features = self.backbone.forward_features(images_BCHW)  # type: ignore[operator]
        if features.ndim == 4:
            if getattr(self.backbone, "output_fmt", "NCHW") == "NHWC":  # Swin and its kin
                features = features.permute(0, 3, 1, 2)
            return self.pool(features)  # type: ignore[no-any-return]
        tokens: Tensor = self.backbone.forward_head(features, pre_logits=True)  # type: ignore[operator]
        return tokens.float()

    def project(self, features_BF: Tensor) -> Tensor:
        """Return embeddings (B, D) of unit length for pooled features."""
        with torch.autocast(features_BF.device.type, enabled=False):
            return F.normalize(self.neck(features_BF.float()), dim=1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return embeddings (B, D) of unit length."""
        return self.project(self.features(images_BCHW))


def build(config: ModelConfig) -> Embedder:
    """Return the embedder that ``config`` describes, with its weights loaded where it names some.

    Raises:
        CairnError: Unknown backbone, a switch it does not have, weights that do not fit or cannot
            be had.
    """
    model = assemble(config, pretrained=config.weights == "imagenet")
    if config.weights is not None and config.weights != "imagenet":
        _load_backbone(model.backbone, Path(config.weights))
    return model


def assemble(config: ModelConfig, *, pretrained: bool = False) -> Embedder:
    """Return the architecture of ``config``; weights are random unless ``pretrained``."""
    backbone = _backbone(config, pretrained=pretrained)
    for module in backbone.modules():
        if isinstance(module, GlobalContext):
            module.reset()  # timm's ResNet re-initialises every convolution after construction
    num_features = backbone.num_features
    assert isinstance(num_features, int)
    return Embedder(backbone, num_features, config)


def _backbone(config: ModelConfig, *, pretrained: bool) -> nn.Module:
    arguments = dict(config.backbone_args)
    if config.gc:
        blocks = arguments.get("block_args") or {}
        arguments["block_args"] = {**blocks, "attn_layer": _global_context}
    if config.backbone == "resnext_small":
        if pretrained:
            raise CairnError("resnext_small has no ImageNet weights", where="model.weights")
    elif not timm.is_model(config.backbone):
        raise CairnError(
            f"no backbone {config.backbone!r}",
            where="model.backbone",
            todo=nearest(config.backbone, [*timm.list_models(), "resnext_small"])[:200],
        )
    elif config.gc and not _is_resnet(config.backbone):
        raise CairnError(
            f"{config.backbone} has no residual blocks that take a Global Context block",
            where="model.gc",
            todo="set model.gc = false, or choose a backbone of timm's ResNet family",
        )
    try:
        if config.backbone == "resnext_small":
            backbone = ResNet(Bottleneck, num_classes=0, **{**SMALL, **arguments})
        else:
            backbone = timm.create_model(
                config.backbone, pretrained=pretrained, num_classes=0, **arguments
            )
    except (OSError, RuntimeError, TypeError, ValueError, AssertionError) as error:
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
    return backbone


def _global_context(channels: int, **_: Any) -> GlobalContext:
    """Make the block for timm, which also hands over device and dtype (None here)."""
    return GlobalContext(channels)


def _is_resnet(name: str) -> bool:
    return inspect.signature(timm.model_entrypoint(name)).return_annotation in (ResNet, "ResNet")


def _load_backbone(backbone: nn.Module, path: Path) -> None:
    """Load a safetensors file in timm's names; classifier and Global Context may be absent."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CairnError(f"cannot read the weights: {error}", where=path) from None
    own = backbone.state_dict()
    fresh = {
        f"{name}.{key}"
        for name, module in backbone.named_modules()
        if isinstance(module, GlobalContext)
        for key in module.state_dict()
    }
    missing = [
        k
        for k in own
        if k not in weights and k not in fresh and not k.endswith("num_batches_tracked")
    ]
    misfit = [k for k, v in weights.items() if k in own and own[k].shape != v.shape]
    if missing or misfit:
        raise CairnError(
            f"the weights do not fit: {len(missing)} missing (such as {missing[:2]}), "
            f"{len(misfit)} of another shape (such as {misfit[:2]})",
            where=path,
            todo="check model.backbone and model.backbone_args",
        )
    backbone.load_state_dict({k: v.float() for k, v in weights.items() if k in own}, strict=False)
