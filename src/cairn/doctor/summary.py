"""A checkup in numbers, what to do first, and the first findings of each list: checkup.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.doctor.commands import (
    MAX_IMAGES,
    merge_command,
    remove_command,
    remove_listed_command,
)
from cairn.doctor.findings import Findings
from cairn.doctor.lists import SEVERITIES
from cairn.doctor.steps import steps_of
from cairn.metrics import SIZE_BINS, size_bins

FORMAT_VERSION = 1
ID_FILES = {"copy": "redundant-copies.txt", "near": "redundant-near.txt"}
"""Files with the ids of redundant images, one a line, by kind."""

_DIGITS = 4


def summarize(
    findings: Findings, tables: Mapping[str, pa.Table], gallery: str, out: Path
) -> dict[str, Any]:
    """Return the checkup as plain values.

    Args:
        findings: What was found.
        tables: The same as tables, of `cairn.doctor.lists`.
        gallery: Where the gallery is, for the commands.
        out: Where the checkup will be, for commands that read its files.
    """
    view = findings.view
    lists = {name: _listed(name, table, findings, gallery, out) for name, table in tables.items()}
    counts = _counts(findings, tables)
    return {
        "format": FORMAT_VERSION,
        "gallery": {
            "location": gallery,
            "fingerprint": view.gallery.table.fingerprint,
            "num_images": len(view),
            "num_landmarks": len(view.landmark_ids),
            "dimension": view.gallery.table.dimension,
            "has_penalty": view.gallery.penalty is not None,
        },
        "rule": asdict(findings.rule),
        "counts": counts,
        "leave_one_out": _number(view.leave_one_out),
        "usual_similarity": _number(view.usual),
        "num_crowded": findings.duplicates.num_crowded,
        "landmarks_by_images": _by_size(view.sizes),
        "near_counts": findings.near_counts(),
        "first": [asdict(step) for step in steps_of(counts, lists)],
        "lists": lists,
    }


def _counts(findings: Findings, tables: Mapping[str, pa.Table]) -> dict[str, Any]:
    across, redundant = findings.duplicates.contradictions, findings.duplicates.redundant

    def of(name: str, column: str, *values: str) -> int:
        if name not in tables:
            return 0
        return int(pc.sum(pc.is_in(tables[name][column], pa.array(values))).as_py() or 0)

    num_act = of("outliers", "severity", "act")
    num_across, num_redundant = int(across.is_copy.sum()), int(redundant.is_copy.sum())
    return {
        "attracting": None if findings.attracting is None else len(findings.attracting.rows),
        "attracting_act": of("attracting", "severity", "act"),
        "attracting_look": of("attracting", "severity", "look"),
        "collisions": len(findings.collisions.small),
        "collisions_merge": of("collisions", "verdict", "merge"),
        "collisions_look": of("collisions", "verdict", "look"),
        "contradictions": len(across.first),
        "contradictions_copies": num_across,
        "contradictions_near": len(across.first) - num_across,
        "outliers": len(findings.outliers.rows),
        "outliers_act": num_act,
        "outliers_look": len(findings.outliers.rows) - num_act,
        "redundant": len(redundant.rows),
        "redundant_copies": num_redundant,
        "redundant_near": len(redundant.rows) - num_redundant,
        "singles": len(findings.singles.rows),
    }


def _listed(
    name: str, table: pa.Table, findings: Findings, gallery: str, out: Path
) -> dict[str, Any]:
    """Return how many findings a list has, and the first of them with their commands."""
    shown = findings.rule.shown
    if "group" in table.column_names:
        heads = np.flatnonzero(np.diff(table["group"].to_numpy(), prepend=-1))
        ends = [*heads[1:].tolist(), len(table)][: len(heads)]
        rows = [
            _group(name, table, head, end)
            for head, end in zip(heads[:shown].tolist(), ends[:shown], strict=True)
        ]
        total = len(heads)
    else:
        rows, total = [_rounded(row) for row in table.slice(0, shown).to_pylist()], len(table)
    for row in rows:
        row["command"] = _command(name, row, gallery)
    return {
        "file": f"{name}.csv",
        "num_rows": len(table),
        "num_findings": total,
        "commands": _commands(name, table, findings, gallery, out),
        "shown": rows,
    }


def _commands(
    name: str, table: pa.Table, findings: Findings, gallery: str, out: Path
) -> dict[str, str]:
    """Return by severity the command for the first finding; for all where they are in a file."""
    if name == "redundant":
        is_copy = findings.duplicates.redundant.is_copy
        kinds = {"act": ("copy", is_copy.any()), "note": ("near", (~is_copy).any())}
        return {
            severity: remove_listed_command(gallery, out / ID_FILES[kind])
            for severity, (kind, is_there) in kinds.items()
            if is_there
        }
    found = {}
    for severity in SEVERITIES:
        at = pc.index(table["severity"], severity).as_py()
        if at >= 0:
            found[severity] = _command(name, table.slice(at, 1).to_pylist()[0], gallery)
    return found


def _group(name: str, table: pa.Table, head: int, end: int) -> dict[str, Any]:
    """Return a group: its first pair, and the ids of what it holds beyond."""
    row = _rounded(table.slice(head, 1).to_pylist()[0])
    rest = table.slice(head, min(end - head, MAX_IMAGES))
    row["num_pairs"] = int(end - head)
    if name == "redundant":
        row["images"] = [
            {"image_id": one, "path": path, "similarity": _number(similarity)}
            for one, path, similarity in zip(
                *(rest[column].to_pylist() for column in ("image_id", "path", "similarity")),
                strict=True,
            )
        ]
    return row


def _command(name: str, row: Mapping[str, Any], gallery: str) -> str:
    verdict = row["verdict"]
    if name == "redundant":
        return remove_command(gallery, [one["image_id"] for one in row["images"]])
    if name == "collisions" and verdict == "merge":
        return merge_command(gallery, row["landmark_id_a"], row["landmark_id_b"])
    if name == "contradictions" and verdict.startswith("remove"):
        return remove_command(gallery, [row[f"image_id_{verdict[-1]}"]])
    if name == "outliers" or (name == "attracting" and verdict in ("remove", "look")):
        return remove_command(gallery, [row["image_id"]])
    return ""


def _by_size(sizes: Any) -> dict[str, int]:
    held = np.bincount(size_bins(sizes), minlength=len(SIZE_BINS))
    return {name: int(held[at]) for at, (name, _) in enumerate(SIZE_BINS) if name != "0"}


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {k: _number(v) if isinstance(v, float) else v for k, v in row.items()}


def _number(value: float | None) -> float | None:
    """Return a number for people to read; null where there is none."""
    return None if value is None or not np.isfinite(value) else round(float(value), _DIGITS)
