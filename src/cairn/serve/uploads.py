"""Photographs out of a request's body: a form, one file as it is, or base64 in JSON."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import MultipartParseError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from cairn.serve.problems import Problem
from cairn.serve.schemas import RecognizeIn
from cairn.serve.settings import LimitSettings

Model = TypeVar("Model", bound=BaseModel)

FORM = "multipart/form-data"
JSON = "application/json"
_WHOLE = ("image/", "application/octet-stream")
_MAX_FIELDS = 32
_MAX_NAME = 400
_LARGE = 1 << 18  # bytes of JSON that are parsed beside the loop


@dataclass(frozen=True)
class Upload:
    """A photograph that was sent.

    Args:
        image_id: What the request calls it, or its number.
        content: Its bytes.
    """

    image_id: str
    content: bytes


@dataclass(frozen=True)
class Uploads:
    """What a body held.

    Args:
        photographs: At least one.
        fields: What a form says beside them.
    """

    photographs: list[Upload]
    fields: Mapping[str, str] = field(default_factory=dict)


class _InMemory(MultiPartParser):
    """Keeps files in memory: the gate has bounded what a body may be."""

    spool_max_size = 1 << 62

    def close(self) -> None:
        """Let go of all files, of parts that never ended too."""
        for file in self._files_to_close_on_error:
            file.close()


async def read_uploads(
    request: Request, limits: LimitSettings, *, with_json: bool = True
) -> Uploads:
    """Return the photographs of a request's body.

    Args:
        request: With one of the kinds of content above.
        limits: How many photographs.
        with_json: Whether JSON is one of them.

    Raises:
        Problem: The body is malformed or empty, of another kind, or has too many photographs.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == FORM:
        found = await _of_form(request, limits)
    elif kind.startswith(_WHOLE):
        found = Uploads([Upload("1", await request.body())])
    elif kind == JSON and with_json:
        found = await _of_json(request)
    else:
        kinds = (FORM, "image/*", *((JSON,) if with_json else ()))
        raise Problem(
            415,
            "photographs cannot be read from this kind of content",
            where="Content-Type",
            todo=f"send {', '.join(kinds[:-1])} or {kinds[-1]}",
        )
    if not found.photographs:
        raise Problem(422, "the body has no photograph", todo="send a file in the field 'image'")
    if len(found.photographs) > limits.images:
        raise too_many(limits)
    return found


async def read_json(request: Request, kind: type[Model]) -> Model:
    """Return a body of JSON.

    Raises:
        Problem: It is malformed, or is not what is asked for.
    """
    body = await request.body()
    try:
        if len(body) > _LARGE:
            return await asyncio.to_thread(kind.model_validate_json, body)
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from None
    except ValueError:  # a text that is no UTF-8
        raise Problem(422, "the body is no JSON", where="body") from None


def invalid(error: ValidationError) -> Problem:
    """Return what pydantic found as a problem; values that were sent are not sent back."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return Problem(422, first["msg"], where=f"body.{place}" if place else "body")


def decoded(text: str, *, where: str) -> bytes:
    """Return the bytes of base64, either alphabet.

    Raises:
        Problem: It is none.
    """
    compact = "".join(text.split()).translate({ord("-"): "+", ord("_"): "/"})
    compact += "=" * (-len(compact) % 4)
    try:
        return base64.b64decode(compact, validate=True)
    except (binascii.Error, ValueError):
        raise Problem(422, "not base64", where=where, todo="encode the bytes of the file") from None


def too_many(limits: LimitSettings) -> Problem:
    """Return the problem that a request has more photographs than it may."""
    return Problem(
        413,
        f"more than {limits.images} photographs in one request",
        todo="send several requests; they are worked on together",
    )


async def _of_form(request: Request, limits: LimitSettings) -> Uploads:
    parser = _InMemory(
        request.headers,
        request.stream(),
        max_files=limits.images,
        max_fields=_MAX_FIELDS,
        max_part_size=1 << 16,
    )
    try:
        return await _form_of(parser)
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise too_many(limits) from None
        raise Problem(400, f"the form is malformed: {error.message}", where="body") from None
    except (MultipartParseError, ValueError, UnicodeError):
        raise Problem(400, "the form is malformed", where="body") from None
    finally:
        parser.close()


async def _form_of(parser: MultiPartParser) -> Uploads:
    photographs: list[Upload] = []
    fields: dict[str, str] = {}
    for name, value in (await parser.parse()).multi_items():
        if isinstance(value, UploadFile):
            image_id = (value.filename or "")[:_MAX_NAME] or str(len(photographs) + 1)
            photographs.append(Upload(image_id, await value.read()))
        elif name in fields:
            raise Problem(422, "the field is there twice", where=f"body.{name[:_MAX_NAME]}")
        else:
            fields[name] = value
    return Uploads(photographs, fields)


async def _of_json(request: Request) -> Uploads:
    asked = await read_json(request, RecognizeIn)
    return Uploads(
        [
            Upload(
                one.image_id or str(number),
                decoded(one.content, where=f"body.images.{number - 1}.content"),
            )
            for number, one in enumerate(asked.images, start=1)
        ]
    )
