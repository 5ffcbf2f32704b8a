"""Small actors of a scene: people, animals, trees, vehicles; also the bodies of statues.

Every function returns a `Mesh` standing on z = 0, facing -y, in metres.
"""

from __future__ import annotations

from math import pi

import numpy as np

from cairn.world.mesh import Mesh, merge
from cairn.world.solids import ball, box, cylinder, lathe, lumps, tube

Rng = np.random.Generator


def figure(
    rng: Rng, skin: int, shirt: int, legs: int, *, pose: str = "standing", hair: int = -1
) -> Mesh:
    """Return a person about 1.75 m tall; ``pose`` is "standing", "statue" or "portrait"."""
    wide = float(rng.uniform(0.85, 1.2))
    sides = 12 if pose == "portrait" else 9
    parts = [
        ball(0.105, 0.12, 0.14, skin, sides=sides + 4).moved(0, 0, 1.6),
        lathe([(0.06, 1.38), (0.06, 1.5)], 9, skin),
        lathe(
            [(0.17 * wide, 0.85), (0.19 * wide, 1.05), (0.22 * wide, 1.32), (0.07, 1.43)],
            sides,
            shirt,
            smooth=True,
        ).scaled(1.0, 0.62, 1.0),
    ]
    if hair >= 0:
        parts.append(ball(0.115, 0.125, 0.12, hair, sides=sides).moved(0, 0.02, 1.645))
    if pose == "portrait":
        dark = legs
        parts += [ball(0.018, 0.01, 0.012, dark).moved(s * 0.04, -0.112, 1.62) for s in (-1, 1)]
        parts.append(ball(0.04, 0.01, 0.012, shirt).moved(0, -0.112, 1.54))
        parts.append(ball(0.018, 0.03, 0.03, skin).moved(0, -0.12, 1.585))
    if pose == "statue" and rng.random() < 0.5:
        robe = [(0.34 * wide, 0), (0.26 * wide, 0.5), (0.18 * wide, 1.0)]
        parts.append(lathe(robe, 10, legs, smooth=True))
    else:
        stride = float(rng.uniform(0.02, 0.25))
        parts.append(
            tube([(0.09, 0, 0.9), (0.1, stride, 0.45), (0.1, stride, 0)], 0.085, legs, taper=0.7)
        )
        parts.append(
            tube(
                [(-0.09, 0, 0.9), (-0.1, -stride, 0.45), (-0.1, -stride, 0)], 0.085, legs, taper=0.7
            )
        )
    for side in (-1, 1):
        lift = float(rng.uniform(-1.5, 1.3)) if pose == "statue" else float(rng.uniform(-1.5, -1.0))
        fore = lift + float(rng.uniform(0, 1.2))
        ahead = float(rng.uniform(-0.5, 0.1))
        elbow = (
            side * (0.23 * wide + 0.27 * np.cos(lift)),
            ahead * 0.2,
            1.34 + 0.27 * np.sin(lift),
        )
        hand = (elbow[0] + side * 0.25 * np.cos(fore), ahead * 0.6, elbow[2] + 0.25 * np.sin(fore))
        parts.append(tube([(side * 0.2 * wide, 0, 1.34), elbow, hand], 0.055, shirt, taper=0.7))
    return merge(parts)


def animal(rng: Rng, coat: int, dark: int) -> Mesh:
    """Return a four-legged animal between a cat and a horse in size and build."""
    size = float(rng.uniform(0.35, 1.5))
    long, fat = size * float(rng.uniform(0.5, 0.75)), size * float(rng.uniform(0.18, 0.34))
    leg = size * float(rng.uniform(0.45, 0.85))
    parts = [ball(long, fat, fat * 1.1, coat, sides=12).moved(0, 0, leg + fat * 0.6)]
    for x in (-0.7, 0.7):
        for y in (-0.6, 0.6):
            foot = (x * long, y * fat, 0)
            parts.append(
                tube([(x * long, y * fat, leg + 0.2 * fat), foot], fat * 0.32, coat, taper=0.6)
            )
    up = float(rng.uniform(0.2, 1.3)) * fat * 2
    head = (long * 1.25, 0.0, leg + fat + up)
    parts.append(tube([(long * 0.7, 0, leg + fat * 0.8), head], fat * 0.5, coat, taper=0.7))
    skull = fat * float(rng.uniform(0.5, 0.8))
    parts.append(ball(skull * 1.5, skull * 0.8, skull * 0.85, coat).moved(*head))
    parts.append(
        ball(skull * 0.5, skull * 0.5, skull * 0.4, dark).moved(
            head[0] + skull * 1.3, 0, head[2] - skull * 0.1
        )
    )
    for y in (-1, 1):
        ear = lathe([(skull * 0.3, 0), (0, skull * float(rng.uniform(0.6, 1.6)))], 9, dark)
        parts.append(ear.moved(head[0] - skull * 0.5, y * skull * 0.5, head[2] + skull * 0.5))
    droop = float(rng.uniform(-0.8, 0.6)) * leg
    parts.append(
        tube([(-long, 0, leg + fat), (-long * 1.4, 0, leg + fat + droop)], fat * 0.16, dark)
    )
    return merge(parts)


def bird(rng: Rng, coat: int, dark: int) -> Mesh:
    """Return a standing bird."""
    size, neck = float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.3, 1.6))
    head = (size * 0.9, 0.0, size * (1.5 + neck))
    return merge(
        [
            ball(size, size * 0.5, size * 0.55, coat).turned(-0.4, "y").moved(0, 0, size),
            tube([(size * 0.6, 0, size * 1.2), head], size * 0.2, coat),
            ball(size * 0.3, size * 0.24, size * 0.26, coat).moved(*head),
            lathe([(size * 0.1, 0), (0, size * 0.5)], 9, dark)
            .turned(pi / 2, "y")
            .moved(head[0] + size * 0.2, 0, head[2]),
            tube([(0, 0.1 * size, size), (0, 0.1 * size, 0)], size * 0.06, dark),
            tube([(0, -0.1 * size, size), (0, -0.1 * size, 0)], size * 0.06, dark),
        ]
    )


def tree(rng: Rng, bark: int, leaves: int) -> Mesh:
    """Return a tree: round, conical, columnar or a palm."""
    style, height = int(rng.integers(4)), float(rng.uniform(5, 11))
    if style == 0:
        profile = [
            (0.01, height * 0.28),
            (height * 0.27, height * 0.45),
            (height * 0.3, height * 0.65),
        ]
        crown = lumps([*profile, (height * 0.18, height * 0.9), (0.01, height)], 10, leaves, rng)
    elif style == 1:
        width = height * float(rng.uniform(0.18, 0.28))
        crown = lumps(
            [(width, height * 0.15), (width * 0.5, height * 0.55), (0.01, height)],
            9,
            leaves,
            rng,
            rough=0.1,
        )
    elif style == 2:
        width = height * 0.12
        crown = lumps(
            [(0.05, height * 0.1), (width, height * 0.3), (width, height * 0.7), (0.01, height)],
            9,
            leaves,
            rng,
            rough=0.07,
        )
    else:
        leaf = tube(
            [(0, 0, 0), (0.9, 0, 0.5), (1.9, 0, 0.1), (2.4, 0, -0.7)],
            0.22,
            leaves,
            sides=3,
            taper=0.3,
        )
        crown = leaf.around(9, float(rng.uniform(0, 1))).moved(0, 0, height * 0.92)
    trunk = lathe(
        [(height * 0.035, 0), (height * 0.02, height * (0.92 if style == 3 else 0.5))], 9, bark
    )
    return merge([crown, trunk])


def vehicle(rng: Rng, paint: int, glass: int, dark: int) -> Mesh:
    """Return a car, van or bus, its side towards -y."""
    style = int(rng.integers(3))
    long, tall = ((4.2, 0.75), (5.2, 1.1), (10.5, 1.3))[style]
    cabin = ((2.3, 0.65), (4.6, 0.9), (10.2, 1.5))[style]
    wheel = cylinder(0.34, 0.2, dark, sides=10).turned(pi / 2, "x")
    return merge(
        [
            box(long, 1.8, tall, paint).moved(0, 0, 0.35),
            box(cabin[0], 1.6, cabin[1], glass, top=paint).moved(
                0.1 * long * (style == 0), 0, 0.35 + tall
            ),
            *(wheel.moved(x * long * 0.32, y * 0.9 + 0.1, 0.34) for x in (-1, 1) for y in (-1, 1)),
        ]
    )


def lamp(dark: int, light: int) -> Mesh:
    """Return a street lamp."""
    return merge(
        [
            tube([(0, 0, 0), (0, 0, 4.6)], 0.08, dark),
            ball(0.28, 0.28, 0.35, light).moved(0, 0, 4.8),
        ]
    )
