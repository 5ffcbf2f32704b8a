"""Routes that answer photographs: Cairn's own, and the one of Google Cloud Vision's shape."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from cairn.images import UnreadableImage
from cairn.serve import vision
from cairn.serve.answering import Ask
from cairn.serve.examples import GOOGLE_EXAMPLE, JSON_EXAMPLE
from cairn.serve.problems import Problem, without_paths
from cairn.serve.schemas import PredictionOut, RecognizeIn, RecognizeOut
from cairn.serve.server import server_of
from cairn.serve.shapes import prediction_out
from cairn.serve.uploads import FORM, JSON, read_json, read_uploads

router = APIRouter(tags=["recognition"])

_IMAGE_SCHEMA = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        FORM: {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {"image": {"type": "array", "minItems": 1, "items": _IMAGE_SCHEMA}},
            }
        },
        JSON: {"schema": RecognizeIn.model_json_schema(), "examples": JSON_EXAMPLE},
        "image/jpeg": {"schema": _IMAGE_SCHEMA},
    },
}


@router.post(
    "/v1/recognize",
    response_model=RecognizeOut,
    summary="Which landmarks photographs show, and why",
    openapi_extra={"requestBody": _BODY},
)
async def recognize(
    request: Request,
    top: Annotated[int | None, Query(ge=1, le=1000, description="Evidence to show.")] = None,
    penalty: Annotated[bool, Query(description="Take the gallery's penalty off.")] = True,
    explain: Annotated[
        bool, Query(description="Say what the answer would be without the penalty.")
    ] = False,
) -> Response:
    """Answer one photograph or many: a form, one file as the body, or base64 in JSON.

    Each is answered for itself; one that cannot be read has `error` in place of an answer. Where
    none can be read, the request is.
    """
    server = server_of(request)
    settings = server.settings.gallery
    top = settings.top if top is None else top
    if top > settings.max_top:
        raise Problem(422, f"at most {settings.max_top}", where="query.top")
    uploads = (await read_uploads(request, server.settings.limits)).photographs
    snapshot = server.current
    asks = [Ask(one.content, snapshot, top, penalty, explain) for one in uploads]
    predictions = []
    for upload, answer in zip(uploads, await server.answering(asks), strict=True):
        if isinstance(answer, UnreadableImage):
            server.metrics.unreadable.inc()
            reason = without_paths(answer.reason)
            predictions.append(PredictionOut(image_id=upload.image_id, error=reason))
        else:
            made = prediction_out(answer, upload.image_id, snapshot, use_penalty=penalty)
            predictions.append(made)
    if all(one.error for one in predictions):
        raise Problem(
            422,
            "the photograph cannot be read"
            if len(predictions) == 1
            else f"none of the {len(predictions)} photographs can be read",
            where=f"{predictions[0].image_id}: {predictions[0].error}",
            todo="send JPEG, PNG or WebP files",
        )
    made_of = RecognizeOut(version=snapshot.version, predictions=predictions)
    return Response(made_of.model_dump_json(), media_type=JSON)


@router.post(
    "/v1/images:annotate",
    response_model=vision.AnnotateOut,
    response_model_exclude_none=True,
    summary="Landmark detection in the shape of Google Cloud Vision",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {"schema": vision.AnnotateIn.model_json_schema(), "examples": GOOGLE_EXAMPLE}
            },
        }
    },
)
async def annotate(request: Request) -> Response:
    """Answer as `images:annotate` of Google Cloud Vision does for LANDMARK_DETECTION.

    A photograph that shows no landmark of the gallery, by its calibration, has no annotation.
    """
    server = server_of(request)
    asked = await read_json(request, vision.AnnotateIn)
    snapshot = server.current
    made = await vision.annotate(asked, snapshot, server.answering, server.settings.limits)
    return Response(made.model_dump_json(exclude_none=True), media_type=JSON)
