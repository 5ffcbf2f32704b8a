"""What a person may get wrong, through the command line: exit 2 and three lines, never a traceback.

Everything lies under a folder with a Chinese name. Photographs that give no picture are reported
and skipped where others remain; tables, models and galleries that do not fit are refused.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cairn.checkpoint import save_model
from cairn.cli import main
from cairn.config import ModelConfig, Preprocess
from cairn.embed import embed
from cairn.gallery import Gallery
from cairn.manifest import Manifest
from cairn.model import build


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit status, standard output and standard error."""

    status: int
    out: str
    err: str


Cairn = Callable[..., Ended]


@pytest.fixture
def cairn(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cairn:
    """Run ``cairn`` with words as the shell would; exceptions but a user's fault come through."""

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["cairn", *map(str, words)])
        capfd.readouterr()
        status: object = 0
        try:
            main()
        except SystemExit as end:
            status = end.code
        captured = capfd.readouterr()
        assert status is None or isinstance(status, int)
        return Ended(status or 0, captured.out, captured.err)

    return run


READABLE = ("cmyk.jpg", "sixteen.png", "palette.png", "turned.jpg", "animated.gif", "pixel.png",
            "grey.png", "alpha.png", "line.png")  # fmt: skip
UNREADABLE = {
    "empty.jpg": "empty file",
    "truncated.jpg": "truncated",
    "page.jpg": "not an image",
    "bomb.png": "too large",
    "missing.jpg": "missing file",
}


def noise(width: int = 60, height: int = 40) -> Image.Image:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rest = chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + rest


def write_photographs(folder: Path) -> None:
    """Write one file of each odd kind; ``missing.jpg`` is not among them."""
    folder.mkdir(parents=True)
    noise().convert("CMYK").save(folder / "cmyk.jpg")
    deep = np.random.default_rng(0).integers(0, 65_536, (40, 60), dtype=np.uint16)
    Image.fromarray(deep).save(folder / "sixteen.png")
    noise().convert("P").save(folder / "palette.png", transparency=3)
    exif = Image.Exif()
    exif[0x0112] = 6
    noise().save(folder / "turned.jpg", exif=exif)
    noise().save(folder / "animated.gif", save_all=True, append_images=[noise(61), noise(62)])
    noise(1, 1).save(folder / "pixel.png")
    noise().convert("L").save(folder / "grey.png")
    noise().convert("RGBA").save(folder / "alpha.png")
    noise(900, 1).save(folder / "line.png")
    (folder / "empty.jpg").touch()
    noise(300, 200).save(folder / "whole.jpg")
    whole = (folder / "whole.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "page.jpg").write_text("<html>404</html>")
    (folder / "bomb.png").write_bytes(png_of(60_000, 60_000))


def write_manifest(path: Path, names: tuple[str, ...], **changes: list[str]) -> Path:
    columns = {
        "image_id": list(names),
        "path": [f"照片/{name}" for name in names],
        "landmark_id": ["故宫"] * len(names),
        "role": ["train"] * len(names),
        **changes,
    }
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))
    return path


def save_tiny_model(folder: Path, seed: int) -> Path:
    config = ModelConfig(
        backbone="resnext_small",
        backbone_args={"layers": (1, 1, 1, 1)},
        dimension=8,
        preprocess=Preprocess(image_size=32, resize="both", crop_pct=0.9),
    )
    torch.manual_seed(seed)
    save_model(folder, build(config), config)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of all kinds, a model and another, a gallery of all that can be read."""
    root = tmp_path_factory.mktemp("工作")
    write_photographs(root / "照片")
    write_manifest(root / "名单.csv", READABLE)
    manifest = Manifest.read(root / "名单.csv")
    for seed, name in enumerate(("模型", "other-model")):
        save_tiny_model(root / name, seed)
        embed(root / name, manifest, root / f"{name}-向量", backend="torch", device="cpu")
    Gallery.build(root / "模型-向量", root / "模型", root / "图库")
    return root


def assert_refused(ended: Ended, *words: str) -> None:
    """A user's fault: status 2, nothing on stdout, one error of at most three lines on stderr."""
    assert ended.status == 2, ended
    assert ended.out == ""
    assert "Traceback" not in ended.err
    start = ended.err.index("error: ")
    assert ended.err.count("error: ") == 1
    lines = ended.err[start:].splitlines()
    assert len(lines) <= 3, lines
    assert [line[:7] for line in lines[1:]] in (
        [], ["  where"], ["  do:  "], ["  where", "  do:  "]
    )  # fmt: skip
    assert len(lines) > 1, "an error says where, or what to do"
    for word in words:
        assert word in ended.err[start:]


# -- photographs -------------------------------------------------------------------------------


def test_odd_photographs_are_recognized_as_themselves(place: Path, cairn: Cairn) -> None:
    photos = [place / "照片" / name for name in (*READABLE, *UNREADABLE)]
    ended = cairn("recognize", place / "图库", *photos, "--json")
    assert ended.status == 0
    value = json.loads(ended.out)
    answers = {Path(one["image_id"]).name: one for one in value["predictions"]}
    assert list(answers) == list(READABLE)
    for answer in answers.values():
        assert answer["landmark_id"] == "故宫"
        assert answer["confidence"] == pytest.approx(1, abs=1e-3)
    found = {Path(name).name: why.partition(":")[0] for name, why in value["unreadable"].items()}
    assert found == UNREADABLE
    for name in UNREADABLE:
        assert f"unreadable: {place / '照片' / name}" in ended.err


@pytest.mark.parametrize("name", UNREADABLE)
def test_one_photograph_that_gives_no_picture(place: Path, cairn: Cairn, name: str) -> None:
    photo = place / "照片" / name
    ended = cairn("recognize", place / "图库", photo)
    assert ended.status == 2
    assert ended.out == ""
    assert f"unreadable: {photo}: {UNREADABLE[name]}" in ended.err
    assert "Traceback" not in ended.err


def test_embedding_reports_and_skips_what_cannot_be_read(
    place: Path, cairn: Cairn, tmp_path: Path
) -> None:
    manifest = write_manifest(place / "全部.csv", (*READABLE, *UNREADABLE))
    out = tmp_path / "向量"
    ended = cairn("embed", place / "模型", manifest, "-o", out, "--backend", "torch", "--json")
    assert ended.status == 0
    value = json.loads(ended.out)
    assert (value["num_embedded"], value["num_unreadable"]) == (len(READABLE), len(UNREADABLE))
    assert f"{len(UNREADABLE)} of {len(READABLE) + len(UNREADABLE)} images" in ended.err
    with (out / "unreadable.csv").open(encoding="utf-8", newline="") as file:
        found = {row["image_id"]: row["reason"].partition(":")[0] for row in csv.DictReader(file)}
    assert found == UNREADABLE


def test_embedding_nothing_readable(place: Path, cairn: Cairn, tmp_path: Path) -> None:
    manifest = write_manifest(place / "坏.csv", tuple(UNREADABLE))
    ended = cairn("embed", place / "模型", manifest, "-o", tmp_path / "v", "--backend", "torch")
    assert_refused(ended, "none of the 5 images can be read", "empty.jpg", "unreadable.csv")


def test_inspection_counts_what_cannot_be_read(place: Path, cairn: Cairn, tmp_path: Path) -> None:
    manifest = write_manifest(place / "检查.csv", (*READABLE, *UNREADABLE))
    ended = cairn("inspect", manifest, "-o", tmp_path / "检查", "--workers", "1", "--json")
    assert ended.status == 0
    value = json.loads(ended.out)
    assert value["num_unreadable"] == len(UNREADABLE)
    assert value["unreadable_reasons"] == dict.fromkeys(UNREADABLE.values(), 1)
    assert value["sizes"]["shorter_side"]["least"] == 1


def train_words(manifest: Path, out: Path) -> list[object]:
    settings = (
        "train.epochs=1",
        "train.batch_size=4",
        "train.workers=1",
        "model.dimension=8",
        "model.preprocess.image_size=32",
        "model.backbone_args={layers=[1,1,1,1]}",
    )
    changes = [word for setting in settings for word in ("--set", setting)]
    return ["train", "demo", "--data", manifest, "-o", out, "--device", "cpu", *changes]


def test_training_leaves_out_what_cannot_be_read(place: Path, cairn: Cairn, tmp_path: Path) -> None:
    names = (*READABLE, *UNREADABLE)
    marks = [("故宫", "天坛")[row % 2] for row in range(len(names))]
    manifest = write_manifest(place / "训练.csv", names, landmark_id=marks)
    ended = cairn(*train_words(manifest, tmp_path / "训练"), "--json")
    assert ended.status == 0
    assert (Path(json.loads(ended.out)["model"]) / "model.safetensors").is_file()
    for name, reason in UNREADABLE.items():
        assert f"{name} ({reason}" in ended.err


def test_training_on_nothing_readable(place: Path, cairn: Cairn, tmp_path: Path) -> None:
    marks = ["故宫", "天坛", "天坛", "故宫", "故宫"]
    manifest = write_manifest(place / "坏训练.csv", tuple(UNREADABLE), landmark_id=marks)
    assert_refused(cairn(*train_words(manifest, tmp_path / "r")), "photographs can be read")


# -- manifests ---------------------------------------------------------------------------------


def empty(path: Path) -> Path:
    path.touch()
    return path


def header_only(path: Path) -> Path:
    return write_manifest(path, ())


def lacking(path: Path) -> Path:
    path.write_text("image_id,path,landmark,role\n1,a.jpg,x,train\n", encoding="utf-8")
    return path


def duplicate(path: Path) -> Path:
    return write_manifest(path, ("a", "b"), image_id=["甲", "甲"])


def unknown_role(path: Path) -> Path:
    return write_manifest(path, ("a", "b"), role=["train", "gallry"])


def bank_with_landmark(path: Path) -> Path:
    return write_manifest(path, ("a",), role=["nonlandmark"])


def two_spaces(path: Path) -> Path:
    return write_manifest(path, ("a", "b"), label_space=["index", "train"])


def truncated_parquet(path: Path) -> Path:
    whole = path.with_name("whole.parquet")
    Manifest.read(write_manifest(path, ("a", "b"))).write(whole)
    cut = path.with_suffix(".parquet")
    cut.write_bytes(whole.read_bytes()[:200])
    return cut


def other_bytes(path: Path) -> Path:
    path.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    return path


BAD_MANIFESTS: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "missing": (lambda path: path, ("file not found",)),
    "empty": (empty, ("the file is empty",)),
    "no rows": (header_only, ("no rows",)),
    "no column": (lacking, ("lacks the column landmark_id", "did you mean 'landmark'")),
    "duplicate ids": (duplicate, ("'甲'", "rows 1, 2")),
    "unknown role": (unknown_role, ("unknown role", "did you mean 'gallery'", "row 2")),
    "named non-landmark": (bank_with_landmark, ("must not name a landmark",)),
    "two label spaces": (two_spaces, ("2 label spaces",)),
    "truncated": (truncated_parquet, ("Parquet",)),
    "no text": (other_bytes, ("UTF-8",)),
}


READ_BY_EVALUATE = ("missing", "duplicate ids", "unknown role")
"""A CSV file without a manifest's columns or rows is a solution to it, with errors of its own."""

CASES = [
    (command, kind)
    for kind in BAD_MANIFESTS
    for command in ("inspect", "embed", "recognize", "train", "evaluate")
    if command != "evaluate" or kind in READ_BY_EVALUATE
]


@pytest.mark.parametrize(("command", "kind"), CASES)
def test_bad_manifests_are_refused_by_every_command(
    place: Path, cairn: Cairn, tmp_path: Path, command: str, kind: str
) -> None:
    make, words = BAD_MANIFESTS[kind]
    manifest, out = make(tmp_path / "坏名单.csv"), tmp_path / "out"
    (tmp_path / "answers.csv").write_text("id,landmarks\n甲,故宫 0.5\n", encoding="utf-8")
    called: dict[str, list[object]] = {
        "inspect": ["inspect", manifest, "-o", out],
        "embed": ["embed", place / "模型", manifest, "-o", out],
        "recognize": ["recognize", place / "图库", manifest, "-o", tmp_path / "s.csv"],
        "train": train_words(manifest, out),
        "evaluate": ["evaluate", tmp_path / "answers.csv", manifest],
    }
    assert_refused(cairn(*called[command], "--json"), str(manifest), *words)
    assert not out.exists(), "nothing is left behind"


def test_a_table_of_a_person_s_own_that_cannot_be_understood(cairn: Cairn, tmp_path: Path) -> None:
    table = tmp_path / "表.csv"
    table.write_text("图片,名称\na.jpg,故宫\n", encoding="utf-8")
    ended = cairn("data", "csv", table, "-o", tmp_path / "m.parquet")
    assert_refused(ended, "no column looks like path", "图片", "--column path=NAME")
    named = ("--column", "path=图片", "--column", "landmark_id=名称")
    ended = cairn("data", "csv", table, "-o", tmp_path / "m.parquet", *named, "--json")
    assert ended.status == 0, ended.err
    assert Manifest.read(tmp_path / "m.parquet").landmark_ids == ["故宫"]


@pytest.mark.parametrize("kind", ["missing", "empty", "flat"])
def test_folders_that_hold_no_landmark(cairn: Cairn, tmp_path: Path, kind: str) -> None:
    root = tmp_path / "照片"
    if kind != "missing":
        root.mkdir()
    if kind == "flat":
        noise().save(root / "1.jpg")
    assert_refused(cairn("data", "folder", root, "-o", tmp_path / "m.parquet"), str(root))
    assert not (tmp_path / "m.parquet").exists()


def test_file_names_that_are_no_text_are_skipped_and_told(cairn: Cairn, tmp_path: Path) -> None:
    """An old archive unpacked: names in GBK rather than UTF-8."""
    folder = tmp_path / "照片" / "故宫"
    folder.mkdir(parents=True)
    noise().save(folder / "1.jpg")
    try:
        shutil.copy(folder / "1.jpg", folder / os.fsdecode("午门.jpg".encode("gbk")))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    ended = cairn("data", "folder", tmp_path / "照片", "-o", tmp_path / "m.parquet", "--json")
    assert ended.status == 0
    value = json.loads(ended.out)
    assert (value["num_images"], value["num_skipped"]) == (1, 1)


# -- submissions and solutions -----------------------------------------------------------------

ANSWERS = "id,landmarks\na,1 0.5\nb,2 0.4\n"


@pytest.mark.parametrize(
    ("submission", "solution", "words"),
    [
        (ANSWERS, "id,landmarks\na,\nb,\n", ("M = 0", "答案.csv")),
        (ANSWERS, "id,landmarks,Usage\na,1,Ignored\n", ("M = 0",)),
        (ANSWERS, "id,landmarks\na,1\n", ("does not have", "'b'")),
        (ANSWERS, "id,landmarks\na,1\na,2\n", ("already on line 2", "line 3")),
        (ANSWERS, "", ("empty",)),
        (ANSWERS, None, ("not found",)),
        ("id,landmarks\na,1 nan\n", "id,landmarks\na,1\n", ("finite", "line 2")),
        ("id,landmarks\na,1 0.5 2 0.5\n", "id,landmarks\na,1\n", ("found 4 words",)),
        ("id,landmarks\na,1 0.5\na,1 0.5\n", "id,landmarks\na,1\n", ("already on line 2",)),
        ("image,answer\n", "id,landmarks\na,1\n", ("header", "line 1")),
        (None, "id,landmarks\na,1\n", ("not found",)),
    ],
)
def test_scores_of_nothing_are_refused(
    cairn: Cairn,
    tmp_path: Path,
    submission: str | None,
    solution: str | None,
    words: tuple[str, ...],
) -> None:
    for name, text in (("提交.csv", submission), ("答案.csv", solution)):
        if text is not None:
            (tmp_path / name).write_text(text, encoding="utf-8")
    ended = cairn("evaluate", tmp_path / "提交.csv", tmp_path / "答案.csv", "--json")
    assert_refused(ended, *words)


def test_a_manifest_of_no_known_query(cairn: Cairn, tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "m.csv", ("a",), landmark_id=[""], role=["query"])
    (tmp_path / "s.csv").write_text("id,landmarks\na,1 0.5\n", encoding="utf-8")
    assert_refused(cairn("evaluate", tmp_path / "s.csv", manifest), "M = 0")


# -- models and galleries ----------------------------------------------------------------------


def copied(place: Path, tmp_path: Path, name: str) -> Path:
    return Path(shutil.copytree(place / name, tmp_path / name))


def broken_model(place: Path, tmp_path: Path, kind: str) -> Path:
    folder = copied(place, tmp_path, "模型")
    weights, config = folder / "model.safetensors", folder / "config.json"
    if kind == "no folder":
        shutil.rmtree(folder)
    elif kind == "no weights":
        weights.unlink()
    elif kind == "truncated weights":
        weights.write_bytes(weights.read_bytes()[:3000])
    elif kind == "config is no JSON":
        config.write_text("{")
    elif kind == "config of another kind":
        config.write_text('{"format": 1}')
    else:
        value: dict[str, Any] = json.loads(config.read_text())
        value["model"]["dimension"] = 16
        config.write_text(json.dumps(value))
    return folder


@pytest.mark.parametrize(
    "kind",
    ["no folder", "no weights", "truncated weights", "config is no JSON",
     "config of another kind", "weights of another shape"],
)  # fmt: skip
def test_broken_models_are_refused(place: Path, cairn: Cairn, tmp_path: Path, kind: str) -> None:
    model = broken_model(place, tmp_path, kind)
    ended = cairn("embed", model, place / "名单.csv", "-o", tmp_path / "向量", "--backend", "torch")
    assert_refused(ended, str(model))
    ended = cairn("gallery", "build", place / "模型-向量", model, "-o", tmp_path / "g")
    assert_refused(ended)
    assert not (tmp_path / "g").exists()


def test_a_gallery_and_queries_of_different_models(
    place: Path, cairn: Cairn, tmp_path: Path
) -> None:
    ended = cairn("gallery", "build", place / "other-model-向量", place / "模型", "-o",
                  tmp_path / "g")  # fmt: skip
    assert_refused(ended, "these embeddings come from model")
    assert_refused(
        cairn("penalize", place / "图库", place / "other-model-向量"), "different models"
    )
    queries = write_manifest(place / "问.csv", READABLE, role=["query"] * len(READABLE))
    out = tmp_path / "s.csv"
    stale = tmp_path / "s-embeddings"
    embed(place / "other-model", Manifest.read(queries).select("query"), stale, backend="torch")
    assert_refused(cairn("recognize", place / "图库", queries, "-o", out), "another model")
    assert not out.exists()
    mixed = copied(place, tmp_path, "图库")
    (model,) = (mixed / "models").iterdir()
    shutil.rmtree(model)
    photo = place / "照片" / "grey.png"
    assert_refused(cairn("recognize", mixed, photo), "lacks its model")
    shutil.copytree(place / "other-model", model)
    assert_refused(cairn("recognize", mixed, photo), "the gallery was made by model")


def test_a_gallery_of_one_image_answers(place: Path, cairn: Cairn, tmp_path: Path) -> None:
    manifest = write_manifest(place / "一.csv", ("grey.png",))
    one = tmp_path / "一"
    words = ("--backend", "torch", "--device", "cpu")
    assert cairn("embed", place / "模型", manifest, "-o", tmp_path / "e", *words).status == 0
    assert cairn("gallery", "build", tmp_path / "e", place / "模型", "-o", one).status == 0
    bank = write_manifest(place / "无.csv", READABLE[:3], role=["nonlandmark"] * 3,
                          landmark_id=[""] * 3)  # fmt: skip
    options = ("--role", "nonlandmark", *words)
    assert cairn("embed", place / "模型", bank, "-o", tmp_path / "b", *options).status == 0
    ended = cairn("penalize", one, tmp_path / "b", "--json")
    assert json.loads(ended.out)["num_images"] == 1
    ended = cairn("recognize", one, place / "照片" / "grey.png", "--top", "5", "--json")
    (answer,) = json.loads(ended.out)["predictions"]
    assert answer["landmark_id"] == "故宫"
    assert len(answer["evidence"]) == 1
    ended = cairn("inspect", manifest, "-o", tmp_path / "i", "--workers", "1")
    assert ended.status == 0
    assert_refused(cairn(*train_words(manifest, tmp_path / "r")), "at least two")


@pytest.mark.parametrize("name", ["名单.csv/x/y", "模型/model.safetensors/x"])
def test_a_place_below_a_file_is_told(place: Path, cairn: Cairn, tmp_path: Path, name: str) -> None:
    assert_refused(cairn("inspect", place / "名单.csv", "-o", place / name), "directory")


@pytest.mark.parametrize("by_lance", [False, True])
def test_a_full_disk_is_told(
    place: Path, cairn: Cairn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_lance: bool
) -> None:
    manifest = write_manifest(place / "满.csv", ("grey.png",))
    words = ("--backend", "torch", "--device", "cpu")
    assert cairn("embed", place / "模型", manifest, "-o", tmp_path / "e", *words).status == 0

    def full(*_: object, **__: object) -> None:
        if by_lance:
            raise OSError("LanceError(IO): Generic error: No space left on device (os error 28)")
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "满"))

    name = "cairn.gallery.gallery.write_fragments" if by_lance else "shutil.copyfile"
    monkeypatch.setattr(name, full)
    build = ("gallery", "build", tmp_path / "e", place / "模型", "-o", tmp_path / "满")
    assert_refused(cairn(*build), "No space left")
    monkeypatch.undo()
    assert_refused(cairn("gallery", "log", tmp_path / "满"), "not a gallery")
    assert cairn(*build).status == 0, "what a failed build left is no hindrance"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "demoo", "--data", "名单.csv"], "did you mean 'demo'"),
        (["train", "demo", "--data", "名单.csv", "--set", "train.epoch=1"], "mean 'epochs'"),
        (["train", "demo", "--data", "名单.csv", "--set", "train.epochs=-1"], "train.epochs"),
        (["train", "demo", "--data", "名单.csv", "--set", "epochs"], "section.key=value"),
        (["train", "demo", "--data", "名单.csv", "-o", "照片"], "never overwritten"),
        (["train", "demo", "--data", "名单.csv", "--resume"], "no run of 'demo'"),
        (["train", "demo", "--data", "名单.csv", "-o", "x", "--device", "gpu"], "no device 'gpu'"),
        (["train", "照片/page.jpg", "--data", "名单.csv"], "not TOML"),
        (["embed", "模型", "名单.csv", "-o", "x", "--role", "galery"], "did you mean 'gallery'"),
        (["embed", "模型", "名单.csv", "-o", "x", "--backend", "tensorrt"], "unknown backend"),
        (["embed", "模型", "名单.csv", "-o", "照片"], "照片"),
        (["embed", "模型", "名单.csv", "-o", "x", "--role", "query"], "no image to embed"),
        (["embed", "模型", "名单.csv", "-o", "x", "--batch-size", "0"], "batch_size"),
        (["gallery", "build", "照片", "模型", "-o", "x"], "照片"),
        (["penalize", "照片", "模型-向量"], "not a gallery"),
        (["penalize", "图库", "模型-向量"], "a bank holds non-landmarks"),
        (["penalize", "图库", "模型-向量", "--top", "many"], "many"),
        (["recognize", "模型", "照片/grey.png"], "not a gallery"),
        (["recognize", "图库", "照片/grey.png", "--top", "0"], "at least 1"),
        (["recognize", "图库", "名单.csv", "-o", "x.csv"], "no image of role query"),
        (["recognize", "图库", "名单.csv"], "-o"),
        (["inspect", "名单.csv", "-o", "照片"], "never overwritten"),
        (["demo", "-o", "照片"], "never overwritten"),
    ],
)  # fmt: skip
def test_options_that_cannot_be(
    place: Path, cairn: Cairn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    words: list[str], told: str,
) -> None:  # fmt: skip
    for path in place.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    assert_refused(cairn(*words), told)


@pytest.mark.parametrize(
    "words",
    [["recognise"], ["embed"], ["evaluate", "a", "b", "--resamples", "-1"], ["train", "--x"]],
)
def test_unknown_words_show_the_usage(cairn: Cairn, words: list[str]) -> None:
    ended = cairn(*words)
    assert ended.status == 2
    assert ended.out == ""
    assert "Usage: cairn" in ended.err


def test_the_installed_command_ends_with_2_and_no_traceback(place: Path) -> None:
    command = Path(sys.executable).with_name("cairn")
    words = ["inspect", "没有.csv", "-o", "检查", "--json"]
    done = subprocess.run(
        [command, *words], capture_output=True, check=False, cwd=place, encoding="utf-8",
        env={**os.environ, "LC_ALL": "C"},
    )  # fmt: skip
    assert_refused(Ended(done.returncode, done.stdout, done.stderr), "没有.csv")
