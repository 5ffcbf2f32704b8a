"""One photograph of a scene: camera, hour, weather, passers-by, render, lens and sensor."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from math import pi

import numpy as np
from numpy.typing import NDArray

from cairn.world import layout as at
from cairn.world.camera import Camera, draw_camera
from cairn.world.conditions import Conditions, draw_conditions, light_array
from cairn.world.figures import figure, tree, vehicle
from cairn.world.materials import ACCENTS, GLASS, STONES, Colour, Materials, pick
from cairn.world.mesh import Mesh, merge
from cairn.world.setting import BARKS, GRASSES, LEAFS, Scene

Rng = np.random.Generator
Picture = NDArray[np.uint8]

SHADOW_SIZE = 224
SKINS: tuple[Colour, ...] = (
    (0.90, 0.72, 0.60),
    (0.78, 0.58, 0.44),
    (0.52, 0.36, 0.26),
    (0.36, 0.25, 0.19),
)
HAIRS: tuple[Colour, ...] = (
    (0.10, 0.08, 0.07),
    (0.30, 0.20, 0.12),
    (0.62, 0.48, 0.28),
    (0.55, 0.54, 0.52),
)


def render_photo(scene: Scene, rng: Rng, *, size: int = 128, variety: float = 1.0) -> Picture:
    """Return one photograph of ``scene``, (H, W, 3) uint8, its longer side ``size``.

    Everything that differs between photographs of a place is drawn from ``rng``.

    Args:
        scene: What stands there.
        rng: What to draw from.
        size: Pixels.
        variety: The chance that it is taken anyhow and not as a postcard; see `WorldConfig`.
    """
    postcard = variety < 1 and rng.random() >= variety
    camera = _aim(scene, rng, size, postcard=postcard)
    conditions = draw_conditions(rng, postcard=postcard)
    materials = scene.materials.copy()
    mesh = merge([scene.subject, *_in_view(scene, camera, rng)])
    if not scene.indoors:
        crowded = merge([mesh, *passers_by(scene, camera, materials, rng)])
        # Passers-by may hide half of the subject; where they would hide more, they have gone.
        if _share(crowded, scene, camera) >= 0.5 * _share(mesh, scene, camera):
            mesh = crowded
    light = light_array(conditions, float(np.hypot(camera.eye[0], camera.eye[1])), rng)
    if scene.indoors:
        _lamps(light, rng)
    picture = _render(mesh, materials, scene, camera, conditions, light)
    return finish(picture, rng, dark=conditions.hour == "night")


def _aim(scene: Scene, rng: Rng, size: int, *, postcard: bool) -> Camera:
    """Return a camera that sees something of the subject; the best of four where none sees much."""
    best = draw_camera(scene, rng, size, postcard=postcard)
    most = _share(scene.subject, scene, best)
    for _ in range(3):
        if most > 0.05:
            break
        camera = draw_camera(scene, rng, size, postcard=postcard)
        share = _share(scene.subject, scene, camera)
        if share > most:
            best, most = camera, share
    return best


def _share(mesh: Mesh, scene: Scene, camera: Camera) -> float:
    """Return the share of the frame in which the subject, the first part of ``mesh``, is seen."""
    from cairn.world.raster import rasterize

    planes = np.empty((len(mesh), 9))
    seen = np.empty((max(camera.height // 4, 1), max(camera.width // 4, 1)), dtype=np.int32)
    corners = np.ascontiguousarray(mesh.corners)
    rasterize(corners, camera.eye, camera.axes, camera.half_x, camera.half_y, seen, planes)
    return float(((seen >= 0) & (seen < len(scene.subject))).mean())


def _in_view(scene: Scene, camera: Camera, rng: Rng) -> list[Mesh]:
    """Return the parts of the setting, less most of those between the eye and the subject."""
    far = float(np.hypot(camera.eye[0], camera.eye[1]))
    ahead = -camera.eye[:2] / max(far, 1e-6)
    kept = []
    for part in scene.parts:
        if np.isfinite(part.radius):
            dx, dy = part.x - camera.eye[0], part.y - camera.eye[1]
            along, aside = dx * ahead[0] + dy * ahead[1], abs(dx * ahead[1] - dy * ahead[0])
            inside = np.hypot(dx, dy) < part.radius + 1.0
            between = (
                0 < along < far - 0.5 * scene.reach and aside < part.radius + 0.6 * scene.reach
            )
            if inside or (between and (part.radius > 4 or rng.random() < 0.7)):
                continue
        kept.append(part.mesh)
    return kept


def passers_by(scene: Scene, camera: Camera, materials: Materials, rng: Rng) -> list[Mesh]:
    """Return people, vehicles and branches that happen to be there, in place."""
    parts: list[Mesh] = []
    far = float(np.hypot(camera.eye[0], camera.eye[1]))
    ahead, aside = -camera.eye[:2] / max(far, 1e-6), np.array([-camera.eye[1], camera.eye[0]]) / far
    room = max(far - scene.reach * 0.6, far * 0.3)

    def spot(nearest: float, spread: float = 0.9) -> tuple[float, float]:
        along = float(rng.uniform(min(nearest, room), room))
        offset = along * camera.half_x * float(rng.uniform(-spread, spread))
        point = camera.eye[:2] + ahead * along + aside * offset
        return float(point[0]), float(point[1])

    crowd = int(rng.poisson(2.5)) if rng.random() < 0.55 and scene.height > 3 else 0
    if crowd:
        skins = [materials.add("plain", pick(rng, SKINS)) for _ in range(2)]
        cloths = [materials.add("plain", pick(rng, ACCENTS + STONES)) for _ in range(4)]
        hair = materials.add("plain", pick(rng, HAIRS))
        for _ in range(crowd):
            shirt, legs = cloths[int(rng.integers(4))], cloths[int(rng.integers(4))]
            rows = np.array((skins[int(rng.integers(2))], shirt, legs, hair), dtype=np.int32)
            body = bodies()[int(rng.integers(len(bodies())))]
            body = replace(body, materials=rows[body.materials])
            size = float(rng.uniform(0.85, 1.08))
            x, y = spot(3.5)
            parts.append(
                body.scaled(size, size, size).turned(float(rng.uniform(0, 2 * pi))).moved(x, y)
            )
    if rng.random() < 0.13 and scene.height > 4:
        paint = materials.add("plain", pick(rng, ACCENTS), gloss=0.3)
        glass, dark = (
            materials.add("plain", GLASS, gloss=0.6),
            materials.add("plain", (0.05, 0.05, 0.05)),
        )
        for _ in range(int(rng.integers(1, 3))):
            x, y = spot(9.0)
            turn = float(np.arctan2(aside[1], aside[0]) + rng.normal(0, 0.2))
            parts.append(vehicle(rng, paint, glass, dark).turned(turn).moved(x, y))
    if rng.random() < 0.12 and scene.height > 4:
        bark = materials.add("plain", pick(rng, BARKS))
        leaves = materials.add("foliage", pick(rng, LEAFS), pick(rng, GRASSES), cell=(4.0, 4.0))
        along = room * float(rng.uniform(0.25, 0.6))
        side = float(rng.choice([-1, 1])) * along * camera.half_x * float(rng.uniform(0.55, 1.1))
        point = camera.eye[:2] + ahead * along + aside * side
        parts.append(tree(rng, bark, leaves).moved(float(point[0]), float(point[1])))
    return parts


@cache
def bodies() -> tuple[Mesh, ...]:
    """Return passers-by whose materials 0 to 3 stand for skin, shirt, legs and hair."""
    rng = np.random.default_rng(20240612)
    return tuple(figure(rng, 0, 1, 2, hair=3) for _ in range(32))


def _lamps(light: NDArray[np.float64], rng: Rng) -> None:
    """Turn an outdoor light array into that of a lit room."""
    warm = float(rng.uniform(0.55, 1.0))
    light[at.SUN : at.SUN + 3] = (0.35, -0.45, 0.82)
    light[at.SUN_RGB : at.SUN_RGB + 3] = np.array((0.8, 0.8 * (warm + 1) / 2, 0.8 * warm))
    light[at.AMBIENT : at.AMBIENT + 3] = np.array((0.7, 0.7 * (warm + 1) / 2, 0.7 * warm))
    light[at.BOUNCE : at.BOUNCE + 3] = np.array((0.5, 0.4, 0.3))
    light[at.FOG] = light[at.SNOW] = light[at.WETNESS] = 0.0
    light[at.NIGHT], light[at.SHADOW] = 1.0, 0.0
    light[at.FLOOD : at.FLOOD + 3] = 0.0
    light[at.EXPOSURE] = float(np.exp(rng.normal(0.05, 0.25)))


def _render(
    mesh: Mesh,
    materials: Materials,
    scene: Scene,
    camera: Camera,
    conditions: Conditions,
    light: NDArray[np.float64],
) -> NDArray[np.float32]:
    from cairn.world.raster import cast_shadows, rasterize
    from cairn.world.shading import develop

    reach = 1.5 * max(scene.reach, scene.height) + 6.0
    light[at.NEAR_GROUND], light[at.FAR_GROUND] = scene.near_ground, scene.far_ground
    light[at.EDGE_RADIUS : at.EDGE_Y + 1] = scene.edge
    light[at.SHADOW_REACH], light[at.TALL] = reach, max(scene.height, 0.7 * scene.reach)
    sun = light[at.SUN : at.SUN + 3]
    flat = max(float(np.hypot(sun[0], sun[1])), 1e-9)
    first = np.array([-sun[1] / flat, sun[0] / flat, 0.0])
    second = np.array(
        [
            sun[1] * first[2] - sun[2] * first[1],
            sun[2] * first[0] - sun[0] * first[2],
            sun[0] * first[1] - sun[1] * first[0],
        ]
    )
    frame = np.stack([first, second, sun])
    depth = np.empty((SHADOW_SIZE, SHADOW_SIZE), dtype=np.float32)
    corners = np.ascontiguousarray(mesh.corners)
    if light[at.SHADOW] > 0:
        cast_shadows(corners, frame, reach, depth)
    else:
        depth.fill(-1e9)
    seen = np.empty((2 * camera.height, 2 * camera.width), dtype=np.int32)
    planes = np.empty((max(len(mesh), 1), 9))
    rasterize(corners, camera.eye, camera.axes, camera.half_x, camera.half_y, seen, planes)
    picture = np.empty((camera.height, camera.width, 3), dtype=np.float32)
    develop(
        corners,
        np.ascontiguousarray(mesh.normals),
        np.ascontiguousarray(mesh.uvs),
        mesh.materials,
        materials.table(),
        camera.eye,
        camera.axes,
        camera.half_x,
        camera.half_y,
        seen,
        planes,
        light,
        frame,
        depth,
        noise_table(),
        picture,
    )
    return picture


@cache
def noise_table() -> NDArray[np.float32]:
    """Return (256, 256) tileable fractal noise in [0, 1], spectrum falling as frequency^-1.6."""
    white = np.random.default_rng(20240611).standard_normal((256, 256))
    y, x = np.meshgrid(np.fft.fftfreq(256) * 256, np.fft.fftfreq(256) * 256, indexing="ij")
    radius = np.sqrt(x * x + y * y)
    radius[0, 0] = 1.0
    rough = np.fft.ifft2(np.fft.fft2(white) * radius**-1.3).real
    rough = (rough - rough.mean()) / rough.std()
    table: NDArray[np.float32] = np.clip(0.5 + 0.22 * rough, 0.0, 1.0).astype(np.float32)
    return table


def finish(picture: NDArray[np.float32], rng: Rng, *, dark: bool = False) -> Picture:
    """Return what lens and sensor make of ``picture``: contrast, blur, vignette, noise, 8 bits."""
    height, width, _ = picture.shape
    contrast = float(rng.normal(1.13, 0.1))
    half = np.float32(0.5)
    image: NDArray[np.float32] = (picture - half) * np.float32(contrast) + half
    vivid = float(rng.uniform(0.0, 1.5)) if rng.random() < 0.08 else float(rng.normal(1.12, 0.1))
    gray = image.mean(axis=2, keepdims=True)
    image = gray + (image - gray) * np.float32(vivid)
    if rng.random() < 0.22:
        image = _blurred(image, float(rng.uniform(0.3, 0.9)))
    if rng.random() < 0.3:
        y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, width, dtype=np.float32)[None]
        falloff = 1 - np.float32(rng.uniform(0.05, 0.2)) * (x * x + y * y)
        image = image * falloff.astype(np.float32)[..., None]
    grain = min(float(rng.exponential(0.008)), 0.03) + (0.012 if dark else 0.002)
    image = image + rng.standard_normal(image.shape, dtype=np.float32) * np.float32(grain)
    developed: Picture = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return developed


def _blurred(image: NDArray[np.float32], amount: float) -> NDArray[np.float32]:
    """Return ``image`` under a 3 x 3 binomial blur, mixed in by ``amount``."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    both = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4
    return (image + (both - image) * np.float32(amount)).astype(np.float32)
