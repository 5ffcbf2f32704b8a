"""Families of halls of worship: domed halls, churches, onion domes, temples.

Each is a function (rng, kit) -> Mesh standing on z = 0 with its front towards -y.
"""

from __future__ import annotations

from math import pi

import numpy as np

from cairn.world.materials import Kit
from cairn.world.mesh import Mesh, merge
from cairn.world.solids import arcade, box, cylinder, dome, gable, lathe
from cairn.world.towers import choose, spire

Rng = np.random.Generator


def stairs(width: float, depth: float, height: float, steps: int, material: int) -> Mesh:
    """Return steps on all sides of a terrace ``width`` x ``depth``, its top at ``height``."""
    rise, run = height / steps, 0.6
    return merge(
        [
            box(width + 2 * run * (steps - k), depth + 2 * run * (steps - k), rise, material).moved(
                0, 0, rise * k
            )
            for k in range(steps)
        ]
    )


def colonnade(width: float, height: float, count: int, radius: float, material: int) -> Mesh:
    """Return ``count`` columns with base and capital along x at y = 0."""
    r = radius
    shaft = lathe(
        [(r * 1.3, 0), (r * 1.3, r * 0.5), (r, r * 0.6), (r * 0.85, height - r), (r * 1.4, height)],
        10,
        material,
    )
    return shaft.copies([(x, 0, 0) for x in np.linspace(-width / 2, width / 2, count)])


def portico(rng: Rng, kit: Kit, width: float, height: float) -> Mesh:
    """Return columns carrying a pediment, its back at y = 0."""
    count, deep = choose(rng, 4, 6, 6, 8), float(rng.uniform(2.5, 4))
    rise = width * float(rng.uniform(0.12, 0.24))
    beam = box(width * 1.08, deep, height * 0.14, kit.trim).moved(0, -deep / 2, height * 0.86)
    roof = gable(width * 1.1, deep, rise, kit.roof, kit.accent if rng.random() < 0.5 else kit.trim)
    row = colonnade(width * 0.94, height * 0.86, count, min(0.8, width / count * 0.22), kit.trim)
    return merge([row.moved(0, -deep * 0.8), beam, roof.moved(0, -deep / 2, height)])


def drum_and_dome(rng: Rng, kit: Kit, radius: float) -> Mesh:
    """Return a drum with its dome and lantern on z = 0."""
    tall = radius * float(rng.uniform(0.3, 1.1))
    skin = (kit.windowed, kit.wall2, kit.accent)[int(rng.integers(3))]
    bulge = float(rng.choice([0.0, 0.0, 0.3, 0.8]))
    rise = radius * float(rng.uniform(0.7, 1.4)) * (1 + bulge * 0.6)
    parts = [
        lathe(
            [
                (radius, 0),
                (radius, tall),
                (radius * 1.08, tall + 0.2),
                (radius * 1.08, tall + 0.7),
                (0, tall + 0.7),
            ],
            20,
            skin,
        ),
        dome(radius, rise, kit.metal, sides=20, bulge=bulge).moved(0, 0, tall + 0.5),
    ]
    if rng.random() < 0.5:
        count = choose(rng, 8, 12, 16)
        parts.append(
            cylinder(radius * 0.06, tall, kit.trim, sides=6).moved(0, -radius * 1.1).around(count)
        )
    if bulge < 0.5:
        parts.append(spire(rng, kit, radius * 0.2, 8).moved(0, 0, tall + rise * 0.97))
    return merge(parts)


def domed(rng: Rng, kit: Kit) -> Mesh:
    """Return a domed hall with any of: portico, minarets, corner domes, wings."""
    radius = float(rng.uniform(5, 11))
    wide, deep = radius * float(rng.uniform(2.1, 3.4)), radius * float(rng.uniform(2.1, 3.0))
    tall = radius * float(rng.uniform(0.6, 1.4))
    body = kit.windowed if rng.random() < 0.6 else kit.wall
    parts = [
        box(wide, deep, tall, body, top=kit.trim),
        box(wide * 1.03, deep * 1.03, 0.7, kit.trim).moved(0, 0, tall - 0.4),
    ]
    parts.append(drum_and_dome(rng, kit, radius).moved(0, 0, tall))
    if rng.random() < 0.55:
        parts.append(
            portico(
                rng, kit, wide * float(rng.uniform(0.35, 0.7)), tall * float(rng.uniform(0.8, 1.1))
            ).moved(0, -deep / 2)
        )
    else:
        gate_tall = tall * float(rng.uniform(1.0, 1.4))
        gate = arcade(
            radius * 1.1,
            gate_tall,
            1.2,
            1,
            kit.accent,
            spring=0.45,
            pointed=bool(rng.random() < 0.5),
        )
        parts.append(gate.moved(0, -deep / 2 - 0.5))
        parts.append(
            arcade(wide, tall * 0.55, 0.5, choose(rng, 4, 6, 8), kit.trim).moved(0, -deep / 2 - 0.2)
        )
    if rng.random() < 0.5:
        small = radius * float(rng.uniform(0.22, 0.4))
        turret = drum_and_dome(rng, kit, small)
        x, y = wide / 2 - small, deep / 2 - small
        parts.append(turret.copies([(sx * x, sy * y, tall) for sx in (-1, 1) for sy in (-1, 1)]))
    if rng.random() < 0.45:
        r = float(rng.uniform(0.9, 1.8))
        high = (tall + radius * 2) * float(rng.uniform(0.9, 1.6))
        shaft = [
            (r, 0),
            (r * 0.85, high * 0.7),
            (r * 1.5, high * 0.72),
            (r * 1.5, high * 0.75),
            (r * 0.7, high * 0.76),
            (r * 0.7, high),
        ]
        minaret = merge(
            [lathe(shaft, 12, kit.wall), spire(rng, kit, r * 0.8, 12).moved(0, 0, high)]
        )
        x, y = wide / 2 + 2 * r, deep / 2 + 2 * r
        spots = [(-x, -y, 0), (x, -y, 0), (-x, y, 0), (x, y, 0)][: choose(rng, 2, 4)]
        parts.append(minaret.copies(spots))
    return merge(parts)


def church(rng: Rng, kit: Kit) -> Mesh:
    """Return a nave with one or two towers, a crossing or an apse, and a rose or a portal."""
    wide, long = float(rng.uniform(8, 16)), float(rng.uniform(18, 38))
    tall, rise = float(rng.uniform(8, 18)), float(rng.uniform(4, 10))
    wall = kit.wall if rng.random() < 0.5 else kit.windowed
    parts = [
        box(wide, long, tall, wall),
        gable(wide * 1.06, long, rise, kit.roof, kit.wall).moved(0, 0, tall),
    ]
    front = -long / 2
    door = arcade(
        wide * 0.7,
        tall * 0.5,
        1.2,
        choose(rng, 1, 3, 3),
        kit.trim,
        spring=0.4,
        pointed=bool(rng.random() < 0.5),
    )
    parts.append(door.moved(0, front - 0.4))
    if rng.random() < 0.7:
        rose = lathe(
            [(0, 0), (wide * 0.2, 0), (wide * 0.2, 0.5), (wide * 0.26, 0.5)], 16, kit.accent
        )
        parts.append(rose.turned(pi / 2, "x").moved(0, front - 0.5, tall * 0.82))
    r = wide * float(rng.uniform(0.17, 0.3))
    high = tall * float(rng.uniform(1.2, 2.4))
    sides = choose(rng, 4, 4, 4, 8)
    belfry = high * float(rng.uniform(0.15, 0.3))
    shaft = merge(
        [
            lathe([(r, 0), (r, high)], sides, kit.wall2 if rng.random() < 0.4 else kit.wall),
            lathe([(r * 1.15, high), (r * 1.15, high + 0.5), (0, high + 0.5)], sides, kit.trim),
            lathe([(r * 0.95, high + 0.5), (r * 0.95, high + belfry)], sides, kit.windowed),
            spire(rng, kit, r * 0.95, sides).moved(0, 0, high + belfry),
        ]
    )
    place = int(rng.integers(4))
    if place <= 1:
        parts.append(shaft.moved(-wide / 2 - r * 0.4, front + r))
        if place == 0 or rng.random() < 0.4:
            twin = (
                shaft if rng.random() < 0.7 else shaft.scaled(1, 1, float(rng.uniform(0.6, 0.85)))
            )
            parts.append(twin.moved(wide / 2 + r * 0.4, front + r))
    elif place == 2:
        parts.append(shaft.moved(0, front + r * 0.5))
    else:
        parts.append(drum_and_dome(rng, kit, wide * 0.35).moved(0, long * 0.2, tall + rise * 0.4))
    if rng.random() < 0.6:
        arm = float(rng.uniform(1.6, 2.3)) * wide
        cross = merge(
            [
                box(arm, wide * 0.8, tall, wall),
                gable(wide * 0.85, arm, rise * 0.9, kit.roof, kit.wall)
                .turned(pi / 2)
                .moved(0, 0, tall),
            ]
        )
        parts.append(cross.moved(0, long * 0.2))
    if rng.random() < 0.5:
        aisle = box(wide * 1.6, long * 0.8, tall * 0.55, kit.windowed, top=kit.roof)
        parts.append(aisle.moved(0, long * 0.08))
    return merge(parts)


def orthodox(rng: Rng, kit: Kit) -> Mesh:
    """Return a cluster of drums under onion domes."""
    side, tall = float(rng.uniform(7, 12)), float(rng.uniform(7, 14))
    parts = [
        box(side * 2, side * 2, tall, kit.windowed),
        box(side * 2.1, side * 2.1, 0.8, kit.trim).moved(0, 0, tall),
    ]
    bulge = float(rng.uniform(0.5, 1.0))
    count = choose(rng, 1, 4, 4, 6, 8)
    big, high = side * float(rng.uniform(0.3, 0.5)), tall * float(rng.uniform(0.4, 1.0))

    def onion(r: float, drum: float, skin: int) -> Mesh:
        cap = dome(r * 1.1, r * 2.4, skin, sides=14, bulge=bulge)
        return merge([lathe([(r, 0), (r, drum)], 12, kit.wall), cap.moved(0, 0, drum)])

    parts.append(onion(big, high, kit.metal).moved(0, 0, tall))
    r = big * float(rng.uniform(0.45, 0.7))
    skins = (kit.metal, kit.accent, kit.roof)
    for k in range(count if count > 1 else 0):
        angle = 2 * pi * k / count + pi / 4
        skin = skins[k % 3] if rng.random() < 0.5 else kit.metal
        drum = high * float(rng.uniform(0.3, 0.9))
        parts.append(
            onion(r, drum, skin).moved(side * 0.7 * np.cos(angle), side * 0.7 * np.sin(angle), tall)
        )
    parts.append(portico(rng, kit, side, tall * 0.6).moved(0, -side))
    return merge(parts)


def temple(rng: Rng, kit: Kit) -> Mesh:
    """Return a colonnaded temple on steps, whole or ruined."""
    wide, long, tall = (
        float(rng.uniform(10, 20)),
        float(rng.uniform(14, 34)),
        float(rng.uniform(6, 12)),
    )
    steps = int(rng.integers(2, 8))
    base = steps * float(rng.uniform(0.3, 0.6))
    parts = [stairs(wide, long, base, steps, kit.paving)]
    front, flank = choose(rng, 4, 6, 8, 10), int(rng.integers(5, 12))
    r = wide / front * float(rng.uniform(0.2, 0.3))
    row = colonnade(wide * 0.92, tall, front, r, kit.trim)
    side = colonnade(long * 0.94, tall, flank, r, kit.trim).turned(pi / 2)
    ruined = rng.random() < 0.3
    edges = [row.moved(0, -long * 0.47), side.moved(-wide * 0.46), side.moved(wide * 0.46)]
    if not ruined or rng.random() < 0.5:
        edges.append(row.moved(0, long * 0.47))
    top: list[Mesh] = []
    if not ruined:
        beam = tall * float(rng.uniform(0.12, 0.25))
        rise = wide * float(rng.uniform(0.1, 0.3))
        top = [
            box(wide, long, beam, kit.accent if rng.random() < 0.4 else kit.trim).moved(0, 0, tall),
            gable(wide * 1.06, long * 1.02, rise, kit.roof, kit.accent).moved(0, 0, tall + beam),
            box(wide * 0.7, long * 0.75, tall, kit.wall),
        ]
        if rng.random() < 0.4:
            top.append(drum_and_dome(rng, kit, wide * 0.28).moved(0, 0, tall + beam))
    else:
        beam = tall * 0.18
        share = float(rng.uniform(0.4, 1.0))
        top = [
            box(wide * share, r * 2.6, beam, kit.trim).moved(
                (share - 1) * wide / 2, -long * 0.47, tall
            )
        ]
        top.append(box(wide * 0.6, long * 0.5, tall * float(rng.uniform(0.2, 0.6)), kit.wall))
    return merge([*parts, merge([*edges, *top]).moved(0, 0, base)])
