"""The shape of Google Cloud Vision's ``images:annotate``, for clients that switch.

As there: a photograph is base64 in ``image.content``, an answer stands at its place in
``responses``, and a photograph that cannot be read has an ``error`` of google.rpc.Status in place
of an answer. Unlike there: photographs are not fetched from addresses, other kinds of detection
are refused, there is at most one landmark a photograph and no box around it.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from cairn.images import UnreadableImage
from cairn.serve.answering import Answer, Answering, Ask
from cairn.serve.problems import Problem, without_paths
from cairn.serve.settings import LimitSettings
from cairn.serve.snapshot import Snapshot
from cairn.serve.uploads import decoded, too_many

LANDMARKS = "LANDMARK_DETECTION"
INVALID_ARGUMENT, UNIMPLEMENTED = 3, 12
"""Codes of google.rpc.Code."""


class _Shape(BaseModel):
    """Members that are not used here, such as imageContext, are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Source(_Shape):
    """Where a photograph is to be fetched, which this server does not do."""

    imageUri: str = ""
    gcsImageUri: str = ""


class VisionImage(_Shape):
    """A photograph."""

    content: str = Field("", description="The bytes of the file in base64.")
    source: Source | None = None


class Feature(_Shape):
    """What to detect."""

    type: str = Field(LANDMARKS, description="LANDMARK_DETECTION.")
    maxResults: int = 10
    model: str = ""


class AnnotateImageIn(_Shape):
    """One photograph, and what to detect in it."""

    image: VisionImage
    features: list[Feature] = Field(min_length=1)


class AnnotateIn(_Shape):
    """Google's BatchAnnotateImagesRequest."""

    requests: list[AnnotateImageIn] = Field(min_length=1)


class LatLng(_Shape):
    """Degrees."""

    latitude: float
    longitude: float


class Location(_Shape):
    """Where a landmark is."""

    latLng: LatLng


class Vertex(_Shape):
    """A corner in pixels."""

    x: int
    y: int


class BoundingPoly(_Shape):
    """Empty: recognition looks at the whole photograph."""

    vertices: list[Vertex] = []


class LandmarkAnnotation(_Shape):
    """A landmark that was detected."""

    mid: str = Field(description="The landmark's id in the gallery.")
    description: str = Field(description="Its name; its id where it has none.")
    score: float = Field(
        description="The calibrated chance; without one, similarity less penalty, in [0, 1]."
    )
    boundingPoly: BoundingPoly = BoundingPoly()
    locations: list[Location] | None = None


class Status(_Shape):
    """Google's google.rpc.Status."""

    code: int
    message: str


class AnnotateImageOut(_Shape):
    """The answer to one photograph."""

    landmarkAnnotations: list[LandmarkAnnotation] | None = None
    error: Status | None = None


class AnnotateOut(_Shape):
    """Google's BatchAnnotateImagesResponse."""

    responses: list[AnnotateImageOut]


async def annotate(
    asked: AnnotateIn, snapshot: Snapshot, answering: Answering, limits: LimitSettings
) -> AnnotateOut:
    """Return the answers, each at the place of its photograph.

    Raises:
        Problem: There are too many photographs, no room, or no time.
    """
    if len(asked.requests) > limits.images:
        raise too_many(limits)
    answers: dict[int, AnnotateImageOut] = {}
    asks: dict[int, Ask] = {}
    for number, one in enumerate(asked.requests):
        fault = _refused(one)
        if fault is not None:
            answers[number] = AnnotateImageOut(error=fault)
            continue
        try:
            content = decoded(one.image.content, where=f"requests.{number}.image.content")
        except Problem as problem:
            answers[number] = _error(INVALID_ARGUMENT, f"{problem.where}: {problem.what}")
            continue
        asks[number] = Ask(content, snapshot, top=1)
    if asks:
        found = await answering(list(asks.values()))
        for number, answer in zip(asks, found, strict=True):
            answers[number] = _answer(answer, snapshot)
    return AnnotateOut(responses=[answers[number] for number in range(len(asked.requests))])


def _refused(one: AnnotateImageIn) -> Status | None:
    kinds = {feature.type for feature in one.features}
    if LANDMARKS not in kinds:
        return Status(code=UNIMPLEMENTED, message=f"only {LANDMARKS} is done here")
    if not one.image.content:
        return Status(
            code=INVALID_ARGUMENT,
            message="image.content is empty; photographs are not fetched from addresses here",
        )
    return None


def _answer(answer: Answer | UnreadableImage, snapshot: Snapshot) -> AnnotateImageOut:
    if isinstance(answer, UnreadableImage):
        return _error(INVALID_ARGUMENT, f"Bad image data: {without_paths(answer.reason)}")
    prediction = answer.prediction
    assert prediction is not None
    if prediction.is_known is False or prediction.landmark_id is None:
        return AnnotateImageOut()
    landmark = snapshot.landmark(prediction.landmark_id)
    chance = prediction.probability
    score = min(1.0, max(0.0, prediction.confidence)) if chance is None else chance
    places = None
    if landmark.latitude is not None and landmark.longitude is not None:
        place = LatLng(latitude=landmark.latitude, longitude=landmark.longitude)
        places = [Location(latLng=place)]
    found = LandmarkAnnotation(
        mid=landmark.landmark_id,
        description=landmark.name or landmark.landmark_id,
        score=score,
        locations=places,
    )
    return AnnotateImageOut(landmarkAnnotations=[found])


def _error(code: int, message: str) -> AnnotateImageOut:
    return AnnotateImageOut(error=Status(code=code, message=message))
