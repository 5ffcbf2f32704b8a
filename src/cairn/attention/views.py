"""What a model sees of a photograph, view by view, and where each view lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import torch
from PIL import Image
from torch import Tensor

from cairn.augment import Box, crop_box, eval_transform
from cairn.embed import as_decoded
from cairn.images import decode
from cairn.model import Embedder

Photograph: TypeAlias = Path | bytes | Image.Image
"""A file, the bytes of one, or an opened picture."""

_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class View:
    """One view.

    Args:
        images: (1, 3, S, S), normalised, on the model's device.
        box: What of the photograph it shows, as shares of its sides.
        side: S.
    """

    images: Tensor
    box: Box
    side: int


def opened(image: Photograph) -> Image.Image:
    """Return the photograph upright, as RGB, in its own size.

    Raises:
        UnreadableImage: It cannot be read.
    """
    return as_decoded(image) if isinstance(image, Image.Image) else decode(image)


def shown(model: Embedder, image: Photograph) -> list[View]:
    """Return the views whose pooled features the model averages: a centre crop, all of it, or both.

    Mirror images and further scales of a finished model (``cairn.views``) are left out.

    Raises:
        UnreadableImage: The photograph cannot be read.
    """
    picture = opened(image)
    preprocess = model.preprocess.at(model.preprocess.image_size)
    device = next(model.parameters()).device
    batch = torch.from_numpy(eval_transform(preprocess)(picture)).to(device)
    cropped = crop_box(picture.size, preprocess)
    boxes = {"crop": [cropped], "squash": [_WHOLE], "both": [cropped, _WHOLE]}[preprocess.resize]
    side = preprocess.image_size
    pictures = batch.view(-1, 3, side, side)
    return [View(one[None], box, side) for one, box in zip(pictures, boxes, strict=True)]
