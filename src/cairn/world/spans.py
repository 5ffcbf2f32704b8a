"""Families that span and surround: bridges, gates, arenas, giant wheels.

Each is a function (rng, kit) -> Mesh standing on z = 0 with its front towards -y.
"""

from __future__ import annotations

from itertools import pairwise
from math import pi

import numpy as np

from cairn.world.figures import animal
from cairn.world.materials import Kit
from cairn.world.mesh import Mesh, merge
from cairn.world.solids import (
    arcade,
    arch_line,
    ball,
    box,
    cylinder,
    gable,
    lathe,
    slab,
    tube,
)
from cairn.world.towers import choose, spire

Rng = np.random.Generator


def bridge(rng: Rng, kit: Kit) -> Mesh:
    """Return a stone, hanging or cable-stayed bridge along x."""
    long, wide, style = float(rng.uniform(35, 80)), float(rng.uniform(4, 7)), int(rng.integers(3))
    if style == 0:
        bays, tall = choose(rng, 1, 3, 3, 5, 7), float(rng.uniform(6, 13))
        hump = float(rng.uniform(0, 0.35)) * tall
        pitch, line = long / bays, [(-long / 2, 0.0)]
        share, flat = float(rng.uniform(0.6, 0.85)), float(rng.uniform(0.4, 0.9))
        for bay in range(bays):
            middle, half = -long / 2 + pitch * (bay + 0.5), pitch * share / 2
            rise = min(half * flat, tall * 0.75)
            line += arch_line(middle - half, middle + half, max(0.2, tall * 0.85 - rise), rise)
        line.append((long / 2, 0.0))
        wall = slab(
            [(x, z, tall + hump * (1 - (2 * x / long) ** 2)) for x, z in line], wide, kit.wall
        )
        parts = [wall]
        rails = [
            (x, tall + hump * (1 - (2 * x / long) ** 2), 0.0)
            for x in np.linspace(-long / 2, long / 2, 13)
        ]
        rail = slab([(x, z, z + 1.1) for x, z, _ in rails], 0.4, kit.trim)
        parts += [rail.moved(0, -wide / 2), rail.moved(0, wide / 2)]
        for spot in sorted(
            {float(s) for s in rng.choice([-0.5, 0.0, 0.5], int(rng.integers(0, 4)))}
        ):
            post = merge(
                [
                    lathe([(1.6, 0), (1.4, tall * 1.9)], 4, kit.wall2),
                    spire(rng, kit, 1.5, 4).moved(0, 0, tall * 1.9),
                ]
            )
            parts += [post.moved(spot * long, -wide / 2), post.moved(spot * long, wide / 2)]
        return merge(parts)
    deck, high = float(rng.uniform(5, 9)), float(rng.uniform(18, 34))
    parts = [box(long, wide, 1.0, kit.trim).moved(0, 0, deck)]
    spots = [0.0] if rng.random() < 0.35 else [-long * 0.25, long * 0.25]
    lean = float(rng.uniform(0, 1.5))
    material = kit.metal if rng.random() < 0.5 else kit.wall
    for x in spots:
        for y in (-1.0, 1.0):
            post = tube(
                [(x, y * (wide / 2 + lean), 0), (x, y * wide / 2, high)], 0.9, material, sides=4
            )
            parts.append(post)
        cross = sorted(rng.uniform(0.45, 0.98, int(rng.integers(1, 4))).tolist())
        parts += [box(1.2, wide + 1, 1.0, material).moved(x, 0, high * share) for share in cross]
    for y in (-wide / 2, wide / 2):
        if style == 1:
            knots = [-long / 2, *spots, long / 2]
            for a, b in pairwise(knots):
                za, zb = (
                    (high if abs(a) < long / 2 else deck + 1),
                    (high if abs(b) < long / 2 else deck + 1),
                )
                t = np.linspace(0, 1, 9)
                sag = (min(za, zb) - deck - 1.5) * 4 * t * (1 - t) * (1.0 if za == zb else 0.45)
                cable = np.stack(
                    [a + (b - a) * t, np.full(9, y), za + (zb - za) * t - sag], axis=-1
                )
                parts.append(tube(cable, 0.22, kit.metal, sides=4))
                parts += [
                    tube([tuple(p), (p[0], y, deck)], 0.08, kit.metal, sides=3) for p in cable[1:-1]
                ]
        else:
            for x in spots:
                for k in range(1, 7):
                    for sign in (-1, 1):
                        end = x + sign * k * long * (0.08 if len(spots) == 1 else 0.04)
                        parts.append(
                            tube(
                                [(x, y, high * (0.55 + 0.07 * k)), (end, y, deck + 1)],
                                0.1,
                                kit.metal,
                                sides=3,
                            )
                        )
    return merge(parts)


def gate(rng: Rng, kit: Kit) -> Mesh:
    """Return a triumphal arch, a towered gate or a beam gate."""
    style = int(rng.integers(4))
    wide, tall, deep = (
        float(rng.uniform(10, 20)),
        float(rng.uniform(10, 20)),
        float(rng.uniform(3, 7)),
    )
    if style == 3:
        r, lean = float(rng.uniform(0.4, 0.9)), float(rng.uniform(0, 0.12))
        posts = [
            tube(
                [(s * wide * (0.4 + lean), 0, 0), (s * wide * 0.38, 0, tall)],
                r,
                kit.accent,
                sides=8,
            )
            for s in (-1, 1)
        ]
        beams = [
            box(wide * float(rng.uniform(0.85, 1.3)), r * 2.2, r * 1.6, kit.roof).moved(
                0, 0, tall * z
            )
            for z in (0.76, 1.0)
        ]
        roofs = (
            gable(r * 4, wide * 1.3, r * 2, kit.roof, kit.trim)
            .turned(pi / 2)
            .moved(0, 0, tall + r * 1.6)
        )
        return merge([*posts, *beams, roofs])
    bays = choose(rng, 1, 1, 3)
    line = [(-wide / 2, 0.0)]
    open_wide = wide * float(rng.uniform(0.25, 0.45))
    spring = tall * float(rng.uniform(0.3, 0.45))
    if bays == 3:
        line += arch_line(-wide * 0.42, -wide * 0.26, spring * 0.55, wide * 0.08)
    line += arch_line(
        -open_wide / 2, open_wide / 2, spring, open_wide / 2, pointed=bool(rng.random() < 0.3)
    )
    if bays == 3:
        line += arch_line(wide * 0.26, wide * 0.42, spring * 0.55, wide * 0.08)
    line.append((wide / 2, 0.0))
    top = tall * float(rng.uniform(0.72, 0.95))
    parts = [
        slab([(x, z, top) for x, z in line], deep, kit.wall),
        box(wide * 1.05, deep * 1.15, 0.8, kit.trim).moved(0, 0, top),
    ]
    if style == 0:
        attic = box(
            wide * float(rng.uniform(0.6, 1.0)),
            deep * 0.9,
            tall * float(rng.uniform(0.12, 0.3)),
            kit.accent,
        )
        parts.append(attic.moved(0, 0, top + 0.8))
        columns = cylinder(0.45, top, kit.trim, sides=10).copies(
            [(s * x * wide, -deep / 2 - 0.3, 0) for s in (-1, 1) for x in (0.24, 0.46)]
        )
        parts.append(columns)
        if rng.random() < 0.5:
            horse = animal(rng, kit.metal, kit.metal).turned(-pi / 2)
            parts.append(
                horse.scaled(2.2, 2.2, 2.2).copies(
                    [(x, 0, top + tall * 0.25) for x in (-2.2, 0, 2.2)]
                )
            )
    elif style == 1:
        r, high = wide * float(rng.uniform(0.14, 0.24)), tall * float(rng.uniform(1.1, 1.7))
        sides = choose(rng, 4, 14, 8)
        flank = merge(
            [
                lathe([(r * 1.1, 0), (r, high)], sides, kit.wall2),
                spire(rng, kit, r, sides).moved(0, 0, high),
            ]
        )
        parts.append(flank.copies([(-wide / 2, 0, 0), (wide / 2, 0, 0)]))
    else:
        hall = merge(
            [
                box(wide * 0.8, deep * 0.9, tall * 0.3, kit.windowed),
                gable(deep * 1.3, wide, tall * 0.25, kit.roof, kit.wall, hip=0.2)
                .turned(pi / 2)
                .moved(0, 0, tall * 0.3),
            ]
        )
        parts.append(hall.moved(0, 0, top + 0.8))
    return merge(parts)


def arena(rng: Rng, kit: Kit) -> Mesh:
    """Return an amphitheatre of arcades or a modern stadium bowl."""
    radius, squash = float(rng.uniform(18, 30)), float(rng.uniform(0.65, 1.0))
    if rng.random() < 0.6:
        bays, z, parts = int(rng.integers(14, 26)), 0.0, []
        for tier in range(int(rng.integers(2, 5))):
            height = float(rng.uniform(4, 7))
            share = 1.0 if tier == 0 or rng.random() < 0.6 else float(rng.uniform(0.4, 0.8))
            count = max(3, round(bays * share))
            wall = arcade(
                2 * pi * radius * count / bays,
                height,
                2.0,
                count,
                kit.wall,
                open_share=float(rng.uniform(0.4, 0.7)),
                steps=5,
            )
            parts.append(wall.bent(radius).moved(0, 0, z))
            if share == 1.0:
                parts.append(
                    lathe(
                        [
                            (radius * 1.04, z + height - 0.3),
                            (radius * 1.04, z + height + 0.4),
                            (radius * 0.9, z + height + 0.4),
                        ],
                        36,
                        kit.trim,
                    )
                )
            z += height
        parts.append(lathe([(radius * 0.45, 0.5), (radius * 0.93, z * 0.75)], 30, kit.wall2))
        return merge(parts).scaled(1.0, squash, 1.0)
    tall, lean = float(rng.uniform(9, 20)), float(rng.uniform(1.0, 1.3))
    skin = (kit.accent, kit.windowed, kit.metal)[int(rng.integers(3))]
    parts = [
        lathe(
            [
                (radius, 0),
                (radius * lean, tall * 0.7),
                (radius * lean * 0.97, tall),
                (radius * 0.72, tall * 0.93),
            ],
            32,
            skin,
        ),
        lathe([(radius * 0.5, 0.5), (radius * 0.85, tall * 0.8)], 28, kit.accent),
    ]
    masts = choose(rng, 0, 4, 8, 12)
    if masts:
        mast = tube(
            [(0, -radius * 1.05, 0), (0, -radius * 1.3, tall * 1.6), (0, -radius * 0.75, tall)],
            0.4,
            kit.metal,
            sides=4,
        )
        parts.append(mast.around(masts, pi / masts))
    return merge(parts).scaled(1.0, squash, 1.0)


def wheel(rng: Rng, kit: Kit) -> Mesh:
    """Return a giant wheel with spokes, cabins and two legs."""
    r, spokes = float(rng.uniform(14, 26)), int(rng.integers(8, 24))
    t = np.linspace(0, 2 * pi, 33)
    rim = tube(np.stack([r * np.cos(t), 0 * t, r * np.sin(t)], -1), r * 0.025, kit.metal, sides=4)
    parts = [rim.moved(0, -1), rim.moved(0, 1)]
    cabin = (
        ball(1.1, 1.1, 1.3, kit.accent),
        box(2, 2, 2.2, kit.windowed),
        box(1.6, 2.4, 1.6, kit.accent),
    )[int(rng.integers(3))]
    for k in range(spokes):
        x, z = r * float(np.cos(2 * pi * k / spokes)), r * float(np.sin(2 * pi * k / spokes))
        parts += [
            tube([(0, 0, 0), (x, 0, z)], r * 0.008, kit.trim, sides=3),
            cabin.moved(x, 0, z - 1),
        ]
    lift = r * 1.15
    feet = float(rng.uniform(0.3, 0.7)) * r
    legs = [
        tube([(s * feet, y, 0), (0, y, lift)], r * 0.04, kit.metal, sides=4)
        for s in (-1, 1)
        for y in (-2.5, 2.5)
    ]
    house = box(r * float(rng.uniform(0.5, 1.2)), 8, 4, kit.windowed)
    return merge([merge(parts).moved(0, 0, lift), *legs, house])
