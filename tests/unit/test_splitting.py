"""Splits worked out by hand: sides, unknowns, rates, tails, what is left out and what is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.splitting import (
    SplitResult,
    SplitSettings,
    leak_groups,
    split_manifest,
    verify_split,
    write_split,
)
from cairn.splitting.names import draws
from cairn.splitting.rate import thinned
from cairn.splitting.split import TRAIN
from cairn.splitting.tail import tail_of


def a_set(
    sizes: Sequence[int], *, distractors: int = 0, root: Path = Path("/photos"), **columns: Any
) -> Manifest:
    """Landmarks a, b, c ... of these sizes, and distractors; all of them queries so far."""
    named = [(chr(97 + number), k) for number, size in enumerate(sizes) for k in range(size)]
    ids = [f"{name}{k}" for name, k in named] + [f"none{k}" for k in range(distractors)]
    made = {
        "image_id": ids,
        "path": [f"{image}.jpg" for image in ids],
        "landmark_id": [name for name, _ in named] + [""] * distractors,
        "role": ["query"] * len(ids),
        **columns,
    }
    return Manifest.from_columns(made, root=root)


def part_of(result: SplitResult) -> dict[str, str]:
    table = result.manifest.table
    return dict(zip(table["image_id"].to_pylist(), table["part"].to_pylist(), strict=True))


def split(manifest: Manifest, *, columns: Sequence[str] = (), **settings: Any) -> SplitResult:
    plain = {"unseen": 0.0, **settings}
    return split_manifest(
        manifest, SplitSettings(**plain), groups=leak_groups(manifest, columns=columns)
    )


def test_a_side_is_the_draw_of_the_name_below_the_share() -> None:
    result = split(a_set([40], distractors=40), query_share=0.4, bank_share=0.25)
    asked = draws([f"a{k}" for k in range(40)], 0, "side") < 0.4
    parts = part_of(result)
    assert [parts[f"a{k}"] == "query" for k in range(40)] == asked.tolist()
    asked = draws([f"none{k}" for k in range(40)], 0, "side") < 0.75
    assert [parts[f"none{k}"] == "query-nonlandmark" for k in range(40)] == asked.tolist()
    roles = {"train": "train", "bank": "nonlandmark"}
    table = result.manifest.table
    for role, part in zip(table["role"].to_pylist(), table["part"].to_pylist(), strict=True):
        assert role == roles.get(part, "query")


def test_draws_are_even_and_their_own_for_every_seed_and_purpose() -> None:
    names = [str(number) for number in range(4000)]
    one = draws(names, 0, "side")
    assert np.histogram(one, 4, (0, 1))[0] == pytest.approx([1000] * 4, abs=120)
    for other in (draws(names, 1, "side"), draws(names, 0, "rate")):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.06


def test_a_landmark_keeps_the_photographs_it_needs_and_small_ones_are_not_asked_about() -> None:
    result = split(a_set([1, 2, 3, 30]), query_share=0.99, min_gallery=2)
    parts = part_of(result)
    known = [image for image, part in parts.items() if part == "train"]
    assert len(parts) == 36
    assert {image[0]: 0 for image in known} == dict.fromkeys("abcd", 0)
    assert parts["a0"] == parts["b0"] == parts["b1"] == "train"
    assert sum(image[0] == "c" for image in known) == 2
    drawn = draws([f"c{k}" for k in range(3)], 0, "side")  # the two highest stay
    assert parts[f"c{int(np.argmin(drawn))}"] == "query"


def test_unseen_landmarks_show_no_known_landmark_and_keep_their_truth() -> None:
    result = split(a_set([4] * 10), unseen=3)
    table = result.manifest.table.to_pylist()
    unseen = [row for row in table if row["part"] == "query-unseen"]
    landmarks = {row["true_landmark_id"] for row in unseen}
    assert len(landmarks) == 3
    assert len(unseen) == 12
    assert all(row["landmark_id"] == "" and row["role"] == "query" for row in unseen)
    assert not landmarks & {row["landmark_id"] for row in table}
    with pytest.raises(CairnError, match="10 landmarks cannot be unseen of 10") as caught:
        split(a_set([4] * 10), unseen=10)
    assert "9 or fewer" in caught.value.todo


def test_a_group_goes_to_one_side_through_chains_of_bonds() -> None:
    # a0 and a1 share an author, a1 and a2 an upload: three in one; the blank author bonds nothing.
    blanks = [""] * 26
    manifest = a_set([29], author=["x", "x", "", *blanks], upload=["", "u", "u", *blanks])
    for seed in range(8):
        parts = part_of(split(manifest, columns=["author", "upload"], query_share=0.5, seed=seed))
        assert parts["a0"] == parts["a1"] == parts["a2"]
    groups = leak_groups(manifest, columns=["author", "upload"])
    assert sorted(np.bincount(groups.groups))[-2:] == [1, 3]
    assert groups.bonds == {"the same path": 0, "the same author": 2, "the same upload": 2}


def test_bonds_by_several_columns_and_cells() -> None:
    manifest = a_set(
        [6],
        author=["x", "x", "x", "y", "y", None],
        taken=[
            *["2026-05-31 23:59", "2026-05-31T08:00", "2026-06-01 00:01"],
            *["2026-05-31", "2026:05:31 10:00", "2026-05-31"],
        ],
        latitude=[48.85831, 48.85839, 48.8584, 48.8, None, None],
    )
    by_day = leak_groups(manifest, columns=["author+taken:day"]).groups
    assert by_day.tolist() == [0, 0, 2, 3, 4, 5]  # EXIF's colons are another text
    near = leak_groups(manifest, columns=["latitude:0.0001"]).groups
    assert near.tolist() == [0, 0, 2, 3, 4, 5]
    for bond, words in {
        "autor": "no column 'autor'",
        "author:day": "must hold times",
        "author:0.1": "must hold numbers",
        "latitude:wide": "no cell",
        "latitude:-1": "no cell",
    }.items():
        with pytest.raises(CairnError, match=words):
            leak_groups(manifest, columns=[bond])


def test_copies_under_two_labels_are_set_aside_with_all_they_chain() -> None:
    sums = ["s", None, "S", "t", "t", *[None] * 23, "t", "u", "u"]
    manifest = a_set([14, 14], distractors=3, sha256=sums)
    result = split(manifest)
    parts = part_of(result)
    # t: two of landmark a and a distractor. s: both of a, whatever the case. u: two distractors.
    assert {"a3", "a4", "none0"} & set(parts) == set()
    assert parts["a0"] == parts["a2"]
    assert parts["none1"] == parts["none2"]
    left = dict(zip(manifest.image_ids, result.reasons.tolist(), strict=True))
    assert {name: why for name, why in left.items() if why} == dict.fromkeys(
        ("a3", "a4", "none0"), "contradictory"
    )


def test_one_file_under_two_paths_is_one_picture() -> None:
    paths = ["x/../a.jpg", "a.jpg", "/photos//a.jpg", "./a.jpg", *(f"{k}.jpg" for k in range(20))]
    manifest = a_set([24], path=paths)
    assert (leak_groups(manifest).copies[:4] == 0).all()
    assert len(set(leak_groups(manifest).copies.tolist())) == 21


def test_unseen_photographs_that_hang_with_known_ones_are_left_out() -> None:
    # The authors p0 to p3 took one of a and one of b each; the rest have no author.
    manifest = a_set([4, 4, 30], author=[f"p{k}" for k in range(4)] * 2 + [None] * 30)
    seen = set()
    for seed in range(12):
        gone = "abc"[int(np.argmin(draws(["a", "b", "c"], seed, "unseen")))]
        if gone == "c":
            continue
        other = "b" if gone == "a" else "a"
        result = split(manifest, columns=["author"], unseen=1, query_share=0.5, seed=seed)
        parts = part_of(result)
        left = dict(zip(manifest.image_ids, result.reasons.tolist(), strict=True))
        for k in range(4):
            fate = parts.get(f"{gone}{k}") or left[f"{gone}{k}"]
            assert (fate, parts[f"{other}{k}"]) in (
                ("query-unseen", "query"),
                ("unseen-kin", "train"),
            )
            seen.add(fate)
        assert not verify_split(result.manifest).findings
    assert seen == {"query-unseen", "unseen-kin"}


@pytest.mark.parametrize(
    ("asked", "others", "rate", "kept"),
    [
        (10, 1000, 0.98, (10, 490)),
        (10, 245, 0.98, (5, 245)),
        (3, 3, 0.5, (3, 3)),
        (7, 100, 0.3, (7, 3)),
        (5, 9, 0.0, (5, 0)),
        (1, 30, 0.98, (1, 30)),
    ],
)
def test_a_rate_thins_one_kind_only(
    asked: int, others: int, rate: float, kept: tuple[int, int]
) -> None:
    assert thinned(asked, others, rate) == kept


def test_a_rate_that_cannot_be_reached_says_what_can() -> None:
    with pytest.raises(CairnError, match=r"0\.98 cannot be reached with 20") as caught:
        thinned(100, 20, 0.98)
    assert "0.9524 at most" in caught.value.todo
    result = split(a_set([30], distractors=60), distractor_rate=0.8, bank_share=0.2)
    counts = result.counts()
    assert counts["query-nonlandmark"] == pytest.approx(4 * counts["query"], abs=0.5 / 0.2)
    assert (result.reasons == "rate").sum() == 90 - sum(counts.values())


def test_zipf_takes_the_largest_landmark_over_rank_and_keeps_what_is_smaller() -> None:
    tail = tail_of("zipf:1")
    assert tail.targets(np.array([12, 12, 12, 3, 1, 1])).tolist() == [12, 6, 4, 3, 2, 2]
    result = split(a_set([40, 40, 40, 40], distractors=3), tail="zipf:1.0", query_share=0.2)
    known = result.given.take(np.flatnonzero(result.parts == TRAIN))
    sizes = sorted(np.unique(known.landmark_ids, return_counts=True)[1].tolist())
    top = sizes[-1]
    assert sizes[::-1] == [top, round(top / 2), round(top / 3), round(top / 4)]
    assert (result.reasons == "tail").sum() + sum(result.counts().values()) == 163


def test_a_list_of_sizes_is_stretched_and_the_field_s_shares_hold(tmp_path: Path) -> None:
    (tmp_path / "sizes.txt").write_text("8\n1\n4\n2\n", encoding="utf-8")
    tail = tail_of(str(tmp_path / "sizes.txt"))
    assert tail.targets(np.full(4, 9)).tolist() == [8, 4, 2, 1]
    assert tail.targets(np.full(8, 9)).tolist() == [8, 8, 4, 4, 2, 2, 1, 1]
    assert tail.targets(np.full(2, 9)).tolist() == [4, 1]
    (tmp_path / "sizes.csv").write_text("landmark,images\nx,8\ny,1\n", encoding="utf-8")
    assert tail_of(str(tmp_path / "sizes.csv")).sizes == (8, 1)
    sizes = tail_of("gldv2").targets(np.full(81_313, 10**6))
    assert (sizes <= 10).mean() == pytest.approx(0.57, abs=2e-4)
    assert (sizes <= 5).mean() == pytest.approx(0.38, abs=2e-4)
    assert (sizes == 2).sum() == pytest.approx(20_000, abs=10)
    assert sizes.mean() == pytest.approx(19.4, abs=0.2)
    for text, words in {"zipf:x": "no exponent", "gldv3": "unknown tail"}.items():
        with pytest.raises(CairnError, match=words):
            tail_of(text)
    (tmp_path / "sizes.txt").write_text("8\n0\n", encoding="utf-8")
    with pytest.raises(CairnError, match="not a number of photographs: '0'"):
        tail_of(str(tmp_path / "sizes.txt"))


def test_a_gallery_of_its_own_serves_every_landmark_and_some_that_training_never_saw() -> None:
    result = split(a_set([1] + [9] * 20), gallery_share=0.3, new_landmarks=0.3, min_gallery=2)
    rows = result.manifest.table.to_pylist()
    by_part = {
        part: [row["landmark_id"] for row in rows if row["part"] == part]
        for part in ("train", "gallery", "query")
    }
    held = {name: by_part["gallery"].count(name) for name in set(by_part["gallery"])}
    assert held.pop("a") == 1
    assert min(held.values()) == 2
    assert len(held) == 20
    new = set(by_part["gallery"]) - set(by_part["train"])
    drawn = draws([chr(97 + k) for k in range(21)], 0, "new") < 0.3
    assert {chr(97 + k) for k in np.flatnonzero(drawn)} <= new
    assert set(by_part["query"]) <= set(held)
    assert not verify_split(result.manifest).findings


def test_rows_in_another_order_make_the_same_split_and_new_ones_move_none() -> None:
    manifest = a_set([1, 2, 5, 9, 30], distractors=30, author=[f"p{k % 31}" for k in range(77)])
    wish: dict[str, Any] = {"unseen": 0.2, "tail": "zipf:0.5", "distractor_rate": 0.5, "seed": 4}
    first = part_of(split(manifest, columns=["author"], **wish))
    turned = manifest.take(np.random.default_rng(0).permutation(len(manifest)))
    assert part_of(split(turned, columns=["author"], **wish)) == first
    small = part_of(split(a_set([20, 20], distractors=20)))
    grown = part_of(split(a_set([20, 30, 8], distractors=50)))
    assert {image: grown[image] for image in small} == small
    assert part_of(split(a_set([20, 20], distractors=20), seed=1)) != small


def test_what_cannot_be_split_is_told() -> None:
    with pytest.raises(CairnError, match="no query is left that shows a known landmark"):
        split(a_set([1, 1, 1], distractors=3))
    made = split(a_set([20]))
    with pytest.raises(CairnError, match="split already"):
        split(made.manifest)
    with pytest.raises(CairnError, match="query_share = 1"):
        SplitSettings(query_share=1.0)
    with pytest.raises(CairnError, match="apart from the training"):
        SplitSettings(new_landmarks=0.1)
    with pytest.raises(CairnError, match="no setting 'bankshare'") as caught:
        SplitSettings().changed(["bankshare=0.2"])
    assert "bank_share" in caught.value.todo
    with pytest.raises(CairnError, match=r"whole number, not '2\.5'"):
        SplitSettings().changed(["min_gallery=2.5"])
    with pytest.raises(CairnError, match="NAME=VALUE"):
        SplitSettings().changed(["min_gallery"])
    changed = SplitSettings(unseen=5).changed(["min_gallery=3", "distractor_rate=none"])
    assert (changed.unseen, changed.min_gallery, changed.distractor_rate) == (5, 3, None)
    with pytest.raises(CairnError, match="left to train on"):
        split(a_set([2, 2, 2]), gallery_share=0.1, min_gallery=2)


def test_the_files_say_what_was_done(tmp_path: Path) -> None:
    manifest = a_set([1, 5, 20], distractors=40, sha256=["s", "s", *[None] * 64], root=tmp_path)
    result = split(manifest, distractor_rate=0.5)
    path = tmp_path / "bench.parquet"
    facts = write_split(result, path, verification=verify_split(result.manifest), name="mine.csv")
    assert json.loads((tmp_path / "bench-split.json").read_text())["parts"] == facts["parts"]
    assert facts["left_out"]["contradictory"] == 2
    assert facts["num_landmarks"]["known"] == 2
    card = (tmp_path / "bench-card.md").read_text(encoding="utf-8")
    for words in (
        "`mine.csv`: 66 images, 3 landmarks, 40 images without a landmark",
        "**50.00% of the queries show no known landmark.**",
        "not looked at",
        f"| `query` | {facts['parts']['query']} |",
        result.manifest.fingerprint,
        "| contradictory | 2 |",
        "cairn data verify bench.parquet --look",
        "| `seed` | 0 |",
        f"Only {facts['parts']['query']} queries show a known landmark",
    ):
        assert words in card
    left = (tmp_path / "bench-left-out.csv").read_text(encoding="utf-8").splitlines()
    assert len(left) == 1 + 66 - len(result.manifest)
    assert (tmp_path / "bench-tail.png").read_bytes().startswith(b"\x89PNG")
    again = Manifest.read(path)
    assert again.fingerprint == result.manifest.fingerprint
    assert not verify_split(again).findings
    with pytest.raises(CairnError, match="never overwritten"):
        write_split(result, path, verification=verify_split(again))
