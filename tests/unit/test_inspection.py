"""Inspections: what is unreadable, what stands twice, what is kept, and what is said about it."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from cairn.errors import CairnError
from cairn.inspection import Inspection, Looks, find_duplicates, inspect_manifest, look_at
from cairn.inspection import look as look_module
from cairn.inspection.figures import landmarks_by_size, years
from cairn.inspection.findings import steps
from cairn.inspection.inspect import partial_folder
from cairn.inspection.map import draw_map
from cairn.manifest import Manifest
from cairn.pages.drawing import drawing


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
    assert looks.sha256[1].tobytes().hex().startswith("e3b0c442"), "sha256 of nothing"
    assert looks.stamps[:, 0].tolist() == [paths[0].stat().st_size, 0, 4, -1]
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
    found = find_duplicates(looked(tmp_path, [*pictures, *copies]))
    assert found.groups.tolist() == [*range(20), *range(10)]
    assert not found.is_copy.any()


def test_different_pictures_are_not_paired(tmp_path: Path) -> None:
    looks = looked(tmp_path, [scene(seed) for seed in range(70)])
    assert find_duplicates(looks).groups.tolist() == list(range(70))


def test_flat_pictures_are_told_apart_by_tone(tmp_path: Path) -> None:
    flat = [Image.new("RGB", (40, 40 + n), (tone,) * 3) for n, tone in enumerate((20, 21, 200))]
    assert find_duplicates(looked(tmp_path, flat)).groups.tolist() == [0, 0, 2]


def test_a_row_of_looks_is_the_same_alone(tmp_path: Path) -> None:
    looks = looked(tmp_path, [scene(0), b"text", scene(1)])
    part = looks.take([2, 1])
    assert part.sizes.tolist() == [[200, 150], [0, 0]]
    assert list(part.reasons) == [1]
    assert (part.hashes[0] == looks.hashes[2]).all()


def counting(monkeypatch: pytest.MonkeyPatch, *, fail_after: int | None = None) -> list[str]:
    """Note the files that are opened; after so many the machine breaks down."""
    opened: list[str] = []
    plain = look_module._look

    def look(path: Path) -> Any:
        if fail_after is not None and len(opened) >= fail_after:
            raise MemoryError
        opened.append(path.name)
        return plain(path)

    monkeypatch.setattr(look_module, "_look", look)
    return opened


def equal(a: Looks, b: Looks) -> bool:
    names = ("sizes", "sha256", "hashes", "sketches", "stamps")
    same = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)
    return same and {k: v.reason for k, v in a.reasons.items()} == {
        k: v.reason for k, v in b.reasons.items()
    }


def test_a_rerun_goes_on_where_a_broken_one_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures: list[Image.Image | bytes] = [scene(seed, 40, 30) for seed in range(70)]
    pictures[33] = b"no picture"
    paths = saved(tmp_path / "photos", pictures)
    whole = look_at(paths)
    with monkeypatch.context() as patch:
        counting(patch, fail_after=40)
        with pytest.raises(MemoryError):
            look_at(paths, partial=tmp_path / "out.partial", workers=1)
    opened = counting(monkeypatch)
    again = look_at(paths, partial=tmp_path / "out.partial", workers=1)
    assert equal(again, whole)
    assert again.num_recalled == 32, "two whole jobs of 16 were done"
    assert len(opened) == 70 - 32


def test_a_kill_within_the_first_part_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    paths = saved(tmp_path / "photos", [scene(0)])
    kept = tmp_path / "out.partial"
    kept.mkdir()
    (kept / ".part-000001-7.parquet.7.tmp").write_bytes(b"torn")
    assert look_at(paths, partial=kept).num_recalled == 0
    assert look_at(paths, partial=kept).num_recalled == 1


def test_only_changed_files_are_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = saved(tmp_path / "照片", [scene(seed, 40, 30) for seed in range(5)])
    paths.append(tmp_path / "照片" / "none.jpg")
    kept = tmp_path / "kept"
    look_at(paths, partial=kept)
    scene(9, 50, 30).save(paths[2])
    os.utime(paths[3], ns=(0, 12345))
    paths[4].unlink()
    scene(8, 60, 30).save(paths[5])
    more = [*reversed(paths), *saved(tmp_path / "more", [scene(7)])]
    opened = counting(monkeypatch)
    again = look_at(more, partial=kept)
    assert sorted(opened) == ["0.png", "2.png", "3.png", "4.png", "none.jpg"]
    assert again.num_recalled == 2
    assert again.sizes[:, 0].tolist() == [60, 0, 40, 50, 40, 40, 200]
    assert again.reasons[1].reason == "missing file"
    opened.clear()
    assert equal(look_at(more, earlier=kept), again)
    assert opened == ["4.png"], "what could not be read is tried again"


def test_the_same_file_in_two_rows_is_recalled_for_both(tmp_path: Path) -> None:
    paths = saved(tmp_path / "photos", [scene(0)])
    look_at(paths, partial=tmp_path / "kept")
    assert look_at(paths * 3, earlier=tmp_path / "kept").num_recalled == 3


def test_what_is_no_look_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/part-000001-1.parquet").write_bytes(b"no")
    with pytest.raises(CairnError, match="not readable"):
        look_at([], earlier=tmp_path / "other")
    with pytest.raises(CairnError, match="no looks at photographs here"):
        look_at([], earlier=tmp_path / "gone")
    (tmp_path / "text").mkdir()
    (tmp_path / "text/a.txt").touch()
    with pytest.raises(CairnError, match="no looks at photographs in this folder"):
        look_at([], earlier=tmp_path / "text")
    small_manifest(tmp_path).write(tmp_path / "manifest.parquet")
    with pytest.raises(CairnError, match="another version"):
        look_at([], earlier=tmp_path / "manifest.parquet")


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
            "natural_or_human_made": ["human-made"] * 6 + ["natural", "Natural"],
            "sha256": ["0" * 64] + [None] * 7,
            "width": [150, 200, 999] + [None] * 5,
            "height": [200, 150, 150] + [None] * 5,
            "license": ["CC0-1.0"] + [None] * 7,
            "latitude": [50.0, -10.0, None] + [None] * 5,
            "longitude": [2.0, 3.0, 0.0] + [None] * 5,
            "date_taken": ["2004-05-01", "1999", "2004:01:01 10:00"] + [None] * 5,
        },
        root=folder,
    )


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    folder = tmp_path_factory.mktemp("inspected")
    return inspect_manifest(small_manifest(folder), folder / "out", workers=2)


def test_the_folder_of_an_inspection(inspected: Inspection) -> None:
    out = inspected.folder
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report == json.loads(json.dumps(inspected.report))
    expected = {
        "num_images": 8,
        "num_unreadable": 1,
        "unreadable_reasons": {"not an image": 1},
        "num_duplicate_pictures": 2,
        "num_exact_duplicates": 1,
        "num_near_duplicates": 1,
        "num_leaking_queries": 2,
        "num_pictures_with_two_labels": 1,
        "num_altered": 1,
        "num_other_sizes": 1,
        "landmarks_by_images": {"1": 0, "2": 1, "3-5": 1},
        "landmarks_with_half_of_the_images": 1,
        "absent_columns": ["author"],
        "years": {"1999": 1, "2004": 2},
        "num_clean": 5,
    }
    assert {name: report[name] for name in expected} == expected
    assert report["shared_by_roles"] == [
        {"roles": ["train", "query"], "num_pictures": 2, "images": [2, 2]}
    ]
    assert report["shared_by_landmarks"] == [{"landmarks": ["b", "故宫"], "num_pictures": 1}]
    assert report["sizes"]["shorter_side"] == {
        "least": 75, "median": 150, "most": 150, "below_224": 7,
    }  # fmt: skip
    assert report["values"]["category"] == {
        "num_images": 7, "num_absent": 2, "num_values": 2, "images": {"palace": 3, "church": 2},
    }  # fmt: skip
    assert report["natural_by_category"] == {"church": 1, "palace": 1}
    assert report["places"] == {
        "num_images": 2, "south_west": [-10.0, 2.0],
        "north_east": [50.0, 3.0],
    }  # fmt: skip
    with (out / "unreadable.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["image_id"], row["reason"]) for row in rows] == [("i6", "not an image")]
    for name in ("landmarks", "ranks", "roles", "categories", "kinds", "sizes", "map", "years"):
        with Image.open(out / "plots" / f"{name}.png") as plot:
            assert plot.width > 400
            assert len(plot.convert("RGB").getcolors(1 << 24) or []) > 20, "an empty plot"
    assert not partial_folder(out).exists()


def test_the_table_of_duplicates(inspected: Inspection) -> None:
    with (inspected.folder / "duplicates.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    names = ("group", "image_id", "role", "kind", "like", "leaks", "labels_differ")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("1", "i0", "train", "first", "", "1", "1"),
        ("1", "i5", "query", "near", "i0", "1", "1"),
        ("2", "i1", "train", "first", "", "1", "0"),
        ("2", "i7", "query", "exact", "i1", "1", "0"),
    ]
    assert rows[0]["num_bits"] == ""
    assert int(rows[1]["num_bits"]) <= 14
    assert rows[3]["num_bits"] == "0"


def test_the_clean_manifest_neither_leaks_nor_repeats(
    inspected: Inspection, tmp_path: Path
) -> None:
    clean = Manifest.read(inspected.folder / "clean.parquet")
    assert clean.image_ids == ["i2", "i3", "i4", "i5", "i7"]
    assert all(path.is_file() for path in clean.paths)
    again = inspect_manifest(clean, tmp_path / "again", earlier=inspected.folder)
    assert again.report["looked_at"]["num_recalled"] == 5
    counts = ("num_unreadable", "num_leaking_queries", "num_duplicate_pictures")
    assert [again.report[name] for name in counts] == [0, 0, 0]
    assert again.report["num_clean"] == 5


def test_of_copies_within_role_and_landmark_one_stays(tmp_path: Path) -> None:
    one, two = scene(0), scene(1)
    paths = saved(tmp_path / "photos", [one, one, one, two, two, two])
    columns = {
        "image_id": list("abcdef"),
        "path": [str(path) for path in paths],
        "landmark_id": ["x", "x", "y", "x", "x", ""],
        "role": ["train", "train", "train", "train", "gallery", "nonlandmark"],
    }
    inspect_manifest(Manifest.from_columns(columns, root=tmp_path), tmp_path / "out")
    assert Manifest.read(tmp_path / "out/clean.parquet").image_ids == ["a", "c", "d", "e", "f"]


def test_the_page_is_whole_and_escaped(inspected: Inspection, tmp_path: Path) -> None:
    page = (inspected.folder / "index.html").read_text(encoding="utf-8")
    assert page.count("<svg ") == 6, "landmarks, ranks, sizes, aspects, years, map"
    assert page.count("data:image/jpeg;base64,") == 6, "two leaks, one of them with two labels"
    assert not re.search(r"(src|href)=.https?:", page)
    assert "故宫" in page
    assert "2 of 2 queries show a picture that other roles have too" in page
    assert "no column <code>author</code>" in page
    assert f"--data {inspected.folder / 'clean.parquet'}" in re.sub(r"</?span>", "", page)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)
    table = small_manifest(tmp_path).table.to_pydict() | {"image_id": [f"<b>{n}" for n in range(8)]}
    table |= {"license": ["<b>"] * 8, "category": ["$<b>"] * 8}
    inspect_manifest(Manifest.from_columns(table, root=tmp_path), tmp_path / "other")
    escaped = (tmp_path / "other/index.html").read_text(encoding="utf-8")
    assert "<b>0" not in escaped
    assert "&lt;b&gt;" in escaped


def test_steps_name_what_is_on_the_page(inspected: Inspection) -> None:
    done = steps(inspected.report, inspected.folder)
    assert [(step["name"], step["severity"]) for step in done] == [
        ("unreadable", "act"), ("leaks", "act"), ("unreadable", "act"), ("labels", "look"),
        ("again", "note"), ("values", "note"),
    ]  # fmt: skip
    assert [bool(step["command"]) for step in done] == [True, *[False] * 5], "a command once"


def test_clean_data_and_data_without_gallery(tmp_path: Path) -> None:
    paths = saved(tmp_path, [scene(0), scene(1)])
    columns: dict[str, list[Any]] = {"image_id": ["a", "b"], "path": paths, "landmark_id": ["", ""]}
    manifest = Manifest.from_columns({**columns, "role": ["query"] * 2}, root=tmp_path)
    found = inspect_manifest(manifest, tmp_path / "out")
    assert found.sentences == ("All 2 files can be read.", "No picture stands twice.")
    assert not (tmp_path / "out/plots/landmarks.png").exists()


def test_nothing_readable_is_a_finding_not_a_crash(tmp_path: Path) -> None:
    columns = {"image_id": ["a"], "path": ["none.jpg"], "landmark_id": ["x"], "role": ["train"]}
    manifest = Manifest.from_columns(columns, root=tmp_path)
    found = inspect_manifest(manifest, tmp_path / "out")
    assert found.report["unreadable_reasons"] == {"missing file": 1}
    assert not (tmp_path / "out/clean.parquet").exists()
    assert inspect_manifest(manifest, tmp_path / "two", earlier=tmp_path / "out").report


def test_results_are_never_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = small_manifest(tmp_path)
    opened = counting(monkeypatch)
    with pytest.raises(CairnError, match="never overwritten"):
        inspect_manifest(manifest, tmp_path)
    assert opened == [], "said before half an hour of looking"


def test_looks_are_kept_with_the_inspection(inspected: Inspection) -> None:
    kept = pq.read_table(inspected.folder / "looks.parquet").to_pylist()
    assert [row["reason"] for row in kept] == [None] * 6 + ["not an image", None]
    assert kept[0]["width"] == 200
    assert kept[0]["bytes"] == Path(kept[0]["path"]).stat().st_size


def test_years_of_any_column_with_dates(tmp_path: Path) -> None:
    columns = {"image_id": ["a", "b"], "path": ["a", "b"], "landmark_id": ["", ""],
               "role": ["query"] * 2, "date": ["3 May 1987, noon", "unknown"]}  # fmt: skip
    assert years(Manifest.from_columns(columns, root=tmp_path)) == {"1987": 1}


@pytest.mark.parametrize("places", [[[0.0, 0.0]], [[-90.0, -180.0], [90.0, 180.0]], [[43.3, 5.4]]])
def test_a_map_of_one_place_or_of_the_world(places: list[list[float]]) -> None:
    with drawing():
        figure = draw_map(np.array(places))
        figure.draw_without_rendering()
    low, high = figure.axes[0].get_xlim()
    assert low < min(place[1] for place in places) + 1e-9
    assert high > max(place[1] for place in places) - 1e-9
