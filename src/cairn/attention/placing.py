"""From places of a feature map to places of the photograph.

Two steps are undone. The network's: a cell of a map is centred where its convolutions centre it,
which for padded ones of odd size is not the middle of its tile (stride 32: 16 pixels aside). The
preprocessing's: a centre crop shows the network a square of the photograph, a squashed view all of
it. The module does not know what the maps mean.

Legend of shapes: h x w cells of a map, H x W pixels of the photograph, S side of the input.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from timm.layers import Conv2dSame
from timm.layers.pool2d_same import AvgPool2dSame, MaxPool2dSame
from torch import Tensor, nn

from cairn.augment import Box
from cairn.domain import Float32

_STRIDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_SAME = (Conv2dSame, MaxPool2dSame, AvgPool2dSame)  # pad as TensorFlow does, by the input's size


@dataclass(frozen=True)
class Steps:
    """Centres of cells along one side of a map: cell i is at input pixel ``start + i * stride``."""

    start: float
    stride: float


@dataclass(frozen=True, eq=False)
class PlacedMap:
    """A map and where it lies.

    Args:
        values: (h, w).
        box: Left, top, right and low edge of what the network saw, as shares of the photograph.
        down: Centres of its rows.
        across: Centres of its columns.
        side: S.
    """

    values: Float32
    box: Box
    down: Steps
    across: Steps
    side: int

    def mirrored(self) -> PlacedMap:
        """Return the map of a mirrored view, where its places lie in the photograph itself."""
        last = self.across.start + (self.values.shape[1] - 1) * self.across.stride
        across = Steps(self.side - 1 - last, self.across.stride)
        return replace(self, values=np.ascontiguousarray(self.values[:, ::-1]), across=across)

    def over(self, size: tuple[int, int]) -> Float32:
        """Return the map (H, W) over a photograph of ``size`` (W, H), bilinear; NaN where unseen.

        Beyond the centres of the outermost cells their values hold.
        """
        width, height = size
        rows, unseen_rows = self._cells(height, self.box[1], self.box[3], self.down, 0)
        columns, unseen_columns = self._cells(width, self.box[0], self.box[2], self.across, 1)
        top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
        low = np.minimum(top + 1, self.values.shape[0] - 1)
        right = np.minimum(left + 1, self.values.shape[1] - 1)
        y, x = (rows - top)[:, None], (columns - left)[None]
        values = self.values.astype(np.float64)
        upper = values[top][:, left] * (1 - x) + values[top][:, right] * x
        lower = values[low][:, left] * (1 - x) + values[low][:, right] * x
        placed = upper * (1 - y) + lower * y
        placed[unseen_rows], placed[:, unseen_columns] = np.nan, np.nan
        return np.asarray(placed, dtype=np.float32)

    def _cells(self, length: int, low: float, high: float, steps: Steps, axis: int) -> Any:
        """Return the cell coordinate of each pixel of the photograph, and which are unseen."""
        share = (np.arange(length) + 0.5) / length
        seen = (share - low) / (high - low)
        cells = (seen * self.side - 0.5 - steps.start) / steps.stride
        last = self.values.shape[axis] - 1
        return np.clip(cells, 0, last), (seen < 0) | (seen > 1)


@dataclass
class Geometry:
    """How the maps of a network lie on its input, learned while it runs: see ``watching``."""

    side: int
    shrinks: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)

    def steps(self, cells: int, axis: int) -> Steps:
        """Return where the cells of a map with ``cells`` along ``axis`` (0 down) are centred.

        What shrank the map between known layers, and the cells of transformers, count as tiles.
        """
        length, start, stride = self.side, 0.0, 1.0
        while (length, axis) in self.shrinks and length > cells:
            offset, step = self.shrinks[length, axis]
            after = -(-length // int(step))
            if after < cells:
                break
            start, stride, length = start + stride * offset, stride * step, after
        if length > cells:  # by something that is no convolution, such as merging of patches
            rest = length / cells
            start, stride = start + stride * (rest - 1) / 2, stride * rest
        return Steps(start, stride)

    def placed(self, values: Float32, box: Box) -> PlacedMap:
        """Return a map (h, w) of this network with its place."""
        down, across = (self.steps(cells, axis) for axis, cells in enumerate(values.shape))
        return PlacedMap(values, box, down, across, self.side)


@contextmanager
def watching(network: nn.Module, side: int) -> Iterator[Geometry]:
    """Yield the geometry of ``network``; it is known once an input of ``side`` has gone through.

    Branches side by side (a residual block and its shortcut) shrink the same map; the first counts.
    """
    geometry = Geometry(side)

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        for axis in (0, 1):
            kernel, step, padding, dilation = (
                _of_axis(getattr(module, name, 1), axis)
                for name in ("kernel_size", "stride", "padding", "dilation")
            )
            before = inputs[0].shape[2 + axis]
            reach = dilation * (kernel - 1)
            if step == 1 or (before, axis) in geometry.shrinks:
                continue
            if isinstance(module, _SAME):
                padding = max((-(-before // step) - 1) * step + reach + 1 - before, 0) // 2
            geometry.shrinks[before, axis] = (reach / 2 - padding, step)

    handles = [
        module.register_forward_hook(note)
        for module in network.modules()
        if isinstance(module, _STRIDED)
    ]
    try:
        yield geometry
    finally:
        for handle in handles:
            handle.remove()


def tiles(cells: int, side: int) -> Steps:
    """Return the centres of ``cells`` tiles that cut a side into equal parts."""
    return Steps((side / cells - 1) / 2, side / cells)


def square(positions_CN: Tensor) -> Tensor:
    """Return patch tokens (C, N, 1) as the square grid (C, h, w) that they are; maps stay."""
    channels, height, width = positions_CN.shape
    edge = round((height * width) ** 0.5)
    if width == 1 and height > 1 and edge * edge == height:
        return positions_CN.reshape(channels, edge, edge)
    return positions_CN


def _of_axis(value: Any, axis: int) -> int:
    found = value[axis] if isinstance(value, (tuple, list, torch.Size)) else value
    return int(found) if not isinstance(found, str) else 0
