"""A recipe upon a gallery: every part of the context, from the gallery's own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cairn.approximate import ApproximateSearcher
from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery import Gallery, keep_penalty, remove_images
from cairn.index_folder import save_index
from cairn.index_kinds import KINDS
from cairn.model import build
from cairn.rerank import compose
from cairn.rerank.context import NEEDS
from cairn.search import search
from cairn.stacks import Stack, context_of
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
)
NUM, EACH = 12, 5
CENTRES = np.random.default_rng(0).standard_normal((NUM, 16))
LANDMARKS = [f"l{number:02}" for number in range(NUM)]


def unit(rows: np.ndarray) -> Float32:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def save(folder: Path, head: dict[str, torch.Tensor] | None, landmarks: list[str]) -> Path:
    torch.manual_seed(0)
    save_model(folder, build(CONFIG), CONFIG, head=head, landmarks=landmarks)
    return folder


def table(model: Path, prefix: str, vectors: Float32, landmarks: list[str]) -> EmbeddingTable:
    ids = [f"{prefix}{row}" for row in range(len(vectors))]
    paths = [f"/nowhere/{one}.jpg" for one in ids]
    return EmbeddingTable(ids, landmarks, paths, vectors, model_fingerprint(model))


def views(model: Path, prefix: str, each: int, seed: int) -> EmbeddingTable:
    rows = CENTRES.repeat(each, axis=0)
    rows = rows + 0.7 * np.random.default_rng(seed).standard_normal(rows.shape)
    return table(model, prefix, unit(rows), [LANDMARKS[row // each] for row in range(len(rows))])


def strangers(model: Path, prefix: str, num: int, seed: int) -> EmbeddingTable:
    vectors = unit(np.random.default_rng(seed).standard_normal((num, 16)))
    return table(model, prefix, vectors, [""] * num)


def build_gallery(
    tmp_path: Path,
    *,
    head: Any = None,
    landmarks: list[str] | None = None,
    bank: int = 40,
    each: int = EACH,
) -> Gallery:
    model = save(tmp_path / "model", head, landmarks or [])
    views(model, "g", each, 1).write(tmp_path / "embeddings")
    Gallery.build(tmp_path / "embeddings", model, tmp_path / "gallery")
    if bank:
        keep_penalty(tmp_path / "gallery", strangers(model, "n", bank, 2), min_n=1)
    return Gallery.load(tmp_path / "gallery")


QUERIES = unit(
    CENTRES.repeat(2, axis=0) + 0.7 * np.random.default_rng(9).standard_normal((2 * NUM, 16))
)


def test_every_need_but_local_features_comes_from_the_folder(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    needs = set(NEEDS) - {"queries.inliers"}
    context = context_of(gallery, needs, QUERIES)
    assert context.given == needs
    vectors, bank = gallery.table.vectors, strangers(tmp_path / "model", "n", 40, 2).vectors
    side = context.gallery
    assert side.landmarks is not None
    assert [LANDMARKS[code] for code in side.landmarks] == gallery.table.landmark_ids
    assert side.picks is not None
    assert gallery.penalty is not None
    assert side.picks.counts.tolist() == gallery.penalty.n_picked.tolist()
    assert side.to_bank is not None
    expected = np.sort(vectors @ bank.T, axis=1)[:, ::-1]
    np.testing.assert_allclose(side.to_bank, expected[:, :5], atol=1e-6)
    assert side.neighbors is not None
    alike = vectors @ vectors.T
    np.fill_diagonal(alike, -np.inf)
    np.testing.assert_allclose(
        side.neighbors.similarities, np.sort(alike, axis=1)[:, ::-1][:, :30], atol=1e-6
    )
    assert context.queries.to_bank is not None
    nearest = np.sort(QUERIES @ bank.T, axis=1)[:, ::-1]
    np.testing.assert_allclose(context.queries.to_bank, nearest[:, :20], atol=1e-6)


def test_a_stage_that_looks_deeper_is_given_more(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    stages = [
        {"stage": "k-reciprocal", "k1": 40},
        {"stage": "dense-penalty", "top": 8},
        {"stage": "query-penalty", "top": 25},
    ]
    context = Stack.of(gallery, compose(stages)).context(QUERIES)
    assert context.gallery.neighbors is not None
    assert context.gallery.neighbors.k == 40
    assert context.gallery.to_bank is not None
    assert context.gallery.to_bank.shape == (NUM * EACH, 8)
    assert context.queries.to_bank is not None
    assert context.queries.to_bank.shape == (len(QUERIES), 25)


def test_similarities_to_the_bank_follow_a_changed_gallery(tmp_path: Path) -> None:
    build_gallery(tmp_path)
    remove_images(tmp_path / "gallery", image_ids=["g3", "g20"])
    gallery = Gallery.load(tmp_path / "gallery")
    context = context_of(gallery, ["gallery.to_bank"], QUERIES)
    bank = strangers(tmp_path / "model", "n", 40, 2).vectors
    expected = np.sort(gallery.table.vectors @ bank.T, axis=1)[:, ::-1][:, :5]
    assert context.gallery.to_bank is not None
    np.testing.assert_allclose(context.gallery.to_bank, expected, atol=1e-6)


def test_hits_are_found_by_bare_similarity_as_deep_as_the_recipe_says(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    assert gallery.penalty is not None
    assert (gallery.penalty.penalty > 0).any()
    found = Stack.of(gallery, compose([], num_hits=7)).found(QUERIES)
    bare = search(QUERIES, gallery.table.vectors, 7)
    assert found.indices.tolist() == bare.indices.tolist()
    assert found.similarities.tolist() == bare.similarities.tolist()
    assert Stack.of(gallery, compose([])).found(QUERIES).k == NUM * EACH
    assert Stack.of(gallery, compose([]), num_hits=3).found(QUERIES).k == 3


def test_what_a_gallery_lacks_is_said_with_the_stage_and_the_command(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path, bank=0)
    for stage in ("penalty", "dense-penalty", "query-penalty"):
        with pytest.raises(CairnError) as caught:
            Stack.of(gallery, compose([{"stage": stage}]))
        assert f"stage {stage!r} needs" in caught.value.what
        assert "cairn penalize" in caught.value.todo
    with pytest.raises(CairnError, match="the context needs what a bank picks"):
        context_of(gallery, ["gallery.picks"], QUERIES)
    with pytest.raises(CairnError, match=r"unknown need 'gallery\.bank'"):
        context_of(gallery, ["gallery.bank"], QUERIES)


def test_local_features_need_the_photographs_of_both_sides(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path, bank=0)
    pipeline = compose([{"stage": "verify"}])
    with pytest.raises(CairnError, match="stage 'verify' looks at the gallery's photographs"):
        Stack.of(gallery, pipeline)
    for path in gallery.table.paths:
        assert not Path(path).exists()
    here = [str(tmp_path / f"{row}.jpg") for row in range(len(gallery.table))]
    for path in here:
        Path(path).touch()
    object.__setattr__(gallery.table, "paths", here)
    calls = []

    def matcher(one: Path, other: Path) -> int:
        calls.append((one, other))
        return 90 if other == Path(here[0]) else 0

    stack = Stack.of(gallery, pipeline, matcher=matcher)
    with pytest.raises(CairnError, match="needs the photographs that are asked about"):
        stack.context(QUERIES)
    hits, _ = stack.votes(QUERIES[:1], ["query.jpg"])
    assert calls[0][0] == Path("query.jpg")
    assert len(calls) == 10
    assert hits.indices[0, 0] == 0


def test_the_head_of_the_model_is_used_where_it_knows_the_landmarks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(4)
    # more landmarks than the gallery has, in another order, two centres each, and a further class
    names = [*LANDMARKS[::-1], "elsewhere"]
    weight = 3 * rng.standard_normal((NUM + 2, 2, 16))
    head = {"weight": torch.tensor(weight, dtype=torch.float32)}
    gallery = build_gallery(tmp_path, head=head, landmarks=names)
    context = context_of(gallery, ["queries.head"], QUERIES)
    assert "mean directions" not in capsys.readouterr().err
    assert context.queries.head is not None
    codes = np.tile(np.arange(NUM), (len(QUERIES), 1))
    cosines = np.einsum("qd,lcd->qlc", QUERIES, unit(weight[:NUM][::-1])).max(axis=2)
    np.testing.assert_allclose(context.queries.head.scores(codes), cosines, atol=1e-6)


@pytest.mark.parametrize(
    ("head", "names", "reason"),
    [
        (None, [], "keeps no head"),
        ((NUM, 16), [*LANDMARKS[1:], "x"], "does not know 1 of 12 landmarks, such as 'l00'"),
        ((NUM, 8), LANDMARKS, "another dimension"),
        ("bias", LANDMARKS, "products, not cosines"),
    ],
)
def test_else_mean_directions_serve_and_that_is_said(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    head: Any,
    names: list[str],
    reason: str,
) -> None:
    state = None
    if head is not None:
        shape = (NUM, 16) if head == "bias" else head
        state = {"weight": torch.ones(shape)}
        if head == "bias":
            state["bias"] = torch.zeros(NUM)
    gallery = build_gallery(tmp_path, head=state, landmarks=names)
    context = context_of(gallery, ["queries.head"], QUERIES)
    assert reason in " ".join(capsys.readouterr().err.split())
    assert context.queries.head is not None
    means = unit(gallery.table.vectors.reshape(NUM, EACH, 16).mean(axis=1))
    codes = np.tile(np.arange(NUM), (len(QUERIES), 1))
    np.testing.assert_allclose(context.queries.head.scores(codes), QUERIES @ means.T, atol=1e-6)


def test_votes_are_those_of_the_pipeline_and_alone_as_among_others(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path)
    stages: list[dict[str, Any]] = [
        {"stage": "alpha-expansion", "num": 2},
        {"stage": "k-reciprocal", "k1": 6, "k2": 2},
        {"stage": "dense-penalty", "weight": 0.3},
        {"stage": "head-sum"},
        {"stage": "query-penalty", "weight": 0.4},
    ]
    stack = Stack.of(gallery, compose(stages, num_hits=30))
    hits, votes = stack.votes(QUERIES)
    again = stack.pipeline.votes(stack.found(QUERIES), stack.context(QUERIES))
    assert votes.landmarks.tolist() == again.landmarks.tolist()
    right = [LANDMARKS[row // 2] for row in range(len(QUERIES))]
    given = [stack.names[code] for code in votes.landmarks[:, 0]]
    assert sum(one == other for one, other in zip(given, right, strict=True)) > 18
    for row in range(len(QUERIES)):
        alone_hits, alone = stack.votes(QUERIES[row : row + 1])
        assert alone.landmarks[0].tolist() == votes.landmarks[row].tolist()
        np.testing.assert_allclose(alone.scores[0], votes.scores[row], atol=1e-6)
        assert alone_hits.indices[0].tolist() == hits.indices[row].tolist()


def test_neighbours_are_of_the_rows_as_they_stand(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path, bank=0)
    first = context_of(gallery, ["gallery.neighbors"], QUERIES).gallery.neighbors
    assert len(list((tmp_path / "gallery" / "work").iterdir())) == 1
    again = context_of(gallery, ["gallery.neighbors"], QUERIES).gallery.neighbors
    assert first is not None
    assert again is not None
    assert again.indices.tolist() == first.indices.tolist()
    # the same images in another order have the same content key, and other rows
    order = np.arange(NUM * EACH)[::-1]
    old = gallery.table
    ids, marks, paths = (
        [column[row] for row in order] for column in (old.image_ids, old.landmark_ids, old.paths)
    )
    turned = EmbeddingTable(ids, marks, paths, old.vectors[order], old.fingerprint)
    memory = Gallery(tmp_path / "nowhere", turned)
    assert memory.content_key == gallery.content_key
    found = context_of(memory, ["gallery.neighbors"], QUERIES).gallery.neighbors
    assert found is not None
    assert not (tmp_path / "nowhere").exists()
    np.testing.assert_allclose(found.similarities, first.similarities[order], atol=1e-6)
    assert order[found.indices[:, 0]].tolist() == first.indices[order, 0].tolist()


def test_an_approximate_index_serves_where_it_is_of_bare_similarity(tmp_path: Path) -> None:
    gallery = build_gallery(tmp_path, bank=0, each=90)
    index = tmp_path / "gallery" / "indexes" / gallery.content_key
    save_index(ApproximateSearcher(gallery.table.vectors, KINDS["hnsw"]()), index)
    keep_penalty(tmp_path / "gallery", strangers(tmp_path / "model", "n", 40, 2), min_n=1)
    penalized = Gallery.load(tmp_path / "gallery")
    pipeline = compose([{"stage": "query-penalty"}], num_hits=5)
    found = Stack.of(penalized, pipeline, search="approximate").found(QUERIES)
    bare = search(QUERIES, penalized.table.vectors, 5)
    assert found.similarities[:, 0].tolist() == pytest.approx(bare.similarities[:, 0].tolist())
    assert penalized.penalty is not None
    made = ApproximateSearcher(
        gallery.table.vectors, KINDS["hnsw"](), offsets=penalized.penalty.offsets
    )
    save_index(made, index, replace=True)
    with pytest.raises(CairnError) as caught:
        Stack.of(penalized, pipeline, search="approximate")
    assert "stages search by bare similarity" in caught.value.what
    assert "search exactly" in caught.value.todo
