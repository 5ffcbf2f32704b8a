"""Every way of putting models together keeps one contract, and answers as a plain loop does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cairn.calibration import Logistic
from cairn.ensemble import (
    Concatenation,
    WeightedSimilarity,
    answer_tables,
    answering,
    answers,
    fit_ensemble,
    predictions,
)
from cairn.ensemble.fusion import Fusion
from cairn.ensemble.ranks import DAMPING, NUM_RANKED
from cairn.ensemble.settings import WAYS, Way
from cairn.ensemble.ways import fuse
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.metrics import global_average_precision
from cairn.penalty import PenaltyRule, PenaltyTable
from cairn.recognize import recognize_table
from cairn.submission import by_image
from cairn.tables import EmbeddingTable

NUM_QUERIES, NUM_IMAGES, NUM_LANDMARKS = 30, 50, 9
WIDTHS = (8, 5, 16)  # models of different dimensions
CURVES = (Logistic((0.1,), (0.4,), (2.0,), -0.5), Logistic((0.0,), (1.0,), (3.0,), 0.2))


@dataclass
class World:
    """The same photographs as M models see them."""

    queries: list[EmbeddingTable]
    galleries: list[Gallery]

    def take(self, rows: Sequence[int]) -> list[EmbeddingTable]:
        return [table.take(rows) for table in self.queries]

    def fuse(self, by: Way, queries: Sequence[EmbeddingTable] | None = None) -> Fusion:
        curves = [CURVES[number % 2] for number in range(len(self.galleries))]
        return fuse(by, queries or self.queries, self.galleries, curves=curves)


def unit(rng: np.random.Generator, rows: int, width: int) -> EmbeddingTable:
    vectors = rng.normal(size=(rows, width))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"i{row}" for row in range(rows)]
    return EmbeddingTable(names, [""] * rows, names, vectors.astype(np.float32), f"m{width}")


def world(seed: int = 0, *, members: int = 2, penalties: str = "all") -> World:
    rng = np.random.default_rng(seed)
    marks = [f"l{row % NUM_LANDMARKS}" for row in range(NUM_IMAGES)]
    queries, galleries = [], []
    for number, width in enumerate(WIDTHS[:members]):
        asked = unit(rng, NUM_QUERIES, width)
        names = [f"q{row}" for row in range(NUM_QUERIES)]
        queries.append(replace(asked, image_ids=names, paths=names))
        table = replace(unit(rng, NUM_IMAGES, width), landmark_ids=marks)
        penalty = None
        if penalties == "all" or (penalties == "first" and number == 0):
            cost = rng.uniform(0, 0.5, NUM_IMAGES).astype(np.float32)
            rule = PenaltyRule(3, 12, 0.3, 1.0, "from-min", 1.0)
            penalty = PenaltyTable(np.zeros(NUM_IMAGES, np.int64), cost, cost, rule, 1, 1, 1)
        if number:  # the same images in another order
            order = rng.permutation(NUM_IMAGES)
            table = table.take(order)
            if penalty is not None:
                cost = penalty.penalty[order]
                penalty = replace(penalty, sims=cost, penalty=cost)
        galleries.append(Gallery(Path(f"gallery{number}"), table, penalty))
    return World(queries, galleries)


# -- oracles: plain loops over photographs, models, images -----------------------------------------


def scores_of(world: World, query: int, member: int) -> dict[str, float]:
    """Image -> similarity less penalty, as one model sees it."""
    gallery, vector = world.galleries[member], world.queries[member].vectors[query]
    found = {}
    for row, image in enumerate(gallery.table.image_ids):
        value = float(np.dot(gallery.table.vectors[row].astype(float), vector.astype(float)))
        if gallery.penalty is not None:
            value -= float(gallery.penalty.penalty[row])
        found[image] = value
    return found


def landmark_list(world: World, query: int, member: int, length: int) -> list[tuple[str, float]]:
    """Landmarks with what their best image is worth, best first."""
    table = world.galleries[member].table
    marks = dict(zip(table.image_ids, table.landmark_ids, strict=True))
    best: dict[str, float] = {}
    for image, value in scores_of(world, query, member).items():
        best[marks[image]] = max(best.get(marks[image], -9.0), value)
    return sorted(best.items(), key=lambda pair: -pair[1])[:length]


def oracle(world: World, by: Way, query: int, weights: Sequence[float]) -> tuple[str, float]:
    used = [weight / sum(weights) for weight in weights]
    table = world.galleries[0].table
    totals: dict[str, float] = {}
    if by in ("similarity", "concatenation"):
        seen = [scores_of(world, query, member) for member in range(len(used))]
        for image, mark in zip(table.image_ids, table.landmark_ids, strict=True):
            value = sum(weight * one[image] for weight, one in zip(used, seen, strict=True))
            totals[mark] = max(totals.get(mark, -9.0), value)
    for member, weight in enumerate(used):
        if by == "votes" and weight:
            curve = CURVES[member % 2]
            for mark, value in landmark_list(world, query, member, 3):
                slope, offset = curve.coefficients[0] / curve.scales[0], curve.intercept
                chance = 1 / (1 + np.exp(-(slope * (value - curve.means[0]) + offset)))
                totals[mark] = totals.get(mark, 0.0) + weight * chance
        if by in ("ranks", "borda") and weight:
            places = landmark_list(world, query, member, NUM_RANKED)
            for place, (mark, value) in enumerate(places):
                points = 1 / (DAMPING + place + 1)
                if by == "borda":
                    points = (NUM_RANKED - place) / NUM_RANKED
                totals[mark] = totals.get(mark, 0.0) + weight * (points + 1e-6 * value)
    mark = min(totals, key=lambda one: (-totals[one], one))
    return mark, totals[mark]


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("penalties", ["all", "first", "none"])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.3, 0.7), (0.0, 2.0)])
def test_every_way_answers_as_a_plain_loop(
    by: Way, penalties: str, weights: tuple[float, ...]
) -> None:
    seen = world(penalties=penalties)
    found = predictions(seen.fuse(by), weights)
    for query, one in enumerate(found):
        mark, value = oracle(seen, by, query, weights)
        assert one.image_id == f"q{query}"
        assert one.landmark_id == mark
        assert one.confidence == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("by", WAYS)
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 1000),
    weights=st.lists(st.integers(0, 9), min_size=3, max_size=3).filter(any),
    factor=st.sampled_from([0.125, 8.0]),
    rows=st.lists(st.integers(0, NUM_QUERIES - 1), min_size=1, max_size=4, unique=True),
)
def test_a_photograph_alone_is_answered_as_among_others_and_only_proportions_count(
    by: Way, seed: int, weights: list[int], factor: float, rows: list[int]
) -> None:
    seen = world(seed, members=3)
    everything = answers(seen.fuse(by), weights)
    some = answers(seen.fuse(by, seen.take(rows)), [factor * weight for weight in weights])
    assert list(some) == [f"q{row}" for row in rows]
    for image, (mark, value) in some.items():
        assert everything[image][0] == mark
        assert everything[image][1] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("by", WAYS)
def test_the_order_of_models_changes_nothing(by: Way) -> None:
    seen = world(4, members=2)
    curves = list(CURVES)
    forth = fuse(by, seen.queries, seen.galleries, curves=curves)
    back = fuse(by, seen.queries[::-1], seen.galleries[::-1], curves=curves[::-1])
    one, two = answers(forth, (0.3, 0.7)), answers(back, (0.7, 0.3))
    assert {image: mark for image, (mark, _) in one.items()} == {
        image: mark for image, (mark, _) in two.items()
    }
    for image, (_, value) in one.items():
        assert two[image][1] == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize("by", WAYS)
def test_all_weight_on_one_model_is_that_model_s_answer(by: Way) -> None:
    seen = world(2)
    alone = by_image(recognize_table(seen.queries[1], seen.galleries[1], top=1))
    found = answers(seen.fuse(by), (0, 1))
    assert {one: mark for one, (mark, _) in found.items()} == {
        one: mark for one, (mark, _) in alone.items()
    }
    ordered = [sorted(alone, key=lambda one: -kind[one][1]) for kind in (alone, found)]
    assert ordered[0] == ordered[1], "its ranking of answers too"


@pytest.mark.parametrize("by", WAYS)
@pytest.mark.parametrize("weights", [(1.0,), (1.0, -1.0), (0.0, 0.0), (1.0, float("nan"))])
def test_weights_that_are_none_are_refused(by: Way, weights: tuple[float, ...]) -> None:
    with pytest.raises(CairnError, match=r"weights"):
        world().fuse(by).count(weights)


def test_weighted_similarity_with_deep_hits_is_concatenation_and_says_where_it_is_certain() -> None:
    seen = world(7, members=3)
    weights = (0.5, 0.2, 0.3)
    joint = Concatenation(seen.queries, seen.galleries)
    codes, scores = joint.count(weights)
    deep = WeightedSimilarity(seen.queries, seen.galleries, num_hits=NUM_IMAGES)
    assert deep.is_certain(weights).all()
    np.testing.assert_array_equal(deep.count(weights)[0], codes)
    np.testing.assert_allclose(deep.count(weights)[1], scores, atol=1e-6)
    for num_hits in (1, 3, 10):
        shallow = WeightedSimilarity(seen.queries, seen.galleries, num_hits=num_hits)
        certain = shallow.is_certain(weights)
        found = shallow.count(weights)
        np.testing.assert_array_equal(found[0][certain], codes[certain])
        assert (found[1] <= scores + 1e-6).all()
        assert not certain.all() or num_hits > 1
    assert WeightedSimilarity(seen.queries, seen.galleries, num_hits=30).is_certain(weights).any()


def test_equal_ranks_are_parted_by_similarity() -> None:
    seen = world(1)
    found = answers(seen.fuse("ranks"), (1, 1))
    lists = [[landmark_list(seen, q, m, 1)[0] for m in (0, 1)] for q in range(NUM_QUERIES)]
    agreed = [q for q, (one, two) in enumerate(lists) if one[0] == two[0]]
    assert len(agreed) > 1
    by_similarity = sorted(agreed, key=lambda q: -(lists[q][0][1] + lists[q][1][1]))
    assert sorted(agreed, key=lambda q: -found[f"q{q}"][1]) == by_similarity


def refused(seen: World, by: Way) -> str:
    with pytest.raises(CairnError) as fault:
        seen.fuse(by)
    return str(fault.value)


@pytest.mark.parametrize("by", WAYS)
def test_galleries_of_other_landmarks_and_queries_of_other_photographs_are_refused(by: Way) -> None:
    seen = world()
    other = seen.galleries[1]
    marks = ["new" if one == "l3" else one for one in other.table.landmark_ids]
    renamed = replace(other, table=replace(other.table, landmark_ids=marks))
    told = refused(World(seen.queries, [seen.galleries[0], renamed]), by)
    assert "different landmarks" in told
    assert "'l3'" in told
    assert "'new'" in told
    assert "different photographs" in refused(
        World([seen.queries[0], seen.queries[1].take(range(1, 30))], seen.galleries), by
    )
    swapped = World(seen.queries[::-1], seen.galleries)
    assert "different models" in refused(swapped, by)
    assert "two galleries" in refused(World(seen.queries[:1], seen.galleries[:1]), by)


@pytest.mark.parametrize("by", ["similarity", "concatenation"])
def test_galleries_of_other_images_are_refused_where_images_count(by: Way) -> None:
    seen = world(penalties="none")
    table = seen.galleries[1].table
    fewer = replace(seen.galleries[1], table=table.take(range(len(table) - 2)))
    told = refused(World(seen.queries, [seen.galleries[0], fewer]), by)
    assert "different images: 2 that gallery1 lacks" in told
    swap = {"l0": "l1", "l1": "l0"}
    marks = [swap.get(one, one) for one in table.landmark_ids]
    mixed = replace(seen.galleries[1], table=replace(table, landmark_ids=marks))
    assert "shows landmark" in refused(World(seen.queries, [seen.galleries[0], mixed]), by)
    assert answers(World(seen.queries, [seen.galleries[0], fewer]).fuse("ranks"), (1, 1))


def test_an_unknown_way_is_refused_with_the_nearest() -> None:
    with pytest.raises(CairnError, match="unknown way 'vote'") as fault:
        world().fuse("vote")  # type: ignore[arg-type]
    assert "votes" in str(fault.value)


@pytest.mark.parametrize("by", WAYS)
def test_fitting_never_falls_below_a_member_and_blocks_change_no_answer(
    by: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = world(3, penalties="first")
    truth = {f"q{row}": {f"l{row % NUM_LANDMARKS}"} if row % 3 else set() for row in range(30)}
    made = fit_ensemble(seen.galleries, seen.queries, truth, by=by)
    told = made.validation
    assert told is not None
    assert (told.num_queries, told.num_unknown) == (30, 10)
    assert told.gap >= max(*told.gap_alone, told.gap_even) - 1e-12
    if by not in ("votes", "ranks", "borda"):
        alone = by_image(recognize_table(seen.queries[0], seen.galleries[0], top=1))
        assert told.gap_alone[0] == pytest.approx(global_average_precision(alone, truth))
    whole = by_image(answer_tables(made, seen.galleries, seen.queries))
    assert told.gap == pytest.approx(global_average_precision(whole, truth))
    monkeypatch.setattr(answering, "_AT_ONCE", 7)
    parts = by_image(answer_tables(made, seen.galleries, seen.queries))
    assert list(parts) == list(whole)
    for image, (mark, value) in whole.items():
        assert parts[image][0] == mark
        assert parts[image][1] == pytest.approx(value, abs=1e-6)
    given = fit_ensemble(seen.galleries, seen.queries, truth, by=by, weights=(3, 1))
    assert (given.weights, given.is_fitted) == ((0.75, 0.25), False)
    with pytest.raises(CairnError, match="no validation photograph shows a landmark"):
        fit_ensemble(seen.galleries, seen.queries, {one: set[str]() for one in truth}, by=by)
