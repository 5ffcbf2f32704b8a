"""Photographs to model input: the fixed evaluation transform and the random training one.

A training photograph goes three ways, so that each is done where it is cheap: its `Change` is drawn
before it is decoded, and says how much of it the decoder must keep; `cut` takes the crop out of the
decoded picture, as bytes; colours, mirroring and blanking are one pass over the bytes, for a batch
on its device (`change_batch`), or on the processor for each photograph (`cairn.pixels`).

Both transforms give float32 (3, S, S), normalised as the weights expect. Evaluation may show
several views of a photograph; training always shows one.

Legend: S side of the input, B photographs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from cairn.config import AugmentConfig, Preprocess
from cairn.domain import Float32

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601)."""

Pixels = NDArray[np.uint8]
Box = tuple[float, float, float, float]
"""Left, top, right, low; as shares of the photograph's width and height."""

_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
_LONGEST = 4  # times the shorter side: beyond it the ends are cut off before the middle is scaled
_SPARE = 1.3
"""Mean cosine to embeddings without a decoder's scales, small photographs: 0.988 to 0.994 at 1,
0.990 to 0.998 at 1.15, 0.996 to 0.999 at 1.3 (docs/log.md)."""
_ENLARGED = 0.875
"""A training crop may be enlarged by 1 / 0.875 from a coarser scale of the decoder; crops of small
photographs are enlarged by more. It saves a quarter of the time on 1600 x 1200 (docs/log.md)."""


@dataclass(frozen=True)
class Change:
    """How one training photograph is changed.

    Args:
        box: The crop.
        mirrored: Whether left and right change places.
        gain: A colour value v of a photograph with mean grey value m becomes ``gain v + gray
            luma(v) + lift m``, within its range.
        gray: See ``gain``.
        lift: See ``gain``.
        blank: Left, top, right and low edge of the blanked rectangle, in pixels of the input; an
            empty one where nothing is blanked.
    """

    box: Box
    mirrored: bool
    gain: float
    gray: float
    lift: float
    blank: tuple[int, int, int, int]


def eval_transform(preprocess: Preprocess) -> Callable[[Image.Image], Float32]:
    """Return the transform that embedding uses: no randomness.

    Returns:
        A function from an RGB image to float32 of ``preprocess.input_shape``.
    """
    scale_3, shift_3 = normalisation(preprocess)
    crops = {"crop": (True,), "squash": (False,), "both": (True, False)}[preprocess.resize]
    views = [(preprocess.at(side), crop) for side in preprocess.sides for crop in crops]

    def show(image: Image.Image, settings: Preprocess, *, crop: bool) -> Float32:
        pixels = _center_crop(image, settings) if crop else cut(image, _WHOLE, settings)
        values = pixels * scale_3[:, None, None]
        values += shift_3[:, None, None]
        return values

    def transform(image: Image.Image) -> Float32:
        shown = [show(image, settings, crop=crop) for settings, crop in views]
        if len(preprocess.sides) == 1:
            return shown[0] if len(shown) == 1 else np.stack(shown)
        squares = np.zeros(preprocess.input_shape, dtype=np.float32)
        for square, values in zip(squares, shown, strict=True):
            square[:, : values.shape[1], : values.shape[2]] = values
        return squares

    return transform


def draw_change(preprocess: Preprocess, config: AugmentConfig, rng: np.random.Generator) -> Change:
    """Return a random change; all its randomness comes from the generator."""
    box = _random_box(config, rng)
    mirrored = bool(rng.random() < config.flip)
    brightness = 1 + rng.uniform(-1, 1) * config.brightness
    contrast = 1 + rng.uniform(-1, 1) * config.contrast
    saturation = 1 + rng.uniform(-1, 1) * config.saturation
    if rng.random() < config.grayscale:
        saturation = 0.0
    blanked = rng.random() < config.erase
    return Change(
        box,
        mirrored,
        gain=brightness * contrast * saturation,
        gray=brightness * contrast * (1 - saturation),
        lift=brightness * (1 - contrast),
        blank=_random_blank(preprocess.image_size, rng) if blanked else (0, 0, 0, 0),
    )


def cut(image: Image.Image, box: Box, preprocess: Preprocess) -> Pixels:
    """Return the box of the photograph, resampled with antialiasing to uint8 (3, S, S).

    The box is rounded to whole pixels of the decoded picture.
    """
    left, right = _span(box[0], box[2], image.width)
    top, low = _span(box[1], box[3], image.height)
    side = preprocess.image_size
    return _resample(np.asarray(image)[top:low, left:right], side, side, preprocess)


def change_table(changes: Sequence[Change]) -> Float32:
    """Return the changes without their boxes as (B, 8): mirrored, gain, gray, lift, blank."""
    rows = [(c.mirrored, c.gain, c.gray, c.lift, *c.blank) for c in changes]
    return np.array(rows, dtype=np.float32).reshape(len(changes), 8)


def change_batch(pixels_B3SS: Tensor, table_BK: Tensor, preprocess: Preprocess) -> Tensor:
    """Return the changed, normalised photographs (B, 3, S, S), float32, channels-last.

    A photograph's result does not hang on the others, to the last bit: sums are of integers, and
    all else is done value by value.

    Args:
        pixels_B3SS: uint8, cut out.
        table_BK: What `change_table` gives, on the same device.
        preprocess: Mean and spread of the colours.
    """
    mirrored, gain, gray, lift, left, top, right, low = table_BK.view(-1, 8, 1, 1, 1).unbind(1)
    side, device = preprocess.image_size, pixels_B3SS.device
    luma = torch.tensor(LUMA, device=device).view(1, 3, 1, 1)
    scale, shift = (
        torch.from_numpy(v).to(device).view(1, 3, 1, 1) for v in normalisation(preprocess)
    )
    sums_B3 = pixels_B3SS.sum(dim=(2, 3), dtype=torch.int64, keepdim=True).double()
    mean = (sums_B3 / side**2 * luma).sum(dim=1, keepdim=True).float()
    values = pixels_B3SS.contiguous(memory_format=torch.channels_last).float()
    values = torch.where(mirrored > 0, values.flip(3), values)
    red, green, blue = (luma[:, i, None] * values[:, i, None] for i in range(3))
    level = gray * (red + green + blue) + lift * mean
    values = (values * gain).add_(level).clamp_(0, 255).mul_(scale).add_(shift)
    place = torch.arange(side, device=device)
    across = (place >= left) & (place < right)  # (B, 1, 1, S)
    down = ((place >= top) & (place < low)).transpose(2, 3)
    return values.masked_fill_(across & down, 0.0).contiguous(memory_format=torch.channels_last)


def normalisation(preprocess: Preprocess) -> tuple[Float32, Float32]:
    """Return scale and shift (3,) that take values of 0 to 255 to normalised ones."""
    mean, std = np.array(preprocess.mean), np.array(preprocess.std)
    return (1 / (255 * std)).astype(np.float32), (-mean / std).astype(np.float32)


def decode_side(preprocess: Preprocess) -> int:
    """Return the shorter side, in pixels, that evaluation's decoder must keep.

    It is more than the input needs: a picture that the decoder has halved and that is then shrunk
    by little is softer than one shrunk at once, which shows in its embedding.
    """
    share = preprocess.crop_pct if preprocess.resize != "squash" else 1.0
    return math.ceil(_SPARE * max(preprocess.sides) / share)


def decode_size(preprocess: Preprocess, box: Box) -> tuple[int, int]:
    """Return the (width, height), in pixels, that the decoder must keep for this training crop."""
    side = _ENLARGED * preprocess.image_size
    return math.ceil(side / (box[2] - box[0])), math.ceil(side / (box[3] - box[1]))


def _center_crop(image: Image.Image, preprocess: Preprocess) -> Pixels:
    """Return the middle of the photograph scaled by its shorter side, uint8 (3, S, S).

    Sides are rounded as torchvision's Resize and CenterCrop round them: weights learned with those,
    and half a pixel shows in the embeddings of small photographs.
    """
    side = preprocess.image_size
    pixels_HWC = np.asarray(image)
    spare_w, spare_h, width, height, left, top = _crop_geometry(image.size, preprocess)
    pixels_HWC = pixels_HWC[spare_h : len(pixels_HWC) - spare_h]
    pixels_HWC = pixels_HWC[:, spare_w : pixels_HWC.shape[1] - spare_w]
    whole = _resample(pixels_HWC, height, width, preprocess)
    return whole[:, top : top + side, left : left + side]


def crop_box(size: tuple[int, int], preprocess: Preprocess) -> Box:
    """Return what the centre crop keeps of a photograph of ``size`` (width, height)."""
    spare_w, spare_h, width, height, left, top = _crop_geometry(size, preprocess)
    side = preprocess.image_size
    edges = []
    for length, spare, scaled, start in (
        (size[0], spare_w, width, left),
        (size[1], spare_h, height, top),
    ):
        kept = length - 2 * spare
        edges.append([(spare + at / scaled * kept) / length for at in (start, start + side)])
    (first, last), (upper, lower) = edges
    return first, upper, last, lower


def _crop_geometry(
    size: tuple[int, int], preprocess: Preprocess
) -> tuple[int, int, int, int, int, int]:
    """Return what is cut off each side, the size it is then scaled to, and where the crop starts.

    All come as width, height, width, height, left, top; the first two in pixels of the photograph.
    """
    side, short = preprocess.image_size, min(size)
    spare_w, spare_h = (
        max(0, n - _LONGEST * short) // 2 if max(size) > _LONGEST * short else 0 for n in size
    )
    kept = math.floor(side / preprocess.crop_pct)
    width, height = (
        kept * (n - 2 * spare) // short for n, spare in zip(size, (spare_w, spare_h), strict=True)
    )
    top, left = round((height - side) / 2), round((width - side) / 2)
    return spare_w, spare_h, width, height, left, top


def _resample(pixels_HWC: Pixels, height: int, width: int, preprocess: Preprocess) -> Pixels:
    """Return the picture at another size with antialiasing, uint8 (3, height, width)."""
    source = torch.from_numpy(np.array(pixels_HWC)).permute(2, 0, 1)[None]
    small = F.interpolate(source, (height, width), mode=preprocess.interpolation, antialias=True)
    return small[0].contiguous().numpy()


def _random_box(config: AugmentConfig, rng: np.random.Generator) -> Box:
    """Return a random crop: share of the area and change of aspect ratio, log-uniform."""
    share = rng.uniform(*config.crop_scale)
    ratio = math.exp(rng.uniform(*np.log(config.crop_ratio)))
    width, height = min(1.0, math.sqrt(share * ratio)), min(1.0, math.sqrt(share / ratio))
    left, top = rng.uniform(0, 1 - width), rng.uniform(0, 1 - height)
    return left, top, min(left + width, 1.0), min(top + height, 1.0)


def _random_blank(side: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Return a rectangle of 2-25 % of the area."""
    share, ratio = rng.uniform(0.02, 0.25), math.exp(rng.uniform(-1.2, 1.2))
    height = min(side, max(1, round(side * math.sqrt(share * ratio))))
    width = min(side, max(1, round(side * math.sqrt(share / ratio))))
    top, left = int(rng.integers(0, side - height + 1)), int(rng.integers(0, side - width + 1))
    return left, top, left + width, top + height


def _span(low: float, high: float, length: int) -> tuple[int, int]:
    """Return the nearest whole pixels, one at least."""
    start = min(round(low * length), length - 1)
    return start, max(start + 1, min(round(high * length), length))
