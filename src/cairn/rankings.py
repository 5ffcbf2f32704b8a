"""Rankings: per query the gallery images most similar to it, as files, and the truths they meet.

A file has the columns ``id,images``, the value gallery ids separated by spaces, best first (the
form of Google Landmark Retrieval's submissions). Parquet holds the same two columns, the second a
list of texts, and suits whole rankings of large galleries. White space and per cent signs inside an
id travel as ``%20``, ``%25`` and so on in CSV.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from cairn.errors import CairnError, nearest
from cairn.runs import atomic_write
from cairn.tables import EmbeddingTable, require_same_model

_USAGES = ("public", "private", "ignored")
_ANSWERS_AT_ONCE = 1 << 23  # queries times gallery images whose order lies in memory


def rank(
    queries: EmbeddingTable, gallery: EmbeddingTable, *, top: int | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Yield each query's id and the ids of the gallery images most similar to it, best first.

    Similarity is the exact inner product; of equal ones the earlier row of the gallery comes first.

    Args:
        queries: Embeddings of the queries.
        gallery: Embeddings of the gallery images, by the same model.
        top: How many images a query gets; None for all.

    Raises:
        CairnError: The tables are of two models, or ``top`` is below 1.
    """
    from cairn.search import search

    require_same_model(queries, gallery, where="queries and gallery")
    if top is not None and top < 1:
        raise CairnError("a ranking needs at least one image", where=f"top = {top}")
    k = len(gallery) if top is None else min(top, len(gallery))
    ids = np.array(gallery.image_ids, dtype=object)
    at_once = max(1, _ANSWERS_AT_ONCE // k)
    for start in range(0, len(queries), at_once):
        found = search(queries.vectors[start : start + at_once], gallery.vectors, k)
        for query, rows in zip(queries.image_ids[start:], found.indices, strict=False):
            yield query, ids[rows].tolist()


def write_rankings(path: Path, rankings: Iterable[tuple[str, Sequence[str]]]) -> int:
    """Write rankings as CSV or, where the name ends so, Parquet; return how many there are.

    Raises:
        CairnError: The name ends in neither.
    """
    written = 0
    with atomic_write(path) as temporary:
        if _is_parquet(path):
            schema = pa.schema({"id": pa.string(), "images": pa.list_(pa.string())})
            with pa.parquet.ParquetWriter(temporary, schema, compression="zstd") as writer:
                for query, images in rankings:
                    columns = {"id": [query], "images": [list(images)]}
                    writer.write_table(pa.table(columns, schema=schema))
                    written += 1
            return written
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("id", "images"))
            for query, images in rankings:
                writer.writerow((query, " ".join(map(_quote, images))))
                written += 1
    return written


def read_rankings(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield query ids and rankings, one after the other: a file may be larger than memory.

    Raises:
        CairnError: The file is missing or has not the columns ``id`` and ``images``.
    """
    _require_file(path)
    if _is_parquet(path):
        try:
            with pa.parquet.ParquetFile(path) as file:
                _require_columns(file.schema_arrow.names, path)
                for batch in file.iter_batches(batch_size=1, columns=["id", "images"]):
                    for row in batch.to_pylist():
                        yield row["id"], row["images"] or []
        except pa.ArrowException as error:
            raise CairnError(f"not a readable Parquet file: {error}", where=path) from None
        return
    for row in _csv_rows(path):
        yield row["id"], [unquote(word) for word in row["images"].split()]


@dataclass(frozen=True)
class RetrievalSolution:
    """The truth of Google Landmark Retrieval.

    Args:
        truth: Query id -> the gallery images that show its landmark; none is empty.
        set_aside: Queries of the file that do not count: Ignored, or of the other usage.
    """

    truth: Mapping[str, frozenset[str]]
    set_aside: frozenset[str]

    def score(self, rankings: Iterable[tuple[str, Sequence[str]]]) -> float:
        """Return mAP@100, in [0, 1]; a query without a ranking has found nothing.

        Raises:
            CairnError: A ranking is for a query that the solution does not have.
        """
        from cairn.metrics import mean_average_precision

        kept: dict[str, Sequence[str]] = {}
        for query, images in rankings:
            if query in self.truth:
                kept[query] = images[:100]
            elif query not in self.set_aside:
                raise CairnError(
                    "a ranking is for a query that the solution does not have",
                    where=f"query {query!r}",
                    todo="judge rankings by the solution of the same queries",
                )
        return mean_average_precision(kept, self.truth)


def read_retrieval_solution(path: Path, *, usage: str = "all") -> RetrievalSolution:
    """Return a solution ``id,images[,Usage]``, such as GLDv2's retrieval_solution_v2.1.csv.

    Rows whose Usage is Ignored never count.

    Args:
        path: The CSV file.
        usage: Rows that count: all, public or private.

    Raises:
        CairnError: With the line at fault: a missing file or column, a repeated id, an unknown
            Usage, or a query that counts without an image.
    """
    choices = ("all", *_USAGES[:2])
    if usage not in choices:
        raise CairnError(f"unknown usage {usage!r}", todo=nearest(usage, choices))
    truth: dict[str, frozenset[str]] = {}
    aside: set[str] = set()
    for line, row in enumerate(_csv_rows(path), start=2):
        where, query = f"{path}, line {line}", row["id"]
        if query in truth or query in aside:
            raise CairnError(f"the query {query!r} stands twice", where=where)
        if usage != "all" and "Usage" not in row:
            raise CairnError(f"usage {usage!r} needs a column Usage", where=path)
        theirs = (row.get("Usage") or "public").strip().lower()
        if theirs not in _USAGES:
            raise CairnError(f"unknown Usage {row['Usage']!r}", where=where,
                             todo=nearest(theirs, _USAGES))  # fmt: skip
        if theirs == "ignored" or usage not in ("all", theirs):
            aside.add(query)
            continue
        truth[query] = frozenset(unquote(word) for word in row["images"].split())
        if not truth[query]:
            raise CairnError(f"the query {query!r} has no image to be found", where=where)
    if not truth:
        raise CairnError("no query of the solution counts", where=path)
    return RetrievalSolution(truth, frozenset(aside))


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    _require_file(path)
    csv.field_size_limit((1 << 31) - 1)  # a whole ranking is one field
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            _require_columns(reader.fieldnames or [], path)
            for row in reader:
                if None in row or None in row.values():
                    raise CairnError(
                        "a row with another number of values than the header has",
                        where=f"{path}, line {reader.line_num}",
                    )
                yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise CairnError(f"not a readable CSV (UTF-8) file: {error}", where=path) from None


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise CairnError("file not found", where=path, todo="check the path")


def _require_columns(names: Sequence[str], path: Path) -> None:
    missing = [name for name in ("id", "images") if name not in names]
    if missing:
        raise CairnError(
            f"no column {missing[0]!r}",
            where=f"{path}: {', '.join(names)}",
            todo="rankings and their solutions have the columns id and images",
        )


def _is_parquet(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".parquet", ".pq"):
        raise CairnError(f"a name ends in .csv or .parquet, not {suffix!r}", where=path)
    return suffix != ".csv"


def _quote(image_id: str) -> str:
    def code(found: re.Match[str]) -> str:
        return "".join(f"%{byte:02X}" for byte in found.group().encode())

    return re.sub(r"[%\s]", code, image_id)
