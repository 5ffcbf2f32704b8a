from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cairn import embed as embed_module
from cairn.augment import eval_transform
from cairn.checkpoint import load_model, save_model
from cairn.config import ModelConfig, Preprocess
from cairn.domain import Float32
from cairn.embed import Encoded, embed, encode_all, encode_images
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.model import build
from cairn.runtime import Runtime, load_runtime
from cairn.tables import EmbeddingTable

SIDE = 32
NUM_IMAGES = 11


def save_tiny_model(folder: Path, *, seed: int = 0) -> Path:
    config = ModelConfig(
        backbone="resnext_small",
        backbone_args={"layers": (1, 1, 1, 1)},
        dimension=16,
        preprocess=Preprocess(image_size=SIDE),
    )
    torch.manual_seed(seed)
    save_model(folder, build(config), config)
    return folder


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "m")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "照片"
    folder.mkdir()
    random = np.random.default_rng(3)
    for number in range(NUM_IMAGES):
        pixels = random.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((70, 50)).save(folder / f"{number:02}.jpg")
    return folder


def manifest_of(photos: Path) -> Manifest:
    names = sorted(path.name for path in photos.iterdir())
    return Manifest.from_columns(
        {
            "image_id": [name.removesuffix(".jpg") for name in names],
            "path": names,
            "landmark_id": [str(i // 3) for i in range(len(names))],
            "role": ["gallery"] * len(names),
            "label_space": ["local"] * len(names),
        },
        root=photos,
    )


def test_a_table_holds_what_the_model_says_of_each_photograph(
    model_dir: Path, photos: Path, tmp_path: Path
) -> None:
    manifest = manifest_of(photos)
    result = embed(model_dir, manifest, tmp_path / "out", backend="torch", batch_size=4)
    table = EmbeddingTable.read(tmp_path / "out")
    assert (result.num_embedded, result.num_unreadable, result.num_resumed) == (NUM_IMAGES, 0, 0)
    assert table.image_ids == manifest.image_ids
    assert table.landmark_ids == manifest.landmark_ids
    assert table.paths == [str(path) for path in manifest.paths]
    module, config = load_model(model_dir)
    transform = eval_transform(config.preprocess)
    images = np.stack([transform(Image.open(path)) for path in manifest.paths])
    with torch.no_grad():
        expected = module(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(table.vectors, expected, atol=1e-5)


def break_some(photos: Path) -> dict[str, str]:
    (photos / "00.jpg").write_bytes(b"")
    (photos / "04.jpg").write_bytes(b"no picture")
    (photos / "05.jpg").unlink()
    whole = (photos / "09.jpg").read_bytes()
    (photos / "09.jpg").write_bytes(whole[: len(whole) // 3])
    return {"00": "empty", "04": "not an image", "05": "missing", "09": "truncated"}


def test_unreadable_images_are_listed_counted_and_skipped(
    model_dir: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = manifest_of(photos)
    broken = break_some(photos)
    result = embed(model_dir, manifest, tmp_path / "out", backend="torch", batch_size=2)
    assert result.num_unreadable == 4
    assert result.num_embedded == NUM_IMAGES - 4
    table = EmbeddingTable.read(tmp_path / "out")
    assert table.image_ids == [name for name in manifest.image_ids if name not in broken]
    with (tmp_path / "out" / "unreadable.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image_id"] for row in rows] == list(broken)
    for row in rows:
        assert row["reason"].startswith(broken[row["image_id"]])
        assert row["path"] == str(photos / f"{row['image_id']}.jpg")
    assert "4 of 11 images cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("fail_at", [0, 1, 3, 5])
def test_an_interrupted_table_continues_to_the_same_bits(
    model_dir: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int
) -> None:
    manifest = manifest_of(photos)
    broken = break_some(photos)

    def run(out: str) -> None:
        embed(model_dir, manifest, tmp_path / out, backend="torch", batch_size=2, commit_every=2)

    run("whole")

    def failing(*arguments: object, **settings: object) -> Iterator[Encoded]:
        batches = encode_images(*arguments, **settings)  # type: ignore[arg-type]
        for number, batch in enumerate(batches):
            if number == fail_at:
                raise KeyboardInterrupt
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(embed_module, "encode_images", failing)
        if fail_at < 4:
            with pytest.raises(KeyboardInterrupt):
                run("parts")
            with pytest.raises(CairnError, match="not finished"):
                EmbeddingTable.read(tmp_path / "parts")
        else:
            run("parts")
    run("parts")
    whole, parts = (EmbeddingTable.read(tmp_path / out) for out in ("whole", "parts"))
    assert parts.image_ids == whole.image_ids
    assert parts.paths == whole.paths
    np.testing.assert_array_equal(parts.vectors, whole.vectors)
    for name in ("whole", "parts"):
        text = (tmp_path / name / "unreadable.csv").read_text(encoding="utf-8")
        assert text.count("\n") == 1 + len(broken)


def test_a_finished_table_loads_no_model_again(
    model_dir: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = manifest_of(photos)
    embed(model_dir, manifest, tmp_path / "out", backend="torch")
    monkeypatch.setattr(embed_module, "load_runtime", None)
    result = embed(model_dir, manifest, tmp_path / "out", backend="torch")
    assert (result.num_embedded, result.num_resumed) == (NUM_IMAGES, NUM_IMAGES)
    assert len(EmbeddingTable.read(tmp_path / "out")) == NUM_IMAGES


def test_a_table_is_not_continued_with_other_images_or_another_model(
    model_dir: Path, photos: Path, tmp_path: Path
) -> None:
    manifest = manifest_of(photos)
    embed(model_dir, manifest, tmp_path / "out", backend="torch")
    with pytest.raises(CairnError, match="8 images that the manifest lacks"):
        embed(model_dir, manifest.take([0, 1, 2]), tmp_path / "out")
    columns = manifest.table.to_pydict()
    columns["landmark_id"][2] = "99"
    relabelled = Manifest.from_columns(columns, root=manifest.root)
    with pytest.raises(CairnError, match="of landmark '0', the manifest"):
        embed(model_dir, relabelled, tmp_path / "out")
    other = save_tiny_model(tmp_path / "other", seed=1)
    with pytest.raises(CairnError, match="another model"):
        embed(other, manifest, tmp_path / "out")


def test_nothing_to_embed_and_nothing_readable_are_errors(
    model_dir: Path, photos: Path, tmp_path: Path
) -> None:
    manifest = manifest_of(photos)
    with pytest.raises(CairnError, match="no image to embed"):
        embed(model_dir, manifest.select("query"), tmp_path / "none")
    for path in photos.iterdir():
        path.write_bytes(b"")
    with pytest.raises(CairnError, match="none of the 11 images can be read; the first: empty"):
        embed(model_dir, manifest, tmp_path / "out", backend="torch")
    with pytest.raises(CairnError, match="not finished"):
        EmbeddingTable.read(tmp_path / "out")


def test_files_bytes_and_opened_pictures_give_the_same_embedding(
    model_dir: Path, tmp_path: Path
) -> None:
    runtime = load_runtime(model_dir, backend="torch", device="cpu")
    random = np.random.default_rng(0)
    pixels = Image.fromarray(random.integers(0, 256, (40, 60, 3), dtype=np.uint8))
    deep = Image.fromarray(random.integers(0, 65536, (40, 60), dtype=np.uint16))
    for image in (
        pixels,
        pixels.convert("L"),
        pixels.convert("P"),
        pixels.convert("RGBA"),
        pixels.convert("1"),
        deep,
    ):
        path = tmp_path / "picture.png"
        image.save(path)
        encoded = encode_all(runtime, [path, path.read_bytes(), image])
        assert encoded.rows == (0, 1, 2)
        np.testing.assert_allclose(encoded.vectors[1:], encoded.vectors[[0, 0]], atol=1e-6)


def test_a_turned_picture_is_embedded_upright(model_dir: Path) -> None:
    runtime = load_runtime(model_dir, backend="torch", device="cpu")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", exif=exif)
    upright = Image.fromarray(pixels).transpose(Image.Transpose.ROTATE_270)
    opened = Image.open(io.BytesIO(buffer.getvalue()))
    vectors = encode_all(runtime, [upright, buffer.getvalue(), opened]).vectors
    np.testing.assert_allclose(vectors[1:], vectors[[0, 0]], atol=1e-6)
    turned = encode_all(runtime, [Image.fromarray(pixels)]).vectors
    assert float((turned @ vectors[0])[0]) < 0.9999


def colours(images_BCHW: Float32) -> Float32:
    means: Float32 = images_BCHW.mean(axis=(2, 3)) + 3
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return means


def test_decoding_runs_ahead_by_a_bounded_number_of_images() -> None:
    runtime = Runtime(colours, "", Preprocess(image_size=16), 3, "mean colour")
    started = 0
    lock = threading.Lock()

    def sources() -> Iterator[Image.Image]:
        nonlocal started
        for _ in range(100):
            with lock:
                started += 1
            yield Image.new("RGB", (20, 20), (started, 0, 0))

    batches = encode_images(runtime, sources(), batch_size=5, workers=2)
    assert next(batches).rows == (0, 1, 2, 3, 4)
    assert started <= 5 + 5 + 2 * 2
    rest = [row for batch in batches for row in batch.rows]
    assert rest == list(range(5, 100))


def test_batches_are_full_of_readable_images() -> None:
    runtime = Runtime(colours, "", Preprocess(image_size=16), 3, "mean colour")
    good, bad = Image.new("RGB", (20, 20)), b"bad"
    batches = list(
        encode_images(runtime, [bad, good, bad, good, good, bad], batch_size=2, workers=1)
    )
    assert [batch.rows for batch in batches] == [(1, 3), (4,)]
    assert [[row for row, _ in batch.unreadable] for batch in batches] == [[0, 2], [5]]
    assert batches[0].vectors.shape == (2, 3)
    nothing = encode_all(runtime, [bad])
    assert nothing.vectors.shape == (0, 3)
    assert nothing.unreadable == ((0, "not an image"),)
    assert encode_all(runtime, []).rows == ()


def test_wrong_sizes_are_refused() -> None:
    runtime = Runtime(colours, "", Preprocess(image_size=16), 3, "mean colour")
    with pytest.raises(CairnError, match="batch_size"):
        encode_all(runtime, [], batch_size=0)
    with pytest.raises(CairnError, match="workers"):
        encode_all(runtime, [], workers=-1)
