"""Whether a benchmark leaks: queries that stand among what is known, and truths that do not hold.

`verify_split` looks at a manifest, `verify_sides` at queries beside any gallery or bank. Columns
are compared as sets, so that millions of rows take a second; photographs are looked at only where
`cairn.inspection.look` has seen them, files only where asked.

What it cannot know: pictures that are alike without being copies, and copies that are mirrored,
turned or strongly cropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.inspection.look import Looks
from cairn.manifest import Manifest
from cairn.progress import track
from cairn.splitting.findings import SHOWN, Finding, Verification
from cairn.splitting.groups import GROUP_COLUMN, bond_values, pictures
from cairn.splitting.sides import Side, files_of, gallery_role, sums_of
from cairn.splitting.split import PART_COLUMN, ROLE_OF, TRUTH_COLUMN

_WORDS = {
    "same-id": "whose id stands in",
    "same-path": "that are files of",
    "same-file": "that are, under whatever name or link, files of",
    "same-sha256": "with the bytes of an image in",
    "same-group": "of a group that is also in",
    "same-picture": "that are the same picture as one in",
}


def verify_split(
    manifest: Manifest,
    *,
    columns: Sequence[str] = (),
    looks: Looks | None = None,
    files: bool = False,
    shown: int = SHOWN,
) -> Verification:
    """Return what a check of a manifest's parts finds.

    Args:
        manifest: Queries, and known images (train, gallery) or a bank (nonlandmark).
        columns: Bonds by column whose groups must not be parted (`cairn.splitting.groups`), beside
            the groups that the manifest records.
        looks: What was seen in the photographs, in the manifest's order.
        files: Ask the disk which paths are one file; those that are missing are counted.
        shown: Examples of each finding.

    Raises:
        CairnError: A column to bond by is missing.
    """
    roles = manifest.table["role"].combine_chunks()
    query = pc.equal(roles, "query")
    known = pc.is_in(roles, pa.array(["train", "gallery"]))
    bank = pc.equal(roles, "nonlandmark")
    others = {"the gallery or training": known, "the bank": bank}
    others = {name: mask for name, mask in others.items() if pc.any(mask).as_py()}
    ids, paths, sums = (
        manifest.table["image_id"].combine_chunks(),
        files_of(manifest),
        sums_of(manifest),
    )
    findings: list[Finding] = []
    checked, missed = ["files" if files else "paths"], []

    def compare(kind: str, values: Any) -> None:
        asked = pc.unique(_some(values.filter(query)))
        met = pc.is_in(values, asked)
        for name, mask in others.items():
            if pc.any(pc.and_(met, mask)).as_py():
                findings.extend(_met(kind, ids, values, query, mask, name, shown))
        if not kind.endswith(("path", "file")) and {"train", "gallery"} <= set(
            pc.unique(roles).to_pylist()
        ):
            findings.extend(_between(kind, ids, values, roles, shown))

    if files:
        paths, missing = _file_numbers(manifest.paths, paths)
        if missing:
            missed.append(f"links of {missing:,} files that are not there")
    compare("same-file" if files else "same-path", paths)
    if sums is None:
        missed.append("sha256: the manifest states none")
    else:
        compare("same-sha256", sums)
        checked.append("sha256")
    if GROUP_COLUMN in manifest.table.column_names:
        compare("same-group", manifest.table[GROUP_COLUMN].combine_chunks().cast(pa.string()))
        checked.append("recorded groups")
    for column in columns:
        compare("same-group", bond_values(manifest, column))
        checked.append(column)
    if looks is None:
        missed.append("copies in other bytes: photographs were not looked at")
    else:
        same, complete = pictures(looks)
        compare("same-picture", same)
        checked.append("pictures")
        if not complete:
            missed.append("some pairs of pictures, of which too many are nearly alike")
        if looks.reasons:
            missed.append(f"pixels of {len(looks.reasons):,} unreadable photographs")
    findings += _truths(manifest, query, known, shown)
    return Verification(tuple(findings), tuple(checked), tuple(missed)).joined(())


def verify_sides(queries: Side, others: Sequence[Side]) -> Verification:
    """Return what a check of queries beside galleries and banks from elsewhere finds."""
    findings: list[Finding] = []
    checked: list[str] = []
    columns = (
        ("same-id", "ids", "ids"),
        ("same-path", "paths", "files"),
        ("same-sha256", "sha256", "sums"),
    )
    for side in others:
        for kind, word, name in columns:
            mine, theirs = getattr(queries, name), getattr(side, name)
            if mine is None or theirs is None:
                continue
            findings += _matched(kind, queries.ids, mine, side.ids, theirs, side.name)
            checked.append(f"{word} with {side.name}")
        spaces = {queries.label_space, side.label_space} - {""}
        if len(spaces) > 1:
            text = (
                f"The queries' landmark ids belong to {queries.label_space!r}, those of "
                f"{side.name} to {side.label_space!r}."
            )
            findings.append(Finding("label-space", "leak", text, len(queries.ids)))
    return Verification(tuple(findings), tuple(checked)).joined(())


def _met(
    kind: str, ids: Any, values: Any, query: Any, other: Any, name: str, shown: int
) -> list[Finding]:
    """Return the finding, if any, that queries share a value with the images of ``other``."""
    mine, theirs = (
        (ids.filter(query), values.filter(query)),
        (ids.filter(other), values.filter(other)),
    )
    return _matched(kind, *mine, *theirs, name, shown)


def _matched(
    kind: str,
    ids: Any,
    values: Any,
    other_ids: Any,
    other_values: Any,
    name: str,
    shown: int = SHOWN,
) -> list[Finding]:
    asked = pc.unique(_some(values))
    shared = pc.unique(other_values.filter(pc.is_in(other_values, asked)))
    if not len(_some(shared)):
        return []
    rows = np.flatnonzero(pc.is_in(values, _some(shared)).to_numpy(zero_copy_only=False))
    some = pa.array(rows[:shown])
    mine = ids.take(some)
    theirs = other_ids.take(pc.index_in(values.take(some), other_values))
    pairs = zip(mine.to_pylist(), theirs.to_pylist(), strict=True)
    examples = tuple((one, "" if other == one else other) for one, other in pairs)
    return [Finding(kind, "leak", _sentence(kind, len(rows), name), len(rows), examples)]


def _between(kind: str, ids: Any, values: Any, roles: Any, shown: int) -> list[Finding]:
    """Return a note where images of a gallery of its own were trained on."""
    gallery, train = pc.equal(roles, "gallery"), pc.equal(roles, "train")
    found = _met(kind, ids, values, gallery, train, "the training", shown)
    return [
        Finding(
            "trained-on",
            "note",
            f"Gallery images {_WORDS[kind]} the training: {one.count:,}.",
            one.count,
            one.examples,
        )
        for one in found
    ]


def _sentence(kind: str, count: int, name: str) -> str:
    return f"Queries {_WORDS[kind]} {name}: {count:,}."


def _truths(manifest: Manifest, query: Any, known: Any, shown: int) -> list[Finding]:
    """Return what is wrong with what the rows say of themselves."""
    table = manifest.table
    ids = table["image_id"].combine_chunks()
    landmarks = table["landmark_id"].combine_chunks()
    findings = []
    if PART_COLUMN in table.column_names:
        parts = table[PART_COLUMN].combine_chunks().cast(pa.string())
        findings += _parts(ids, landmarks, parts, table, known, shown)
    if pc.any(known).as_py():
        reference = landmarks.filter(pc.equal(table["role"], gallery_role(manifest)))
        asked = pc.and_(query, pc.not_equal(landmarks, ""))
        lost = pc.and_(asked, pc.invert(pc.is_in(landmarks, pc.unique(reference))))
        findings += _wrong(
            "unanswerable", "note", ids, lost,
            "show a landmark that is not recognized against, so that no answer can be right",
            shown,
        )  # fmt: skip
    return findings


def _parts(
    ids: Any, landmarks: Any, parts: Any, table: Any, known: Any, shown: int
) -> list[Finding]:
    roles = table["role"].combine_chunks()
    due = pa.array(list(ROLE_OF.values())).take(pc.index_in(parts, pa.array(list(ROLE_OF))))
    wrong = pc.fill_null(pc.not_equal(roles, due), True)
    findings = _wrong("part", "leak", ids, wrong, "have a part that their role contradicts", shown)
    unseen = pc.fill_null(pc.equal(parts, "query-unseen"), False)
    named = pc.and_(
        pc.is_in(parts, pa.array(["query-unseen", "query-nonlandmark"])),
        pc.not_equal(landmarks, ""),
    )
    text = "are said to show no known landmark, and name one"
    findings += _wrong("unseen-named", "leak", ids, named, text, shown)
    if TRUTH_COLUMN in table.column_names:
        truths = table[TRUTH_COLUMN].combine_chunks().cast(pa.string())
        seen = pc.is_in(truths, pc.unique(landmarks.filter(known)))
        text = "show an unseen landmark that is among the known ones"
        findings += _wrong("unseen-known", "leak", ids, pc.and_(unseen, seen), text, shown)
    return findings


def _wrong(kind: str, severity: Any, ids: Any, mask: Any, text: str, shown: int) -> list[Finding]:
    count = pc.sum(mask).as_py() or 0
    if not count:
        return []
    examples = tuple((one, "") for one in ids.filter(mask)[:shown].to_pylist())
    return [Finding(kind, severity, f"Images that {text}: {count:,}.", count, examples)]


def _file_numbers(files: Sequence[Path], names: Any) -> tuple[Any, int]:
    """Return device and inode of each file, its name where it is missing, and how many are."""
    numbers: list[str | None] = []
    for path in track(files, "asking for files"):
        try:
            found = path.stat()
        except (OSError, ValueError):
            numbers.append(None)
        else:
            numbers.append(f"{found.st_dev}:{found.st_ino}")
    known = pa.array(numbers, pa.string())
    return pc.coalesce(known, names), known.null_count


def _some(values: Any) -> Any:
    return values.filter(pc.fill_null(pc.not_equal(values, ""), False))
