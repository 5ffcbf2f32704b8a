"""The findings as tables, one row a finding (of duplicates, a pair), with a severity and a verdict.

Severities: ``act`` (the numbers leave little doubt), ``look`` (a person should), ``note`` (nothing
to do at once). Rows come by severity, then by how much they tell; those of a group stay together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cairn.doctor.findings import Findings
from cairn.doctor.view import Bool, View
from cairn.domain import Int64

SEVERITIES = ("act", "look", "note")
"""From what should be done to what should be known."""

Columns: TypeAlias = dict[str, Any]


def list_tables(findings: Findings) -> dict[str, pa.Table]:
    """Return the tables by the name of their list; without ``attracting`` where none was asked."""
    return {
        **({} if findings.attracting is None else {"attracting": _attracting(findings)}),
        "collisions": _collisions(findings),
        "contradictions": _contradictions(findings),
        "outliers": _outliers(findings),
        "redundant": _redundant(findings),
        "singles": _singles(findings),
    }


def _attracting(findings: Findings) -> pa.Table:
    view, found, penalty = findings.view, findings.attracting, findings.view.gallery.penalty
    assert found is not None
    assert penalty is not None
    rows = found.rows
    has_others = view.sizes[view.codes[rows]] >= findings.rule.outlier_images
    verdicts = np.select(
        [found.is_full & found.is_lost, found.is_full & has_others, found.is_full],
        [0, 1, 2],
        3,
    )
    near = view.nearest.indices[rows, 0] if view.nearest.k else np.full(len(rows), -1)
    table = {
        **_images(view, rows),
        "num_picked": penalty.n_picked[rows],
        "mean_similarity": penalty.sims[rows],
        "penalty": penalty.penalty[rows],
        "num_images": view.sizes[view.codes[rows]],
        **_images(view, near, "nearest_"),
        **_judged(
            verdicts, severities=(0, 1, 2, 2), verdicts=("remove", "look", "replace", "keep")
        ),
    }
    return _by_severity(table)


def _collisions(findings: Findings) -> pa.Table:
    view, found, rule = findings.view, findings.collisions, findings.rule
    verdicts = np.select([found.is_merge, found.mixing >= rule.merge / 2], [0, 1], 2)
    table = {
        "landmark_id_a": view.landmark_ids.take(pa.array(found.small)),
        "landmark_id_b": view.landmark_ids.take(pa.array(found.large)),
        "num_images_a": view.sizes[found.small],
        "num_images_b": view.sizes[found.large],
        "votes_a": found.small_votes,
        "votes_b": found.large_votes,
        "mean_similarity": found.similarities,
        "mixing": found.mixing,
        **_images(view, found.voters, "example_"),
        **_images(view, found.voted, "nearest_"),
        **_judged(verdicts, severities=(0, 1, 2), verdicts=("merge", "look", "keep apart")),
    }
    return _by_severity(table)


def _contradictions(findings: Findings) -> pa.Table:
    view, found = findings.view, findings.duplicates.contradictions
    codes = np.sort(view.codes[np.stack([found.first, found.second])].astype(np.int64), axis=0)
    merges = findings.collisions
    pairs = np.sort(np.stack([merges.small, merges.large])[:, merges.is_merge], axis=0)
    num = len(view.landmark_ids)
    is_merge = np.isin(codes[0] * num + codes[1], pairs[0] * num + pairs[1])
    verdicts = np.select([is_merge, found.doubted == 0, found.doubted == 1], [0, 1, 2], 3)
    table = {
        "group": found.groups,
        **_images(view, found.first, suffix="_a"),
        **_images(view, found.second, suffix="_b"),
        "similarity": found.similarities,
        "kind": _kinds(found.is_copy),
        **_judged(verdicts, verdicts=("merge", "remove a", "remove b", "look")),
    }
    severe = _first_of_group(found.groups, found.is_copy)
    table["severity"] = _words(np.where(severe, 0, 1), SEVERITIES)
    return pa.table(table)  # copies come first already


def _redundant(findings: Findings) -> pa.Table:
    view, found = findings.view, findings.duplicates.redundant
    severe = _first_of_group(found.groups, found.is_copy)
    table = {
        "group": found.groups,
        **_images(view, found.rows),
        "keep_image_id": view.image_ids.take(pa.array(found.keepers)),
        "keep_path": view.paths.take(pa.array(found.keepers)),
        "similarity": found.similarities,
        "kind": _kinds(found.is_copy),
        "severity": _words(np.where(severe, 0, 2), SEVERITIES),
        "verdict": _words(np.where(found.is_copy, 0, 1), ("remove", "may go")),
    }
    return pa.table(table)


def _outliers(findings: Findings) -> pa.Table:
    view, found = findings.view, findings.outliers
    # The nearest name one landmark with one voice and are as alike as images of one usually are,
    # while the nearest of its own is not half as alike.
    is_usual = found.other_similarities >= view.usual
    is_strange = found.own_similarities < view.usual / 2
    agreed = (found.agreeing == found.asked) & is_usual & is_strange
    table = {
        **_images(view, found.rows),
        "num_images": view.sizes[view.codes[found.rows]],
        "own_similarity": found.own_similarities,
        **_images(view, found.own, "own_", names=("image_id", "path")),
        "other_similarity": found.other_similarities,
        **_images(view, found.other, "other_"),
        "agreeing": found.agreeing,
        "asked": np.full(len(found.rows), found.asked),
        "margin": found.margins,
        **_judged(np.where(agreed, 0, 1), severities=(0, 1), verdicts=("remove", "look")),
    }
    return _by_severity(table)


def _singles(findings: Findings) -> pa.Table:
    view, found = findings.view, findings.singles
    table = {
        **_images(view, found.rows),
        "similarity": pa.array(found.similarities, mask=found.nearest < 0),
        **_images(view, found.nearest, "nearest_"),
        **_judged(np.zeros(len(found.rows), np.int64), severities=(2,), verdicts=("add images",)),
    }
    return pa.table(table)


def _images(
    view: View,
    rows: Int64,
    prefix: str = "",
    *,
    suffix: str = "",
    names: Sequence[str] = ("image_id", "landmark_id", "path"),
) -> Columns:
    """Return id, landmark and path of rows; null where a row is -1."""
    at = pa.array(rows, pa.int64(), mask=rows < 0)
    codes = pa.array(view.codes[rows], pa.int64(), mask=rows < 0)
    columns = {
        "image_id": lambda: view.image_ids.take(at),
        "landmark_id": lambda: view.landmark_ids.take(codes),
        "path": lambda: view.paths.take(at),
    }
    return {f"{prefix}{name}{suffix}": columns[name]() for name in names}


def _judged(
    which: Int64, *, verdicts: Sequence[str], severities: Sequence[int] | None = None
) -> Columns:
    columns = {"verdict": _words(which, verdicts)}
    if severities is not None:
        columns["severity"] = _words(np.asarray(severities)[which], SEVERITIES)
    return columns


def _words(which: Int64, words: Sequence[str]) -> Any:
    return pa.array(list(words), pa.string()).take(pa.array(which, pa.int64()))


def _kinds(is_copy: Bool) -> Any:
    return _words(np.where(is_copy, 0, 1), ("copy", "near"))


def _first_of_group(groups: Int64, values: Bool) -> Bool:
    """Return for every row the value of its group's first; rows of a group stand together."""
    first: Bool = values[np.searchsorted(groups, groups)]
    return first


def _by_severity(columns: Mapping[str, Any]) -> pa.Table:
    table = pa.table(dict(columns))
    place = pc.index_in(table["severity"], pa.array(SEVERITIES)).to_numpy()
    return table.take(pa.array(np.argsort(place, kind="stable")))
