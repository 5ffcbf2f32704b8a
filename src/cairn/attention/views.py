"""What a model sees of a photograph, view by view, and where each view lies in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
        is_mirrored: Left and right are exchanged.
    """

    images: Tensor
    box: Box
    side: int
    is_mirrored: bool = False


def opened(image: Photograph) -> Image.Image:
    """Return the photograph upright, as RGB, in its own size.

    Raises:
        UnreadableImage: It cannot be read.
    """
    return as_decoded(image) if isinstance(image, Image.Image) else decode(image)


def shown(model: Embedder, image: Photograph, *, side: int | None = None) -> list[View]:
    """Return the views whose pooled features the model averages: a centre crop, all of it, or both.

    They are of the model's own size, or of ``side`` pixels, and not mirrored.

    Raises:
        UnreadableImage: The photograph cannot be read.
    """
    picture = opened(image)
    preprocess = model.preprocess.at(side or model.preprocess.image_size)
    device = next(model.parameters()).device
    batch = torch.from_numpy(eval_transform(preprocess)(picture)).to(device)
    cropped = crop_box(picture.size, preprocess)
    boxes = {"crop": [cropped], "squash": [_WHOLE], "both": [cropped, _WHOLE]}[preprocess.resize]
    pictures = batch.view(-1, 3, preprocess.image_size, preprocess.image_size)
    return [
        View(one[None], box, preprocess.image_size)
        for one, box in zip(pictures, boxes, strict=True)
    ]


def looks(model: Embedder, image: Photograph) -> list[list[View]]:
    """Return the views of each scale, and mirrored: an embedding each, which the model averages.

    A model without further scales and mirror images (``cairn.views``) looks once.

    Raises:
        UnreadableImage: The photograph cannot be read.
    """
    picture = opened(image)
    found = [shown(model, picture, side=side) for side in model.preprocess.sides]
    if model.preprocess.flip:
        found += [
            [replace(one, images=one.images.flip(-1), is_mirrored=True) for one in views]
            for views in found
        ]
    return found
