"""Families of broad buildings: palaces, castles, roofed pavilions, town fronts.

Each is a function (rng, kit) -> Mesh standing on z = 0 with its front towards -y.
"""

from __future__ import annotations

from itertools import pairwise
from math import pi

import numpy as np

from cairn.world.halls import colonnade, drum_and_dome, portico, stairs
from cairn.world.materials import Kit
from cairn.world.mesh import Mesh, merge, triangles
from cairn.world.solids import arcade, ball, box, gable, lathe, slab
from cairn.world.towers import battlements, choose, spire

Rng = np.random.Generator


def palace(rng: Rng, kit: Kit) -> Mesh:
    """Return a long facade of wings, pavilions and a centre, under steep roofs."""
    wide, deep, tall = (
        float(rng.uniform(26, 50)),
        float(rng.uniform(9, 15)),
        float(rng.uniform(8, 15)),
    )
    hip = float(rng.uniform(0.2, 1.0))
    rise = float(rng.uniform(2, 7))

    def block(w: float, d: float, h: float, skin: int) -> Mesh:
        roof = gable(d * 1.04, w * 1.02, rise, kit.roof, kit.wall, hip=hip * d / max(w, d))
        return merge(
            [
                box(w, d, h, skin),
                box(w * 1.02, d * 1.04, 0.5, kit.trim).moved(0, 0, h),
                roof.turned(pi / 2).moved(0, 0, h + 0.4),
            ]
        )

    parts = [block(wide, deep, tall, kit.windowed)]
    pavilion = wide * float(rng.uniform(0.12, 0.22))
    lift = tall * float(rng.uniform(1.0, 1.4))
    end = block(pavilion, deep * 1.25, lift, kit.windowed)
    if rng.random() < 0.75:
        parts.append(end.copies([(-wide / 2, 0, 0), (wide / 2, 0, 0)]))
    middle = int(rng.integers(4))
    if middle == 0:
        parts.append(portico(rng, kit, wide * 0.25, tall * 1.05).moved(0, -deep / 2))
    elif middle == 1:
        parts += [
            box(pavilion * 1.4, deep * 1.3, tall * 1.2, kit.wall2),
            drum_and_dome(rng, kit, pavilion * 0.6).moved(0, 0, tall * 1.2),
        ]
    elif middle == 2:
        r = pavilion * 0.4
        parts += [
            lathe([(r, 0), (r, tall * 2)], 4, kit.wall).moved(0, -deep / 2),
            spire(rng, kit, r, 4).moved(0, -deep / 2, tall * 2),
        ]
    else:
        parts.append(block(pavilion * 1.6, deep * 1.3, tall * 1.35, kit.windowed))
    if rng.random() < 0.4:
        parts.append(
            arcade(wide, tall * 0.45, 0.8, choose(rng, 9, 13, 17), kit.trim).moved(
                0, -deep / 2 - 0.6
            )
        )
    if rng.random() < 0.35:
        arm = block(deep, float(rng.uniform(12, 22)), tall, kit.windowed)
        parts.append(arm.copies([(-wide / 2, -8, 0), (wide / 2, -8, 0)]))
    return merge(parts)


def castle(rng: Rng, kit: Kit) -> Mesh:
    """Return walls with battlements between towers, a keep and a gate."""
    count = int(rng.integers(4, 8))
    reach, tall = float(rng.uniform(12, 22)), float(rng.uniform(6, 11))
    conical = bool(rng.random() < 0.5)
    parts, corners = [], []
    for k in range(count):
        angle = 2 * pi * k / count + pi / count - pi / 2
        far = reach * float(rng.uniform(0.8, 1.2))
        corners.append((far * float(np.cos(angle)), far * float(np.sin(angle)) * 0.8))
    for k, (x, y) in enumerate(corners):
        nx, ny = corners[(k + 1) % count]
        long, angle = float(np.hypot(nx - x, ny - y)), float(np.arctan2(ny - y, nx - x))
        teeth = box(0.9, 1.2, 1.0, kit.wall).copies(
            [(t, 0, tall) for t in np.arange(-long / 2, long / 2, 1.9)]
        )
        wall = merge([box(long, 1.6, tall, kit.wall), teeth])
        parts.append(wall.turned(angle).moved((x + nx) / 2, (y + ny) / 2))
        r, high = float(rng.uniform(1.8, 3.6)), tall * float(rng.uniform(1.1, 2.3))
        sides = choose(rng, 4, 14, 14)
        body = lathe(
            [(r * 1.1, 0), (r, high)], sides, kit.wall if rng.random() < 0.7 else kit.wall2
        )
        if conical:
            top = lathe([(r * 1.2, 0), (0, r * float(rng.uniform(1.5, 3.2)))], sides, kit.roof)
        else:
            rim = lathe([(r, -0.6), (r * 1.15, 0), (0, 0)], sides, kit.trim)
            top = merge([rim, battlements(r * 1.1, sides, 1.0, kit.wall, 12)])
        parts.append(merge([body, top.moved(0, 0, high)]).moved(x, y))
    keep, high = float(rng.uniform(3.5, 7)), tall * float(rng.uniform(1.5, 3.2))
    sides = choose(rng, 4, 4, 8)
    lift = float(rng.uniform(0, 4))
    mound = lathe([(keep * 1.8, 0), (keep * 1.3, lift)], 4, kit.wall2)
    tower = merge(
        [
            mound,
            lathe([(keep, 0), (keep * 0.95, high)], sides, kit.windowed),
            spire(rng, kit, keep * 0.9, sides).moved(0, 0, high),
        ]
    )
    parts.append(tower.moved(float(rng.uniform(-5, 5)), float(rng.uniform(0, 6))))
    return merge(parts)


def pavilion(rng: Rng, kit: Kit) -> Mesh:
    """Return a hall with wide, sweeping roofs in one to three tiers on a terrace."""
    wide, deep = float(rng.uniform(14, 28)), float(rng.uniform(9, 16))
    tiers, base = int(rng.integers(1, 4)), float(rng.uniform(1, 5))
    parts = [stairs(wide * 1.3, deep * 1.3, base, max(2, int(base / 0.8)), kit.paving)]
    z = base
    for tier in range(tiers):
        shrink = 1 - 0.22 * tier
        w, d, h = wide * shrink, deep * shrink, float(rng.uniform(3.5, 6)) * (1 - 0.2 * tier)
        parts.append(
            box(w * 0.82, d * 0.82, h, kit.windowed if tier == 0 else kit.accent).moved(0, 0, z)
        )
        if tier == 0:
            parts.append(
                colonnade(w * 0.95, h, choose(rng, 4, 6, 8), 0.35, kit.accent).moved(0, -d / 2, z)
            )
        z += h
        rise = d * float(rng.uniform(0.25, 0.45)) * (1.0 if tier == tiers - 1 else 0.45)
        span = float(rng.uniform(1.1, 1.25))
        lower = gable(d * span, w * span, rise * 0.5, kit.roof, kit.trim, hip=0.3).turned(pi / 2)
        parts += [
            lower.moved(0, 0, z),
            gable(d * 0.7, w * 0.85, rise, kit.roof, kit.accent)
            .turned(pi / 2)
            .moved(0, 0, z + 0.2),
        ]
        z += rise * 0.6
    horns = ball(0.4, 0.4, 0.9, kit.metal)
    parts.append(horns.copies([(-wide * 0.35, 0, z + 1), (wide * 0.35, 0, z + 1)]))
    return merge(parts)


def facade(rng: Rng, kit: Kit) -> Mesh:
    """Return a row-house or town-hall front with a stepped, curved or pointed gable."""
    wide, deep, tall = (
        float(rng.uniform(9, 18)),
        float(rng.uniform(8, 14)),
        float(rng.uniform(10, 18)),
    )
    rise, steps = wide * float(rng.uniform(0.35, 0.7)), int(rng.integers(3, 8))
    style = int(rng.integers(3))
    t = np.linspace(-1, 1, 2 * steps + 1)
    if style == 0:
        line = []
        for a, b in pairwise(t):
            top = tall + rise * (1 - min(abs(a), abs(b)))
            line += [(a * wide / 2, 0.0, top), (b * wide / 2, 0.0, top)]
    elif style == 1:
        swing = float(rng.uniform(0.05, 0.15))
        line = [
            (x * wide / 2, 0.0, tall + rise * (1 - abs(x) ** 1.5 + swing * np.sin(8 * abs(x))))
            for x in t
        ]
    else:
        line = [(-wide / 2, 0.0, tall), (0.0, 0.0, tall + rise), (wide / 2, 0.0, tall)]
    parts = [
        slab(line, 0.9, kit.windowed).moved(0, -deep / 2),
        box(wide, deep, tall, kit.wall),
        gable(wide, deep, rise * 0.9, kit.roof, kit.wall).moved(0, 0, tall),
        arcade(wide * 0.96, tall * 0.28, 0.8, choose(rng, 1, 3, 5), kit.trim).moved(
            0, -deep / 2 - 0.7
        ),
        box(wide * 1.04, 0.6, 0.5, kit.trim).moved(
            0, -deep / 2 - 0.4, tall * float(rng.uniform(0.5, 0.9))
        ),
    ]
    if rng.random() < 0.5:
        r = wide * float(rng.uniform(0.12, 0.2))
        x = float(rng.uniform(-1, 1)) * wide * 0.5
        high = (tall + rise) * float(rng.uniform(1.0, 1.6))
        parts += [
            lathe([(r, 0), (r, high)], choose(rng, 4, 8), kit.wall2).moved(x, -deep / 3),
            spire(rng, kit, r, 8).moved(x, -deep / 3, high),
        ]
    if rng.random() < 0.4:
        crest = triangles(
            [[[-wide * 0.2, 0, 0], [wide * 0.2, 0, 0], [0, 0, rise * 0.3]]], kit.accent
        )
        parts.append(crest.moved(0, -deep / 2 - 0.6, tall))
    return merge(parts)
