"""Where the model looks, over a photograph: the maps of ``cairn.attention`` for clients.

What they mean is said there. They are made by ``cairn.serve.maps``, beside what answers.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from PIL import Image
from pydantic import Field
from starlette.requests import Request

from cairn.attention.look import LEAST_RANGE
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

LONGEST_PX = 800
"""Longer side of a map."""

_EVEN = 1.05  # the most that a map without a preference has
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
        drawn = overlay(image, placed.over(image.size), high=max(LEAST_RANGE, most))
        maps.append(
            MapOut(
                of="photograph",
                title=name.replace("stage", "Stage "),
                note=f"Attention {least:.2f} to {most:.2f} times the even share"
                + (": no place is preferred." if most < _EVEN else "; bright is more."),
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
    row = snapshot.row(image_id)
    if row is None:
        raise Problem(404, "the gallery has no such image", where="query.evidence")
    path = local_path(server.living.place, snapshot.gallery.table.paths[row])
    if not path.is_file():
        raise Problem(404, "the photograph of this image is not at hand", where="query.evidence")
    return path
