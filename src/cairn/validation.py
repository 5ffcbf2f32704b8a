"""The split that training is scored on: held-out photographs and non-landmarks among them.

Without non-landmarks a validation misleads (field's lesson: .97 on the validation, .60 on the
leaderboard), so the split takes some wherever the manifest has them, and says so when not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cairn import metrics
from cairn.config import ValidationConfig
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.progress import say
from cairn.search import Array, search


@dataclass(frozen=True)
class Split:
    """Rows of a manifest: what to learn from, and what to be scored on.

    Args:
        train: Rows of photographs to learn from; they are also the validation's gallery.
        queries: Rows of held-out photographs of the same landmarks.
        nonlandmarks: Rows of non-landmarks that serve as unknown queries.
        spare: The other non-landmarks, free for training to use.
    """

    train: tuple[int, ...]
    queries: tuple[int, ...]
    nonlandmarks: tuple[int, ...]
    spare: tuple[int, ...] = ()


@dataclass(frozen=True)
class Score:
    """How well held-out photographs were recognized: GAP and top-1 accuracy, in [0, 1]."""

    gap: float
    accuracy: float


def split_validation(manifest: Manifest, config: ValidationConfig, *, seed: int) -> Split:
    """Return a split of the manifest's train and nonlandmark rows, the same for the same seed."""
    by_landmark: dict[str, list[int]] = defaultdict(list)
    unknown: list[int] = []
    for row, (role, landmark) in enumerate(zip(manifest.roles, manifest.landmark_ids, strict=True)):
        if role == "train":
            by_landmark[landmark].append(row)
        elif role == "nonlandmark":
            unknown.append(row)
    rng = np.random.default_rng((seed, 3))
    train: list[int] = []
    queries: list[int] = []
    for _, rows in sorted(by_landmark.items()):
        held = 0
        if len(rows) >= config.min_images:
            held = min(max(round(len(rows) * config.share), 1), len(rows) - 1)
        order = rng.permutation(len(rows))
        queries.extend(rows[i] for i in order[:held])
        train.extend(rows[i] for i in order[held:])
    order = rng.permutation(len(unknown))
    cut = round(len(unknown) * config.nonlandmark_share)
    return Split(
        tuple(sorted(train)),
        tuple(sorted(queries)),
        tuple(sorted(unknown[i] for i in order[:cut])),
        tuple(sorted(unknown[i] for i in order[cut:])),
    )


def checked_split(manifest: Manifest, config: ValidationConfig, *, seed: int) -> Split:
    """Return the split, having said where it can score nothing, or only misleadingly.

    Raises:
        CairnError: There is no photograph to learn from.
    """
    split = split_validation(manifest, config, seed=seed)
    if not split.train:
        raise CairnError(
            "the manifest has no train rows", where=manifest.root, todo="set role = train"
        )
    if not split.queries:
        say("warning: no landmark has photographs enough to hold some out; nothing is scored")
    elif not split.nonlandmarks:
        say("warning: no nonlandmark rows; a validation without unknown queries misleads")
    return split


def score(
    gallery_GD: Array,
    gallery_landmarks: Sequence[str],
    queries_QD: Array,
    query_landmarks: Sequence[str],
) -> Score:
    """Return GAP and accuracy of the nearest gallery image; "" marks an unknown query."""
    nearest = search(queries_QD, gallery_GD, 1)
    predictions = {
        str(q): (gallery_landmarks[row], float(similarity))
        for q, (row, similarity) in enumerate(
            zip(nearest.indices[:, 0], nearest.similarities[:, 0], strict=True)
        )
    }
    truth = {str(q): {mark} if mark else set() for q, mark in enumerate(query_landmarks)}
    return Score(
        gap=metrics.global_average_precision(predictions, truth),
        accuracy=metrics.top1_accuracy(predictions, truth),
    )
