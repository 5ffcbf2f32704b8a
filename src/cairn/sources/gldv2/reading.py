"""GLDv2 as it lies on disk, made a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.sources.gldv2.facts import FREE_LICENSE, attribution_columns, landmark_columns
from cairn.sources.gldv2.layout import INDEX_SPACE, TRAIN_SPACE, Choice
from cairn.sources.gldv2.queries import (
    IGNORED,
    Truth,
    bank_share,
    in_bank,
    recognition_truth,
    retrieval_truth,
)
from cairn.sources.gldv2.subsets import as_numbers, ids_on_disk, positions, train_pairs
from cairn.sources.gldv2.tables import read


@dataclass(frozen=True)
class Gldv2Contents:
    """What of GLDv2 lies on disk.

    Args:
        manifest: Its images. Beside the usual columns: ``usage`` and ``landmarks`` (all of them,
            space-separated) of queries.
        num_missing: Images of the sets asked for that are not on disk, by set.
        notes: Remarks for the person who asked, one sentence each.
    """

    manifest: Manifest
    num_missing: dict[str, int]
    notes: tuple[str, ...]


def require_one_label_space(choice: Choice, bank: float | None = None) -> None:
    """Refuse sets that no manifest can have together; call it before hours of downloading.

    Raises:
        CairnError: Train's landmarks and index's would meet, or the bank would be the queries.
    """
    if choice.subset is not None and "index" in choice.sets:
        raise CairnError(
            f"landmark 5 of {choice.subset} and landmark 5 of index are different landmarks, so "
            "one manifest cannot hold both",
            where="--sets",
            todo="make two manifests: one with "
            f"{choice.subset} (recognition), one with index (retrieval)",
        )
    if bank is not None and "nonlandmarks" not in choice.sets:
        raise CairnError("a share for the bank needs the set nonlandmarks", where="--bank")
    if "nonlandmarks" in choice.sets:
        bank_share(bank, with_queries="test" in choice.sets)


def read_gldv2(folder: Path, choice: Choice, *, bank: float | None = None) -> Gldv2Contents:
    """Return the images of the sets that lie in ``folder``, as a manifest.

    A training set gets the role train, index the role gallery, test the role query, non-landmarks
    the role nonlandmark. Which tars an image came in plays no part: what lies on disk counts.

    Args:
        folder: Where ``cairn data gldv2`` or the data set's own script put it: ``train/0/1/2/...``,
            and tables in ``metadata`` and ``ground_truth``.
        choice: The sets; its numbers of tars are not looked at.
        bank: The share of non-landmarks that become the bank; by default all, or half where the
            others are queries.

    Raises:
        CairnError: The sets cannot be together, a table is missing or damaged, or no image is
            there.
    """
    require_one_label_space(choice, bank)
    job = _Reading(folder, choice, bank)
    tables = []
    if choice.subset is not None:
        tables.append(job.train(choice.subset))
    if "index" in choice.sets:
        tables.append(job.index())
    if {"test", "nonlandmarks"} & set(choice.sets):
        tables.append(job.test())
    table = pa.concat_tables(tables, promote_options="default")
    if not table.num_rows:
        raise CairnError(
            f"no image of {', '.join(choice.sets)} lies here",
            where=folder,
            todo="fetch some first: cairn data gldv2, with --only 0 for a look",
        )
    manifest = Manifest(table, folder)
    job.compare_landmarks(manifest)
    return Gldv2Contents(manifest, job.num_missing, tuple(job.notes))


class _Reading:
    """One call of `read_gldv2`: what is found, and what is to be said about it."""

    def __init__(self, folder: Path, choice: Choice, bank: float | None) -> None:
        self._folder, self._choice, self._bank = folder, choice, bank
        self._space = INDEX_SPACE if "index" in choice.sets else TRAIN_SPACE
        self._index: pa.Table | None = None
        self.num_missing: dict[str, int] = {}
        self.notes: list[str] = []

    def train(self, subset: str) -> pa.Table:
        """Return the rows of a training set."""
        pairs, numbers = self._there(train_pairs(self._folder, subset), "train", subset)
        columns, skipped = attribution_columns(self._folder, numbers)
        if skipped:
            self.notes.append(
                f"{len(skipped)} rows of train_attribution.csv are damaged and were left out"
            )
        nobody = (
            pc.sum(pc.is_null(columns["author"])).as_py() if "author" in columns else len(pairs)
        )
        if nobody:
            self.notes.append(
                f"{nobody:,} photographs of train have no author in train_attribution.csv"
            )
        return self._table(pairs, "train", "train", columns)

    def index(self) -> pa.Table:
        """Return the rows of index."""
        path = self._folder / "metadata" / "index_image_to_landmark.csv"
        self._index = read(path, ("id", "landmark_id"))
        pairs, _ = self._there(self._index, "index", "index")
        return self._table(pairs, "index", "gallery", {})

    def test(self) -> pa.Table:
        """Return the rows of test: queries, bank, or both."""
        wants_queries = "test" in self._choice.sets
        wants_bank = "nonlandmarks" in self._choice.sets
        recognition = recognition_truth(self._folder)
        truth = recognition
        if self._index is not None:
            truth = retrieval_truth(self._folder, self._index)
        bank: set[str] = set()
        if wants_bank:
            share = bank_share(self._bank, with_queries=wants_queries)
            none = Truth((), IGNORED)
            free = [
                image
                for image, true in recognition.items()
                if not true.landmarks and true.usage != IGNORED
                and not truth.get(image, none).landmarks
            ]  # fmt: skip
            bank = {image for image in free if in_bank(image, share)}
            if wants_queries:
                self.notes.append(
                    f"{len(bank):,} of {len(free):,} non-landmarks of test are the bank and no "
                    "queries: scores are not those of the whole test set, as published ones are"
                )
        queries: list[str] = []
        if wants_queries:
            queries = [i for i in truth if i not in bank]
            if self._index is not None:
                ignored = sum(truth[i].usage == IGNORED for i in queries)
                queries = [i for i in queries if truth[i].usage != IGNORED]
                if ignored:
                    self.notes.append(f"{ignored:,} images of test are ignored by retrieval")
        ids = [*queries, *(image for image in recognition if image in bank)]
        several = sum(len(truth[image].landmarks) > 1 for image in queries)
        if several:
            self.notes.append(
                f"queries that show several landmarks: {several:,}; the manifest names the first: "
                "evaluate against the solution in ground_truth, which has all"
            )
        shown = [truth[i].landmarks if i not in bank else () for i in ids]
        rows = pa.table(
            {
                "id": pa.array(ids, pa.string()),
                "landmark_id": pa.array([s[0] if s else "" for s in shown], pa.string()),
                "role": pa.array(
                    ["nonlandmark" if i in bank else "query" for i in ids], pa.string()
                ),
                "usage": pa.array(
                    [truth[i].usage if i in truth else recognition[i].usage for i in ids],
                    pa.string(),
                ),
                "landmarks": pa.array([" ".join(s) for s in shown], pa.string()),
            }
        )
        found, _ = self._there(rows, "test", "test" if wants_queries else "nonlandmarks")
        extra = {name: found[name] for name in ("usage", "landmarks")}
        return self._table(found, "test", found["role"], extra)

    def compare_landmarks(self, manifest: Manifest) -> None:
        """Note queries that no gallery image can answer."""
        table = manifest.table
        shown = pc.and_(pc.equal(table["role"], "query"), pc.not_equal(table["landmark_id"], ""))
        asked = table["landmark_id"].filter(shown)
        gallery = pc.is_in(table["role"], pa.array(["train", "gallery"]))
        known = pc.unique(table["landmark_id"].filter(gallery))
        if len(asked) and len(known):
            strangers = pc.sum(pc.invert(pc.is_in(asked, known))).as_py()
            if strangers:
                self.notes.append(
                    f"{strangers:,} of {len(asked):,} queries with a landmark show one of which no "
                    "image to recognize against is here: no answer can be right for them"
                )

    def _there(self, rows: pa.Table, split: str, name: str) -> tuple[pa.Table, Any]:
        """Return the rows whose image lies on disk, and their ids as numbers."""
        numbers = as_numbers(rows["id"], f"the table of {name}")
        there = positions(ids_on_disk(self._folder / split), numbers) >= 0
        missing = int((~there).sum())
        if missing:
            self.num_missing[name] = missing
            self.notes.append(
                f"{len(there) - missing:,} of the {len(there):,} images of {name} lie on disk"
            )
            rows = rows.filter(pa.array(there))
        return rows, numbers[there]

    def _table(self, rows: pa.Table, split: str, role: Any, columns: dict[str, Any]) -> pa.Table:
        number = rows.num_rows

        def all_rows(text: str) -> Any:
            return pa.array([text], pa.string()).take(pa.array(np.zeros(number, np.int64)))

        free = {} if split == "train" else {"license": all_rows(FREE_LICENSE)}
        landmarks = rows["landmark_id"]
        labelled = "index" if self._space == INDEX_SPACE else "train"
        return pa.table(
            {
                "image_id": rows["id"],
                "path": _paths(rows["id"], split),
                "landmark_id": landmarks,
                "role": all_rows(role) if isinstance(role, str) else role,
                "label_space": all_rows(self._space),
                **landmark_columns(self._folder, labelled, landmarks),
                **columns,
                **free,
            }
        )


def _paths(ids: Any, split: str) -> Any:
    """Return ``train/0/1/2/0123456789abcdef.jpg`` for each id, as `layout.image_name` does."""
    first, second, third = (pc.utf8_slice_codeunits(ids, k, k + 1) for k in range(3))
    names = pc.binary_join_element_wise(ids, pa.scalar(".jpg"), "")
    return pc.binary_join_element_wise(pa.scalar(split), first, second, third, names, "/")
