"""Manifest and embeddings to a folder of suggestions. Nothing else is written or changed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.cleaning.crowd import Crowd
from cairn.cleaning.doubt import Doubt, doubt_bank, doubt_labels
from cairn.cleaning.page import render_page
from cairn.cleaning.rule import KINDS, CleanRule
from cairn.cleaning.signals import Scene
from cairn.cleaning.suggestions import suggestions
from cairn.columns import write_table
from cairn.manifest import Manifest
from cairn.neighborhood import Neighborhood
from cairn.runs import (
    atomic_folder,
    peak_memory,
    provenance,
    recover_folder,
    require_absent,
    write_json,
)
from cairn.self_join import fingerprint_of
from cairn.tables import EmbeddingTable

FORMAT_VERSION = 1
WORK_NAME = "unfinished"
"""Folder of what an interrupted cleaning goes on from, in the place of its results."""

TABLE_NAME, REPORT_NAME, PAGE_NAME = "suggestions.csv", "report.json", "index.html"


@dataclass(frozen=True, eq=False)
class Cleaning:
    """What a cleaning suggests.

    Args:
        folder: Where index.html, report.json and the tables lie.
        table: The suggestions, as suggestions.csv has them.
        report: What report.json holds.
    """

    folder: Path
    table: pa.Table
    report: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Judged:
    """What is believed of a crowd.

    Args:
        table: The suggestions.
        doubt: Of every label that has others beside it.
        bank_share: Of the bank that shows a landmark, about.
        scene: What it follows from.
    """

    table: pa.Table
    doubt: Doubt
    bank_share: float
    scene: Scene


def judge(crowd: Crowd, near: Neighborhood, rule: CleanRule) -> Judged:
    """Return the suggestions for a crowd beside its nearest images; nothing is read or written."""
    scene = Scene.of(near, rule, nothing=crowd.nothing)
    doubt = doubt_labels(scene, rule)
    signals, belief = doubt_bank(scene, rule)
    table = suggestions(scene, crowd, doubt, (signals, belief), rule)
    return Judged(table, doubt, belief.share, scene)


def clean(
    manifest: Manifest,
    tables: Sequence[EmbeddingTable],
    out: Path,
    *,
    rule: CleanRule | None = None,
    device: str = "auto",
) -> Cleaning:
    """Return what should be changed in a manifest's labels, and write it to the folder ``out``.

    Every photograph is compared with all others once. An interrupted cleaning goes on where it
    stopped when it is called again with the same images, number of neighbours and folder.

    Args:
        manifest: Images of role train or gallery with their landmarks, and those of role
            nonlandmark as the bank; queries are passed over.
        tables: Embeddings of these images, of one model.
        out: A folder that is not there yet, is empty, or holds an interrupted cleaning.
        rule: The settings.
        device: Where to search.

    Raises:
        CairnError: ``out`` holds something, tables do not fit one another or the manifest, or the
            device is not there.
    """
    begin = time.monotonic()
    rule = rule or CleanRule()
    out = Path(out)
    recover_folder(out)
    if not (out / WORK_NAME).is_dir() or len(list(out.iterdir())) > 1:
        require_absent(out)
    crowd = Crowd.gather(manifest, tables)
    near = crowd.neighborhood(rule.num_neighbors, work=out / WORK_NAME, device=device)
    judged = judge(crowd, near, rule)
    table, doubt = judged.table, judged.doubt
    sizes = near.sizes[: crowd.nothing]
    report = {
        "format": FORMAT_VERSION,
        "manifest": manifest.fingerprint,
        "model": crowd.fingerprint,
        "content": fingerprint_of(crowd.vectors),
        "rule": asdict(rule),
        "num_images": len(crowd) - crowd.num_bank,
        "num_bank": crowd.num_bank,
        "num_landmarks": len(crowd.landmark_ids),
        "num_missing": crowd.num_missing,
        "num_alone": int(np.count_nonzero(sizes == 1)),
        "num_pairs": int(np.count_nonzero(sizes == 2)),
        "shares": {name: round(value, 4) for name, value in doubt.shares.items()},
        "bank_share": round(judged.bank_share, 4),
        "counts": {kind: int(pc.sum(pc.equal(table["kind"], kind)).as_py() or 0) for kind in KINDS},
        "expected": {kind: _expected(table, kind) for kind in KINDS},
        "memory": {
            "vectors": crowd.vectors.nbytes,
            "neighbors": near.nearest.indices.nbytes + near.nearest.similarities.nbytes,
            "directions": judged.scene.centers.sums.nbytes,
            "peak": peak_memory(),
        },
    }
    with atomic_folder(out, replace=True) as folder:
        page = render_page(report, table, manifest.landmark_names)
        (folder / PAGE_NAME).write_text(page, encoding="utf-8")
        write_table(table, folder / TABLE_NAME)
        write_table(table, (folder / TABLE_NAME).with_suffix(".parquet"))
        report["seconds"] = round(time.monotonic() - begin, 2)
        report["provenance"] = provenance()
        write_json(folder / REPORT_NAME, report)
    return Cleaning(out, table, report)


def _expected(table: pa.Table, kind: str) -> float | None:
    """Return how many of the suggestions of a kind should be right, by their confidence."""
    total = pc.sum(table["confidence"].filter(pc.equal(table["kind"], kind))).as_py()
    return None if total is None else round(float(total), 1)
