"""Families of structures that rise: towers, lighthouses, pagodas, columns, skyscrapers, windmills.

Each family is a function (rng, kit) -> Mesh standing on z = 0 with its front towards -y. Numbers
are drawn, never fixed: two members of a family share an idea, not a shape.
"""

from __future__ import annotations

from math import pi

import numpy as np

from cairn.world.figures import figure
from cairn.world.materials import Kit
from cairn.world.mesh import Mesh, merge
from cairn.world.solids import arcade, ball, box, cylinder, dome, gable, lathe, tube

Rng = np.random.Generator


def choose(rng: Rng, *options: int) -> int:
    """Return one of ``options``."""
    return int(options[int(rng.integers(len(options)))])


def battlements(radius: float, sides: int, height: float, material: int, teeth: int) -> Mesh:
    """Return merlons on the rim of a round or square tower top at z = 0."""
    if sides == 4:
        count = max(3, teeth // 4)
        tooth = box(radius / count, radius * 0.16, height, material)
        spots = np.linspace(-radius * 0.92, radius * 0.92, count)
        row = tooth.copies([(x, -radius * 0.92, 0) for x in spots])
        return row.around(4)
    tooth = box(radius * 3.1 / teeth, radius * 0.16, height, material)
    return tooth.moved(0, -radius * 0.94).around(teeth)


def spire(rng: Rng, kit: Kit, radius: float, sides: int) -> Mesh:
    """Return a top for a shaft of ``radius``: cone, dome, onion, battlements, lantern or slab."""
    style = int(rng.integers(7))
    if style == 0:
        rise = radius * float(rng.uniform(1.6, 5.0))
        waist = float(rng.uniform(0.35, 0.62))
        return lathe([(radius * 1.12, 0), (radius * waist, rise * 0.3), (0, rise)], sides, kit.roof)
    if style == 1:
        shell = dome(radius * 1.02, radius * float(rng.uniform(0.8, 1.5)), kit.metal, sides=16)
        mast = tube([(0, 0, radius), (0, 0, radius * 2.4)], radius * 0.06, kit.metal)
        return merge([shell, mast])
    if style == 2:
        bulge = float(rng.uniform(0.5, 1.0))
        return dome(radius, radius * float(rng.uniform(1.8, 2.8)), kit.metal, sides=16, bulge=bulge)
    if style == 3:
        edge = lathe(
            [(radius, 0), (radius * 1.14, radius * 0.3), (0, radius * 0.3)], sides, kit.trim
        )
        teeth = battlements(radius * 1.1, sides, radius * 0.35, kit.wall, choose(rng, 8, 12, 16))
        return merge([edge, teeth.moved(0, 0, radius * 0.3)])
    if style == 4:
        posts = cylinder(radius * 0.1, radius * 1.3, kit.trim, sides=6)
        ring = posts.moved(0, -radius * 0.75).around(8)
        cap = dome(radius * 0.95, radius * 0.9, kit.metal, sides=14).moved(0, 0, radius * 1.3)
        base = lathe(
            [(radius * 1.1, 0), (radius * 1.1, radius * 0.15), (0, radius * 0.15)], sides, kit.trim
        )
        return merge([base, ring, cap])
    if style == 5:
        rise = radius * float(rng.uniform(0.6, 1.6))
        return merge(
            [
                lathe([(radius * 1.2, 0), (0, rise)], sides, kit.roof),
                ball(radius * 0.12, radius * 0.12, radius * 0.2, kit.metal).moved(0, 0, rise),
            ]
        )
    tiers = choose(rng, 2, 3)
    return lathe(
        [
            point
            for k in range(tiers)
            for point in (
                (radius * (1.05 - 0.3 * k), radius * 0.5 * k),
                (radius * (1.05 - 0.3 * k), radius * 0.5 * (k + 1)),
            )
        ]
        + [(0.0, radius * 0.5 * tiers)],
        sides,
        kit.trim,
    )


def tower(rng: Rng, kit: Kit) -> Mesh:
    """Return a tower of two to five storeys of different cut, with cornices and a top."""
    sides = choose(rng, 4, 4, 6, 8, 16)
    radius = float(rng.uniform(2.5, 6.0))
    parts, z = [], 0.0
    if rng.random() < 0.5:
        low = float(rng.uniform(1.2, 2.2)) * radius
        parts.append(lathe([(low, 0), (low, radius * 0.6), (0, radius * 0.6)], 4, kit.paving))
        z = radius * 0.6
    for storey in range(int(rng.integers(2, 6))):
        height = radius * float(rng.uniform(0.7, 3.4))
        top = radius * float(rng.uniform(0.84, 1.0))
        material = (kit.wall, kit.wall, kit.windowed, kit.wall2, kit.accent)[int(rng.integers(5))]
        parts.append(lathe([(radius, z), (top, z + height)], sides, material))
        if rng.random() < 0.35 and sides != 16:
            wide = radius * 2 * float(rng.uniform(0.4, 0.7))
            niche = arcade(wide, height * 0.8, 0.4, choose(rng, 1, 2, 3), kit.trim, spring=0.4)
            parts.append(niche.moved(0, -radius * 1.02, z + height * 0.1).around(4))
        z += height
        lip, brim = float(rng.uniform(0.2, 0.6)), top * float(rng.uniform(1.05, 1.35))
        parts.append(
            lathe([(top, z - lip), (brim, z), (brim, z + lip), (0, z + lip)], sides, kit.trim)
        )
        z += lip
        radius = top * float(rng.uniform(0.62, 1.0))
        if storey == 0 and rng.random() < 0.3:
            sides = choose(rng, 4, 8, 16)
    return merge([*parts, spire(rng, kit, radius, sides).moved(0, 0, z)])


def lighthouse(rng: Rng, kit: Kit) -> Mesh:
    """Return a tapering shaft with gallery and lantern, sometimes with a keeper's house."""
    foot, height = float(rng.uniform(2.5, 4.5)), float(rng.uniform(16, 38))
    top = foot * float(rng.uniform(0.5, 0.8))
    curve = float(rng.uniform(0, 0.25))
    sides = choose(rng, 8, 6, 20, 20)
    t = np.linspace(0, 1, 6)
    radii = foot + (top - foot) * t - curve * foot * np.sin(t * pi)
    shaft = lathe(list(zip(radii.tolist(), (t * height).tolist(), strict=True)), sides, kit.accent)
    wide = top * float(rng.uniform(1.3, 1.7))
    parts = [
        shaft,
        lathe(
            [(top, height - 1), (wide, height), (wide, height + 0.5), (0, height + 0.5)],
            sides,
            kit.trim,
        ),
        lathe([(top * 0.75, 0), (top * 0.75, 2.6)], 10, kit.windowed).moved(0, 0, height + 0.5),
        spire(rng, kit, top * 0.8, 12).moved(0, 0, height + 3.1),
    ]
    if rng.random() < 0.6:
        wide, deep = float(rng.uniform(6, 12)), float(rng.uniform(5, 8))
        side = float(rng.choice([-1, 1])) * (foot + wide / 2)
        house = merge(
            [
                box(wide, deep, 3.8, kit.windowed),
                gable(deep * 1.1, wide * 1.1, float(rng.uniform(1.5, 3.5)), kit.roof, kit.wall)
                .turned(pi / 2)
                .moved(0, 0, 3.8),
            ]
        )
        parts.append(house.moved(side, float(rng.uniform(-3, 3))))
    return merge(parts)


def pagoda(rng: Rng, kit: Kit) -> Mesh:
    """Return a stack of storeys with spreading, curved eaves."""
    sides = choose(rng, 4, 4, 6, 8)
    tiers, radius = int(rng.integers(3, 10)), float(rng.uniform(3.5, 7.0))
    shrink, curl = float(rng.uniform(0.78, 0.95)), float(rng.uniform(0.0, 0.5))
    eave, share = float(rng.uniform(1.25, 1.9)), float(rng.uniform(0.5, 1.1))
    wall = (kit.windowed, kit.wall, kit.accent)[int(rng.integers(3))]
    parts = [lathe([(radius * 1.7, 0), (radius * 1.7, 1.2), (0, 1.2)], 4, kit.paving)]
    z = 1.2
    for tier in range(tiers):
        height = radius * share * (1.5 if tier == 0 else 1.0)
        parts.append(lathe([(radius, z), (radius * 0.97, z + height)], sides, wall))
        z += height
        out, rise = radius * eave, radius * 0.42
        roof = [
            (out, z - rise * 0.2 + curl),
            (radius * 1.1, z + rise * 0.35),
            (radius * 0.6, z + rise),
        ]
        parts += [
            lathe(roof, sides, kit.roof),
            lathe([(radius, z), (out, z - 0.2 * rise + curl)], sides, kit.trim),
        ]
        z += rise * 0.8
        radius *= shrink
    mast = [
        (0.3, z),
        (0.7, z + 0.6),
        (0.25, z + 1.2),
        (0.5, z + 2),
        (0.1, z + 2.4),
        (0, z + radius * 2),
    ]
    return merge([*parts, lathe(mast, 8, kit.metal)])


def column(rng: Rng, kit: Kit) -> Mesh:
    """Return an obelisk or a memorial column on a stepped base, often with a figure on top."""
    base = float(rng.uniform(2.0, 4.5))
    steps = int(rng.integers(1, 5))
    parts, z = [], 0.0
    for k in range(steps):
        side = base * (1.3 + 0.35 * (steps - k))
        parts.append(
            lathe([(side, z), (side, z + 0.5), (0, z + 0.5)], choose(rng, 4, 4, 8), kit.paving)
        )
        z += 0.5
    tall = base * float(rng.uniform(0.8, 1.8))
    parts.append(
        lathe(
            [
                (base, z),
                (base * 0.95, z + tall),
                (base * 1.15, z + tall * 1.08),
                (0, z + tall * 1.08),
            ],
            4,
            kit.wall2,
        )
    )
    z += tall * 1.08
    height, sides = base * float(rng.uniform(4, 9)), choose(rng, 4, 4, 6, 18, 18)
    r, thin = base * float(rng.uniform(0.4, 0.75)), float(rng.uniform(0.5, 0.95))
    shaft = (kit.wall, kit.accent, kit.trim, kit.wall)[int(rng.integers(4))]
    parts.append(lathe([(r * 1.2, z), (r, z + r), (r * thin, z + height)], sides, shaft))
    z += height
    if sides < 18 and rng.random() < 0.7:
        parts.append(lathe([(r * thin, z), (0, z + r * 1.6)], sides, kit.metal))
    else:
        cap = r * thin * 1.6
        parts.append(
            lathe(
                [(r * thin, z), (cap, z + 0.6), (cap, z + 1), (0, z + 1)],
                choose(rng, 4, 12),
                kit.trim,
            )
        )
        if rng.random() < 0.7:
            parts.append(
                figure(rng, kit.metal, kit.metal, kit.metal, pose="statue")
                .scaled(*(3 * [base * 0.9]))
                .moved(0, 0, z + 1)
            )
        else:
            parts.append(ball(r, r, r, kit.metal).moved(0, 0, z + 1 + r))
    return merge(parts)


def skyscraper(rng: Rng, kit: Kit) -> Mesh:
    """Return a tall modern building: set back, tapered or twisted, with a crown."""
    radius, height = float(rng.uniform(8, 14)), float(rng.uniform(50, 120))
    sides = choose(rng, 4, 4, 3, 6, 8, 20)
    style = int(rng.integers(4))
    skin = (kit.windowed, kit.windowed, kit.accent)[int(rng.integers(3))]
    if style == 0:
        profile, r, z = [], radius, 0.0
        for _ in range(int(rng.integers(2, 6))):
            step = height * float(rng.uniform(0.12, 0.4))
            profile += [(r, z), (r, z + step)]
            z, r = z + step, r * float(rng.uniform(0.6, 0.92))
        body, height = lathe([*profile, (0, z)], sides, skin), z
        top = r
    elif style == 1:
        t = np.linspace(0, 1, 14)
        top = radius * float(rng.uniform(0.35, 1.0))
        radii = radius + (top - radius) * t
        body = lathe(list(zip(radii.tolist(), (t * height).tolist(), strict=True)), sides, skin)
        body = body.twisted(float(rng.uniform(-1, 1)) * pi / height)
    elif style == 2:
        t = np.linspace(0, 1, 12)
        swell, top = float(rng.uniform(-0.3, 0.4)), radius * float(rng.uniform(0.2, 0.8))
        radii = radius + (top - radius) * t**2 + swell * radius * np.sin(t * pi)
        body = lathe(
            list(zip(radii.tolist(), (t * height).tolist(), strict=True)), sides, skin, smooth=True
        )
    else:
        gap, top = radius * float(rng.uniform(0.9, 1.5)), radius * 0.6
        low = height * float(rng.uniform(0.6, 1.0))
        return merge(
            [
                lathe([(radius * 0.6, 0), (top, height), (0, height)], sides, skin).moved(-gap),
                lathe([(radius * 0.6, 0), (top, low), (0, low)], sides, skin).moved(gap),
                box(gap * 2, radius * 0.5, 4, kit.trim).moved(
                    0, 0, low * float(rng.uniform(0.3, 0.8))
                ),
            ]
        )
    crown = spire(rng, kit, max(top, 1.0), sides).moved(0, 0, height)
    podium = box(
        radius * float(rng.uniform(2.4, 4)), radius * 2.6, float(rng.uniform(3, 9)), kit.wall
    )
    return merge([body, crown, podium] if rng.random() < 0.6 else [body, crown])


def lattice(rng: Rng, kit: Kit) -> Mesh:
    """Return an open iron tower of legs and braces with platforms."""
    base, height = float(rng.uniform(8, 16)), float(rng.uniform(40, 80))
    tiers, bow = int(rng.integers(4, 9)), float(rng.uniform(1.0, 2.6))
    levels = np.linspace(0, 1, tiers + 1)
    reach = base * ((1 - levels) ** bow * 0.92 + 0.06)
    thick = base * float(rng.uniform(0.03, 0.06))
    leg = [(-r, -r, h * height) for r, h in zip(reach, levels, strict=True)]
    side = [tube(leg, thick, kit.metal, sides=4, taper=0.5)]
    for k in range(tiers):
        r0, r1, z0, z1 = reach[k], reach[k + 1], levels[k] * height, levels[k + 1] * height
        for a, b in (((-r0, z0), (r1, z1)), ((r0, z0), (-r1, z1)), ((-r1, z1), (r1, z1))):
            ya, yb = -r0 if a[1] == z0 else -r1, -r1
            side.append(
                tube([(a[0], ya, a[1]), (b[0], yb, b[1])], thick * 0.45, kit.metal, sides=3)
            )
    parts = [merge(side).around(4)]
    for k in sorted({int(rng.integers(1, tiers)), int(rng.integers(1, tiers))}):
        r = float(reach[k]) * 1.25
        parts.append(
            box(2 * r, 2 * r, height * 0.025, kit.trim).moved(0, 0, float(levels[k]) * height)
        )
    if rng.random() < 0.6:
        half = float(reach[0]) * 0.95
        bow_path = [
            (half * float(np.cos(t)), -base, half * float(np.sin(t)))
            for t in np.linspace(0, pi, 10)
        ]
        parts.append(tube(bow_path, thick * 0.7, kit.metal, sides=4).around(4))
    parts.append(tube([(0, 0, height), (0, 0, height * 1.12)], thick * 0.4, kit.metal))
    return merge(parts)


def windmill(rng: Rng, kit: Kit) -> Mesh:
    """Return a mill: round or eight-sided body, cap and four to eight sails."""
    foot, height = float(rng.uniform(3, 5)), float(rng.uniform(8, 18))
    top, sides = foot * float(rng.uniform(0.55, 0.95)), choose(rng, 8, 18, 6)
    waist = float(rng.uniform(0.25, 0.55))
    parts = [
        lathe([(foot, 0), (foot + (top - foot) * waist, height * waist)], sides, kit.wall2),
        lathe([(foot + (top - foot) * waist, height * waist), (top, height)], sides, kit.windowed),
        dome(top * 1.1, top * float(rng.uniform(0.7, 1.6)), kit.roof, sides=12).moved(0, 0, height),
    ]
    if rng.random() < 0.5:
        wide = foot * float(rng.uniform(1.3, 1.6))
        z = height * waist
        parts.append(lathe([(wide, z), (wide, z + 0.4), (top, z + 0.4)], sides, kit.trim))
    reach, blades = height * float(rng.uniform(0.55, 0.95)), choose(rng, 4, 4, 6, 8)
    vane = float(rng.uniform(0.09, 0.2)) * reach
    sail = merge(
        [
            tube([(0, 0, 0), (0, 0, reach)], 0.16, kit.trim, sides=4),
            box(vane, 0.08, reach * 0.75, kit.accent).moved(vane * 0.6, 0, reach * 0.22),
        ]
    )
    turn = float(rng.uniform(0, pi))
    wheel = merge([sail.turned(turn + k * 2 * pi / blades, "y") for k in range(blades)])
    hub = ball(0.6, 1.2, 0.6, kit.trim).moved(0, 0.6)
    return merge([*parts, merge([wheel, hub]).moved(0, -top * 1.2, height + top * 0.3)])
