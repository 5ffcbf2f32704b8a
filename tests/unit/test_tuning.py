"""Tuning: what wins, what is said where nothing does, and queries of the gallery itself."""

from dataclasses import replace

import numpy as np
import pytest

from cairn import tuning
from cairn.approximate import ApproximateSearcher
from cairn.domain import Float32, Neighbors
from cairn.errors import CairnError
from cairn.index_kinds import Hnsw
from cairn.search import search
from cairn.searchers import ExactSearcher
from cairn.trials import Trial
from cairn.tuning import tune, without


def grouped(num: int, seed: int = 0) -> Float32:
    """Return unit rows in groups of ten, with 24 dimensions."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((-(-num // 10), 24)).repeat(10, axis=0)[:num]
    made = centres + 0.3 * rng.standard_normal((num, 24))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), dtype=np.float32)


@pytest.mark.usefixtures("slow_exact")
@pytest.mark.parametrize("kind", ["hnsw", "ivf-pq"])
@pytest.mark.parametrize("goal", ["single", "batch"])
def test_the_winner_shows_the_recall_on_queries_that_had_no_say(kind: str, goal: str) -> None:
    vectors, asked = grouped(2000), grouped(2000)[::20] + 0.01
    asked = (asked / np.linalg.norm(asked, axis=1, keepdims=True)).astype(np.float32)
    offsets = -np.random.default_rng(3).uniform(0, 0.2, 2000).astype(np.float32)
    made = tune(vectors, asked, offsets=offsets, target_recall=0.9, k=5, kinds=[kind], goal=goal)
    assert made.winner is not None
    assert made.searcher is not None
    assert made.winner.held_out is not None
    assert made.winner.held_out.at_k.value >= 0.9
    assert made.winner.held_out.num_queries == 50
    assert made.winner.parameters == made.searcher.parameters
    assert not made.is_own
    # What it says of recall is true of the searcher it hands over.
    found, truth = made.searcher.search(asked, 5), search(asked, vectors, 5, offsets=offsets)
    both = (made.winner.recall.at_k.value + made.winner.held_out.at_k.value) / 2
    assert (found.similarities >= truth.similarities[:, -1:]).mean() == pytest.approx(both)
    reaching = [trial for trial in made.trials[1:] if trial.reaches(0.9)]
    assert made.winner.cost(goal) == min(trial.cost(goal) for trial in reaching)
    assert f"{made.winner.name}: {made.winner.pace(goal)}, exact search " in made.verdict
    assert ("queries/s" in made.verdict) == (goal == "batch"), "what was to be quick"
    starred = [line for line in made.table().splitlines() if line.startswith("*")]
    assert len(starred) == 1
    assert made.winner.name in starred[0]
    assert made.to_json()["winner"] == made.winner.name


@pytest.mark.usefixtures("slow_exact")
def test_where_nothing_reaches_the_target_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    made = rng.standard_normal((4000, 64))
    hard = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    monkeypatch.setattr(tuning, "_MOST_EFFORT", 40)
    tuned = tune(hard, hard[:100] * np.float32(-1), target_recall=1.0, k=10)
    assert tuned.winner is None
    assert tuned.searcher is None
    assert "nothing tried reaches recall@10 1" in tuned.verdict
    nearest = max(tuned.trials[1:], key=lambda trial: trial.recall.at_k.value)
    assert nearest.name in tuned.verdict


def test_where_exact_search_is_quicker_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    enter = tuning._Contest.__init__

    def quickened(self: tuning._Contest, *values: object) -> None:
        enter(self, *values)  # type: ignore[arg-type]
        self.exact = replace(self.exact, single_ms=1e-6)
        self.trials = [self.exact]

    monkeypatch.setattr(tuning._Contest, "__init__", quickened)
    monkeypatch.setattr(tuning, "_HOPELESS", 1e12)
    tuned = tune(grouped(2000), target_recall=0.5, k=5, kinds=["hnsw"])
    assert tuned.winner is None
    assert tuned.searcher is None
    assert any(trial.reaches(0.5) for trial in tuned.trials[1:])
    assert tuned.verdict.startswith("exact search is quicker")


def test_a_small_gallery_is_searched_exactly() -> None:
    tuned = tune(grouped(200), k=5)
    assert [trial.name for trial in tuned.trials] == ["exact"]
    assert tuned.winner is None
    assert "exact search" in tuned.verdict


def test_without_queries_the_gallery_is_asked_about_itself() -> None:
    vectors = grouped(200)
    tuned = tune(vectors, k=5)
    assert tuned.is_own
    assert tuned.num_queries == 200
    assert "without itself" in tuned.to_json()["queries"]


def test_of_many_queries_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "MOST_QUERIES", 60)
    assert tune(grouped(200), grouped(100), k=5).num_queries == 60


def test_own_rows_are_left_out_wherever_they_stand() -> None:
    indices = np.array([[7, 3, 1], [2, 8, 4], [5, 6, 9]], dtype=np.int64)
    similarities = np.array([[0.9, 0.8, 0.7]] * 3, dtype=np.float32)
    less = without(Neighbors(indices, similarities), np.array([7, 4, 0]))
    assert less.indices.tolist() == [[3, 1], [2, 8], [5, 6]]
    np.testing.assert_array_equal(
        less.similarities, np.array([[0.8, 0.7], [0.9, 0.8], [0.9, 0.8]], dtype=np.float32)
    )


def test_an_interval_that_reaches_below_the_target_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = grouped(2000)
    asked = tuning._Asked.draw(vectors, vectors[:40], 5, np.random.default_rng(0))
    contest = tuning._Contest(asked, ExactSearcher(vectors), 0.999, "single")
    contest.exact = replace(contest.exact, single_ms=1e6)
    searcher = ApproximateSearcher(vectors, Hnsw(m=16, ef_construction=80, ef_search=400))
    trial: Trial = contest.enter(searcher)
    assert trial.reaches(0.999)
    assert "more queries would tell" in contest.verdict()


@pytest.mark.parametrize(
    ("wishes", "what"),
    [
        ({"target_recall": 0.0}, "recall asked for"),
        ({"target_recall": 1.1}, "recall asked for"),
        ({"k": 0}, "k must be"),
        ({"k": 200}, "k must be"),
        ({"kinds": ["hsnw"]}, "unknown kind"),
        ({"kinds": []}, "at least one kind"),
        ({"goal": "slow"}, "unknown goal"),
        ({"queries": grouped(19)}, "at least 20 queries"),
        ({"queries": grouped(40)[:, :5]}, "dimension"),
    ],
)
def test_wishes_that_cannot_be_are_refused(wishes: dict[str, object], what: str) -> None:
    with pytest.raises(CairnError, match=what):
        tune(grouped(200), **{"k": 5, **wishes})  # type: ignore[arg-type]


def test_effort_rises_to_a_quarter_of_the_gallery() -> None:
    assert tuning._efforts(10, 400, 2.0) == [10, 20, 40, 80, 100]
    assert tuning._efforts(500, 400, 2.0) == [100]
    assert tuning._efforts(1, 16, 1.1) == [1, 2, 3, 4]
