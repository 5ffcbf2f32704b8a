"""A gallery to a folder of findings. The gallery itself is only read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from cairn.columns import write_table
from cairn.doctor.findings import Findings
from cairn.doctor.lists import list_tables
from cairn.doctor.page import render_page
from cairn.doctor.rule import CheckRule
from cairn.doctor.summary import ID_FILES, summarize
from cairn.doctor.view import View
from cairn.domain import Credit
from cairn.gallery import Gallery
from cairn.labels import credit_of
from cairn.runs import (
    atomic_folder,
    peak_memory,
    provenance,
    recover_folder,
    require_absent,
    write_json,
)
from cairn.self_join import fingerprint_of, nearest_images

WORK_NAME = "unfinished"
"""Folder of what an interrupted check goes on from, in the place of its results."""


@dataclass(frozen=True)
class Checkup:
    """What a check found.

    Args:
        folder: Where checkup.html, checkup.json and the tables lie.
        report: What checkup.json holds.
    """

    folder: Path
    report: Mapping[str, Any]

    @property
    def sentences(self) -> tuple[str, ...]:
        """The findings in words, what to do first at the head."""
        return tuple(step["text"] for step in self.report["first"])


def check_gallery(
    gallery: Gallery, out: Path, *, rule: CheckRule | None = None, device: str = "auto"
) -> Checkup:
    """Return what was found in a gallery, and write it to the folder ``out``.

    Every image is compared with all others once; what is held is the gallery and the nearest
    images of each of its images. An interrupted check goes on where it stopped when it is called
    again with the same gallery, number of neighbours and folder.

    Args:
        gallery: The gallery, with its penalty where images that attract non-landmarks are asked
            for.
        out: A folder that is not there yet, is empty, or holds an interrupted check.
        rule: The thresholds.
        device: Where to search.

    Raises:
        CairnError: ``out`` holds something, or the device is not there.
    """
    begin = time.monotonic()
    rule = rule or CheckRule()
    out = Path(out)
    recover_folder(out)
    if not (out / WORK_NAME).is_dir() or len(list(out.iterdir())) > 1:
        require_absent(out)
    vectors = gallery.table.vectors
    content = fingerprint_of(vectors)
    nearest = nearest_images(
        vectors, rule.num_neighbors, work=out / WORK_NAME, content=content, device=device
    )
    found = Findings.of(View.of(gallery, nearest), rule)
    tables = list_tables(found)
    report = summarize(found, tables, str(gallery.location), out)
    report["gallery"] |= {"version": gallery.version, "content": content}
    report["memory"] = {
        "vectors": vectors.nbytes,
        "neighbors": nearest.indices.nbytes + nearest.similarities.nbytes,
        "peak": peak_memory(),
    }
    with atomic_folder(out, replace=True) as folder:
        page = render_page(
            report,
            gallery.landmark_names,
            pages={one: about.url for one, about in gallery.landmarks.items() if about.url},
            credits=_credits(report["lists"], gallery),
        )
        (folder / "checkup.html").write_text(page, encoding="utf-8")
        for name, table in tables.items():
            write_table(table, folder / report["lists"][name]["file"])
        for kind, name in ID_FILES.items():
            chosen = tables["redundant"].filter(pc.equal(tables["redundant"]["kind"], kind))
            lines = "".join(f"{one}\n" for one in chosen["image_id"].to_pylist())
            (folder / name).write_text(lines, encoding="utf-8")
        report["seconds"] = round(time.monotonic() - begin, 2)
        report["provenance"] = provenance()
        write_json(folder / "checkup.json", report)
    return Checkup(out, report)


def _credits(lists: Mapping[str, Any], gallery: Gallery) -> dict[str, Credit]:
    """Return whose the photographs that the page shows are, by image id."""
    if gallery.about_images is None:
        return {}
    shown: set[str] = set()
    left = [row for found in lists.values() for row in found["shown"]]
    while left:
        row = left.pop()
        shown |= {value for key, value in row.items() if "image_id" in key and value}
        left += row.get("images", ())
    rows = [row for row, one in enumerate(gallery.table.image_ids) if one in shown]
    return {gallery.table.image_ids[row]: credit_of(gallery.about(row)) for row in rows}
