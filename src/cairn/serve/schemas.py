"""The JSON that clients get and send; the OpenAPI document is made of these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["known", "unknown"]
CalibrationState = Literal["fresh", "renewing", "stale", "none"]


class Answered(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True)


class Asked(BaseModel):
    """A part of a request; unknown members are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ProblemOut(BaseModel):
    """What is wrong with a request (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    what: str = Field(description="What is wrong, in one sentence.")
    where: str = Field("", description="The part of the request at fault.")
    todo: str = Field("", description="What to do next.")
    request_id: str = Field("", description="Also in the header X-Request-ID.")


class LandmarkOut(Answered):
    """What people are told of a landmark; null is what is not known."""

    landmark_id: str
    name: str | None = None
    category: str | None = None
    natural_or_human_made: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    url: str | None = None
    num_images: int = Field(0, description="Its images in the gallery.")


class ImageOut(Answered):
    """A gallery image: whose it is, and where its picture is served."""

    image_id: str
    landmark_id: str
    author: str | None = None
    license: str | None = None
    source_url: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    picture: str = Field(description="Path of its picture on this server.")
    thumbnail: str = Field(description="Path of a small one; `?size=` is its longer side.")


class EvidenceOut(ImageOut):
    """A gallery image that spoke for an answer."""

    landmark_name: str | None = None
    similarity: float = Field(description="Cosine to the photograph, in [-1, 1].")
    penalty: float = Field(description="What the non-landmark penalty took off.")
    score: float = Field(description="Similarity less penalty: what evidence is ranked by.")


class PenaltyOut(Answered):
    """What the non-landmark penalty did to an answer."""

    applied: bool = Field(description="Whether the gallery has one and it was not turned off.")
    taken_off: float = Field(0.0, description="From the similarity of the image that answered.")
    changed_answer: bool | None = Field(
        None, description="Whether another landmark would have won without; with explain=true."
    )
    landmark_id_without: str | None = Field(None, description="That landmark; with explain=true.")
    similarity_without: float | None = Field(
        None, description="Its similarity, or score by stages; likewise."
    )


class PredictionOut(Answered):
    """The answer to one photograph."""

    image_id: str = Field(description="The name or number that the request gave it.")
    landmark: LandmarkOut | None = None
    confidence: float | None = Field(
        None,
        description="Similarity less penalty of the best image, or the score of stages; ranks "
        "answers.",
    )
    probability: float | None = Field(
        None, description="Calibrated chance of being right; null without a fresh calibration."
    )
    verdict: Verdict | None = Field(
        None, description="known or unknown; null without a fresh calibration."
    )
    penalty: PenaltyOut | None = None
    evidence: list[EvidenceOut] = []
    error: str | None = Field(None, description="Why this photograph could not be read.")


class RecognizeOut(Answered):
    """The answers to the photographs of one request, in order."""

    version: int = Field(description="The gallery's version that answered.")
    predictions: list[PredictionOut]


class Base64Image(Asked):
    """A photograph in JSON."""

    content: str = Field(description="The bytes of the file in base64.")
    image_id: str | None = Field(None, max_length=400)


class RecognizeIn(Asked):
    """Photographs in JSON."""

    images: Annotated[list[Base64Image], Field(min_length=1)]


class CalibrationOut(Answered):
    """From which chance on a photograph counts as known."""

    false_accept_rate: float = Field(description="Share of unknown photographs that may pass.")
    threshold: float = Field(description="The least probability of a known photograph.")
    time: str = Field("", description="When it was made.")


class GalleryOut(Answered):
    """The gallery that is served."""

    name: str
    version: int
    num_images: int
    num_landmarks: int
    model: str = Field(description="Fingerprint of the model.")
    dimension: int
    runs_on: str = Field(description="Backend, device and precision.")
    search: str
    stages: list[str] = Field([], description="What answers in place of the nearest image.")
    has_penalty: bool
    calibration: CalibrationOut | None = Field(
        None, description="Null where there is no fresh one: no verdicts then."
    )
    calibration_state: CalibrationState = Field(
        description="fresh; renewing: it is being made anew after a change; stale; none."
    )
    calibration_trouble: str = Field("", description="Why a stale one is not made anew.")
    read_only: bool
    max_images: int = Field(description="Photographs that one request may have.")
    max_body_bytes: int
    trouble: str = Field("", description="Why a newer version is not served.")


class ListedOut(LandmarkOut):
    """A landmark in a list."""

    thumbnail: str | None = Field(None, description="Path of a small picture of its first image.")


class LandmarksOut(Answered):
    """A page of landmarks."""

    version: int
    total: int = Field(description="Landmarks found, on all pages.")
    offset: int
    landmarks: list[ListedOut]


class LandmarkDetailOut(LandmarkOut):
    """A landmark with a page of its images."""

    version: int
    offset: int
    images: list[ImageOut]


class EntryOut(Answered):
    """A line of the gallery's log."""

    version: int
    operation: str
    arguments: dict[str, Any]
    num_images: int | None = None
    num_landmarks: int | None = None
    images_before: int | None = None
    landmarks_before: int | None = None
    time: str = ""
    tags: list[str] = []


class VersionsOut(Answered):
    """A page of the log, newest first."""

    serving: int = Field(description="The version that is served.")
    total: int
    offset: int
    versions: list[EntryOut]


class ChangeOut(Answered):
    """A change of the gallery that is on the disk."""

    entry: EntryOut
    visible: bool = Field(description="Whether requests are served from it already.")
    replayed: bool = Field(
        False, description="Whether an earlier request with this Idempotency-Key had made it."
    )


class AddedOut(Answered):
    """Photographs that were added to a landmark."""

    image_ids: list[str] = Field(description="Of the photographs, in order.")
    num_added: int = Field(description="Those of them that were not there before.")
    entry: EntryOut | None = Field(None, description="Null where all were there.")
    visible: bool = True
    replayed: bool = False


class MergeIn(Asked):
    """The landmark that gets all images."""

    into: str = Field(min_length=1, max_length=400)


class RenameIn(Asked):
    """Another name for people; "" for none."""

    name: str = Field(max_length=400)


class RollbackIn(Asked):
    """The version to go back to: its number, or its tag."""

    version: int | str


class Health(Answered):
    """Whether the server lives, or can answer."""

    status: Literal["ok", "loading", "stopping"]
    version: int | None = None
    trouble: str = ""


class ImportIn(Asked):
    """A folder below the server's import_root, with one folder of photographs a landmark."""

    folder: str = Field(min_length=1, max_length=400)


class JobOut(Answered):
    """Work in the background."""

    job_id: str
    kind: Literal["doctor", "import"]
    status: Literal["waiting", "running", "done", "failed", "cancelled"]
    step: str = Field("", description="What it is doing.")
    done: int = 0
    total: int | None = None
    started: str = ""
    seconds: float = 0.0
    version: int = Field(description="The gallery's version that it looked at.")
    result: dict[str, Any] | None = Field(None, description="What came of it, once it is done.")
    error: ProblemOut | None = None


class JobsOut(Answered):
    """The latest jobs, newest first; without their results."""

    jobs: list[JobOut]
