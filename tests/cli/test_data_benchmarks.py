"""The field's data sets and unsorted photographs through the command line."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

from cairn.checkpoint import save_model
from cairn.cli.data import data
from cairn.cli.embed import embed
from cairn.cli.retrieval import app as retrieval
from cairn.config import Recipe
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.model import build

app = typer.Typer()
app.add_typer(data, name="data")
app.add_typer(retrieval, name="retrieval")
app.command("embed")(embed)


def call(*words: object) -> tuple[str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout, result.stderr


def as_json(*words: object) -> Any:
    return json.loads(call(*words, "--json")[0])


def view(path: Path, pattern: np.ndarray[Any, Any], rng: np.random.Generator) -> None:
    pixels = np.kron(pattern, np.ones((10, 10, 1))) + rng.normal(0, 8, (40, 40, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def roxford(tmp_path: Path) -> Path:
    """Two landmarks with three easy, one hard and one junk image each, and two other images."""
    rng = np.random.default_rng(5)
    root, names, queries, gnd = tmp_path / "roxford5k", [], [], []
    for number in range(2):
        pattern = rng.uniform(30, 220, (4, 4, 3))
        for photo in range(5):
            names.append(f"place{number}_{photo}")
            view(root / f"jpg/{names[-1]}.jpg", pattern, rng)
        queries.append(f"place{number}_q")
        view(root / f"jpg/{queries[-1]}.jpg", pattern, rng)
        rows = np.arange(5 * number, 5 * number + 5)
        gnd.append({"bbx": [0.0, 0.0, 38.0, 38.0], "easy": rows[:3], "hard": rows[3:4],
                    "junk": rows[4:]})  # fmt: skip
    for photo in range(2):
        names.append(f"other_{photo}")
        view(root / f"jpg/{names[-1]}.jpg", rng.uniform(30, 220, (4, 4, 3)), rng)
    value = {"imlist": names, "qimlist": queries, "gnd": gnd}
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(value, protocol=2))
    return root


def test_from_the_authors_files_to_their_scores(
    roxford: Path, tmp_path: Path, tiny_recipe: Recipe
) -> None:
    manifest = tmp_path / "rox.parquet"
    value = as_json("data", "roxford", roxford, "-o", manifest)
    assert value["roles"] == {"gallery": 12, "query": 2}
    assert sorted(path.name for path in (tmp_path / "rox-queries").iterdir()) == [
        *("place0_q.png", "place1_q.png")
    ]
    torch.manual_seed(0)
    save_model(tmp_path / "model", build(tiny_recipe.model), tiny_recipe.model)
    for role in ("gallery", "query"):
        call("embed", tmp_path / "model", manifest, "--role", role, "-o", tmp_path / role)
    ranked = as_json("retrieval", "rank", tmp_path / "query", tmp_path / "gallery",
                     "-o", tmp_path / "r.csv")  # fmt: skip
    assert (ranked["num_queries"], ranked["num_images"]) == (2, 12)
    truth = tmp_path / "rox-truth.json"
    scores = as_json("retrieval", "evaluate", tmp_path / "r.csv", truth)
    assert set(scores["setups"]) == {"easy", "medium", "hard"}
    assert scores["setups"]["medium"]["num_missing"] == 0
    published = roxford / "gnd_roxford5k.pkl"
    assert as_json("retrieval", "evaluate", tmp_path / "r.csv", published) == scores
    out, _ = call("retrieval", "evaluate", tmp_path / "r.csv", truth,
                  "--per-query", tmp_path / "ap.csv")  # fmt: skip
    assert out.splitlines()[0].split() == ["%", "queries", "mAP", "mP@1", "mP@5", "mP@10"]
    assert len((tmp_path / "ap.csv").read_text("utf-8").splitlines()) == 1 + 3 * 2
    with pytest.raises(CairnError, match="never overwritten"):
        call("data", "roxford", roxford, "-o", manifest)
    with pytest.raises(CairnError, match="ends in"):
        call("data", "roxford", roxford, "-o", tmp_path / "rox.txt")


def test_scores_of_rankings_worked_out_by_hand(tmp_path: Path) -> None:
    gnd = {"easy": [0], "hard": [1], "junk": [2]}
    truth = tmp_path / "gnd.json"
    truth.write_text(json.dumps({"imlist": ["e", "h", "j"], "qimlist": ["q"], "gnd": [gnd]}))
    rankings = tmp_path / "r.csv"
    rankings.write_text("id,images\nq,j x h e\n", encoding="utf-8")
    value = as_json("retrieval", "evaluate", rankings, truth)
    assert value["setups"]["medium"]["mean_average_precision"] == pytest.approx(5 / 12)
    assert value["setups"]["easy"]["mean_precision_at"] == {"1": 0.0, "5": 0.5, "10": 0.5}
    rankings.write_text("id,images\nq,j x h\n", encoding="utf-8")
    out, _ = call("retrieval", "evaluate", rankings, truth)
    assert "1 images to be found are in no ranking" in out
    rankings.write_text("id,images\nq,j.jpg h.jpg\n", encoding="utf-8")
    with pytest.raises(CairnError, match="an image of the truth's gallery"):
        call("retrieval", "evaluate", rankings, truth)
    with pytest.raises(CairnError, match=r"\.json, \.pkl or \.csv"):
        call("retrieval", "evaluate", rankings, tmp_path / "m.parquet")


def test_rankings_against_google_s_solution(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("id,images\nq1,a x b\n", encoding="utf-8")
    (tmp_path / "s.csv").write_text("id,images,Usage\nq1,a b,Public\nq2,a,Private\n", "utf-8")
    value = as_json("retrieval", "evaluate", tmp_path / "r.csv", tmp_path / "s.csv",
                    "--usage", "public")  # fmt: skip
    assert value == {"mean_average_precision": pytest.approx(5 / 6), "num_queries": 1}


def test_met_and_kaggle(tmp_path: Path) -> None:
    for path in ("met/images/MET/7/0.jpg", "met/images/test_noart/x.jpg",
                 "glr/train/a/b/c/abcd.jpg"):  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).touch()
    (tmp_path / "met/MET_database.json").write_text('[{"id": 7, "path": "MET/7/0.jpg"}]', "utf-8")
    (tmp_path / "met/testset.json").write_text('[{"path": "test_noart/x.jpg"}]', "utf-8")
    value = as_json("data", "met", tmp_path / "met", "-o", tmp_path / "met.parquet")
    assert (value["roles"], value["num_queries_without_landmark"]) == ({"train": 1, "query": 1}, 1)
    assert all(path.is_file() for path in Manifest.read(tmp_path / "met.parquet").paths)
    (tmp_path / "glr/train.csv").write_text("id,landmark_id\nabcd,3\nabce,3\n", encoding="utf-8")
    value = as_json("data", "kaggle", tmp_path / "glr", "-o", tmp_path / "glr.csv")
    assert (value["roles"], value["num_missing"]) == ({"train": 1}, 1)


def test_photographs_with_positions(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 30.0, 0.0), 3: "W", 4: (2.0, 0.0, 0.0)})
    for name in ("tower/a.jpg", "tower/b.jpg"):
        (tmp_path / "p" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(tmp_path / "p" / name, exif=exif)
    call("data", "folder", tmp_path / "p", "--exif", "-o", tmp_path / "f.parquet")
    assert Manifest.read(tmp_path / "f.parquet").table["longitude"].to_pylist() == [-2.0, -2.0]
    (tmp_path / "p/t.csv").write_text("path,label,lat\ntower/a.jpg,x,1.5\n", encoding="utf-8")
    call("data", "csv", tmp_path / "p/t.csv", "--exif", "-o", tmp_path / "c.csv")
    table = Manifest.read(tmp_path / "c.csv").table
    assert (table["latitude"].to_pylist(), table["longitude"].to_pylist()) == ([1.5], [-2.0])
    value = as_json("data", "photos", tmp_path / "p", "--by-place", "50",
                    "-o", tmp_path / "g.parquet")  # fmt: skip
    assert value["roles"] == {"train": 2}
    assert Manifest.read(tmp_path / "g.parquet").landmark_ids == ["place_48.50000_-2.00000"] * 2
