"""The files of a benchmark: its manifest, and beside it what was done to make it."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cairn.domain import Int64
from cairn.manifest import Manifest
from cairn.metrics import SIZE_BINS, size_bins
from cairn.runs import atomic_write, provenance, require_absent, write_json
from cairn.splitting.card import render_card
from cairn.splitting.findings import Verification
from cairn.splitting.picture import draw_tail
from cairn.splitting.split import GALLERY, PARTS, QUERY, REASONS, TRAIN, UNSEEN, SplitResult
from cairn.splitting.tail import tail_of

SPLIT_FORMAT = 1


def companions(path: Path) -> dict[str, Path]:
    """Return the files beside the manifest at ``path``: card, facts, left out, tail."""
    stems = {
        "card": "card.md",
        "facts": "split.json",
        "left_out": "left-out.csv",
        "tail": "tail.png",
    }
    return {key: path.with_name(f"{path.stem}-{name}") for key, name in stems.items()}


def write_split(
    result: SplitResult, path: Path, *, verification: Verification, name: str = ""
) -> dict[str, Any]:
    """Write a benchmark and return its facts, those of ``NAME-split.json``.

    Beside the manifest ``NAME.parquet`` lie ``NAME-card.md``, ``NAME-split.json``,
    ``NAME-left-out.csv`` and ``NAME-tail.png``. The manifest comes last: where it is, all are.

    Args:
        result: The benchmark.
        path: The manifest to write, .parquet or .csv.
        verification: What a check of it found.
        name: What it was made of, in words; a path.

    Raises:
        CairnError: A file is there already.
    """
    beside = companions(path)
    for place in (path, *beside.values()):
        require_absent(place)
    facts = _facts(result, verification, name)
    draw_tail(beside["tail"], _sizes_of(result.given), _sizes(result, (TRAIN, GALLERY)))
    _write_left_out(result, beside["left_out"])
    with atomic_write(beside["card"]) as temporary:
        card = render_card(facts, path.name, beside["tail"].name, beside["left_out"].name)
        temporary.write_text(card, encoding="utf-8")
    write_json(beside["facts"], facts)
    result.manifest.write(path)
    return facts


def _facts(result: SplitResult, verification: Verification, name: str) -> dict[str, Any]:
    counts = result.counts()
    before = _sizes_of(result.given)
    known = _sizes(result, (TRAIN, GALLERY))
    reasons, numbers = np.unique(result.reasons[result.reasons != ""], return_counts=True)
    asked = result.parts == QUERY
    return {
        "format": SPLIT_FORMAT,
        "given": {
            "name": name,
            "fingerprint": result.given.fingerprint,
            "num_images": len(result.given),
            "num_landmarks": len(before),
            "num_without_landmark": int(sum(not one for one in result.given.landmark_ids)),
        },
        "settings": asdict(result.settings),
        "tail": tail_of(result.settings.tail).name,
        "parts": counts,
        "num_landmarks": {
            "known": len(known),
            "asked about": _num_landmarks(result, asked),
            "unseen": _num_landmarks(result, result.parts == UNSEEN),
            "only in the gallery": _num_new(result),
        },
        "distractor_rate": result.distractor_rate,
        "landmarks_by_images": {
            "before": _by_size(before),
            "after": _by_size(known),
        },
        "shares": {"before": _shares(before), "after": _shares(known)},
        "groups": _groups(result),
        "left_out": dict(zip(reasons.tolist(), numbers.tolist(), strict=True)),
        "fingerprint": result.manifest.fingerprint,
        "verification": verification.to_json(),
        "provenance": provenance(),
    }


def _sizes_of(manifest: Manifest) -> Int64:
    counts = manifest.table["landmark_id"].value_counts()
    named = [row["counts"] for row in counts.to_pylist() if row["values"]]
    return np.asarray(named, np.int64)


def _sizes(result: SplitResult, parts: tuple[int, ...]) -> Int64:
    """Return the images of each landmark that these parts show."""
    rows = np.flatnonzero(np.isin(result.parts, parts))
    return _sizes_of(result.given.take(rows))


def _num_landmarks(result: SplitResult, mask: Any) -> int:
    return len(_sizes_of(result.given.take(np.flatnonzero(mask))))


def _num_new(result: SplitResult) -> int:
    both = _num_landmarks(result, np.isin(result.parts, (TRAIN, GALLERY)))
    return both - _num_landmarks(result, result.parts == TRAIN)


def _by_size(sizes: Int64) -> dict[str, int]:
    """Return the number of landmarks in each bin of sizes that reports use, up to the last used."""
    found = np.bincount(size_bins(sizes), minlength=len(SIZE_BINS))[1:]
    last = int(np.flatnonzero(found).max(initial=0))
    names = [name for name, _ in SIZE_BINS[1:]]
    return dict(zip(names[: last + 1], found[: last + 1].tolist(), strict=True))


def _shares(sizes: Int64) -> dict[str, float]:
    count = max(len(sizes), 1)
    return {
        "at most 2": round(float((sizes <= 2).sum() / count), 4),
        "at most 5": round(float((sizes <= 5).sum() / count), 4),
        "at most 10": round(float((sizes <= 10).sum() / count), 4),
        "mean": round(float(sizes.mean()), 2) if len(sizes) else 0.0,
        "most": int(sizes.max(initial=0)),
    }


def _groups(result: SplitResult) -> dict[str, Any]:
    """Return how many groups of two and more there are, how large, and where they went."""
    _, group, sizes = np.unique(result.groups.groups, return_inverse=True, return_counts=True)
    company = sizes >= 2
    part_of = np.full(len(sizes), -1, np.int64)
    np.maximum.at(part_of, group, result.parts)
    went = {name: int((company & (part_of == number)).sum()) for number, name in enumerate(PARTS)}
    went["left out"] = int((company & (part_of == -1)).sum())
    return {
        "bonds": dict(result.groups.bonds),
        "looked": result.groups.looked,
        "complete": result.groups.complete,
        "number": int(company.sum()),
        "images": int(sizes[company].sum()),
        "largest": int(sizes[company].max(initial=0)),
        "went": {name: number for name, number in went.items() if number},
    }


def _write_left_out(result: SplitResult, path: Path) -> None:
    rows = np.flatnonzero(result.parts < 0)
    given = result.given.take(rows)
    copies = _names_of_copies(result)
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("image_id", "landmark_id", "reason", "copies", "meaning"))
        for image, landmark, row in zip(given.image_ids, given.landmark_ids, rows, strict=True):
            reason = str(result.reasons[row])
            writer.writerow((image, landmark, reason, copies[row], REASONS[reason]))


def _names_of_copies(result: SplitResult) -> list[str]:
    """Return for each row the first image of the copies that it belongs to, "" without any."""
    first = result.groups.copies
    ids = result.given.image_ids
    number = np.bincount(first, minlength=len(first))[first]
    return [ids[one] if many > 1 else "" for one, many in zip(first, number, strict=True)]
