"""Each stage against its formula, written as loops over queries and hits, and by hand."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cairn.domain import Neighbors, Prediction
from cairn.errors import CairnError
from cairn.penalty import PenaltyRule, penalty_table
from cairn.rerank import Context, HeadTable, HeadVectors, Picks, Votes, code_landmarks
from cairn.rerank.answers import Answer, predictions_of, ranked, tally
from cairn.rerank.batch import demote, to_quantiles
from cairn.rerank.confidence import soften
from cairn.rerank.head import add_head, centres_of, multiply_by_head
from cairn.rerank.nonlandmark import penalise, penalise_densely
from cairn.rerank.queryside import cut_off, penalise_distracted, penalise_queries
from cairn.rerank.voting import best_votes, pool_votes, sum_votes
from cairn.search import search

Asked = tuple[Neighbors, Context]
Hit = tuple[int, float]


def hits(found: Neighbors, query: int) -> list[Hit]:
    pairs = zip(found.indices[query].tolist(), found.similarities[query].tolist(), strict=True)
    return [(row, alike) for row, alike in pairs if row >= 0]


def some(rows: Any, scores: Any) -> Neighbors:
    return Neighbors(np.asarray(rows, np.int64), np.asarray(scores, np.float32))


def require(answer: Answer, wanted: list[list[Hit]]) -> None:
    """Compare with lists of (row or landmark, score), sorted here, equal ones as they came."""
    rows, scores = (
        (answer.landmarks, answer.scores)
        if isinstance(answer, Votes)
        else (answer.indices, answer.similarities)
    )
    for query, pairs in enumerate(wanted):
        # Scores that rounding may swap are compared as equal.
        pairs = sorted(pairs, key=lambda pair: -round(pair[1], 5))
        num = len(pairs)
        assert (rows[query, num:] == -1).all()
        np.testing.assert_allclose(scores[query, :num], [s for _, s in pairs], atol=2e-5)
        for place, (row, score) in enumerate(pairs):
            ties = [r for r, s in pairs if abs(s - score) < 4e-5]
            assert rows[query, place] == row or int(rows[query, place]) in ties


def mean(values: list[float]) -> float:
    known = [value for value in values if value > -math.inf]
    return sum(known) / len(known) if known else 0.0


@pytest.mark.parametrize("ramp", ["from-min", "from-zero"])
@pytest.mark.parametrize(("min_n", "max_n", "strength"), [(1, 4, 1.0), (2, 3, 0.3), (3, 12, 1.0)])
def test_the_penalty_of_s6(
    asked: Asked, ramp: str, min_n: int, max_n: int, strength: float
) -> None:
    found, context = asked
    assert context.gallery.picks is not None
    picks = context.gallery.picks

    def less(row: int) -> float:
        n, sims = int(picks.counts[row]), float(picks.sims[row])
        if n < min_n:
            return 0.0
        if n >= max_n:
            return strength * 1.0 * max(sims, 0)
        start = 0.3 if ramp == "from-min" else 0.0
        return strength * (start + 0.7 / (max_n - min_n + 1) * (n - min_n + 1)) * max(sims, 0)

    rule = PenaltyRule(min_n, max_n, ramp=ramp, strength=strength)
    answer = penalise(found, picks, rule)
    require(answer, [[(r, s - less(r)) for r, s in hits(found, q)] for q in range(12)])


def test_picks_are_those_of_the_penalty_table() -> None:
    rng = np.random.default_rng(2)
    rows = rng.standard_normal((60, 6)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    gallery, bank, queries = rows[:25], rows[25:45], rows[45:]
    table = penalty_table(gallery, bank, top=4, min_n=2, max_n=5)
    picks = Picks.of(search(bank, gallery, 4), 25)
    np.testing.assert_array_equal(np.minimum(picks.counts, 5), table.n_picked)
    np.testing.assert_allclose(picks.sims, table.sims, rtol=1e-6)
    whole = search(queries, gallery, 25, offsets=table.offsets)
    for given_picks in (picks, Picks.of_table(table)):
        answer = penalise(search(queries, gallery, 25), given_picks, table.rule)
        np.testing.assert_array_equal(answer.indices, whole.indices)
        np.testing.assert_allclose(answer.similarities, whole.similarities, atol=1e-6)
    with pytest.raises(CairnError, match="counted up to 5, the penalty looks up to 9"):
        penalise(whole, Picks.of_table(table), PenaltyRule(2, 9))


@pytest.mark.parametrize(("top", "weight"), [(5, 1.0), (3, 0.25), (99, 0.5)])
def test_the_dense_penalty_r1(asked: Asked, top: int, weight: float) -> None:
    found, context = asked
    assert context.gallery.to_bank is not None
    near = context.gallery.to_bank.tolist()
    wanted = [
        [(r, min(max(s, 0), 1) - weight * mean(near[r][:top])) for r, s in hits(found, q)]
        for q in range(12)
    ]
    require(penalise_densely(found, context.gallery.to_bank, top=top, weight=weight), wanted)


def test_the_dense_penalty_by_hand() -> None:
    found = some([[2, 0, 1]], [[0.9, 0.8, -0.1]])
    to_bank = np.asarray([[0.1, 0.1], [0.5, 0.3], [0.6, 0.2]], np.float32)
    answer = penalise_densely(found, to_bank, top=2)
    assert answer.indices.tolist() == [[0, 2, 1]]
    np.testing.assert_allclose(answer.similarities, [[0.7, 0.5, -0.4]], atol=1e-6)


def test_the_query_penalty_of_r1(asked: Asked) -> None:
    found, context = asked
    assert context.queries.to_bank is not None
    assert context.gallery.landmarks is not None
    near = context.queries.to_bank.tolist()
    less = [0.5 * mean(near[q][:10]) for q in range(12)]
    answer = penalise_queries(found, context.queries.to_bank, weight=0.5)
    require(answer, [[(r, s - less[q]) for r, s in hits(found, q)] for q in range(12)])
    np.testing.assert_array_equal(answer.indices, found.indices)
    votes = best_votes(found, context.gallery.landmarks)
    lower = penalise_queries(votes, context.queries.to_bank, weight=0.5)
    cast = votes.landmarks >= 0
    moved = (votes.scores - np.asarray(less)[:, None])[cast]
    np.testing.assert_allclose(lower.scores[cast], moved, rtol=1e-6)


def test_the_penalties_of_distracted_queries() -> None:
    found = some([[0, 1], [1, 0], [0, -1]], [[0.9, 0.4], [0.8, -0.2], [0.7, -np.inf]])
    to_bank = np.asarray([[0.9, 0.8, 0.3], [0.9, 0.8, 0.29], [0.9, -np.inf, -np.inf]], np.float32)
    lower = penalise_distracted(found, to_bank).similarities
    np.testing.assert_allclose(lower, [[-0.1, -0.6], [0.8, -0.2], [0.7, -np.inf]], atol=1e-6)
    nothing = cut_off(found, to_bank, top=3, threshold=0.6).similarities
    np.testing.assert_allclose(nothing, [[0.0, 0.0], [0.0, -0.2], [0.0, -np.inf]], atol=1e-6)
    last = cut_off(found, to_bank, top=3, threshold=0.295, of="last").similarities
    np.testing.assert_allclose(last, [[0.0, 0.0], [0.8, -0.2], [0.7, -np.inf]], atol=1e-6)
    with pytest.raises(CairnError, match="4 non-landmarks a query are looked at and 3 are kept"):
        penalise_distracted(found, to_bank, rank=4)
    with pytest.raises(CairnError, match="one row a query"):
        cut_off(found, to_bank[:2])


def by_landmark(found: Neighbors, landmarks: NDArray[Any], query: int) -> dict[int, list[Hit]]:
    grouped: dict[int, list[Hit]] = {}
    for row, alike in hits(found, query):
        grouped.setdefault(int(landmarks[row]), []).append((row, alike))
    return grouped


@pytest.mark.parametrize(("num_hits", "power"), [(3, 1.0), (5, 8.0), (None, 2.0)])
def test_sums_and_bests_of_hits(asked: Asked, num_hits: int | None, power: float) -> None:
    found, context = asked
    landmarks = context.gallery.landmarks
    assert landmarks is not None
    few = Neighbors(found.indices[:, :num_hits], found.similarities[:, :num_hits])
    groups = [by_landmark(few, landmarks, query) for query in range(12)]

    def worth(alike: float) -> float:
        return alike if power == 1 else max(alike, 0) ** power

    sums = [[(c, sum(worth(s) for _, s in pairs)) for c, pairs in g.items()] for g in groups]
    require(sum_votes(found, landmarks, num_hits=num_hits, power=power), sums)
    bests = [[(c, max(s for _, s in pairs)) for c, pairs in g.items()] for g in groups]
    require(best_votes(few, landmarks), bests)


def test_votes_by_hand_and_ties_by_first_hit() -> None:
    landmarks = np.asarray([7, 3, 7, 5])
    found = some([[1, 0, 3, 2]], [[0.5, 0.25, 0.5, 0.25]])
    votes = sum_votes(found, landmarks, num_hits=3)
    assert votes.landmarks.tolist() == [[3, 5, 7]]  # 3 and 5 are equal, 3 was hit first
    assert votes.scores.tolist() == [[0.5, 0.5, 0.25]]
    votes = sum_votes(found, landmarks, num_hits=4)
    assert votes.landmarks.tolist() == [[3, 7, 5, -1]]
    assert votes.scores.tolist() == [[0.5, 0.5, 0.5, -np.inf]]


def test_models_are_pooled_by_landmark() -> None:
    one = Votes(np.asarray([[4, 2, -1]]), np.asarray([[0.5, 0.25, -np.inf]]))
    two = Votes(np.asarray([[2, 9]]), np.asarray([[1.0, 0.5]]))
    pooled = pool_votes([one, two])
    assert pooled.landmarks.tolist() == [[2, 4, 9, -1, -1]]
    assert pooled.scores.tolist() == [[1.25, 0.5, 0.5, -np.inf, -np.inf]]
    assert pool_votes([one, two], [4.0, 0.5]).landmarks[0, :3].tolist() == [4, 2, 9]
    with pytest.raises(CairnError, match="votes to pool must be of the same queries"):
        pool_votes([one, two], [1.0])


@pytest.mark.parametrize(("power", "head_power"), [(8.0, 12.0), (9.0, 10.0), (1.0, 0.0)])
def test_the_product_with_the_head_r2(asked: Asked, power: float, head_power: float) -> None:
    found, context = asked
    landmarks, head = context.gallery.landmarks, context.queries.head
    assert landmarks is not None
    assert isinstance(head, HeadVectors)
    table = HeadTable(head.queries @ head.centres.T)
    few = Neighbors(found.indices[:, :5], found.similarities[:, :5])
    wanted = []
    for query in range(12):
        pairs = []
        for code, group in by_landmark(few, landmarks, query).items():
            kept = sum(max(s, 1e-12) ** power for _, s in group)
            said = max(float(table.table[query, code]), 1e-12)
            pairs.append((code, math.log(kept) + head_power * math.log(said)))
        wanted.append(pairs)
    for one in (head, table):
        answer = multiply_by_head(found, landmarks, one, power=power, head_power=head_power)
        require(answer, wanted)


def test_the_product_does_not_underflow() -> None:
    landmarks = np.asarray([0, 1, 2])
    found = some([[0, 1, 2]], [[0.002, 0.002, -0.5]])
    head = HeadTable(np.asarray([[0.005, 0.01, 0.9]], np.float32))
    votes = multiply_by_head(found, landmarks, head)
    assert np.float32(0.002) ** 8 * np.float32(0.01) ** 12 == 0
    assert votes.landmarks.tolist() == [[1, 0, 2]]
    wanted = 8 * math.log(0.002) + 12 * math.log(0.01)
    assert votes.scores[0, 0] == pytest.approx(wanted, rel=1e-6)
    assert np.isfinite(votes.scores).all()


def test_the_sum_with_the_head_r4(asked: Asked) -> None:
    found, context = asked
    landmarks, to_bank, head = (
        context.gallery.landmarks,
        context.gallery.to_bank,
        context.queries.head,
    )
    assert landmarks is not None
    assert to_bank is not None
    assert isinstance(head, HeadVectors)
    said = head.queries @ head.centres.T
    few = Neighbors(found.indices[:, :7], found.similarities[:, :7])
    wanted = [
        [
            (code, sum(s + float(said[q, code]) - mean(to_bank[r, :3].tolist()) for r, s in group))
            for code, group in by_landmark(few, landmarks, q).items()
        ]
        for q in range(12)
    ]
    require(add_head(found, landmarks, head, to_bank), wanted)
    free = add_head(found, landmarks, head, None, head_weight=0.0)
    require(
        free,
        [
            [
                (code, sum(s for _, s in group))
                for code, group in by_landmark(few, landmarks, q).items()
            ]
            for q in range(12)
        ],
    )


def test_centres_are_mean_directions() -> None:
    vectors = np.asarray([[1, 0], [0, 1], [0, 1]], np.float32)
    half = math.sqrt(0.5)
    centres = centres_of(vectors, np.asarray([0, 0, 1]))
    np.testing.assert_allclose(centres, [[half, half], [0.0, 1.0]])


@pytest.mark.parametrize("temperature", [1.0, 20.0, 500.0])
def test_met_s_confidence(asked: Asked, temperature: float) -> None:
    found, context = asked
    landmarks = context.gallery.landmarks
    assert landmarks is not None
    votes = best_votes(found, landmarks)
    answer = soften(votes, context.gallery.num_landmarks, temperature=temperature)
    wanted = []
    for query in range(12):
        groups = by_landmark(found, landmarks, query)
        best = {code: max(0.0, max(s for _, s in group)) for code, group in groups.items()}
        whole = math.fsum(math.exp(temperature * s) for s in best.values()) + 15 - len(best)
        wanted.append([(code, temperature * s - math.log(whole)) for code, s in best.items()])
    require(answer, wanted)


def test_sure_answers_do_not_tie() -> None:
    votes = Votes(np.asarray([[0, 1], [0, 1]]), np.asarray([[0.95, 0.2], [0.94, 0.2]]))
    scores = soften(votes, 2, temperature=100.0).scores[:, 0]
    assert np.exp(scores[0]) == np.exp(scores[1]) == 1.0  # Met's own numbers are equal
    assert scores[0] > scores[1]
    np.testing.assert_allclose(scores, -np.exp([-75.0, -74.0]), rtol=1e-9)
    with pytest.raises(CairnError, match="votes for 2 landmarks of 1"):
        soften(votes, 1)


def test_quantiles_by_hand(asked: Asked) -> None:
    found = some([[0, 1, 2], [3, 4, -1]], [[0.9, 0.5, 0.5], [0.7, 0.1, -np.inf]])
    quantiles = to_quantiles(found)
    np.testing.assert_allclose(
        quantiles.similarities, [[0.9, 0.4, 0.4], [0.7, 0.1, -np.inf]], atol=1e-7
    )
    np.testing.assert_array_equal(quantiles.indices, found.indices)
    whole = asked[0].similarities[asked[0].indices >= 0]
    made = to_quantiles(asked[0])
    for query in range(12):
        for score, (_, alike) in zip(made.similarities[query], hits(asked[0], query), strict=False):
            share = (whole < np.float32(alike)).mean() + (whole == np.float32(alike)).mean() / 2
            assert score == pytest.approx(share, abs=1e-6)


def test_over_predicted_landmarks_are_less_sure() -> None:
    landmarks = np.asarray([[4, 1], [4, 2], [4, -1], [1, 4], [-1, -1]])
    scores = np.asarray([[0.9, 0.1], [0.8, 0.7], [0.3, -np.inf], [0.2, 0.1], [-np.inf, -np.inf]])
    votes = Votes(landmarks, scores)
    assert demote(votes, most=3).scores.tolist() == scores.tolist()
    lower = demote(votes, most=2)
    np.testing.assert_array_equal(lower.landmarks, landmarks)
    assert (lower.scores[:3, 0] < scores[3, 0]).all()
    assert (np.diff(lower.scores[:3, 0]) < 0).all()
    np.testing.assert_array_equal(lower.scores[3:], scores[3:])
    told = demote(votes, most=2, amount=0.5).scores
    np.testing.assert_allclose(told[:2], [[0.4, -0.4], [0.3, 0.2]])


def test_predictions_name_landmarks() -> None:
    codes, names = code_landmarks(["tower", "arch", "tower"])
    assert codes.tolist() == [1, 0, 1]
    votes = best_votes(some([[2, 1], [-1, -1]], [[0.5, 0.25], [-np.inf, -np.inf]]), codes)
    assert predictions_of(votes, ["a", "b"], names) == [
        Prediction("a", "tower", 0.5),
        Prediction("b", None, 0.0),
    ]
    with pytest.raises(CairnError, match="2 queries and 1 ids"):
        predictions_of(votes, ["a"], names)
    with pytest.raises(CairnError, match="landmark 1 of 1"):
        predictions_of(votes, ["a", "b"], names[:1])


def test_equal_scores_keep_their_order() -> None:
    answer = ranked(np.asarray([[5, -1, 3, 9]]), np.asarray([[0.5, 9.0, 0.5, 0.7]]))
    assert answer.indices.tolist() == [[9, 5, 3, -1]]
    assert answer.similarities[0, 3] == -np.inf


@given(st.data())
def test_a_tally_is_a_loop_s(data: st.DataObject) -> None:
    k = data.draw(st.integers(0, 6))
    number = st.integers(-1, 3)
    codes = data.draw(st.lists(st.lists(number, min_size=k, max_size=k), min_size=1, max_size=4))
    values = [[data.draw(st.integers(-8, 8)) / 4 for _ in row] for row in codes]
    shape = (len(codes), k)
    landmarks = np.asarray(codes, np.int64).reshape(shape)
    for how in ("sum", "best", "log-sum"):
        votes = tally(landmarks, np.asarray(values, np.float64).reshape(shape), how)
        for query, row in enumerate(codes):
            groups: dict[int, list[float]] = {}
            for code, value in zip(row, values[query], strict=True):
                if code >= 0:
                    groups.setdefault(code, []).append(value)
            whole = {
                "sum": sum,
                "best": max,
                "log-sum": lambda one: math.log(math.fsum(map(math.exp, one))),
            }[how]
            totals = {code: float(whole(group)) for code, group in groups.items()}  # type: ignore[operator]
            kept = votes.landmarks[query][votes.landmarks[query] >= 0].tolist()
            assert sorted(kept) == sorted(totals)
            np.testing.assert_allclose(
                votes.scores[query, : len(kept)], [totals[code] for code in kept], atol=1e-12
            )
            if how != "log-sum":
                wanted = sorted(totals, key=lambda code: -totals[code])  # stable: first hit first
                assert kept == wanted
