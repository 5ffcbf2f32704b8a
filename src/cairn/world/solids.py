"""The solids that structures are made of: boxes, lathed surfaces, walls with openings, tubes.

Every function returns a `Mesh` standing on z = 0 about the z axis unless it says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, pi

import numpy as np

from cairn.world.mesh import Float64, Mesh, flat_normals, merge, quads, triangles, unit

Profile = Sequence[tuple[float, float]]


def box(width: float, depth: float, height: float, material: int, *, top: int = -1) -> Mesh:
    """Return a block ``width`` (x) by ``depth`` (y) by ``height``, roofed with ``top``."""
    x, y, z = width / 2, depth / 2, height
    walls = quads(
        [
            [[-x, -y, 0], [x, -y, 0], [x, -y, z], [-x, -y, z]],
            [[x, -y, 0], [x, y, 0], [x, y, z], [x, -y, z]],
            [[x, y, 0], [-x, y, 0], [-x, y, z], [x, y, z]],
            [[-x, y, 0], [-x, -y, 0], [-x, -y, z], [-x, y, z]],
        ],
        material,
    )
    flat = [[-x, -y, z], [x, -y, z], [x, y, z], [-x, y, z]]
    return merge([walls, quads([flat], material if top < 0 else top)])


def lathe(
    profile: Profile, sides: int, material: int, *, smooth: bool = False, phase: float | None = None
) -> Mesh:
    """Return the surface that ``profile`` [(radius, z), ...] sweeps about the z axis.

    With eight sides or fewer the faces are flat and the radius is that of the inscribed circle, so
    four sides make a square tower facing the axes. ``smooth`` rounds it along the profile too.
    """
    line = np.asarray(profile, dtype=np.float64)
    faceted = sides <= 8
    reach = 1.0 / cos(pi / sides) if faceted else 1.0
    start = (pi / sides if phase is None else phase) - pi / 2
    angles = start + np.arange(sides + 1) * (2 * pi / sides)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    points = np.empty((len(line), sides + 1, 3))
    points[..., :2] = line[:, None, :1] * reach * ring[None]
    points[..., 2] = line[:, 1:2]
    steps = np.diff(line, axis=0)
    lengths = np.sqrt((steps * steps).sum(-1))
    arc = np.concatenate([[0.0], np.cumsum(lengths)]) + line[0, 1]
    girth = float(line[:, 0].max()) * 2 * (sides * np.tan(pi / sides) if faceted else pi) / sides
    uv = np.empty((len(line), sides + 1, 2))
    uv[..., 0] = (np.arange(sides + 1) * girth)[None] - (girth / 2 if faceted else 0.0)
    uv[..., 1] = arc[:, None]

    def cells(grid: Float64) -> Float64:
        low, high = grid[:-1], grid[1:]
        corner = np.stack([low[:, :-1], low[:, 1:], high[:, 1:], high[:, :-1]], axis=2)
        order = np.array([0, 1, 2, 0, 2, 3])
        return corner[:, :, order].reshape(-1, 3, grid.shape[-1])

    corners = cells(points)
    slope = np.stack([steps[:, 1], -steps[:, 0]], axis=-1) / np.maximum(lengths, 1e-9)[:, None]
    if faceted:
        normals = flat_normals(corners)
    elif smooth:
        padded = np.concatenate([slope[:1], slope, slope[-1:]])
        normals = cells(_spun(unit(padded[:-1] + padded[1:]), ring))
    else:
        low = _spun(slope, ring)
        both = np.stack([low[:, :-1], low[:, 1:], low[:, 1:], low[:, :-1]], axis=2)
        normals = both[:, :, np.array([0, 1, 2, 0, 2, 3])].reshape(-1, 3, 3)
    return Mesh(corners, normals, cells(uv), np.full(len(corners), material, dtype=np.int32))


def _spun(slope: Float64, ring: Float64) -> Float64:
    normals = np.empty((len(slope), len(ring), 3))
    normals[..., :2] = slope[:, None, :1] * ring[None]
    normals[..., 2] = slope[:, 1:2]
    return normals


def cylinder(radius: float, height: float, material: int, *, sides: int = 16) -> Mesh:
    """Return a closed upright cylinder."""
    return lathe([(radius, 0), (radius, height), (0, height)], sides, material)


def dome(radius: float, height: float, material: int, *, sides: int = 20, bulge: float = 0) -> Mesh:
    """Return a dome; ``bulge`` > 0 swells it above its foot and draws the top out, onion-like."""
    t = np.linspace(0.0, 1.0, 6 + round(4 * min(bulge, 1.0)))
    swell = bulge * np.sin(pi * np.minimum(t * 1.5, 1.0)) * 0.5
    r = radius * (np.cos(t * pi / 2) ** (1 + 0.8 * bulge) + swell * (1 - t))
    r[-1] = 0.0
    z = height * (np.sin(t * pi / 2) * (1 - min(bulge, 1)) + t * min(bulge, 1))
    return lathe(list(zip(r.tolist(), z.tolist(), strict=True)), sides, material, smooth=True)


def ball(rx: float, ry: float, rz: float, material: int, *, sides: int = 10) -> Mesh:
    """Return an ellipsoid centred on the origin."""
    t = np.linspace(-pi / 2, pi / 2, max(5, sides // 2 + 1))
    profile = list(zip(np.cos(t).tolist(), np.sin(t).tolist(), strict=True))
    return lathe(profile, max(sides, 9), material, smooth=True).scaled(rx, ry, rz)


def slab(line: Sequence[tuple[float, float, float]], depth: float, material: int) -> Mesh:
    """Return a wall along x whose outline is [(x, bottom, top), ...], ``depth`` thick about y = 0.

    Repeating an x makes a vertical jump: arches, gates, gables and battlements are such outlines.
    """
    x, low, high = np.asarray(line, dtype=np.float64).T
    front = np.full(len(x) - 1, -depth / 2)

    def strip(xa: Float64, za: Float64, ya: Float64, zb: Float64, yb: Float64) -> Float64:
        corner = [
            np.stack([xa[:-1], ya, za[:-1]], -1),
            np.stack([xa[1:], ya, za[1:]], -1),
            np.stack([xa[1:], yb, zb[1:]], -1),
            np.stack([xa[:-1], yb, zb[:-1]], -1),
        ]
        return np.stack(corner, axis=1)

    wide = np.diff(x) > 1e-9
    faces = [
        strip(x, low, front, high, front)[wide],
        strip(x, low, -front, high, -front)[wide],
        strip(x, high, front, high, -front)[(np.abs(np.diff(high)) > 1e-9) | wide],
        strip(x, low, front, low, -front)[(np.abs(np.diff(low)) > 1e-9) | wide],
    ]
    ends = np.array(
        [
            [
                [x[k], -depth / 2, low[k]],
                [x[k], depth / 2, low[k]],
                [x[k], depth / 2, high[k]],
                [x[k], -depth / 2, high[k]],
            ]
            for k in (0, -1)
        ]
    )
    mesh = quads(np.concatenate([*faces, ends]), material)
    facing = np.abs(mesh.normals[:, :1, 1:2]) > 0.9
    uvs = np.where(facing, mesh.corners[..., [0, 2]], mesh.uvs)
    return Mesh(mesh.corners, mesh.normals, uvs, mesh.materials)


def arch_line(
    left: float, right: float, spring: float, rise: float, *, pointed: bool = False, steps: int = 8
) -> list[tuple[float, float]]:
    """Return the under-side [(x, z), ...] of an opening with its jambs; add tops for `slab`."""
    middle, half = (left + right) / 2, (right - left) / 2
    t = np.linspace(-1.0, 1.0, steps + 1)
    curve = (1 - np.abs(t) ** 1.35) ** 0.8 if pointed else np.sqrt(np.maximum(1 - t * t, 0.0))
    arc = zip((middle + half * t).tolist(), (spring + rise * curve).tolist(), strict=True)
    return [(left, 0.0), *arc, (right, 0.0)]


def arcade(
    width: float,
    height: float,
    depth: float,
    bays: int,
    material: int,
    *,
    open_share: float = 0.7,
    spring: float = 0.5,
    pointed: bool = False,
    steps: int = 6,
) -> Mesh:
    """Return a wall with ``bays`` equal arched openings; ``spring`` is their height share."""
    pitch = width / bays
    line = [(-width / 2, 0.0)]
    for bay in range(bays):
        middle = -width / 2 + pitch * (bay + 0.5)
        half = pitch * open_share / 2
        rise = min(half * (1.5 if pointed else 1.0), height * (0.95 - spring))
        line += arch_line(
            middle - half, middle + half, height * spring, rise, pointed=pointed, steps=steps
        )
    line.append((width / 2, 0.0))
    return slab([(x, z, height) for x, z in line], depth, material)


def gable(width: float, depth: float, rise: float, roof: int, wall: int, *, hip: float = 0) -> Mesh:
    """Return a pitched roof with its ridge along y; ``hip`` in [0, 1] slopes the ends too."""
    x, y = width / 2, depth / 2
    ridge = y * (1 - hip)
    slopes = quads(
        [
            [[x, -y, 0], [x, y, 0], [0, ridge, rise], [0, -ridge, rise]],
            [[-x, y, 0], [-x, -y, 0], [0, -ridge, rise], [0, ridge, rise]],
        ],
        roof,
    )
    ends = triangles(
        [
            [[-x, -y, 0], [x, -y, 0], [0, -ridge, rise]],
            [[x, y, 0], [-x, y, 0], [0, ridge, rise]],
        ],
        roof if hip > 0 else wall,
    )
    return merge([slopes, ends])


def tube(
    path: Sequence[Sequence[float]] | Float64,
    radius: float,
    material: int,
    *,
    sides: int = 5,
    taper: float = 1.0,
) -> Mesh:
    """Return a rod along the points of ``path``, its end ``taper`` times as thick as its start."""
    line = np.asarray(path, dtype=np.float64)
    ahead = unit(np.gradient(line, axis=0))
    helper = np.where(np.abs(ahead[:, 2:3]) > 0.9, np.array([[1.0, 0, 0]]), np.array([[0, 0, 1.0]]))
    right = unit(np.cross(ahead, helper))
    up = np.cross(right, ahead)
    angle = np.arange(sides + 1) * (2 * pi / sides)
    width = radius * np.linspace(1.0, taper, len(line))[:, None, None]
    out = np.cos(angle)[None, :, None] * right[:, None] + np.sin(angle)[None, :, None] * up[:, None]
    points = line[:, None] + width * out
    low, high = points[:-1], points[1:]
    ring = np.stack([low[:, :-1], low[:, 1:], high[:, 1:], high[:, :-1]], axis=2).reshape(-1, 4, 3)
    return quads(ring, material)


def lumps(
    profile: Profile,
    sides: int,
    material: int,
    rng: np.random.Generator,
    *,
    rough: float = 0.15,
    lobes: int = 4,
) -> Mesh:
    """Return a `lathe` whose radius swells and shrinks irregularly: rocks, crowns of trees."""
    mesh = lathe(profile, max(sides, 9), material)
    corners = mesh.corners
    angle = np.arctan2(corners[..., 1], corners[..., 0])
    height = corners[..., 2] / max(abs(profile[-1][1] - profile[0][1]), 1e-6)
    factor = np.ones_like(angle)
    for lobe in range(1, lobes + 1):
        swirl, phase, size = rng.normal(0, 3.0), rng.uniform(0, 2 * pi), rng.normal()
        rise = rng.normal(0, 2.0 + lobe)
        factor += (
            rough
            * size
            / np.sqrt(lobe)
            * np.sin(lobe * angle + swirl * height + phase)
            * (0.6 + 0.4 * np.cos(rise * height * pi + phase))
        )
    factor = np.clip(factor, 0.35, 1.9)
    moved = corners.copy()
    moved[..., 0] *= factor
    moved[..., 1] *= factor
    return Mesh(moved, flat_normals(moved), mesh.uvs, mesh.materials)
