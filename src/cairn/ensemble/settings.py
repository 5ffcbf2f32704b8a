"""An ensemble as a file: which galleries, put together how, with which weights, fitted on what.

The file is JSON and holds no vectors. What was fitted holds for the galleries as they were: where a
model, its images, labels or penalty have changed since, the ensemble is refused, as a calibration
is. Weights that were given hold for any state of the galleries.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from cairn.calibration import Basis, Logistic
from cairn.errors import CairnError, nearest
from cairn.runs import provenance, read_json, require_absent, write_json

FORMAT = 1

Way = Literal["votes", "similarity", "concatenation", "ranks", "borda"]

WAYS: tuple[Way, ...] = get_args(Way)
"""How models can be put together."""


@dataclass(frozen=True)
class Member:
    """One model of an ensemble.

    Args:
        gallery: Where its gallery lies: a path, or ``s3://...``.
        basis: The gallery as it was when the ensemble was made.
        curve: From similarity less penalty to the chance of being right; for votes alone.
    """

    gallery: str
    basis: Basis
    curve: Logistic | None = None


@dataclass(frozen=True)
class Validation:
    """What weights and curves were fitted on, and the scores there.

    Args:
        manifest: The fingerprint of the photographs.
        num_queries: Photographs answered.
        num_unknown: Those of them that show no landmark of the galleries.
        gap: GAP of the ensemble; where weights are fitted, too good by what choosing lends it.
        gap_even: GAP of even weights.
        gap_alone: GAP of each member alone.
        photographs: Digests of their ids and paths (``digests``).
    """

    manifest: str
    num_queries: int
    num_unknown: int
    gap: float
    gap_even: float
    gap_alone: tuple[float, ...]
    photographs: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ensemble:
    """Several galleries of the same landmarks, each by its model, and how they answer together.

    Args:
        by: One of ``WAYS``.
        weights: One for each member, >= 0, adding up to 1.
        members: Two at least.
        is_fitted: Whether the weights were fitted; otherwise they were given.
        use_penalty: Whether the galleries' penalties come off.
        validation: What it was fitted or scored on; None where nothing was.
    """

    by: Way
    weights: tuple[float, ...]
    members: tuple[Member, ...]
    is_fitted: bool
    use_penalty: bool = True
    validation: Validation | None = None

    def __post_init__(self) -> None:
        require_way(self.by)
        sound = all(weight >= 0 for weight in self.weights) and abs(sum(self.weights) - 1) < 1e-9
        if len(self.members) < 2 or len(self.weights) != len(self.members) or not sound:
            raise CairnError(
                "an ensemble needs two members or more, with weights >= 0 that add up to 1",
                where=self.weights,
            )
        if self.by == "votes" and any(member.curve is None for member in self.members):
            raise CairnError("an ensemble of votes needs a curve for each member")

    @property
    def holds_for_a_state(self) -> bool:
        """Whether anything in it was fitted to the galleries as they were."""
        return self.is_fitted or self.by == "votes"

    def write(self, path: Path) -> None:
        """Write the ensemble to a new file; local galleries are named from where it lies.

        Raises:
            CairnError: The place is taken.
        """
        require_absent(path)
        members = [
            {
                "gallery": _relative(one.gallery, path.parent),
                "basis": asdict(one.basis),
                "curve": None if one.curve is None else one.curve.to_json(),
            }
            for one in self.members
        ]
        validation = None if self.validation is None else asdict(self.validation)
        if validation is not None:
            validation["photographs"] = sorted(validation["photographs"])
        write_json(
            path,
            {
                "format": FORMAT,
                "by": self.by,
                "weights": list(self.weights),
                "weights_are": "fitted" if self.is_fitted else "given",
                "use_penalty": self.use_penalty,
                "members": members,
                "validation": validation,
                "provenance": provenance(),
            },
        )

    @classmethod
    def read(cls, path: Path) -> Ensemble:
        """Return the ensemble in a file; its galleries are not opened.

        Raises:
            CairnError: The file is missing, is no ensemble, or of another format.
        """
        values = read_json(path)
        if not isinstance(values, dict) or not {"format", "by", "members"} <= set(values):
            raise CairnError(
                "this file is no ensemble", where=path, todo="make one: cairn ensemble fit"
            )
        if values["format"] != FORMAT:
            raise CairnError(
                f"an ensemble of format {values['format']}; this Cairn reads {FORMAT}",
                where=path,
                todo="fit it again, or use the Cairn that wrote it",
            )
        try:
            found = _of_json(values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise CairnError(f"the ensemble's file is damaged: {error}", where=path) from None
        members = [
            replace(one, gallery=_absolute(one.gallery, path.parent)) for one in found.members
        ]
        return replace(found, members=tuple(members))


def require_way(by: str) -> None:
    """Refuse a way of putting models together that there is not.

    Raises:
        CairnError: There is no such way.
    """
    if by not in WAYS:
        raise CairnError(f"unknown way {by!r}", where="--by", todo=nearest(by, WAYS))


def digests(image_ids: Iterable[str], paths: Iterable[object]) -> frozenset[str]:
    """Return what photographs are known again by: 16 hex digits of each id and each path."""
    names = [f"id {one}" for one in image_ids] + [f"path {one}" for one in paths]
    return frozenset(hashlib.sha256(name.encode()).hexdigest()[:16] for name in names)


def _of_json(values: Mapping[str, Any]) -> Ensemble:
    members = tuple(
        Member(
            str(one["gallery"]),
            Basis(**one["basis"]),
            None if one["curve"] is None else Logistic.from_json(one["curve"]),
        )
        for one in values["members"]
    )
    told = values["validation"]
    validation = None
    if told is not None:
        alone: Sequence[float] = told["gap_alone"]
        known = {"gap_alone": tuple(alone), "photographs": frozenset(told["photographs"])}
        validation = Validation(**{**told, **known})
    return Ensemble(
        values["by"],
        tuple(float(weight) for weight in values["weights"]),
        members,
        values["weights_are"] == "fitted",
        bool(values["use_penalty"]),
        validation,
    )


def _relative(gallery: str, folder: Path) -> str:
    if gallery.startswith("s3:"):
        return gallery
    return Path(os.path.relpath(gallery, folder)).as_posix()


def _absolute(gallery: str, folder: Path) -> str:
    return gallery if gallery.startswith("s3:") else os.path.normpath(folder / gallery)
