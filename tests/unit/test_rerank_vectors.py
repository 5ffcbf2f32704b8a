"""Stages that make vectors or walk neighbours, against loops."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cairn.domain import Float32, Neighbors
from cairn.errors import CairnError
from cairn.rerank import Context
from cairn.rerank.expansion import AlphaExpansion, augment_gallery, expanded
from cairn.rerank.reciprocal import encode_reciprocal
from cairn.rerank.superglobal import refine
from cairn.search import search
from cairn.searchers import ExactSearcher

Asked = tuple[Neighbors, Context]


def units(num: int, dimension: int = 6, seed: int = 0) -> Float32:
    rows = np.random.default_rng(seed).standard_normal((num, dimension))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def clustered(num: int, seed: int) -> Float32:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((5, 6))
    rows = centres[rng.integers(5, size=num)] + 0.5 * rng.standard_normal((num, 6))
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize(("num", "alpha"), [(3, 3.0), (10, 0.0), (1, 1.0)])
def test_alpha_expansion(num: int, alpha: float) -> None:
    gallery, queries = clustered(30, 1), units(7, seed=2)
    found = search(queries, gallery, 10)
    found.indices[2, 2:], found.similarities[2, 2:] = -1, -np.inf
    made = expanded(queries, found, gallery, num=num, alpha=alpha)
    for query in range(7):
        whole = queries[query].astype(np.float64)
        for row, alike in zip(found.indices[query], found.similarities[query], strict=True):
            if row in found.indices[query, :num] and row >= 0:
                whole = whole + max(float(alike), 0.0) ** alpha * gallery[row]
        np.testing.assert_allclose(made[query], whole / np.linalg.norm(whole), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6)


def test_alpha_expansion_searches_again(asked: Asked) -> None:
    found, context = asked
    stage = AlphaExpansion(num=4)
    assert context.queries.vectors is not None
    assert context.gallery.vectors is not None
    assert context.gallery.search is not None
    made = expanded(context.queries.vectors, found, context.gallery.vectors, num=4)
    again = context.gallery.search(made, 20)
    answer = stage(found, context)
    np.testing.assert_array_equal(answer.indices, again.indices)
    assert not np.array_equal(answer.indices, found.indices)


def test_expansion_by_hand() -> None:
    gallery = np.asarray([[1, 0], [0, 1]], np.float32)
    queries = np.asarray([[0.8, 0.6]], np.float32)
    found = search(queries, gallery, 2)
    made = expanded(queries, found, gallery, num=2, alpha=2.0)
    whole = np.asarray([0.8 + 0.64, 0.6 + 0.36])
    np.testing.assert_allclose(made[0], whole / np.linalg.norm(whole), atol=1e-6)
    with pytest.raises(CairnError, match="2 vectors for the hits of 1 queries"):
        expanded(gallery, found, gallery)


@pytest.mark.parametrize(
    ("weights", "alpha", "same"), [("alpha", 3.0, False), ("rank", 0, False), ("alpha", 0, True)]
)
def test_database_side_augmentation(weights: str, alpha: float, same: bool, tmp_path: Path) -> None:
    gallery = clustered(40, 3)
    gallery[7] = gallery[3]  # copies keep out of their own lists, too
    landmarks = np.arange(40) % 4
    searcher = ExactSearcher(gallery)
    out = np.lib.format.open_memmap(tmp_path / "g.npy", "w+", np.float32, gallery.shape)
    made = augment_gallery(
        gallery,
        searcher.search,
        num=5,
        weights=weights,  # type: ignore[arg-type]
        alpha=alpha,
        landmarks=landmarks if same else None,
        out=out,
    )
    assert made is out
    products = gallery.astype(np.float64) @ gallery.astype(np.float64).T
    for row in range(40):
        others = [other for other in range(40) if other != row]
        near = sorted(others, key=lambda other: -round(products[row, other], 9))[:5]
        whole = gallery[row].astype(np.float64)
        for rank, other in enumerate(near, start=1):
            share = (
                (5 + 1 - rank) / 6 if weights == "rank" else max(products[row, other], 0) ** alpha
            )
            if not same or landmarks[other] == landmarks[row]:
                whole = whole + share * gallery[other]
        np.testing.assert_allclose(made[row], whole / np.linalg.norm(whole), atol=2e-6)
    with pytest.raises(CairnError, match="over those they are made of"):
        augment_gallery(gallery, searcher.search, out=gallery)


def superglobal(
    query: Float32, hits: Float32, num_near: int, beta: float, pooling: str
) -> list[float]:
    num, q = len(hits), query.astype(np.float64)
    x = hits.astype(np.float64)
    refined = []
    for m in range(num):
        others = sorted((j for j in range(num) if j != m), key=lambda j: -(x[m] @ x[j]))
        whole, weight = x[m].copy(), 1.0
        for j in others[:num_near]:
            share = beta * max(float(x[m] @ x[j]), 0.0)
            whole, weight = whole + share * x[j], weight + share
        refined.append(whole / weight)
    first = [float(q @ r) for r in refined]
    best = sorted(range(num), key=lambda m: -first[m])[: num_near + 1]
    pool = max if pooling == "max" else lambda values: sum(values) / len(values)
    pooled = [pool([float(refined[m][d]) for m in best]) for d in range(len(q))]
    return [(first[m] + float(np.dot(pooled, refined[m]))) / 2 for m in range(num)]


@pytest.mark.parametrize(("num_hits", "num_near"), [(12, 4), (5, 2), (12, 30), (1, 3), (12, 0)])
@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_superglobal(num_hits: int, num_near: int, pooling: Any) -> None:
    gallery, queries = clustered(30, 4), clustered(6, 5)
    found = search(queries, gallery, 12)
    found.indices[1, 3:], found.similarities[1, 3:] = -1, -np.inf
    found.indices[2], found.similarities[2] = -1, -np.inf
    answer = refine(
        found, queries, gallery, num_hits=num_hits, num_near=num_near, beta=0.3, pooling=pooling
    )
    for query in range(6):
        rows = [row for row in found.indices[query, :num_hits].tolist() if row >= 0]
        scores = superglobal(queries[query], gallery[rows], num_near, 0.3, pooling) if rows else []
        wanted = sorted(zip(scores, rows, strict=True), reverse=True)
        assert answer.indices[query, : len(rows)].tolist() == [row for _, row in wanted]
        np.testing.assert_allclose(
            answer.similarities[query, : len(rows)], [score for score, _ in wanted], atol=1e-5
        )
        np.testing.assert_array_equal(  # what was not refined stays behind
            answer.indices[query, num_hits:], found.indices[query, num_hits:]
        )


def test_superglobal_by_hand() -> None:
    gallery = np.asarray([[1, 0], [0.6, 0.8]], np.float32)
    queries = np.asarray([[0.8, 0.6]], np.float32)
    found = search(queries, gallery, 2)  # 0.96 (row 1), 0.8 (row 0)
    answer = refine(found, queries, gallery, num_near=1, beta=0.5)
    share = 0.5 * 0.6
    one = (np.asarray([0.6, 0.8]) + share * np.asarray([1, 0])) / (1 + share)
    two = (np.asarray([1, 0]) + share * np.asarray([0.6, 0.8])) / (1 + share)
    pooled = np.maximum(one, two)
    q = queries[0].astype(np.float64)
    wanted = [(q @ one + pooled @ one) / 2, (q @ two + pooled @ two) / 2]
    np.testing.assert_allclose(answer.similarities[0], wanted, atol=1e-6)


def reciprocal(
    found: Neighbors, neighbors: Neighbors, query: int, k1: int, k2: int, weight: float
) -> dict[int, float]:
    """Zhong et al.'s encoding with sets and dictionaries, of one query."""
    size = neighbors.num_queries
    lists = {
        g: [(g, 1.0)]
        + [
            (int(x), float(s))
            for x, s in zip(neighbors.indices[g], neighbors.similarities[g], strict=True)
            if x >= 0
        ]
        for g in range(size)
    }
    own = [
        (int(x), float(s))
        for x, s in zip(found.indices[query], found.similarities[query], strict=True)
        if x >= 0
    ]

    def near(g: int, k: int) -> list[int]:
        return [x for x, _ in lists[g][1 : k + 1]]

    def mutual(g: int, k: int) -> set[int]:
        return {g} | {x for x in near(g, k) if g in near(x, k)}

    def of_query() -> set[int]:
        return {x for x, s in own[:k1] if s >= lists[x][k1][1]}

    def encode(core: set[int], entries: list[tuple[int, float]]) -> dict[int, float]:
        members = set(core)
        for x in core:
            half = mutual(x, k1 // 2)
            if len(half & core) > 2 / 3 * len(half):
                members |= half
        raw = {x: math.exp(s - 1) for x, s in entries if x in members}
        total = sum(raw.values())
        return {x: value / total for x, value in raw.items()}

    def averaged(vectors: list[dict[int, float]]) -> dict[int, float]:
        rows = {x for vector in vectors for x in vector}
        return {x: sum(vector.get(x, 0) for vector in vectors) / len(vectors) for x in rows}

    v = {g: encode(mutual(g, k1), lists[g]) for g in range(size)}
    vq = averaged([encode(of_query(), own), *(v[x] for x, _ in own[: k2 - 1])])
    scores = {}
    for g, alike in own:
        vg = averaged([v[g], *(v[x] for x in near(g, k2 - 1))])
        rows = set(vq) | set(vg)
        low = sum(min(vq.get(x, 0), vg.get(x, 0)) for x in rows)
        high = sum(max(vq.get(x, 0), vg.get(x, 0)) for x in rows)
        scores[g] = weight * alike + (1 - weight) * (low / high)
    return scores


@pytest.mark.parametrize(("k1", "k2", "weight"), [(8, 3, 0.3), (4, 1, 0.0), (11, 6, 0.5)])
def test_k_reciprocal_encoding(k1: int, k2: int, weight: float) -> None:
    gallery, queries = clustered(40, 6), clustered(8, 7)
    near = search(gallery, gallery, 13)
    others = Neighbors(near.indices[:, 1:], near.similarities[:, 1:])  # no copies: self is first
    found = search(queries, gallery, 15)
    found.indices[3, 6:], found.similarities[3, 6:] = -1, -np.inf
    answer = encode_reciprocal(found, others, k1=k1, k2=k2, weight=weight)
    moved = 0
    for query in range(8):
        wanted = reciprocal(found, others, query, k1, k2, weight)
        rows = answer.indices[query][answer.indices[query] >= 0].tolist()
        assert set(rows) == set(wanted)
        np.testing.assert_allclose(
            answer.similarities[query, : len(rows)], [wanted[row] for row in rows], atol=1e-6
        )
        moved += rows != found.indices[query][found.indices[query] >= 0].tolist()
    assert moved > 3


def test_k_reciprocal_needs_neighbours_enough() -> None:
    gallery = units(30)
    near = search(gallery, gallery, 5)
    with pytest.raises(CairnError, match="k1 is 20 and 5 neighbours"):
        encode_reciprocal(search(units(2), gallery, 9), near)
