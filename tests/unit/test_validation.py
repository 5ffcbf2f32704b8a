"""The split that training is scored on, and the score by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cairn.config import ValidationConfig
from cairn.manifest import Manifest
from cairn.validation import Split, score, split_validation

SIZES = {"one": 1, "two": 2, "three": 3, "four": 4, "ten": 10, "故宫": 40}


def manifest_of(sizes: dict[str, int], *, unknown: int = 20) -> Manifest:
    marks = [name for name, size in sizes.items() for _ in range(size)]
    roles = ["train"] * len(marks) + ["nonlandmark"] * unknown + ["query"] * 3 + ["gallery"]
    marks += [""] * (unknown + 3) + ["two"]
    ids = [str(row) for row in range(len(marks))]
    return Manifest.from_columns(
        {"image_id": ids, "path": ids, "landmark_id": marks, "role": roles,
         "label_space": ["x"] * len(ids)},
        root=Path(),
    )  # fmt: skip


def of_role(manifest: Manifest, role: str) -> set[int]:
    return {row for row, found in enumerate(manifest.roles) if found == role}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.01, 0.15, 0.5, 0.99])
def test_a_split_is_disjoint_whole_and_empties_no_landmark(seed: int, share: float) -> None:
    manifest = manifest_of(SIZES)
    split = split_validation(manifest, ValidationConfig(share=share), seed=seed)
    assert sorted((*split.train, *split.queries)) == sorted(of_role(manifest, "train"))
    assert sorted((*split.nonlandmarks, *split.spare)) == sorted(of_role(manifest, "nonlandmark"))
    marks = manifest.landmark_ids
    assert {marks[row] for row in split.train} == set(SIZES), "a landmark without photograph"


def test_shares_by_hand() -> None:
    manifest = manifest_of(SIZES)
    split = split_validation(manifest, ValidationConfig(share=0.2), seed=0)
    held = Counter(manifest.landmark_ids[row] for row in split.queries)
    assert held == {"four": 1, "ten": 2, "故宫": 8}
    assert (len(split.nonlandmarks), len(split.spare)) == (10, 10)
    rare = split_validation(manifest, ValidationConfig(share=0.2, min_images=11), seed=0)
    assert {manifest.landmark_ids[row] for row in rare.queries} == {"故宫"}
    small = split_validation(manifest, ValidationConfig(share=0.01), seed=0)
    held = Counter(manifest.landmark_ids[row] for row in small.queries)
    assert held == {"four": 1, "ten": 1, "故宫": 1}, "at least one of each that can give one"


def test_the_seed_decides() -> None:
    manifest, config = manifest_of(SIZES), ValidationConfig()
    first = split_validation(manifest, config, seed=1)
    assert split_validation(manifest, config, seed=1) == first
    other = split_validation(manifest, config, seed=2)
    assert other.queries != first.queries
    assert other.nonlandmarks != first.nonlandmarks


def test_all_nonlandmarks_or_none() -> None:
    config = ValidationConfig(nonlandmark_share=1.0)
    assert split_validation(manifest_of(SIZES), config, seed=0).spare == ()
    assert split_validation(manifest_of(SIZES, unknown=0), config, seed=0).nonlandmarks == ()
    nothing = manifest_of({"a": 1}, unknown=0).select("query")
    assert split_validation(nothing, config, seed=0) == Split((), (), ())


def unit(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_a_score_by_hand() -> None:
    """Ranks: right (0 degrees off), unknown (5), wrong (10), right (20): GAP (1/1 + 2/4) / 3."""
    found = score(
        unit(0, 90), ["a", "b"], unit(0, 85, 80, 20), ["a", "", "a", "a"]
    )  # 85 and 80 degrees lie nearest to b
    assert found.gap == pytest.approx((1 + 2 / 4) / 3)
    assert found.accuracy == pytest.approx(2 / 3)


def test_unknown_queries_cost_only_where_they_rank_high() -> None:
    gallery, queries = unit(0, 90), unit(0, 80)
    sure = score(gallery, ["a", "b"], np.concatenate([queries, unit(90)]), ["a", "b", ""])
    unsure = score(gallery, ["a", "b"], np.concatenate([queries, unit(45)]), ["a", "b", ""])
    assert unsure.gap == pytest.approx(1)
    assert sure.gap < 1
    assert sure.accuracy == unsure.accuracy == 1
