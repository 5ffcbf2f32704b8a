"""Routes of work in the background: the doctor, and folders to add."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request

from cairn.doctor import CheckRule
from cairn.serve.adding import require_own_model
from cairn.serve.changing import writable
from cairn.serve.checkup import check_up
from cairn.serve.examples import IMPORT_EXAMPLE
from cairn.serve.importing import folder_below, import_folder
from cairn.serve.jobs import Job
from cairn.serve.schemas import ImportIn, JobOut, JobsOut
from cairn.serve.server import server_of
from cairn.serve.uploads import read_json

router = APIRouter(tags=["jobs"])


@router.post("/v1/jobs/doctor", response_model=JobOut, status_code=202, summary="Look for faults")
async def doctor(
    request: Request,
    near: Annotated[
        float, Query(gt=0, le=1, description="Similarity of nearly equal pictures.")
    ] = CheckRule.near,
    merge: Annotated[
        float, Query(gt=0, le=1, description="Mixing from which landmarks look like one.")
    ] = CheckRule.merge,
    shown: Annotated[int, Query(ge=1, le=200, description="Findings of a kind to return.")] = (
        CheckRule.shown
    ),
) -> JobOut:
    """Find wrong labels, collisions, duplicates and images that attract anything.

    `result` is what `cairn gallery check` writes, with `thumbnail` paths beside ids of images and
    with `action`, the requests that follow a verdict, in place of commands.
    """
    server = server_of(request)
    snapshot = server.current
    rule = CheckRule(near=near, merge=merge, shown=shown)
    job = Job("doctor", snapshot.version)
    return server.jobs.begin(job, lambda _: check_up(snapshot.gallery, rule)).out()


@router.post(
    "/v1/jobs/import",
    response_model=JobOut,
    status_code=202,
    summary="Add a folder of photographs",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": ImportIn.model_json_schema(),
                    "examples": IMPORT_EXAMPLE,
                }
            },
        }
    },
)
async def import_photographs(request: Request) -> JobOut:
    """Add a folder below the server's `gallery.import_root`, with one folder a landmark."""
    server = writable(request)
    require_own_model(server.current)
    name = (await read_json(request, ImportIn)).folder
    folder = folder_below(server.settings.gallery.import_root, name)
    by = request.state.by
    job = Job("import", server.current.version)
    return server.jobs.begin(
        job, lambda progress: import_folder(server, folder, by=by, progress=progress)
    ).out()


@router.get("/v1/jobs", response_model=JobsOut, summary="The latest jobs")
async def jobs(request: Request) -> JobsOut:
    """Return the latest jobs, newest first, without their results."""
    found = server_of(request).jobs.latest()
    return JobsOut(jobs=[one.out(with_result=False) for one in found])


@router.get("/v1/jobs/{job_id}", response_model=JobOut, summary="How far a job is")
async def job(request: Request, job_id: str) -> JobOut:
    """Return a job, with what came of it once it is done."""
    return server_of(request).jobs.find(job_id).out()


@router.delete("/v1/jobs/{job_id}", response_model=JobOut, summary="Call a job off")
async def cancel(request: Request, job_id: str) -> JobOut:
    """Call a job off; what it committed stays."""
    found = server_of(request).jobs.find(job_id)
    found.cancel()
    return found.out()
