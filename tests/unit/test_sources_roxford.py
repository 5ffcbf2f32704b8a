"""ROxford and RParis on disk: ground truth, queries cut out, landmarks that it implies."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cairn.errors import CairnError
from cairn.retrieval import Relevant
from cairn.sources.revisited import read_ground_truth
from cairn.sources.roxford import landmarks, read_revisited

GND: dict[str, Any] = {
    "imlist": ["souls_1", "souls_2", "oxford_1", "bridge_1"],
    "qimlist": ["souls_9", "bridge_9"],
    "gnd": [
        {"bbx": [2.4, 1.6, 30.0, 20.0], "easy": [0], "hard": [1], "junk": [2]},
        {"bbx": [0, 0, 39.6, 30.4], "easy": [3], "hard": [], "junk": []},
    ],
}


def plant(root: Path, gnd: dict[str, Any] = GND, *, ending: str = "pkl") -> Path:
    jpg = root / "jpg"
    jpg.mkdir(parents=True)
    for number, name in enumerate((*gnd["imlist"], *gnd["qimlist"])):
        pixels = np.random.default_rng(number).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(jpg / f"{name}.jpg", quality=95)
    file = root / f"gnd_roxford5k.{ending}"
    if ending == "pkl":
        arrays = [{**entry, "hard": np.array(entry["hard"], np.int64)} for entry in gnd["gnd"]]
        file.write_bytes(pickle.dumps({**gnd, "gnd": arrays}, protocol=2))
    else:
        file.write_text(json.dumps(gnd), encoding="utf-8")
    return root


@pytest.mark.parametrize("ending", ["pkl", "json"])
def test_the_layout_of_the_authors(tmp_path: Path, ending: str) -> None:
    found = read_revisited(plant(tmp_path / "d", ending=ending), queries_dir=tmp_path / "q")
    manifest = found.manifest
    assert manifest.image_ids == [*GND["imlist"], *GND["qimlist"]]
    assert manifest.roles == ["gallery"] * 4 + ["query"] * 2
    assert manifest.landmark_ids == [
        *("souls_9", "souls_9", "unlabelled", "bridge_9"),
        *("souls_9", "bridge_9"),
    ]
    assert manifest.table["label_space"].to_pylist() == ["roxford5k"] * 6
    assert manifest.paths[0] == tmp_path / "d/jpg/souls_1.jpg"
    assert found.truth.queries["souls_9"] == Relevant(
        frozenset({"souls_1"}), frozenset({"souls_2"}), frozenset({"oxford_1"})
    )
    assert found.notes == ()


def test_queries_are_cut_out_without_loss(tmp_path: Path) -> None:
    found = read_revisited(plant(tmp_path / "d"), queries_dir=tmp_path / "q")
    assert found.manifest.paths[4] == tmp_path / "q" / "souls_9.png"
    with Image.open(tmp_path / "d/jpg/souls_9.jpg") as whole:
        expected = np.asarray(whole)[2:20, 2:30]  # 2.4 and 1.6 round to 2
    with Image.open(tmp_path / "q/souls_9.png") as part:
        assert np.array_equal(np.asarray(part), expected)
    with Image.open(tmp_path / "q/bridge_9.png") as part:
        assert part.size == (40, 30)


def test_whole_queries_and_distractors(tmp_path: Path) -> None:
    root = plant(tmp_path / "d")
    far = tmp_path / "revisitop1m" / "0"
    far.mkdir(parents=True)
    for name in ("b.jpg", "a.JPG", "note.txt"):
        (far / name).touch()
    found = read_revisited(root, queries_dir=None, distractors=tmp_path / "revisitop1m")
    assert found.manifest.image_ids[-2:] == ["revisitop1m/0/a.JPG", "revisitop1m/0/b.jpg"]
    assert found.manifest.landmark_ids[-2:] == ["unlabelled"] * 2
    assert found.manifest.paths[4].name == "souls_9.jpg"
    assert "whole images" in found.notes[0]


def test_the_truth_is_the_same_written_and_read(tmp_path: Path) -> None:
    truth = read_ground_truth(plant(tmp_path / "d") / "gnd_roxford5k.pkl")
    truth.write(tmp_path / "t.json")
    assert read_ground_truth(tmp_path / "t.json") == truth
    assert json.loads((tmp_path / "t.json").read_text("utf-8"))["gnd"][0]["hard"] == [1]


def test_queries_that_share_most_images_show_one_landmark() -> None:
    def query(easy: str, hard: str = "") -> Relevant:
        return Relevant(frozenset(easy), frozenset(hard))

    found = landmarks({"q1": query("abc"), "q2": query("bc", "d"), "q3": query("xyz", "a")})
    # q1 and q2 share two of three; q3 shares only a, a picture of both, with q1.
    assert (found["q1"], found["q2"], found["q3"]) == ("q1", "q1", "q3")
    assert (found["a"], found["d"], found["x"]) == ("q1", "q1", "q3")
    assert "q4" in landmarks({"q4": query("")})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"imlist": []}, "list of names"),
        ({"imlist": ["a", "a"]}, "twice"),
        ({"gnd": GND["gnd"][:1]}, "one entry"),
        ({"qimlist": ["souls_1", "bridge_9"]}, "also in the gallery"),
        ({"gnd": [{"easy": [9], "hard": [], "junk": []}] * 2}, "position 9"),
        ({"gnd": [{"easy": [0], "hard": [0], "junk": []}] * 2}, "two of easy"),
        ({"gnd": [{"easy": [0], "hard": []}] * 2}, "list of positions"),
        ({"gnd": [{**GND["gnd"][0], "bbx": [5, 5, 1, 9]}] * 2}, "left, top, right"),
        ({"gnd": [3, 4]}, "no object"),
    ],
)
def test_a_ground_truth_that_contradicts_itself(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    path = tmp_path / "gnd_x.json"
    path.write_text(json.dumps({**GND, **change}), encoding="utf-8")
    with pytest.raises(CairnError, match=told) as caught:
        read_ground_truth(path)
    assert str(path) in caught.value.where


def test_what_is_missing_on_disk_is_told(tmp_path: Path) -> None:
    with pytest.raises(CairnError, match="folder not found"):
        read_revisited(tmp_path / "none", queries_dir=None)
    with pytest.raises(CairnError, match="expected one ground truth"):
        read_revisited(tmp_path, queries_dir=None)
    root = plant(tmp_path / "d")
    (root / "jpg/oxford_1.jpg").unlink()
    with pytest.raises(CairnError, match="1 of 6 images are missing"):
        read_revisited(root, queries_dir=None)


def test_a_query_that_cannot_be_cut_out_leaves_no_folder(tmp_path: Path) -> None:
    root = plant(tmp_path / "d")
    Image.new("RGB", (20, 20)).save(root / "jpg/souls_9.jpg")  # resized: the box leaves it
    with pytest.raises(CairnError, match="leaves the image"):
        read_revisited(root, queries_dir=tmp_path / "q")
    (root / "jpg/souls_9.jpg").write_bytes(b"no image")
    with pytest.raises(CairnError, match="cannot be read: not an image"):
        read_revisited(root, queries_dir=tmp_path / "q")
    assert not (tmp_path / "q").exists()
