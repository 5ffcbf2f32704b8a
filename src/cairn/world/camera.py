"""Where the photographer stands and what the lens takes in."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin, tan

import numpy as np
from numpy.typing import NDArray

from cairn.world.setting import Scene

Rng = np.random.Generator
ASPECTS = (4 / 3, 3 / 4, 1.0, 3 / 2)
"""Width over height of photographs."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Args:
        eye: (3,) position.
        axes: (3, 3) rows: right, down, forward.
        half_x: Tangent of half the horizontal angle of view.
        half_y: The same, vertical.
        width: Pixels.
        height: Pixels.
    """

    eye: NDArray[np.float64]
    axes: NDArray[np.float64]
    half_x: float
    half_y: float
    width: int
    height: int


def look(eye: NDArray[np.float64], target: NDArray[np.float64], roll: float) -> NDArray[np.float64]:
    """Return camera axes (right, down, forward) for looking from ``eye`` at ``target``."""
    forward = target - eye
    forward = forward / np.sqrt(forward @ forward)
    flat = np.hypot(forward[0], forward[1])
    right = np.array([forward[1], -forward[0], 0.0]) / max(flat, 1e-9)
    down = np.array(
        [
            forward[1] * right[2] - forward[2] * right[1],
            forward[2] * right[0] - forward[0] * right[2],
            forward[0] * right[1] - forward[1] * right[0],
        ]
    )
    c, s = cos(roll), sin(roll)
    return np.stack([c * right + s * down, c * down - s * right, forward])


def frame_size(rng: Rng, size: int) -> tuple[int, int]:
    """Return (width, height) of a photograph whose longer side is ``size``."""
    aspect = ASPECTS[int(rng.choice(4, p=(0.45, 0.2, 0.15, 0.2)))]
    if aspect >= 1:
        return size, max(1, round(size / aspect))
    return max(1, round(size * aspect)), size


def draw_camera(scene: Scene, rng: Rng, size: int, *, postcard: bool = False) -> Camera:
    """Return a camera as visitors hold it: often in front, at eye level, subject in frame.

    Args:
        scene: What stands there.
        rng: What to draw from.
        size: The longer side of the photograph, pixels.
        postcard: Stand about in front and take in the whole.
    """
    width, height = frame_size(rng, size)
    usual = postcard or rng.random() < 0.68
    away = float(rng.normal(0, 0.3 if postcard else 0.5)) if usual else float(rng.uniform(-pi, pi))
    azimuth = away - pi / 2
    toward = np.array([cos(azimuth), sin(azimuth), 0.0])
    corners = scene.subject.corners.reshape(-1, 3)
    support = float((corners @ toward).max())
    across = corners @ np.array([-toward[1], toward[0], 0.0])
    wide = float(across.max() - across.min())
    shot = 1 if postcard else int(rng.choice(3, p=scene.shots))
    fill = float(np.exp(rng.uniform(*((-1.4, -0.6), (-0.55, 0.15), (0.3, 1.1))[shot])))
    half_y = tan(float(rng.uniform(0.38, 1.05)) / 2)
    half_x = half_y * width / height
    distance = max(scene.height / (2 * half_y * fill), wide / (2 * half_x * fill))
    closest = support + max(0.25 * scene.height, 0.8)
    if distance < closest:
        half_y *= distance / closest
        half_x *= distance / closest
        distance = closest
    target = np.array([0.0, 0.0, scene.height * float(rng.uniform(*scene.focus))])
    if shot == 2:
        detail = corners[int(rng.integers(len(corners)))]
        target = target + (detail - target) * float(rng.uniform(0.2, 0.75))
    else:
        reach_x, reach_z = half_x * distance * 0.22, half_y * distance * 0.2
        sideways = np.array([-toward[1], toward[0], 0.0])
        target = target + sideways * float(rng.normal(0, reach_x))
        target[2] += float(rng.normal(0, reach_z))
    person = min(1.7, max(0.35, 0.9 * scene.height))
    lift = person + float(rng.exponential(0.04)) * distance
    if rng.random() < 0.3:
        lift += distance * float(rng.uniform(0.05, 0.6))
    eye = toward * distance
    eye[2] = max(lift, 0.2)
    axes = look(eye, target, float(rng.normal(0, 0.035)))
    return Camera(eye, axes, half_x, half_y, width, height)
