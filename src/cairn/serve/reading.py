"""Routes that read: health, figures, the gallery, its landmarks, images and log."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from cairn.gallery import Entry, log
from cairn.images import UnreadableImage
from cairn.serve.problems import Problem, without_paths
from cairn.serve.schemas import (
    CalibrationOut,
    GalleryOut,
    Health,
    LandmarkDetailOut,
    LandmarksOut,
    ListedOut,
    VersionsOut,
)
from cairn.serve.server import Server, server_of
from cairn.serve.shapes import entry_out, image_out, landmark_out
from cairn.serve.snapshot import Snapshot
from cairn.serve.stored import local_path

router = APIRouter(tags=["gallery"])

PICTURE_SIDE = 1600
THUMBNAIL_SIDE = 240
_JPEG = {200: {"content": {"image/jpeg": {}}, "description": "A JPEG without metadata."}}
_DAY_S = 86_400

Offset = Annotated[int, Query(ge=0, le=1 << 40, description="How many to pass over.")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many to return at most.")]


@router.get("/healthz", response_model=Health, summary="Whether the server lives", tags=["server"])
async def healthz(request: Request) -> Health:
    """Answer 200 as long as the process can answer at all."""
    server = server_of(request)
    return Health(status=server.state, trouble="")


@router.get(
    "/readyz",
    response_model=Health,
    responses={503: {"model": Health}},
    summary="Whether it can answer photographs",
    tags=["server"],
)
async def readyz(request: Request) -> Response:
    """Answer 200 once gallery and model are loaded and have run, 503 before and while stopping."""
    server = server_of(request)
    version = server.living.current.version if server.living.is_ready else None
    health = Health(status=server.state, version=version, trouble=_trouble(server))
    return JSONResponse(health.model_dump(), status_code=200 if server.state == "ok" else 503)


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    summary="Figures for Prometheus",
    tags=["server"],
)
async def metrics(request: Request) -> Response:
    """Return figures in Prometheus's text format."""
    return Response(server_of(request).metrics.text(), media_type="text/plain; version=0.0.4")


@router.get("/v1/gallery", response_model=GalleryOut, summary="What is served")
async def gallery(request: Request) -> GalleryOut:
    """Return counts, version, model, calibration and limits."""
    server = server_of(request)
    snapshot = server.current
    found, limits = snapshot.gallery, server.settings.limits
    judge, calibration = snapshot.recognizer.judge, None
    if judge is not None:
        calibration = CalibrationOut(
            false_accept_rate=judge.calibration.false_accept_rate,
            threshold=judge.calibration.threshold().value,
            time=str(judge.calibration.facts.get("time", "")),
        )
    state, trouble = ("fresh", "") if judge is not None else server.living.renewing.state
    return GalleryOut(
        name=Path(str(found.location)).name,
        version=snapshot.version,
        num_images=len(found.table),
        num_landmarks=snapshot.num_landmarks,
        model=found.table.fingerprint,
        dimension=found.table.dimension,
        runs_on=snapshot.recognizer.runtime.description,
        search=snapshot.search,
        stages=snapshot.stage_names,
        has_penalty=found.penalty is not None,
        calibration=calibration,
        calibration_state=state,
        calibration_trouble=without_paths(trouble),
        read_only=server.settings.gallery.read_only,
        max_images=limits.images,
        max_body_bytes=int(limits.body_mib * 2**20),
        trouble=_trouble(server),
    )


@router.get("/v1/landmarks", response_model=LandmarksOut, summary="Landmarks by name")
async def landmarks(
    request: Request,
    search: Annotated[
        str, Query(max_length=200, description="Part of a name or an id, in any case.")
    ] = "",
    offset: Offset = 0,
    limit: Limit = 50,
) -> LandmarksOut:
    """Return a page of the landmarks whose name or id contains a text."""
    snapshot = server_of(request).current
    ids, total = await asyncio.to_thread(
        snapshot.find_landmarks, search.strip(), offset=offset, limit=limit
    )
    shown = [_listed(snapshot, one) for one in ids]
    return LandmarksOut(version=snapshot.version, total=total, offset=offset, landmarks=shown)


@router.get(
    "/v1/landmarks/{landmark_id:path}",
    response_model=LandmarkDetailOut,
    summary="A landmark and its photographs",
)
async def landmark(
    request: Request, landmark_id: str, offset: Offset = 0, limit: Limit = 50
) -> LandmarkDetailOut:
    """Return what is known of a landmark, and a page of its images."""
    snapshot = server_of(request).current
    require_landmark(snapshot, landmark_id)
    rows = snapshot.rows_of(landmark_id, offset=offset, limit=limit)
    about = landmark_out(snapshot.landmark(landmark_id), snapshot.num_images(landmark_id))
    return LandmarkDetailOut(
        **about.model_dump(),
        version=snapshot.version,
        offset=offset,
        images=[image_out(snapshot, row) for row in rows],
    )


@router.get(
    "/v1/images/{image_id:path}/thumbnail",
    response_class=Response,
    responses=_JPEG,  # type: ignore[arg-type]
    summary="A gallery image, small",
)
async def thumbnail(
    request: Request,
    image_id: str,
    size: Annotated[int, Query(ge=32, le=1024, description="Longer side in pixels.")] = (
        THUMBNAIL_SIDE
    ),
) -> Response:
    """Return the picture of a gallery image as a JPEG, its longer side at most `size` pixels."""
    whole = f"{image_id}/thumbnail"
    if server_of(request).current.row(whole) is not None:
        return await _picture(request, whole, PICTURE_SIDE)
    return await _picture(request, image_id, size)


@router.get(
    "/v1/images/{image_id:path}",
    response_class=Response,
    responses=_JPEG,  # type: ignore[arg-type]
    summary="A gallery image",
)
async def image(request: Request, image_id: str) -> Response:
    """Return the picture of a gallery image as a JPEG, at most 1,600 pixels wide or high."""
    return await _picture(request, image_id, PICTURE_SIDE)


@router.get("/v1/versions", response_model=VersionsOut, summary="The gallery's log")
async def versions(request: Request, offset: Offset = 0, limit: Limit = 50) -> VersionsOut:
    """Return a line for each version that is kept, newest first."""
    server = server_of(request)
    serving = server.current.version
    entries: list[Entry] = await asyncio.to_thread(log, server.living.place.location)
    return VersionsOut(
        serving=serving,
        total=len(entries),
        offset=offset,
        versions=[entry_out(one) for one in entries[offset : offset + limit]],
    )


def require_landmark(snapshot: Snapshot, landmark_id: str) -> None:
    """Refuse a landmark that the gallery does not have.

    Raises:
        Problem: It does not.
    """
    if not snapshot.has_landmark(landmark_id):
        raise Problem(
            404,
            "the gallery has no such landmark",
            where="path.landmark_id",
            todo="GET /v1/landmarks?search= finds landmarks by a part of their name",
        )


def _listed(snapshot: Snapshot, landmark_id: str) -> ListedOut:
    about = landmark_out(snapshot.landmark(landmark_id), snapshot.num_images(landmark_id))
    first = snapshot.rows_of(landmark_id, limit=1)
    cover = image_out(snapshot, first[0]).thumbnail if first else None
    return ListedOut(**about.model_dump(), thumbnail=cover)


async def _picture(request: Request, image_id: str, side: int) -> Response:
    server = server_of(request)
    snapshot = server.current
    row = snapshot.row(image_id)
    if row is None:
        raise Problem(404, "the gallery has no such image", where="path.image_id")
    path = local_path(server.living.place, snapshot.gallery.table.paths[row])
    make = server.pictures.jpeg
    max_pixels = server.settings.limits.pixels
    try:
        made = await asyncio.get_running_loop().run_in_executor(
            server.loaders, lambda: make(path, side, max_pixels=max_pixels)
        )
    except UnreadableImage:
        raise Problem(
            404,
            "the photograph of this image is not at hand",
            where="path.image_id",
            todo="put it back where it lay when it was embedded",
        ) from None
    tag = f'"{hashlib.sha256(made).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": f"private, max-age={_DAY_S}"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(made, media_type="image/jpeg", headers=headers)


def _trouble(server: Server) -> str:
    return without_paths(server.living.trouble)
