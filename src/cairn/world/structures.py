"""Structures: what a landmark is made of, drawn whole from one generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cairn.world import forms, halls, seats, spans, towers
from cairn.world.materials import STONES, Kit, Materials, kit, pick
from cairn.world.mesh import Mesh

Family = Callable[[np.random.Generator, Kit], Mesh]

FAMILIES: dict[str, Family] = {
    "tower": towers.tower,
    "lighthouse": towers.lighthouse,
    "pagoda": towers.pagoda,
    "column": towers.column,
    "skyscraper": towers.skyscraper,
    "lattice": towers.lattice,
    "windmill": towers.windmill,
    "dome": halls.domed,
    "church": halls.church,
    "orthodox": halls.orthodox,
    "temple": halls.temple,
    "palace": seats.palace,
    "castle": seats.castle,
    "pavilion": seats.pavilion,
    "facade": seats.facade,
    "bridge": spans.bridge,
    "gate": spans.gate,
    "arena": spans.arena,
    "pyramid": forms.pyramid,
    "stupa": forms.stupa,
    "statue": forms.statue,
    "rock": forms.rock,
    "sculpture": forms.sculpture,
    "fountain": forms.fountain,
    "wheel": spans.wheel,
}
"""Every family of structures by its category."""

NATURAL = frozenset({"rock"})
"""The categories that nobody built."""

_SHARES = {"church": 2.0, "dome": 1.5, "rock": 2.0, "statue": 1.5, "palace": 1.5, "tower": 1.5}


@dataclass(frozen=True)
class Structure:
    """One structure, at the origin, its front towards -y.

    Args:
        category: A key of `FAMILIES`.
        mesh: Its triangles.
        materials: The table that the triangles' rows point into.
        height: Metres.
        reach: The farthest that it stands out from the z axis, metres.
    """

    category: str
    mesh: Mesh
    materials: Materials
    height: float
    reach: float


def draw_structure(rng: np.random.Generator) -> Structure:
    """Return a structure of a random family, with its own shape and materials."""
    names = list(FAMILIES)
    share = np.array([_SHARES.get(name, 1.0) for name in names])
    category = names[int(rng.choice(len(names), p=share / share.sum()))]
    materials = Materials()
    drawn = kit(rng, materials)
    if category == "rock":
        drawn = _rocky(rng, materials, drawn)
    mesh = FAMILIES[category](rng, drawn)
    flat = mesh.corners[..., :2]
    middle = (flat.min(axis=(0, 1)) + flat.max(axis=(0, 1))) / 2
    mesh = mesh.moved(-float(middle[0]), -float(middle[1]))
    reach = float(np.sqrt((mesh.corners[..., :2] ** 2).sum(-1).max()))
    return Structure(category, mesh, materials, float(mesh.corners[..., 2].max()), reach)


def _rocky(rng: np.random.Generator, materials: Materials, drawn: Kit) -> Kit:
    seed = int(rng.integers(1, 1 << 20))
    strata = materials.add(
        "strata",
        pick(rng, STONES),
        pick(rng, STONES),
        pick(rng, STONES),
        cell=(float(rng.uniform(3, 9)), float(rng.uniform(0.8, 3.5))),
        a=float(rng.uniform(0.1, 0.4)),
        seed=seed,
    )
    return Kit(**{**vars(drawn), "accent": strata})
