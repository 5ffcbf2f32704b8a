"""Families that heap up or stand as signs: pyramids, shrines, statues, rocks, fountains.

Each is a function (rng, kit) -> Mesh standing on z = 0 with its front towards -y.
"""

from __future__ import annotations

from math import pi

import numpy as np

from cairn.world.figures import animal, figure
from cairn.world.materials import Kit
from cairn.world.mesh import Mesh, merge
from cairn.world.solids import (
    ball,
    box,
    cylinder,
    dome,
    lathe,
    lumps,
    slab,
    tube,
)
from cairn.world.towers import choose, spire

Rng = np.random.Generator


def pyramid(rng: Rng, kit: Kit) -> Mesh:
    """Return a smooth, stepped or bent pyramid, with stairs or a shrine on top."""
    base, rise = float(rng.uniform(12, 24)), float(rng.uniform(0.5, 1.3))
    style, sides = int(rng.integers(3)), choose(rng, 4, 4, 4, 6, 3)
    if style == 0:
        bend = float(rng.uniform(0.2, 0.8))
        cap = float(rng.uniform(0.0, 0.2))
        waist = float(rng.uniform(0.9, 1.15)) * (1 - bend)
        profile = [
            (base, 0.0),
            (base * max(waist, cap), base * rise * bend),
            (base * cap, base * rise),
            (0.0, base * rise),
        ]
        body = lathe(profile, sides, kit.wall if rng.random() < 0.7 else kit.windowed)
        return (
            merge([body, box(4, 3, 4, kit.trim).moved(0, -base * 0.95)])
            if rng.random() < 0.5
            else body
        )
    steps = int(rng.integers(3, 10))
    top = float(rng.uniform(0.2, 0.5))
    batter = float(rng.uniform(0.0, 0.5))
    profile = []
    for k in range(steps):
        r0 = base * (1 - (1 - top) * k / steps)
        r1 = base * (1 - (1 - top) * (k + batter) / steps)
        profile += [(r0, base * rise * k / steps), (r1, base * rise * (k + 1) / steps)]
    height = base * rise
    parts = [lathe([*profile, (0.0, height)], sides, kit.wall)]
    stair = float(rng.uniform(0.12, 0.3)) * base
    run = slab(
        [(-base * 1.05, 0.0, 0.0), (-base * top, 0.0, height), (-base * top + 0.1, 0.0, height)],
        stair,
        kit.accent if rng.random() < 0.4 else kit.trim,
    )
    flights = choose(rng, 1, 2, 4)
    parts.append(run.turned(pi / 2).around(flights))
    crown = int(rng.integers(3))
    wide = base * top * 1.3
    if crown == 0:
        shrine = merge(
            [
                box(wide, wide * 0.7, wide * 0.5, kit.windowed),
                box(wide * 1.1, wide * 0.8, wide * 0.25, kit.accent).moved(0, 0, wide * 0.5),
            ]
        )
        parts.append(shrine.moved(0, 0, height))
    elif crown == 1:
        parts.append(spire(rng, kit, wide * 0.4, 8).moved(0, 0, height))
    return merge(parts)


def stupa(rng: Rng, kit: Kit) -> Mesh:
    """Return a bell-shaped shrine on terraces, alone or with a ring of small ones."""
    r = float(rng.uniform(6, 11))
    steps = int(rng.integers(1, 5))
    profile = [(r * (1.7 - 0.15 * k), 1.2 * (k + d)) for k in range(steps) for d in (0, 1)]
    z = 1.2 * steps
    bell, slim = float(rng.uniform(0.8, 1.5)), float(rng.uniform(0.15, 0.35))
    t = np.linspace(0, 1, 7)
    body = [
        (r * (slim + (1 - slim) * float(np.cos(a * pi / 2) ** bell)), z + r * 1.1 * float(a))
        for a in t
    ]
    tip = z + r * (1.1 + float(rng.uniform(0.8, 2.2)))
    parts = [
        lathe([*profile, (0.0, z)], choose(rng, 4, 8, 24), kit.paving),
        lathe(body, 24, kit.wall if rng.random() < 0.5 else kit.metal, smooth=True),
        box(r * slim * 2.2, r * slim * 2.2, r * 0.25, kit.accent).moved(0, 0, z + r * 1.08),
        lathe([(r * slim, z + r * 1.3), (0, tip)], 12, kit.metal),
    ]
    if rng.random() < 0.6:
        small = merge(
            [
                cylinder(r * 0.14, r * 0.25, kit.trim),
                dome(r * 0.15, r * 0.3, kit.metal, sides=10, bulge=0.3).moved(0, 0, r * 0.25),
            ]
        )
        parts.append(small.moved(0, -r * 1.5, z * 0.7).around(choose(rng, 4, 8, 12)))
    return merge(parts)


def statue(rng: Rng, kit: Kit) -> Mesh:
    """Return a figure, a rider, a beast or a group on a plinth."""
    base, tall = float(rng.uniform(1.2, 2.6)), float(rng.uniform(1.2, 4.5))
    sides = choose(rng, 4, 4, 8, 14)
    parts = [
        lathe([(base * 2.2, 0), (base * 2.2, 0.4), (0, 0.4)], choose(rng, 4, 12), kit.paving),
        lathe(
            [
                (base * 1.3, 0.4),
                (base * 1.2, 1.0),
                (base, 1.1),
                (base * 0.95, tall),
                (base * 1.15, tall + 0.3),
                (0, tall + 0.3),
            ],
            sides,
            kit.wall,
        ),
    ]
    z, size = tall + 0.3, float(rng.uniform(1.8, 4.2))
    stone = (kit.metal, kit.trim, kit.metal)[int(rng.integers(3))]
    style = int(rng.integers(4))
    body = figure(rng, stone, stone, stone, pose="statue")
    if style == 0:
        parts.append(body.scaled(size, size, size).moved(0, 0, z))
        if rng.random() < 0.6:
            staff = tube(
                [
                    (0.5, -0.1, 0),
                    (0.5 + float(rng.uniform(-0.3, 0.3)), -0.1, float(rng.uniform(1.6, 2.6))),
                ],
                0.04,
                stone,
            )
            parts.append(staff.scaled(size, size, size).moved(0, 0, z))
    elif style == 1:
        horse = animal(rng, stone, stone)
        rider = body.scaled(0.75, 0.75, 0.75).moved(0, 0, float(horse.corners[..., 2].max()) * 0.5)
        turn = float(rng.uniform(-0.6, 0.6))
        parts.append(merge([horse, rider]).turned(turn).scaled(size, size, size).moved(0, 0, z))
    elif style == 2:
        parts.append(
            animal(rng, stone, stone)
            .turned(float(rng.uniform(-1, 1)))
            .scaled(size, size, size)
            .moved(0, 0, z)
        )
    else:
        for k in range(int(rng.integers(2, 5))):
            other = figure(rng, stone, stone, stone, pose="statue").turned(
                float(rng.uniform(-1, 1))
            )
            parts.append(
                other.scaled(size * 0.7, size * 0.7, size * 0.7).moved(
                    (k - 1) * base * 0.9, float(rng.uniform(-0.5, 0.5)), z
                )
            )
    return merge(parts)


def rock(rng: Rng, kit: Kit) -> Mesh:
    """Return a rock: mesa, needle, stack or a group of them, sometimes with a natural arch."""
    parts = []
    spread = float(rng.uniform(3, 9))
    for k in range(int(rng.integers(1, 6))):
        style, r = int(rng.integers(4)), float(rng.uniform(3, 9)) * (1 if k == 0 else 0.6)
        h = r * float(rng.uniform(0.7, 3.2))
        shapes = (
            [(r * 1.4, -0.5), (r, h * 0.3), (r * 0.95, h * 0.8), (r * 0.8, h), (0.01, h * 1.02)],
            [
                (r * 1.1, -0.5),
                (r * 0.7, h * 0.3),
                (r * 0.45, h * 0.7),
                (r * 0.2, h),
                (0.01, h * 1.1),
            ],
            [
                (r * 0.7, -0.5),
                (r * 0.45, h * 0.4),
                (r * 0.55, h * 0.7),
                (r * 0.9, h * 0.85),
                (0.01, h),
            ],
            [
                (r * 1.2, -0.5),
                (r * 1.25, h * 0.2),
                (r, h * 0.5),
                (r * 0.6, h * 0.8),
                (0.01, h * 0.9),
            ],
        )
        profile = shapes[style]
        fine = np.linspace(0, len(profile) - 1, 11)
        radii = np.interp(fine, range(len(profile)), [p[0] for p in profile])
        rise = np.interp(fine, range(len(profile)), [p[1] for p in profile])
        stone = lumps(
            list(zip(radii.tolist(), rise.tolist(), strict=True)),
            22,
            kit.accent,
            rng,
            rough=0.16,
            lobes=7,
        )
        spot = (
            (0.0, 0.0)
            if k == 0
            else (float(rng.normal(0, spread)), float(rng.normal(0, spread * 0.6)))
        )
        parts.append(stone.moved(*spot))
    if rng.random() < 0.3:
        half, r = float(rng.uniform(5, 10)), float(rng.uniform(1.2, 2.6))
        t = np.linspace(0, pi, 12)
        path = np.stack(
            [
                half * np.cos(t),
                rng.normal(0, 0.4, 12),
                half * float(rng.uniform(0.7, 1.5)) * np.sin(t),
            ],
            axis=-1,
        )
        parts.append(tube(path, r, kit.accent, sides=8).moved(float(rng.uniform(-4, 4)), -3))
    return merge(parts)


def sculpture(rng: Rng, kit: Kit) -> Mesh:
    """Return an abstract monument: rings, stacked or leaning solids, fins, a spiral or a cube."""
    size, style = float(rng.uniform(4, 9)), int(rng.integers(5))
    skin = (kit.metal, kit.accent, kit.trim)[int(rng.integers(3))]
    parts = [
        lathe([(size * 0.9, 0), (size * 0.8, 0.7), (0, 0.7)], choose(rng, 4, 6, 20), kit.paving)
    ]
    if style == 0:
        for _ in range(int(rng.integers(1, 5))):
            r = size * float(rng.uniform(0.4, 1.0))
            t = np.linspace(0, 2 * pi, 25)
            ring = tube(
                np.stack([r * np.cos(t), 0 * t, r * np.sin(t)], -1),
                size * float(rng.uniform(0.05, 0.13)),
                skin,
                sides=6,
            )
            parts.append(
                ring.turned(float(rng.uniform(0, pi)), "x" if rng.random() < 0.3 else "z").moved(
                    0, 0, size * 1.05
                )
            )
    elif style == 1:
        z = 0.7
        for _ in range(int(rng.integers(3, 7))):
            s = size * float(rng.uniform(0.25, 0.6))
            solid = (
                box(s * 1.4, s * 1.4, s, skin),
                ball(s * 0.7, s * 0.7, s * 0.6, skin).moved(0, 0, s * 0.5),
                lathe([(s * 0.8, 0), (s * 0.3, s)], 6, kit.wall),
            )
            parts.append(
                solid[int(rng.integers(3))]
                .turned(float(rng.uniform(0, 2)))
                .moved(float(rng.normal(0, s * 0.15)), 0, z)
            )
            z += s * 0.95
    elif style == 2:
        count, lean = int(rng.integers(3, 10)), float(rng.uniform(-0.5, 0.8))
        high = size * float(rng.uniform(1.5, 3.5))
        fin = tube(
            [
                (size * 0.6, 0, 0.5),
                (size * (0.4 + lean * 0.4), 0, high * 0.5),
                (size * lean * 0.9, size * 0.2, high),
            ],
            size * 0.13,
            skin,
            sides=4,
            taper=0.25,
        )
        parts.append(fin.around(count))
    elif style == 3:
        turns, high = float(rng.uniform(1.5, 4)), size * float(rng.uniform(1.5, 3))
        t = np.linspace(0, 1, 40)
        radii = size * 0.6 * (1 - t * float(rng.uniform(0.2, 0.9)))
        path = np.stack(
            [
                radii * np.cos(turns * 2 * pi * t),
                radii * np.sin(turns * 2 * pi * t),
                0.6 + high * t,
            ],
            -1,
        )
        parts += [
            tube(path, size * 0.09, skin, sides=5),
            tube([(0, 0, 0.5), (0, 0, high)], size * 0.06, kit.trim),
        ]
    else:
        s = size * float(rng.uniform(0.7, 1.1))
        frame = box(s, s, s, skin).turned(0.6, "x").turned(0.6, "y")
        parts += [
            frame.moved(0, 0, s * 1.2),
            lathe([(s * 0.15, 0), (s * 0.1, s * 0.8)], 8, kit.trim),
        ]
        parts.append(ball(s * 0.3, s * 0.3, s * 0.3, kit.accent).moved(s * 0.9, 0, s * 0.9))
    return merge(parts)


def fountain(rng: Rng, kit: Kit) -> Mesh:
    """Return basins in tiers with a figure or an obelisk in the middle."""
    r, z = float(rng.uniform(3.5, 7)), 0.0
    sides = choose(rng, 8, 24, 24, 6)
    parts = [
        lathe([(r, 0), (r * 1.05, 0.8), (r * 0.9, 0.8), (r * 0.88, 0.5), (0, 0.5)], sides, kit.wall)
    ]
    for _ in range(int(rng.integers(1, 4))):
        stem, r = r * 0.12, r * float(rng.uniform(0.4, 0.65))
        rise = float(rng.uniform(1.2, 2.8))
        parts.append(
            lathe(
                [
                    (stem, z + 0.4),
                    (stem * 0.7, z + rise),
                    (r, z + rise + 0.5),
                    (r * 0.95, z + rise + 0.7),
                    (0, z + rise + 0.45),
                ],
                18,
                kit.trim,
            )
        )
        z += rise
    stone = kit.metal
    if rng.random() < 0.6:
        parts.append(
            figure(rng, stone, stone, stone, pose="statue")
            .scaled(1.6, 1.6, 1.6)
            .moved(0, 0, z + 0.5)
        )
    else:
        parts.append(lathe([(0.7, z), (0.45, z + 5), (0, z + 5.8)], 4, kit.accent))
    return merge(parts)
