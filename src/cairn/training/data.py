"""What a run learns from: the photographs of all its stages, in one table of rows.

The rows of the run's own manifest come first, then the train rows of each other manifest that a
stage names. Landmarks of all stages have their place in the head from the start, so that a stage
may show any of them. N rows, L landmarks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cairn.config import Recipe
from cairn.domain import Int64
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.paths import Paths
from cairn.validation import Split, checked_split


@dataclass(frozen=True, eq=False)
class Photographs:
    """The photographs of a run.

    Args:
        paths: N files.
        marks: N landmark ids, "" for none.
        landmarks: L landmark ids, in the order of the head's rows.
        labels: (N,) which of them a photograph shows; -1 for none.
        targets: (N,) what the head is to say: as ``labels``, but L for the spare non-landmarks
            where the recipe has a class for them.
        counts: (L,) or (L + 1,) photographs of each target that some stage learns from, each image
            id counted once.
        split: What of the run's own manifest is learned from and what is held out.
        shown: Rows that each stage learns from, ascending.
        left_out: By manifest, how many of its photographs are held out by the validation.
    """

    paths: Sequence[Path]
    marks: list[str]
    landmarks: list[str]
    labels: Int64
    targets: Int64
    counts: Int64
    split: Split
    shown: tuple[Int64, ...]
    left_out: Mapping[str, int]

    @property
    def sizes(self) -> dict[str, int]:
        """Photographs of each landmark that some stage learns from."""
        return dict(zip(self.landmarks, self.counts.tolist(), strict=False))  # not the last class


def stage_manifests(recipe: Recipe) -> dict[str, Manifest]:
    """Return the manifests that stages name beside the run's own, by the path they give.

    Raises:
        CairnError: One cannot be read.
    """
    named = dict.fromkeys(stage.data for stage in recipe.stages if stage.data is not None)
    return {name: Manifest.read(Path(name)) for name in named}


def read_photographs(
    recipe: Recipe, manifest: Manifest, others: Mapping[str, Manifest]
) -> Photographs:
    """Return the photographs of the run's own manifest and of those that its stages name.

    Images of another manifest whose image id or sha256 the validation holds out are left out.

    Raises:
        CairnError: A stage has nothing to learn from, label spaces differ, or there is no spare
            non-landmark for the class that ``head.nonlandmark`` asks for.
    """
    split = checked_split(manifest, recipe.validation, seed=recipe.seed)
    spare = list(split.spare) if recipe.head.nonlandmark else []
    if recipe.head.nonlandmark and not spare:
        raise CairnError(
            "the validation leaves no nonlandmark rows to learn from",
            where="head.nonlandmark",
            todo="lower validation.nonlandmark_share, or add nonlandmark rows to the manifest",
        )
    paths, marks = [manifest.paths], list(manifest.landmark_ids)
    image_ids, sums = list(manifest.image_ids), _sums(manifest)
    held = (*split.queries, *split.nonlandmarks)
    held_ids, held_sums = {image_ids[row] for row in held}, {sums[row] for row in held} - {None}
    rows_of: dict[str | None, list[int]] = {None: list(split.train)}
    left_out: dict[str, int] = {}
    for name, other in others.items():
        _require_same_space(manifest, other, name)
        chosen = [row for row, role in enumerate(other.roles) if role == "train"]
        ids, own_sums = other.image_ids, _sums(other)
        usable = [
            row for row in chosen if ids[row] not in held_ids and own_sums[row] not in held_sums
        ]
        left_out[name] = len(chosen) - len(usable)
        if not usable:
            raise CairnError("no train row is left to learn from", where=name)
        rows_of[name] = list(range(len(marks), len(marks) + len(usable)))
        paths.append(other.paths.take(usable))
        marks += [other.landmark_ids[row] for row in usable]
        image_ids += [ids[row] for row in usable]
    names = [stage.data for stage in recipe.stages] or [None]
    learned = sorted({row for name in names for row in rows_of[name]})
    landmarks = sorted({marks[row] for row in learned})
    index = {landmark: i for i, landmark in enumerate(landmarks)}
    labels = np.array([index.get(mark, -1) for mark in marks], dtype=np.int64)
    targets = labels.copy()
    targets[spare] = len(landmarks)
    counted = {(image_ids[row], int(targets[row])) for row in (*learned, *spare)}
    counts = np.bincount([target for _, target in counted], minlength=len(landmarks))
    shown = tuple(np.array(sorted([*rows_of[name], *spare]), dtype=np.int64) for name in names)
    return Photographs(
        paths=Paths.joined(paths),
        marks=marks,
        landmarks=landmarks,
        labels=labels,
        targets=targets,
        counts=counts.astype(np.int64),
        split=split,
        shown=shown,
        left_out=left_out,
    )


def _sums(manifest: Manifest) -> list[str | None]:
    """Return each image's sha256, None where it is not known."""
    if "sha256" not in manifest.table.column_names:
        return [None] * len(manifest)
    return list(manifest.table["sha256"].to_pylist())


def _spaces(manifest: Manifest) -> set[str]:
    spaces = manifest.table["label_space"].to_pylist()
    return {s for s, mark in zip(spaces, manifest.landmark_ids, strict=True) if mark}


def _require_same_space(manifest: Manifest, other: Manifest, name: str) -> None:
    own, others = _spaces(manifest), _spaces(other)
    if own != others:
        raise CairnError(
            f"its landmarks are of {sorted(others)}, those of the run of {sorted(own)}",
            where=name,
            todo="map the landmarks to one label space",
        )


def union(*rows: Iterable[int]) -> Int64:
    """Return the rows in any of several groups, ascending, each once; groups may be empty."""
    return np.unique(np.concatenate([np.array(list(part), dtype=np.int64) for part in rows]))
