"""The lists of an inspection as files: unreadable files, groups of one picture, what is left."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cairn.inspection.look import Looks
from cairn.inspection.sharing import Sharing
from cairn.manifest import Manifest


def write_unreadable(path: Path, manifest: Manifest, looks: Looks) -> None:
    """Write a CSV of the files that give no picture, with their reasons."""
    rows = (
        (manifest.image_ids[row], manifest.paths[row], why.kind, why.reason)
        for row, why in sorted(looks.reasons.items())
    )
    _write_csv(path, ("image_id", "path", "kind", "reason"), rows)


def write_duplicates(path: Path, manifest: Manifest, looks: Looks, sharing: Sharing) -> None:
    """Write a CSV with a row for each photograph whose picture stands twice or more.

    Groups come in the order in which they should be looked at. ``like`` is the photograph of the
    group that a row was found to be the same as; the first of a group has none.
    """
    ids, roles, landmarks = manifest.image_ids, manifest.roles, manifest.landmark_ids
    rows = sharing.rows
    near = sharing.toward[rows]
    bits = np.bitwise_count(looks.hashes[rows] ^ looks.hashes[near]).sum(axis=1, dtype=int)
    table = manifest.table["path"]
    names = ("group", "image_id", "role", "landmark_id", "kind", "like", "num_bits")
    lines = (
        (
            group + 1,
            *(ids[row], roles[row], landmarks[row]),
            *(("first", "", "") if row == to else ("exact" if copy else "near", ids[to], differ)),
            *(int(sharing.leaks[group]), int(sharing.labels_differ[group]), table[row].as_py()),
        )
        for group, row, to, differ, copy in zip(
            sharing.numbers.tolist(),
            rows.tolist(),
            near.tolist(),
            bits.tolist(),
            sharing.is_copy[rows].tolist(),
            strict=True,
        )
    )
    _write_csv(path, (*names, "leaks", "labels_differ", "path"), lines)


def clean_rows(manifest: Manifest, looks: Looks, sharing: Sharing) -> NDArray[np.int64]:
    """Return the rows without unreadable files, needless copies, and pictures that leak.

    Out go files that give no picture; of each picture, the second and later images that share role
    and landmark with an earlier one; and the images of other roles whose picture is a query's, so
    that the queries stay as they are. Pictures under two labels stay: which is wrong, a person has
    to say.
    """
    keep = np.ones(len(manifest), bool)
    keep[list(looks.reasons)] = False
    codes = {role: code for code, role in enumerate(dict.fromkeys(manifest.roles))}
    roles = np.array([codes[role] for role in manifest.roles], np.int64)
    rows, numbers = sharing.rows, sharing.numbers
    order = np.lexsort((rows, sharing.labels[rows], roles[rows], numbers))
    keys = np.stack([numbers, roles[rows], sharing.labels[rows]], axis=1)[order]
    again = (keys[1:] == keys[:-1]).all(axis=1)
    keep[rows[order[1:]][again]] = False
    leaking = rows[sharing.leaks[numbers]]
    keep[leaking[roles[leaking] != codes.get("query", -1)]] = False
    return np.flatnonzero(keep)


def _write_csv(path: Path, names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(rows)
