"""The embedder: backbone -> pooling -> neck -> a vector of unit length.

Unit length is made here and nowhere else. The house model is timm's ResNeXt with a Global Context
block in every residual block of every stage and GeM on top.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cairn.backbones import (
    build_backbone,
    normalized,
    pooled_width,
    positions,
    set_image_size,
)
from cairn.config import ModelConfig, Preprocess
from cairn.layers import build_pool
from cairn.necks import build_neck
from cairn.weights import check_fit, fit_backbone, read_config, read_weights


class Embedder(nn.Module):
    """Images (B, 3, H, W), normalised, -> embeddings (B, D), float32, unit length.

    Given (B, 2, 3, H, W), two views of each photograph, it averages their pooled features. Where
    the preprocessing has scales or mirror images, ``forward`` takes (B, V, 3, H, W) as
    ``Preprocess.input_shape`` says and averages the embeddings of these at unit length, as DELG
    does with its global descriptors (Cao, Araujo and Sim 2020; after Radenovic et al. 2018).

    Args:
        backbone: A timm model without a classifier.
        num_features: Features F behind the pooling.
        config: Pooling, neck and dimension.
    """

    def __init__(self, backbone: nn.Module, num_features: int, config: ModelConfig) -> None:
        super().__init__()
        self.backbone = backbone
        self.pool = build_pool(config)  # None: the backbone's own
        self.neck = build_neck(config, num_features)
        self.preprocess = config.preprocess

    def set_image_size(self, side: int) -> None:
        """Take pictures of ``side`` x ``side`` from now on, with the same parameters.

        Raises:
            CairnError: The size does not suit the backbone.
        """
        set_image_size(self.backbone, side)

    def features(self, images_BCHW: Tensor) -> Tensor:
        """Return the pooled features (B, F) before the neck, float32."""
        if images_BCHW.ndim == 5:
            pooled = self.features(images_BCHW.flatten(0, 1))
            return pooled.reshape(-1, images_BCHW.shape[1], pooled.shape[1]).mean(dim=1)
        images_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.backbone.forward_features(images_BCHW)  # type: ignore[operator]
        if self.pool is None:
            own: Tensor = self.backbone.forward_head(features, pre_logits=True)  # type: ignore[operator]
            return own.float()
        return normalized(self.backbone, self.pool(positions(self.backbone, features))).float()

    def project(self, features_BF: Tensor) -> Tensor:
        """Return embeddings (B, D) of unit length for pooled features."""
        with torch.autocast(features_BF.device.type, enabled=False):
            return F.normalize(self.neck(features_BF.float()), dim=1)

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return embeddings (B, D) of unit length."""
        if not self.preprocess.has_views:
            return self.project(self.features(images_BCHW))
        views = self._views(images_BCHW)
        if self.preprocess.flip:
            views += [view.flip(-1) for view in views]
        embedded = [self.project(self.features(view)) for view in views]
        return F.normalize(torch.stack(embedded).sum(dim=0), dim=1)

    def _views(self, images_BVCHW: Tensor) -> list[Tensor]:
        """Return the pictures of each scale, cut out of the squares that they were laid in."""
        sides = self.preprocess.sides
        if len(sides) == 1:
            return [images_BVCHW]
        each = images_BVCHW.shape[1] // len(sides)
        views = []
        for number, side in enumerate(sides):
            of_scale = images_BVCHW[:, number * each : (number + 1) * each, :, :side, :side]
            views.append(of_scale if each > 1 else of_scale[:, 0])
        return views


def build(config: ModelConfig) -> Embedder:
    """Return the embedder that ``config`` describes, with its weights loaded where it names some.

    ``weights`` may be ``imagenet`` or a safetensors file in timm's names, for the backbone, or a
    Cairn model folder, for the whole embedder.

    Raises:
        CairnError: Unknown backbone, a switch it does not have, weights that do not fit or cannot
            be had.
    """
    model = assemble(config, pretrained=config.weights == "imagenet")
    if config.weights is None or config.weights == "imagenet":
        return model
    source = Path(config.weights)
    if not source.is_dir():
        fit_backbone(model.backbone, read_weights(source), where=source)
        return model
    read_config(source)
    weights = read_weights(source / "model.safetensors")
    check_fit(model.state_dict(), weights, where=source)
    model.load_state_dict(weights)
    return model


def assemble(config: ModelConfig, *, pretrained: bool = False) -> Embedder:
    """Return the architecture of ``config``; weights are random unless ``pretrained``."""
    backbone = build_backbone(config, pretrained=pretrained)
    return Embedder(backbone, pooled_width(backbone, config.pool), config)


def resolve(config: ModelConfig) -> ModelConfig:
    """Return ``config`` with every preprocess setting said that it left to its weights.

    Where it names weights, what it leaves out of ``image_size``, ``mean``, ``std``,
    ``interpolation`` and ``crop_pct`` is what timm states for that backbone, and with a Cairn model
    folder what that model was trained with (``resize`` too; not ``flip`` and ``scales``, which are
    for finished models); what it says stays. Without weights the defaults hold.
    """
    if config.weights is None:
        return config
    source = Path(config.weights)
    if config.weights != "imagenet" and source.is_dir():
        own = read_config(source).preprocess.model_dump(exclude={"flip", "scales"})
    elif timm.is_model(config.backbone):
        own = _published(config.backbone)
    else:
        return config
    said = config.preprocess.model_dump(include=config.preprocess.model_fields_set)
    preprocess = Preprocess.model_validate({**own, **said})
    return config.model_copy(update={"preprocess": preprocess})


def _published(backbone: str) -> dict[str, Any]:
    """Return what timm states about the input of a backbone's weights, in `Preprocess` words."""
    stated = timm.get_pretrained_cfg(backbone)
    if stated is None:
        return {}
    own: dict[str, Any] = {
        "image_size": stated.input_size[-1],
        "mean": stated.mean,
        "std": stated.std,
        "crop_pct": stated.crop_pct,
    }
    if stated.interpolation in get_args(Preprocess.model_fields["interpolation"].annotation):
        own["interpolation"] = stated.interpolation
    return own
