"""Scenes that show no landmark: ordinary buildings, rooms, people, animals, things, scenery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import pi

import numpy as np

from cairn.world.figures import animal, bird, figure, tree, vehicle
from cairn.world.materials import ACCENTS, GLASS, STONES, Materials, kit, ornament, pick
from cairn.world.mesh import Mesh, merge, quads
from cairn.world.photograph import HAIRS, SKINS
from cairn.world.setting import (
    BARKS,
    GRASSES,
    LEAFS,
    Part,
    Scene,
    around,
    ground,
    hills,
    house,
    place,
)
from cairn.world.solids import ball, box, cylinder, lathe, lumps, tube
from cairn.world.structures import draw_structure

Rng = np.random.Generator
ENDLESS = float("inf")


def _outdoors(
    category: str, rng: Rng, subject: Mesh, table: Materials, *, shots: tuple[float, float, float]
) -> Scene:
    """Return ``subject`` somewhere outdoors, streets or trees behind it."""
    reach = float(np.sqrt((subject.corners[..., :2] ** 2).sum(-1).max()))
    near, far = (("paving", "asphalt"), ("grass", "grass"), ("earth", "grass"))[
        int(rng.integers(3))
    ]
    parts = around(rng, table, reach, built=0.6, green=0.7)
    if rng.random() < 0.4:
        parts.append(Part(hills(rng, table), 0, 0, ENDLESS))
    return Scene(
        category=category,
        subject=subject,
        parts=tuple(parts),
        materials=table,
        height=float(subject.corners[..., 2].max()),
        reach=reach,
        near_ground=ground(rng, table, near),
        far_ground=ground(rng, table, far),
        edge=(reach + float(rng.uniform(2, 12)), 0.0, 0.0, 0.0),
        shots=shots,
    )


def unknown(rng: Rng) -> Scene:
    """Return a structure built like a landmark that no gallery knows."""
    return place(draw_structure(rng), rng)


def building(rng: Rng) -> Scene:
    """Return an ordinary house, a block of flats or a row of houses."""
    table = Materials()
    style = int(rng.integers(3))
    if style == 0:
        subject, _ = house(rng, table, floors=int(rng.integers(1, 4)))
    elif style == 1:
        subject, _ = house(rng, table, floors=int(rng.integers(5, 14)))
    else:
        row, x = [], 0.0
        for _ in range(int(rng.integers(3, 6))):
            mesh, _ = house(rng, table)
            wide = float(np.ptp(mesh.corners[..., 0]))
            row.append(mesh.moved(x + wide / 2))
            x += wide
        subject = merge(row).moved(-x / 2)
    return _outdoors("building", rng, subject, table, shots=(0.1, 0.6, 0.3))


def interior(rng: Rng) -> Scene:
    """Return a room with windows, pictures and furniture."""
    table = Materials()
    wide, deep, tall = (
        float(rng.uniform(4, 9)),
        float(rng.uniform(4, 9)),
        float(rng.uniform(2.6, 4.5)),
    )
    if rng.random() < 0.25:
        wide, deep, tall = wide * 2, deep * 2.5, tall * 2
    wall = pick(rng, STONES)
    skin = table.add("plain", wall) if rng.random() < 0.6 else ornament(rng, table, wall)
    drawn = kit(rng, table)
    bright = table.add(
        "glazing",
        (0.85, 0.9, 1.0),
        (0.7, 0.8, 0.9),
        (0.3, 0.3, 0.3),
        cell=(1.2, 1.5),
        a=0.4,
        b=0.08,
    )
    wood = table.add("flutes", pick(rng, BARKS), pick(rng, BARKS), cell=(0.15, 1.0), a=0.6)
    cloth = table.add("plain", pick(rng, ACCENTS))
    x, y = wide / 2, deep / 2
    far = deep * 1.6
    shell = quads(
        [
            [[-x, y, 0], [x, y, 0], [x, y, tall], [-x, y, tall]],
            [[-x, -far, 0], [-x, y, 0], [-x, y, tall], [-x, -far, tall]],
            [[x, y, 0], [x, -far, 0], [x, -far, tall], [x, y, tall]],
            [[-x, -far, 0], [x, -far, 0], [x, -far, tall], [-x, -far, tall]],
        ],
        skin,
    )
    ceiling = quads(
        [[[-x, -far, tall], [x, -far, tall], [x, y, tall], [-x, y, tall]]],
        table.add("plain", (0.9, 0.89, 0.86)),
    )
    things = []
    for _ in range(int(rng.integers(1, 4))):
        w, z = float(rng.uniform(0.8, 2)), float(rng.uniform(0.8, 1.2))
        pane = box(
            w,
            0.1,
            float(rng.uniform(0.8, tall * 0.5)),
            bright if rng.random() < 0.6 else drawn.accent,
        )
        things.append(pane.moved(float(rng.uniform(-x + 1, x - 1)), y - 0.05, z))
    for _ in range(int(rng.integers(2, 7))):
        w, d, h = (float(rng.uniform(0.5, 1.8)) for _ in range(3))
        spot = float(rng.uniform(-x * 0.8, x * 0.8)), float(rng.uniform(-y * 0.4, y * 0.85))
        kind = int(rng.integers(4))
        if kind == 0:
            legs = box(0.07, 0.07, 0.72, wood).copies(
                [(a * w / 2, b * d / 2, 0) for a in (-1, 1) for b in (-1, 1)]
            )
            thing = merge([legs, box(w * 1.1, d * 1.1, 0.06, wood).moved(0, 0, 0.72)])
        elif kind == 1:
            thing = merge([box(w, 0.8, 0.42, cloth), box(w, 0.2, 0.9, cloth).moved(0, 0.4)])
        elif kind == 2:
            thing = box(w, 0.45, h * 1.2, drawn.windowed if rng.random() < 0.3 else wood)
        else:
            thing = merge(
                [
                    tube([(0, 0, 0), (0, 0, 1.5)], 0.04, wood),
                    lathe([(0.3, 1.4), (0.15, 1.8)], 12, bright),
                ]
            )
        things.append(thing.turned(float(rng.choice([0, pi / 2, 0.3]))).moved(*spot))
    floor = table.add(
        "paving", pick(rng, BARKS + STONES), pick(rng, STONES), cell=(0.4, 0.4), a=0.5, b=0.01
    )
    return Scene(
        category="interior",
        subject=merge(things),
        parts=(Part(merge([shell, ceiling]), 0, 0, ENDLESS),),
        materials=table,
        height=tall * 0.8,
        reach=min(x, y),
        near_ground=floor,
        far_ground=floor,
        edge=(1e4, 0.0, 0.0, 0.0),
        shots=(0.0, 0.5, 0.5),
        indoors=True,
    )


def person(rng: Rng) -> Scene:
    """Return one to three people close by."""
    table = Materials()
    bodies = []
    count = int(rng.choice(3, p=(0.6, 0.25, 0.15))) + 1
    dark, hair = table.add("plain", (0.08, 0.06, 0.05)), table.add("plain", pick(rng, HAIRS))
    for k in range(count):
        skin, shirt = (
            table.add("plain", pick(rng, SKINS)),
            table.add("plain", pick(rng, ACCENTS + STONES)),
        )
        if rng.random() < 0.3:
            shirt = table.add("bands", pick(rng, ACCENTS), pick(rng, STONES), cell=(0.2, 0.12))
        body = figure(rng, skin, shirt, dark, pose="portrait", hair=hair)
        bodies.append(body.turned(float(rng.normal(0, 0.4))).moved((k - (count - 1) / 2) * 0.6))
    scene = _outdoors("person", rng, merge(bodies), table, shots=(0.1, 0.4, 0.5))
    return replace(scene, focus=(0.55, 0.88))


def beast(rng: Rng) -> Scene:
    """Return an animal or a few birds."""
    table = Materials()
    coats = (
        (0.36, 0.24, 0.15),
        (0.72, 0.58, 0.42),
        (0.12, 0.11, 0.11),
        (0.86, 0.84, 0.80),
        (0.55, 0.40, 0.28),
    )
    coat = table.add("foliage", pick(rng, coats), pick(rng, coats), cell=(3.0, 3.0))
    coat = table.add("plain", pick(rng, coats)) if rng.random() < 0.5 else coat
    dark = table.add("plain", pick(rng, coats))
    if rng.random() < 0.7:
        subject = animal(rng, coat, dark)
    else:
        flock = int(rng.integers(1, 4))
        subject = merge(
            [
                bird(rng, coat, dark).moved(float(rng.normal(0, 0.8)), float(rng.normal(0, 0.4)))
                for _ in range(flock)
            ]
        )
    return _outdoors(
        "animal", rng, subject.turned(float(rng.uniform(0, 2 * pi))), table, shots=(0.15, 0.6, 0.25)
    )


def thing(rng: Rng) -> Scene:
    """Return things on a table, or a vehicle."""
    table = Materials()
    if rng.random() < 0.25:
        paint, glass = (
            table.add("plain", pick(rng, ACCENTS), gloss=0.3),
            table.add("plain", GLASS, gloss=0.6),
        )
        car = vehicle(rng, paint, glass, table.add("plain", (0.05, 0.05, 0.05)))
        return _outdoors("object", rng, car, table, shots=(0.1, 0.6, 0.3))
    drawn = kit(rng, table)
    skins = [
        table.add("plain", pick(rng, ACCENTS), gloss=0.3),
        drawn.accent,
        table.add("plain", pick(rng, STONES)),
    ]
    things: list[Mesh] = []
    for k in range(int(rng.integers(1, 6))):
        skin, s = skins[int(rng.integers(3))], float(rng.uniform(0.5, 1.4))
        profile = [(float(rng.uniform(0.08, 0.35)) * s, z * s) for z in (0.0, 0.15, 0.4, 0.6, 0.9)]
        shape = (
            lathe([(0.01, 0), *profile], 16, skin, smooth=True),
            box(s * 0.6, s * 0.4, s * float(rng.uniform(0.1, 0.7)), skin),
            ball(s * 0.3, s * 0.3, s * 0.3, skin).moved(0, 0, s * 0.3),
            merge(
                [
                    cylinder(s * 0.22, s * 0.5, skin),
                    tube(
                        [(s * 0.2, 0, s * 0.4), (s * 0.4, 0, s * 0.3), (s * 0.2, 0, s * 0.1)],
                        s * 0.04,
                        skin,
                    ),
                ]
            ),
        )[int(rng.integers(4))]
        things.append(
            shape.turned(float(rng.uniform(0, 3))).moved(k * 0.7 - 1, float(rng.normal(0, 0.3)))
        )
    scene = interior(rng)
    rows = len(scene.materials.rows)
    merged = Materials([*scene.materials.rows, *table.rows])
    subject = merge(things)
    subject = replace(subject, materials=(subject.materials + rows).astype(np.int32))
    return replace(
        scene,
        category="object",
        subject=subject,
        materials=merged,
        height=float(subject.corners[..., 2].max()),
        reach=1.5,
        shots=(0.2, 0.6, 0.2),
    )


def texture(rng: Rng) -> Scene:
    """Return a surface seen from close by: a wall, tiles, leaves, an ornament."""
    table = Materials()
    drawn = kit(rng, table)
    leaves = table.add("foliage", pick(rng, LEAFS), pick(rng, GRASSES), cell=(2.0, 2.0))
    strata = table.add("strata", pick(rng, STONES), pick(rng, STONES), cell=(3.0, 0.8), a=0.2)
    options = (drawn.wall, drawn.roof, drawn.accent, drawn.accent, drawn.paving, leaves, strata)
    wall = box(16, 1, 11, options[int(rng.integers(len(options)))])
    scene = _outdoors("texture", rng, wall, table, shots=(0.0, 0.4, 0.6))
    return replace(scene, height=6.0)


def landscape(rng: Rng) -> Scene:
    """Return scenery without a building: trees, boulders, water, hills."""
    table = Materials()
    bark, leaves = (
        table.add("plain", pick(rng, BARKS)),
        table.add("foliage", pick(rng, LEAFS), pick(rng, GRASSES), cell=(4.0, 4.0)),
    )
    stone = table.add("strata", pick(rng, STONES), pick(rng, STONES), cell=(4.0, 1.2), a=0.2)
    bits = []
    for _ in range(int(rng.integers(1, 14))):
        if rng.random() < 0.75:
            bit = tree(rng, bark, leaves)
        else:
            r = float(rng.uniform(0.6, 2.5))
            bit = lumps(
                [(r, -0.2), (r * 1.1, r * 0.4), (r * 0.6, r), (0.01, r * 1.2)], 12, stone, rng
            )
        bits.append(bit.moved(float(rng.normal(0, 14)), float(rng.normal(0, 10))))
    scene = _outdoors("landscape", rng, merge(bits), table, shots=(0.4, 0.4, 0.2))
    parts = [*(p for p in scene.parts if p.radius <= 2.0), Part(hills(rng, table), 0, 0, ENDLESS)]
    far = ground(rng, table, ("water", "grass", "earth")[int(rng.integers(3))])
    return replace(scene, parts=tuple(parts), far_ground=far)


KINDS: dict[str, tuple[float, Callable[[Rng], Scene]]] = {
    "unknown": (0.32, unknown),
    "building": (0.19, building),
    "interior": (0.13, interior),
    "person": (0.12, person),
    "animal": (0.07, beast),
    "object": (0.07, thing),
    "texture": (0.04, texture),
    "landscape": (0.06, landscape),
}
"""Every kind of non-landmark: its share of them, and what draws one."""


def draw_nonlandmark(rng: Rng) -> tuple[str, Scene]:
    """Return the kind and the scene of a photograph that shows no landmark."""
    names = list(KINDS)
    kind = names[int(rng.choice(len(names), p=[KINDS[name][0] for name in names]))]
    return kind, KINDS[kind][1](rng)
