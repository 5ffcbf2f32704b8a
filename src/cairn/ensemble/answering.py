"""Answers of an ensemble: photographs embedded by every model, its galleries asked together.

A photograph alone gets the answer that it gets among others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cairn.domain import Prediction
from cairn.ensemble.fitting import embedded
from cairn.ensemble.fusion import predictions
from cairn.ensemble.settings import Ensemble, digests
from cairn.ensemble.ways import fuse
from cairn.errors import CairnError
from cairn.gallery import Gallery
from cairn.gallery.calibrations import basis_of
from cairn.manifest import Manifest
from cairn.progress import say, track
from cairn.recognize import Answers
from cairn.tables import EmbeddingTable

_AT_ONCE = 1 << 14  # queries whose candidates are in memory


def load_galleries(ensemble: Ensemble) -> list[Gallery]:
    """Return an ensemble's galleries, with their penalties where they were used.

    Raises:
        CairnError: One is missing, or, where anything was fitted to the galleries, has changed
            since.
    """
    galleries = []
    for member in ensemble.members:
        gallery = Gallery.load(member.gallery, penalty=ensemble.use_penalty)
        differences = member.basis.differences(basis_of(gallery))
        if differences and ensemble.holds_for_a_state:
            raise CairnError(
                f"the ensemble is STALE: {' and '.join(differences)} of a gallery changed since it "
                "was fitted; its weights and chances mean nothing now",
                where=member.gallery,
                todo="fit it anew: cairn ensemble fit",
            )
        galleries.append(gallery)
    return galleries


def answer_tables(
    ensemble: Ensemble, galleries: Sequence[Gallery], queries: Sequence[EmbeddingTable]
) -> list[Prediction]:
    """Return one prediction for each photograph, in order.

    Args:
        ensemble: How.
        galleries: Its galleries.
        queries: For each, its model's embeddings of the same photographs in the same order.

    Raises:
        CairnError: Galleries or queries differ.
    """
    curves = [member.curve for member in ensemble.members if member.curve is not None]
    made: list[Prediction] = []
    starts = range(0, len(queries[0]), _AT_ONCE)
    for start in track(starts, "answer") if len(starts) > 1 else starts:
        rows = range(start, min(start + _AT_ONCE, len(queries[0])))
        some = [table.take(rows) for table in queries] if len(starts) > 1 else queries
        fusion = fuse(ensemble.by, some, galleries, curves=curves)
        made += predictions(fusion, ensemble.weights)
    return made


def recognize_manifest(
    ensemble: Ensemble,
    manifest: Manifest,
    embeddings_dir: Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    workers: int = 0,
) -> Answers:
    """Return a prediction for every image of role query, embedding them with each model first.

    A query that some model cannot read is answered with no landmark, and listed.

    Args:
        ensemble: How.
        manifest: The queries; other roles are passed over.
        embeddings_dir: Where the queries' embeddings go, a folder a model; they are continued.
        backend: As ``cairn.embed.embed``, like the rest.
        device: See ``backend``.
        workers: See ``backend``.

    Raises:
        CairnError: The ensemble is stale, or the manifest has no query that can be read.
    """
    galleries = load_galleries(ensemble)
    asked = manifest.queries()
    _tell_overlap(ensemble, asked)
    tables = embedded(
        galleries, asked, embeddings_dir, backend=backend, device=device, workers=workers
    )
    by_id = {one.image_id: one for one in answer_tables(ensemble, galleries, tables)}
    missing = {image: "unreadable" for image in asked.image_ids if image not in by_id}
    rows = [by_id.get(image) or Prediction(image, None, 0.0) for image in asked.image_ids]
    return Answers(rows, missing)


def _tell_overlap(ensemble: Ensemble, asked: Manifest) -> None:
    """Say where queries are those that weights were fitted on: their scores will flatter."""
    if ensemble.validation is None or not ensemble.holds_for_a_state:
        return
    known = ensemble.validation.photographs
    pairs = zip(asked.image_ids, asked.paths, strict=True)
    shared = sum(bool(digests([image], [path]) & known) for image, path in pairs)
    if shared:
        say(
            f"warning: {shared} of {len(asked)} queries are photographs that the ensemble was "
            "fitted on; their scores are too good"
        )
