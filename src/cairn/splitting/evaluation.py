"""The check that comes before every score: do the queries meet what answered them?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cairn.manifest import Manifest
from cairn.splitting.findings import Verification
from cairn.splitting.sides import Side, gallery_role, kept_bank, read_bank, read_gallery, side_of
from cairn.splitting.verify import verify_sides, verify_split

REFUSED = (
    "mend the split (`cairn data split` makes one, `cairn data verify --json` names every image), "
    "or score it as it is with --allow-leaks"
)
"""What to do about a leak."""


def verify_evaluation(
    answered_ids: Iterable[str],
    manifest: Manifest | None = None,
    *,
    gallery: Path | None = None,
    bank: Path | None = None,
) -> tuple[Verification, dict[str, int] | None]:
    """Return whether queries meet a gallery or a bank, and the gallery's images by landmark.

    Only columns are compared (ids, paths and, where stated, sha256 and groups): no photograph is
    opened.

    Args:
        answered_ids: The queries that have an answer. Where there is no manifest they are all that
            is compared: a solution file may list images that were set aside for the bank.
        manifest: Where the queries come from; its other rows are compared too.
        gallery: A gallery, its embeddings or its manifest; else the manifest's own rows. The bank
            that a gallery keeps is compared too.
        bank: A bank's embeddings, or the manifest that they were made of.

    Returns:
        The result, and landmark id -> gallery images; None where no gallery is known.

    Raises:
        CairnError: ``gallery`` or ``bank`` cannot be read.
    """
    results = []
    counts = None
    if manifest is None:
        ids = pa.array(list(answered_ids), pa.string())
        queries = Side("the queries", ids, pa.nulls(len(ids), pa.string()))
    else:
        queries = side_of(manifest, "the queries", roles=("query",))
        roles = set(pc.unique(manifest.table["role"]).to_pylist())
        if roles - {"query"}:
            results.append(verify_split(manifest))
        if roles & {"train", "gallery"}:
            known = pc.equal(manifest.table["role"], gallery_role(manifest))
            counts = _counts(manifest.table["landmark_id"].filter(known))
    others = []
    if gallery is not None:
        others.append(read_gallery(gallery))
        counts = _counts(others[0].landmarks)
        kept = kept_bank(gallery)
        others += [] if kept is None else [kept]
    if bank is not None:
        others.append(read_bank(bank))
    return verify_sides(queries, others).joined(results), counts


def _counts(landmarks: Any) -> dict[str, int]:
    found = pc.value_counts(landmarks)
    names, numbers = (found.field(name).to_pylist() for name in ("values", "counts"))
    return dict(zip(names, numbers, strict=True))
