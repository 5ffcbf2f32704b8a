"""Groups of one picture from hashes alone: against all pairs, and where many are alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cairn.inspection import Duplicates, Looks, find_duplicates, near_duplicate_groups
from cairn.inspection import duplicates as duplicates_module
from cairn.inspection.matching import is_same
from cairn.inspection.sharing import Sharing, example, share, shared_labels, shared_roles
from cairn.manifest import Manifest


def looks_of(hashes: NDArray[np.uint8], sketches: NDArray[np.uint8] | None = None) -> Looks:
    """Looks at readable photographs with these hashes, all files different."""
    count = len(hashes)
    looks = Looks.blank(count)
    looks.sizes[:], looks.stamps[:] = 1, 1
    looks.sha256[:, :8] = np.arange(count, dtype=">u8").view(np.uint8).reshape(-1, 8)
    looks.hashes[:] = hashes
    if sketches is not None:
        looks.sketches[:] = sketches
    return looks


def manifest_of(roles: list[str], landmarks: list[str]) -> Manifest:
    ids = [f"i{row}" for row in range(len(roles))]
    columns = {"image_id": ids, "path": ids, "landmark_id": landmarks, "role": roles}
    return Manifest.from_columns(columns, root=Path("/"))


def flipped(bits: NDArray[np.uint8], count: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    bits = bits.copy()
    bits[rng.choice(128, count, replace=False)] ^= 1
    return bits


def components(near: NDArray[np.bool_]) -> list[int]:
    """The lowest row that each hangs together with, by brute force."""
    groups = np.arange(len(near))
    for _ in range(len(near)):
        groups = np.array([groups[near[row] | (np.arange(len(near)) == row)].min()
                           for row in range(len(near))])  # fmt: skip
    return [int(group) for group in groups]


def test_groups_are_those_of_all_pairs() -> None:
    """Copies with 0 to 20 differing bits, in chains: none within 14 is missed, no other joins."""
    rng = np.random.default_rng(5)
    rows = [rng.integers(0, 2, 128, dtype=np.uint8) for _ in range(30)]
    for copy in range(120):
        rows.append(flipped(rows[rng.integers(0, len(rows))], copy % 21, rng))
    bits = np.stack(rows)[rng.permutation(150)]
    distances = (bits[:, None] != bits[None]).sum(axis=2)
    found = find_duplicates(looks_of(np.packbits(bits, axis=1)), workers=2)
    assert found.groups.tolist() == components(distances <= 14)
    assert found.is_complete
    assert found.num_bits.tolist() == [int(distances[a, b]) for a, b in found.links]
    assert found.num_bits.max() == 14, "the farthest that count are among them"
    num_groups = len(set(found.groups.tolist()))
    assert len(found.links) == 150 - num_groups, "no more links than hold them together"


def test_every_pair_within_the_bound_is_found_wherever_its_bits_are() -> None:
    rng = np.random.default_rng(6)
    base = rng.integers(0, 2, (300, 128), dtype=np.uint8)
    copies = np.stack([flipped(row, 14, rng) for row in base])
    looks = looks_of(np.packbits(np.concatenate([base, copies]), axis=1))
    assert near_duplicate_groups(looks).tolist() == [*range(300), *range(300)]


def test_sketches_decide_between_equal_hashes() -> None:
    rng = np.random.default_rng(7)
    two = rng.integers(0, 256, (2, 16, 16), dtype=np.uint8)
    sketches = two[[0, 1, 0, 1, 0]]
    groups = near_duplicate_groups(looks_of(np.zeros((5, 16), np.uint8), sketches))
    assert groups.tolist() == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("spread", [0, 1, 20])
def test_agreement_of_sketches_is_that_of_float64(spread: int) -> None:
    rng = np.random.default_rng(8)
    x = np.clip(rng.normal(100, spread, (40, 256)), 0, 255).astype(np.uint8)
    noise = rng.normal(0, 0.33 * max(spread, 12), (40, 256))
    y = np.clip(x + noise, 0, 255).astype(np.uint8)
    expected = []
    for a, b in zip(x.astype(float), y.astype(float), strict=True):
        flat = min(a.std(), b.std()) < 3
        with np.errstate(invalid="ignore"):
            alike = np.abs(a - b).mean() <= 4 if flat else np.corrcoef(a, b)[0, 1] >= 0.95
        expected.append(bool(alike))
    both = np.concatenate([x, y])
    assert [is_same(both, row, 40 + row, 0.95) for row in range(40)] == expected
    if spread == 20:
        assert 0 < sum(expected) < 40, "some agree and some do not"


def test_unreadable_and_identical_files() -> None:
    looks = looks_of(np.zeros((4, 16), np.uint8))
    looks.sizes[1:] = 0  # the same broken bytes twice, and a file that is not there
    looks.sha256[2] = looks.sha256[1]
    looks.stamps[3], looks.sha256[3] = -1, 0
    found = find_duplicates(looks)
    assert found.groups.tolist() == [0, 1, 1, 3]
    assert found.is_copy.tolist() == [False, False, True, False]
    assert near_duplicate_groups(Looks.blank(0)).tolist() == []
    assert near_duplicate_groups(Looks.blank(2)).tolist() == [0, 1]


def test_a_film_is_one_group_and_placeholders_do_not_explode() -> None:
    rng = np.random.default_rng(9)
    bits, film = rng.integers(0, 2, 128, dtype=np.uint8), []
    for _ in range(3000):
        bits = flipped(bits, 3, rng)
        film.append(bits)
    flat = np.zeros((20_000, 128), np.uint8)
    hashes = np.packbits(np.concatenate([np.stack(film), flat]), axis=1)
    groups = near_duplicate_groups(looks_of(hashes))
    assert set(groups[:3000].tolist()) == {0}
    assert set(groups[3000:].tolist()) == {3000}


def test_flat_pictures_of_every_tone_are_told_apart() -> None:
    tones = np.repeat(np.arange(0, 256, 6, dtype=np.uint8), 300)
    sketches = np.broadcast_to(tones[:, None, None], (len(tones), 16, 16))
    groups = near_duplicate_groups(looks_of(np.zeros((len(tones), 16), np.uint8), sketches))
    assert len(set(groups.tolist())) == 43


def test_too_much_to_compare_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a bound on comparisons the nearest in order are still compared."""
    rng = np.random.default_rng(10)
    hashes = np.zeros((400, 16), np.uint8)
    hashes[:, 15] = rng.integers(0, 8, 400)
    sketches = rng.integers(0, 256, (400, 16, 16), dtype=np.uint8)
    assert find_duplicates(looks_of(hashes[:100], sketches[:100])).is_complete
    monkeypatch.setattr(duplicates_module, "MAX_COMPARISONS", 1000.0)
    found = find_duplicates(looks_of(np.zeros((400, 16), np.uint8) + _counted(400)))
    assert not found.is_complete
    assert len(found.links) > 0


def _counted(count: int) -> NDArray[np.uint8]:
    """Hashes that all differ, in the first two bytes."""
    hashes = np.zeros((count, 16), np.uint8)
    hashes[:, 0], hashes[:, 1] = np.arange(count) // 256, np.arange(count) % 256
    return hashes


def grouped(pairs: list[tuple[int, int]], count: int, copies: tuple[int, ...] = ()) -> Duplicates:
    groups = np.arange(count)
    for a, b in pairs:
        groups[b] = groups[a]
    is_copy = np.zeros(count, bool)
    is_copy[list(copies)] = True
    return Duplicates(groups, is_copy, np.array(pairs, np.int64).reshape(-1, 2),
                      np.zeros(len(pairs), np.int64))  # fmt: skip


def test_roles_and_labels_of_groups() -> None:
    roles = ["train", "query", "train", "train", "nonlandmark", "query", "gallery", "gallery"]
    marks = ["a", "a", "b", "c", "", "", "a", "a"]
    found = share(manifest_of(roles, marks), grouped([(0, 1), (2, 3), (4, 5), (0, 6)], 8))
    assert [found.members(group).tolist() for group in range(len(found))] == [
        [0, 1, 6], [4, 5], [2, 3],
    ]  # fmt: skip
    assert found.leaks.tolist() == [True, True, False]
    assert found.labels_differ.tolist() == [False, False, True]
    assert found.numbers.tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert found.toward.tolist() == [0, 0, 2, 2, 4, 4, 0, 7]
    assert shared_roles(found) == [
        {"roles": ["train", "gallery"], "num_pictures": 1, "images": [1, 1]},
        {"roles": ["train", "query"], "num_pictures": 1, "images": [1, 1]},
        {"roles": ["gallery", "query"], "num_pictures": 1, "images": [1, 1]},
        {"roles": ["query", "nonlandmark"], "num_pictures": 1, "images": [1, 1]},
    ]
    assert shared_labels(found, marks) == [{"landmarks": ["b", "c"], "num_pictures": 1}]


def test_links_lead_to_the_first_of_a_chain() -> None:
    """4 - 1 - 3 - 0 hang together by pairs that do not name the first."""
    found = share(
        manifest_of(["train"] * 5, ["a"] * 5),
        Duplicates(
            np.array([0, 0, 2, 0, 0]),
            np.zeros(5, bool),
            np.array([[0, 3], [1, 3], [1, 4]]),
            np.zeros(3, np.int64),
        ),
    )
    assert found.toward.tolist() == [0, 3, 2, 0, 1]


def test_an_example_is_the_nearest_pair_of_two_kinds() -> None:
    hashes = np.zeros((4, 16), np.uint8)
    hashes[1, 0], hashes[2, 0], hashes[3, 0] = 0b1, 0b111, 0b1111
    found: Sharing = share(
        manifest_of(["train", "train", "query", "query"], ["a"] * 4),
        grouped([(0, 1), (0, 2), (0, 3)], 4),
    )
    roles = np.array([0, 0, 1, 1])
    assert example(found, 0, hashes, roles) == (1, 2, 2)
    assert example(found, 0, hashes, None) == (0, 1, 1)
    assert example(found, 0, hashes, np.zeros(4, np.int64)) == (0, 1, 1)


def test_nothing_stands_twice() -> None:
    found: Any = share(manifest_of(["train"] * 2, ["a", "b"]), grouped([], 2))
    assert (len(found), found.rows.tolist(), shared_roles(found)) == (0, [], [])
