"""A manifest and its photographs to a folder of findings."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn.inspection.duplicates import MAX_BITS, MIN_CORRELATION, find_duplicates
from cairn.inspection.figures import count_everything
from cairn.inspection.findings import sentences, steps
from cairn.inspection.kept import LOOKS_NAME, write_looks
from cairn.inspection.lists import clean_rows, write_duplicates, write_unreadable
from cairn.inspection.look import Looks, look_at
from cairn.inspection.page import render_page
from cairn.inspection.pictures import names_of, pictures
from cairn.inspection.sharing import share
from cairn.manifest import Manifest
from cairn.pages.drawing import drawing, save_png, to_svg
from cairn.progress import say
from cairn.runs import atomic_folder, provenance, require_absent, write_json


@dataclass(frozen=True)
class Inspection:
    """What an inspection found.

    Args:
        folder: Where index.html, report.json, the lists, clean.parquet, looks.parquet and plots
            lie.
        report: The figures of report.json.
        sentences: The findings in words.
    """

    folder: Path
    report: Mapping[str, Any]
    sentences: tuple[str, ...]


def partial_folder(out: Path) -> Path:
    """Return where an inspection keeps what it has seen until it is done: ``OUT.partial``."""
    return out.with_name(f"{out.name}.partial")


def inspect_manifest(
    manifest: Manifest, out: Path, *, earlier: Path | None = None, workers: int | None = None
) -> Inspection:
    """Return what was found in the photographs, and write it to the folder ``out``.

    Every file is read and decoded. Unreadable ones are listed with their reasons, files with the
    same bytes and files with the same picture are grouped, and groups are flagged where a query's
    picture stands in another role too, or where one picture bears two labels. What is seen is kept
    beside ``out`` as it goes, so that the same call goes on where a killed one stopped.

    Args:
        manifest: The photographs.
        out: A folder that is not there yet, or empty.
        earlier: An earlier inspection's folder: photographs whose files have not changed since are
            not looked at again.
        workers: Threads; one per processor unless given.

    Raises:
        CairnError: ``out`` holds something, or ``earlier`` is no inspection.
    """
    out = Path(out)
    require_absent(out)
    start = time.monotonic()
    names = [str(path) for path in manifest.paths]
    looks = look_at(names, partial=partial_folder(out), earlier=earlier, workers=workers)
    looked = time.monotonic()
    if len(manifest) > 100_000:
        say("looking for pictures that stand twice")
    duplicates = find_duplicates(looks, workers=workers)
    grouped = time.monotonic()
    sharing = share(manifest, duplicates)
    clean = manifest.take(clean_rows(manifest, looks, sharing))
    report = count_everything(manifest, looks, sharing)
    said = sentences(report)
    report |= {
        "sentences": list(said),
        "first": steps(report, out),
        "num_clean": len(clean),
        "rule": {"max_bits": MAX_BITS, "min_correlation": MIN_CORRELATION},
        "is_complete": duplicates.is_complete,
        "looked_at": _speed(looks, looked - start),
        "seconds_of_grouping": round(grouped - looked, 1),
        "provenance": provenance(),
    }
    with atomic_folder(out) as folder:
        write_unreadable(folder / "unreadable.csv", manifest, looks)
        write_duplicates(folder / "duplicates.csv", manifest, looks, sharing)
        if len(clean):
            clean.write(folder / "clean.parquet")
        write_looks(folder / LOOKS_NAME, names, looks)
        drawn = _draw(folder / "plots", manifest, looks, report)
        write_json(folder / "report.json", report)
        page = render_page(report, manifest, looks, sharing, drawn)
        (folder / "index.html").write_text(page, encoding="utf-8")
    shutil.rmtree(partial_folder(out), ignore_errors=True)
    return Inspection(out, report, said)


def _speed(looks: Looks, seconds: float) -> dict[str, Any]:
    count = len(looks) - looks.num_recalled
    return {
        "num_images": count,
        "num_recalled": looks.num_recalled,
        "seconds": round(seconds, 1),
        "images_per_s": round(count / seconds, 1) if seconds > 0 else None,
    }


def _draw(
    plots: Path, manifest: Manifest, looks: Looks, report: Mapping[str, Any]
) -> dict[str, tuple[str, str]]:
    """Write every picture as PNG; return name -> title and SVG of those that the page shows."""
    plots.mkdir()
    found = pictures(manifest, looks, report)
    shown = {}
    with drawing():
        for name, (title, draw) in found.items():
            figure = draw()
            save_png(figure, plots / f"{name}.png")
            if name in names_of(found):
                shown[name] = (title, to_svg(figure, name))
    return shown
