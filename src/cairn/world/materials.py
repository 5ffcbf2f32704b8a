"""Materials: colours that all structures share, and the patterns made of them.

Landmarks draw from one set of palettes, so that no landmark is told by its mean colour; what tells
them apart is form, arrangement and pattern.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Colour = tuple[float, float, float]

PATTERNS = (
    "plain",
    "brick",
    "bands",
    "windows",
    "checker",
    "tiles",
    "flutes",
    "strata",
    "diamonds",
    "mosaic",
    "glazing",
    "foliage",
    "paving",
    "grass",
    "water",
    "rings",
)
"""The patterns of `cairn.world.textures`, in the order of their numbers there."""

STONES: tuple[Colour, ...] = (
    (0.84, 0.78, 0.66),
    (0.76, 0.70, 0.58),
    (0.72, 0.52, 0.38),
    (0.62, 0.33, 0.24),
    (0.88, 0.86, 0.82),
    (0.58, 0.57, 0.55),
    (0.42, 0.41, 0.41),
    (0.86, 0.76, 0.52),
    (0.80, 0.62, 0.50),
    (0.68, 0.66, 0.60),
    (0.70, 0.42, 0.30),
    (0.90, 0.84, 0.72),
    (0.56, 0.60, 0.62),
    (0.82, 0.70, 0.66),
)
ROOFS: tuple[Colour, ...] = (
    (0.62, 0.28, 0.18),
    (0.72, 0.38, 0.24),
    (0.36, 0.38, 0.42),
    (0.30, 0.30, 0.32),
    (0.42, 0.58, 0.50),
    (0.25, 0.36, 0.52),
    (0.45, 0.34, 0.24),
    (0.78, 0.62, 0.26),
    (0.24, 0.42, 0.34),
    (0.74, 0.74, 0.72),
)
ACCENTS: tuple[Colour, ...] = (
    (0.72, 0.18, 0.14),
    (0.16, 0.30, 0.56),
    (0.82, 0.64, 0.22),
    (0.16, 0.44, 0.34),
    (0.92, 0.90, 0.86),
    (0.22, 0.22, 0.24),
    (0.86, 0.48, 0.22),
    (0.44, 0.28, 0.50),
    (0.30, 0.58, 0.62),
)
GLASS: Colour = (0.10, 0.13, 0.17)


def linear(colour: Colour) -> Colour:
    """Return an sRGB colour in linear light."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)
    return r, g, b


def pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """Return one of ``colours``, slightly changed."""
    base = colours[int(rng.integers(len(colours)))]
    change = rng.normal(0, 0.025, 3) + rng.normal(0, 0.02)
    r, g, b = (float(np.clip(c + d, 0.04, 0.96)) for c, d in zip(base, change, strict=True))
    return r, g, b


class Materials:
    """A growing table of materials; `add` returns the row number that triangles carry."""

    def __init__(self, rows: list[list[float]] | None = None) -> None:
        self.rows: list[list[float]] = [] if rows is None else list(rows)

    def copy(self) -> Materials:
        """Return a table that can grow without changing this one."""
        return Materials(self.rows)

    def table(self) -> NDArray[np.float64]:
        """Return the (M, 16) rows."""
        return np.array(self.rows, dtype=np.float64)

    def add(
        self,
        kind: str,
        first: Colour,
        second: Colour | None = None,
        third: Colour | None = None,
        *,
        cell: tuple[float, float] = (1.0, 1.0),
        a: float = 0.5,
        b: float = 0.0,
        seed: int = 0,
        gloss: float = 0.0,
    ) -> int:
        """Append a material and return its row; colours are sRGB in [0, 1], cells in metres."""
        colours = (first, second or first, third or first)
        flat = [channel for colour in colours for channel in linear(colour)]
        self.rows.append([float(PATTERNS.index(kind)), *flat, *cell, a, b, float(seed), gloss])
        return len(self.rows) - 1


@dataclass(frozen=True)
class Kit:
    """The materials of one structure, by what they are for; each is a row of its table.

    Args:
        wall: The main masonry.
        wall2: A second masonry, often a lighter or darker course.
        windowed: Walls with windows.
        trim: Cornices, frames, columns.
        roof: Pitched roofs and spires.
        metal: Domes, lattices, cables.
        accent: Ornament: diamonds, checks, mosaics.
        paving: Steps and terraces.
        dark: Openings, shadowy insides.
    """

    wall: int
    wall2: int
    windowed: int
    trim: int
    roof: int
    metal: int
    accent: int
    paving: int
    dark: int


def masonry(rng: np.random.Generator, table: Materials, base: Colour) -> int:
    """Add a wall material of colour ``base``: blocks, bands, plaster or fluting."""
    seed = int(rng.integers(1, 1 << 20))
    other = shifted(base, rng.normal(0, 0.10))
    joint = shifted(base, -0.22 if rng.random() < 0.7 else 0.12)
    style = rng.random()
    if style < 0.5:
        height = float(rng.uniform(0.35, 1.3))
        cell = (height * float(rng.uniform(1.4, 2.8)), height)
        return table.add("brick", base, other, joint, cell=cell, a=1.0, b=height * 0.1, seed=seed)
    if style < 0.68:
        second = pick(rng, STONES)
        cell = (4.0, float(rng.uniform(0.8, 4.0)))
        return table.add(
            "bands", base, second, cell=cell, a=float(rng.uniform(0.2, 0.5)), seed=seed
        )
    if style < 0.9:
        return table.add("plain", base, cell=(2.0, 2.0), seed=seed)
    cell = (float(rng.uniform(0.8, 2.2)), 2.0)
    return table.add("flutes", base, other, cell=cell, a=0.7, seed=seed)


def windowed(rng: np.random.Generator, table: Materials, base: Colour, trim: Colour) -> int:
    """Add a wall material with rows of windows."""
    cell = (float(rng.uniform(1.8, 4.2)), float(rng.uniform(2.6, 4.6)))
    tall = float(rng.uniform(0.4, 0.72))
    shape = int(rng.integers(0, 3))
    return table.add(
        "windows",
        base,
        trim,
        GLASS,
        cell=cell,
        a=float(rng.uniform(0.3, 0.7)),
        b=shape + tall,
        seed=int(rng.integers(1, 1 << 20)),
    )


def ornament(rng: np.random.Generator, table: Materials, base: Colour) -> int:
    """Add an ornamental material: diamonds, checks, mosaic, rings or painted bands."""
    colours = pick(rng, ACCENTS), base, pick(rng, ACCENTS)
    kind = ("diamonds", "checker", "mosaic", "rings", "bands")[int(rng.integers(5))]
    size = float(rng.uniform(0.9, 2.6))
    cell = (size, size * float(rng.uniform(0.7, 1.6)))
    a = {"diamonds": 0.12, "rings": 0.5, "bands": 0.45}.get(kind, 0.5)
    return table.add(kind, *colours, cell=cell, a=a, seed=int(rng.integers(1, 1 << 20)))


def roofing(rng: np.random.Generator, table: Materials) -> int:
    """Add a roof material: tiles, plain sheet or coloured patterns."""
    base = pick(rng, ROOFS)
    seed = int(rng.integers(1, 1 << 20))
    if rng.random() < 0.65:
        size = float(rng.uniform(0.35, 0.9))
        other = shifted(base, -0.10)
        return table.add("tiles", base, other, cell=(size, size), a=1.0, seed=seed)
    if rng.random() < 0.3:
        size = float(rng.uniform(0.8, 1.8))
        colours = base, pick(rng, ROOFS), pick(rng, ACCENTS)
        return table.add("diamonds", *colours, cell=(size, size * 1.3), a=0.1, seed=seed)
    return table.add("flutes", base, shifted(base, -0.06), cell=(1.1, 2.0), gloss=0.15, seed=seed)


def shifted(colour: Colour, change: float) -> Colour:
    """Return ``colour`` lighter (``change`` > 0) or darker."""
    r, g, b = (float(np.clip(c + change, 0.03, 0.97)) for c in colour)
    return r, g, b


def kit(rng: np.random.Generator, table: Materials) -> Kit:
    """Draw the materials of one structure and add them to ``table``."""
    base, second = pick(rng, STONES), pick(rng, STONES)
    trim = shifted(base, 0.14) if rng.random() < 0.6 else pick(rng, STONES)
    metal = pick(rng, ROOFS if rng.random() < 0.6 else ACCENTS)
    seed = int(rng.integers(1, 1 << 20))
    patterned = rng.random() < 0.3
    return Kit(
        wall=masonry(rng, table, base),
        wall2=masonry(rng, table, second if rng.random() < 0.5 else shifted(base, -0.12)),
        windowed=windowed(rng, table, base if rng.random() < 0.7 else second, trim),
        trim=table.add("plain", trim, cell=(2.0, 2.0), seed=seed),
        roof=roofing(rng, table),
        metal=ornament(rng, table, metal)
        if patterned
        else table.add("flutes", metal, shifted(metal, -0.1), cell=(1.0, 2.0), gloss=0.3, a=0.6),
        accent=ornament(rng, table, second),
        paving=table.add("paving", second, base, trim, cell=(1.5, 1.5), a=0.6, b=0.06, seed=seed),
        dark=table.add("plain", (0.07, 0.06, 0.06), cell=(2.0, 2.0), seed=seed),
    )
