"""Doubts as suggestions: a kind, a confidence, a reason in words and the photographs that show it.

Legend of shapes: M rows in question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from cairn.cleaning.agreement import FIRST
from cairn.cleaning.belief import Belief
from cairn.cleaning.crowd import Crowd
from cairn.cleaning.doubt import Doubt
from cairn.cleaning.reasons import bank_reason, label_reason
from cairn.cleaning.rule import KINDS, CleanRule
from cairn.cleaning.signals import Scene, Signals
from cairn.domain import Int64
from cairn.neighborhood import Bool, Int32

_TEXTS = ("image_id", "kind", "landmark_id", "to_landmark_id", "apply", "path")

EVIDENCE = 2
"""Photographs of the own landmark, and of the suggested one, beside each suspect."""

_LOOK_FROM = 0.2
"""Share of made-up faults that look less wrong, from which a look is suggested."""

_RELABEL, _DROP, _LEAVE, _LOOK = range(len(KINDS))


def suggestions(
    scene: Scene, crowd: Crowd, doubt: Doubt, bank: tuple[Signals, Belief], rule: CleanRule
) -> pa.Table:
    """Return the suggestions, those to act upon first, surest first within that.

    Returns:
        One row a photograph; column ``apply`` is empty, for whoever decides.
    """
    asked = doubt.signals
    kinds, confidence, half = _kinds(crowd, doubt, rule)
    listed = np.flatnonzero(kinds >= 0)
    signals, belief = bank
    leaving = np.flatnonzero(belief.chances >= rule.least)
    parts = [
        _columns(
            scene, crowd, asked, listed, kinds[listed], confidence[listed],
            doubt.alike[listed], half[listed],
        ),
        _columns(
            scene, crowd, signals, leaving, np.full(len(leaving), _LEAVE),
            belief.chances[leaving], belief.passed[leaving], np.zeros(len(leaving), bool),
        ),
    ]  # fmt: skip
    table = pa.concat_tables(parts)
    place = np.concatenate([kinds[listed], np.full(len(leaving), _LEAVE)])
    sure = table["confidence"].to_numpy()
    order = np.lexsort((-table["alike"].to_numpy(), -sure, place == _LOOK))
    return table.take(pa.array(order))


def _kinds(crowd: Crowd, doubt: Doubt, rule: CleanRule) -> tuple[Int64, Any, Bool]:
    """Return (M,) kinds, -1 for none, their confidence, and which belong to a merger."""
    asked, sizes = doubt.signals, doubt.signals.others + 1
    is_other = (doubt.other >= rule.least) & (doubt.other >= doubt.none) & (sizes > 2)
    is_none = (doubt.none >= rule.least) & ~is_other & (sizes >= rule.drop_images)
    half = merging(asked.codes, asked.near.target, asked.others, is_other)
    is_look = (doubt.wrong >= rule.least) | (doubt.alike >= _LOOK_FROM)
    kinds = np.select([is_other & ~half, is_none, is_look], [_RELABEL, _DROP, _LOOK], -1)
    confidence = np.select(
        [kinds == _RELABEL, kinds == _DROP], [doubt.other, doubt.none], doubt.wrong
    )
    return kinds, confidence, half


def merging(codes: Int32, targets: Int64, others: Int64, is_other: Bool) -> Bool:
    """Return (M,) which relabellings would move half a landmark or more, at least two, to another.

    Args:
        codes: (M,) landmarks.
        targets: (M,) where each would go.
        others: (M,) other photographs of the landmark.
        is_other: (M,) whether it would go at all.
    """
    keys = codes.astype(np.int64) * (int(targets.max(initial=0)) + 2) + targets
    found, inverse = np.unique(keys[is_other], return_inverse=True)
    moved = np.zeros(len(keys), np.int64)
    moved[is_other] = np.bincount(inverse, minlength=len(found))[inverse]
    return np.asarray((moved >= 2) & (2 * moved >= others + 1))


def _columns(
    scene: Scene, crowd: Crowd, asked: Signals, at: Int64, kinds: Int64, confidence: Any,
    alike: Any, half: Bool,
) -> pa.Table:  # fmt: skip
    near = scene.near
    rows, codes = asked.rows[at], asked.codes[at]
    target = np.where(kinds == _DROP, -1, asked.near.target[at]).astype(np.int32)
    own, own_best = near.nearest_of(
        rows, np.where(codes < 0, scene.nothing, codes).astype(np.int32), EVIDENCE
    )
    shown = asked.near.target[at].astype(np.int32)
    other, other_best = near.nearest_of(rows, shown, EVIDENCE)
    landmarks = [*crowd.landmark_ids, ""]
    first = near.neighbor_codes[rows, :FIRST]
    counts = {
        "own": (first == codes[:, None]).sum(axis=1),
        "other": (first == shown[:, None]).sum(axis=1),
        "bank": (first == scene.nothing).sum(axis=1),
    }
    reasons = []
    for place in range(len(at)):
        facts: Mapping[str, Any] = {
            **{name: int(values[place]) for name, values in counts.items()},
            "asked": first.shape[1],
            "own_best": float(own_best[place, 0]),
            "other_best": float(other_best[place, 0]),
            "others": int(asked.others[at[place]]),
            "chained": int(asked.chained[at[place]]),
            "landmark": landmarks[codes[place]],
            "target": landmarks[shown[place]],
            "merging": bool(half[place]),
        }
        kind = KINDS[kinds[place]]
        reasons.append(bank_reason(facts) if kind == "leave bank" else label_reason(kind, facts))
    columns: dict[str, Any] = {
        "image_id": [crowd.image_ids[row] for row in rows],
        "kind": [KINDS[kind] for kind in kinds],
        "confidence": pa.array(np.round(confidence, 4).astype(np.float64)),
        "landmark_id": [landmarks[code] for code in codes],
        "to_landmark_id": [landmarks[code] for code in target],
        "apply": [""] * len(at),
        "reason": pa.array(reasons, pa.string()),
        "num_images": pa.array(np.where(codes >= 0, asked.others[at] + 1, 0), pa.int64()),
        "alike": pa.array(np.round(alike, 4).astype(np.float64)),
        "path": [crowd.paths[row] for row in rows],
    }
    for name, found, best in (("own", own, own_best), ("other", other, other_best)):
        for number in range(EVIDENCE):
            those = found[:, number]
            columns |= {
                f"{name}_image_id_{number + 1}": _texts(crowd.image_ids, those),
                f"{name}_path_{number + 1}": _texts(crowd.paths, those),
                f"{name}_similarity_{number + 1}": pa.array(
                    best[:, number].astype(np.float64), mask=those < 0
                ),
            }
    columns["other_landmark_id"] = [landmarks[code] for code in shown]
    for name in (*_TEXTS, "other_landmark_id"):
        columns[name] = pa.array(columns[name], pa.string())
    return pa.table(columns)


def _texts(values: list[str], rows: Int64) -> pa.StringArray:
    return pa.array([None if row < 0 else values[row] for row in rows.tolist()], pa.string())
