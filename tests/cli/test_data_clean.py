"""``cairn data clean`` and ``apply``: from embeddings to a cleaned manifest."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from cairn.cleaning import CleanRule
from cairn.cli.data import data
from cairn.cli.data_clean import clean
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.tables import EmbeddingTable


def call(*words: object) -> Result:
    return CliRunner().invoke(data, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Thirty landmarks of twelve photographs; the first of each bears another's label."""
    rng = np.random.default_rng(0)
    centers = np.linalg.qr(rng.standard_normal((48, 48)))[0]
    ids, names, vectors = [], [], []
    for number in range(30):
        for photo in range(12):
            ids.append(f"{number}-{photo}")
            names.append(f"l{(number + (5 if photo == 0 else 0)) % 30}")
            vectors.append(centers[number] + rng.standard_normal(48) * 0.14)
    for number in range(30):
        ids.append(f"none-{number}")
        names.append("")
        vectors.append(rng.standard_normal(48))
    rows = np.array(vectors, np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    paths = [f"{one}.jpg" for one in ids]
    roles = ["train" if name else "nonlandmark" for name in names]
    Manifest.from_columns(
        {"image_id": ids, "path": paths, "landmark_id": names, "role": roles}, root=tmp_path
    ).write(tmp_path / "manifest.csv")
    for name, part in (("train", slice(360)), ("bank", slice(360, None))):
        EmbeddingTable(ids[part], names[part], paths[part], rows[part], "f" * 16).write(
            tmp_path / name
        )
    return tmp_path


def test_clean_then_apply(place: Path) -> None:
    options = ("--bank", place / "bank", "--least", "0.4", "--shown", "5", "--device", "cpu")
    done = call(
        "clean", place / "train", place / "manifest.csv", "-o", place / "out", *options, "--json"
    )
    report = json.loads(done.stdout)
    assert report["rule"] | {"least": 0.4, "shown": 5, "num_neighbors": 16} == report["rule"]
    assert report["num_bank"] == 30
    assert report["counts"]["relabel"] >= 15
    assert Path(report["page"]).is_file()
    new = place / "new.csv"
    done = call(
        *("apply", place / "out", place / "manifest.csv", "-o", new),
        *("--kinds", "relabel, drop", "--min-confidence", "0.4", "--json"),
    )
    value = json.loads(done.stdout)
    assert value["counts"] == {"relabel": report["counts"]["relabel"]}
    cleaned = Manifest.read(new)
    moved = dict(zip(cleaned.image_ids, cleaned.landmark_ids, strict=True))
    right = sum(moved[f"{number}-0"] == f"l{number}" for number in range(30))
    assert right == report["counts"]["relabel"]
    with pytest.raises(CairnError, match="another manifest"):
        call("apply", place / "out", new, "-o", place / "again.csv", "--kinds", "relabel")


def test_words_for_a_person(place: Path) -> None:
    said = call("clean", place / "train", place / "manifest.csv", "-o", place / "out").stdout
    assert re.search(r"relabel \d+, drop 0, leave bank 0, look \d+", said)
    assert "30 images of the manifest have no embedding here" in said
    assert f"next: cairn data apply {place / 'out'} {place / 'manifest.csv'}" in said
    done = call(
        *("apply", place / "out", place / "manifest.csv", "-o", place / "new.parquet"),
        *("--kinds", "relabel"),
    )
    assert re.match(r"applied: relabel \d+\n390 images written", done.stdout)


def test_the_help_states_the_defaults_of_the_rule() -> None:
    text = " ".join(call("clean", "--help").stdout.replace("│", " ").split())
    for name in inspect.signature(clean).parameters:
        default = getattr(CleanRule(), name, None)
        if default is not None:
            option = text[text.index("--" + name.replace("_", "-")) :]
            stated = re.search(r"([\d.]+) by default", option)
            assert stated, name
            assert float(stated[1].rstrip(".")) == default, name
