"""The split that training is scored on, and the score by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cairn.config import ValidationConfig
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.validation import BinScore, Split, score, split_validation, tail_warning

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


COUNTS = {"a": 2, "b": 30}


def test_a_score_by_hand() -> None:
    """Ranks: right (0 degrees off), unknown (5), wrong (10), right (20): GAP (1/1 + 2/4) / 3."""
    found = score(
        unit(0, 90), ["a", "b"], unit(0, 85, 80, 20), ["a", "", "a", "a"], counts=COUNTS
    )  # 85 and 80 degrees lie nearest to b
    assert found.gap == pytest.approx((1 + 2 / 4) / 3)
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.by_size == {"2": BinScore(3, found.accuracy, found.gap)}


def test_scores_by_size_add_up_to_the_whole() -> None:
    """b at 1 degree off comes second, a at 0 first, a at 3 after an unknown at 2."""
    gallery, queries = unit(0, 90), unit(0, 91, 88, 357, 30)
    found = score(gallery, ["a", "b"], queries, ["a", "b", "", "a", "b"], counts=COUNTS)
    few, many = found.by_size["2"], found.by_size["11-50"]
    assert (few.queries, few.accuracy, many.queries, many.accuracy) == (2, 1, 2, 0.5)
    assert few.gap == pytest.approx((1 + 3 / 4) / 2)
    assert many.gap == pytest.approx(1 / 2)
    total = few.queries * few.gap + many.queries * many.gap
    assert total / 4 == pytest.approx(found.gap)
    line = found.to_json()
    assert line["val_by_size"]["11-50"] == {"queries": 2, "accuracy": 0.5, "gap": many.gap}
    assert (line["val_gap"], line["val_accuracy"]) == (found.gap, found.accuracy)


def test_unknown_queries_cost_only_where_they_rank_high() -> None:
    gallery, queries = unit(0, 90), unit(0, 80)
    marks = ["a", "b", ""]
    sure = score(gallery, marks[:2], np.concatenate([queries, unit(90)]), marks, counts=COUNTS)
    unsure = score(gallery, marks[:2], np.concatenate([queries, unit(45)]), marks, counts=COUNTS)
    assert unsure.gap == pytest.approx(1)
    assert sure.gap < 1
    assert sure.accuracy == unsure.accuracy == 1


def test_a_validation_without_readable_landmarks_is_refused() -> None:
    with pytest.raises(CairnError, match="none of the photographs held out"):
        score(unit(0, 90), ["a", "b"], unit(45), [""], counts=COUNTS)


@pytest.mark.parametrize("cap", [1, 3, 100])
def test_a_capped_gallery_keeps_every_landmark(cap: int) -> None:
    manifest = manifest_of(SIZES)
    whole = split_validation(manifest, ValidationConfig(), seed=0)
    split = split_validation(manifest, ValidationConfig(gallery_per_landmark=cap), seed=0)
    assert whole.gallery == whole.train == split.train
    marks = manifest.landmark_ids
    held = Counter(marks[row] for row in split.train)
    found = Counter(marks[row] for row in split.gallery)
    assert found == {mark: min(count, cap) for mark, count in held.items()}
    assert set(split.gallery) <= set(split.train)


def line(
    epoch: int, gap: float, sparse: float, queries: int = 200, sparse_gap: float | None = None
) -> dict[str, Any]:
    few = {"accuracy": sparse, "gap": sparse / 2 if sparse_gap is None else sparse_gap}
    by_size = {
        "3-5": {"queries": queries // 2, **few},
        "6-10": {"queries": queries - queries // 2, **few},
        ">50": {"queries": 900, "accuracy": gap, "gap": gap},
    }
    return {"epoch": epoch, "val_gap": gap, "val_accuracy": gap, "val_by_size": by_size}


def test_crowded_landmarks_that_buy_the_gain_are_told() -> None:
    text = tail_warning([line(1, 0.2, 0.2), line(2, 0.3, 0.5), {"epoch": 3}, line(4, 0.4, 0.3)])
    assert text is not None
    assert "since epoch 2 GAP rose from 0.300 to 0.400 (epoch 4)" in text
    assert "fell from 0.500 to 0.300 accuracy and from 0.250 to 0.150 GAP (200 queries)" in text
    assert "sampling.kind = 'sqrt'" in text


def test_few_queries_warn_only_where_nearly_all_are_lost() -> None:
    """Fisher's exact test: 2 of 2 lost has a chance of 1/6, 3 of 3 of 1/20, 5 of 5 of 1/252."""
    for queries, told in ((2, False), (3, False), (5, True)):
        lines = [line(1, 0.2, 1.0, queries), line(2, 0.3, 0.0, queries)]
        assert (tail_warning(lines) is not None) is told, queries


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [{"epoch": 1, "loss": 2.0}],
        [line(1, 0.3, 0.5)],
        [line(1, 0.2, 0.4), line(2, 0.3, 0.5)],  # both rose
        [line(1, 0.3, 0.5), line(2, 0.2, 0.1)],  # the first is kept: nothing was bought
        [line(1, 0.2, 0.50), line(2, 0.3, 0.45)],  # ten queries of 200: chance
        [line(1, 0.2, 0.5, queries=20), line(2, 0.3, 0.3, queries=20)],  # four of twenty: chance
        [line(1, 0.2, 0.0, queries=0), line(2, 0.3, 0.0, queries=0)],
        [line(1, 0.2, 0.5), line(2, 0.3, 0.0, queries=0)],  # none of them can be read any more
        [line(1, 0.2, 0.6, sparse_gap=0.2), line(2, 0.3, 0.3, sparse_gap=0.25)],  # less, but surer
    ],
)
def test_chance_and_common_gains_do_not_cry_wolf(lines: list[dict[str, Any]]) -> None:
    assert tail_warning(lines) is None


def test_chance_alone_warns_rarely() -> None:
    """Runs of eight scores, looked at after each, in which each query stays as hard as it is."""
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(300):
        hardness = rng.beta(0.4, 0.6, 200)  # two answers to one query correlate by 0.5
        shares = (rng.random((8, 200)) < hardness).mean(axis=1)
        lines = [line(e, 0.1 + 0.01 * e, float(share)) for e, share in enumerate(shares)]
        told += any(tail_warning(lines[:seen]) is not None for seen in range(2, 9))
    assert told < 0.05 * 300
