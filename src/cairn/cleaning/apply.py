"""Suggestions that someone decided on, carried out: a new manifest and a ledger beside it.

The suggestions must be of this very manifest. They may have been edited: rows taken out, ``apply``
filled in, ``kind`` and ``to_landmark_id`` changed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from cairn.cleaning.rule import APPLIED, KINDS
from cairn.columns import read_table, write_table
from cairn.errors import CairnError, nearest
from cairn.manifest import Manifest
from cairn.runs import provenance, read_json, require_absent, write_json

_NEEDED = ("image_id", "kind", "confidence", "landmark_id", "to_landmark_id", "apply")
_YES, _NO = ("yes", "y", "true", "1", "x"), ("no", "n", "false", "0")


@dataclass(frozen=True)
class Applied:
    """What was changed.

    Args:
        manifest: The new manifest's file.
        ledger: A line a change.
        counts: Changes by kind.
        num_images: Rows of the new manifest.
    """

    manifest: Path
    ledger: Path
    counts: Mapping[str, int]
    num_images: int


def apply_suggestions(
    folder: Path,
    manifest_path: Path,
    out: Path,
    *,
    kinds: Sequence[str] = (),
    min_confidence: float | None = None,
) -> Applied:
    """Write the manifest with the chosen changes to ``out``; the old one stays as it is.

    Carried out are rows with yes in the column apply, and of those with nothing there the ones of
    the ``kinds`` and confidence given. ``relabel`` gives a photograph another landmark (one of the
    bank becomes a training photograph), ``drop`` and ``leave bank`` take it out, ``nonlandmark``
    moves it to the bank.

    Args:
        folder: What `clean` wrote, edited or not.
        manifest_path: The manifest it was made for.
        out: The new manifest, .parquet or .csv; ``<name>.changes.csv`` and ``.json`` go beside it.
        kinds: Kinds to carry out without a yes.
        min_confidence: The least confidence of those.

    Raises:
        CairnError: The suggestions are of another manifest, an edited row makes no sense, nothing
            is chosen, or ``out`` is taken.
    """
    folder, manifest_path, out = Path(folder), Path(manifest_path), Path(out)
    ledger, facts = out.with_suffix(".changes.csv"), out.with_suffix(".changes.json")
    for path in (out, ledger, facts):
        require_absent(path)
    _check_choice(kinds, min_confidence)
    manifest = Manifest.read(manifest_path)
    _require_same(folder, manifest, manifest_path)
    table = _read(folder / "suggestions.csv")
    chosen = _chosen(table, kinds, min_confidence, folder / "suggestions.csv")
    if not chosen:
        raise CairnError(
            "nothing is told to be applied",
            where=folder / "suggestions.csv",
            todo="write yes into its column apply, or give --kinds (and --min-confidence)",
        )
    changed, lines = _changed(manifest, chosen, folder / "suggestions.csv")
    changed.write(out)
    write_table(pa.Table.from_pylist(lines), ledger)
    counts = dict(Counter(line["kind"] for line in lines))
    write_json(
        facts,
        {
            "format": 1,
            "suggestions": str(folder),
            "manifest": manifest.fingerprint,
            "cleaned": changed.fingerprint,
            "kinds": list(kinds),
            "min_confidence": min_confidence,
            "counts": counts,
            "provenance": provenance(),
        },
    )
    return Applied(out, ledger, counts, len(changed))


def _check_choice(kinds: Sequence[str], min_confidence: float | None) -> None:
    known = tuple(kind for kind in KINDS if kind != "look")
    for kind in kinds:
        if kind not in known:
            raise CairnError(f"unknown kind {kind!r} to apply", todo=nearest(kind, known))
    if min_confidence is not None and not 0 <= min_confidence <= 1:
        raise CairnError("a confidence lies between 0 and 1", where=min_confidence)
    if min_confidence is not None and not kinds:
        raise CairnError(
            "a least confidence needs kinds to apply", todo=f"add --kinds {','.join(known)}"
        )


def _require_same(folder: Path, manifest: Manifest, path: Path) -> None:
    report = read_json(folder / "report.json")
    if not isinstance(report, dict) or report.get("manifest") != manifest.fingerprint:
        raise CairnError(
            "the suggestions were made for another manifest, or for this one before it changed",
            where=f"{folder} and {path}",
            todo="name the manifest that was cleaned, or clean this one: cairn data clean",
        )


def _read(path: Path) -> list[dict[str, Any]]:
    table = read_table(path)
    missing = [name for name in _NEEDED if name not in table.column_names]
    if missing:
        raise CairnError(
            f"the suggestions lack the column{'s' * (len(missing) > 1)} {', '.join(missing)}",
            where=path,
            todo="clean again, or put the columns back",
        )
    rows: list[dict[str, Any]] = table.select(_NEEDED).to_pylist()
    return [{name: (value or "").strip() for name, value in row.items()} for row in rows]


def _chosen(
    rows: Sequence[dict[str, Any]], kinds: Sequence[str], least: float | None, path: Path
) -> list[dict[str, Any]]:
    chosen = []
    for number, row in enumerate(rows, start=1):
        said = row["apply"].lower()
        if said in _NO:
            continue
        if said in _YES:
            if row["kind"] not in APPLIED:
                raise CairnError(
                    f"a suggestion of kind {row['kind']!r} cannot be applied",
                    where=f"{path}, row {number} ({row['image_id']})",
                    todo=f"make its kind one of {', '.join(APPLIED)}, or write no",
                )
            chosen.append({**row, "row": number, "told": "yes"})
        elif said:
            raise CairnError(
                f"column apply holds yes, no or nothing, not {row['apply']!r}",
                where=f"{path}, row {number} ({row['image_id']})",
            )
        elif row["kind"] in kinds and _confidence(row, path, number) >= (least or 0.0):
            chosen.append({**row, "row": number, "told": "confidence"})
    twice = [
        name for name, count in Counter(row["image_id"] for row in chosen).items() if count > 1
    ]
    if twice:
        raise CairnError("an image is to be changed twice", where=f"{path}: {twice[0]}")
    return chosen


def _confidence(row: Mapping[str, Any], path: Path, number: int) -> float:
    try:
        value = float(row["confidence"])
    except ValueError:
        value = math.nan
    if math.isnan(value):
        raise CairnError(f"{row['confidence']!r} is no confidence", where=f"{path}, row {number}")
    return value


def _changed(
    manifest: Manifest, chosen: Sequence[Mapping[str, Any]], path: Path
) -> tuple[Manifest, list[dict[str, Any]]]:
    """Return the new manifest and the lines of the ledger."""
    row_of = {image_id: row for row, image_id in enumerate(manifest.image_ids)}
    landmarks, roles = list(manifest.landmark_ids), list(manifest.roles)
    names = manifest.landmark_names
    columns = manifest.table.column_names
    titles = manifest.table["landmark_name"].to_pylist() if "landmark_name" in columns else None
    removed, lines = set(), []
    for change in chosen:
        where = f"{path}, row {change['row']} ({change['image_id']})"
        row = row_of.get(change["image_id"])
        if row is None or landmarks[row] != change["landmark_id"] or roles[row] == "query":
            raise CairnError(
                "the manifest has no such image of this landmark to clean",
                where=where,
                todo="leave image_id and landmark_id as they were",
            )
        kind, target = change["kind"], change["to_landmark_id"]
        if kind == "relabel" and not target:
            raise CairnError("a relabelling names a landmark in to_landmark_id", where=where)
        before = (landmarks[row], roles[row])
        if kind == "relabel":
            landmarks[row] = target
            roles[row] = "train" if roles[row] == "nonlandmark" else roles[row]
        elif kind == "nonlandmark":
            landmarks[row], roles[row] = "", "nonlandmark"
        else:
            removed.add(row)
        if titles is not None:
            titles[row] = names.get(landmarks[row])
        gone = row in removed
        lines.append(
            {
                "image_id": change["image_id"],
                "kind": kind,
                "landmark_id": before[0],
                "role": before[1],
                "new_landmark_id": "" if gone else landmarks[row],
                "new_role": "" if gone else roles[row],
                "confidence": change["confidence"],
                "told_by": change["told"],
            }
        )
    table = manifest.table
    new = {"landmark_id": landmarks, "role": roles}
    if titles is not None:
        new["landmark_name"] = titles
    for name, values in new.items():
        table = table.set_column(
            table.column_names.index(name), name, pa.array(values, pa.string())
        )
    kept = [row for row in range(len(manifest)) if row not in removed]
    if not kept:
        raise CairnError("nothing would be left of the manifest", where=path)
    return Manifest(table.take(pa.array(kept, pa.int64())), manifest.root), lines
