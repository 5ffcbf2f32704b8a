"""From values of the library to the JSON of the answers; no path of a file comes along."""

from __future__ import annotations

from urllib.parse import quote

from cairn.domain import Evidence, Landmark, Prediction
from cairn.gallery import Entry
from cairn.serve.answering import Answer
from cairn.serve.keys import NOTE_KEYS
from cairn.serve.problems import without_paths
from cairn.serve.schemas import (
    EntryOut,
    EvidenceOut,
    ImageOut,
    LandmarkOut,
    PenaltyOut,
    PredictionOut,
)
from cairn.serve.snapshot import Snapshot


def landmark_out(landmark: Landmark, num_images: int) -> LandmarkOut:
    """Return what people are told of a landmark."""
    return LandmarkOut(
        landmark_id=landmark.landmark_id,
        name=landmark.name or None,
        category=landmark.category or None,
        natural_or_human_made=landmark.natural_or_human_made or None,
        latitude=landmark.latitude,
        longitude=landmark.longitude,
        url=landmark.url or None,
        num_images=num_images,
    )


def picture_path(image_id: str) -> str:
    """Return where the picture of a gallery image is served."""
    return f"/v1/images/{quote(image_id, safe='')}"


def image_out(snapshot: Snapshot, row: int) -> ImageOut:
    """Return what is known of a gallery image."""
    table = snapshot.gallery.table
    about = {k: v for k, v in snapshot.gallery.about(row).items() if v != ""}
    path = picture_path(table.image_ids[row])
    return ImageOut(
        image_id=table.image_ids[row],
        landmark_id=table.landmark_ids[row],
        picture=path,
        thumbnail=f"{path}/thumbnail",
        **about,
    )


def prediction_out(
    answer: Answer, image_id: str, snapshot: Snapshot, *, use_penalty: bool = True
) -> PredictionOut:
    """Return the answer to one photograph."""
    prediction = answer.prediction
    assert prediction is not None
    applied = use_penalty and snapshot.takes_penalty
    if prediction.landmark_id is None:  # stages may leave no landmark at all
        return PredictionOut(
            image_id=image_id,
            confidence=prediction.confidence,
            verdict="unknown",
            penalty=_penalty_out(prediction, answer.without_penalty, applied=applied),
        )
    landmark = prediction.landmark or Landmark(prediction.landmark_id)
    verdict = None
    if prediction.is_known is not None:
        verdict = "known" if prediction.is_known else "unknown"
    return PredictionOut(
        image_id=image_id,
        landmark=landmark_out(landmark, snapshot.num_images(landmark.landmark_id)),
        confidence=prediction.confidence,
        probability=prediction.probability,
        verdict=verdict,
        penalty=_penalty_out(prediction, answer.without_penalty, applied=applied),
        evidence=[_evidence_out(one, snapshot) for one in prediction.evidence],
    )


def entry_out(entry: Entry) -> EntryOut:
    """Return a line of the log, without the names of files in it."""
    arguments = {k: _plain(v) for k, v in entry.arguments.items() if k not in NOTE_KEYS}
    return EntryOut(
        version=entry.version,
        operation=entry.operation,
        arguments=arguments,
        num_images=entry.num_images,
        num_landmarks=entry.num_landmarks,
        images_before=entry.images_before,
        landmarks_before=entry.landmarks_before,
        time=entry.time,
        tags=list(entry.tags),
    )


def _plain(value: object) -> object:
    return without_paths(value) if isinstance(value, str) else value


def _penalty_out(
    prediction: Prediction, without: Prediction | None, *, applied: bool
) -> PenaltyOut:
    taken_off = prediction.evidence[0].penalty if prediction.evidence else 0.0
    if without is None:
        return PenaltyOut(applied=applied, taken_off=taken_off)
    return PenaltyOut(
        applied=applied,
        taken_off=taken_off,
        changed_answer=without.landmark_id != prediction.landmark_id,
        landmark_id_without=without.landmark_id,
        similarity_without=without.confidence,
    )


def _evidence_out(one: Evidence, snapshot: Snapshot) -> EvidenceOut:
    path = picture_path(one.image_id)
    return EvidenceOut(
        image_id=one.image_id,
        landmark_id=one.landmark_id,
        landmark_name=snapshot.landmark(one.landmark_id).name or None,
        author=one.author or None,
        license=one.license or None,
        source_url=one.source_url or None,
        latitude=one.latitude,
        longitude=one.longitude,
        similarity=one.similarity,
        penalty=one.penalty,
        score=one.score,
        picture=path,
        thumbnail=f"{path}/thumbnail",
    )
