"""Routes that change the gallery. A change that is answered is committed, and on the disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.requests import Request

from cairn.gallery import Entry, merge_landmarks, remove_images, rename_landmark, rollback
from cairn.gallery.versions import noting
from cairn.images import UnreadableImage
from cairn.serve.adding import (
    FIELDS,
    Added,
    NewImage,
    checked_id,
    commit_new,
    image_id_of,
    labels_of,
    require_own_model,
)
from cairn.serve.answering import Ask
from cairn.serve.batching import Busy, Closed
from cairn.serve.examples import MERGE_EXAMPLE, RENAME_EXAMPLE, ROLLBACK_EXAMPLE
from cairn.serve.keys import checked_key, request_digest
from cairn.serve.problems import Problem, without_paths
from cairn.serve.reading import require_landmark
from cairn.serve.schemas import AddedOut, ChangeOut, MergeIn, RenameIn, RollbackIn
from cairn.serve.server import Server, server_of
from cairn.serve.shapes import entry_out
from cairn.serve.stored import store
from cairn.serve.uploads import FORM, read_json, read_uploads

router = APIRouter(tags=["living gallery"])

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Makes the change once, however often it is asked for with this key.",
    ),
]

_POLL_S = 0.01
_FORM_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        FORM: {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "image": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                    },
                    **{name: {"type": "string", "maxLength": 400} for name in FIELDS},
                },
            }
        },
        "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
    },
}


def _body(kind: Any, examples: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": kind.model_json_schema(), "examples": examples}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/v1/landmarks/{landmark_id:path}/images",
    response_model=AddedOut,
    summary="Add photographs to a landmark",
    openapi_extra={"requestBody": _FORM_BODY},
)
async def add_images(
    request: Request,
    landmark_id: str,
    create: Annotated[bool, Query(description="Make the landmark where it is new.")] = False,
    key: Key = None,
) -> AddedOut:
    """Embed photographs and add them, all or none, in one version.

    A photograph that the landmark has already is not added again. `name`, `category`, `latitude`
    and `longitude`, `url`, `author`, `license` and `source_url` may be said in the form; what a
    landmark is known as already stays.
    """
    server = writable(request)
    key = checked_key(key)
    require_own_model(server.current)
    if not create:
        require_landmark(server.current, landmark_id)
    landmark_id = checked_id(landmark_id)
    uploads = await read_uploads(request, server.settings.limits, with_json=False)
    snapshot = server.current
    contents = {image_id_of(one.content): one.content for one in uploads.photographs}
    image_ids = [image_id_of(one.content) for one in uploads.photographs]
    labels = labels_of(uploads.fields, landmark_id, list(contents))
    answers = await server.answering([Ask(content, snapshot) for content in contents.values()])
    vectors = []
    for image_id, answer in zip(contents, answers, strict=True):
        if isinstance(answer, UnreadableImage):
            name = uploads.photographs[image_ids.index(image_id)].image_id
            server.metrics.unreadable.inc()
            reason = without_paths(answer.reason)
            raise Problem(
                422,
                "a photograph cannot be read, and none was added",
                where=f"{name}: {reason}",
                todo="leave it out",
            )
        vectors.append(answer.vector)
    place, model = server.living.place, snapshot.gallery.table.fingerprint
    by = request.state.by or "a client"

    def work() -> Added:
        images = [
            NewImage(image_id, landmark_id, store(place, content), vector)
            for (image_id, content), vector in zip(contents.items(), vectors, strict=True)
        ]
        return commit_new(place, images, labels, model=model, origin=f"cairn serve, {by}")

    digest = request_digest("add", landmark_id, dict(uploads.fields), image_ids)
    made, replayed = await _carry_out(request, "add", key, digest, work)
    added = made if isinstance(made, Added) else Added(made, int(made.arguments["images"]))
    entry = added.entry
    return AddedOut(
        image_ids=image_ids,
        num_added=added.num_added,
        entry=None if entry is None else entry_out(entry),
        visible=entry is None or await _is_visible(server, entry.version),
        replayed=replayed,
    )


@router.delete(
    "/v1/landmarks/{landmark_id:path}",
    response_model=ChangeOut,
    summary="Remove a landmark with all its images",
)
async def remove_landmark(request: Request, landmark_id: str, key: Key = None) -> ChangeOut:
    """Remove all images of a landmark; a rollback brings them back."""
    place = writable(request).living.place.location
    return await _change(
        request,
        "remove",
        key,
        ("landmark", landmark_id),
        lambda: remove_images(place, landmark_ids=[landmark_id]),
    )


@router.delete(
    "/v1/images/{image_id:path}", response_model=ChangeOut, summary="Remove a gallery image"
)
async def remove_image(request: Request, image_id: str, key: Key = None) -> ChangeOut:
    """Remove one image; a rollback brings it back."""
    place = writable(request).living.place.location
    return await _change(
        request,
        "remove",
        key,
        ("image", image_id),
        lambda: remove_images(place, image_ids=[image_id]),
    )


@router.post(
    "/v1/landmarks/{landmark_id:path}/merge",
    response_model=ChangeOut,
    summary="Give all images of a landmark to another",
    openapi_extra=_body(MergeIn, MERGE_EXAMPLE),
)
async def merge(request: Request, landmark_id: str, key: Key = None) -> ChangeOut:
    """Make one landmark of two: the one in `into` stays."""
    place = writable(request).living.place.location
    into = (await read_json(request, MergeIn)).into
    return await _change(
        request,
        "merge",
        key,
        (landmark_id, into),
        lambda: merge_landmarks(place, landmark_id, into=into),
    )


@router.patch(
    "/v1/landmarks/{landmark_id:path}",
    response_model=ChangeOut,
    summary="Give a landmark another name",
    openapi_extra=_body(RenameIn, RENAME_EXAMPLE),
)
async def rename(request: Request, landmark_id: str, key: Key = None) -> ChangeOut:
    """Change what people call a landmark; its id stays."""
    place = writable(request).living.place.location
    name = (await read_json(request, RenameIn)).name
    return await _change(
        request,
        "rename",
        key,
        (landmark_id, name),
        lambda: rename_landmark(place, landmark_id, name),
    )


@router.post(
    "/v1/rollback",
    response_model=ChangeOut,
    summary="Go back to an earlier version",
    openapi_extra=_body(RollbackIn, ROLLBACK_EXAMPLE),
)
async def roll_back(request: Request, key: Key = None) -> ChangeOut:
    """Make the gallery what it was, as a new version: what came in between is not lost."""
    place = writable(request).living.place.location
    version = (await read_json(request, RollbackIn)).version
    return await _change(request, "rollback", key, (version,), lambda: rollback(place, version))


async def _change(
    request: Request, kind: str, key: str | None, parts: tuple[Any, ...], work: Callable[[], Entry]
) -> ChangeOut:
    server = server_of(request)
    made, replayed = await _carry_out(
        request, kind, checked_key(key), request_digest(kind, *parts), work
    )
    entry = _entry_of(made)
    assert entry is not None
    visible = await _is_visible(server, entry.version)
    return ChangeOut(entry=entry_out(entry), visible=visible, replayed=replayed)


async def _carry_out(
    request: Request,
    kind: str,
    key: str,
    digest: str,
    work: Callable[[], Added | Entry],
) -> tuple[Added | Entry, bool]:
    """Return what a change came to, or the entry of the earlier one with its key, and which.

    Raises:
        Problem: There is no room, no time, the server is stopping, or the key was another's.
    """
    server = server_of(request)
    keys = server.keys

    def turn() -> tuple[Added | Entry, bool]:
        known = keys.find(key, digest)
        if known is not None:
            return known, True
        with noting(keys.note(key, digest, request.state.by)):
            made = work()
        entry = _entry_of(made)
        if entry is not None:
            keys.made(key, digest, entry)
        return made, False

    try:
        future = server.living.change(turn)
    except Busy as busy:
        raise Problem(
            429,
            "as many changes wait as may",
            todo="send the request again",
            headers={"Retry-After": str(round(busy.retry_after_s))},
        ) from None
    except Closed:
        raise Problem(503, "the server is stopping", headers={"Retry-After": "5"}) from None
    try:
        # A change is never given up half-way: whoever asked may go, it is carried out.
        async with asyncio.timeout(server.settings.limits.request_s):
            result = await asyncio.shield(asyncio.wrap_future(future))
    except TimeoutError:
        raise Problem(
            504,
            "the change is still waiting or being made",
            todo="GET /v1/versions shows it; asked for again with its Idempotency-Key, it is "
            "made once",
        ) from None
    if not result[1]:
        server.metrics.changes.labels(kind).inc()
    return result


def _entry_of(made: Added | Entry) -> Entry | None:
    return made.entry if isinstance(made, Added) else made


async def _is_visible(server: Server, version: int) -> bool:
    """Wait a while until a version is served; return whether it is."""
    end = time.monotonic() + server.settings.limits.request_s
    while server.living.current.version < version and time.monotonic() < end:
        if server.living.trouble or not server.living.is_ready:
            return False
        await asyncio.sleep(_POLL_S)
    return server.living.current.version >= version


def writable(request: Request) -> Server:
    """Return the server that a request came to, where its gallery may be changed.

    Raises:
        Problem: It may not, or the server is not ready.
    """
    server = server_of(request)
    if server.settings.gallery.read_only:
        raise Problem(403, "this server changes nothing", todo="ask whoever runs it")
    assert server.current is not None
    return server
