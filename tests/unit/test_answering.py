"""Answers of a gallery, plainly and by stages: one way through, and what each says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery import Gallery, keep_penalty
from cairn.gallery.calibrating import calibrate_gallery
from cairn.gallery.calibrations import keep_calibration
from cairn.manifest import Manifest
from cairn.model import build
from cairn.recognize import Recognizer, recognize_manifest, recognize_table
from cairn.rerank import Pipeline, compose
from cairn.runtime import Runtime
from cairn.stacks import Stack
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
)
NUM = 12
CENTRES = np.random.default_rng(0).standard_normal((NUM, 16))
RULE: dict[str, Any] = {"min_n": 1, "max_n": 6, "min_pro": 0.2, "strength": 0.8}


def unit(rows: np.ndarray) -> Float32:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


def table(model: Path, prefix: str, vectors: Float32, landmarks: Sequence[str]) -> EmbeddingTable:
    ids = [f"{prefix}{row}" for row in range(len(vectors))]
    paths = [f"/nowhere/{one}.jpg" for one in ids]
    return EmbeddingTable(ids, list(landmarks), paths, vectors, model_fingerprint(model))


def views(model: Path, prefix: str, each: int, seed: int) -> EmbeddingTable:
    rows = CENTRES.repeat(each, axis=0)
    rows = rows + 0.7 * np.random.default_rng(seed).standard_normal(rows.shape)
    return table(model, prefix, unit(rows), [f"l{row // each:02}" for row in range(len(rows))])


def strangers(model: Path, prefix: str, num: int, seed: int) -> EmbeddingTable:
    vectors = unit(np.random.default_rng(seed).standard_normal((num, 16)))
    return table(model, prefix, vectors, [""] * num)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_model(tmp_path / "model", build(CONFIG), CONFIG)
    return tmp_path / "model"


@pytest.fixture
def gallery(model: Path, tmp_path: Path) -> Gallery:
    views(model, "g", 5, 1).write(tmp_path / "embeddings")
    Gallery.build(tmp_path / "embeddings", model, tmp_path / "gallery")
    keep_penalty(tmp_path / "gallery", strangers(model, "n", 60, 2), **RULE)
    return Gallery.load(tmp_path / "gallery")


def stages(*tables: Any, num_hits: int = 60) -> Pipeline:
    return compose([one if isinstance(one, dict) else {"stage": one} for one in tables],
                   num_hits=num_hits)  # fmt: skip


def test_no_stage_is_the_nearest_image_without_the_penalty(gallery: Gallery, model: Path) -> None:
    queries = views(model, "q", 3, 5)
    plain = recognize_table(queries, gallery, use_penalty=False)
    punished = recognize_table(queries, gallery)
    made = recognize_table(queries, gallery, stages=stages())
    assert [one.confidence for one in plain] != [one.confidence for one in punished]
    for one, other in zip(made, plain, strict=True):
        assert (one.image_id, one.landmark_id) == (other.image_id, other.landmark_id)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-6)
        assert one.evidence[0] == other.evidence[0]
        assert one.landmark == other.landmark


def test_the_stage_of_the_penalty_is_the_gallerys_where_hits_are_deep_enough(
    gallery: Gallery, model: Path
) -> None:
    queries = views(model, "q", 3, 5)
    plain = recognize_table(queries, gallery, top=1)
    made = recognize_table(queries, gallery, top=1, stages=stages({"stage": "penalty", **RULE}))
    assert any(one.evidence[0].penalty > 0 for one in plain)
    for one, other in zip(made, plain, strict=True):
        assert one.landmark_id == other.landmark_id
        assert one.confidence == pytest.approx(other.confidence, abs=1e-6)
        assert one.evidence[0].image_id == other.evidence[0].image_id
        assert one.evidence[0].penalty == pytest.approx(other.evidence[0].penalty, abs=1e-6)


def test_the_evidence_is_the_hits_that_spoke_and_what_came_off_them(
    gallery: Gallery, model: Path
) -> None:
    queries = views(model, "q", 1, 5)
    recipe = stages(
        {"stage": "dense-penalty", "weight": 0.4}, {"stage": "sum-votes", "num_hits": 4}
    )
    bank = strangers(model, "n", 60, 2).vectors
    dense = np.sort(gallery.table.vectors @ bank.T, axis=1)[:, -5:].mean(axis=1) * 0.4
    made = recognize_table(queries, gallery, top=3, stages=recipe)
    for query, one in zip(queries.vectors, made, strict=True):
        scores = np.clip(gallery.table.vectors @ query, 0, 1) - dense
        order = np.argsort(-scores, kind="stable")
        own = [row for row in order if gallery.table.landmark_ids[row] == one.landmark_id]
        assert [gallery.table.image_ids[row] for row in own[:3]] == [
            e.image_id for e in one.evidence
        ]
        counted = [scores[row] for row in order[:4] if row in own]
        assert one.confidence == pytest.approx(sum(counted), abs=1e-5)
        for row, shown in zip(own, one.evidence, strict=False):
            assert shown.similarity == pytest.approx(gallery.table.vectors[row] @ query, abs=1e-6)
            assert shown.penalty == pytest.approx(dense[row], abs=1e-6)


def test_a_recipe_says_everything_so_the_switch_of_the_penalty_is_refused(
    gallery: Gallery, model: Path
) -> None:
    with pytest.raises(CairnError, match="the recipe says whether a penalty comes off"):
        recognize_table(views(model, "q", 1, 5), gallery, stages=stages(), use_penalty=False)
    # a gallery that was loaded without its penalty has it all the same
    bare = Gallery.load(gallery.location, penalty=False)
    recipe = stages({"stage": "penalty", **RULE})
    queries = views(model, "q", 2, 5)
    assert recognize_table(queries, bare, stages=recipe) == recognize_table(
        queries, gallery, stages=recipe
    )


def colours(images_BCHW: Float32) -> Float32:
    """A 16-dimensional embedding that anyone can compute: means of quarters, and squares."""
    small = images_BCHW.reshape(len(images_BCHW), 3, 2, 8, 2, 8).mean(axis=(3, 5))
    flat = small.reshape(len(small), 12) - 0.5
    return unit(np.concatenate([flat, flat[:, :4] ** 2], axis=1))


@pytest.fixture
def photographs(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(3)
    paths = []
    for number in range(9):
        pixels = rng.integers(0, 256, (2, 2, 3)).repeat(12, axis=0).repeat(12, axis=1)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
    return paths


ONLINE = (
    {"stage": "alpha-expansion", "num": 2},
    {"stage": "k-reciprocal", "k1": 5, "k2": 2},
    {"stage": "dense-penalty", "weight": 0.3},
    {"stage": "head-product", "num_hits": 6},
    {"stage": "query-penalty", "weight": 0.5},
)


def test_one_photograph_is_answered_as_among_others(
    gallery: Gallery, photographs: list[Path]
) -> None:
    preprocess = Preprocess(image_size=16, mean=(0, 0, 0), std=(1, 1, 1))
    runtime = Runtime(colours, gallery.table.fingerprint, preprocess, 16, "colours")
    recognizer = Recognizer(gallery, runtime, stages=stages(*ONLINE))
    together = recognizer.batch(photographs).predictions
    assert len({one.landmark_id for one in together}) > 1
    for path, among in zip(photographs, together, strict=True):
        alone = recognizer(path)
        assert (alone.image_id, alone.landmark_id) == (among.image_id, among.landmark_id)
        assert alone.confidence == pytest.approx(among.confidence, abs=1e-6)
        assert [e.image_id for e in alone.evidence] == [e.image_id for e in among.evidence]
        assert {e.landmark_id for e in alone.evidence} == {alone.landmark_id}


def test_stages_that_look_at_the_batch_are_for_batches(
    gallery: Gallery,
    model: Path,
    photographs: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = stages("best-vote", {"stage": "demote", "most": 1})
    with pytest.raises(CairnError, match="'demote' cannot answer one photograph: it counts"):
        Recognizer.load(gallery.location, stages=recipe, backend="torch")
    table = views(model, "q", 2, 5)
    made = recognize_table(table, gallery, stages=recipe)
    plain = recognize_table(table, gallery, stages=stages())
    assert [one.landmark_id for one in made] == [one.landmark_id for one in plain]
    assert [one.confidence for one in made] != [one.confidence for one in plain]
    columns = {
        "image_id": [path.name for path in photographs],
        "path": [path.name for path in photographs],
        "landmark_id": [""] * len(photographs),
        "role": ["query"] * len(photographs),
    }
    manifest = Manifest.from_columns(columns, root=tmp_path)
    answers = recognize_manifest(manifest, gallery, tmp_path / "e", stages=recipe, backend="torch")
    assert len(answers.predictions) == len(photographs)
    assert "note: stage 'demote' looks at all 9 queries together" in capsys.readouterr().err


def test_local_features_of_photographs_bytes_and_pictures(
    model: Path, photographs: list[Path], tmp_path: Path
) -> None:
    rng = np.random.default_rng(8)
    scenes = [
        Image.fromarray(rng.integers(0, 256, (12, 12, 3)).astype(np.uint8)).resize((160, 160))
        for _ in range(3)
    ]
    paths = [tmp_path / f"scene{number}.png" for number in range(3)]
    for path, scene in zip(paths, scenes, strict=True):
        scene.save(path)
    vectors = unit(np.array([[1, 0.1, 0], [1, 0, 0.1], [1, 0, 0]]) @ np.eye(3, 16))
    EmbeddingTable(
        ["a", "b", "c"], ["a", "b", "c"], list(map(str, paths)), vectors, model_fingerprint(model)
    ).write(tmp_path / "t")
    made = Gallery.build(tmp_path / "t", model, tmp_path / "of-scenes")
    runtime = Runtime(
        lambda images: np.repeat(unit(np.eye(3, 16)[:1]), len(images), axis=0),
        made.table.fingerprint,
        Preprocess(image_size=16, mean=(0, 0, 0), std=(1, 1, 1)),
        16,
        "all the same",
    )
    recognizer = Recognizer(made, runtime, stages=stages({"stage": "verify", "least": 8}))
    assert Recognizer(made, runtime)(paths[0]).landmark_id == "c"
    for image in (paths[1], paths[1].read_bytes(), scenes[1]):
        answer = recognizer(image)
        assert answer.landmark_id == "b"
        assert answer.confidence > 1.2
    paths[2].unlink()
    with pytest.raises(CairnError, match="not where the gallery has them"):
        Recognizer(made, runtime, stages=stages("verify"))


def judged(model: Path) -> tuple[EmbeddingTable, dict[str, set[str]]]:
    known, unknown = views(model, "v", 5, 12), strangers(model, "w", 60, 13)
    both = EmbeddingTable(
        [*known.image_ids, *unknown.image_ids],
        [*known.landmark_ids, *unknown.landmark_ids],
        [*known.paths, *unknown.paths],
        np.concatenate([known.vectors, unknown.vectors]),
        known.fingerprint,
    )
    marks = zip(both.image_ids, both.landmark_ids, strict=True)
    return both, {name: {landmark} - {""} for name, landmark in marks}


def test_a_calibration_of_stages_judges_these_stages_alone(
    gallery: Gallery, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queries, truth = judged(model)
    recipe = stages(*ONLINE)
    stack = Stack.of(gallery, recipe)
    made = calibrate_gallery(gallery, queries, truth, stack=stack, false_accept_rate=0.1)
    keep_calibration(gallery, made)
    assert made.basis.stages["stages"] == recipe.to_json()
    assert made.basis.penalty == ""  # no stage takes it off
    asked = views(model, "q", 2, 5)
    told = recognize_table(asked, gallery, stages=recipe)
    odd = recognize_table(strangers(model, "z", 60, 21), gallery, stages=recipe)
    assert sum(bool(one.is_known) for one in told) > 12
    assert sum(bool(one.is_known) for one in odd) < 18  # asked: 6 of 60
    assert all(0 <= (one.probability or 0) <= 1 for one in (*told, *odd))
    # scores of the votes are what was judged, in the order of the validation queries
    scores = [one.confidence for one in recognize_table(queries, gallery, stages=recipe)]
    np.testing.assert_allclose(made.judged.scores, scores, atol=1e-9)
    capsys.readouterr()
    for other in (stages(*ONLINE, num_hits=50), stages(*ONLINE[:-1]), stages()):
        assert recognize_table(asked, gallery, stages=other)[0].is_known is None
        said = " ".join(capsys.readouterr().err.split())
        assert "made with another setting of the re-ranking" in said
        assert "--stages RECIPE" in said
    assert recognize_table(asked, gallery)[0].is_known is None


def test_another_bank_makes_a_calibration_stale_where_a_stage_asks_it(
    gallery: Gallery, model: Path
) -> None:
    queries, truth = judged(model)
    for recipe in (stages("query-penalty"), stages("sum-votes")):
        stack = Stack.of(gallery, recipe)
        keep_calibration(
            gallery,
            calibrate_gallery(gallery, queries, truth, stack=stack, false_accept_rate=0.1),
        )
    keep_penalty(gallery.location, strangers(model, "m", 30, 44), **RULE)
    changed, asked = Gallery.load(gallery.location), views(model, "q", 1, 5)
    assert recognize_table(asked, changed, stages=stages("query-penalty"))[0].is_known is None
    assert recognize_table(asked, changed, stages=stages("sum-votes"))[0].is_known is not None


def test_margins_are_between_votes_and_of_the_last_hit_where_one_landmark_has_all(
    gallery: Gallery, model: Path
) -> None:
    queries = views(model, "q", 2, 5)
    stack = Stack.of(gallery, stages({"stage": "sum-votes", "num_hits": 3}, num_hits=20))
    hits, votes = stack.votes(queries.vectors)
    found = stack.features_of(queries.vectors)
    codes = stack.parts.landmarks
    seen = set()
    for row in range(len(queries)):
        alike, rows = hits.similarities[row].astype(float), hits.indices[row]
        sums: dict[int, float] = {}
        for hit in range(3):
            sums[codes[rows[hit]]] = sums.get(codes[rows[hit]], 0.0) + alike[hit]
        ranked = sorted(sums.values(), reverse=True)
        other = ranked[1] if len(ranked) > 1 else alike[2]
        seen.add(len(ranked))
        assert found.scores[row] == pytest.approx(ranked[0], abs=1e-6)
        assert found.margins[row] == pytest.approx(ranked[0] - other, abs=1e-6)
        answer = votes.landmarks[row, 0]
        share = sum(codes[one] == answer for one in rows[:10]) / 5
        assert found.agreements[row] == pytest.approx(share)
    assert seen >= {1, 2}


def test_a_chance_that_hangs_on_the_batch_is_not_made(gallery: Gallery, model: Path) -> None:
    queries, truth = judged(model)
    stack = Stack.of(gallery, stages("quantile"))
    with pytest.raises(CairnError, match="'quantile' cannot answer one photograph"):
        calibrate_gallery(gallery, queries, truth, stack=stack, false_accept_rate=0.1)
