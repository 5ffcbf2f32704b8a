"""Photographs to model input: the fixed evaluation transform and the random training one.

Both take an upright RGB image and give float32 (3, S, S), normalised as the weights expect. The
geometry is one resample from a box of the photograph; colours change as one pass over the pixels.
Evaluation may show two views of a photograph; training always shows one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cairn.config import AugmentConfig, Preprocess
from cairn.domain import Float32

_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_GRAY = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601 luma
Box = tuple[float, float, float, float]


def eval_transform(preprocess: Preprocess) -> Callable[[Image.Image], Float32]:
    """Return the transform that embedding uses: no randomness.

    Returns:
        A function from an RGB image to float32 of ``preprocess.input_shape``.
    """

    def view(image: Image.Image, *, crop: bool) -> Float32:
        box = _center_box(image, preprocess.crop_pct) if crop else _whole_box(image)
        return _normalise(_resample(image, box, preprocess), preprocess)

    def transform(image: Image.Image) -> Float32:
        if preprocess.resize == "both":
            return np.stack([view(image, crop=True), view(image, crop=False)])
        return view(image, crop=preprocess.resize == "crop")

    return transform


def train_transform(
    preprocess: Preprocess, config: AugmentConfig
) -> Callable[[Image.Image, np.random.Generator], Float32]:
    """Return the transform that training uses; all its randomness comes from the generator.

    Returns:
        A function from an RGB image and a generator to float32 (3, S, S).
    """

    def transform(image: Image.Image, rng: np.random.Generator) -> Float32:
        pixels_HWC = _resample(image, _random_box(image, config, rng), preprocess)
        if rng.random() < config.flip:
            pixels_HWC = pixels_HWC[:, ::-1]
        pixels_HWC = _jitter(pixels_HWC, config, rng)
        array = _normalise(pixels_HWC, preprocess)
        if rng.random() < config.erase:
            _erase(array, rng)
        return array

    return transform


def decode_side(preprocess: Preprocess, config: AugmentConfig | None = None) -> int:
    """Return the shorter side, in pixels, that a decoder must keep for no detail to be lost."""
    share = preprocess.crop_pct if preprocess.resize != "squash" else 1.0
    if config is not None:
        share = min(share, math.sqrt(config.crop_scale[0]))
    return math.ceil(preprocess.image_size / share)


def _whole_box(image: Image.Image) -> Box:
    return 0.0, 0.0, float(image.width), float(image.height)


def _center_box(image: Image.Image, crop_pct: float) -> Box:
    side = min(image.size) * crop_pct
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return left, top, left + side, top + side


def _random_box(image: Image.Image, config: AugmentConfig, rng: np.random.Generator) -> Box:
    """Return a random crop: share of the area and change of aspect ratio, log-uniform."""
    share = rng.uniform(*config.crop_scale)
    ratio = math.exp(rng.uniform(*np.log(config.crop_ratio)))
    width = min(1.0, math.sqrt(share * ratio)) * image.width
    height = min(1.0, math.sqrt(share / ratio)) * image.height
    left = rng.uniform(0, image.width - width) if width < image.width else 0.0
    top = rng.uniform(0, image.height - height) if height < image.height else 0.0
    return left, top, min(left + width, image.width), min(top + height, image.height)


def _resample(image: Image.Image, box: Box, preprocess: Preprocess) -> Float32:
    """Return the box as float32 (S, S, 3) in [0, 1]."""
    side = preprocess.image_size
    small = image.resize((side, side), _FILTERS[preprocess.interpolation], box, reducing_gap=3.0)
    return np.asarray(small, dtype=np.float32) / np.float32(255)


def _normalise(pixels_HWC: Float32, preprocess: Preprocess) -> Float32:
    mean = np.asarray(preprocess.mean, dtype=np.float32)
    std = np.asarray(preprocess.std, dtype=np.float32)
    return np.ascontiguousarray(((pixels_HWC - mean) / std).transpose(2, 0, 1))


def _jitter(pixels_HWC: Float32, config: AugmentConfig, rng: np.random.Generator) -> Float32:
    """Change brightness, contrast and saturation, each by a random factor about 1."""
    brightness = 1 + rng.uniform(-1, 1) * config.brightness
    contrast = 1 + rng.uniform(-1, 1) * config.contrast
    saturation = 1 + rng.uniform(-1, 1) * config.saturation
    if rng.random() < config.grayscale:
        saturation = 0.0
    pixels: NDArray[np.float32] = pixels_HWC * np.float32(brightness)
    gray = pixels @ _GRAY
    mean = gray.mean()
    colour = np.float32(contrast * saturation)
    fixed = (gray * np.float32(contrast - contrast * saturation) + (1 - contrast) * mean)[..., None]
    clipped: Float32 = np.clip(pixels * colour + fixed, 0, 1).astype(np.float32, copy=False)
    return clipped


def _erase(array_CHW: Float32, rng: np.random.Generator) -> None:
    """Blank a rectangle of 2-25 % of the area to the mean colour, in place."""
    side = array_CHW.shape[1]
    share, ratio = rng.uniform(0.02, 0.25), math.exp(rng.uniform(-1.2, 1.2))
    height = min(side, max(1, round(side * math.sqrt(share * ratio))))
    width = min(side, max(1, round(side * math.sqrt(share / ratio))))
    top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    array_CHW[:, top : top + height, left : left + width] = 0.0
