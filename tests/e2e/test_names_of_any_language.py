"""The tour of the README on a messy tree with Chinese names, spaces and broken files throughout."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cairn import Recognizer
from cairn.cli import main
from cairn.gallery import Gallery
from cairn.submission import read_submission

LANDMARKS = ("故宫", "东方明珠塔", "Église Saint-Étienne", "대한문 50% 할인")
SETTINGS = (
    "train.epochs=2",
    "train.batch_size=8",
    "train.workers=1",
    "train.precision=float32",
    "model.dimension=32",
    "model.preprocess.image_size=32",
    "model.backbone_args={layers=[1,1,1,1]}",
)


def photograph(path: Path, pattern: np.ndarray[Any, Any], rng: np.random.Generator) -> None:
    pixels = np.kron(pattern, np.ones((12, 12, 1))) + rng.normal(0, 12, (48, 48, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, quality=92)


def plant(root: Path) -> None:
    rng = np.random.default_rng(3)
    for name in LANDMARKS:
        pattern = rng.uniform(30, 220, (4, 4, 3))
        for number in range(6):
            photograph(root / "照片" / name / f"第{number} 张.jpg", pattern, rng)
    for number in range(12):
        photograph(root / "其他" / "人 物" / f"{number}.jpg", rng.uniform(30, 220, (4, 4, 3)), rng)
    (root / "照片" / "故宫" / "空.jpg").touch()
    (root / "照片" / "故宫" / "说明.txt").write_text("不是照片", encoding="utf-8")
    (root / "其他" / "坏.jpg").write_bytes(b"<html>")
    whole = root / "照片" / "东方明珠塔" / "第0 张.jpg"
    Image.open(whole).convert("CMYK").save(whole)


def test_the_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    plant(tmp_path)
    monkeypatch.chdir(tmp_path)

    def cairn(*words: object) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["cairn", *map(str, words), "--json"])
        capfd.readouterr()
        status: object = None
        try:
            main()
        except SystemExit as end:
            status = end.code
        assert status in (0, None), capfd.readouterr().err
        value: dict[str, Any] = json.loads(capfd.readouterr().out)
        return value

    made = cairn("data", "folder", "照片", "--nonlandmarks", "其他", "--holdout", "0.34",
                 "-o", "名单.parquet")  # fmt: skip
    assert (made["num_images"], made["num_landmarks"], made["num_skipped"]) == (38, 4, 1)
    looked = cairn("inspect", "名单.parquet", "-o", "检查", "--workers", "1")
    assert looked["unreadable_reasons"] == {"empty file": 1, "not an image": 1}
    changes = [word for setting in SETTINGS for word in ("--set", setting)]
    run = cairn("train", "demo", "--data", "名单.parquet", "-o", "训练/第一次", *changes)
    model = Path(run["model"])
    assert model.parent == Path("训练/第一次")
    names = json.loads((model / "landmarks.json").read_text(encoding="utf-8"))
    assert {"故宫", "东方明珠塔"} <= set(names)

    words = ("--backend", "torch", "--device", "cpu", "--workers", "1")
    roles = {"gallery": "向量/图库", "nonlandmark": "向量/其他"}
    done = [cairn("embed", model, "名单.parquet", "--role", role, "-o", out, *words)
            for role, out in roles.items()]  # fmt: skip
    assert (
        cairn("embed", model, "名单.parquet", "--role", "nonlandmark", "-o", "向量/其他", *words)[
            "num_resumed"
        ]
        == done[1]["num_embedded"]
    )
    built = cairn("gallery", "build", "向量/图库", model, "--names", "名单.parquet", "-o", "图库")
    assert built["num_landmarks"] == 4
    punished = cairn("penalize", "图库", "向量/其他", "--min-n", "1")
    table = pq.read_table(Gallery.load("图库").penalty_path)
    assert table.column_names == ["image_id", "img_path", "sims", "n_picked", "penalty"]
    assert punished["num_images"] == built["num_images"] == table.num_rows
    assert all(Path(name).is_file() for name in table["img_path"].to_pylist())

    photo = Path("照片/东方明珠塔/第1 张.jpg")
    (answer,) = cairn("recognize", "图库", photo, "--top", "3")["predictions"]
    assert answer["landmark_name"] in LANDMARKS
    assert len(answer["evidence"]) == 3
    assert Recognizer.load("图库", backend="torch")(photo).landmark_id == answer["landmark_id"]

    asked = cairn("recognize", "图库", "名单.parquet", "-o", "答案.csv", *words[:4])
    plain = cairn("recognize", "图库", "名单.parquet", "-o", "原.csv", "--no-penalty", *words[:4])
    assert (asked["penalized"], plain["penalized"]) == (True, False)
    answers = read_submission(Path("答案.csv"))
    queries = made["roles"]["query"]
    assert len(answers) == asked["num_queries"] == queries
    assert {name[0] for name in answers.values() if name} <= set(names)
    blank = [name for name, one in answers.items() if one is None]
    assert len(blank) == asked["num_unreadable"]

    score = cairn("evaluate", "答案.csv", "名单.parquet", "--before", "原.csv", "-o", "评价",
                  "--resamples", "10")  # fmt: skip
    assert score["num_queries"] == queries
    assert score["num_labelled"] == queries - made["num_queries_without_landmark"]
    assert 0 <= score["before"]["gap"] <= 1
    report = json.loads(Path("评价/report.json").read_text(encoding="utf-8"))
    assert report["gap"] == score["gap"]
    page = Path("评价/report.html").read_text(encoding="utf-8")
    assert any(name in page for name in LANDMARKS)
    with Path("评价/submission.csv").open(encoding="utf-8", newline="") as file:
        assert sum(1 for _ in csv.reader(file)) == queries + 1
