from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cairn.config import Preprocess
from cairn.domain import Float32
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.penalty import PenaltyRule, PenaltyTable
from cairn.recognize import Recognizer, recognize_manifest, recognize_table
from cairn.runtime import Runtime
from cairn.tables import EmbeddingTable

PRINT = "model"


def rows(*vectors: tuple[float, ...]) -> Float32:
    array = np.array(vectors, dtype=np.float32)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    return array


def table(vectors: Float32, landmarks: list[str], *, fingerprint: str = PRINT) -> EmbeddingTable:
    ids = [str(i) for i in range(len(vectors))]
    return EmbeddingTable(ids, landmarks, [f"{i}.jpg" for i in ids], vectors, fingerprint)


def penalty(*values: float) -> PenaltyTable:
    array = np.array(values, dtype=np.float32)
    return PenaltyTable(
        (array > 0).astype(np.int64),
        array,
        array,
        PenaltyRule(1, 1, 0, 1, "from-min", 1.0),
        1,
        1,
        1,
    )


def gallery(*values: float) -> Gallery:
    vectors = rows((1, 0, 0), (0, 1, 0), (0, 0, 1))
    return Gallery(
        Path("g"), table(vectors, ["red", "green", "blue"]), penalty(*values) if values else None
    )


def test_the_most_similar_image_answers_and_its_similarity_is_the_confidence() -> None:
    queries = table(rows((3, 4, 0), (0, 0, 2)), ["", ""])
    first, second = recognize_table(queries, gallery(), top=2)
    assert (first.image_id, first.landmark_id) == ("0", "green")
    assert first.confidence == pytest.approx(0.8, abs=1e-7)
    assert [e.landmark_id for e in first.evidence] == ["green", "red"]
    assert [e.path for e in first.evidence] == ["1.jpg", "0.jpg"]
    assert [e.similarity for e in first.evidence] == pytest.approx([0.8, 0.6], abs=1e-7)
    assert (second.landmark_id, second.confidence) == ("blue", 1.0)


def test_the_penalty_comes_off_before_the_best_image_is_chosen() -> None:
    queries = table(rows((3, 4, 0)), [""])
    punished = gallery(0.0, 0.25, 0.0)
    (prediction,) = recognize_table(queries, punished, top=3)
    assert prediction.landmark_id == "red"
    assert prediction.confidence == pytest.approx(0.6, abs=1e-7)
    assert [e.landmark_id for e in prediction.evidence] == ["red", "green", "blue"]
    assert prediction.evidence[1].similarity == pytest.approx(0.8, abs=1e-7)
    assert prediction.evidence[1].penalty == 0.25
    assert prediction.evidence[1].score == pytest.approx(0.55, abs=1e-7)
    (one,) = recognize_table(queries, punished, top=1)
    assert one.landmark_id == "red"
    (plain,) = recognize_table(queries, punished, top=3, use_penalty=False)
    assert (plain.landmark_id, plain.evidence[0].penalty) == ("green", 0.0)


def test_answers_equal_a_brute_force_in_float64() -> None:
    random = np.random.default_rng(0)

    def unit(n: int) -> Float32:
        return rows(*random.standard_normal((n, 16)).tolist())

    images, queries = unit(300), unit(40)
    labels = [str(i % 50) for i in range(300)]
    costs = (random.random(300) * 0.4).astype(np.float32)
    costs[random.random(300) < 0.5] = 0
    made = recognize_table(
        table(queries, [""] * 40),
        Gallery(Path("g"), table(images, labels), penalty(*costs.tolist())),
        top=7,
    )
    scores = queries.astype(np.float64) @ images.astype(np.float64).T - costs.astype(np.float64)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :7]
    for row, prediction in enumerate(made):
        assert [int(e.image_id) for e in prediction.evidence] == order[row].tolist()
        assert prediction.landmark_id == labels[order[row, 0]]
        assert prediction.confidence == pytest.approx(scores[row].max(), abs=1e-12)


def test_a_gallery_of_one_image_answers() -> None:
    one = Gallery(Path("g"), table(rows((1, 0, 0)), ["only"]), penalty(0.1))
    (prediction,) = recognize_table(table(rows((-1, 0, 0)), [""]), one, top=5)
    assert prediction.landmark_id == "only"
    assert prediction.confidence == pytest.approx(-1.1)
    assert len(prediction.evidence) == 1


def test_queries_of_another_model_and_no_evidence_are_refused() -> None:
    with pytest.raises(CairnError, match="different models"):
        recognize_table(table(rows((1, 0, 0)), [""], fingerprint="other"), gallery())
    with pytest.raises(CairnError, match="different models"):
        recognize_table(table(rows((1, 0)), [""]), gallery())
    with pytest.raises(CairnError, match="at least 1"):
        recognize_table(table(rows((1, 0, 0)), [""]), gallery(), top=0)


def mean_colour(images_BCHW: Float32) -> Float32:
    means: Float32 = images_BCHW.mean(axis=(2, 3))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return means


@pytest.fixture
def recognizer() -> Recognizer:
    preprocess = Preprocess(image_size=16, mean=(0, 0, 0), std=(1, 1, 1))
    runtime = Runtime(mean_colour, PRINT, preprocess, 3, "mean colour")
    return Recognizer(gallery(0.0, 0.25, 0.0), runtime, top=2)


def picture(path: Path, colour: tuple[int, int, int]) -> Path:
    Image.new("RGB", (24, 18), colour).save(path)
    return path


def test_a_photograph_is_answered_from_a_path_bytes_or_picture(
    recognizer: Recognizer, tmp_path: Path
) -> None:
    path = picture(tmp_path / "藍.png", (60, 0, 80))
    for image in (path, str(path), path.read_bytes(), Image.open(path)):
        prediction = recognizer(image)
        assert prediction.landmark_id == "blue"
        assert prediction.confidence == pytest.approx(0.8, abs=1e-6)
        assert len(prediction.evidence) == 2
    assert recognizer(path).image_id == str(path)
    assert recognizer(path.read_bytes()).image_id == "image"
    assert recognizer(path, image_id="q").image_id == "q"


def test_the_recognizer_takes_the_penalty_off(recognizer: Recognizer, tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png", (60, 80, 0))
    assert recognizer(path).landmark_id == "red"
    plain = Recognizer(recognizer.gallery, recognizer.runtime, use_penalty=False)
    assert plain(path).landmark_id == "green"


def test_a_batch_answers_what_it_can_read(recognizer: Recognizer, tmp_path: Path) -> None:
    red, blue = (
        picture(tmp_path / "r.png", (200, 0, 0)),
        picture(tmp_path / "b.png", (0, 0, 200)),
    )
    answers = recognizer.batch([red, b"", blue, tmp_path / "none.jpg", red], batch_size=2)
    assert [p.landmark_id for p in answers.predictions] == ["red", "blue", "red"]
    assert [p.image_id for p in answers.predictions] == [str(red), str(blue), str(red)]
    assert answers.unreadable == {
        "image 2": "empty file",
        str(tmp_path / "none.jpg"): "missing file",
    }
    with pytest.raises(CairnError, match="cannot be read: empty file"):
        recognizer(b"")
    with pytest.raises(CairnError, match="1 photographs and 2 ids"):
        recognizer.batch([red], image_ids=["a", "b"])
    assert recognizer.batch([]).predictions == []


def test_a_runtime_of_another_model_is_refused(recognizer: Recognizer) -> None:
    other = Runtime(mean_colour, "other", recognizer.runtime.preprocess, 3, "")
    with pytest.raises(CairnError, match="gallery was made by model model, this is other"):
        Recognizer(recognizer.gallery, other)
    with pytest.raises(CairnError, match="top must be at least 1"):
        Recognizer(recognizer.gallery, recognizer.runtime, top=0)


def test_a_manifest_without_queries_is_refused(tmp_path: Path) -> None:
    manifest = Manifest.from_columns(
        {"image_id": ["a"], "path": ["a.jpg"], "landmark_id": ["x"], "role": ["gallery"],
         "label_space": ["local"]},
        root=tmp_path,
    )  # fmt: skip
    with pytest.raises(CairnError, match="no image of role query"):
        recognize_manifest(manifest, gallery(), tmp_path / "e")
