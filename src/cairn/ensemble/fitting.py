"""Making an ensemble: curves and weights from validation photographs, or weights as given.

The weights are those of greatest GAP among a grid's, the most even among equals
(`cairn.ensemble.weights`). Weights of concatenated embeddings are fitted as those of weighted
similarities, which they are: a search for each try is saved.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from cairn.calibration import Logistic
from cairn.embed import embed
from cairn.ensemble.alignment import aligned, require_same_landmarks, require_same_queries
from cairn.ensemble.fusion import Fusion, answers, shares
from cairn.ensemble.settings import Ensemble, Member, Validation, Way, digests, require_way
from cairn.ensemble.similarity import WeightedSimilarity
from cairn.ensemble.votes import Votes, WeightedVotes
from cairn.ensemble.ways import all_votes, fuse
from cairn.ensemble.weights import fit_weights
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.gallery.calibrations import basis_of
from cairn.gallery.validation import require_apart
from cairn.manifest import Manifest
from cairn.metrics import global_average_precision
from cairn.progress import say
from cairn.submission import solution_of
from cairn.tables import EmbeddingTable

Truth = Mapping[str, Collection[str]]


def fit_ensemble(
    galleries: Sequence[Gallery],
    queries: Sequence[EmbeddingTable],
    truth: Truth,
    *,
    by: Way = "votes",
    weights: Sequence[float] | None = None,
    manifest: str = "",
) -> Ensemble:
    """Return an ensemble with curves and weights by validation photographs; nothing is written.

    Args:
        galleries: Two or more of the same landmarks, each with the penalty that it will have.
        queries: For each, its model's embeddings of the same photographs, which neither the
            galleries nor their banks have, some of no landmark.
        truth: Photograph id -> its landmarks; empty for a non-landmark.
        by: One of ``WAYS``.
        weights: In place of fitted ones.
        manifest: The fingerprint of the photographs, to be kept.

    Raises:
        CairnError: Galleries or queries differ, the photographs are among those of a gallery or
            its bank, none shows a landmark, or the weights are none.
    """
    require_way(by)
    require_same_landmarks(galleries)
    require_same_queries(queries, galleries)
    asked = queries[0]
    for gallery in galleries:
        require_apart(gallery, asked.image_ids, asked.paths)
    landmarks = set(galleries[0].table.landmark_ids)
    shown = [set(truth[image]) & landmarks for image in asked.image_ids]
    if not any(shown):
        raise CairnError(
            "no validation photograph shows a landmark of the galleries, so there is no GAP",
            todo="give photographs of the galleries' landmarks, and of none",
        )
    curves: Sequence[Logistic | None] = [None] * len(galleries)
    fusion: Fusion
    if by == "votes":
        cast = all_votes(queries, galleries)
        fitted = [fit_curve(one, truth) for one in cast]
        curves = fitted
        fusion = WeightedVotes([one.calibrated(c) for one, c in zip(cast, fitted, strict=True)])
    else:
        fusion = fuse("similarity" if by == "concatenation" else by, queries, galleries)

    def gap(tried: Sequence[float]) -> float:
        return global_average_precision(answers(fusion, tried), truth)

    count = len(galleries)
    if weights is None:
        found, best = fit_weights([fusion], [truth])
    else:
        found = tuple(shares(weights, count).tolist())
        best = gap(found)
    if isinstance(fusion, WeightedSimilarity):
        _tell_certain(fusion, found)
    alone = tuple(gap(row) for row in np.eye(count).tolist())
    unknown = sum(not one for one in shown)
    validation = Validation(
        manifest,
        len(asked),
        unknown,
        best,
        gap([1.0] * count),
        alone,
        digests(asked.image_ids, asked.paths),
    )
    members = _members(galleries, curves)
    penalized = any(gallery.penalty is not None for gallery in galleries)
    return Ensemble(by, found, members, weights is None, penalized, validation)


def given_ensemble(galleries: Sequence[Gallery], weights: Sequence[float], *, by: Way) -> Ensemble:
    """Return an ensemble of weights that are given, judged on nothing.

    Raises:
        CairnError: The galleries differ, the weights are none, or ``by`` is votes, which need
            photographs to fit their curves on.
    """
    require_way(by)
    if by == "votes":
        raise CairnError(
            "votes need validation photographs: a model's chances are fitted on them",
            where="--by votes",
            todo="add --validation MANIFEST, or put the models together by ranks or similarity",
        )
    if by in ("similarity", "concatenation"):
        aligned(galleries)
    require_same_landmarks(galleries)
    found = tuple(shares(weights, len(galleries)).tolist())
    members = _members(galleries, [None] * len(galleries))
    penalized = any(gallery.penalty is not None for gallery in galleries)
    return Ensemble(by, found, members, False, penalized)


def fit_manifest(
    galleries: Sequence[Gallery],
    manifest: Manifest,
    embeddings_dir: Path,
    *,
    by: Way = "votes",
    weights: Sequence[float] | None = None,
    backend: str = "auto",
    device: str = "auto",
    workers: int = 0,
) -> Ensemble:
    """Return an ensemble fitted on a manifest's queries, embedding them with each model first.

    Args:
        galleries: As ``fit_ensemble``.
        manifest: Its images of role query.
        embeddings_dir: Where the embeddings go, a folder a model, new or to be continued.
        by: See ``galleries``, like ``weights``.
        weights: See ``by``.
        backend: As ``cairn.embed.embed``, like the rest.
        device: See ``backend``.
        workers: See ``backend``.

    Raises:
        CairnError: As ``fit_ensemble``; or there is no query.
    """
    require_same_landmarks(galleries)  # before any work
    if by in ("similarity", "concatenation"):
        aligned(galleries)
    asked = manifest.select("query")
    for gallery in galleries:
        require_apart(gallery, asked.image_ids, [str(path) for path in asked.paths])
    truth = solution_of(asked).truth
    tables = embedded(
        galleries, asked, embeddings_dir, backend=backend, device=device, workers=workers
    )
    return fit_ensemble(
        galleries, tables, truth, by=by, weights=weights, manifest=asked.fingerprint
    )


def embedded(
    galleries: Sequence[Gallery],
    asked: Manifest,
    folder: Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    workers: int = 0,
) -> list[EmbeddingTable]:
    """Return each model's embeddings of those photographs that all models could read, in order.

    Args:
        galleries: Their models embed; galleries of one model share a table.
        asked: The photographs.
        folder: Where the tables go, each named by its model's fingerprint; they are continued.
        backend: As ``cairn.embed.embed``, like the rest.
        device: See ``backend``.
        workers: See ``backend``.

    Raises:
        CairnError: As ``cairn.embed.embed``; or no photograph can be read by all.
    """
    tables: dict[str, EmbeddingTable] = {}
    for gallery in galleries:
        name = gallery.table.fingerprint
        if name not in tables:
            place = folder / name
            embed(gallery.model_dir, asked, place, backend=backend, device=device, workers=workers)
            tables[name] = EmbeddingTable.read(place)
    shared = set.intersection(*(set(table.image_ids) for table in tables.values()))
    kept = [image for image in asked.image_ids if image in shared]
    if not kept:
        raise CairnError("no photograph could be read by every model", where=folder)
    for name, table in tables.items():
        row_of = {image: row for row, image in enumerate(table.image_ids)}
        tables[name] = table.take([row_of[image] for image in kept])
    return [tables[gallery.table.fingerprint] for gallery in galleries]


def fit_curve(votes: Votes, truth: Truth) -> Logistic:
    """Return the curve from a model's first votes to their chance of being right."""
    voted = votes.codes[:, 0] >= 0
    return Logistic.platt(votes.confidences[voted, 0], votes.first_right(truth)[voted])


def _members(galleries: Sequence[Gallery], curves: Sequence[Logistic | None]) -> tuple[Member, ...]:
    return tuple(
        Member(str(gallery.location), basis_of(gallery), curve)
        for gallery, curve in zip(galleries, curves, strict=True)
    )


def _tell_certain(fusion: WeightedSimilarity, weights: Sequence[float]) -> None:
    certain = fusion.is_certain(weights)
    if not certain.all():
        say(
            f"note: for {int((~certain).sum())} of {len(certain)} photographs a gallery image that "
            "no model proposed could be the best one"
        )
