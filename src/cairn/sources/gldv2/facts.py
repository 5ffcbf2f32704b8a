"""What the tables say about landmarks and photographs: names, kinds, authors, licences."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.sources.gldv2.subsets import UInt64, as_numbers, positions
from cairn.sources.gldv2.tables import batches, read

FREE_LICENSE = "CC0 or public domain"
"""What the data set's page says of all images of index and test; they have no list of authors."""

_LANDMARK_COLUMNS = ("landmark_name", "category", "natural_or_human_made", "landmark_url")


def landmark_name(url: str | None) -> str | None:
    """Return the name in the address of a Wikimedia Commons category.

    ``http://commons.wikimedia.org/wiki/Category:Tour_Saint-Nicolas`` gives Tour Saint-Nicolas.
    """
    if not url:
        return None
    name = unquote(url.rpartition("Category:")[2] or url).rpartition("/wiki/")[2]
    return name.replace("_", " ").strip() or None


def landmark_columns(folder: Path, split: str, landmark_ids: Any) -> dict[str, Any]:
    """Return name, category, kind and page of each row's landmark; null where the tables lack it.

    The category is the hierarchical label, a cleaned word such as church; where a landmark has
    none, the supercategory it was made from.

    Args:
        folder: The data set's.
        split: train or index.
        landmark_ids: One a row.

    Raises:
        CairnError: A table is there and not what it should be.
    """
    urls: dict[str, str] = {}
    kinds: dict[str, tuple[str | None, str | None]] = {}
    simple = folder / "metadata" / f"{split}_label_to_category.csv"
    full = folder / "metadata" / f"{split}_label_to_hierarchical.csv"
    if simple.is_file():
        table = read(simple, ("landmark_id", "category"))
        urls.update(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
    if full.is_file():
        optional = ("category", "supercategory", "hierarchical_label", "natural_or_human_made")
        table = read(full, ("landmark_id",), optional)
        for row in table.to_pylist():
            landmark = row["landmark_id"]
            if row.get("category"):
                urls[landmark] = row["category"]
            label = row.get("hierarchical_label") or row.get("supercategory") or None
            kinds[landmark] = (label, row.get("natural_or_human_made") or None)
    known = list(dict.fromkeys([*urls, *kinds]))
    none = (None, None)
    columns = (
        [landmark_name(urls.get(landmark)) for landmark in known],
        [kinds.get(landmark, none)[0] for landmark in known],
        [kinds.get(landmark, none)[1] for landmark in known],
        [urls.get(landmark) for landmark in known],
    )
    rows = pc.index_in(landmark_ids, pa.array(known, pa.string()))
    taken = (pa.array(values, pa.string()).take(rows) for values in columns)
    return dict(zip(_LANDMARK_COLUMNS, taken, strict=True))


def attribution_columns(folder: Path, numbers_N: UInt64) -> tuple[dict[str, Any], list[str]]:
    """Return author, licence and page of each photograph of train, and rows that were unreadable.

    Args:
        folder: The data set's.
        numbers_N: The photographs' ids.

    Raises:
        CairnError: The table is missing or not what it should be.
    """
    path = folder / "metadata" / "train_attribution.csv"
    order = np.argsort(numbers_N)
    ascending = numbers_N[order]
    row_of = np.full(len(numbers_N), -1, np.int64)
    kept: list[pa.RecordBatch] = []
    skipped: list[str] = []
    count = 0
    for batch in batches(path, ("id", "author", "license"), ("url",), skipped=skipped):
        found = positions(ascending, as_numbers(batch["id"], path))
        mask = found >= 0
        number = int(mask.sum())
        row_of[order[found[mask]]] = np.arange(count, count + number)
        kept.append(batch.filter(pa.array(mask)))
        count += number
    names = ("author", "license", "url")
    if not kept:
        return {}, skipped
    table = pa.Table.from_batches(kept)
    rows = pa.array(row_of, pa.int64(), mask=row_of < 0)
    columns = {name: table[name].take(rows) for name in names if name in table.column_names}
    if "url" in columns:
        columns["source_url"] = columns.pop("url")
    return columns, skipped
