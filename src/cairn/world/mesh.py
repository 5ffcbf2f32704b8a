"""Triangle soups and the operations that compose them; lengths in metres, z up, front towards -y.

Shapes: T triangles. Texture coordinates are in metres, so one brick is one size everywhere. It
knows nothing of colours: a triangle carries the row number of its material.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int32 = NDArray[np.int32]


@dataclass(frozen=True)
class Mesh:
    """A soup of triangles; nothing is shared between them.

    Args:
        corners: (T, 3, 3) positions.
        normals: (T, 3, 3) unit normals at the corners.
        uvs: (T, 3, 2) texture coordinates in metres.
        materials: (T,) int32 rows of a material table.
    """

    corners: Float64
    normals: Float64
    uvs: Float64
    materials: Int32

    def __len__(self) -> int:
        return int(self.corners.shape[0])

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Mesh:
        """Return this mesh shifted by (x, y, z)."""
        return replace(self, corners=self.corners + np.array([x, y, z]))

    def turned(self, angle: float, axis: str = "z") -> Mesh:
        """Return this mesh rotated about an axis through the origin by ``angle`` radians."""
        c, s = cos(angle), sin(angle)
        turn = {
            "z": np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]),
            "x": np.array([[1, 0, 0], [0, c, s], [0, -s, c]]),
            "y": np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]),
        }[axis]
        return replace(self, corners=self.corners @ turn, normals=self.normals @ turn)

    def scaled(self, x: float, y: float, z: float) -> Mesh:
        """Return this mesh stretched along the axes; texture coordinates stay."""
        factors = np.array([x, y, z], dtype=np.float64)
        return replace(
            self, corners=self.corners * factors, normals=unit(self.normals / np.abs(factors))
        )

    def painted(self, material: int) -> Mesh:
        """Return this mesh with every triangle of one material."""
        return replace(self, materials=np.full(len(self), material, dtype=np.int32))

    def bent(self, radius: float) -> Mesh:
        """Return this mesh wrapped about the z axis: x becomes arc length on ``radius``."""
        angle = self.corners[..., 0] / radius
        reach = radius - self.corners[..., 1]
        c, s = np.cos(angle), np.sin(angle)
        corners = np.stack([reach * s, -reach * c, self.corners[..., 2]], axis=-1)
        nx, ny = self.normals[..., 0], self.normals[..., 1]
        normals = np.stack([nx * c - ny * s, nx * s + ny * c, self.normals[..., 2]], axis=-1)
        return replace(self, corners=corners, normals=normals)

    def twisted(self, radians_per_metre: float) -> Mesh:
        """Return this mesh turned about z in proportion to height."""
        angle = self.corners[..., 2] * radians_per_metre
        c, s = np.cos(angle), np.sin(angle)
        x, y = self.corners[..., 0], self.corners[..., 1]
        corners = np.stack([x * c - y * s, x * s + y * c, self.corners[..., 2]], axis=-1)
        return replace(self, corners=corners, normals=flat_normals(corners))

    def copies(self, places: Sequence[Sequence[float]] | Float64) -> Mesh:
        """Return one copy at every (x, y, z) of ``places``."""
        offsets = np.asarray(places, dtype=np.float64).reshape(-1, 1, 1, 3)
        count = len(offsets)
        return Mesh(
            corners=(self.corners[None] + offsets).reshape(-1, 3, 3),
            normals=np.tile(self.normals, (count, 1, 1)),
            uvs=np.tile(self.uvs, (count, 1, 1)),
            materials=np.tile(self.materials, count),
        )

    def around(self, count: int, phase: float = 0.0) -> Mesh:
        """Return ``count`` copies turned evenly about the z axis."""
        step = 2 * np.pi / count
        return merge([self.turned(phase + step * k) for k in range(count)])


def merge(parts: Sequence[Mesh]) -> Mesh:
    """Return the union of ``parts``; an empty list gives an empty mesh."""
    if not parts:
        none = np.zeros((0, 3, 3))
        return Mesh(none, none, np.zeros((0, 3, 2)), np.zeros(0, dtype=np.int32))
    return Mesh(
        corners=np.concatenate([part.corners for part in parts]),
        normals=np.concatenate([part.normals for part in parts]),
        uvs=np.concatenate([part.uvs for part in parts]),
        materials=np.concatenate([part.materials for part in parts]),
    )


def unit(vectors: Float64) -> Float64:
    """Return ``vectors`` scaled to length one along the last axis; zeros stay zero."""
    length = np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True))
    scaled: Float64 = vectors / np.maximum(length, 1e-12)
    return scaled


def flat_normals(corners: Float64) -> Float64:
    """Return (T, 3, 3) face normals of (T, 3, 3) corners, one for all corners of a triangle."""
    first = corners[:, 1] - corners[:, 0]
    second = corners[:, 2] - corners[:, 0]
    face = np.stack(
        [
            first[:, 1] * second[:, 2] - first[:, 2] * second[:, 1],
            first[:, 2] * second[:, 0] - first[:, 0] * second[:, 2],
            first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0],
        ],
        axis=-1,
    )
    return np.repeat(unit(face)[:, None, :], 3, axis=1)


def quads(points: Sequence[Sequence[Sequence[float]]] | Float64, material: int) -> Mesh:
    """Return flat quadrilaterals (Q, 4, 3); u runs along the first edge, v across it."""
    ring = np.asarray(points, dtype=np.float64).reshape(-1, 4, 3)
    along = unit(ring[:, 1] - ring[:, 0])
    rest = ring - ring[:, :1]
    u = (rest * along[:, None]).sum(-1)
    across = rest[:, 3] - along * u[:, 3:4]
    v = (rest * unit(across)[:, None]).sum(-1)
    base = ring[:, 0, 2]
    upright = np.abs(across[:, 2]) > 0.8 * np.sqrt((across * across).sum(-1))
    v = v + np.where(upright, base, 0.0)[:, None]
    uv = np.stack([u - u.max(axis=1, keepdims=True) / 2, v], axis=-1)
    order = np.array([0, 1, 2, 0, 2, 3])
    corners = ring[:, order].reshape(-1, 3, 3)
    return Mesh(
        corners=corners,
        normals=flat_normals(corners),
        uvs=uv[:, order].reshape(-1, 3, 2),
        materials=np.full(len(corners), material, dtype=np.int32),
    )


def triangles(points: Sequence[Sequence[Sequence[float]]] | Float64, material: int) -> Mesh:
    """Return flat triangles (T, 3, 3); texture coordinates are (horizontal run, height)."""
    corners = np.asarray(points, dtype=np.float64).reshape(-1, 3, 3)
    run = np.where(
        np.ptp(corners[..., 0], axis=1, keepdims=True)
        >= np.ptp(corners[..., 1], axis=1, keepdims=True),
        corners[..., 0],
        corners[..., 1],
    )
    return Mesh(
        corners=corners,
        normals=flat_normals(corners),
        uvs=np.stack([run, corners[..., 2]], axis=-1),
        materials=np.full(len(corners), material, dtype=np.int32),
    )
