"""Maps as colour over a photograph, legible over light and dark ones.

The photograph turns grey and its contrast is halved, so that colour is the map's alone. Maps from 0
up take magma, whose steps look even and which goes from dark to light, so that it prints in grey;
signed maps take a diverging one (Moreland, "Diverging color maps for scientific visualization",
2009), red for and blue against, laid on as strongly as the value is far from 0. What the model did
not see stays dark grey.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from cairn.augment import LUMA
from cairn.domain import Float32

_OPACITY = 0.72
_GREY = 0.28, 0.5  # darkest and range of the photograph's grey
_UNSEEN = 0.4  # of that grey


def overlay(
    image: Image.Image, map_HW: Float32, *, low: float = 0.0, high: float | None = None
) -> Image.Image:
    """Return the photograph with a map of values from ``low`` up over it.

    Args:
        image: RGB.
        map_HW: One value a pixel; NaN where the model did not see.
        low: The value that gets the darkest colour.
        high: The value that gets the brightest colour; by default the map's largest.
    """
    top = _largest(map_HW) if high is None else high
    strength = np.clip((np.nan_to_num(map_HW) - low) / np.float32(top - low or 1.0), 0, 1)
    return _blend(image, map_HW, _colours("magma", strength), np.full_like(map_HW, _OPACITY))


def overlay_signed(
    image: Image.Image, map_HW: Float32, *, high: float | None = None
) -> Image.Image:
    """Return the photograph with a signed map over it: red above 0, blue below, clear at 0.

    Args:
        image: RGB.
        map_HW: One value a pixel; NaN where the model did not see.
        high: The absolute value that gets the strongest colour; by default the map's largest.
    """
    top = _largest(np.abs(map_HW)) if high is None else high
    values = np.clip(np.nan_to_num(map_HW) / np.float32(top or 1.0), -1, 1)
    colours = _colours("coolwarm", 0.5 + 0.5 * np.sign(values) * np.abs(values) ** 0.5)
    return _blend(image, map_HW, colours, np.abs(values) ** 0.7 * np.float32(_OPACITY + 0.1))


def _largest(map_HW: Float32) -> float:
    found = map_HW[~np.isnan(map_HW)]
    return float(found.max()) if found.size else 0.0


def _colours(name: str, values_HW: Float32) -> Float32:
    from matplotlib import colormaps

    return np.asarray(colormaps[name](values_HW)[..., :3], dtype=np.float32)


def _blend(
    image: Image.Image, map_HW: Float32, colours_HW3: Float32, opacity_HW: Float32
) -> Image.Image:
    pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
    darkest, spread = _GREY
    grey_HW = darkest + spread * (pixels @ np.array(LUMA, dtype=np.float32))
    unseen_HW = np.isnan(map_HW)
    share = np.where(unseen_HW, 0, opacity_HW)[..., None]
    mixed = colours_HW3 * share + grey_HW[..., None] * (1 - share)
    mixed[unseen_HW] = _UNSEEN * grey_HW[unseen_HW, None]
    return Image.fromarray(np.rint(np.clip(mixed, 0, 1) * 255).astype(np.uint8))
