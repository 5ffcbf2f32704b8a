"""Cleaning: signals with answers by hand, and faults that are put there on purpose."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from cairn.cleaning import Cleaning, CleanRule, clean
from cairn.cleaning.agreement import agreement
from cairn.cleaning.belief import _falling, believe, calibrated, fit_logistic
from cairn.cleaning.centers import Centers, directions
from cairn.cleaning.chains import Chains
from cairn.cleaning.clean import REPORT_NAME, TABLE_NAME, WORK_NAME
from cairn.cleaning.crowd import Crowd
from cairn.cleaning.page import render_page
from cairn.cleaning.reasons import label_reason
from cairn.cleaning.suggestions import merging
from cairn.domain import Float32, Neighbors
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.neighborhood import Neighborhood
from cairn.search import search
from cairn.tables import EmbeddingTable

DIMENSION = 48
RULE = CleanRule(num_neighbors=8)


def unit(rows: Any) -> Float32:
    array = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    return np.asarray(array / np.linalg.norm(array, axis=1, keepdims=True), np.float32)


def at_angles(*degrees: float) -> Float32:
    """Vectors in a plane."""
    turned = np.radians(degrees)
    return unit(np.stack([np.cos(turned), np.sin(turned)], axis=1))


def neighborhood(vectors: Float32, codes: Sequence[int], num_codes: int, k: int) -> Neighborhood:
    products = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    np.fill_diagonal(products, -np.inf)
    order = np.argsort(-products, axis=1, kind="stable")[:, :k]
    nearest = Neighbors(order, np.take_along_axis(products, order, axis=1).astype(np.float32))
    return Neighborhood(vectors, nearest, np.array(codes, np.int32), num_codes)


def rows(*numbers: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array(numbers, np.int64)


def codes_of(*numbers: int) -> np.ndarray[Any, np.dtype[np.int32]]:
    return np.array(numbers, np.int32)


# signals


def test_neighbours_vote_for_the_label_the_best_other_and_the_bank() -> None:
    # From 0 degrees: 1 at 10, 0 at 20, 1 at 30, the bank (2) at 40, 0 at 60.
    near = neighborhood(at_angles(0, 10, 20, 30, 40, 60), (0, 1, 0, 1, 2, 0), 3, 5)
    said = agreement(near, rows(0), codes_of(0), nothing=2)
    votes = (np.cos(np.radians([10, 20, 30, 40, 60])) / np.cos(np.radians(10))) ** 8
    total = votes.sum()
    assert said.target[0] == 1
    assert said.own_share[0] == pytest.approx((votes[1] + votes[4]) / total, rel=1e-4)
    assert said.target_share[0] == pytest.approx((votes[0] + votes[2]) / total, rel=1e-4)
    assert said.bank_share[0] == pytest.approx(votes[3] / total, rel=1e-4)
    assert said.target_best[0] == pytest.approx(np.cos(np.radians(10)), abs=1e-6)
    assert said.bank_best[0] == pytest.approx(np.cos(np.radians(40)), abs=1e-6)
    assert said.own_first[0] == 0.5, "of the first two, as many as it has others, one is its own"


def test_hidden_landmarks_have_no_voice() -> None:
    near = neighborhood(at_angles(0, 10, 20, 30), (0, 1, 0, 2), 4, 3)
    said = agreement(near, rows(0), codes_of(0), nothing=3, hidden=codes_of(1))
    assert said.target[0] == 2
    assert said.best[0] == pytest.approx(np.cos(np.radians(20)), abs=1e-6)
    nobody = agreement(near, rows(1), codes_of(3), nothing=3)
    assert nobody.target[0] == 0, "asked as if of the bank, its neighbours are landmarks"


def test_a_landmark_seen_from_two_sides_has_two_chains() -> None:
    # Two sides of landmark 0 at 0 and 90 degrees; a photograph of landmark 1 beside each.
    vectors = at_angles(0, 2, 4, 90, 92, 94, 1, 93)
    near = neighborhood(vectors, (0, 0, 0, 0, 0, 0, 1, 1), 3, 4)
    chains = Chains.of(near, nothing=2)
    assert chains.lengths.tolist() == [3, 3, 3, 3, 3, 3, 1, 1]
    assert chains.roots[0] != chains.roots[3]
    # Of its own landmark the others of the chain; of another one those that it would join.
    found = chains.support(rows(0, 6, 6), codes_of(0, 0, 1))
    assert found.tolist() == [2, 3, 0]


def test_photographs_of_the_bank_form_no_chains() -> None:
    near = neighborhood(at_angles(0, 1, 2, 90, 91), (1, 1, 1, 0, 0), 2, 2)
    assert Chains.of(near, nothing=1).lengths.tolist() == [1, 1, 1, 2, 2]


def test_a_photograph_is_measured_against_the_others_of_its_landmark_alone() -> None:
    near = neighborhood(at_angles(0, 60, 180), (0, 0, 1), 3, 2)
    centers = Centers.of(near, RULE, nothing=2)
    likeness = centers.likeness(rows(0, 1, 2, 2, 0), codes_of(0, 0, 1, 0, -1))
    # Two at 60 degrees; one alone, of which nothing is left; the pair's middle is at 30 degrees.
    expected = [0.5, 0.5, 0.0, np.cos(np.radians(150)), 0.0]
    np.testing.assert_allclose(likeness, expected, atol=1e-6)


def test_directions_that_few_photographs_hold_do_not_count() -> None:
    rng = np.random.default_rng(0)
    sides = [np.eye(DIMENSION)[n] + 0.02 * rng.standard_normal((6, DIMENSION)) for n in (0, 1)]
    odd = np.eye(DIMENSION)[2:3] + 0.02 * rng.standard_normal((2, DIMENSION))
    vectors = unit(np.concatenate([*sides, odd]))
    parts = directions(vectors, 3)
    assert [len(set(parts[part].tolist())) for part in (slice(6), slice(6, 12))] == [1, 1]
    assert len(set(parts.tolist())) == 3
    near = neighborhood(vectors, [0] * 14, 2, 5)
    likeness = Centers.of(near, RULE, nothing=1).likeness(np.arange(14), np.zeros(14, np.int32))
    assert (likeness[:12] > 0.9).all(), "both sides are held by a quarter or more"
    assert (likeness[12:] < 0.2).all(), "two of fourteen hold no direction"


# what is believed


def test_the_logistic_regression_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 3)) * (1.0, 5.0, 0.2)
    truth = (features @ (1.0, 0.3, 2.0) + rng.normal(size=300) > 0).astype(float)
    weights = rng.uniform(0.5, 2.0, 300)
    ours = fit_logistic(features, truth, weights)
    theirs = LogisticRegression(C=1 / 5.0, tol=1e-10, max_iter=1000)
    scaled = (features - ours.mean) / ours.spread
    theirs.fit(scaled, truth, weights)
    np.testing.assert_allclose(ours.weights[1:], theirs.coef_[0], atol=1e-4)
    np.testing.assert_allclose(
        ours.chances(features), theirs.predict_proba(scaled)[:, 1], atol=1e-4
    )


def test_pooling_is_isotonic_regression() -> None:
    rng = np.random.default_rng(1)
    tops, bottoms = rng.uniform(0, 1, 60), rng.uniform(0.1, 1, 60)
    model = IsotonicRegression(increasing=False)
    expected = model.fit_transform(np.arange(60), tops / bottoms, sample_weight=bottoms)
    np.testing.assert_allclose(_falling(tops, bottoms), expected, rtol=1e-9)


@pytest.mark.parametrize("share", [0.03, 0.1, 0.25])
def test_the_share_of_faults_and_the_chances_come_out_of_a_mixture(share: float) -> None:
    rng = np.random.default_rng(2)
    is_faulty = rng.random(6000) < share
    real = rng.normal(np.where(is_faulty, 3.0, 0.0))
    found = calibrated(np.array([NormalDist(3.0).cdf(one) for one in real]))
    assert found.share == pytest.approx(share, rel=0.2)
    odds = share * np.exp(3 * real - 4.5)  # of two normal densities, 3 apart
    exact = odds / (odds + 1 - share)
    assert np.abs(found.chances - exact).mean() < 0.02
    kept = found.chances >= 0.8
    assert is_faulty[kept].mean() > 0.8


def test_nothing_is_believed_of_rows_that_are_like_no_fault() -> None:
    rng = np.random.default_rng(3)
    found = believe(rng.normal(0, 1, (500, 2)), rng.normal(20, 1, (300, 2)))
    assert found.share == 0
    assert not found.chances.any()
    assert not found.passed.any()
    assert believe(np.zeros((3, 2)), np.zeros((0, 2))).share == 0


def test_a_handful_of_suspects_proves_little() -> None:
    found = calibrated(np.concatenate([np.zeros(1000), [0.5, 0.6]]))
    assert found.chances.max() < 0.5
    assert found.passed[-2:].min() > 0.2, "but they are to be looked at"


# the whole


def made(
    *,
    landmarks: int = 40,
    photos: int = 10,
    bank: int = 60,
    spread: float = 0.6,
    seed: int = 0,
) -> tuple[list[str], list[str], Float32]:
    """Ids, landmarks and vectors: well apart, and a bank of its own kinds."""
    rng = np.random.default_rng(seed)
    centers = np.linalg.qr(rng.standard_normal((DIMENSION, DIMENSION)))[0]
    ids, names, vectors = [], [], []
    for number in range(landmarks):
        for photo in range(photos):
            ids.append(f"l{number:02d}-{photo:02d}")
            names.append(f"landmark{number:02d}")
            vectors.append(centers[number] + spread * unit(rng.standard_normal(DIMENSION))[0])
    for number in range(bank):
        ids.append(f"none-{number:02d}")
        names.append("")
        vectors.append(
            centers[DIMENSION - 1 - number % 4] + spread * unit(rng.standard_normal(DIMENSION))[0]
        )
    return ids, names, unit(vectors)


def inputs(
    ids: Sequence[str], names: Sequence[str], vectors: Float32, root: Path
) -> tuple[Manifest, EmbeddingTable]:
    paths = [f"{root}/{one}.jpg" for one in ids]
    manifest = Manifest.from_columns(
        {
            "image_id": ids,
            "path": paths,
            "landmark_id": names,
            "role": ["train" if name else "nonlandmark" for name in names],
        },
        root=root,
    )
    return manifest, EmbeddingTable(list(ids), list(names), paths, vectors, "f" * 16)


def cleaned(
    ids: Sequence[str], names: Sequence[str], vectors: Float32, out: Path, **options: Any
) -> Cleaning:
    manifest, table = inputs(ids, names, vectors, out.parent)
    rule = CleanRule(**{"num_neighbors": 8, **options})
    return clean(manifest, [table], out, rule=rule, device="cpu")


def exchange(names: list[str]) -> None:
    """Give the first photograph of every landmark the label of another."""
    for number in range(40):
        names[10 * number] = f"landmark{(number + 7) % 40:02d}"


def by_kind(found: Cleaning, kind: str) -> dict[str, dict[str, Any]]:
    return {row["image_id"]: row for row in found.table.to_pylist() if row["kind"] == kind}


def test_clean_labels_that_are_well_apart_give_nothing(tmp_path: Path) -> None:
    found = cleaned(*made(), tmp_path / "out")
    assert len(found.table) == 0
    assert found.report["counts"] == {"relabel": 0, "drop": 0, "leave bank": 0, "look": 0}
    assert set(found.report["shares"].values()) == {0.0}
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Nothing to suggest" in page
    assert "none that could be told for sure" in page


def test_exchanged_labels_are_found_with_where_they_belong(tmp_path: Path) -> None:
    ids, names, vectors = made()
    truth = dict(zip(ids, names, strict=True))
    for number in range(40):
        names[10 * number + number % 10] = f"landmark{(number + 7) % 40:02d}"
    found = cleaned(ids, names, vectors, tmp_path / "out")
    wrong = {one for one, name in zip(ids, names, strict=True) if name != truth[one]}
    moved = by_kind(found, "relabel")
    assert set(moved) <= wrong
    assert len(moved) >= 20
    assert all(row["to_landmark_id"] == truth[one] for one, row in moved.items())
    assert not by_kind(found, "drop")
    assert found.report["shares"]["exchanged"] == pytest.approx(0.07, abs=0.05)
    one = moved["l00-00"]
    assert (one["landmark_id"], one["num_images"], one["apply"]) == ("landmark07", 10, "")
    assert one["own_image_id_1"].startswith("l07")
    assert one["other_image_id_1"].startswith("l00")
    assert one["other_similarity_1"] >= one["other_similarity_2"] > one["own_similarity_1"]
    assert "show landmark00" in one["reason"]
    kinds, confidences = (found.table[name].to_pylist() for name in ("kind", "confidence"))
    assert kinds == sorted(kinds, key=lambda kind: kind == "look"), "those to look at come last"
    sure = confidences[: len(moved)]
    assert sure == sorted(sure, reverse=True)


def test_pictures_of_something_else_are_dropped(tmp_path: Path) -> None:
    ids, names, vectors = made(bank=120, spread=1.2)
    put = {f"none-{number:02d}" for number in range(40)}
    for number in range(40):
        names[ids.index(f"none-{number:02d}")] = f"landmark{number:02d}"
    found = cleaned(ids, names, vectors, tmp_path / "out")
    dropped = by_kind(found, "drop")
    assert set(dropped) <= put
    assert len(dropped) >= 16
    assert all(row["to_landmark_id"] == "" for row in dropped.values())
    assert not by_kind(found, "relabel")
    assert found.report["shares"]["bank"] == pytest.approx(40 / 440, abs=0.05)
    assert set(by_kind(found, "look")) <= put


def test_landmarks_in_the_bank_are_told_to_leave(tmp_path: Path) -> None:
    ids, names, vectors = made(bank=80)
    put = {f"l{number:02d}-00" for number in range(12)}
    truth = dict(zip(ids, names, strict=True))
    for one in put:
        names[ids.index(one)] = ""
    found = cleaned(ids, names, vectors, tmp_path / "out")
    leaving = by_kind(found, "leave bank")
    assert set(leaving) == put
    assert all(row["to_landmark_id"] == truth[one] for one, row in leaving.items())
    assert leaving["l00-00"]["own_image_id_1"].startswith(("none", "l")), "evidence of the bank"
    assert "are of the bank" in leaving["l00-00"]["reason"]


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    ids, names, vectors = made(spread=0.9)
    exchange(names)
    order = np.random.default_rng(5).permutation(len(ids))
    first = cleaned(ids, names, vectors, tmp_path / "first")
    second = cleaned(
        [ids[row] for row in order], [names[row] for row in order], vectors[order],
        tmp_path / "second",
    )  # fmt: skip
    assert len(first.table) >= 20
    assert first.table.equals(second.table)


def test_two_photographs_are_not_enough_evidence(tmp_path: Path) -> None:
    ids, names, vectors = made(spread=0.9)
    exchange(names)
    # A pair of two landmarks' photographs, and one that stands alone.
    names[ids.index("l30-01")] = names[ids.index("l31-01")] = "pair"
    names[ids.index("l32-01")] = "alone"
    found = cleaned(ids, names, vectors, tmp_path / "out")
    acted = {**by_kind(found, "relabel"), **by_kind(found, "drop")}
    assert len(acted) >= 20
    assert not {"l30-01", "l31-01", "l32-01"} & set(acted)
    looked = by_kind(found, "look")
    assert "not enough to tell which" in looked["l30-01"]["reason"]
    assert (found.report["num_pairs"], found.report["num_alone"]) == (1, 1)


def test_half_a_landmark_that_looks_like_another_is_left_to_a_person() -> None:
    # Two of three photographs of landmark 0 would go to landmark 1, one of five of 2 as well.
    codes, targets = codes_of(0, 0, 0, 2), rows(1, 1, 5, 1)
    others = rows(2, 2, 2, 4)
    is_other = np.array([True, True, True, True])
    assert merging(codes, targets, others, is_other).tolist() == [True, True, False, False]
    assert not merging(codes, targets, others, np.array([True, False, True, True])).any()


def test_an_interrupted_cleaning_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cairn.self_join.BLOCK_ROWS", 100)
    monkeypatch.setitem(
        __import__("cairn.self_join", fromlist=["x"]).nearest_images.__kwdefaults__,
        "block_rows", 100,
    )  # fmt: skip
    done: list[int] = []

    def dying(queries: Float32, *rest: Any) -> Neighbors:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(len(queries))
        return search(queries, *rest)

    monkeypatch.setattr("cairn.self_join.search", dying)
    with pytest.raises(KeyboardInterrupt):
        cleaned(*made(), tmp_path / "out")
    assert (tmp_path / "out" / WORK_NAME).is_dir()
    later: list[int] = []

    def counting(queries: Float32, *rest: Any) -> Neighbors:
        later.append(len(queries))
        return search(queries, *rest)

    monkeypatch.setattr("cairn.self_join.search", counting)
    cleaned(*made(), tmp_path / "out")
    assert len(later) == 3, "of five blocks two were there"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.html", "report.json", "suggestions.csv", "suggestions.parquet",
    ]  # fmt: skip


def test_files_hold_what_is_returned(tmp_path: Path) -> None:
    ids, names, vectors = made()
    exchange(names)
    found = cleaned(ids, names, vectors, tmp_path / "out")
    report = json.loads((tmp_path / "out" / REPORT_NAME).read_text())
    manifest, _ = inputs(ids, names, vectors, tmp_path)
    assert report["manifest"] == manifest.fingerprint
    assert report["counts"] == found.report["counts"]
    assert {"vectors", "neighbors", "directions", "peak"} == set(report["memory"])
    with (tmp_path / "out" / TABLE_NAME).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_id"] for row in rows] == found.table["image_id"].to_pylist()
    with pytest.raises(CairnError, match="never overwritten"):
        cleaned(ids, names, vectors, tmp_path / "out")


def test_the_page_shows_photographs_and_escapes_names(tmp_path: Path) -> None:
    ids, names, vectors = made()
    names = [name.replace("landmark07", "<b>&7") for name in names]
    for number in range(20):
        names[10 * number] = f"landmark{(number + 17) % 40:02d}"
    names[0] = "<b>&7"
    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "l00-00.jpg")
    cleaned(ids, names, vectors, tmp_path / "out", shown=30)
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<b>&7" not in page
    assert "&lt;b&gt;&amp;7" in page
    assert "data:image/jpeg;base64," in page
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page


def test_the_page_says_how_many_are_not_shown(tmp_path: Path) -> None:
    ids, names, vectors = made()
    exchange(names)
    found = cleaned(ids, names, vectors, tmp_path / "out", shown=3)
    page = render_page(found.report, found.table, {"landmark07": "The <Tower>"})
    assert "The first 3 of " in page
    assert page.count('class="case"') == 3 * len(set(found.table["kind"].to_pylist()))


def test_reasons_in_words() -> None:
    facts = {
        "own": 0, "other": 6, "bank": 1, "asked": 8, "own_best": 0.21, "other_best": 0.82,
        "others": 12, "chained": 0, "landmark": "a", "target": "b", "merging": False,
    }  # fmt: skip
    assert label_reason("relabel", facts) == (
        "0 of the 8 nearest show a, 6 show b, 1 are of the bank; the nearest of the 12 others of "
        "its landmark is 0.21 alike, that of b 0.82; it is in no chain of mutual neighbours there."
    )
    assert label_reason("drop", {**facts, "chained": 3}).endswith(
        "in a chain of mutual neighbours with 3 of them. It looks like no landmark here."
    )
    assert "perhaps they are one" in label_reason("look", {**facts, "merging": True})


# what goes in


def test_labels_are_those_of_the_manifest(tmp_path: Path) -> None:
    manifest, _ = inputs(["b", "a", "q"], ["x", "y", "z"], at_angles(0, 10, 20), tmp_path)
    roles = pa.array(["train", "gallery", "query"])
    manifest = Manifest(manifest.table.set_column(3, "role", roles), tmp_path)
    table = EmbeddingTable(
        ["q", "b", "other", "a"], ["old"] * 4, ["p"] * 4, at_angles(20, 0, 40, 10), "f" * 16
    )
    crowd = Crowd.gather(manifest, [table])
    assert crowd.image_ids == ["a", "b"]
    assert [crowd.landmark_ids[code] for code in crowd.codes] == ["y", "x"]
    np.testing.assert_array_equal(crowd.vectors, at_angles(10, 0))
    assert crowd.num_missing == 0


def test_what_has_no_embedding_is_counted(tmp_path: Path) -> None:
    manifest, table = inputs(["a", "b", "c"], ["x", "x", ""], at_angles(0, 10, 20), tmp_path)
    some = EmbeddingTable(["a", "b"], ["x"] * 2, ["p"] * 2, at_angles(0, 1), "f" * 16)
    assert Crowd.gather(manifest, [some]).num_missing == 1
    with pytest.raises(CairnError, match="two embedding tables"):
        Crowd.gather(manifest, [table, some])
    other = EmbeddingTable(["d"], ["x"], ["p"], at_angles(0), "0" * 16)
    with pytest.raises(CairnError, match="different models"):
        Crowd.gather(manifest, [table, other])
    with pytest.raises(CairnError, match="none of the labelled images"):
        Crowd.gather(manifest, [EmbeddingTable(["c"], [""], ["p"], at_angles(0), "f" * 16)])


def test_few_photographs_are_left_in_peace(tmp_path: Path) -> None:
    found = cleaned(["a", "b", "c"], ["x", "x", "y"], at_angles(0, 10, 20), tmp_path / "out")
    assert len(found.table) == 0
    with pytest.raises(CairnError, match="nothing to compare"):
        cleaned(["a"], ["x"], at_angles(0), tmp_path / "one")


@pytest.mark.parametrize(
    "options", [{"num_neighbors": 4}, {"least": 1.0}, {"least": float("nan")}, {"shown": -1}]
)
def test_settings_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(CairnError):
        CleanRule(**options)
