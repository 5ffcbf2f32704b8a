"""A manifest and its photographs to a folder of findings."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn.inspection.duplicates import find_duplicates
from cairn.inspection.look import Looks, look_at
from cairn.inspection.page import render_page
from cairn.inspection.pictures import draw_categories, draw_landmarks, landmarks_by_size
from cairn.inspection.sharing import example, share
from cairn.manifest import Manifest
from cairn.runs import atomic_folder, write_json

KIND_COLUMN = "natural_or_human_made"
"""The column, if the manifest has it, that tells natural scenery from what people built."""


@dataclass(frozen=True)
class Duplicate:
    """Two rows."""

    first: int
    second: int
    kind: str
    num_bits: int
    leaks: bool
    labels_differ: bool


@dataclass(frozen=True)
class Inspection:
    """What an inspection found.

    Args:
        folder: Where index.html, report.json, unreadable.csv, duplicates.csv and plots lie.
        report: The figures of report.json.
        sentences: The findings in words.
    """

    folder: Path
    report: Mapping[str, Any]
    sentences: tuple[str, ...]


def inspect_manifest(
    manifest: Manifest, out: Path, *, earlier: Path | None = None, workers: int | None = None
) -> Inspection:
    """Return what was found in the photographs, and write it to the folder ``out``.

    Every file is read and decoded. Unreadable ones are listed with their reasons, files with the
    same bytes and files with the same picture are paired, and pairs are flagged where a query's
    picture stands in another role too, or where one picture bears two labels.

    Args:
        manifest: The photographs.
        out: A folder that is not there yet, or empty.
        earlier: The folder of an earlier inspection, whose photographs are not decoded again.
        workers: Threads that decode; one per processor, at most 8, unless given.

    Raises:
        CairnError: ``out`` holds something.
    """
    out = Path(out)
    with atomic_folder(out) as folder:
        looks = look_at(manifest.paths, earlier=earlier, workers=workers)
        found = share(manifest, find_duplicates(looks, workers=workers))
        duplicates = []
        for group in range(len(found)):
            a, b, bits = example(found, group, looks.hashes, None)
            kind = "exact" if (looks.sha256[a] == looks.sha256[b]).all() else "near"
            flags = bool(found.leaks[group]), bool(found.labels_differ[group])
            duplicates.append(Duplicate(a, b, kind, bits, *flags))
        report = _figures(manifest, looks, duplicates)
        sentences = _sentences(report)
        _write_unreadable(folder / "unreadable.csv", manifest, looks)
        _write_duplicates(folder / "duplicates.csv", manifest, duplicates)
        plots = _plots(folder, manifest)
        write_json(folder / "report.json", report)
        unreadable = {str(manifest.paths[row]): why.reason for row, why in looks.reasons.items()}
        page = render_page(report, sentences, manifest, duplicates, unreadable, plots)
        (folder / "index.html").write_text(page, encoding="utf-8")
    return Inspection(out, report, sentences)


def _figures(manifest: Manifest, looks: Looks, duplicates: Sequence[Duplicate]) -> dict[str, Any]:
    sizes = list(_images_per_landmark(manifest).values())
    leaks = [pair for pair in duplicates if pair.leaks]
    reasons = Counter(why.kind for why in looks.reasons.values())
    return {
        **manifest.summary(),
        "fingerprint": manifest.fingerprint,
        "landmarks_by_images": landmarks_by_size(sizes),
        "num_gallery_landmarks": len(sizes),
        "median_images_per_landmark": sorted(sizes)[len(sizes) // 2] if sizes else 0,
        "num_unreadable": len(looks.reasons),
        "unreadable_reasons": dict(reasons.most_common()),
        "num_altered": _num_altered(manifest, looks),
        "num_exact_duplicates": sum(pair.kind == "exact" for pair in duplicates),
        "num_near_duplicates": sum(pair.kind == "near" for pair in duplicates),
        "num_leaking_queries": len({pair.second for pair in leaks}),
        "num_pairs_with_two_labels": sum(pair.labels_differ for pair in duplicates),
        "smallest_side": int(looks.sizes[looks.readable].min(initial=2**31)) if len(looks.readable)
        else 0,
    }  # fmt: skip


def _images_per_landmark(manifest: Manifest) -> Counter[str]:
    """Return images per landmark of what is recognized against: role gallery, else train."""
    gallery = manifest.select("gallery")
    return Counter((gallery if len(gallery) else manifest.select("train")).landmark_ids)


def _num_altered(manifest: Manifest, looks: Looks) -> int:
    """Return how many files have another sum than the manifest states."""
    if "sha256" not in manifest.table.column_names:
        return 0
    stated = manifest.table["sha256"].to_pylist()
    pairs = zip(stated, (one.tobytes().hex() for one in looks.sha256), strict=True)
    return sum(bool(want) and want.lower() != have for want, have in pairs)


def _sentences(report: Mapping[str, Any]) -> tuple[str, ...]:
    said = []
    bins = report["landmarks_by_images"]
    if bins:
        few = sum(bins.get(name, 0) for name in ("1", "2", "3-5"))
        number = report["num_gallery_landmarks"]
        said.append(
            f"{number:,} landmarks to recognize; {few / number:.0%} have at most five images, the "
            f"middle one has {report['median_images_per_landmark']:,}."
        )
    if report["num_unreadable"]:
        reasons = ", ".join(f"{why} {n:,}" for why, n in report["unreadable_reasons"].items())
        said.append(f"Files that cannot be read: {report['num_unreadable']:,} ({reasons}).")
    else:
        said.append(f"All {report['num_images']:,} files can be read.")
    if report["num_altered"]:
        said.append(f"Files that differ from the manifest's sha256: {report['num_altered']:,}.")
    exact, near = report["num_exact_duplicates"], report["num_near_duplicates"]
    said.append(
        f"Pairs of the same picture: {exact:,} with the same bytes, {near:,} with other bytes."
        if exact or near
        else "No picture stands twice."
    )
    if report["num_leaking_queries"]:
        said.append(
            "Queries whose picture also stands among the training, gallery or non-landmark images: "
            f"{report['num_leaking_queries']:,}. Scores will flatter."
        )
    if report["num_pairs_with_two_labels"]:
        number = report["num_pairs_with_two_labels"]
        said.append(f"Pairs that bear two labels, of which one is wrong: {number:,}.")
    return tuple(said)


def _write_unreadable(path: Path, manifest: Manifest, looks: Looks) -> None:
    rows = [
        (manifest.image_ids[row], manifest.paths[row], why.kind, why.reason)
        for row, why in sorted(looks.reasons.items())
    ]
    _write_csv(path, ("image_id", "path", "kind", "reason"), rows)


def _write_duplicates(path: Path, manifest: Manifest, pairs: Sequence[Duplicate]) -> None:
    ids, roles, landmarks = manifest.image_ids, manifest.roles, manifest.landmark_ids
    rows = [
        (
            *(
                values[row]
                for values in (ids, roles, landmarks)
                for row in (pair.first, pair.second)
            ),
            *(pair.kind, pair.num_bits, int(pair.leaks), int(pair.labels_differ)),
        )
        for pair in pairs
    ]
    sides = [f"{name}_{side}" for name in ("image_id", "role", "landmark_id") for side in "ab"]
    _write_csv(path, (*sides, "kind", "num_bits", "leaks", "labels_differ"), rows)


def _write_csv(path: Path, names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)


def _plots(folder: Path, manifest: Manifest) -> dict[str, Path]:
    plots = {}
    sizes = list(_images_per_landmark(manifest).values())
    if sizes:
        path = folder / "landmarks.png"
        draw_landmarks(path, sizes)
        plots["Landmarks by number of images"] = path
    columns = manifest.table.column_names
    if "category" in columns:
        path = folder / "categories.png"
        shown = manifest.table.filter([bool(name) for name in manifest.landmark_ids])
        kinds = shown[KIND_COLUMN].to_pylist() if KIND_COLUMN in columns else []
        draw_categories(path, shown["category"].to_pylist(), kinds)
        plots["Images by category"] = path
    return plots
