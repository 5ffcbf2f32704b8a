"""Where the model looks, over a photograph: the maps of ``cairn.attention`` for clients.

The network that serves may be compiled, which shows nothing of its inside; maps are made by one of
PyTorch's, loaded when the first is asked for and kept while the gallery's model is the same. One
thread makes them, beside the one that answers, and few may wait for it.
"""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Query
from PIL import Image
from pydantic import Field
from starlette.requests import Request

from cairn.images import UnreadableImage
from cairn.serve.photographs import require_modest
from cairn.serve.problems import Problem, without_paths
from cairn.serve.schemas import Answered
from cairn.serve.server import Server, server_of
from cairn.serve.settings import LimitSettings
from cairn.serve.snapshot import Snapshot
from cairn.serve.stored import local_path
from cairn.serve.uploads import FORM, read_uploads

router = APIRouter(tags=["recognition"])

T = TypeVar("T")

LONGEST_PX = 800
"""Longer side of a map."""

MOST_WAITING = 8
"""Requests that may wait for the one thread; beyond it they are answered 429."""

_LEAST_RANGE = 3.0  # the brightest colour is never less than this times the even share
_QUALITY = 82
_IMAGE: dict[str, Any] = {"type": "string", "format": "binary"}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        FORM: {
            "schema": {"type": "object", "required": ["image"], "properties": {"image": _IMAGE}}
        },
        "image/jpeg": {"schema": _IMAGE},
    },
}


class MapOut(Answered):
    """A map, laid over what it is of."""

    of: Literal["photograph", "evidence"]
    title: str
    note: str = ""
    type: str = "image/jpeg"
    content: str = Field(description="The picture in base64.")


class MapsOut(Answered):
    """Maps of one photograph."""

    maps: list[MapOut] = Field(
        description="By stage, from the input on; none where the model has no such blocks."
    )
    note: str = Field(description="How to read them.")
    similarity: float | None = Field(None, description="Cosine to the evidence, where one is named")


class Maps:
    """Makes maps, one request after the other.

    Args:
        wait_s: How long a request waits.
    """

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="maps")
        self._lock = threading.Lock()
        self._num_waiting = 0
        self._model: tuple[str, Any] | None = None

    async def __call__(self, work: Callable[[], T]) -> T:
        """Return what some work in the thread comes to.

        Raises:
            Problem: Too many wait (429), or it took too long (504).
        """
        with self._lock:
            if self._num_waiting >= MOST_WAITING:
                raise Problem(
                    429,
                    "as many maps are waited for as may",
                    todo="ask again in 5 s",
                    headers={"Retry-After": "5"},
                )
            self._num_waiting += 1
        future = self._pool.submit(work)
        future.add_done_callback(self._done)
        try:
            async with asyncio.timeout(self._wait_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise Problem(504, f"the maps took longer than {self._wait_s:g} s") from None

    def model_of(self, snapshot: Snapshot) -> Any:
        """Return the gallery's model under PyTorch; called in the thread.

        Raises:
            Problem: It is an export, whose inside cannot be looked at.
        """
        from cairn.checkpoint import load_model
        from cairn.exported import is_export

        fingerprint = snapshot.gallery.table.fingerprint
        if self._model is None or self._model[0] != fingerprint:
            folder = snapshot.gallery.model_dir
            if is_export(folder):
                raise Problem(
                    409,
                    "the gallery's model is an export, and shows no maps",
                    todo="serve a gallery with the model that it was made of",
                )
            self._model = None  # never two at once
            self._model = fingerprint, load_model(folder)[0].eval()
        return self._model[1]

    def close(self) -> None:
        """Make no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _done(self, _: Future[Any]) -> None:
        with self._lock:
            self._num_waiting -= 1


@router.post(
    "/v1/attention",
    response_model=MapsOut,
    summary="Where the model looks, over a photograph",
    openapi_extra={"requestBody": _BODY},
)
async def attention(
    request: Request,
    evidence: Annotated[
        str | None, Query(max_length=400, description="Id of a gallery image to compare with.")
    ] = None,
) -> MapsOut:
    """Return the attention of the model's Global Context blocks by stage.

    With `evidence`: what speaks for the likeness of the two, over both; this works for any model.
    """
    server = server_of(request)
    limits = server.settings.limits
    uploads = (await read_uploads(request, limits, with_json=False)).photographs
    if len(uploads) > 1:
        raise Problem(422, "one photograph at a time", where="body")
    snapshot = server.current
    content = uploads[0].content
    match = None if evidence is None else _path_of(server, snapshot, evidence)

    def work() -> MapsOut:
        model = server.maps.model_of(snapshot)
        try:
            require_modest(content, max_pixels=limits.pixels, max_scans=limits.scans)
            if match is None:
                return _masks(model, content)
            return _likeness(model, content, match, limits)
        except UnreadableImage as error:
            raise Problem(
                422, "a photograph cannot be read", where=without_paths(error.reason)
            ) from None

    return await server.maps(work)


def _masks(model: Any, content: bytes) -> MapsOut:
    from cairn.attention import context_masks, overlay, stage_masks
    from cairn.layers import GlobalContext

    if not any(isinstance(one, GlobalContext) for one in model.modules()):
        return MapsOut(maps=[], note="this model has no Global Context blocks")
    image = _shown(content)
    maps = []
    for name, placed in stage_masks(context_masks(model, content)).items():
        least, most = float(placed.values.min()), float(placed.values.max())
        drawn = overlay(image, placed.over(image.size), high=max(_LEAST_RANGE, most))
        maps.append(
            MapOut(
                of="photograph",
                title=name.replace("stage", "Stage "),
                note=f"Attention {least:.2f} to {most:.2f} times the even share; bright is more.",
                content=_base64(drawn),
            )
        )
    return MapsOut(maps=maps, note="Where the Global Context blocks of each stage look.")


def _likeness(model: Any, content: bytes, match: Path, limits: LimitSettings) -> MapsOut:
    from cairn.attention import overlay_signed, similarity_map

    other = match.read_bytes()
    require_modest(other, max_pixels=limits.pixels, max_scans=limits.scans)
    maps, cosine, how = [], 0.0, ""
    for of, one, two in (("photograph", content, other), ("evidence", other, content)):
        made = similarity_map(model, one, two)
        image = _shown(one)
        drawn = overlay_signed(image, made.over(image.size))
        title = "What speaks for the match"
        maps.append(MapOut.model_validate({"of": of, "title": title, "content": _base64(drawn)}))
        cosine = made.similarity
        how = "" if made.method == "exact" else ", found by hiding parts"
    note = f"Red speaks for the likeness, blue against it{how}. Cosine {cosine:.2f}."
    return MapsOut(maps=maps, note=note, similarity=cosine)


def _shown(content: bytes) -> Image.Image:
    from cairn.attention.views import opened

    image = opened(content)
    image.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS)
    return image


def _base64(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _path_of(server: Server, snapshot: Snapshot, image_id: str) -> Path:
    row = snapshot.rows.get(image_id)
    if row is None:
        raise Problem(404, "the gallery has no such image", where="query.evidence")
    path = local_path(server.living.place, snapshot.gallery.table.paths[row])
    if not path.is_file():
        raise Problem(404, "the photograph of this image is not at hand", where="query.evidence")
    return path
