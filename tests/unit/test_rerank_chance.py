"""Ranking by chance, and the best image with the head: formulas by loops, fits by scikit-learn."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cairn.domain import Neighbors
from cairn.errors import CairnError
from cairn.rerank import (
    Context,
    GallerySide,
    HeadTable,
    QuerySide,
    Votes,
    compose,
    read_stages,
)
from cairn.rerank.chance import Chance, fit_chance
from cairn.rerank.head_best import add_head_to_best
from cairn.rerank.voting import best_votes

Asked = tuple[Neighbors, Context]
VALUES = {
    "intercept": -3.0,
    "score_weight": 5.0,
    "margin_weight": 2.0,
    "size_weight": -0.5,
    "bank_weight": 4.0,
    "most_margin": 0.2,
    "top": 2,
}


def test_the_best_image_and_the_head(asked: Asked) -> None:
    found, context = asked
    landmarks, head = context.gallery.landmarks, context.queries.head
    assert landmarks is not None
    assert head is not None
    for num_hits, weight in ((100, 1.0), (4, 0.5)):
        votes = add_head_to_best(found, landmarks, head, num_hits=num_hits, head_weight=weight)
        for query in range(found.num_queries):
            best: dict[int, float] = {}
            pairs = zip(found.indices[query, :num_hits], found.similarities[query], strict=False)
            for row, alike in pairs:
                if row >= 0:
                    code = int(landmarks[row])
                    best[code] = max(best.get(code, -math.inf), float(alike))
            every = np.asarray([[*best, *[0] * (64 - len(best))]])
            said = head.take(np.asarray([query])).scores(every)[0]
            wanted = {c: s + weight * h for (c, s), h in zip(best.items(), said, strict=False)}
            codes = votes.landmarks[query]
            assert set(codes[codes >= 0].tolist()) == set(wanted)
            for code, score in zip(codes.tolist(), votes.scores[query].tolist(), strict=True):
                if code >= 0:
                    assert score == pytest.approx(wanted[code], abs=1e-6)


def test_many_images_do_not_outvote_a_better_one() -> None:
    """Landmark 0 has three images at 0.5, landmark 1 has one at 0.6; the head is even."""
    found = Neighbors(np.array([[3, 0, 1, 2]]), np.array([[0.6, 0.5, 0.5, 0.5]], np.float32))
    landmarks = np.array([0, 0, 0, 1])
    head = HeadTable(np.array([[0.5, 0.5]], np.float32))
    votes = add_head_to_best(found, landmarks, head)
    assert votes.landmarks[0, :2].tolist() == [1, 0]
    assert votes.scores[0, :2].tolist() == pytest.approx([1.1, 1.0])
    twice = Neighbors(found.indices.repeat(2, axis=0), found.similarities.repeat(2, axis=0))
    with pytest.raises(CairnError, match="the head is of 1 queries and the hits of 2"):
        add_head_to_best(twice, landmarks, head)


def test_the_chance_by_hand(asked: Asked) -> None:
    found, context = asked
    landmarks, to_bank = context.gallery.landmarks, context.queries.to_bank
    assert landmarks is not None
    assert to_bank is not None
    votes = best_votes(found, landmarks)
    made = Chance(**VALUES)(votes, context)
    np.testing.assert_array_equal(made.landmarks, votes.landmarks)
    for query in range(found.num_queries):
        codes = [code for code in votes.landmarks[query].tolist() if code >= 0]
        if not codes:
            assert np.isneginf(made.scores[query]).all()
            continue
        scores = votes.scores[query].tolist()
        lead = min(scores[0] - scores[1], 0.2) if len(codes) > 1 else 0.2
        near = [one for one in to_bank[query, :2].tolist() if one > -math.inf]
        bank = sum(near) / len(near) if near else 0.0
        size = int((landmarks == codes[0]).sum())
        z = -3 + 5 * scores[0] + 2 * lead - 0.5 * math.log(size) - 4 * bank
        assert made.scores[query, 0] == pytest.approx(z)
        for place in range(1, len(codes)):  # the others keep their distance
            assert z - made.scores[query, place] == pytest.approx(scores[0] - scores[place])


def test_a_lone_landmark_leads_by_as_much_as_counts_and_no_vote_stays_none() -> None:
    votes = Votes(np.array([[0, -1], [-1, -1]]), np.array([[0.5, -np.inf], [-np.inf, -np.inf]]))
    context = Context(
        GallerySide(landmarks=np.array([0, 0, 1])),
        QuerySide(to_bank=np.array([[0.3, -np.inf], [0.1, 0.1]], np.float32)),
    )
    made = Chance(**VALUES)(votes, context)
    z = -3 + 5 * 0.5 + 2 * 0.2 - 0.5 * math.log(2) - 4 * 0.3
    assert made.scores[0].tolist() == pytest.approx([z, -math.inf])
    assert np.isneginf(made.scores[1]).all()
    with pytest.raises(CairnError, match="one row a query"):
        Chance(**VALUES)(votes, context.take(np.array([0])))


def drawn(num: int, seed: int) -> tuple[Votes, Context, Any, Any]:
    """Answers that are right the sooner the higher the score and the less like the bank."""
    rng = np.random.default_rng(seed)
    bank = rng.random((num, 3)).astype(np.float32) * 0.3
    known = rng.random(num) < 1 / (1 + np.exp(30 * (bank.mean(axis=1) - 0.15)))
    first = 0.4 + 0.3 * rng.random(num)
    lead = rng.random(num) * 0.2
    codes = np.stack([rng.integers(0, 4, num), np.full(num, 4)], axis=1)
    mean = bank.mean(axis=1)
    right = known & (
        rng.random(num) < 1 / (1 + np.exp(-(20 * (first - 0.5) + 8 * lead - 9 * mean)))
    )
    votes = Votes(codes, np.stack([first, first - lead], axis=1))
    landmarks = np.repeat(np.arange(5), [1, 2, 4, 8, 3])
    return votes, Context(GallerySide(landmarks), QuerySide(to_bank=bank)), right, known


@pytest.mark.parametrize("share", [None, 0.1])
def test_the_fit_is_scikit_learns(share: float | None) -> None:
    votes, context, right, known = drawn(800, 0)
    made = fit_chance(votes, context, right, known, known_share=share, top=3)
    first, second = votes.scores.T
    sizes = np.array([1, 2, 4, 8])[votes.landmarks[:, 0]]
    assert context.queries.to_bank is not None
    inputs = np.stack(
        [first, first - second, np.log(sizes), context.queries.to_bank.mean(axis=1)], axis=1
    )
    weights = np.ones(800)
    if share is not None:
        weights = np.where(known, share / known.mean(), (1 - share) / (~known).mean())
        weights /= weights.mean()
    scaled = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    other = LogisticRegression(tol=1e-10, max_iter=1000).fit(scaled, right, sample_weight=weights)
    wanted = other.coef_[0] / inputs.std(axis=0)
    assert made.top == 3
    assert made.most_margin == pytest.approx((first - second).max())
    np.testing.assert_allclose(
        [made.score_weight, made.margin_weight, made.size_weight, -made.bank_weight],
        wanted,
        rtol=2e-4,
        atol=2e-4,
    )
    logits = made(votes, context).scores[:, 0]
    np.testing.assert_allclose(logits, other.decision_function(scaled), atol=1e-3)


def test_what_the_fit_says_comes_true_on_other_queries_at_another_share() -> None:
    votes, context, right, known = drawn(2000, 1)
    made = fit_chance(votes, context, right, known, known_share=0.1)
    later, around, came, is_known = drawn(20_000, 2)
    kept = np.flatnonzero(~is_known | (np.random.default_rng(0).random(20_000) < 1 / 9))
    told = 1 / (1 + np.exp(-made(later, around).scores[kept, 0]))
    assert told.mean() == pytest.approx(came[kept].mean(), rel=0.1)


def test_a_fitted_stage_stands_in_a_recipe() -> None:
    votes, context, right, known = drawn(300, 3)
    made = fit_chance(votes, context, right, known)
    pipeline = compose([{"stage": "best-vote"}, made])
    assert pipeline.online
    again = compose(pipeline.to_json())
    assert again == pipeline
    with pytest.raises(CairnError, match="score_weight"):
        compose([{"stage": "best-vote"}, {"stage": "chance", "score_weight": -1.0}])


@pytest.mark.parametrize("values", ["", "top = 3", "fit = true"])
def test_a_recipe_without_the_numbers_is_refused(values: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(f'[[stages]]\nstage = "best-vote"\n\n[[stages]]\nstage = "chance"\n{values}\n')
    with pytest.raises(CairnError, match=r"stage 2[\s\S]*cairn tune"):
        read_stages(path)


def test_at_a_share_of_one_only_landmarks_count() -> None:
    votes, context, right, known = drawn(200, 5)
    rows = np.flatnonzero(known)
    few = Votes(votes.landmarks[rows], votes.scores[rows])
    alone = fit_chance(few, context.take(rows), right[rows], known[rows])
    assert fit_chance(votes, context, right, known, known_share=1.0) == alone


def test_what_cannot_be_fitted_is_refused() -> None:
    votes, context, right, known = drawn(50, 4)
    with pytest.raises(CairnError, match=r"without queries\.to_bank"):
        fit_chance(votes, Context(context.gallery), right, known)
    with pytest.raises(CairnError, match="nothing to tell apart"):
        fit_chance(votes, context, np.zeros(50, bool), known)
    with pytest.raises(CairnError, match="known share"):
        fit_chance(votes, context, right, known, known_share=0.0)
