"""Calibrations made anew by the validation that a gallery keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cairn.calibration import Calibration
from cairn.checkpoint import model_fingerprint
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery import Gallery, add_table, compact, keep_penalty, remove_images, rollback
from cairn.gallery.calibrating import calibrate_gallery
from cairn.gallery.calibrations import calibration_of, keep_calibration
from cairn.gallery.kept_validation import (
    Validation,
    Way,
    keep_validation,
    kept_ways,
    name_of,
    read_validation,
)
from cairn.gallery.place import Place
from cairn.labels import Labels
from cairn.progress import listening
from cairn.renewal import recalibrate, renew, stack_of
from cairn.rerank import compose
from cairn.stacks import Stack
from cairn.tables import EmbeddingTable
from measuring.small_gallery import make_model

NUM, RATE = 24, 0.05
STAGES: list[dict[str, Any]] = [{"stage": "penalty"}, {"stage": "sum-votes", "num_hits": 3}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model") / "m")


def unit(rows: np.ndarray) -> Float32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


CENTRES = np.random.default_rng(0).standard_normal((NUM, 16))


def table(model: Path, prefix: str, each: int, none: int, seed: int) -> EmbeddingTable:
    rng = np.random.default_rng(seed)
    rows = CENTRES.repeat(each, axis=0)
    known = unit(rows + 0.55 * rng.standard_normal(rows.shape))
    vectors = np.concatenate([known, unit(rng.standard_normal((none, 16)))]) if none else known
    landmarks = [f"l{row // each}" for row in range(len(rows))] + [""] * none
    ids = [f"{prefix}{row}" for row in range(len(vectors))]
    paths = [f"/p/{one}.jpg" for one in ids]
    return EmbeddingTable(ids, landmarks, paths, vectors, model_fingerprint(model))


def asked(model: Path, **wishes: Any) -> Validation:
    queries = table(model, "q", 4, 50, 1)
    pairs = zip(queries.image_ids, queries.landmark_ids, strict=True)
    truth = {name: frozenset({landmark} - {""}) for name, landmark in pairs}
    wishes = {"false_accept_rate": RATE, "facts": {"manifest": "m"}, **wishes}
    return Validation(queries, truth, **wishes)


@pytest.fixture
def place(model: Path, tmp_path: Path) -> Path:
    table(model, "g", 4, 0, 2).write(tmp_path / "embeddings")
    Gallery.build(tmp_path / "embeddings", model, tmp_path / "gallery")
    bank = unit(np.random.default_rng(3).standard_normal((30, 16)))
    ids = [f"n{row}" for row in range(30)]
    paths = [f"/p/{one}.jpg" for one in ids]
    fingerprint = model_fingerprint(model)
    keep_penalty(
        tmp_path / "gallery",
        EmbeddingTable(ids, [""] * 30, paths, bank, fingerprint),
        min_n=1,
    )
    return tmp_path / "gallery"


def from_scratch(place: Path, validation: Validation) -> Calibration:
    """What `cairn calibrate` makes of the gallery as it is."""
    gallery, way = Gallery.load(place), validation.way
    stack = None
    if way.recipe is not None:
        stages, num_hits = way.recipe["stages"], way.recipe["num_hits"]
        stack = Stack.of(gallery, compose(stages, num_hits=num_hits))
    return calibrate_gallery(
        gallery,
        validation.queries,
        validation.truth,
        use_penalty=way.use_penalty,
        stack=stack,
        false_accept_rate=validation.false_accept_rate,
        known_share=validation.known_share,
        facts=validation.facts,
        seed=validation.seed,
    )


def kept(place: Path, validation: Validation) -> Calibration:
    made = from_scratch(place, validation)
    keep_calibration(Gallery.load(place), made)
    keep_validation(Place(place), validation)
    return made


def text(one: Calibration, *without: str) -> str:
    value = one.to_json()
    for name in ("time", *without):
        value["facts"].pop(name, None)
    return json.dumps(value)


def add(place: Path, new: EmbeddingTable) -> None:
    add_table(place, new, Labels.of_names({}), origin="a test")


def test_it_is_to_the_bit_what_is_made_from_scratch(model: Path, place: Path) -> None:
    validations = [
        asked(model),
        asked(model, way=Way(use_penalty=False), known_share=0.3, seed=5),
        asked(model, way=Way(recipe={"num_hits": 10, "stages": compose(STAGES).to_json()})),
    ]
    for validation in validations:
        kept(place, validation)
    assert {one.state for one in recalibrate(place)} == {"fresh"}
    remove_images(place, image_ids=["g0", "g9"], landmark_ids=["l3"])
    done = recalibrate(place)
    assert [one.state for one in done] == ["renewed"] * 3
    made = {one.way.digest: one for one in done if one.way is not None}
    for validation in validations:
        renewed = made[validation.way.digest].calibration
        assert renewed is not None
        assert renewed.judged.num_unknown == 54
        assert text(renewed) == text(from_scratch(place, validation))
    found = calibration_of(Gallery.load(place))
    assert text(found) == text(from_scratch(place, validations[0]))
    assert {one.state for one in recalibrate(place)} == {"fresh"}


def test_small_parts_and_what_is_heard_of_them_change_nothing(model: Path, place: Path) -> None:
    validation = asked(model)
    told: list[tuple[str, int, int | None]] = []
    with listening(lambda *one: told.append(one)):
        made = renew(Gallery.load(place), validation, at_once=7)
    assert text(made) == text(from_scratch(place, validation))
    assert ("search", 7, 146) in told

    def call_off(*_: object) -> None:
        raise KeyError

    with pytest.raises(KeyError), listening(call_off):
        renew(Gallery.load(place), validation, at_once=7)


def test_a_photograph_in_the_gallery_is_left_out_until_it_goes(model: Path, place: Path) -> None:
    validation = asked(model)
    queries = validation.queries
    kept(place, validation)
    by_id = queries.take([0])
    by_path = replace(queries.take([5]), image_ids=["x"])
    copied = replace(queries.take([9]), image_ids=["y"], paths=["/elsewhere.jpg"])
    for new in (by_id, by_path, copied):
        add(place, new)
    (done,) = recalibrate(place)
    assert done.calibration is not None
    assert (done.num_left_out, len(done.calibration.judged)) == (3, 143)
    rest = [row for row in range(146) if row not in (0, 5, 9)]
    fewer = replace(validation, queries=queries.take(rest))
    assert text(done.calibration, "left_out") == text(from_scratch(place, fewer))
    remove_images(place, image_ids=["x"])
    (done,) = recalibrate(place)
    assert done.num_left_out == 2
    rollback(place, 2)
    assert len(calibration_of(Gallery.load(place)).judged) == 146
    remove_images(place, image_ids=["g1"])
    (done,) = recalibrate(place)
    assert done.num_left_out == 0


def test_a_photograph_of_the_bank_is_left_out(model: Path, place: Path) -> None:
    validation = asked(model)
    kept(place, validation)
    unknown = validation.queries.take([140, 141])
    others = table(model, "m", 1, 20, 9).take(range(NUM, NUM + 20))
    other = replace(unknown.take([1]), image_ids=["renamed"], paths=["/renamed.jpg"])
    parts = (others, unknown.take([0]), other)
    bank = EmbeddingTable(
        [name for part in parts for name in part.image_ids],
        [""] * 22,
        [path for part in parts for path in part.paths],
        np.concatenate([part.vectors for part in parts]),
        others.fingerprint,
    )
    keep_penalty(place, bank, min_n=1)
    (done,) = recalibrate(place)
    assert done.num_left_out == 2


def test_too_few_that_are_left_are_said(model: Path, place: Path) -> None:
    validation = asked(model)
    kept(place, validation)
    unknown = validation.queries.take(range(96, 140))
    add(place, replace(unknown, landmark_ids=["new"] * 44))
    (done,) = recalibrate(place)
    assert done.problem is not None
    assert "44 of 146 queries were left out" in done.problem.what
    with pytest.raises(CairnError, match="STALE"):
        calibration_of(Gallery.load(place))
    rest = [row for row in range(146) if not 96 <= row < 140]
    others = validation.queries.take(rest)
    add(place, replace(others, landmark_ids=[one or "new" for one in others.landmark_ids]))
    (done,) = recalibrate(place)
    assert done.problem is not None
    assert "all 146 validation queries are in the gallery" in done.problem.what


def test_a_validation_reads_back_and_another_takes_its_place(model: Path, place: Path) -> None:
    validation, there = asked(model, known_share=0.2, seed=3), Place(place)
    name = keep_validation(there, validation)
    assert name == name_of(validation.queries.fingerprint, Way())
    found = read_validation(there, name)
    assert np.array_equal(found.queries.vectors, validation.queries.vectors)
    assert found.queries.paths == validation.queries.paths
    assert (found.truth, found.way) == (validation.truth, validation.way)
    assert (found.known_share, found.seed, dict(found.facts)) == (0.2, 3, {"manifest": "m"})
    plain = replace(validation, way=Way(use_penalty=False))
    keep_validation(there, plain)
    assert len(list(place.rglob("validations/*/*/config.json"))) == 1  # both by the same queries
    rows = range(100)
    fewer = replace(validation, queries=validation.queries.take(rows))
    assert keep_validation(there, fewer) == name
    assert len(read_validation(there, name).queries) == 100
    assert len(list(place.rglob("validations/*/*/config.json"))) == 2
    keep_validation(there, replace(fewer, way=plain.way))
    assert len(list(place.rglob("validations/*/*/config.json"))) == 1
    assert len(kept_ways(there, validation.queries.fingerprint)) == 2
    compact(place, keep_days=0)
    assert len(read_validation(there, name).queries) == 100


@pytest.mark.parametrize("damage", ["shorter", "changed", "gone", "no card", "format", "settings"])
def test_a_damaged_validation_is_refused_and_made_good(
    model: Path, place: Path, damage: str
) -> None:
    validation = asked(model)
    kept(place, validation)
    remove_images(place, image_ids=["g0"])
    (queries,) = place.rglob("queries.parquet")
    card = queries.parent / "config.json"
    (settings,) = place.glob("validations/*/*.json")
    whole = queries.read_bytes()
    if damage == "shorter":
        queries.write_bytes(whole[:-50])
    elif damage == "changed":
        queries.write_bytes(whole[:400] + bytes([whole[400] ^ 1]) + whole[401:])
    elif damage == "gone":
        queries.unlink()
    elif damage == "no card":
        card.unlink()
    elif damage == "format":
        settings.write_text('{"format": 9}', encoding="utf-8")
    else:
        value = json.loads(settings.read_text("utf-8"))
        del value["seed"]
        settings.write_text(json.dumps(value), encoding="utf-8")
    (done,) = recalibrate(place)
    assert done.problem is not None
    assert "the validation that this gallery keeps cannot be used" in done.problem.what
    assert done.problem.todo == f"give it again: cairn calibrate {place} MANIFEST"
    keep_validation(Place(place), validation)
    (done,) = recalibrate(place)
    assert done.state == "renewed"


def test_a_recipe_keeps_its_meaning_and_says_what_is_gone(model: Path, place: Path) -> None:
    recipe = {"num_hits": 5, "stages": compose([{"stage": "verify"}]).to_json()}
    validation = asked(model, way=Way(recipe=json.loads(json.dumps(recipe))))
    loaded = Gallery.load(place)
    there = [str(place / "writer.lock")] * len(loaded.table)  # any file
    gallery = replace(loaded, table=replace(loaded.table, paths=there))

    def shared(one: Any, other: Any) -> int:
        return 1

    stack = Stack.of(gallery, compose([{"stage": "verify"}]), num_hits=5, matcher=shared)
    assert Way(recipe=stack.recipe).digest == validation.way.digest
    with pytest.raises(CairnError, match="146 of 146 are not where they were"):
        renew(gallery, validation, stack=stack)
    with pytest.raises(CairnError, match="not where the gallery has them"):
        stack_of(loaded, validation.way)
