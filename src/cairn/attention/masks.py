"""The attention of Global Context blocks over a photograph."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch

from cairn.attention.placing import PlacedMap, watching
from cairn.attention.views import Photograph, shown
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.layers import GlobalContext
from cairn.model import Embedder

_BLOCK = re.compile(r"layer(\d+)\.(\d+)\.")  # how timm's ResNet family names its blocks


def context_masks(model: Embedder, image: Photograph) -> dict[str, PlacedMap]:
    """Return the attention of each Global Context block, as ``stage1/block1`` and so on.

    A block gathers its context by one map over all positions, which sums to one (Cao et al.,
    "GCNet", 2019). The values here are times the even share: 1 everywhere is no preference. Stages
    and blocks count from the input, from 1.

    Of several views of the photograph, that of all of it at the model's own size is looked at.

    Args:
        model: An embedder with Global Context blocks.
        image: The photograph.

    Raises:
        CairnError: The model has no Global Context block.
        UnreadableImage: The photograph cannot be read.
    """
    blocks = {
        _name(path): module
        for path, module in model.backbone.named_modules()
        if isinstance(module, GlobalContext)
    }
    if not blocks:
        raise CairnError(
            "this model has no Global Context blocks, so no attention of its own",
            todo="give a photograph to compare with: a similarity map works for any model",
        )
    view = shown(model, image)[-1]
    before = [block.keep_mask for block in blocks.values()]
    try:
        for block in blocks.values():
            block.keep_mask = True
        with torch.inference_mode(), watching(model.backbone, view.side) as geometry:
            model.eval().features(view.images)
        found = {}
        for name, block in blocks.items():
            assert block.last_mask is not None
            mask: Float32 = block.last_mask[0].float().cpu().numpy()
            found[name] = geometry.placed(mask * np.float32(mask.size), view.box)
        return found
    finally:
        for block, keep in zip(blocks.values(), before, strict=True):
            block.keep_mask, block.last_mask = keep, None


def stage_masks(masks: Mapping[str, PlacedMap]) -> dict[str, PlacedMap]:
    """Return one map a stage: the mean of its blocks' maps, which share a grid."""
    stages: dict[str, list[PlacedMap]] = {}
    for name, placed in masks.items():
        stages.setdefault(name.partition("/")[0], []).append(placed)
    return {
        name: PlacedMap(
            np.mean(
                [one.values for one in own if one.values.shape == own[-1].values.shape], axis=0
            ),
            own[-1].box,
            own[-1].down,
            own[-1].across,
            own[-1].side,
        )
        for name, own in stages.items()
    }


def _name(path: str) -> str:
    found = _BLOCK.search(path + ".")
    return f"stage{found[1]}/block{int(found[2]) + 1}" if found else path.replace(".", "/")
