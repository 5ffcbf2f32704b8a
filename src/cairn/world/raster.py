"""Which triangle is seen at each sample of a picture, and how deep the light reaches: two kernels.

Triangles are rasterized in homogeneous coordinates (Olano and Greer, "Triangle scan conversion
using 2D homogeneous coordinates", 1997): the rows of the inverse of [v0 v1 v2] are functions linear
on the screen that give perspective-correct barycentric weights, so nothing is ever clipped.

Shapes: T triangles, H x W samples. Camera axes are the rows (right, down, forward).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cairn.compiled import compiled

NEAR = 0.15
"""Metres before the eye where the world begins."""


@compiled
def rasterize(
    corners: Any, eye: Any, axes: Any, half_x: float, half_y: float, seen: Any, planes: Any
) -> None:
    """Fill ``seen`` (H, W) int32 with triangle numbers, -1 for ground, -2 for sky.

    Args:
        corners: (T, 3, 3) float64.
        eye: (3,) camera position.
        axes: (3, 3) camera axes in rows.
        half_x: Tangent of half the horizontal angle of view.
        half_y: The same, vertical.
        seen: (H, W) int32, written.
        planes: (T, 9) float64, written: barycentric weight i over depth is
            planes[3 i] * column + planes[3 i + 1] * row + planes[3 i + 2].
    """
    height, width = seen.shape
    nearness = np.zeros((height, width))
    step_x, step_y = 2.0 * half_x / width, 2.0 * half_y / height
    left, top = -half_x + 0.5 * step_x, -half_y + 0.5 * step_y
    # The ground z = 0 lies everywhere below the horizon: 1/depth = -direction_z / eye_z.
    for row in range(height):
        for column in range(width):
            x, y = left + column * step_x, top + row * step_y
            rise = axes[0, 2] * x + axes[1, 2] * y + axes[2, 2]
            if rise < -1e-6:
                seen[row, column] = -1
                nearness[row, column] = -rise / eye[2]
            else:
                seen[row, column] = -2
    v = np.empty((3, 3))
    w = np.empty((3, 3))
    for t in range(corners.shape[0]):
        behind = 0
        x0, x1, y0, y1 = 1e30, -1e30, 1e30, -1e30
        for k in range(3):
            dx = corners[t, k, 0] - eye[0]
            dy = corners[t, k, 1] - eye[1]
            dz = corners[t, k, 2] - eye[2]
            for axis in range(3):
                v[k, axis] = axes[axis, 0] * dx + axes[axis, 1] * dy + axes[axis, 2] * dz
            if v[k, 2] < NEAR:
                behind += 1
            else:
                sx = (v[k, 0] / v[k, 2] - left) / step_x
                sy = (v[k, 1] / v[k, 2] - top) / step_y
                x0, x1 = min(x0, sx), max(x1, sx)
                y0, y1 = min(y0, sy), max(y1, sy)
        if behind == 3:
            continue
        if behind > 0:
            x0, x1, y0, y1 = 0.0, width - 1.0, 0.0, height - 1.0
        if x1 < 0 or y1 < 0 or x0 > width - 1 or y0 > height - 1:
            continue
        det = 0.0
        for i in range(3):
            a, b = (i + 1) % 3, (i + 2) % 3
            w[i, 0] = v[a, 1] * v[b, 2] - v[a, 2] * v[b, 1]
            w[i, 1] = v[a, 2] * v[b, 0] - v[a, 0] * v[b, 2]
            w[i, 2] = v[a, 0] * v[b, 1] - v[a, 1] * v[b, 0]
            if i == 0:
                det = v[0, 0] * w[0, 0] + v[0, 1] * w[0, 1] + v[0, 2] * w[0, 2]
        if abs(det) < 1e-12:
            continue
        for i in range(3):
            planes[t, 3 * i] = w[i, 0] / det * step_x
            planes[t, 3 * i + 1] = w[i, 1] / det * step_y
            planes[t, 3 * i + 2] = (w[i, 0] * left + w[i, 1] * top + w[i, 2]) / det
        slope_x = planes[t, 0] + planes[t, 3] + planes[t, 6]
        slope_y = planes[t, 1] + planes[t, 4] + planes[t, 7]
        offset = planes[t, 2] + planes[t, 5] + planes[t, 8]
        for row in range(max(0, int(np.ceil(y0))), min(height - 1, int(y1)) + 1):
            low, high = max(0.0, x0), min(width - 1.0, x1)
            for i in range(3):
                slope = planes[t, 3 * i]
                start = planes[t, 3 * i + 1] * row + planes[t, 3 * i + 2]
                if slope > 0.0:
                    low = max(low, -start / slope)
                elif slope < 0.0:
                    high = min(high, -start / slope)
                elif start < 0.0:
                    high = -1.0
            if high < low:
                continue
            base = slope_y * row + offset
            for column in range(int(np.ceil(low)), int(high) + 1):
                close = slope_x * column + base
                if close > nearness[row, column] and close < 1.0 / NEAR:
                    nearness[row, column] = close
                    seen[row, column] = t


@compiled
def cast_shadows(corners: Any, light: Any, reach: float, depth: Any) -> None:
    """Fill ``depth`` (S, S) with how far towards the light the first surface lies.

    Args:
        corners: (T, 3, 3) float64.
        light: (3, 3) rows: two axes across the light, then the direction to it.
        reach: Half the side, in metres, of the square about the origin that the map covers.
        depth: (S, S) float32, written; -1e9 where the light meets nothing.
    """
    size = depth.shape[0]
    depth[:, :] = -1e9
    cell = 2.0 * reach / size
    v = np.empty((3, 3))
    for t in range(corners.shape[0]):
        for k in range(3):
            for axis in range(3):
                v[k, axis] = (
                    light[axis, 0] * corners[t, k, 0]
                    + light[axis, 1] * corners[t, k, 1]
                    + light[axis, 2] * corners[t, k, 2]
                )
            v[k, 0] = (v[k, 0] + reach) / cell - 0.5
            v[k, 1] = (v[k, 1] + reach) / cell - 0.5
        x0 = max(0.0, min(v[0, 0], v[1, 0], v[2, 0]))
        x1 = min(size - 1.0, max(v[0, 0], v[1, 0], v[2, 0]))
        y0 = max(0.0, min(v[0, 1], v[1, 1], v[2, 1]))
        y1 = min(size - 1.0, max(v[0, 1], v[1, 1], v[2, 1]))
        if x1 < x0 or y1 < y0:
            continue
        ax, ay = v[1, 0] - v[0, 0], v[1, 1] - v[0, 1]
        bx, by = v[2, 0] - v[0, 0], v[2, 1] - v[0, 1]
        det = ax * by - ay * bx
        if abs(det) < 1e-9:
            continue
        da, db = v[1, 2] - v[0, 2], v[2, 2] - v[0, 2]
        slope_x = (da * by - db * ay) / det
        slope_y = (db * ax - da * bx) / det
        for row in range(int(np.ceil(y0)), int(y1) + 1):
            low, high = x0, x1
            for k in range(3):
                n = (k + 1) % 3
                ex, ey = v[n, 0] - v[k, 0], v[n, 1] - v[k, 1]
                side = 1.0 if det > 0 else -1.0
                # Inside where side * (ex * (row - yk) - ey * (x - xk)) >= 0.
                slope = -side * ey
                start = side * (ex * (row - v[k, 1]) + ey * v[k, 0])
                if slope > 0.0:
                    low = max(low, -start / slope)
                elif slope < 0.0:
                    high = min(high, -start / slope)
                elif start < 0.0:
                    high = -1.0
            for column in range(int(np.ceil(low)), int(high) + 1):
                value = v[0, 2] + slope_x * (column - v[0, 0]) + slope_y * (row - v[0, 1])
                depth[row, column] = max(depth[row, column], value)
