"""The doctor's findings for clients: pictures by id, actions in place of commands, no paths."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cairn.doctor import CheckRule
from cairn.doctor.findings import Findings
from cairn.doctor.lists import list_tables
from cairn.doctor.summary import summarize
from cairn.doctor.view import View
from cairn.gallery import Gallery
from cairn.self_join import fingerprint_of, nearest_images
from cairn.serve.shapes import picture_path

_HIDDEN = ("command", "commands", "file", "location")


def check_up(gallery: Gallery, rule: CheckRule, *, device: str = "auto") -> dict[str, Any]:
    """Return what the doctor finds in a gallery, as clients get it.

    Args:
        gallery: The gallery at one version.
        rule: The thresholds.
        device: Where to search.
    """
    vectors = gallery.table.vectors
    with tempfile.TemporaryDirectory(prefix="cairn-") as work:
        nearest = nearest_images(
            vectors,
            rule.num_neighbors,
            work=Path(work) / "nearest",
            content=fingerprint_of(vectors),
            device=device,
        )
        found = Findings.of(View.of(gallery, nearest), rule)
        report = summarize(found, list_tables(found), "GALLERY", Path("CHECKUP"))
    public: dict[str, Any] = _public(report)
    for name, listed in public["lists"].items():
        for row in listed["shown"]:
            row["action"] = action_of(name, row)
    return public


def action_of(name: str, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the requests that follow a finding's verdict; None where a person should look.

    Args:
        name: Of the list that it is in.
        row: The finding.

    Returns:
        ``method``, ``paths`` and, for a merge, ``body``.
    """
    verdict = str(row.get("verdict", ""))
    if name == "collisions" and verdict == "merge":
        path = f"/v1/landmarks/{quote(row['landmark_id_a'], safe='')}/merge"
        return {"method": "POST", "paths": [path], "body": {"into": row["landmark_id_b"]}}
    images: list[str] = []
    if name == "redundant":
        images = [one["image_id"] for one in row["images"]]
    elif name == "contradictions" and verdict.startswith("remove"):
        images = [row[f"image_id_{verdict[-1]}"]]
    elif verdict == "remove":
        images = [row["image_id"]]
    return {"method": "DELETE", "paths": [picture_path(one) for one in images]} if images else None


def _public(value: Any) -> Any:
    if isinstance(value, Mapping):
        kept = {
            key: _public(one)
            for key, one in value.items()
            if key not in _HIDDEN and "path" not in key
        }
        for key, one in value.items():
            if "image_id" in key and isinstance(one, str):
                kept[key.replace("image_id", "thumbnail")] = f"{picture_path(one)}/thumbnail"
        return kept
    if isinstance(value, list | tuple):
        return [_public(one) for one in value]
    return value
