"""The doctor: every finding is put there by hand, and found; nothing else is."""

from __future__ import annotations

import csv
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import cairn.doctor.duplicates as duplicates_module
from cairn.doctor import CheckRule, check_gallery
from cairn.doctor.attracting import find_attracting
from cairn.doctor.check import WORK_NAME
from cairn.doctor.collisions import find_collisions
from cairn.doctor.commands import MAX_IMAGES, merge_command, remove_command, remove_listed_command
from cairn.doctor.duplicates import find_duplicates, first_equal
from cairn.doctor.findings import Findings
from cairn.doctor.lists import list_tables
from cairn.doctor.outliers import find_outliers
from cairn.doctor.singles import find_singles
from cairn.doctor.view import View
from cairn.domain import Float32, Int64, Neighbors
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.groups import components, numbered, stand_ins
from cairn.penalty import PenaltyRule, PenaltyTable
from cairn.search import search
from cairn.self_join import fingerprint_of, nearest_images
from cairn.tables import EmbeddingTable

DIMENSION = 128


def unit(rows: Any) -> Float32:
    array = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True), np.float32)


def axis(number: int) -> Float32:
    return unit(np.eye(DIMENSION)[number])


def around(center: Float32, num: int, *, seed: int, spread: float = 0.5) -> Float32:
    """Views of a landmark: about 0.8 alike to it at the usual spread, 0.64 to one another."""
    noise = unit(np.random.default_rng(seed).standard_normal((num, DIMENSION)))
    return unit(center + spread * 1.5 * noise)


def beside(rows: Float32, *, seed: int) -> Float32:
    """Views of what the rows show, 0.93 alike to them."""
    noise = unit(np.random.default_rng(seed).standard_normal(rows.shape))
    return unit(rows + 0.4 * noise)


def gallery_of(
    images: Sequence[tuple[str, Float32]], *, names: dict[str, str] | None = None
) -> Gallery:
    """A gallery in memory: landmark and vectors of one or more of its images, row after row."""
    vectors = np.concatenate([rows for _, rows in images])
    landmarks = [landmark for landmark, rows in images for _ in range(len(rows))]
    ids = [f"i{row}" for row in range(len(vectors))]
    paths = [f"/photos/{one}.jpg" for one in ids]
    table = EmbeddingTable(ids, landmarks, paths, vectors, "f" * 16)
    return Gallery(Path("gallery"), table, None, names or {})


def penalized(gallery: Gallery, picks: dict[int, int]) -> Gallery:
    rule = PenaltyRule(3, 12, 0.3, 1.0, "from-min", 1.0)
    counts = np.zeros(len(gallery.table), np.int64)
    for row, count in picks.items():
        counts[row] = count
    sims = np.where(counts > 0, 0.4, 0).astype(np.float32)
    table = PenaltyTable(counts, sims, rule.penalties(counts, sims), rule, 20, 99, 50)
    return replace(gallery, penalty=table)


def brute_force(vectors: Float32, k: int) -> Neighbors:
    products = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    np.fill_diagonal(products, -np.inf)
    order = np.argsort(-products, axis=1, kind="stable")[:, : min(k, len(vectors) - 1)]
    return Neighbors(order, np.take_along_axis(products, order, axis=1).astype(np.float32))


def view_of(gallery: Gallery, k: int = 16) -> View:
    return View.of(gallery, brute_force(gallery.table.vectors, k))


def landmark(view: View, code: int) -> str:
    return str(view.landmark_ids[int(code)].as_py())


# neighbours


def joined(vectors: Float32, k: int, work: Path, **options: Any) -> Neighbors:
    return nearest_images(
        vectors, k, work=work, content=fingerprint_of(vectors), device="cpu", **options
    )


@pytest.mark.parametrize("block_rows", [1, 7, 64, 1000])
def test_nearest_images_are_those_of_a_brute_force(tmp_path: Path, block_rows: int) -> None:
    vectors = around(axis(0), 60, seed=1)
    found = joined(vectors, 5, tmp_path / "work", block_rows=block_rows)
    oracle = brute_force(vectors, 5)
    np.testing.assert_array_equal(found.indices, oracle.indices)
    np.testing.assert_allclose(found.similarities, oracle.similarities, atol=1e-6)


def test_an_image_is_never_its_own_neighbour_among_equal_ones(tmp_path: Path) -> None:
    vectors = np.concatenate([np.repeat(axis(0), 9, axis=0), axis(1)])
    found = joined(vectors, 3, tmp_path / "work")
    assert not (found.indices == np.arange(10)[:, None]).any()
    # Ties go to the lower row; the eighth image is beyond its own four nearest.
    assert found.indices[:4].tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert found.indices[8].tolist() == [0, 1, 2]
    assert found.similarities[8].tolist() == [1, 1, 1]


def test_fewer_images_than_neighbours(tmp_path: Path) -> None:
    vectors = np.concatenate([axis(0), axis(1), axis(2)])
    assert joined(vectors, 9, tmp_path / "three").indices.shape == (3, 2)
    assert joined(axis(0), 9, tmp_path / "one").indices.shape == (1, 0)


def test_an_interrupted_join_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = around(axis(0), 50, seed=2)
    work = tmp_path / "work"
    searched: list[int] = []

    def dying(queries: Float32, *rest: Any) -> Neighbors:
        if len(searched) == 3:
            raise KeyboardInterrupt
        searched.append(len(queries))
        return search(queries, *rest)

    monkeypatch.setattr("cairn.self_join.search", dying)
    with pytest.raises(KeyboardInterrupt):
        joined(vectors, 4, work, block_rows=10)
    later: list[int] = []

    def counting(queries: Float32, *rest: Any) -> Neighbors:
        later.append(len(queries))
        return search(queries, *rest)

    monkeypatch.setattr("cairn.self_join.search", counting)
    found = joined(vectors, 4, work, block_rows=10)
    assert len(later) == 2, "three of five blocks were there"
    np.testing.assert_array_equal(found.indices, brute_force(vectors, 4).indices)


def test_blocks_of_other_vectors_and_damaged_ones_are_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    joined(around(axis(0), 30, seed=3), 4, work, block_rows=10)
    vectors = around(axis(0), 30, seed=4)
    found = joined(vectors, 4, work, block_rows=10)
    np.testing.assert_array_equal(found.indices, brute_force(vectors, 4).indices)
    assert "of other contents" in capsys.readouterr().err
    blocks = sorted(work.glob("*.npz"))
    blocks[0].write_bytes(b"PK no")
    blocks[1].write_bytes(blocks[1].read_bytes()[:200])
    np.savez(blocks[2], indices=np.zeros((10, 3), np.int64), similarities=np.zeros((10, 3)))
    found = joined(vectors, 4, work, block_rows=10)
    np.testing.assert_array_equal(found.indices, brute_force(vectors, 4).indices)
    assert capsys.readouterr().err.count("cannot be read") == 2


# groups


def pairs_of(seed: int, num: int, count: int) -> tuple[Int64, Int64]:
    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, num, (2, count))
    return first[first != second], second[first != second]


@pytest.mark.parametrize("seed", range(8))
def test_components_are_those_of_a_search_by_hand(seed: int) -> None:
    num = 60
    first, second = pairs_of(seed, num, 15 + 6 * seed)
    expected = np.arange(num)
    changed = True
    while changed:
        changed = False
        for a, b in zip(first, second, strict=True):
            low = min(expected[a], expected[b])
            changed |= bool(expected[a] != low or expected[b] != low)
            expected[a] = expected[b] = low
    np.testing.assert_array_equal(components(num, first, second), expected)


def test_a_long_chain_is_one_component() -> None:
    order = np.random.default_rng(0).permutation(5000)
    assert not components(5000, order[:-1], order[1:]).any()


@pytest.mark.parametrize("seed", range(8))
def test_every_node_is_kept_or_paired_with_the_one_that_stands_for_it(seed: int) -> None:
    num = 60
    first, second = pairs_of(seed, num, 15 + 20 * seed)
    paired = {(int(a), int(b)) for a, b in zip(first, second, strict=True)}
    paired |= {(b, a) for a, b in paired}
    keeper = stand_ins(np.random.default_rng(seed).permutation(num), first, second)
    kept = set(np.flatnonzero(keeper == np.arange(num)).tolist())
    assert not any(a in kept and b in kept for a, b in paired)
    for node in set(range(num)) - kept:
        assert int(keeper[node]) in kept
        assert (node, int(keeper[node])) in paired


def test_the_node_that_ranks_first_is_kept() -> None:
    # 0 - 1 - 2, and 1 ranks before both.
    keeper = stand_ins(np.array([2, 0, 1]), np.array([0, 1]), np.array([1, 2]))
    assert keeper.tolist() == [1, 1, 1]
    keeper = stand_ins(np.array([0, 1, 2]), np.array([0, 1]), np.array([1, 2]))
    assert keeper.tolist() == [0, 0, 2], "the end of the chain is not like the beginning"


def test_groups_are_numbered_by_first_appearance() -> None:
    assert numbered(np.array([7, 3, 7, 9, 3])).tolist() == [0, 1, 0, 2, 1]


# duplicates


def test_equal_vectors_are_told_by_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.array([[1, 0], [0, 1], [1, -0.0], [0, 1], [-1, 0]], np.float32)
    assert first_equal(vectors).tolist() == [0, 1, 0, 1, 4]
    # Sums that agree by accident: with equal factors, (1, 0) and (0, 1) have one sum.
    monkeypatch.setattr(duplicates_module, "_odd_factors", lambda num: np.ones(num, np.uint64))
    assert first_equal(vectors)[[0, 1, 2, 4]].tolist() == [0, 1, 0, 4]


def test_copies_and_nearly_equal_images_within_a_landmark() -> None:
    a, b = around(axis(0), 4, seed=5), around(axis(1), 3, seed=6)
    near = unit(a[1] + 0.1 * axis(9)[0])
    gallery = gallery_of([("a", a), ("b", b), ("a", a[:1]), ("a", near), ("a", a[:1])])
    found = find_duplicates(view_of(gallery), CheckRule(near=0.98))
    redundant = found.redundant
    assert redundant.rows.tolist()[:2] == [7, 9], "the copies of row 0 come first"
    assert redundant.keepers.tolist()[:2] == [0, 0]
    assert redundant.is_copy.tolist() == [True, True, False]
    assert {int(redundant.rows[2]), int(redundant.keepers[2])} == {1, 8}
    assert redundant.similarities[2] == pytest.approx(float(near[0] @ a[1]), abs=1e-6)
    assert redundant.groups.tolist() == [0, 0, 1]
    assert len(found.contradictions.first) == 0


def test_more_copies_than_neighbours_are_all_found() -> None:
    gallery = gallery_of([("a", np.repeat(axis(0), 40, axis=0)), ("b", around(axis(1), 5, seed=7))])
    found = find_duplicates(view_of(gallery, k=8), CheckRule(num_neighbors=8))
    assert sorted(found.redundant.rows.tolist()) == list(range(1, 40))
    assert set(found.redundant.keepers.tolist()) == {0}
    assert found.num_crowded == 40


def test_a_chain_of_likenesses_keeps_a_likeness_of_every_image() -> None:
    angles = np.arange(9) * 0.1
    chain = np.zeros((9, DIMENSION))
    chain[:, 0], chain[:, 1] = np.cos(angles), np.sin(angles)
    gallery = gallery_of([("a", unit(chain)), ("b", around(axis(5), 3, seed=8))])
    found = find_duplicates(view_of(gallery), CheckRule(near=0.99)).redundant  # neighbours: 0.995
    assert (found.similarities >= 0.99).all()
    kept = set(range(9)) - set(found.rows.tolist())
    assert len(kept) >= 3, "no three of them cover nine"
    assert set(found.keepers.tolist()) <= kept


def test_an_image_without_penalty_is_kept_rather_than_one_with() -> None:
    a = around(axis(0), 3, seed=9)
    gallery = gallery_of([("a", a), ("a", unit(a[0] + 0.05 * axis(9)[0]))])
    found = find_duplicates(view_of(penalized(gallery, {0: 12})), CheckRule()).redundant
    assert (found.rows.tolist(), found.keepers.tolist()) == ([0], [3])


def test_one_picture_under_two_landmarks() -> None:
    a, b = around(axis(0), 4, seed=10), around(axis(1), 4, seed=11)
    wrong = unit(b[2] + 0.05 * axis(9)[0])
    gallery = gallery_of([("a", a), ("b", b), ("b", a[:1]), ("a", wrong), ("b", a[:1])])
    found = find_duplicates(view_of(gallery, k=4), CheckRule(near=0.98, num_neighbors=5))
    across = found.contradictions
    assert list(zip(across.first.tolist(), across.second.tolist(), strict=True)) == [
        (0, 8),
        (6, 9),
    ], "the copy in row 10 says no more than that in row 8"
    assert across.is_copy.tolist() == [True, False]
    assert across.groups.tolist() == [0, 1]
    assert across.doubted.tolist() == [1, 1], "both are nearest to images of the other label"
    assert found.redundant.rows.tolist() == [10]


# collisions


def test_a_landmark_under_two_ids_is_to_be_merged() -> None:
    rows = around(axis(0), 8, seed=12)
    others = [(f"o{n}", around(axis(n + 2), 6, seed=20 + n)) for n in range(5)]
    gallery = gallery_of([("same", beside(rows[:4], seed=13)), ("one", rows), *others])
    view = view_of(gallery)
    found = find_collisions(view, CheckRule())
    assert [landmark(view, code) for code in (found.small[0], found.large[0])] == ["same", "one"]
    assert found.is_merge.tolist() == [True]
    assert found.small_votes.tolist() == [4]
    assert found.large_votes.tolist() == [(view.nearest.indices[4:12, 0] < 4).sum()]
    assert found.mixing[0] == pytest.approx(1 / (8 / 11))
    assert found.similarities[0] > 0.9


def test_lookalikes_from_one_side_are_kept_apart() -> None:
    a, b = around(axis(0), 8, seed=13), around(axis(1), 8, seed=14)
    from_behind = around(axis(2), 2, seed=15, spread=0.2)
    gallery = gallery_of([("a", a), ("b", b), ("a", from_behind[:1]), ("b", from_behind[1:])])
    found = find_collisions(view_of(gallery), CheckRule())
    assert (found.small_votes.tolist(), found.large_votes.tolist()) == ([1], [1])
    assert found.is_merge.tolist() == [False]
    assert sorted([int(found.voters[0]), int(found.voted[0])]) == [16, 17]
    assert not len(find_collisions(view_of(gallery), CheckRule(min_votes=3)).small)


def test_a_single_image_votes_only_where_it_is_as_alike_as_is_usual() -> None:
    a = around(axis(0), 6, seed=16)
    near, far = around(axis(0), 1, seed=17), axis(7)
    gallery = gallery_of([("a", a), ("near", near), ("far", far)])
    view = view_of(gallery)
    found = find_collisions(view, CheckRule(min_votes=1))
    assert [landmark(view, code) for code in found.small] == ["near"]
    assert not found.is_merge.any(), "one image is no evidence"


# outliers


def test_a_wrong_label_is_found_with_its_evidence() -> None:
    a, b = around(axis(0), 6, seed=18), around(axis(1), 6, seed=19)
    wrong = around(axis(1), 1, seed=20)
    view = view_of(gallery_of([("a", a), ("b", b), ("a", wrong)]))
    found = find_outliers(view, CheckRule())
    assert found.rows.tolist() == [12]
    assert landmark(view, view.codes[found.other[0]]) == "b"
    assert (found.agreeing[0], found.asked) == (5, 5)
    own, other = wrong @ a.T, wrong @ b.T
    assert (found.own[0], found.other[0]) == (own.argmax(), 6 + other.argmax())
    assert found.own_similarities[0] == pytest.approx(own.max(), abs=1e-6)
    assert found.margins[0] == pytest.approx(other.max() - own.max(), abs=1e-6)


def test_its_own_nearest_is_found_beyond_the_neighbours_looked_at() -> None:
    a, b = around(axis(0), 300, seed=21), around(axis(1), 30, seed=22)
    wrong = around(axis(0), 2, seed=23)
    view = view_of(gallery_of([("a", a), ("b", b), ("b", wrong)]), k=6)
    found = find_outliers(view, CheckRule(num_neighbors=6))
    assert sorted(found.rows.tolist()) == [330, 331]
    for row, own in zip(found.rows, found.own, strict=True):
        others = [r for r in range(300, 332) if r != row]
        vectors = view.gallery.table.vectors
        assert own == others[int((vectors[others] @ vectors[row]).argmax())]


def test_a_landmark_of_two_has_no_outliers() -> None:
    a, b = around(axis(0), 1, seed=24), around(axis(1), 8, seed=25)
    gallery = gallery_of([("a", a), ("b", b), ("a", around(axis(1), 1, seed=26))])
    assert not len(find_outliers(view_of(gallery), CheckRule()).rows)
    assert len(find_outliers(view_of(gallery), CheckRule(outlier_images=2)).rows)


# attracting, singles


def test_what_non_landmarks_pick_comes_by_what_it_costs() -> None:
    gallery = gallery_of([("a", around(axis(0), 5, seed=27)), ("b", around(axis(1), 5, seed=28))])
    found = find_attracting(view_of(penalized(gallery, {7: 4, 2: 12, 3: 2, 9: 12})))
    assert found is not None
    assert found.rows.tolist() == [2, 9, 7], "two picks cost nothing"
    assert found.is_full.tolist() == [True, True, False]
    assert find_attracting(view_of(gallery)) is None


def test_an_attracting_image_far_from_its_landmark_is_to_go() -> None:
    lost = around(axis(2), 1, seed=29)
    gallery = gallery_of(
        [
            ("a", around(axis(0), 6, seed=30)),
            ("c", around(axis(2), 6, seed=31)),
            ("a", lost),
            ("alone", axis(9)),
        ]
    )
    view = view_of(penalized(gallery, {0: 12, 12: 12, 13: 12, 8: 5}), k=5)
    tables = list_tables(Findings.of(view, CheckRule(num_neighbors=5)))
    told = [
        (row["image_id"], row["verdict"], row["severity"])
        for row in tables["attracting"].to_pylist()
    ]
    assert told == [
        ("i12", "remove", "act"),
        ("i0", "look", "look"),
        ("i13", "replace", "note"),
        ("i8", "keep", "note"),
    ]


def test_landmarks_with_one_image_come_by_likeness() -> None:
    gallery = gallery_of([("a", axis(0)), ("b", unit(axis(0) + axis(1))), ("c", axis(2))])
    view = view_of(gallery)
    found = find_singles(view)
    assert found.rows.tolist() == [0, 1, 2]
    assert found.nearest.tolist() == [1, 0, 0]
    assert found.similarities.tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 0], abs=1e-6)


def test_leave_one_out_asks_only_where_another_image_could_answer() -> None:
    a = around(axis(0), 3, seed=32)
    gallery = gallery_of([("a", a[:2]), ("b", a[2:]), ("b", axis(5)), ("c", axis(7))])
    assert view_of(gallery).leave_one_out == pytest.approx(
        np.mean([view_of(gallery).is_own[row, 0] for row in range(4)])
    )
    assert view_of(gallery_of([("a", axis(0)), ("b", axis(1))])).leave_one_out is None


# the rule and the commands


@pytest.mark.parametrize(
    "values",
    [
        {"near": 0},
        {"near": 1.1},
        {"near": float("nan")},
        {"merge": 0},
        {"min_votes": 0},
        {"outlier_neighbors": 0},
        {"outlier_images": 1},
        {"num_neighbors": 4},
        {"num_neighbors": 1001},
        {"shown": -1},
    ],
)
def test_thresholds_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(CairnError, match=next(iter(values))[:4]):
        CheckRule(**values)


def test_commands_survive_a_shell_and_hostile_ids() -> None:
    nasty = "a'; rm -rf $HOME #"
    assert shlex.split(remove_command("my gallery", ["x", nasty])) == [
        *("cairn", "gallery", "remove", "my gallery", "x", nasty),
    ]
    assert shlex.split(remove_command("-g", ["-x"])) == [
        *("cairn", "gallery", "remove", "./-g", "--", "-x"),
    ]
    assert shlex.split(merge_command("g", "-old", "-kept")) == [
        *("cairn", "gallery", "merge", "g", "--into=-kept", "--", "-old"),
    ]
    many = [f"i{n}" for n in range(MAX_IMAGES + 5)]
    assert len(shlex.split(remove_command("g", many))) == 4 + MAX_IMAGES
    assert shlex.split(remove_listed_command("g", Path("a b/ids.txt")))[-1] == "a b/ids.txt"


# the whole check


@pytest.fixture
def sick() -> Gallery:
    """A gallery with one fault of every kind, and photographs of some of its images."""
    one = around(axis(0), 8, seed=12)
    b = around(axis(6), 6, seed=33)
    gallery = gallery_of(
        [
            ("same <b>", beside(one[:4], seed=13)),  # 0-3: shows one
            ("one", one),  # 4-11
            ("b", b),  # 12-17
            ("c", around(axis(7), 6, seed=34)),  # 18-23
            ("d", around(axis(9), 5, seed=36)),  # 24-28
            ("c", around(axis(6), 1, seed=35)),  # 29: shows b
            ("b", b[:1]),  # 30: a copy of 12
            ("d", b[1:2]),  # 31: a copy of 13, under another landmark
            ("alone", axis(8)),  # 32
        ],
        names={"one": 'The <i>One</i> & "only"'},
    )
    return penalized(gallery, {18: 12})


LISTS = ("attracting", "collisions", "contradictions", "outliers", "redundant", "singles")


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_a_check_finds_each_fault_and_writes_it_down(sick: Gallery, tmp_path: Path) -> None:
    found = check_gallery(sick, tmp_path / "check")
    report = json.loads((tmp_path / "check/checkup.json").read_text("utf-8"))
    assert report["counts"] == {
        "attracting": 1,
        "attracting_act": 0,
        "attracting_look": 1,
        "collisions": len(report["lists"]["collisions"]["shown"]),
        "collisions_merge": 1,
        "collisions_look": report["counts"]["collisions_look"],
        "contradictions": 1,
        "contradictions_copies": 1,
        "contradictions_near": 0,
        "outliers": 2 + report["counts"]["outliers_look"],
        "outliers_act": 2,
        "outliers_look": report["counts"]["outliers_look"],
        "redundant": 1,
        "redundant_copies": 1,
        "redundant_near": 0,
        "singles": 1,
    }
    assert set(report["lists"]) == set(LISTS)
    for name in LISTS:
        listed = report["lists"][name]
        rows = read_csv(tmp_path / "check" / listed["file"])
        assert len(rows) == listed["num_rows"] >= 1
        assert all(row["severity"] in ("act", "look", "note") for row in rows)
    shown = {name: report["lists"][name]["shown"][0] for name in LISTS}
    assert shown["attracting"]["image_id"] == "i18"
    assert (shown["collisions"]["landmark_id_a"], shown["collisions"]["landmark_id_b"]) == (
        "same <b>",
        "one",
    )
    assert shown["collisions"]["command"] == "cairn gallery merge gallery --into one 'same <b>'"
    assert (shown["contradictions"]["image_id_a"], shown["contradictions"]["image_id_b"]) == (
        "i13",
        "i31",
    )
    assert shown["contradictions"]["command"] == "cairn gallery remove gallery i31"
    outliers = [row["image_id"] for row in report["lists"]["outliers"]["shown"]]
    assert set(outliers[:2]) == {"i29", "i31"}
    assert set(outliers[2:]) <= {"i0", "i1", "i2", "i3"}, "the landmark under two ids"
    assert shown["redundant"]["images"][0]["image_id"] == "i30"
    assert shown["singles"]["image_id"] == "i32"
    assert (tmp_path / "check/redundant-copies.txt").read_text() == "i30\n"
    assert (tmp_path / "check/redundant-near.txt").read_text() == ""
    severities = [step["severity"] for step in report["first"]]
    assert severities[0] == "act"
    assert report["first"][0]["name"] == "contradictions"
    assert report["rule"] == {**CheckRule().__dict__}
    assert report["memory"]["vectors"] == sick.table.vectors.nbytes
    assert report["memory"]["peak"] is None or report["memory"]["peak"] > 1e7
    assert report["landmarks_by_images"]["1"] == 1
    assert found.folder == tmp_path / "check"
    assert found.sentences[0].startswith("1 pair of copies stands under two landmarks")
    assert not (tmp_path / "check" / WORK_NAME).exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["check"]


def test_the_page_is_one_file_and_escapes_what_it_shows(sick: Gallery, tmp_path: Path) -> None:
    photograph = tmp_path / 'a"b.jpg'
    Image.new("RGB", (40, 30), (200, 30, 30)).save(photograph)
    table = sick.table
    paths = [str(photograph) if row % 2 else path for row, path in enumerate(table.paths)]
    ids = [f"{one}<script>" for one in table.image_ids]
    hostile = replace(sick, table=replace(table, paths=paths, image_ids=ids))
    check_gallery(hostile, tmp_path / "check")
    page = (tmp_path / "check/checkup.html").read_text("utf-8")
    assert "<script" not in page
    assert "same <b>" not in page
    assert "same &lt;b&gt;" in page
    assert "The &lt;i&gt;One&lt;/i&gt; &amp; &quot;only&quot; (one)" in page
    assert "data:image/jpeg;base64," in page
    assert "missing file" in page or "not found" in page or "no such file" in page.lower()
    assert "http://" not in page
    assert "https://" not in page
    for name in LISTS:
        assert f'id="{name}"' in page


def test_long_lists_are_cut_on_the_page_and_whole_in_the_table(tmp_path: Path) -> None:
    gallery = gallery_of([(f"l{n}", unit(np.eye(DIMENSION)[n])) for n in range(30)])
    found = check_gallery(gallery, tmp_path / "check", rule=CheckRule(shown=4))
    assert len(found.report["lists"]["singles"]["shown"]) == 4
    assert len(read_csv(tmp_path / "check/singles.csv")) == 30
    page = (tmp_path / "check/checkup.html").read_text("utf-8")
    assert "The first 4 of 30 findings; all are in singles.csv." in page


def test_a_step_has_its_command_though_the_page_shows_nothing_of_it(
    sick: Gallery, tmp_path: Path
) -> None:
    found = check_gallery(sick, tmp_path / "check", rule=CheckRule(shown=0))
    first = {step["name"]: step["command"] for step in found.report["first"] if step["command"]}
    assert set(first) == {"contradictions", "outliers", "collisions", "attracting", "redundant"}
    assert all(not listed["shown"] for listed in found.report["lists"].values())


def test_a_large_group_is_cut_too(tmp_path: Path) -> None:
    gallery = gallery_of([("a", np.repeat(axis(0), 70, axis=0)), ("b", around(axis(1), 4, seed=1))])
    found = check_gallery(gallery, tmp_path / "check")
    (group,) = found.report["lists"]["redundant"]["shown"]
    assert (group["num_pairs"], len(group["images"])) == (69, MAX_IMAGES)
    assert found.report["lists"]["redundant"]["num_rows"] == 69
    assert len((tmp_path / "check/redundant-copies.txt").read_text().split()) == 69
    assert "70 of one picture" in (tmp_path / "check/checkup.html").read_text("utf-8")


def test_without_a_penalty_the_page_says_what_it_does_not_know(tmp_path: Path) -> None:
    gallery = gallery_of([("a", around(axis(0), 3, seed=1)), ("b", around(axis(1), 3, seed=2))])
    found = check_gallery(gallery, tmp_path / "check")
    assert found.report["counts"]["attracting"] is None
    assert not (tmp_path / "check/attracting.csv").exists()
    assert "No penalty table" in (tmp_path / "check/checkup.html").read_text("utf-8")
    assert found.sentences == ()


@pytest.mark.parametrize("num", [1, 2, 5])
def test_one_landmark_alone(num: int, tmp_path: Path) -> None:
    gallery = penalized(gallery_of([("a", around(axis(0), num, seed=3))]), {0: 12})
    found = check_gallery(gallery, tmp_path / "check")
    counts = found.report["counts"]
    assert counts["singles"] == (num == 1)
    assert (counts["outliers"], counts["collisions"], counts["contradictions"]) == (0, 0, 0)
    assert found.report["leave_one_out"] == (None if num == 1 else 1.0)


def test_a_check_that_was_interrupted_goes_on_and_others_places_are_refused(
    sick: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "check"
    with monkeypatch.context() as patch:
        patch.setattr("cairn.doctor.check.list_tables", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            check_gallery(sick, out)
    assert [path.name for path in out.iterdir()] == [WORK_NAME]

    def unneeded(*_: Any) -> Neighbors:
        raise AssertionError("searched again")

    with monkeypatch.context() as patch:
        patch.setattr("cairn.self_join.search", unneeded)
        found = check_gallery(sick, out)
    again = check_gallery(sick, tmp_path / "anew")
    assert found.report["counts"] == again.report["counts"]
    with pytest.raises(CairnError, match="never overwritten"):
        check_gallery(sick, out)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/notes.txt").write_text("mine")
    with pytest.raises(CairnError, match="never overwritten"):
        check_gallery(sick, tmp_path / "taken")


def test_a_mark_of_an_interrupted_check_among_other_files_is_refused(
    sick: Gallery, tmp_path: Path
) -> None:
    (tmp_path / WORK_NAME).mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CairnError, match="never overwritten"):
        check_gallery(sick, tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"
