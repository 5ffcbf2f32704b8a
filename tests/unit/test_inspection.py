"""Inspections: what is unreadable, what stands twice, and what is said about it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from cairn.errors import CairnError
from cairn.inspection import inspect_manifest
from cairn.inspection.duplicates import Duplicate, find_duplicates
from cairn.inspection.look import Looks, look_at
from cairn.inspection.pictures import landmarks_by_size
from cairn.manifest import Manifest


def scene(seed: int, width: int = 200, height: int = 150) -> Image.Image:
    """A picture with structure at several scales, different for every seed."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    image = coarse.resize((width, height), Image.Resampling.BICUBIC)
    fine = Image.fromarray(rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8))
    return Image.blend(image, fine.resize((width, height)).filter(ImageFilter.GaussianBlur(2)), 0.2)


def looked(folder: Path, pictures: Sequence[Image.Image | bytes], **options: Any) -> Looks:
    return look_at(saved(folder, pictures, **options), workers=2)


def saved(folder: Path, pictures: Sequence[Image.Image | bytes], **options: Any) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = []
    for index, picture in enumerate(pictures):
        path = folder / f"{index}.{'png' if not options else 'jpg'}"
        path.write_bytes(picture) if isinstance(picture, bytes) else picture.save(path, **options)
        paths.append(path)
    return paths


def test_looks_tell_size_sum_and_reason(tmp_path: Path) -> None:
    paths = saved(tmp_path, [scene(0, 320, 200), b"", b"text"])
    looks = look_at([*paths, tmp_path / "none.png"], workers=2)
    assert looks.sizes.tolist() == [[320, 200], [0, 0], [0, 0], [0, 0]]
    assert {row: why.kind for row, why in looks.reasons.items()} == {
        1: "empty file",
        2: "not an image",
        3: "missing file",
    }
    assert looks.sha256[1].startswith("e3b0c442"), "sha256 of nothing"
    assert looks.sha256[3] == ""
    assert looks.readable.tolist() == [0]


def test_own_size_is_kept_though_decoding_is_small(tmp_path: Path) -> None:
    looks = looked(tmp_path, [scene(0, 1600, 1200)], quality=90)
    assert looks.sizes.tolist() == [[1600, 1200]]


@pytest.mark.parametrize(
    "edit",
    [
        lambda image: image.resize((97, 73)),
        lambda image: image.crop((2, 2, 198, 148)),
        lambda image: ImageEnhance.Brightness(image).enhance(1.15),
        lambda image: ImageEnhance.Contrast(image).enhance(0.7),
        lambda image: image.convert("L"),
    ],
    ids=["resized", "trimmed", "brighter", "paler", "grey"],
)
def test_the_same_picture_in_other_bytes_is_found(tmp_path: Path, edit: Any) -> None:
    pictures = [scene(seed) for seed in range(20)]
    copies = [edit(picture) for picture in pictures[:10]]
    found = find_duplicates(looked(tmp_path, [*pictures, *copies]), ["train"] * 30, ["a"] * 30)
    assert [(pair.first, pair.second) for pair in found] == [(n, n + 20) for n in range(10)]
    assert {pair.kind for pair in found} == {"near"}


def test_different_pictures_are_not_paired(tmp_path: Path) -> None:
    looks = looked(tmp_path, [scene(seed) for seed in range(70)])
    assert find_duplicates(looks, ["train"] * 70, ["a"] * 70) == []


def test_candidates_agree_with_comparing_all_pairs(tmp_path: Path) -> None:
    """Every pair within 7 of 128 bits shares a band; nothing farther than allowed is reported."""
    rng = np.random.default_rng(5)
    base = rng.integers(0, 256, (40, 16), dtype=np.uint8)
    bits = np.unpackbits(np.repeat(base, 4, axis=0), axis=1)
    for row in bits:
        row[rng.choice(128, rng.integers(0, 4), replace=False)] ^= 1
    hashes = np.packbits(bits, axis=1)
    count = len(hashes)
    looks = Looks(
        sizes=np.ones((count, 2), np.int64),
        sha256=[str(row) for row in range(count)],
        hashes=hashes,
        sketches=np.zeros((count, 16, 16), np.uint8),
        reasons={},
    )
    distances = (bits[:, None] != bits[None]).sum(axis=2)
    expected = {(a, b) for a in range(count) for b in range(a + 1, count) if distances[a, b] <= 7}
    found = find_duplicates(looks, ["train"] * count, [""] * count)
    assert len(expected) >= 200
    assert {(pair.first, pair.second) for pair in found} == expected
    assert all(pair.num_bits == distances[pair.first, pair.second] for pair in found)


def test_flat_pictures_are_told_apart_by_tone(tmp_path: Path) -> None:
    flat = [Image.new("RGB", (40, 40 + n), (tone,) * 3) for n, tone in enumerate((20, 21, 200))]
    found = find_duplicates(looked(tmp_path, flat), ["train"] * 3, ["a"] * 3)
    assert [(pair.first, pair.second) for pair in found] == [(0, 1)]


def test_flags_of_leaks_and_labels(tmp_path: Path) -> None:
    one, two = scene(1), scene(2)
    looks = looked(tmp_path, [one, one, one, two, two.resize((100, 75))])
    roles = ["query", "train", "query", "nonlandmark", "query"]
    found = find_duplicates(looks, roles, ["a", "a", "b", "", ""])
    assert found[:2] == [
        Duplicate(1, 0, "exact", 0, leaks=True, labels_differ=False),
        Duplicate(1, 2, "exact", 0, leaks=True, labels_differ=True),
    ]
    assert len(found) == 3
    near = found[2]
    assert (near.first, near.second, near.kind) == (3, 4, "near")
    assert near.leaks, "a picture of the bank among the queries"
    assert not near.labels_differ


def test_landmarks_by_size() -> None:
    assert landmarks_by_size([2, 2, 3, 5, 6, 30]) == {
        "1": 0, "2": 2, "3-5": 2, "6-10": 1, "11-20": 0, "21-50": 1,
    }  # fmt: skip
    assert landmarks_by_size([1, 501])["> 500"] == 1
    assert landmarks_by_size([]) == {}


def small_manifest(folder: Path) -> Manifest:
    pictures: list[Image.Image | bytes] = [scene(seed) for seed in range(5)]
    pictures += [scene(0).resize((100, 75)), b"no picture", scene(1)]
    paths = saved(folder / "照片", pictures)
    return Manifest.from_columns(
        {
            "image_id": [f"i{index}" for index in range(8)],
            "path": [str(path) for path in paths],
            "landmark_id": ["故宫", "故宫", "b", "b", "", "b", "b", "故宫"],
            "role": ["train"] * 4 + ["nonlandmark", "query", "train", "query"],
            "category": ["palace", "palace", "church", None, None, None, "church", "palace"],
            "natural_or_human_made": ["human-made"] * 8,
            "sha256": ["0" * 64] + [None] * 7,
        },
        root=folder,
    )


def test_the_folder_of_an_inspection(tmp_path: Path) -> None:
    found = inspect_manifest(small_manifest(tmp_path), tmp_path / "out", workers=2)
    report = json.loads((tmp_path / "out/report.json").read_text(encoding="utf-8"))
    assert report == found.report
    expected = {
        "num_images": 8,
        "num_unreadable": 1,
        "unreadable_reasons": {"not an image": 1},
        "num_exact_duplicates": 1,
        "num_near_duplicates": 1,
        "num_leaking_queries": 2,
        "num_pairs_with_two_labels": 1,
        "num_altered": 1,
        "landmarks_by_images": {"1": 0, "2": 1, "3-5": 1},
        "smallest_side": 75,
    }
    assert {name: report[name] for name in expected} == expected
    with (tmp_path / "out/unreadable.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["image_id"], row["reason"]) for row in rows] == [("i6", "not an image")]
    with (tmp_path / "out/duplicates.csv").open(encoding="utf-8", newline="") as handle:
        pairs = list(csv.DictReader(handle))
    assert (pairs[0]["image_id_a"], pairs[0]["image_id_b"]) == ("i0", "i5")
    assert (pairs[0]["kind"], pairs[0]["leaks"], pairs[0]["labels_differ"]) == ("near", "1", "1")
    for name in ("landmarks.png", "categories.png"):
        with Image.open(tmp_path / "out" / name) as plot:
            assert plot.width > 400
            assert len(plot.convert("RGB").getcolors(1 << 24) or []) > 20, "an empty plot"


def test_the_page_is_whole_and_escaped(tmp_path: Path) -> None:
    manifest = small_manifest(tmp_path)
    inspect_manifest(manifest, tmp_path / "out")
    page = (tmp_path / "out/index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert page.count("data:image/jpeg;base64,") == 4
    assert 'src="http' not in page
    assert "故宫" in page
    assert "non-landmark images: 2. Scores will flatter." in page
    table = manifest.table.to_pydict() | {"image_id": [f"<b>{n}" for n in range(8)]}
    inspect_manifest(Manifest.from_columns(table, root=tmp_path), tmp_path / "other")
    assert "<b>" not in (tmp_path / "other/index.html").read_text(encoding="utf-8")


def test_clean_data_and_data_without_gallery(tmp_path: Path) -> None:
    paths = saved(tmp_path, [scene(0), scene(1)])
    columns: dict[str, list[Any]] = {"image_id": ["a", "b"], "path": paths, "landmark_id": ["", ""]}
    manifest = Manifest.from_columns({**columns, "role": ["query"] * 2}, root=tmp_path)
    found = inspect_manifest(manifest, tmp_path / "out")
    assert found.sentences[0] == "All 2 files can be read."
    assert not (tmp_path / "out/landmarks.png").exists()


def test_nothing_readable_is_a_finding_not_a_crash(tmp_path: Path) -> None:
    columns = {"image_id": ["a"], "path": ["none.jpg"], "landmark_id": ["x"], "role": ["train"]}
    found = inspect_manifest(Manifest.from_columns(columns, root=tmp_path), tmp_path / "out")
    assert found.report["unreadable_reasons"] == {"missing file": 1}


def test_results_are_never_overwritten(tmp_path: Path) -> None:
    manifest = small_manifest(tmp_path)
    with pytest.raises(CairnError, match="never overwritten"):
        inspect_manifest(manifest, tmp_path)
