"""Where a structure stands: ground, water, neighbours, trees, hills. A setting never changes.

A `Scene` is a structure in its setting: everything about a place that is the same on every
photograph of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np

from cairn.world.figures import lamp, tree
from cairn.world.materials import GLASS, STONES, Colour, Materials, pick, roofing, shifted
from cairn.world.mesh import Mesh, merge, quads
from cairn.world.solids import box, gable
from cairn.world.structures import Structure

Rng = np.random.Generator

GRASSES: tuple[Colour, ...] = ((0.36, 0.48, 0.22), (0.44, 0.50, 0.26), (0.50, 0.48, 0.30))
EARTHS: tuple[Colour, ...] = ((0.76, 0.66, 0.48), (0.62, 0.52, 0.38), (0.70, 0.60, 0.50))
LEAFS: tuple[Colour, ...] = ((0.22, 0.36, 0.14), (0.30, 0.42, 0.16), (0.18, 0.30, 0.18))
BARKS: tuple[Colour, ...] = ((0.34, 0.26, 0.18), (0.42, 0.36, 0.30))


@dataclass(frozen=True)
class Part:
    """Something beside the structure that may stand in a photographer's way.

    Args:
        mesh: Its triangles, in place.
        x: Its centre.
        y: Its centre.
        radius: The circle on the ground that it fills; infinite for what never hides anything.
    """

    mesh: Mesh
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """A structure in its setting.

    Args:
        category: What it shows: a family of structures or a kind of non-landmark.
        subject: The triangles that the photograph is about.
        parts: What stands around.
        materials: The table of all of them.
        height: Of the subject, metres.
        reach: Of the subject from the z axis, metres.
        near_ground: Material row inside the edge.
        far_ground: Material row outside it.
        edge: (radius, kind, x, y): kind 0 a circle, 1 a straight shore towards (x, y).
        shots: Chances of a far, a whole and a close photograph.
        indoors: Whether it is a room: lamps instead of sun and weather.
        focus: Shares of the height between which the lens is aimed.
    """

    category: str
    subject: Mesh
    parts: tuple[Part, ...]
    materials: Materials
    height: float
    reach: float
    near_ground: int
    far_ground: int
    edge: tuple[float, float, float, float]
    shots: tuple[float, float, float] = (0.15, 0.67, 0.18)
    indoors: bool = False
    focus: tuple[float, float] = (0.35, 0.6)


def ground(rng: Rng, table: Materials, kind: str) -> int:
    """Add a ground material: "paving", "grass", "earth", "asphalt" or "water"."""
    seed = int(rng.integers(1, 1 << 20))
    if kind == "grass":
        base = pick(rng, GRASSES)
        return table.add("grass", base, pick(rng, EARTHS), cell=(1.0, 1.0), a=0.5, seed=seed)
    if kind == "earth":
        base = pick(rng, EARTHS)
        return table.add("plain", base, cell=(1.0, 1.0), seed=seed)
    if kind == "asphalt":
        return table.add("plain", pick(rng, ((0.36, 0.36, 0.37), (0.46, 0.45, 0.43))), seed=seed)
    if kind == "water":
        return table.add(
            "water", pick(rng, ((0.10, 0.22, 0.26), (0.14, 0.26, 0.22), (0.08, 0.16, 0.26)))
        )
    base = pick(rng, STONES)
    cell = (float(rng.uniform(0.8, 4)), float(rng.uniform(0.8, 4)))
    other, joint = shifted(base, float(rng.normal(0, 0.12))), shifted(base, -0.15)
    pattern = "paving" if rng.random() < 0.7 else "checker"
    return table.add(pattern, base, other, joint, cell=cell, a=0.8, b=0.05, seed=seed)


def house(rng: Rng, table: Materials, *, floors: int = 0) -> tuple[Mesh, float]:
    """Return an ordinary building and the radius of the ground it covers."""
    wide, deep = float(rng.uniform(8, 18)), float(rng.uniform(8, 13))
    count = floors or int(rng.integers(2, 7))
    tall = 3.1 * count + 0.5
    base = pick(rng, STONES)
    cell = (float(rng.uniform(2.2, 3.6)), 3.1)
    skin = table.add(
        "windows",
        base,
        shifted(base, 0.18),
        GLASS,
        cell=cell,
        a=float(rng.uniform(0.3, 0.55)),
        b=float(rng.uniform(0.4, 0.62)),
        seed=int(rng.integers(1, 1 << 20)),
    )
    roof = roofing(rng, table)
    parts = [box(wide, deep, tall, skin, top=roof)]
    if rng.random() < 0.65:
        rise = float(rng.uniform(2, 4.5))
        top = gable(
            deep * 1.08, wide * 1.06, rise, roof, skin, hip=float(rng.choice([0.0, 0.0, 0.5]))
        )
        parts.append(top.turned(pi / 2).moved(0, 0, tall))
    if rng.random() < 0.4:
        parts.append(box(0.9, 0.9, 2.5, skin).moved(wide * 0.25, 1, tall))
    return merge(parts), float(np.hypot(wide, deep)) / 2


def hills(rng: Rng, table: Materials) -> Mesh:
    """Return a ridge far away, all around or on one side."""
    far, rise = float(rng.uniform(350, 900)), float(rng.uniform(15, 170))
    count = 72
    angle = np.linspace(0, 2 * pi, count + 1)
    height = np.zeros(count + 1)
    for k in range(1, 9):
        height += rng.normal() / k**0.8 * np.sin(k * angle + rng.uniform(0, 2 * pi))
    jag = rng.uniform(0, 0.12, count + 1)
    jag[-1] = jag[0]
    height = np.maximum(height / 2.2 + jag, -0.02) * rise
    ring = np.stack([far * np.cos(angle), far * np.sin(angle), 0 * angle], axis=-1)
    top = ring * 1.25 + np.stack([0 * angle, 0 * angle, height], axis=-1)
    kind = rng.random()
    if kind < 0.5:
        material = table.add("foliage", pick(rng, LEAFS), pick(rng, GRASSES), cell=(60.0, 60.0))
    else:
        colours = pick(rng, EARTHS), pick(rng, STONES)
        material = table.add(
            "strata", *colours, cell=(120.0, 14.0), a=0.1, seed=int(rng.integers(999))
        )
    return quads(np.stack([ring[:-1], ring[1:], top[1:], top[:-1]], axis=1), material)


def skyline(rng: Rng, table: Materials) -> Mesh:
    """Return far city blocks on one side."""
    facing, spread = float(rng.uniform(0, 2 * pi)), float(rng.uniform(0.5, 2.0))
    skins = [
        table.add(
            "windows",
            pick(rng, STONES),
            pick(rng, STONES),
            GLASS,
            cell=(6.0, 7.0),
            a=0.5,
            b=0.6,
            seed=k,
        )
        for k in range(3)
    ]
    parts = []
    for _ in range(int(rng.integers(8, 20))):
        angle = facing + float(rng.normal(0, spread))
        far = float(rng.uniform(180, 420))
        block = box(
            float(rng.uniform(14, 40)),
            float(rng.uniform(14, 40)),
            float(rng.uniform(15, 90)),
            skins[int(rng.integers(3))],
        )
        parts.append(block.turned(angle).moved(far * cos(angle), far * sin(angle)))
    return merge(parts)


def around(rng: Rng, table: Materials, reach: float, *, built: float, green: float) -> list[Part]:
    """Return neighbours and trees about a subject, the front kept open.

    Args:
        rng: What to draw from.
        table: The table that materials are added to.
        reach: Of the subject, metres.
        built: Chance of a street of neighbours.
        green: Chance of trees.
    """
    parts: list[Part] = []
    if rng.random() < built:
        styles = [house(rng, table, floors=0) for _ in range(int(rng.integers(1, 4)))]
        ring = reach + float(rng.uniform(10, 22))
        for _ in range(int(rng.integers(2, 11))):
            mesh, radius = styles[int(rng.integers(len(styles)))]
            angle = pi / 2 + float(rng.uniform(-2.3, 2.3))
            far = ring + radius + float(rng.exponential(8))
            x, y = far * cos(angle), far * sin(angle)
            if any(np.hypot(x - p.x, y - p.y) < radius + p.radius for p in parts):
                continue
            lift = float(rng.uniform(0.7, 1.3))
            placed = mesh.scaled(1, 1, lift).turned(angle - pi / 2 + float(rng.choice([0, pi / 2])))
            parts.append(Part(placed.moved(x, y), x, y, radius))
    if rng.random() < green:
        bark = table.add("plain", pick(rng, BARKS))
        leaves = [
            table.add("foliage", pick(rng, LEAFS), pick(rng, GRASSES), cell=(4.0, 4.0), seed=k)
            for k in (1, 2)
        ]
        kinds = [tree(rng, bark, leaves[k]) for k in range(2)]
        ordered = rng.random() < 0.3
        for k in range(int(rng.integers(3, 16))):
            size = float(rng.uniform(0.7, 1.3))
            if ordered:
                x, y = (-1.0, 1.0)[k % 2] * (reach * 0.6 + 4), -reach - 4 - 7.0 * (k // 2)
            else:
                angle, far = (
                    float(rng.uniform(0, 2 * pi)),
                    reach * float(rng.uniform(1.02, 1.3)) + float(rng.exponential(14)) + 3,
                )
                x, y = far * cos(angle), far * sin(angle)
                if abs(angle - 1.5 * pi) < 0.5:
                    continue
            mesh = kinds[0 if ordered else k % 2].scaled(size, size, size).turned(float(k))
            parts.append(Part(mesh.moved(x, y), x, y, 2.0))
    if rng.random() < 0.3:
        light = table.add("glazing", (0.9, 0.85, 0.7), cell=(9.0, 9.0))
        post = lamp(table.add("plain", (0.15, 0.16, 0.16)), light)
        for k in range(int(rng.integers(2, 7))):
            x, y = (k - 2.5) * float(rng.uniform(5, 9)), -reach * 0.9 - 3
            parts.append(Part(post.moved(x, y), x, y, 0.3))
    return parts


def place(structure: Structure, rng: Rng) -> Scene:
    """Return ``structure`` in a setting of its own."""
    table = structure.materials.copy()
    reach = structure.reach
    kind = ("city", "park", "country", "shore", "desert")[
        int(rng.choice(5, p=(0.36, 0.2, 0.16, 0.18, 0.1)))
    ]
    if structure.category == "bridge":
        kind = "shore"
    near, far = {
        "city": ("paving", "asphalt"),
        "park": ("paving", "grass") if rng.random() < 0.5 else ("grass", "grass"),
        "country": ("grass", "earth") if rng.random() < 0.3 else ("earth", "grass"),
        "shore": ("grass" if rng.random() < 0.5 else "paving", "water"),
        "desert": ("earth", "earth"),
    }[kind]
    near_row, far_row = ground(rng, table, near), ground(rng, table, far)
    built = {"city": 0.95, "park": 0.3, "country": 0.2, "shore": 0.35, "desert": 0.1}[kind]
    green = {"city": 0.5, "park": 0.95, "country": 0.6, "shore": 0.5, "desert": 0.15}[kind]
    parts = around(rng, table, reach, built=built, green=green)
    edge = (reach * float(rng.uniform(1.05, 1.8)) + 3, 0.0, 0.0, 0.0)
    if structure.category == "bridge":
        edge = (-1.0, 0.0, 0.0, 0.0)
        parts = [p for p in parts if abs(p.y) > 1.2 * reach]
    elif kind == "shore" and rng.random() < 0.7:
        angle = -pi / 2 + float(rng.normal(0, 0.9))
        edge = (reach * float(rng.uniform(1.02, 1.5)) + 2, 1.0, cos(angle), sin(angle))
        parts = [p for p in parts if p.x * edge[2] + p.y * edge[3] < edge[0]]
    elif kind == "shore":
        parts = [p for p in parts if np.hypot(p.x, p.y) < edge[0]]
    endless = float("inf")
    if rng.random() < {"city": 0.25, "desert": 0.6}.get(kind, 0.6):
        parts.append(Part(hills(rng, table), 0, 0, endless))
    if rng.random() < {"city": 0.6, "desert": 0.05}.get(kind, 0.25):
        parts.append(Part(skyline(rng, table), 0, 0, endless))
    return Scene(
        category=structure.category,
        subject=structure.mesh,
        parts=tuple(parts),
        materials=table,
        height=structure.height,
        reach=reach,
        near_ground=near_row,
        far_ground=far_row,
        edge=edge,
    )
