"""A gallery's calibration: kept under what it holds for, refused when anything of it changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cairn.calibration import Calibration
from cairn.checkpoint import model_fingerprint, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery import (
    Gallery,
    compact,
    keep_penalty,
    merge_landmarks,
    remove_images,
    rename_landmark,
    rollback,
)
from cairn.gallery.calibrating import calibrate_gallery
from cairn.gallery.calibrations import (
    basis_of,
    calibration_of,
    keep_calibration,
    require_fresh,
)
from cairn.gallery.stale import tell_if_stale
from cairn.model import build
from cairn.tables import EmbeddingTable

CONFIG = ModelConfig(
    backbone="resnext_small",
    backbone_args={"layers": (1, 1, 1, 1)},
    dimension=16,
    preprocess=Preprocess(image_size=32),
)
NUM = 30
RATE = 0.05


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("model") / "m"
    save_model(folder, build(CONFIG), CONFIG)
    return folder


def unit(rows: np.ndarray) -> Float32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


CENTRES = np.random.default_rng(0).standard_normal((NUM, 16))


def table(model: Path, prefix: str, vectors: Float32, landmarks: list[str]) -> EmbeddingTable:
    ids = [f"{prefix}{row}" for row in range(len(vectors))]
    return EmbeddingTable(
        ids, landmarks, [f"/p/{one}.jpg" for one in ids], vectors, model_fingerprint(model)
    )


def of_landmarks(model: Path, prefix: str, each: int, noise: float, seed: int) -> EmbeddingTable:
    rng = np.random.default_rng(seed)
    rows = CENTRES.repeat(each, axis=0)
    vectors = unit(rows + noise * rng.standard_normal(rows.shape))
    return table(model, prefix, vectors, [f"l{row // each}" for row in range(len(rows))])


def of_none(model: Path, prefix: str, num: int, seed: int) -> EmbeddingTable:
    vectors = unit(np.random.default_rng(seed).standard_normal((num, 16)))
    return table(model, prefix, vectors, [""] * num)


def asked(model: Path) -> tuple[EmbeddingTable, dict[str, frozenset[str]]]:
    """120 queries of landmarks and 60 of none."""
    known, unknown = of_landmarks(model, "q", 4, 0.6, 1), of_none(model, "u", 60, 2)
    both = EmbeddingTable(
        [*known.image_ids, *unknown.image_ids],
        [*known.landmark_ids, *unknown.landmark_ids],
        [*known.paths, *unknown.paths],
        np.concatenate([known.vectors, unknown.vectors]),
        known.fingerprint,
    )
    rows = zip(both.image_ids, both.landmark_ids, strict=True)
    return both, {name: frozenset({landmark} - {""}) for name, landmark in rows}


@pytest.fixture
def place(model: Path, tmp_path: Path) -> Path:
    of_landmarks(model, "g", 5, 0.5, 3).write(tmp_path / "embeddings")
    Gallery.build(tmp_path / "embeddings", model, tmp_path / "gallery")
    keep_penalty(tmp_path / "gallery", of_none(model, "n", 40, 4), min_n=1)
    return tmp_path / "gallery"


def calibrated(model: Path, place: Path, *, use_penalty: bool = True) -> Calibration:
    gallery = Gallery.load(place)
    queries, truth = asked(model)
    made = calibrate_gallery(
        gallery, queries, truth, false_accept_rate=RATE, use_penalty=use_penalty
    )
    keep_calibration(gallery, made)
    return made


def test_what_is_kept_is_found_again(model: Path, place: Path) -> None:
    made = calibrated(model, place)
    assert (len(made.judged), made.judged.num_unknown) == (180, 60)
    assert made.judged.right.sum() > 60
    found = calibration_of(Gallery.load(place))
    assert found.to_json() == made.to_json()
    assert found.basis.penalty
    require_fresh(found, Gallery.load(place))
    names = [file.name for file in place.rglob("calibrations/*/*.json")]
    assert len(names) == 1


def test_a_landmark_that_the_gallery_lacks_is_unknown(model: Path, place: Path) -> None:
    remove_images(place, landmark_ids=["l3"])
    made = calibrated(model, place)
    assert made.judged.num_unknown == 64
    assert not made.judged.right[12:16].any()


def test_without_the_penalty_there_is_another(model: Path, place: Path) -> None:
    with_penalty = calibrated(model, place)
    plain = Gallery.load(place, penalty=False)
    with pytest.raises(CairnError, match="another setting of the penalty") as caught:
        calibration_of(plain)
    assert caught.value.todo == f"make it anew: cairn calibrate {place} MANIFEST"
    without = calibrated(model, place, use_penalty=False)
    assert without.judged.scores.mean() > with_penalty.judged.scores.mean()
    assert calibration_of(plain).to_json() == without.to_json()
    assert calibration_of(Gallery.load(place), use_penalty=False).to_json() == without.to_json()
    assert calibration_of(Gallery.load(place)).to_json() == with_penalty.to_json()


def test_a_changed_gallery_refuses_it_and_a_rollback_finds_it(model: Path, place: Path) -> None:
    made = calibrated(model, place)
    remove_images(place, image_ids=["g0"])
    changed = Gallery.load(place)
    with pytest.raises(CairnError, match="the gallery's images, the gallery's labels") as caught:
        calibration_of(changed)
    assert "STALE" in caught.value.what
    with pytest.raises(CairnError, match="STALE"):
        require_fresh(made, changed)
    with pytest.raises(CairnError, match="STALE"):
        keep_calibration(changed, made)
    rollback(place, 2)
    assert calibration_of(Gallery.load(place)).to_json() == made.to_json()


def test_merged_landmarks_change_it_and_names_do_not(model: Path, place: Path) -> None:
    calibrated(model, place)
    rename_landmark(place, "l1", "Tower")
    calibration_of(Gallery.load(place))
    merge_landmarks(place, "l1", into="l2")
    with pytest.raises(CairnError, match="the gallery's labels changed since"):
        calibration_of(Gallery.load(place))


def test_another_penalty_refuses_it(model: Path, place: Path) -> None:
    calibrated(model, place)
    keep_penalty(place, of_none(model, "n", 40, 4), min_n=1, strength=0.5)
    with pytest.raises(CairnError, match="another setting of the penalty"):
        calibration_of(Gallery.load(place))


def test_a_change_tells_that_it_is_stale_now(
    model: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told() -> str:
        capsys.readouterr()
        tell_if_stale(place, Gallery.load(place).content_key)
        return capsys.readouterr().err

    mend = f"make it anew: cairn calibrate {place} MANIFEST"
    assert not told()  # there is none
    calibrated(model, place)
    assert not told()
    rename_landmark(place, "l1", "Tower")
    assert not told()
    merge_landmarks(place, "l1", into="l2")
    assert "because of the gallery's labels" in (said := told())
    assert mend in said
    rollback(place, 3)
    assert not told()
    remove_images(place, image_ids=["g0"])
    assert "because of the gallery's images, the gallery's labels" in told()
    calibrated(model, place)
    assert not told()
    keep_penalty(place, of_none(model, "n", 40, 4), min_n=1, strength=0.5)
    assert "because of the penalty" in told()
    calibrated(model, place, use_penalty=False)
    assert not told()  # it serves where the penalty is left out
    for file in place.rglob("calibrations/*/*.json"):
        file.write_text("{}", encoding="utf-8")
    assert not told()  # damaged before the change


def test_search_and_stages_are_part_of_it(model: Path, place: Path) -> None:
    made = calibrated(model, place)
    gallery = Gallery.load(place)
    with pytest.raises(CairnError, match="another setting of the search"):
        calibration_of(gallery, search="approximate")
    with pytest.raises(CairnError, match="another setting of the re-ranking"):
        calibration_of(gallery, stages={"expand": 3})
    staged = replace(made, basis=basis_of(gallery, stages={"expand": 3}))
    keep_calibration(gallery, staged)
    assert calibration_of(gallery, stages={"expand": 3}).basis.stages == {"expand": 3}


def test_none_is_said(place: Path) -> None:
    with pytest.raises(CairnError, match="has no calibration") as caught:
        calibration_of(Gallery.load(place))
    assert "cairn calibrate" in caught.value.todo


def test_compaction_keeps_what_versions_need(model: Path, place: Path) -> None:
    calibrated(model, place)
    compact(place, keep_days=0)
    calibration_of(Gallery.load(place))
    remove_images(place, image_ids=["g0"])
    compact(place, keep_days=0)
    assert not list(place.rglob("calibrations/*/*.json"))


def test_queries_of_gallery_or_bank_are_refused(model: Path, place: Path) -> None:
    gallery = Gallery.load(place)
    queries, truth = asked(model)

    def renamed(column: str, row: int, value: str) -> EmbeddingTable:
        values = list(getattr(queries, column))
        values[row] = value
        return replace(queries, **{column: values})  # type: ignore[arg-type]

    for changed, name in (
        (renamed("image_ids", 0, "g7"), "gallery, such as 'g7'"),
        (renamed("paths", 2, "/p/g7.jpg"), "gallery, such as 'q2'"),
        (renamed("paths", 170, "/p/n3.jpg"), "penalty's bank, such as 'u50'"),
    ):
        with pytest.raises(CairnError, match=f"1 validation queries are images of the {name}"):
            calibrate_gallery(gallery, changed, truth, false_accept_rate=RATE)


def test_copies_under_other_names_are_told(
    model: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gallery = Gallery.load(place)
    queries, truth = asked(model)
    vectors = queries.vectors.copy()
    vectors[:2] = gallery.table.vectors[:2]
    vectors[-1] = of_none(model, "n", 40, 4).vectors[0]
    calibrate_gallery(gallery, replace(queries, vectors=vectors), truth, false_accept_rate=RATE)
    said = capsys.readouterr().err
    assert "2 of 180 queries have the embedding of a gallery image" in said
    assert "1 of the unknown queries have the embedding of a bank image" in said


def test_a_validation_without_unknown_queries_is_refused(model: Path, place: Path) -> None:
    gallery = Gallery.load(place)
    known = of_landmarks(model, "q", 4, 0.6, 1)
    rows = zip(known.image_ids, known.landmark_ids, strict=True)
    truth = {name: {landmark} for name, landmark in rows}
    with pytest.raises(CairnError, match="a validation without them misleads"):
        calibrate_gallery(gallery, known, truth)
    with pytest.raises(CairnError, match="at least 999 are needed"):
        calibrate_gallery(gallery, *asked(model), false_accept_rate=0.001)
