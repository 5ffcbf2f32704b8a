"""Joint model folders: several models that embed a photograph together.

The embedding is the members' unit vectors one after the other, each times the square root of its
weight, so that the inner product of two embeddings is the weighted mean of the members'
similarities, and their length is 1. Such a folder has ``config.json``, which names members and
weights, and ``members/<fingerprint>/``, which are model folders; it can be used wherever
photographs are embedded. The module knows of no network.

Legend of shapes: N rows, D dimensions of a member.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.runs import atomic_folder, read_json, write_json

JOINT_FORMAT = 1
MEMBERS = "members"


@dataclass(frozen=True)
class Joint:
    """The members of a joint model.

    Args:
        members: Their fingerprints, in the order of the embedding's parts.
        weights: One above 0 each, adding up to 1.
    """

    members: tuple[str, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        sound = all(0 < weight <= 1 for weight in self.weights)
        sound = sound and not any({"/", "\\"} & set(name) or name == ".." for name in self.members)
        if len(self.members) != len(self.weights) or not self.members or not sound:
            raise CairnError(
                "a joint model needs members and a weight above 0 for each", where=self
            )
        if abs(sum(self.weights) - 1) > 1e-9:
            raise CairnError("the weights of a joint model add up to 1", where=self.weights)


def is_joint(folder: Path) -> bool:
    """Say whether a model folder is a joint one."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        return False
    values = read_json(path)
    return isinstance(values, dict) and "joint" in values


def read_joint(folder: Path) -> Joint:
    """Return the members of a joint model folder.

    Raises:
        CairnError: It is of another format, or damaged.
    """
    values = read_json(Path(folder) / "config.json")
    if values.get("format") != JOINT_FORMAT:
        raise CairnError(
            f"a joint model of format {values.get('format')}; this Cairn reads {JOINT_FORMAT}",
            where=folder,
            todo="use the Cairn that wrote it",
        )
    try:
        rows = [(str(one["model"]), float(one["weight"])) for one in values["joint"]]
    except (KeyError, TypeError, ValueError):
        raise CairnError("the joint model's config.json is damaged", where=folder) from None
    return Joint(tuple(name for name, _ in rows), tuple(weight for _, weight in rows))


def member_folders(folder: Path) -> list[Path]:
    """Return the members' model folders, in order.

    Raises:
        CairnError: One is missing.
    """
    folders = [Path(folder) / MEMBERS / name for name in read_joint(folder).members]
    for one in folders:
        if not (one / "config.json").is_file():
            raise CairnError(
                "a joint model lacks a member",
                where=one,
                todo="copy the model folder again; all its files belong together",
            )
    return folders


def write_joint(folder: Path, joint: Joint, model_dirs: Sequence[Path]) -> None:
    """Write a joint model folder, its members copied into it, whole or not at all.

    Args:
        folder: Where to; must not hold anything yet.
        joint: Members and weights.
        model_dirs: The members' folders, in order.
    """
    with atomic_folder(folder) as temporary:
        for name, source in zip(joint.members, model_dirs, strict=True):
            if not (temporary / MEMBERS / name).exists():  # two weights of one model
                shutil.copytree(source, temporary / MEMBERS / name)
        rows = zip(joint.members, joint.weights, strict=True)
        members = [{"model": name, "weight": weight} for name, weight in rows]
        write_json(temporary / "config.json", {"format": JOINT_FORMAT, "joint": members})
        lines = [f"- {one['model']}: weight {one['weight']:g}" for one in members]
        card = "A Cairn embedder of several: their unit vectors, weighted, one after the other."
        text = "\n".join(["# A joint model", "", card, "", *lines, ""])
        (temporary / "README.md").write_text(text, encoding="utf-8")


def concatenated(parts: Sequence[Float32], weights: Sequence[float]) -> Float32:
    """Return members' unit vectors (N, D each) as the joint ones (N, sum of D), unit length."""
    scaled = [np.float32(np.sqrt(w)) * part for part, w in zip(parts, weights, strict=True)]
    return np.concatenate(scaled, axis=1)
