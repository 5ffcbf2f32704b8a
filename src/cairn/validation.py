"""The split that training is scored on: held-out photographs and non-landmarks among them.

Without non-landmarks a validation misleads (field's lesson: .97 on the validation, .60 on the
leaderboard), so the split takes some wherever the manifest has them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from cairn import metrics
from cairn.config import ValidationConfig
from cairn.errors import CairnError
from cairn.manifest import Manifest
from cairn.search import Array, search

_SPARSE = 10  # photographs: 57 % of GLDv2's landmarks have at most about as many
_DOUBT = 0.05  # chance of a warning where nothing fell


@dataclass(frozen=True)
class Split:
    """Rows of a manifest: what to learn from, and what to be scored on.

    Args:
        train: Rows of photographs to learn from.
        queries: Rows of held-out photographs of the same landmarks.
        nonlandmarks: Rows of non-landmarks that serve as unknown queries.
        spare: The other non-landmarks, free for training to use.
        gallery: Those of ``train`` among which the queries look for their landmark.
    """

    train: tuple[int, ...]
    queries: tuple[int, ...]
    nonlandmarks: tuple[int, ...]
    spare: tuple[int, ...] = ()
    gallery: tuple[int, ...] = ()


@dataclass(frozen=True)
class BinScore:
    """Scores over the queries whose landmark has a number of training photographs.

    Args:
        queries: How many.
        accuracy: Top-1, in [0, 1].
        gap: The bin's share of the one ranking, non-landmarks and other bins included, over its
            queries; weighted by these the bins add up to GAP (as in `cairn.evaluate`).
    """

    queries: int
    accuracy: float
    gap: float


@dataclass(frozen=True)
class Score:
    """How well held-out photographs were recognized: GAP and top-1 accuracy, in [0, 1].

    Args:
        gap: Over all queries.
        accuracy: Over the queries that show a landmark.
        by_size: Name of `cairn.metrics.SIZE_BINS` -> scores; bins without queries are left out.
    """

    gap: float
    accuracy: float
    by_size: Mapping[str, BinScore] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the scores as a line of metrics.jsonl has them."""
        return {
            "val_gap": self.gap,
            "val_accuracy": self.accuracy,
            "val_by_size": {name: asdict(found) for name, found in self.by_size.items()},
        }


def split_validation(manifest: Manifest, config: ValidationConfig, *, seed: int) -> Split:
    """Return a split of the manifest's train and nonlandmark rows, the same for the same seed."""
    by_landmark: dict[str, list[int]] = defaultdict(list)
    unknown: list[int] = []
    for row, (role, landmark) in enumerate(zip(manifest.roles, manifest.landmark_ids, strict=True)):
        if role == "train":
            by_landmark[landmark].append(row)
        elif role == "nonlandmark":
            unknown.append(row)
    rng = np.random.default_rng((seed, 3))
    train: list[int] = []
    queries: list[int] = []
    gallery: list[int] = []
    for _, rows in sorted(by_landmark.items()):
        held = 0
        if len(rows) >= config.min_images:
            held = min(max(round(len(rows) * config.share), 1), len(rows) - 1)
        order = rng.permutation(len(rows))
        queries.extend(rows[i] for i in order[:held])
        train.extend(rows[i] for i in order[held:])
        gallery.extend(rows[i] for i in order[held:][: config.gallery_per_landmark])
    order = rng.permutation(len(unknown))
    cut = round(len(unknown) * config.nonlandmark_share)
    return Split(
        tuple(sorted(train)),
        tuple(sorted(queries)),
        tuple(sorted(unknown[i] for i in order[:cut])),
        tuple(sorted(unknown[i] for i in order[cut:])),
        tuple(sorted(gallery)),
    )


def checked_split(manifest: Manifest, config: ValidationConfig, *, seed: int) -> Split:
    """Return the split, having checked that something is left to learn from.

    Raises:
        CairnError: There is no photograph to learn from.
    """
    split = split_validation(manifest, config, seed=seed)
    if not split.train:
        raise CairnError(
            "the manifest has no train rows", where=manifest.root, todo="set role = train"
        )
    return split


def score(
    gallery_GD: Array,
    gallery_landmarks: Sequence[str],
    queries_QD: Array,
    query_landmarks: Sequence[str],
    *,
    counts: Mapping[str, int],
) -> Score:
    """Return GAP and accuracy of the nearest gallery image; "" marks an unknown query.

    Args:
        gallery_GD: (G, D) embeddings of unit length.
        gallery_landmarks: Their landmarks.
        queries_QD: (Q, D) embeddings of unit length.
        query_landmarks: Their landmarks.
        counts: Training photographs of each landmark: the sizes of the bins.

    Raises:
        CairnError: No query shows a landmark.
    """
    if not any(query_landmarks):
        raise CairnError(
            "none of the photographs held out for validation can be read",
            where="validation",
            todo="see what `cairn inspect` says of the manifest's images",
        )
    nearest = search(queries_QD, gallery_GD, 1)
    predictions = {
        q: (gallery_landmarks[row], float(similarity))
        for q, (row, similarity) in enumerate(
            zip(nearest.indices[:, 0], nearest.similarities[:, 0], strict=True)
        )
    }
    truth = {q: {mark} if mark else set() for q, mark in enumerate(query_landmarks)}
    ranking = metrics.rank(predictions, truth)
    known = ranking.labelled
    bins = metrics.size_bins([counts.get(mark, 0) for mark in query_landmarks])
    terms = metrics.gap_terms(ranking)
    by_size = {
        name: BinScore(
            queries=int(own.sum()),
            accuracy=float(ranking.correct[own].mean()),
            gap=float(terms[own].mean()),
        )
        for number, (name, _) in enumerate(metrics.SIZE_BINS)
        if (own := known & (bins == number)).any()
    }
    return Score(metrics.gap(ranking), metrics.accuracy(ranking), by_size)


def tail_warning(lines: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a warning where crowded landmarks bought the best GAP at the sparse ones' expense.

    The best scored epoch is compared with each one before it. A warning needs both:

    - The sparse landmarks' own GAP fell. The bins add up to GAP, so that more than the whole of its
      rise then came from the crowded ones.
    - Their accuracy fell by more than chance explains: a one-sided test of two shares with Yates'
      correction, 5 % over all pairs of scored epochs so far (Bonferroni), as runs ask again after
      each. It takes the two epochs' queries for different ones, though they are the same, which
      errs on the side of silence.

    Sparse are landmarks with at most ten training photographs.

    Args:
        lines: Of metrics.jsonl, in order.

    Returns:
        What happened and what to try, or None.
    """
    scored = [line for line in lines if line.get("val_by_size")]
    if not scored:
        return None
    place, best = max(enumerate(scored), key=lambda item: item[1]["val_gap"])
    now = _sparse(best)
    costly = [line for line in scored[:place] if _sparse(line).gap > now.gap]
    if not costly or not now.queries:
        return None
    reference = max(costly, key=lambda line: _sparse(line).accuracy)
    then = _sparse(reference)
    pooled = (then.accuracy + now.accuracy) / 2
    spread = math.sqrt(2 * pooled * (1 - pooled) / now.queries)
    bound = NormalDist().inv_cdf(1 - _DOUBT / (place * (place + 1) / 2))
    if then.accuracy - now.accuracy - 1 / now.queries <= bound * spread:
        return None
    return (
        f"warning: crowded landmarks buy the gain: since epoch {reference['epoch']} GAP rose from "
        f"{reference['val_gap']:.3f} to {best['val_gap']:.3f} (epoch {best['epoch']}), but "
        f"landmarks with at most {_SPARSE} training photographs fell from {then.accuracy:.3f} to "
        f"{now.accuracy:.3f} accuracy and from {then.gap:.3f} to {now.gap:.3f} GAP "
        f"({now.queries} queries); try sampling.kind = 'sqrt', head.size_margin = [0.05, 0.5] or "
        "head.logit_adjustment = 1"
    )


def _sparse(line: Mapping[str, Any]) -> BinScore:
    """Return the scores over the queries of sparse landmarks: their bins as one."""
    names = [name for name, high in metrics.SIZE_BINS if high is not None and high <= _SPARSE]
    bins = [BinScore(**line["val_by_size"][name]) for name in names if name in line["val_by_size"]]
    queries = sum(one.queries for one in bins)
    total = max(queries, 1)
    return BinScore(
        queries,
        accuracy=sum(one.queries * one.accuracy for one in bins) / total,
        gap=sum(one.queries * one.gap for one in bins) / total,
    )
