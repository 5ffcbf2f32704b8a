"""Queries parted into those that choose and those that judge."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.splitting import part_queries


def manifest(sizes: dict[str, int], **more: list[str]) -> Manifest:
    """Return queries, so many of each landmark, and a training photograph."""
    landmarks = [name for name, size in sizes.items() for _ in range(size)]
    ids = [f"{number:03}" for number in range(len(landmarks))]
    columns = {
        "image_id": [*ids, "t"],
        "path": [*(f"{one}.jpg" for one in ids), "t.jpg"],
        "landmark_id": [*landmarks, "a"],
        "role": ["query"] * len(ids) + ["train"],
        **{name: [*values, ""] for name, values in more.items()},
    }
    return Manifest.from_columns(columns, root=Path())


def test_every_landmark_and_none_are_parted_in_the_share() -> None:
    sizes = {"a": 21, "b": 8, "c": 1, "": 40}
    for share in (0.25, 0.5):
        first, second = part_queries(manifest(sizes), share=share, seed=3)
        assert set(first.image_ids).isdisjoint(second.image_ids)
        assert len(first) + len(second) == 70
        assert "t" not in second.image_ids
        counts = Counter(first.landmark_ids)
        assert all(abs(counts[name] - share * size) < 1 for name, size in sizes.items())


def test_small_landmarks_do_not_all_go_to_one_part() -> None:
    first, second = part_queries(manifest({f"l{number}": 1 for number in range(200)}))
    assert min(len(first), len(second)) > 70


def test_the_parts_depend_on_names_and_the_seed_and_not_on_the_order_of_rows() -> None:
    made = manifest({"a": 20, "": 20})
    again = made.take(np.random.default_rng(0).permutation(len(made)))
    assert set(part_queries(made)[0].image_ids) == set(part_queries(again)[0].image_ids)
    assert set(part_queries(made)[0].image_ids) != set(part_queries(made, seed=1)[0].image_ids)


def test_recorded_groups_and_columns_stay_whole_and_unseen_landmarks_are_parted_alike() -> None:
    made = manifest(
        {"a": 12, "": 24},
        leak_group=[str(number // 3) for number in range(36)],
        author=["x" if number in (0, 30) else str(number) for number in range(36)],
        true_landmark_id=["a"] * 12 + ["u"] * 12 + [""] * 12,
    )
    first, second = part_queries(made, columns=["author"])
    for name in ("leak_group", "author"):
        sides = [set(part.table[name].to_pylist()) for part in (first, second)]
        assert not sides[0] & sides[1]
    counts = Counter(first.table["true_landmark_id"].to_pylist())
    assert counts["u"] == 6
    assert 0 < counts[""] < 12


def test_what_cannot_be_parted_is_refused() -> None:
    with pytest.raises(CairnError, match="share"):
        part_queries(manifest({"a": 4}), share=1.0)
    with pytest.raises(CairnError, match="one part would be empty"):
        part_queries(manifest({"a": 1}))
    with pytest.raises(CairnError, match="no image of role query"):
        part_queries(manifest({}))
